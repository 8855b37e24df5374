//! States to start from, made once: everything in them follows from fixed seeds and keys.

use std::sync::LazyLock;

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::ids::{DeploymentId, UnixSeconds, UserIdHash};
use pinseal_protocol::intent::AccountIndex;
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{AddressStatement, Method, Request};
use pinseal_protocol::token::P256Public;
use pinseal_protocol::wire::{FromEnclave, ToEnclave};

use super::device::Device;
use super::host::{Disk, Host};
use super::keys;
use super::randomness::Randomness;
use super::root::Root;

/// When the harness's deployment was made.
pub const START: u64 = 1_800_000_000;
/// Seed of the boot that targets run on.
pub(crate) const BOOT_SEED: u64 = 7;
const CREATE_SEED: u64 = 1;
const DEPLOYMENT: DeploymentId = DeploymentId([7; 16]);

/// Accounts whose address is known.
pub(crate) const ACCOUNTS: u32 = 4;

/// A deployment with users.
pub(crate) struct Base {
    pub(crate) configuration: Configuration,
    pub(crate) root: Root,
    /// Nobody yet.
    pub(crate) empty: Disk,
    /// Bob's wallet is prepared, Ada has one with two devices.
    pub(crate) peopled: Disk,
    pub(crate) laptop: Device,
    pub(crate) phone: Device,
    pub(crate) bob: Device,
    pub(crate) ada: UserIdHash,
    /// Ada's addresses, in the order of accounts.
    pub(crate) addresses: Vec<[u8; 20]>,
}

/// The one deployment.
pub(crate) static BASE: LazyLock<Base> = LazyLock::new(Base::make);

/// Of a deployment at level L1.
pub fn configuration() -> Configuration {
    Configuration {
        version: CONFIGURATION_VERSION,
        deployment: DEPLOYMENT,
        issuers: vec![Issuer {
            issuer: "https://wallet.test".into(),
            audience: DEPLOYMENT.to_string(),
            key: P256Public::of(keys::issuer()),
        }],
        anchor: AnchorLevel::L1,
        floor: AnchorLevel::L1,
        policy: Policy::default(),
        argon2: Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 },
        witnesses: None,
        breaker: BREAKER_DEFAULT,
        tpm: None,
        base: None,
    }
}

/// Makes a deployment; its disk, or `None` if the enclave refuses the configuration.
pub fn create(configuration: &[u8], time: u64) -> Option<Disk> {
    let mut environment = Randomness::new(CREATE_SEED);
    let message = ToEnclave::Create { configuration: configuration.to_vec().into(), time: UnixSeconds(time) };
    match super::host::enclave().step(message, &mut environment).as_slice() {
        [FromEnclave::Created { sealed_root, genesis, .. }] => Some(Disk {
            sealed_root: sealed_root.to_vec(),
            note: genesis.to_vec(),
            anchored: genesis.to_vec(),
            ..Disk::default()
        }),
        [FromEnclave::Halted { .. } | FromEnclave::Define { .. }] => None,
        other => panic!("{other:?}"),
    }
}

impl Base {
    fn make() -> Self {
        let configuration = configuration();
        let empty = create(&cbor::to_vec(&configuration), START).expect("the harness's configuration is sound");
        // The root is the first thing an enclave draws, its term the second.
        let mut drawn = Randomness::new(CREATE_SEED);
        let root = Root { root: drawn.block(), term: drawn.block(), configuration: configuration.hash() };
        let (mut laptop, mut phone, mut bob) = (Device::new("ada", 1), Device::new("ada", 2), Device::new("bob", 4));
        let mut host = Host::booted(configuration.clone(), empty.clone(), START, 2);
        laptop.register(&mut host);
        phone.enrol(&mut host);
        bob.prepare(&mut host);
        let accounts = (0..ACCOUNTS).filter_map(AccountIndex::new).collect();
        let listed = laptop.run(&mut host, Method::ListAccounts, |_| Request::ListAccounts { accounts });
        let Outcome::Accounts(statements) = listed else { panic!("{listed:?}") };
        let said: Vec<AddressStatement> =
            statements.iter().map(|signed| cbor::from_slice(&signed.statement).expect("canonical")).collect();
        Self {
            configuration,
            root,
            empty,
            peopled: host.disk,
            laptop,
            phone,
            bob,
            ada: said[0].wallet,
            addresses: said.iter().map(|one| one.address.as_slice().try_into().expect("20 bytes")).collect(),
        }
    }

    /// Booted on the peopled disk, a minute after everything.
    pub(crate) fn host(&self) -> Host {
        Host::booted(self.configuration.clone(), self.peopled.clone(), START + 60, BOOT_SEED)
    }

    /// Booted on the empty disk.
    pub(crate) fn empty_host(&self) -> Host {
        Host::booted(self.configuration.clone(), self.empty.clone(), START + 60, BOOT_SEED)
    }
}
