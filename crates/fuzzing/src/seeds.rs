//! Inputs to start from, made of `vectors/`, golden bytes and the harness's own states. `cargo run -p pinseal-fuzzing` writes them into
//! the corpora.

mod http;
mod outside;
mod tokens;
mod tpm;

use pinseal_enclave::{Environment as _, Passphrase};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::log::Entry;
use pinseal_protocol::order::{ORDER_COST, ORDER_VERSION, Order, root_hash};
use pinseal_protocol::pin::{Argon2Parameters, PinParameters, PinSalt};
use pinseal_protocol::request::{AddressStatement, BeginReply, Method, Request, WalletState};
use pinseal_protocol::wire::{self, Change, ChangeStage, ToEnclave};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::harness::base::{BASE, BOOT_SEED, START};
use crate::harness::device::{PIN, factor};
use crate::harness::host::{Fate, Host};
use crate::harness::randomness::Randomness;
use crate::samples::field;
use crate::targets::wire::TYPES;
use crate::targets::{nitro_chain, witness_answer};

/// Random inputs for a target that draws structure from bytes.
const RANDOM_SEEDS: u64 = 24;

/// An input and the target it is for.
pub struct Seed {
    /// Name of the target.
    pub target: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Every seed; the same every time.
pub fn seeds() -> Vec<Seed> {
    let mut out = Vec::new();
    let mut add = |target: &'static str, bytes: Vec<u8>| out.push(Seed { target, bytes });
    for bytes in conversations() {
        add("frame", bytes);
    }
    for bytes in golden() {
        for (place, reread) in TYPES.iter().enumerate().filter(|(_, reread)| reread(&bytes)) {
            let _ = reread;
            add("cbor", [&[place as u8], bytes.as_slice()].concat());
        }
        for target in ["log_entry", "consistency", "configuration"] {
            add(target, bytes.clone());
        }
        add("sealed_reply", [&[2], bytes.as_slice()].concat());
    }
    add("configuration", cbor::to_vec(&BASE.configuration));
    add("checkpoint", BASE.peopled.note.clone());
    add("cosignature", BASE.peopled.note.clone());
    add("cosignature", b"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".to_vec());
    add("witness_request", [&b"old 0\n\n"[..], &BASE.peopled.note].concat());
    let root = &BASE.peopled.sealed_root;
    add("root_file", [&[0], root.as_slice()].concat());
    add("root_file", [&[1], &root[13..root.len() - 32]].concat());
    add("root_file", vec![2, 40, 1, 60, 2]);
    for bytes in begin_replies() {
        add("begin_reply", [&[0], bytes.as_slice()].concat());
    }
    for bytes in nitro_chain::seeds() {
        add("nitro_chain", bytes);
    }
    for bytes in witness_answer::seeds() {
        add("witness_answer", bytes);
    }
    tpm::add(&mut add);
    payloads(&mut add);
    tokens::add(&mut add);
    outside::add(&mut add);
    http::add(&mut add);
    structured(&mut add);
    out
}

/// Payloads of the vectors.
fn payloads(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    const TRANSACTIONS: &str = include_str!("../../../vectors/evm/transactions.json");
    const TYPED_DATA: &str = include_str!("../../../vectors/evm/typed-data.json");
    for bytes in ["unsigned", "signed"].iter().flat_map(|name| field(TRANSACTIONS, name)) {
        add("transaction", bytes);
    }
    for bytes in field(include_str!("../../../vectors/evm/authorizations.json"), "tuple") {
        add("authorization", bytes);
    }
    for bytes in field(TYPED_DATA, "cbor") {
        add("typed_data", bytes);
    }
    let file: Value = serde_json::from_str(TYPED_DATA).expect("vectors are JSON");
    for case in file["cases"].as_array().expect("vectors have cases") {
        add("typed_data_json", case["json"].to_string().into_bytes());
    }
    for bytes in field(include_str!("../../../vectors/evm/personal-messages.json"), "message") {
        add("personal_message", bytes);
    }
    let shown = [
        include_str!("../../../vectors/decode/transfers.json"),
        include_str!("../../../vectors/decode/other-calls.json"),
        include_str!("../../../vectors/decode/tokens.json"),
        include_str!("../../../vectors/decode/nfts.json"),
        include_str!("../../../vectors/decode/messages.json"),
        include_str!("../../../vectors/decode/delegation.json"),
        include_str!("../../../vectors/decode/typed-data.json"),
    ];
    for bytes in shown.iter().flat_map(|file| field(file, "intent_cbor")) {
        add("display", bytes);
    }
}

/// Targets that draw structure from bytes start from any bytes.
fn structured(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let mut randomness = Randomness::new(0x5eed);
    for target in [
        "sealed_request",
        "record",
        "log_entry",
        "consistency",
        "checkpoint",
        "cosignature",
        "witness_request",
        "tpm_attestation",
        "tpm_answer",
        "configuration",
        "transaction_fields",
        "conversation",
        "display",
        "evidence",
        "sealed_reply",
        "witness_answer",
        "anchor_file",
    ] {
        for number in 0..RANDOM_SEEDS {
            let blocks = 1 + number * number / 20;
            add(target, (0..blocks).flat_map(|_| randomness.block()).collect());
        }
    }
    add("evidence", vec![1, 0]);
    add("evidence", vec![0]);
    add("evidence", vec![2]);
    add("evidence", vec![3, 0]);
    add("evidence", vec![3, 7]);
    add("evidence", vec![3, 129]);
}

/// Every golden encoding of the protocol.
fn golden() -> Vec<Vec<u8>> {
    let file: Value =
        serde_json::from_str(include_str!("../../../vectors/protocol/golden.json")).expect("vectors are JSON");
    let encodings = file["encodings"].as_object().expect("golden bytes by name");
    encodings.values().filter_map(|entry| hex::decode(entry["hex"].as_str()?).ok()).collect()
}

/// Begin replies and statements that fit what the target expects.
fn begin_replies() -> Vec<Vec<u8>> {
    let argon2 = Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    let parameters = PinParameters { salt: PinSalt([1; 16]), argon2 };
    let begin = BeginReply {
        manifest: Hash32([3; 32]),
        wallet: BASE.ada,
        device: BASE.laptop.id(),
        method: Method::Sign,
        challenge: vec![1; 56].into(),
        state: WalletState::Active,
        enrolled: true,
        current: Some(parameters),
        pending: None,
        next: parameters,
        time: UnixSeconds(START),
    };
    let statement = AddressStatement {
        deployment: BASE.configuration.deployment,
        wallet: BASE.ada,
        path: "m/44'/60'/0'/0/0".into(),
        network: "eip155".into(),
        address: BASE.addresses[0].to_vec().into(),
    };
    vec![cbor::to_vec(&begin), cbor::to_vec(&statement)]
}

/// Streams that an enclave goes along with to the end: a boot, and a boot with an operation, a batch taken back, and evidence.
fn conversations() -> Vec<Vec<u8>> {
    let boot = |note: bool| {
        let mut host = Host::new(BASE.configuration.clone(), BASE.peopled.clone(), START + 60, BOOT_SEED);
        host.recorded = Some(Vec::new());
        if note {
            host.boot();
        }
        host
    };
    let mut create = boot(false);
    create.say(ToEnclave::Create { configuration: cbor::to_vec(&BASE.configuration).into(), time: UnixSeconds(START) });
    let started = boot(true);
    let mut device = BASE.laptop.clone();
    device.receipt = None;
    let mut verified = boot(true);
    let _ = device.run(&mut verified, Method::VerifyPin, |begin| Request::VerifyPin {
        pin: factor(PIN, &begin.current.expect("active")),
    });
    let mut aborted = boot(true);
    let (begin, token) = device.begin(&mut aborted, Method::ClearTries).expect("an honest begin is answered");
    let header = device.header(aborted.manifest(), &begin, &token);
    let body = device.body(&token, Request::ClearTries { pin: factor(9, &begin.current.expect("active")) });
    let sealed = device.seal(aborted.manifest(), &begin, header, &body).expect("short");
    aborted.submit(&sealed.wallet, &sealed.request);
    aborted.settle(Fate::Commit);
    aborted.settle(Fate::Abort);
    let mut asked = boot(true);
    let call = asked.next_call();
    asked.say(ToEnclave::Evidence {
        call,
        nonce: pinseal_protocol::ids::Nonce([1; 32]),
        time: UnixSeconds(START + 61),
    });
    let mut changed = boot(false);
    changed.boot_to_change(change(&changed, ChangeStage::Ordered { receipt: changed.disk.note.clone().into() }));
    // The process dies with the change in the log; another one finishes it.
    let batch = changed.in_flight.clone().expect("a change is written");
    changed.settle(Fate::LoseAnchored);
    let mut finished = boot(false);
    finished.disk = changed.disk.clone();
    let entry = batch.entries.iter().find_map(|entry| cbor::from_slice(entry).ok());
    let Some(Entry::Configured { term, .. }) = entry else { panic!("a change is one entry") };
    finished.boot_to_change(change(&finished, ChangeStage::Logged { term }));
    changed.say(ToEnclave::Committed { batch: batch.batch, receipt: batch.checkpoint, nonce: None });
    let mut out: Vec<Vec<u8>> = [create, started, verified, aborted, asked, changed, finished]
        .into_iter()
        .filter_map(|host| host.recorded)
        .collect();
    out.push(wire::frame(&ToEnclave::HeadersEnd).expect("short"));
    out
}

/// Other costs for PINs, as ordered by the operators.
fn change(host: &Host, stage: ChangeStage) -> Change {
    let next = Configuration { argon2: Argon2Parameters::DEFAULT, ..host.configuration.clone() };
    let order = Order {
        version: ORDER_VERSION,
        deployment: next.deployment,
        root: root_hash(&host.disk.sealed_root),
        previous: host.configuration.hash(),
        configuration: next.hash(),
        checkpoint: match stage {
            ChangeStage::Ordered { .. } => host.disk.checkpoint().hash(),
            ChangeStage::Logged { .. } => host.disk.checkpoint().previous,
        },
        time: UnixSeconds(START),
        restores: None,
        resumes: false,
    };
    let (salt, nobody) = (Hash32([3; 32]), Passphrase::new(Zeroizing::new(Vec::new())));
    let stretched = Randomness::new(0).stretch(&nobody, &salt.0, &ORDER_COST).expect("a possible cost");
    Change { configuration: cbor::to_vec(&next).into(), order: order.sign(salt, &stretched), stage }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pinseal_protocol::frames::Frames;
    use pinseal_protocol::wire::FromEnclave;

    use super::*;
    use crate::TARGETS;

    #[test]
    fn every_target_has_seeds_that_fit_it() {
        let seeds = seeds();
        for target in TARGETS {
            let own: Vec<_> = seeds.iter().filter(|seed| seed.target == target.name).collect();
            assert!(own.len() >= 2, "{}: {} seeds", target.name, own.len());
            assert!(own.iter().any(|seed| seed.bytes.len() <= target.bytes_max), "{}", target.name);
        }
        assert!(seeds.iter().all(|seed| TARGETS.iter().any(|target| target.name == seed.target)));
    }

    #[test]
    fn the_streams_lead_a_fresh_enclave_through_every_phase() {
        let mut said = BTreeSet::new();
        for stream in conversations() {
            let mut host = Host::new(BASE.configuration.clone(), BASE.peopled.clone(), START + 60, BOOT_SEED);
            let mut frames = Frames::default();
            frames
                .fill(stream.len(), |room| {
                    room.copy_from_slice(&stream);
                    Ok::<_, core::convert::Infallible>(stream.len())
                })
                .unwrap();
            while let Some(message) = frames.message::<ToEnclave>().unwrap() {
                for effect in host.enclave.step(message, &mut host.environment) {
                    said.insert(match effect {
                        FromEnclave::Created { .. } => "created",
                        FromEnclave::Changed { .. } => "changed",
                        FromEnclave::RollForward { .. } => "roll_forward",
                        FromEnclave::Commit(_) => "commit",
                        FromEnclave::Ready { .. } => "ready",
                        FromEnclave::Begun { .. } => "begun",
                        FromEnclave::Replied { .. } => "replied",
                        FromEnclave::Evidence { .. } => "evidence",
                        FromEnclave::Halted { .. } => "halted",
                        _ => "other",
                    });
                }
            }
        }
        let expected =
            ["begun", "changed", "commit", "created", "evidence", "halted", "ready", "replied", "roll_forward"];
        assert_eq!(said, BTreeSet::from(expected));
    }
}
