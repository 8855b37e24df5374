//! The circuit breaker, through the whole state machine: strangers' wrong PINs are bounded over all wallets together.

use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{Hash32, UserIdHash, Version};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::{BREAKER_MIN, UNENROLLED_OUTSTANDING_MAX};
use pinseal_protocol::log::Entry;
use pinseal_protocol::order::Order;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::wire::{Batch, Change, ChangeStage, FromEnclave, Halt};
use proptest::prelude::*;

use crate::change::{carry_out, change, halt, order, signed, take_over, term};
use crate::world::{Client, Disk, Fate, PASSPHRASE, Prepared, World, factor, fixed_key};

const HOUR: u64 = 3_600;
const RIGHT: &str = "135790";
const WRONG: &str = "000000";
/// One wallet's tries for strangers, and one more: a second wallet has fewer left than a first.
const ONE_WALLET: u8 = UNENROLLED_OUTSTANDING_MAX;

/// A deployment whose breaker trips at [`BREAKER_MIN`], with these people.
fn deployment<const N: usize>(people: [&str; N]) -> (World, [Client; N]) {
    let mut world = World::with_configuration(1, fixed_key(), |configuration| configuration.breaker = BREAKER_MIN);
    let people = people.map(|user| {
        let mut client = Client::new(user);
        client.register(&mut world, RIGHT);
        client
    });
    (world, people)
}

/// A device nobody knows asks to be enrolled, long after the last.
fn stranger(world: &mut World, user: &str, pin: &str) -> Outcome {
    world.now += HOUR;
    Client::new(user).enrol(world, pin).outcome
}

/// So many wrong PINs of strangers, as many as possible at each wallet.
fn guess(world: &mut World, users: &[&str], count: u32) {
    for number in 0..count {
        let user = users[usize::try_from(number).unwrap() / usize::from(ONE_WALLET)];
        assert_eq!(stranger(world, user, WRONG), Outcome::WrongPin, "guess {number}");
    }
}

const PAUSED: Outcome = Outcome::Refused(Refusal::EnrolmentPaused);

fn clear(world: &mut World, client: &mut Client) {
    world.now += HOUR;
    let reply = client
        .run(world, Method::ClearTries, |begin| Request::ClearTries { pin: factor(RIGHT, &begin.current.unwrap()) });
    assert_eq!(reply.outcome, Outcome::TriesCleared);
}

/// What the breaker stands at, opened with the root, which is the first thing that an enclave draws.
#[derive(Debug, PartialEq, Eq)]
struct Stands {
    tripped: bool,
    outstanding: u64,
    base: u64,
}

fn derived(world: &World, label: &str) -> [u8; 32] {
    *kdf::derive(&world.environment.given[0], &[], label, &[]).expose_secret()
}

fn stands(world: &World) -> Stands {
    let checkpoint = world.disk.checkpoint();
    let key = kdf::derive(&derived(world, "pinseal breaker key v1"), &[], "pinseal breaker seal v1", &[]);
    let (random, sealed) = checkpoint.breaker.0.split_at(16);
    let parts: [&[u8]; 3] = [random, &checkpoint.sequence.0.to_be_bytes(), &checkpoint.previous.0];
    let plain = SealingKey::new(key).open(&kdf::hash("pinseal breaker v1", &parts).0, &[], sealed).unwrap();
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    Stands { tripped: plain[0] == 1, outstanding: number(&plain[1..9]), base: number(&plain[9..17]) }
}

/// Strangers' tries outstanding as all records have them.
fn recounted(world: &World) -> u64 {
    world.disk.records.iter().map(|(wallet, (_, outer))| u64::from(in_record(world, wallet, outer))).sum()
}

fn in_record(world: &World, wallet: &UserIdHash, outer: &[u8]) -> u8 {
    let mut fields = minicbor::Decoder::new(outer);
    fields.array().unwrap();
    let (_format, epoch, version) = (fields.u8().unwrap(), fields.u32().unwrap(), fields.decode::<Version>().unwrap());
    let [random, previous, policy, ciphertext] = [(); 4].map(|()| fields.bytes().unwrap().to_vec());
    let (version, epoch) = (version.0.to_be_bytes(), epoch.to_be_bytes());
    let base = kdf::derive(&derived(world, "pinseal record key v1"), &[], "pinseal record epoch v1", &[&epoch]);
    let key = SealingKey::new(kdf::derive(base.expose_secret(), &random, "pinseal outer v1", &[]));
    let info = kdf::hash("pinseal outer key v1", &[&wallet.0, &version]).0;
    let aad = kdf::hash("pinseal outer aad v1", &[&wallet.0, &version, &epoch, &previous, &policy]).0;
    let plain = key.open(&info, &aad, &ciphertext).unwrap();
    let mut record = minicbor::Decoder::new(&plain);
    record.array().unwrap();
    for _ in ["subject", "active", "pending", "accounts", "devices"] {
        record.skip().unwrap();
    }
    let fields = record.array().unwrap().unwrap();
    record.skip().unwrap();
    let unenrolled = record.u8().unwrap();
    for _ in ["orphaned", "life", "delay", "delay", "open"] {
        record.skip().unwrap();
    }
    let forgotten = (7..fields).map(|_| record.decode::<Option<u8>>().unwrap()).nth(1).flatten();
    unenrolled - forgotten.unwrap_or(0)
}

/// Entries that say that the breaker tripped, in the whole log.
fn trips(disk: &Disk) -> usize {
    let trips = |entry: &&Vec<u8>| matches!(cbor::from_slice(entry), Ok(Entry::Tripped { .. }));
    disk.entries.iter().filter(trips).count()
}

#[test]
fn it_trips_at_exactly_its_maximum_and_then_stops_strangers_at_every_wallet_and_nobody_else() {
    let (mut world, [mut ada, _, mut eve]) = deployment(["ada", "bob", "eve"]);
    guess(&mut world, &["ada", "bob"], BREAKER_MIN - 2);
    assert_eq!(stranger(&mut world, "eve", RIGHT), Outcome::DeviceEnrolled, "not yet");
    assert_eq!(stranger(&mut world, "bob", WRONG), Outcome::WrongPin, "not yet");
    assert_eq!((trips(&world.disk), stands(&world).tripped), (0, false));
    world.trace.clear();
    assert_eq!(stranger(&mut world, "bob", WRONG), Outcome::WrongPin, "the try that trips it is tested");
    assert_eq!(world.trace.iter().map(|shape| shape.entries.len()).collect::<Vec<_>>(), [2, 1], "with its charge");
    assert_eq!(stands(&world), Stands { tripped: true, outstanding: BREAKER_MIN.into(), base: 0 });

    world.trace.clear();
    for user in ["ada", "bob", "eve", "eve"] {
        let refused = stranger(&mut world, user, RIGHT);
        assert!(matches!(refused, PAUSED | Outcome::Refused(Refusal::Locked)), "{user}: {refused:?}");
    }
    assert_eq!(stranger(&mut world, "eve", WRONG), PAUSED, "right and wrong are told the same");
    assert!(world.trace.is_empty(), "nothing is written");
    let Outcome::Status(status) = eve.status(&mut world).outcome else { panic!() };
    assert_eq!(status.unenrolled_outstanding, 0, "nothing is charged");

    assert_eq!(eve.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    assert_eq!(eve.verify(&mut world, WRONG).outcome, Outcome::WrongPin);
    clear(&mut world, &mut ada);
    let mut new = Client::new("new");
    assert!(matches!(new.register(&mut world, RIGHT), Outcome::Registered(_)), "wallets are made as ever");
    assert_eq!(stranger(&mut world, "new", RIGHT), PAUSED, "and what comes back resumes nothing");
    assert_eq!((trips(&world.disk), recounted(&world)), (1, stands(&world).outstanding));
}

#[test]
fn honest_people_bring_it_down_and_it_never_trips() {
    let (mut world, [mut ada, ..]) = deployment(["ada"]);
    for _ in 0..4 {
        guess(&mut world, &["ada"], 4);
        assert_eq!(stands(&world).outstanding, 4);
        assert_eq!(stranger(&mut world, "ada", RIGHT), Outcome::DeviceEnrolled);
        assert_eq!(stands(&world).outstanding, 4, "a right PIN gives its own try back");
        clear(&mut world, &mut ada);
        assert_eq!(stands(&world), Stands { tripped: false, outstanding: 0, base: 0 });
    }
}

/// What the host sees of the try that trips it: the sizes of both batches.
fn tripping(pin: &str) -> (Vec<crate::world::Shape>, Outcome) {
    let (mut world, _) = deployment(["ada", "bob"]);
    guess(&mut world, &["ada", "bob"], BREAKER_MIN - 1);
    world.trace.clear();
    let outcome = stranger(&mut world, "bob", pin);
    (world.trace, outcome)
}

#[test]
fn right_and_wrong_trip_it_alike() {
    let ((wrong, told_wrong), (right, told_right)) = (tripping(WRONG), tripping(RIGHT));
    assert_eq!((told_wrong, told_right), (Outcome::WrongPin, Outcome::DeviceEnrolled));
    assert_eq!(wrong, right);
    assert_eq!(wrong.iter().map(|shape| shape.entries.len()).collect::<Vec<_>>(), [2, 1]);
}

fn prepare(world: &mut World, user: &str, pin: &str) -> Prepared {
    let enrol = Client::new(user).prepare(world, Method::EnrolDevice, |begin| Request::EnrolDevice {
        pin: factor(pin, &begin.current.unwrap()),
        label: "phone".into(),
    });
    enrol.unwrap()
}

/// Hands a request in; the batch that follows, if one does.
fn hand_in(world: &mut World, prepared: &Prepared) -> Option<Batch> {
    let call = world.next_call();
    match world.step(call, prepared).pop() {
        Some(FromEnclave::Commit(batch)) => Some(batch),
        None => None,
        other => panic!("{other:?}"),
    }
}

/// Entries of the one batch that holds a verdict and the charge of somebody else, which reaches the ceiling.
fn beside_a_verdict(pin: &str) -> usize {
    let (mut world, _) = deployment(["ada", "bob", "eve"]);
    guess(&mut world, &["ada", "bob"], BREAKER_MIN - 2);
    world.now += HOUR;
    let (own, other) = (prepare(&mut world, "eve", pin), prepare(&mut world, "bob", WRONG));
    let charge = hand_in(&mut world, &own).unwrap();
    assert!(hand_in(&mut world, &other).is_none(), "waits for the batch in flight");
    world.trace.clear();
    world.settle(&charge);
    world.trace[0].entries.len()
}

/// Else a host would learn a verdict from a batch that it has not stored yet.
#[test]
fn whether_a_batch_trips_it_tells_nothing_of_the_verdicts_in_it() {
    assert_eq!(beside_a_verdict(RIGHT), 3, "a verdict, a charge, and the trip");
    assert_eq!(beside_a_verdict(WRONG), 3);
}

#[test]
fn charges_on_their_way_count_so_that_no_crowd_gets_past_it() {
    let users = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let (mut world, _) = deployment(users);
    let crowd: Vec<Prepared> = users.iter().map(|user| prepare(&mut world, user, WRONG)).collect();
    let (mut first, mut turned_away, mut calls) = (None, 0, Vec::new());
    for prepared in &crowd {
        let call = world.next_call();
        match world.step(call, prepared).pop() {
            Some(FromEnclave::Commit(batch)) => first = Some(batch),
            Some(FromEnclave::Replied { reply, .. }) => {
                let outcome = prepared.opener.open(&reply).unwrap().outcome;
                assert_eq!(outcome, Outcome::Refused(Refusal::Overloaded), "it is not decided yet");
                turned_away += 1;
                continue;
            }
            None => {}
            other => panic!("{other:?}"),
        }
        calls.push((call, prepared));
    }
    assert_eq!((calls.len(), turned_away), (10, 2));
    world.settle(&first.unwrap());
    for (call, prepared) in calls {
        let Some(crate::world::Answer::Replied(reply)) = world.take(call) else { panic!() };
        assert_eq!(prepared.opener.open(&reply).unwrap().outcome, Outcome::WrongPin);
    }
    assert_eq!(stands(&world), Stands { tripped: true, outstanding: BREAKER_MIN.into(), base: 0 });
    assert_eq!(trips(&world.disk), 1);
    assert_eq!(stranger(&mut world, "l", WRONG), PAUSED);
}

#[test]
fn what_is_not_stored_does_not_move_it_and_what_is_stored_no_crash_takes_back() {
    for (charge, settle, is_charged) in [
        (Fate::Abort, Fate::Commit, false),
        (Fate::LoseUnstored, Fate::Commit, false),
        (Fate::LoseStored, Fate::Commit, true),
        (Fate::LoseAnchored, Fate::Commit, true),
        (Fate::Commit, Fate::Abort, true),
        (Fate::Commit, Fate::LoseUnstored, true),
        (Fate::Commit, Fate::LoseStored, true),
        (Fate::Commit, Fate::LoseAnchored, true),
    ] {
        let fates = format!("{charge:?}, {settle:?}");
        let (mut world, _) = deployment(["ada", "bob", "eve"]);
        guess(&mut world, &["ada", "bob"], BREAKER_MIN - 1);
        world.now += HOUR;
        let last = prepare(&mut world, "bob", WRONG);
        world.fates = vec![charge, settle];
        world.submit(&last.wallet, &last.request);
        world.fates.clear();
        if world.crashed {
            world.boot();
            assert_eq!(halt(&world), None, "{fates}");
        }
        let wanted = u64::from(BREAKER_MIN) - u64::from(!is_charged);
        // The next batch shows what the enclave has in mind.
        Client::new("new").register(&mut world, RIGHT);
        assert_eq!(stands(&world), Stands { tripped: is_charged, outstanding: wanted, base: 0 }, "{fates}");
        assert_eq!((recounted(&world), trips(&world.disk)), (wanted, usize::from(is_charged)), "{fates}");
        let wanted = if is_charged { PAUSED } else { Outcome::WrongPin };
        assert_eq!(stranger(&mut world, "eve", WRONG), wanted, "{fates}");
        assert!(stands(&world).tripped);
    }
}

#[test]
fn restarts_forks_and_older_databases_do_not_lower_it() {
    let (mut world, _) = deployment(["ada", "bob", "eve"]);
    let older = world.disk.clone();
    guess(&mut world, &["ada", "bob"], BREAKER_MIN);
    for _ in 0..3 {
        world.boot();
        assert_eq!(stranger(&mut world, "eve", RIGHT), PAUSED);
    }
    let newest = world.disk.clone();
    world.disk = Disk { anchored: newest.anchored.clone(), ..older.clone() };
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateOlder));
    // A fork that is as long: other boots, and no guesses.
    world.disk = older;
    while world.disk.checkpoint().sequence < newest.checkpoint().sequence {
        world.boot();
    }
    world.disk.anchored = newest.anchored.clone();
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked));
    world.disk = newest;
    world.boot();
    assert_eq!(stands(&world), Stands { tripped: true, outstanding: BREAKER_MIN.into(), base: 0 });
}

#[test]
fn a_host_that_tells_of_another_breaker_does_not_boot() {
    let (mut world, _) = deployment(["ada", "bob"]);
    let innocent = world.disk.note.clone();
    guess(&mut world, &["ada", "bob"], BREAKER_MIN);
    let line = |note: &[u8]| {
        let text = String::from_utf8(note.to_vec()).unwrap();
        text.lines().find(|line| line.starts_with("breaker ")).unwrap().to_owned()
    };
    let note = String::from_utf8(world.disk.note.clone()).unwrap();
    let told = note.replace(&line(note.as_bytes()), &line(&innocent));
    assert_ne!(told, note);
    (world.disk.note, world.disk.anchored) = (told.clone().into_bytes(), told.into_bytes());
    world.boot();
    assert_eq!(halt(&world), Some(Halt::CheckpointInvalid));
    (world.disk.note, world.disk.anchored) = (note.clone().into_bytes(), note.into_bytes());
    world.boot();
    assert_eq!(halt(&world), None);
}

/// The operators' order to go on.
fn resuming(world: &World, next: &Configuration) -> Order {
    Order { resumes: true, ..order(world, next) }
}

fn ordered(next: &Configuration, order: &Order, receipt: &[u8]) -> Change {
    change(next, signed(order, PASSPHRASE), ChangeStage::Ordered { receipt: receipt.to_vec().into() })
}

fn resume(world: &mut World) {
    let configuration = world.configuration.clone();
    let change = ordered(&configuration, &resuming(world, &configuration), &[]);
    carry_out(world, change);
    assert_eq!(halt(world), None);
    take_over(world, &configuration);
    world.boot();
    assert_eq!(halt(world), None);
}

fn tripped() -> (World, [Client; 4]) {
    let (mut world, people) = deployment(["ada", "bob", "eve", "may"]);
    guess(&mut world, &["ada", "bob"], BREAKER_MIN);
    (world, people)
}

#[test]
fn the_operators_resume_and_as_many_more_are_borne_as_before() {
    let (mut world, [mut ada, mut bob, ..]) = tripped();
    resume(&mut world);
    let resumed = world.disk.entries.iter().rev().find_map(|entry| match cbor::from_slice(entry).unwrap() {
        Entry::Configured { resumed, configuration, previous, .. } => Some((resumed, configuration == previous)),
        _ => None,
    });
    assert_eq!(resumed, Some((true, true)), "the log tells everybody");
    let known = BREAKER_MIN.into();
    assert_eq!(stands(&world), Stands { tripped: false, outstanding: known, base: known });
    assert_eq!(stranger(&mut world, "eve", RIGHT), Outcome::DeviceEnrolled);
    guess(&mut world, &["eve", "may"], BREAKER_MIN - 1);
    // Those that are given back are not there to be used a second time.
    clear(&mut world, &mut ada);
    clear(&mut world, &mut bob);
    let outstanding = u64::from(BREAKER_MIN) - 1;
    assert_eq!(stands(&world), Stands { tripped: false, outstanding, base: outstanding });
    guess(&mut world, &["ada", "bob"], BREAKER_MIN);
    assert_eq!(stranger(&mut world, "may", WRONG), PAUSED);
    assert_eq!((trips(&world.disk), recounted(&world)), (2, stands(&world).outstanding));
}

#[test]
fn nothing_but_the_operators_order_resumes() {
    let (mut world, _) = tripped();
    let configuration = world.configuration.clone();
    let (note, honest) = (world.disk.note.clone(), resuming(&world, &configuration));
    let stage = || ChangeStage::Ordered { receipt: note.clone().into() };
    let forged = change(&configuration, signed(&honest, b"not the passphrase"), stage());
    let unordered = ordered(&configuration, &Order { resumes: false, ..honest.clone() }, &note);
    let with_restore = ordered(&configuration, &Order { restores: Some(1), ..honest.clone() }, &note);
    let stale = ordered(&configuration, &Order { checkpoint: Hash32([1; 32]), ..honest.clone() }, &note);
    for (what, change) in
        [("forged", forged), ("of nothing", unordered), ("with a restore", with_restore), ("stale", stale)]
    {
        carry_out(&mut world, change);
        assert_eq!((halt(&world), world.changed.is_some()), (Some(Halt::OrderRefused), false), "{what}");
    }
    // Another maximum is a change as every other.
    let raised = Configuration { breaker: 10 * BREAKER_MIN, ..configuration.clone() };
    let change = ordered(&raised, &order(&world, &raised), &note);
    carry_out(&mut world, change);
    assert_eq!(halt(&world), None);
    take_over(&mut world, &raised);
    world.boot();
    assert_eq!(stranger(&mut world, "eve", RIGHT), PAUSED);
    assert_eq!(stands(&world), Stands { tripped: true, outstanding: BREAKER_MIN.into(), base: 0 });
    // What was ordered once is not ordered again: root and state are others.
    resume(&mut world);
    guess(&mut world, &["eve", "may"], BREAKER_MIN);
    let replayed = ordered(&raised, &Order { configuration: raised.hash(), previous: raised.hash(), ..honest }, &note);
    carry_out(&mut world, replayed);
    assert_eq!(halt(&world), Some(Halt::OrderRefused));
}

#[test]
fn a_crash_while_resuming_leaves_the_old_state_or_one_that_is_finished() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let (mut world, _) = tripped();
        let configuration = world.configuration.clone();
        let change = ordered(&configuration, &resuming(&world, &configuration), &[]);
        world.fates_at_boot = vec![fate];
        carry_out(&mut world, change.clone());
        assert!(world.crashed && world.changed.is_none(), "{fate:?}");
        let is_logged = fate != Fate::LoseUnstored;
        assert_eq!(term(&world.disk).is_some(), is_logged, "{fate:?}");
        let stage = term(&world.disk).map_or(change.stage.clone(), |term| ChangeStage::Logged { term });
        carry_out(&mut world, Change { stage, ..change });
        assert_eq!(halt(&world), None, "{fate:?}");
        take_over(&mut world, &configuration);
        world.boot();
        let known = BREAKER_MIN.into();
        assert_eq!(stands(&world), Stands { tripped: false, outstanding: known, base: known }, "{fate:?}");
        assert_eq!(stranger(&mut world, "eve", RIGHT), Outcome::DeviceEnrolled, "{fate:?}");
    }
}

#[test]
fn a_maximum_below_what_is_outstanding_trips_it_at_the_next_start() {
    let mut world = World::with_configuration(1, fixed_key(), |one| one.breaker = 2 * BREAKER_MIN);
    for user in ["ada", "bob", "eve"] {
        Client::new(user).register(&mut world, RIGHT);
    }
    guess(&mut world, &["ada", "bob"], BREAKER_MIN);
    let lower = Configuration { breaker: BREAKER_MIN, ..world.configuration.clone() };
    let change = ordered(&lower, &order(&world, &lower), &world.disk.note.clone());
    carry_out(&mut world, change);
    assert!(term(&world.disk).is_some(), "the change is the last entry of its batch");
    take_over(&mut world, &lower);
    assert_eq!(trips(&world.disk), 0);
    world.boot();
    assert_eq!(trips(&world.disk), 1);
    assert_eq!(stranger(&mut world, "eve", WRONG), PAUSED);
}

/// A restored state comes with the count of its own records. What it forgets is nobody's to guess again: strangers have no try left at any
/// wallet of it before its owner gives them back, and those count from there.
#[test]
fn a_restore_brings_its_own_count_and_used_up_tries_are_not_guesses() {
    let (mut world, [mut ada, ..]) = deployment(["ada", "bob", "eve"]);
    guess(&mut world, &["ada"], 2);
    let backup = world.disk.clone();
    guess(&mut world, &["bob", "eve"], BREAKER_MIN - 2);
    assert!(stands(&world).tripped);
    world.disk = Disk { anchored: backup.note.clone(), ..backup };
    let configuration = world.configuration.clone();
    let change = ordered(&configuration, &Order { restores: Some(1), ..order(&world, &configuration) }, &[]);
    carry_out(&mut world, change);
    take_over(&mut world, &configuration);
    world.boot();
    assert_eq!(halt(&world), None);
    assert_eq!((stands(&world).outstanding, recounted(&world)), (2, 2));
    assert_eq!(stranger(&mut world, "bob", RIGHT), Outcome::Refused(Refusal::RestoreNotAccepted));

    ada.run_accepting(&mut world, 1);
    assert_eq!(ada.verify(&mut world, RIGHT).outcome, Outcome::PinVerified);
    let Outcome::Status(status) = ada.status(&mut world).outcome else { panic!() };
    assert_eq!((status.unenrolled_outstanding, stands(&world).outstanding), (ONE_WALLET, 2));
    clear(&mut world, &mut ada);
    assert_eq!((stands(&world).outstanding, recounted(&world)), (0, 0));
    assert_eq!(stranger(&mut world, "ada", WRONG), Outcome::WrongPin);
    assert_eq!((stands(&world).outstanding, recounted(&world)), (1, 1));
}

impl Client {
    /// Accepts a restore; what was seen before is set aside.
    fn run_accepting(&mut self, world: &mut World, restores: u32) {
        let prepared = self.prepare(world, Method::AcceptRestore, |_| Request::AcceptRestore { restores }).unwrap();
        assert_eq!(world.ask(&prepared), Outcome::RestoreAccepted);
        self.receipt = None;
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Stranger { wallet: usize, pin: &'static str },
    Owner { wallet: usize, pin: &'static str },
    Clear { wallet: usize },
    Revoke { wallet: usize },
    Crash { wallet: usize, charge: Fate, settle: Fate },
    Boot,
    Resume,
}

fn moves() -> impl Strategy<Value = Move> {
    let (wallet, pin) = (|| 0..4_usize, || prop_oneof![Just(RIGHT), Just(WRONG)]);
    let fate = || prop_oneof![Just(Fate::Commit), Just(Fate::Abort), Just(Fate::LoseUnstored), Just(Fate::LoseStored)];
    prop_oneof![
        6 => wallet().prop_map(|wallet| Move::Stranger { wallet, pin: WRONG }),
        1 => wallet().prop_map(|wallet| Move::Stranger { wallet, pin: RIGHT }),
        1 => (wallet(), pin()).prop_map(|(wallet, pin)| Move::Owner { wallet, pin }),
        1 => wallet().prop_map(|wallet| Move::Clear { wallet }),
        1 => wallet().prop_map(|wallet| Move::Revoke { wallet }),
        2 => (wallet(), fate(), fate()).prop_map(|(wallet, charge, settle)| Move::Crash { wallet, charge, settle }),
        1 => Just(Move::Boot),
        1 => Just(Move::Resume),
    ]
}

const USERS: [&str; 4] = ["ada", "bob", "eve", "may"];

fn play(world: &mut World, owners: &mut [Client; 4], one: Move) {
    let was_tripped = stands(world).tripped;
    world.now += HOUR;
    match one {
        Move::Stranger { wallet, pin } => {
            let outcome = stranger(world, USERS[wallet], pin);
            let is_tested = matches!(outcome, Outcome::WrongPin | Outcome::DeviceEnrolled);
            assert!(!(was_tripped && is_tested), "{outcome:?}");
        }
        Move::Owner { wallet, pin } => drop(owners[wallet].verify(world, pin)),
        Move::Clear { wallet } => drop(owners[wallet].run(world, Method::ClearTries, |begin| Request::ClearTries {
            pin: factor(RIGHT, &begin.current.unwrap()),
        })),
        Move::Revoke { wallet } => {
            let Outcome::Status(status) = owners[wallet].status(world).outcome else { return };
            let own = owners[wallet].device();
            let Some(other) = status.devices.iter().find(|one| one.device != own) else { return };
            let device = other.device;
            owners[wallet].run(world, Method::RevokeDevice, |begin| Request::RevokeDevice {
                pin: factor(RIGHT, &begin.current.unwrap()),
                device,
            });
        }
        Move::Crash { wallet, charge, settle } => {
            let prepared = prepare(world, USERS[wallet], WRONG);
            world.fates = vec![charge, settle];
            world.submit(&prepared.wallet, &prepared.request);
            world.fates.clear();
            if world.crashed {
                world.boot();
            }
        }
        Move::Boot => world.boot(),
        Move::Resume => resume(world),
    }
    assert_eq!(halt(world), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_counts_what_the_records_count(all in prop::collection::vec(moves(), 1..50)) {
        let (mut world, mut owners) = deployment(USERS);
        for one in all {
            play(&mut world, &mut owners, one);
            let Stands { tripped, outstanding, base } = stands(&world);
            prop_assert_eq!(outstanding, recounted(&world), "{:?}", one);
            prop_assert!(base <= outstanding && outstanding <= base + u64::from(BREAKER_MIN), "{:?}", one);
            prop_assert!(tripped || outstanding < base + u64::from(BREAKER_MIN), "{:?}", one);
        }
    }
}

/// With what makes it hold taken out, each promise is seen to break.
#[cfg(feature = "planted")]
#[test]
fn every_part_of_it_is_needed() {
    use pinseal_enclave::planted::{Defect, plant};

    let tests: [(Defect, fn()); 8] = [
        (Defect::BreakerOff, it_trips_at_exactly_its_maximum_and_then_stops_strangers_at_every_wallet_and_nobody_else),
        (
            Defect::BreakerStopsEnrolled,
            it_trips_at_exactly_its_maximum_and_then_stops_strangers_at_every_wallet_and_nobody_else,
        ),
        (Defect::BreakerOvershoots, charges_on_their_way_count_so_that_no_crowd_gets_past_it),
        (Defect::BreakerTellsVerdict, whether_a_batch_trips_it_tells_nothing_of_the_verdicts_in_it),
        (Defect::BreakerMovesEarly, what_is_not_stored_does_not_move_it_and_what_is_stored_no_crash_takes_back),
        (Defect::BreakerForgottenAtBoot, restarts_forks_and_older_databases_do_not_lower_it),
        (Defect::BreakerCountsForgotten, a_restore_brings_its_own_count_and_used_up_tries_are_not_guesses),
        (Defect::BreakerResumesUnordered, nothing_but_the_operators_order_resumes),
    ];
    for (defect, test) in tests {
        plant(Some(defect));
        let held = std::panic::catch_unwind(test).is_ok();
        plant(None);
        assert!(!held, "{defect:?} was not seen");
    }
}
