//! The real enclave inside the real process: a deployment is made and booted under the filter, and the passphrase does not stay.

use std::fs::File;
use std::os::unix::fs::FileExt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_attestation::verify::{
    DevelopmentMeasurements, DevelopmentMode, Expected, MeasurementList, Policy, verify,
};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{self, AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer};
use pinseal_protocol::ids::{DeploymentId, Nonce, UnixSeconds};
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::log::Frontier;
use pinseal_protocol::manifest::hash_of;
use pinseal_protocol::pin::Argon2Parameters;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::wire::{BatchId, CallId, FromEnclave, Halt, ToEnclave};

use crate::spawn::{Enclaved, Started, image_hash, is_root};
use crate::{PASSPHRASE, hello};

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// What a host keeps of a deployment.
pub(crate) struct Deployment {
    pub(crate) configuration: Vec<u8>,
    sealed_root: Vec<u8>,
    genesis: Vec<u8>,
}

impl Deployment {
    pub(crate) fn create() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let issuer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let configuration = cbor::to_vec(&Configuration {
            version: CONFIGURATION_VERSION,
            deployment: DeploymentId([5; 16]),
            issuers: vec![Issuer {
                issuer: "https://issuer.test".to_owned(),
                audience: "pinseal".to_owned(),
                key: P256Public::of(&issuer),
            }],
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            policy: configuration::Policy::default(),
            argon2: Argon2Parameters::DEFAULT,
            witnesses: None,
            breaker: BREAKER_DEFAULT,
            tpm: None,
            base: None,
        });
        let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
        enclaved.say(&ToEnclave::Create { configuration: configuration.clone().into(), time: NOW });
        let FromEnclave::Created { sealed_root, genesis, .. } = enclaved.hear() else { panic!("nothing was created") };
        let end = enclaved.end();
        assert_eq!((end.code, end.said.len()), (Some(0), 0), "{}", end.log);
        Self { configuration, sealed_root: sealed_root.to_vec(), genesis: genesis.to_vec() }
    }

    pub(crate) fn boot(&self, enclaved: Enclaved) -> Started {
        let mut enclaved = enclaved.conversing_until(hello);
        enclaved.say(&ToEnclave::Boot {
            configuration: self.configuration.clone().into(),
            sealed_root: self.sealed_root.clone().into(),
            checkpoint: self.genesis.clone().into(),
            frontier: Frontier::default(),
            anchored: self.genesis.clone().into(),
            time: NOW,
            change: None,
            nonce: None,
        });
        enclaved
    }
}

/// Stores and anchors the BOOT entry; returns the manifest.
pub(crate) fn serve(enclaved: &mut Started) -> Vec<u8> {
    enclaved.say(&ToEnclave::HeadersEnd);
    let FromEnclave::Commit(batch) = enclaved.hear() else { panic!("a boot commits its entry first") };
    assert_eq!((batch.batch, batch.entries.len()), (BatchId(1), 1));
    enclaved.say(&ToEnclave::Committed { batch: batch.batch, receipt: batch.checkpoint, nonce: None });
    let FromEnclave::Ready { manifest, wallets: 0 } = enclaved.hear() else { panic!("it is not ready") };
    manifest.to_vec()
}

#[test]
fn a_deployment_is_made_and_booted_under_the_filter() {
    let deployment = Deployment::create();
    let mut enclaved = deployment.boot(Enclaved::new(PASSPHRASE).passphrase_on_stdin());
    let manifest = serve(&mut enclaved);

    let nonce = Nonce([7; 32]);
    enclaved.say(&ToEnclave::Evidence { call: CallId(1), nonce, time: NOW });
    let FromEnclave::Evidence { call: CallId(1), document } = enclaved.hear() else { panic!("no evidence") };
    let policy = Policy::development(
        DevelopmentMode::i_understand_this_proves_nothing(),
        DevelopmentMeasurements::Listed(MeasurementList::new(vec![image_hash()]).unwrap()),
    );
    let expected = Expected { user_data: hash_of(&manifest), nonce, now: NOW, age_seconds_max: 0 };
    assert_eq!(verify(&document, &policy, &expected).unwrap().measurement, image_hash());

    enclaved.hang_up();
    assert_eq!(enclaved.end().code, Some(0));
}

#[test]
fn a_wrong_passphrase_halts_with_its_reason() {
    let deployment = Deployment::create();
    let mut enclaved = deployment.boot(Enclaved::new("not the passphrase"));
    assert!(matches!(enclaved.hear(), FromEnclave::Halted { halt: Halt::WrongPassphrase, .. }));
    let end = enclaved.end();
    assert_eq!(end.code, Some(75), "{}", end.log);
    assert!(end.log.contains("halted: WrongPassphrase"), "{}", end.log);
}

#[test]
fn the_passphrase_lies_in_locked_memory_and_is_gone_after_the_boot() {
    let mut waiting = Enclaved::new(PASSPHRASE).conversing_until(hello);
    if !is_root() {
        let memory = File::open(format!("/proc/{}/mem", waiting.pid()));
        assert_eq!(memory.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        return;
    }
    let places = places_in_memory(&waiting, PASSPHRASE.as_bytes());
    assert!(!places.is_empty(), "it is needed for the boot");
    assert!(places.iter().all(|flags| holds(flags)), "{places:?}");
    waiting.hang_up();

    let mut serving = Deployment::create().boot(Enclaved::new(PASSPHRASE));
    serve(&mut serving);
    assert_eq!(places_in_memory(&serving, PASSPHRASE.as_bytes()), Vec::<String>::new());
}

/// Locked, left out of dumps, and empty in children: what `man 5 proc` calls lo, dd and wf. The stack is locked only.
fn holds(flags: &str) -> bool {
    let has = |flag| flags.split(' ').any(|found| found == flag);
    has("lo") && (has("gd") || (has("dd") && has("wf")))
}

/// The flags of every mapping, once per place where it holds `needle`.
fn places_in_memory(enclaved: &Started, needle: &[u8]) -> Vec<String> {
    let memory = File::open(format!("/proc/{}/mem", enclaved.pid())).unwrap();
    let mut places = Vec::new();
    let mut searched = 0;
    let mut mapping = None;
    for line in enclaved.proc_text("smaps").lines() {
        if let Some(flags) = line.strip_prefix("VmFlags: ") {
            let (start, end): (u64, u64) = mapping.take().unwrap();
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // The kernel's own pages do not let themselves be read.
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                searched += bytes.len();
                let found = bytes.windows(needle.len()).filter(|window| *window == needle).count();
                places.extend(std::iter::repeat_n(flags.trim().to_owned(), found));
            }
        } else if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-')) {
            let address = |text| u64::from_str_radix(text, 16);
            if let (Ok(start), Ok(end)) = (address(start), address(end)) {
                mapping = Some((start, end));
            }
        }
    }
    assert!(searched > 4 * 1024 * 1024, "the arena alone is longer than the {searched} bytes searched");
    places
}
