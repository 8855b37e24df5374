//! Configuration, root and passphrase that do not belong together: the root stays closed, the error says why, nothing is written.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use pinseal_client::Profile;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::log::Frontier;
use pinseal_protocol::wire::{self, FromEnclave, Halt, ToEnclave};
use sha2::{Digest as _, Sha256};

use super::changed::configuration;
use super::deployment::{CONFIGURATION, Deployment, Refused, init, run};
use super::process::{Recipe, log, program};
use super::user::{PIN, User, runtime, sign};

const ROOT: &str = "root.sealed";
/// Where the root file's version lies, behind the magic.
const VERSION_AT: usize = b"PINSEAL ROOT\n".len();
/// SHA-256 over everything before it.
const CHECKSUM_BYTES: usize = 32;

/// Starts with `content` in place of a file, and puts the old content back.
fn refused_with(deployment: &Deployment, file: &Path, content: &[u8]) -> Refused {
    let old = std::fs::read(file).unwrap();
    std::fs::write(file, content).unwrap();
    let refused = deployment.refused();
    assert_eq!(std::fs::read(file).unwrap(), content);
    std::fs::write(file, old).unwrap();
    refused
}

fn assert_code(refused: &Refused, code: &str) {
    assert_eq!(refused.code, code, "{refused:?}");
}

/// With a checksum that fits, as somebody writes it who wants to be believed.
fn with_checksum(mut root: Vec<u8>) -> Vec<u8> {
    root.truncate(root.len() - CHECKSUM_BYTES);
    let checksum = Sha256::digest(&root);
    root.extend_from_slice(&checksum);
    root
}

fn weakened(configuration: &Configuration) -> Configuration {
    Configuration { anchor: AnchorLevel::L0, floor: AnchorLevel::L0, ..configuration.clone() }
}

#[test]
fn another_configuration_does_not_open_the_root() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();

        let file = deployment.host().join(CONFIGURATION);
        let good = configuration(&deployment);
        let other_key = Profile::new().unwrap().device.public();
        let mut other_issuer = good.clone();
        other_issuer.issuers[0].key = other_key;
        let mut second_issuer = good.clone();
        second_issuer.issuers.push(other_issuer.issuers[0].clone());
        second_issuer.issuers[1].issuer.push_str("-too");
        let mut other_policy = good.clone();
        other_policy.policy.any_chain_authorization = true;
        let mut other_cost = good.clone();
        other_cost.argon2.passes += 1;
        for changed in [second_issuer, other_policy, other_cost] {
            assert_code(&refused_with(&deployment, &file, &cbor::to_vec(&changed)), "root_foreign");
        }
        // Of this one the host sees that it does not fit its own key. Without a host that looks:
        assert_code(&refused_with(&deployment, &file, &cbor::to_vec(&other_issuer)), "issuer_key");
        let root = std::fs::read(deployment.host().join(ROOT)).unwrap();
        assert_eq!(enclave_says(&deployment, &other_issuer, &root), Halt::RootForeign);
        // The host runs no level but the one on its disk; a host that would is met by the enclave, see below.
        let refused = refused_with(&deployment, &file, &cbor::to_vec(&weakened(&good)));
        assert!(refused.sentence.contains("level"), "{refused:?}");
        assert_code(&refused_with(&deployment, &file, b"no configuration"), "configuration");

        let life = deployment.start();
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"after").await.unwrap(), address);
        life.stop();
    });
}

/// What the enclave says to a host that sends this configuration and this root.
fn enclave_says(deployment: &Deployment, configuration: &Configuration, root: &[u8]) -> Halt {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut enclave = Recipe {
        name: "enclave",
        command: [program("pinseal-enclaved").to_str().unwrap(), "--socket-fd", "0", "--passphrase-fd", "3"]
            .map(str::to_owned)
            .to_vec(),
        connection: theirs.into(),
        hand: &deployment.data.join("passphrase"),
        listener: None,
        log: log(deployment.scratch(), "enclave"),
        fault: None,
    }
    .start();
    let boot = ToEnclave::Boot {
        configuration: cbor::to_vec(configuration).into(),
        sealed_root: root.to_vec().into(),
        checkpoint: deployment.anchored_note().into(),
        frontier: Frontier::default(),
        anchored: Vec::new().into(),
        time: UnixSeconds(0),
        change: None,
        nonce: None,
    };
    ours.write_all(&wire::frame(&boot).unwrap()).unwrap();
    loop {
        let mut prefix = [0; 4];
        ours.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; wire::frame_length(prefix).unwrap()];
        ours.read_exact(&mut body).unwrap();
        match wire::parse(&body).unwrap() {
            FromEnclave::Hello { .. } => {}
            FromEnclave::Halted { halt, .. } => {
                assert_eq!(enclave.ended().code(), Some(75));
                return halt;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_host_that_lowers_the_anchor_level_cannot_open_the_root_even_if_it_rewrites_the_file() {
    let deployment = Deployment::new();
    let good = configuration(&deployment);
    let root = std::fs::read(deployment.host().join(ROOT)).unwrap();
    // The right pair gets past the root: what is missed then is the anchor's checkpoint.
    assert_eq!(enclave_says(&deployment, &good, &root), Halt::AnchorMissing);

    let weak = weakened(&good);
    assert_eq!(enclave_says(&deployment, &weak, &root), Halt::RootForeign);
    let place = root.windows(32).position(|window| window == good.hash().0).unwrap();
    let mut rewritten = root.clone();
    rewritten[place..place + 32].copy_from_slice(&weak.hash().0);
    assert_eq!(enclave_says(&deployment, &weak, &with_checksum(rewritten)), Halt::WrongPassphrase);
}

#[test]
fn a_wrong_passphrase_and_every_kind_of_wrong_root_have_an_error_of_their_own() {
    let deployment = Deployment::new();
    let root = deployment.host().join(ROOT);
    let good = std::fs::read(&root).unwrap();

    let refused = refused_with(&deployment, &deployment.data.join("passphrase"), b"another passphrase\n");
    assert_code(&refused, "wrong_passphrase");

    for length in [0, VERSION_AT, good.len() / 2, good.len() - 1] {
        assert_code(&refused_with(&deployment, &root, &good[..length]), "root_damaged");
    }
    let mut flipped = good.clone();
    flipped[good.len() - CHECKSUM_BYTES - 1] ^= 1;
    assert_code(&refused_with(&deployment, &root, &flipped), "root_damaged");

    let mut newer = good.clone();
    newer[VERSION_AT + 1] += 1;
    assert_code(&refused_with(&deployment, &root, &with_checksum(newer)), "root_newer");

    let other = deployment.scratch().join("other");
    init(&other);
    let foreign = std::fs::read(other.join("host").join(ROOT)).unwrap();
    assert_code(&refused_with(&deployment, &root, &foreign), "root_foreign");
    deployment.start().stop();
}

#[test]
fn a_missing_root_is_missed_and_never_made_anew_over_a_database() {
    let deployment = Deployment::new();
    deployment.start().stop();
    let root = deployment.host().join(ROOT);
    let good = std::fs::read(&root).unwrap();
    std::fs::remove_file(&root).unwrap();
    let refused = deployment.refused();
    assert!(refused.sentence.contains("root is missing"), "{refused:?}");

    let before = deployment.files();
    let made = run(&["init", "--data", deployment.data.to_str().unwrap()]);
    assert!(!made.status.success(), "{made:?}");
    assert_eq!(deployment.files(), before);

    std::fs::write(&root, good).unwrap();
    deployment.start().stop();
}
