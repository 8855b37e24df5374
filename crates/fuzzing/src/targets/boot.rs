//! What a host hands over before the enclave serves: root file and configuration.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::{DeploymentId, Hash32};
use pinseal_protocol::limits::ISSUERS_MAX;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::Tpm;
use pinseal_protocol::wire::Halt;
use sha2::{Digest as _, Sha256};

use crate::harness::base::{self, BASE, BOOT_SEED, START};
use crate::harness::host::Host;

const MAGIC: &[u8] = b"PINSEAL ROOT\n";

/// Root files: any bytes, any body under a right checksum, and the real file with changes. Only the real one opens.
pub fn root_file(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let real = &BASE.peopled.sealed_root;
    let file = match mode % 3 {
        0 => rest.to_vec(),
        1 => with_checksum([MAGIC, rest].concat()),
        _ => {
            // Change the real file's content, then make its checksum fit again.
            let mut content = real[..real.len() - 32].to_vec();
            for edit in rest.chunks_exact(2) {
                let place = usize::from(edit[0]) % content.len();
                content[place] ^= edit[1];
            }
            with_checksum(content)
        }
    };
    let mut host = Host::new(BASE.configuration.clone(), BASE.peopled.clone(), START + 60, BOOT_SEED);
    host.disk.sealed_root.clone_from(&file);
    host.boot();
    if file == *real {
        assert!(host.manifest.is_some(), "the real root opens");
        return;
    }
    let said = host.halted.expect("another root does not open");
    assert!(
        matches!(said, Halt::RootDamaged | Halt::RootNewer | Halt::RootForeign | Halt::WrongPassphrase),
        "a root's fault has a root's name: {said:?}"
    );
}

fn with_checksum(mut content: Vec<u8>) -> Vec<u8> {
    let checksum = Sha256::digest(&content);
    content.extend_from_slice(&checksum);
    content
}

#[derive(Debug, Arbitrary)]
struct ConfigurationInput {
    version: u16,
    deployment: [u8; 16],
    issuers: Vec<(String, String, u8)>,
    anchor: u8,
    floor: u8,
    any_chain: bool,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    witnesses: Option<(u8, Vec<(String, u8)>)>,
    sane: u8,
    /// First byte of the attestation key, and the index.
    tpm: Option<(u8, u32)>,
    /// What its index held.
    base: Option<[u8; 32]>,
}

/// Configurations: any bytes and any values. One that is accepted makes a deployment that boots under it and under no other.
pub fn configuration(data: &[u8]) {
    if let Ok(configuration) = cbor::from_slice::<Configuration>(data) {
        make(&configuration, data);
    } else {
        assert!(base::create(data, START).is_none(), "what is no configuration makes nothing");
    }
    let Ok(input) = ConfigurationInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let configuration = input.build();
    make(&configuration, &cbor::to_vec(&configuration));
}

fn make(configuration: &Configuration, encoded: &[u8]) {
    let Some(disk) = base::create(encoded, START) else {
        // One at L2 is made only together with an index, and a receipt for it.
        assert!(configuration.check().is_err() || configuration.tpm.is_some());
        return;
    };
    assert!(configuration.tpm.is_none(), "no root leaves before a TPM took the genesis");
    assert!(configuration.check().is_ok(), "the enclave accepts what it should not");
    assert!((1..=ISSUERS_MAX).contains(&configuration.issuers.len()));
    assert!(configuration.anchor >= configuration.floor && configuration.argon2.is_acceptable());
    assert_eq!(configuration.version, CONFIGURATION_VERSION);
    if let Some(quorum) = &configuration.witnesses {
        assert!(configuration.anchor == AnchorLevel::L4 && quorum.tolerance() >= 1);
        let mut host = Host::new(configuration.clone(), disk, START, BOOT_SEED);
        host.boot();
        assert_eq!(host.halted, Some(Halt::Fenced), "without cosignatures nothing serves");
        return;
    }
    let host = Host::booted(configuration.clone(), disk.clone(), START, BOOT_SEED);
    let manifest = host.manifest.expect("it serves");
    assert_eq!((manifest.configuration, manifest.anchor), (configuration.hash(), configuration.anchor));
    let mut other = configuration.clone();
    other.policy.any_chain_authorization ^= true;
    let mut host = Host::new(other, disk, START, BOOT_SEED);
    host.boot();
    assert_eq!(host.halted, Some(Halt::RootForeign), "a root opens under its configuration alone");
}

impl ConfigurationInput {
    /// Bits of `sane` put a sound value in a field's place, so that the others are reached.
    fn build(self) -> Configuration {
        let good = base::configuration();
        let level = |number: u8| match number % 4 {
            0 => AnchorLevel::L0,
            1 => AnchorLevel::L1,
            2 => AnchorLevel::L2,
            _ => AnchorLevel::L4,
        };
        let is_sane = |bit: u8| self.sane & (1 << bit) != 0;
        let issuer = |(issuer, audience, key): &(String, String, u8)| Issuer {
            issuer: issuer.clone(),
            audience: audience.clone(),
            key: P256Public([*key; 65]),
        };
        let witness = |(name, key): &(String, u8)| Witness { name: name.clone(), key: Ed25519Public([*key; 32]) };
        Configuration {
            version: if is_sane(0) { good.version } else { self.version },
            deployment: DeploymentId(self.deployment),
            issuers: if is_sane(1) { good.issuers } else { self.issuers.iter().take(20).map(issuer).collect() },
            anchor: level(self.anchor),
            floor: level(self.floor),
            policy: Policy { any_chain_authorization: self.any_chain },
            argon2: if is_sane(2) {
                good.argon2
            } else {
                Argon2Parameters { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
            },
            breaker: if is_sane(2) { good.breaker } else { self.memory_kib },
            witnesses: self.witnesses.as_ref().map(|(required, named)| Quorum {
                required: *required,
                witnesses: named.iter().take(20).map(witness).collect(),
            }),
            tpm: self.tpm.map(|(first, index)| {
                let mut attester = P256Public([7; 65]);
                attester.0.iter_mut().take(1).for_each(|byte| *byte = first);
                Tpm { attester, index }
            }),
            base: self.base.map(Hash32),
        }
    }
}
