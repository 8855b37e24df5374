//! The conversation of a boot, message by message.

use std::cell::RefCell;
use std::rc::Rc;

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{Hash32, Nonce, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::limits::BOOT_HEADERS_MAX;
use pinseal_protocol::log::Frontier;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{BatchId, CallId, FromEnclave, Halt, Header, ToEnclave};
use pinseal_software_tpm::SoftwareTpm;

use crate::world::{Client, PASSPHRASE, World, factor, fixed_key, identity, passphrase};

/// A new process on the disk, after the first message of its boot.
fn begin_boot(world: &mut World) {
    world.enclave = pinseal_enclave::Enclave::new(passphrase(PASSPHRASE), identity());
    world.halted = None;
    world.manifest = None;
    let boot = world.boot_message();
    assert_eq!(world.enclave.step(boot, &mut world.environment), []);
}

fn halt(effects: &[FromEnclave]) -> Option<(Halt, &str)> {
    match effects {
        [FromEnclave::Halted { halt, detail }] => Some((*halt, detail)),
        _ => None,
    }
}

fn frontier(size: u64, edge: &[Hash32]) -> Frontier {
    cbor::from_slice(&cbor::to_vec(&(size, edge))).unwrap()
}

#[test]
fn a_frontier_of_another_root_size_or_form_than_the_checkpoints_is_refused() {
    let mut world = World::new();
    Client::new("ada").register(&mut world, "135790");
    let honest = world.disk.frontier.clone();
    let (size, edge): (u64, Vec<Hash32>) = cbor::from_slice(&cbor::to_vec(&honest)).unwrap();
    assert_eq!((size, edge.len()), (4, 1));
    let another_root = frontier(size, &[Hash32([1; 32])]);
    // One node more or less on the edge, or another size: the root alone does not tell.
    let another_size = frontier(8, &edge);
    let another_form = frontier(6, &edge);
    assert!(another_size.is_well_formed() && another_size.root() == honest.root());
    assert!(!another_form.is_well_formed() && another_form.root() == honest.root());
    for forged in [another_root, another_size, another_form] {
        world.disk.frontier = forged;
        world.boot();
        assert_eq!(world.halted.as_ref().map(|(halt, _)| *halt), Some(Halt::StateMismatch));
    }
    // A size and a root that are right, over more nodes than the size has.
    world.disk.frontier = honest;
    world.boot();
    assert_eq!(world.halted, None);
    Client::new("bob").status(&mut world);
    let (size, edge): (u64, Vec<Hash32>) = cbor::from_slice(&cbor::to_vec(&world.disk.frontier)).unwrap();
    assert_eq!((size, edge.len()), (6, 2));
    let whole = frontier(size, &[world.disk.frontier.root()]);
    assert!(!whole.is_well_formed() && whole.root() == world.disk.frontier.root());
    world.disk.frontier = whole;
    world.boot();
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::StateMismatch));
}

#[test]
fn a_frame_holds_so_many_headers_and_no_more() {
    let headers = |count: usize| {
        let header = |number: usize| {
            let mut wallet = [0; 32];
            wallet[..8].copy_from_slice(&(number as u64).to_be_bytes());
            Header { wallet: UserIdHash(wallet), version: Version(1), outer: Hash32([0; 32]) }
        };
        ToEnclave::Headers { headers: (0..count).map(header).collect() }
    };
    let mut world = World::new();
    begin_boot(&mut world);
    assert_eq!(world.enclave.step(headers(BOOT_HEADERS_MAX), &mut world.environment), [], "the boot goes on");
    begin_boot(&mut world);
    let effects = world.enclave.step(headers(BOOT_HEADERS_MAX + 1), &mut world.environment);
    assert_eq!(halt(&effects), Some((Halt::Protocol, "too many headers in one frame")));
}

#[test]
fn headers_that_repeat_or_descend_are_refused() {
    let mut world = World::new();
    Client::new("ada").register(&mut world, "135790");
    Client::new("bob").register(&mut world, "246802");
    let honest: Vec<Header> = world.disk.records.values().map(|(header, _)| *header).collect();
    let [first, second] = honest[..] else { panic!("two wallets") };
    for frames in [vec![vec![second, first]], vec![vec![second], vec![first]], vec![vec![first], vec![first, second]]] {
        begin_boot(&mut world);
        let mut effects = Vec::new();
        for headers in frames {
            effects = world.enclave.step(ToEnclave::Headers { headers }, &mut world.environment);
        }
        assert_eq!(halt(&effects), Some((Halt::StateMismatch, "record headers do not ascend")));
    }
}

#[test]
fn nothing_is_answered_before_the_boot_is_anchored_and_then_the_wallets_are_counted() {
    let mut world = World::new();
    for user in ["ada", "bob", "eve"] {
        Client::new(user).register(&mut world, "135790");
    }
    let headers: Vec<_> = world.disk.records.values().map(|(header, _)| *header).collect();
    let start = |world: &mut World| {
        begin_boot(world);
        assert_eq!(world.enclave.step(ToEnclave::Headers { headers: headers.clone() }, &mut world.environment), []);
        let effects = world.enclave.step(ToEnclave::HeadersEnd, &mut world.environment);
        let [FromEnclave::Commit(batch)] = effects.as_slice() else { panic!("{effects:?}") };
        assert!(!world.enclave.is_halted());
        batch.clone()
    };
    let time = UnixSeconds(world.now);
    let token = world.token("ada", &Client::new("ada").device(), 600);
    for early in [
        ToEnclave::Evidence { call: CallId(1), nonce: Nonce([3; 32]), time },
        ToEnclave::Begin { call: CallId(1), time, access_token: token, method: Method::Status, outer: None },
    ] {
        start(&mut world);
        let effects = world.enclave.step(early, &mut world.environment);
        assert_eq!(halt(&effects), Some((Halt::Protocol, "request before the boot is anchored")));
        assert!(world.enclave.is_halted());
    }
    let batch = start(&mut world);
    assert_eq!(batch.batch, BatchId(1));
    let committed = ToEnclave::Committed { batch: batch.batch, receipt: batch.checkpoint, nonce: None };
    let effects = world.enclave.step(committed, &mut world.environment);
    assert!(matches!(effects.as_slice(), [FromEnclave::Ready { wallets: 3, .. }]), "{effects:?}");
}

#[test]
fn a_boot_that_could_not_be_stored_serves_nobody() {
    let mut world = World::new();
    begin_boot(&mut world);
    let effects = world.enclave.step(ToEnclave::HeadersEnd, &mut world.environment);
    let [FromEnclave::Commit(batch)] = effects.as_slice() else { panic!("{effects:?}") };
    let effects = world.enclave.step(ToEnclave::Aborted { batch: batch.batch }, &mut world.environment);
    assert_eq!(halt(&effects), Some((Halt::Protocol, "the BOOT entry could not be stored")));
}

#[test]
fn a_receipt_or_an_abort_of_a_batch_settled_before_halts() {
    for abort in [false, true] {
        let mut world = World::new();
        let mut client = Client::new("ada");
        client.register(&mut world, "135790");
        let prepared = client
            .prepare(&mut world, Method::VerifyPin, |begin| Request::VerifyPin {
                pin: factor("135790", &begin.current.unwrap()),
            })
            .unwrap();
        let sealed = ToEnclave::Sealed {
            call: CallId(9_999),
            time: UnixSeconds(world.now),
            request: prepared.request.clone(),
            outer: Some(world.disk.records[&prepared.wallet].1.clone().into()),
            consistency: None,
        };
        let effects = world.enclave.step(sealed, &mut world.environment);
        let [FromEnclave::Commit(charge)] = effects.as_slice() else { panic!("{effects:?}") };
        let committed =
            || ToEnclave::Committed { batch: charge.batch, receipt: charge.checkpoint.clone(), nonce: None };
        let effects = world.enclave.step(committed(), &mut world.environment);
        let [FromEnclave::Commit(settle)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(settle.batch.0, charge.batch.0 + 1, "every batch has a number of its own");
        let again = if abort { ToEnclave::Aborted { batch: charge.batch } } else { committed() };
        let effects = world.enclave.step(again, &mut world.environment);
        assert_eq!(halt(&effects).map(|(halt, _)| halt), Some(Halt::Protocol));
    }
}

#[test]
fn pins_are_tested_on_the_hosts_word_where_the_host_makes_the_receipts_and_from_the_boot_on() {
    for level in [AnchorLevel::L0, AnchorLevel::L1] {
        let mut world = World::with_configuration(1, fixed_key(), |configuration| {
            (configuration.anchor, configuration.floor) = (level, level);
        });
        assert!(world.enclave.rests_on_host(), "{level}");
        begin_boot(&mut world);
        assert!(!world.enclave.rests_on_host(), "{level}: nothing is tested yet");
    }
    let world = World::with_tpm(1, &Rc::new(RefCell::new(SoftwareTpm::new())));
    assert_eq!(world.halted, None);
    assert!(!world.enclave.rests_on_host());
}

#[test]
fn an_enclave_shows_what_it_is_and_nothing_it_holds() {
    let world = World::new();
    let shown = format!("{:?} {:?}", world.enclave, passphrase(PASSPHRASE));
    assert!(shown.starts_with("Enclave { identity: Identity { measurement: "), "{shown}");
    assert!(shown.ends_with("Passphrase(..)"), "{shown}");
    let waiting = pinseal_enclave::Enclave::new(passphrase(PASSPHRASE), identity());
    assert!(!format!("{waiting:?}").contains("horse"), "{waiting:?}");
}
