//! What an enrolled device reads of the writes to its wallet, and who reads nothing.

use pinseal_protocol::cbor;
use pinseal_protocol::history::{Detail, History, LoggedWrite, OpenedWrite, Step};
use pinseal_protocol::ids::{DeviceId, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::limits::HISTORY_WRITES_MAX;
use pinseal_protocol::log::Entry;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply};
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::wire::FromEnclave;

use crate::world::{Client, Fate, Shape, World, factor};

/// Asks as a client does, by the receipt that the entries were proved against: the newest one.
fn ask(world: &mut World, client: &mut Client, writes: Vec<LoggedWrite>) -> Reply {
    let note = world.disk.note.clone();
    ask_by(world, client, &note, writes)
}

fn ask_by(world: &mut World, client: &mut Client, note: &[u8], writes: Vec<LoggedWrite>) -> Reply {
    client.receipt = Some(note.to_vec());
    client.run(world, Method::OpenHistory, |_| Request::OpenHistory { writes })
}

fn opened(world: &mut World, client: &mut Client, writes: Vec<LoggedWrite>) -> History {
    let note = world.disk.note.clone();
    opened_by(world, client, &note, writes)
}

fn opened_by(world: &mut World, client: &mut Client, note: &[u8], writes: Vec<LoggedWrite>) -> History {
    match ask_by(world, client, note, writes).outcome {
        Outcome::History(history) => history,
        other => panic!("{other:?}"),
    }
}

/// One entry, as a batch brings it, not proved by anything.
fn read(entry: &[u8]) -> LoggedWrite {
    match cbor::from_slice(entry).unwrap() {
        Entry::Record { version, outer, detail, .. } => {
            LoggedWrite { version, outer, detail, index: 0, path: Vec::new() }
        }
        other => panic!("{other:?}"),
    }
}

fn own_of(world: &World, wallet: &UserIdHash) -> Vec<LoggedWrite> {
    world.disk.writes().into_iter().filter(|(owner, _)| owner == wallet).map(|(_, write)| write).collect()
}

/// The log's entries of one wallet, and where it is.
fn own(world: &mut World, client: &Client) -> (UserIdHash, Vec<LoggedWrite>) {
    let wallet = world.begin(client, Method::Status).unwrap().wallet;
    (wallet, own_of(world, &wallet))
}

#[test]
fn every_attempt_is_told_with_its_device_its_time_and_what_came_of_it() {
    let mut world = World::new();
    let (mut laptop, mut phone) = (Client::new("ada"), Client::new("ada"));
    laptop.register(&mut world, "135790");
    phone.enrol(&mut world, "135790");
    world.now += 60;
    phone.verify(&mut world, "000000");
    world.now += 60;
    laptop.verify(&mut world, "135790");
    // Anchored, and never settled: the machine went away.
    world.fates = vec![Fate::Commit, Fate::LoseUnstored];
    phone.submit_wrong_pin(&mut world);
    world.boot();

    let (_, writes) = own(&mut world, &laptop);
    let history = opened(&mut world, &mut phone, writes.clone());
    let (started, laptop, phone) = (world.now - 120, laptop.device(), phone.device());
    let said = |step, method, time, device: &DeviceId| {
        OpenedWrite::Opened(Detail { step, method, time: UnixSeconds(time), device: *device })
    };
    let expected = [
        said(Step::Prepared, Method::RegisterPrepare, started, &laptop),
        said(Step::Charged, Method::RegisterConfirm, started, &laptop),
        said(Step::Right, Method::RegisterConfirm, started, &laptop),
        said(Step::Charged, Method::EnrolDevice, started, &phone),
        said(Step::Right, Method::EnrolDevice, started, &phone),
        said(Step::Charged, Method::VerifyPin, started + 60, &phone),
        said(Step::Wrong, Method::VerifyPin, started + 60, &phone),
        said(Step::Charged, Method::VerifyPin, started + 120, &laptop),
        said(Step::Right, Method::VerifyPin, started + 120, &laptop),
        said(Step::Charged, Method::VerifyPin, started + 120, &phone),
    ];
    assert_eq!(history.writes, expected);
    assert_eq!(history.current, Version(10));
    let versions: Vec<u64> = writes.iter().map(|write| write.version.0).collect();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>(), "versions follow one another without a gap");
}

#[test]
fn only_enrolled_devices_read_and_a_revoked_one_reads_nothing_any_more() {
    let mut world = World::new();
    let (mut laptop, mut phone, mut stranger) = (Client::new("ada"), Client::new("ada"), Client::new("ada"));
    laptop.register(&mut world, "135790");
    let (_, writes) = own(&mut world, &laptop);
    let refused = Outcome::Refused(Refusal::DeviceNotEnrolled);
    assert_eq!(ask(&mut world, &mut stranger, writes.clone()).outcome, refused);
    assert_eq!(ask(&mut world, &mut phone, writes.clone()).outcome, refused);
    phone.enrol(&mut world, "135790");
    let (_, writes) = own(&mut world, &laptop);
    assert!(matches!(opened(&mut world, &mut phone, writes.clone()).writes[0], OpenedWrite::Opened(_)));
    let device = phone.device();
    laptop.run(&mut world, Method::RevokeDevice, |begin| Request::RevokeDevice {
        pin: factor("135790", &begin.current.unwrap()),
        device,
    });
    let (_, writes) = own(&mut world, &laptop);
    assert_eq!(ask(&mut world, &mut phone, writes.clone()).outcome, refused);
    assert_eq!(ask(&mut world, &mut phone, Vec::new()).outcome, refused, "not even how far the wallet is");
    assert!(matches!(opened(&mut world, &mut laptop, writes).writes[0], OpenedWrite::Opened(_)));
}

#[test]
fn what_is_not_the_callers_or_not_what_was_written_is_not_opened_and_the_rest_is() {
    let mut world = World::new();
    let (mut ada, mut bob) = (Client::new("ada"), Client::new("bob"));
    ada.register(&mut world, "135790");
    bob.register(&mut world, "246802");
    let (wallet, writes) = own(&mut world, &ada);
    let (_, foreign) = own(&mut world, &bob);
    // Each question makes the log longer.
    let note = world.disk.note.clone();
    let good = opened_by(&mut world, &mut ada, &note, writes.clone()).writes;
    assert!(good.iter().all(|write| matches!(write, OpenedWrite::Opened(_))));

    let mut others = vec![
        foreign[1].clone(),
        LoggedWrite { detail: foreign[1].detail, ..writes[1].clone() },
        LoggedWrite { detail: writes[2].detail, ..writes[1].clone() },
        LoggedWrite { version: Version(3), ..writes[1].clone() },
        LoggedWrite { version: Version(u64::MAX), ..writes[1].clone() },
        LoggedWrite { outer: writes[2].outer, ..writes[1].clone() },
    ];
    for at in [0, 31, 32, 60, 95] {
        let mut changed = writes[1].clone();
        changed.detail.0[at] ^= 1;
        others.push(changed);
    }
    for other in others {
        let asked = vec![writes[0].clone(), other.clone(), writes[2].clone()];
        let history = opened_by(&mut world, &mut ada, &note, asked);
        assert_eq!(history.writes, [good[0], OpenedWrite::NotOpened, good[2]], "{other:?}");
    }
    assert_eq!(opened_by(&mut world, &mut bob, &note, writes).writes, [OpenedWrite::NotOpened; 3]);
    assert_eq!(world.disk.records[&wallet].0.version, Version(3), "nothing was written");
}

/// The verdict of a guess leaves the enclave twice: sealed in the entry that is to be stored, and in the reply once that is anchored. A host that never
/// stores it, with somebody's enrolled device, must not read it out of the first.
#[test]
fn a_verdict_that_was_never_anchored_is_not_told() {
    for (pin, fate) in [
        ("000000", Fate::Abort),
        ("135790", Fate::Abort),
        ("000000", Fate::LoseUnstored),
        ("135790", Fate::LoseUnstored),
    ] {
        let mut world = World::new();
        let (mut laptop, mut phone) = (Client::new("ada"), Client::new("ada"));
        laptop.register(&mut world, "135790");
        phone.enrol(&mut world, "135790");
        world.fates = vec![Fate::Commit, fate];
        world.seen.clear();
        let guess = |begin: &BeginReply| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) };
        let prepared = phone.prepare(&mut world, Method::VerifyPin, guess).unwrap();
        world.submit(&prepared.wallet, &prepared.request);
        if world.crashed {
            world.boot();
        }
        let [charge, verdict, ..] = world.seen.as_slice() else { panic!("{}", world.seen.len()) };
        let lost = read(&verdict.entries[0]);
        assert_eq!(lost.version.0, read(&charge.entries[0]).version.0 + 1);

        let never = |world: &mut World, phone: &mut Client, when: &str| {
            let charge = own(world, phone).1.pop().unwrap();
            let places = [
                LoggedWrite { index: world.disk.checkpoint().size, ..lost.clone() },
                LoggedWrite { index: charge.index, path: charge.path, ..lost.clone() },
            ];
            for place in places {
                let told = opened(world, phone, vec![place]).writes;
                assert_eq!(told, [OpenedWrite::NotOpened], "{pin} {fate:?}, {when}");
            }
        };
        never(&mut world, &mut phone, "at once");
        laptop.verify(&mut world, "135790");
        never(&mut world, &mut phone, "when another write has its version");
        laptop.verify(&mut world, "135790");
        never(&mut world, &mut phone, "later");
        // What the log has opens all the same.
        let (_, writes) = own(&mut world, &phone);
        assert!(opened(&mut world, &mut phone, writes).writes.iter().all(|one| matches!(one, OpenedWrite::Opened(_))));
    }
}

/// While the settling write is on its way its entry says nothing either, to whatever receipt.
#[test]
fn a_verdict_that_is_being_anchored_is_not_told_before_it_is() {
    let mut world = World::new();
    let (mut laptop, mut phone) = (Client::new("ada"), Client::new("ada"));
    laptop.register(&mut world, "135790");
    phone.enrol(&mut world, "135790");
    let guess = |begin: &BeginReply| Request::VerifyPin { pin: factor("000000", &begin.current.unwrap()) };
    let prepared = phone.prepare(&mut world, Method::VerifyPin, guess).unwrap();
    let call = world.next_call();
    let [FromEnclave::Commit(charge)] = &world.step(call, &prepared)[..] else { panic!() };
    let told = world.carry_out(charge, Fate::Commit).unwrap();
    let [FromEnclave::Commit(settling)] = &world.tell(told)[..] else { panic!() };
    let lost = read(&settling.entries[0]);

    // As if the batch were stored: a proof that leads to the root which the checkpoint in flight names.
    let before = world.disk.clone();
    world.disk.store(settling);
    let proved = own_of(&world, &prepared.wallet).pop().unwrap();
    assert_eq!((&proved.outer, &proved.detail), (&lost.outer, &lost.detail));
    world.disk = before;
    for receipt in [world.disk.note.clone(), settling.checkpoint.to_vec()] {
        laptop.receipt = Some(receipt);
        let writes = vec![proved.clone()];
        let asked = laptop.prepare(&mut world, Method::OpenHistory, |_| Request::OpenHistory { writes }).unwrap();
        match world.ask(&asked) {
            Outcome::Refused(Refusal::Busy | Refusal::ConsistencyMissing) => {}
            other => panic!("{other:?}"),
        }
    }
    world.settle(&settling.clone());
    assert!(matches!(opened(&mut world, &mut phone, vec![proved]).writes[..], [OpenedWrite::Opened(_)]));
}

/// Entries are proved in the log of the receipt that came with them, and in no other.
#[test]
fn an_entry_opens_by_the_receipt_it_was_proved_against() {
    let mut world = World::new();
    let mut laptop = Client::new("ada");
    laptop.register(&mut world, "135790");
    let (old, (_, writes)) = (world.disk.note.clone(), own(&mut world, &laptop));
    for _ in 0..3 {
        laptop.verify(&mut world, "135790");
    }
    let newest = world.disk.note.clone();
    let mut by = |receipt: Option<Vec<u8>>| {
        laptop.receipt = receipt;
        let writes = writes.clone();
        let reply = laptop.run(&mut world, Method::OpenHistory, |_| Request::OpenHistory { writes });
        let Outcome::History(history) = reply.outcome else { panic!("{:?}", reply.outcome) };
        history.writes.iter().filter(|one| matches!(one, OpenedWrite::Opened(_))).count()
    };
    assert_eq!(by(Some(old)), 3, "the log goes on while a long history is read");
    assert_eq!(by(Some(newest)), 0, "proofs in another log");
    assert_eq!(by(None), 0, "no log at all");
}

#[test]
fn nothing_is_written_or_charged_and_no_delay_stands_in_the_way() {
    let mut world = World::new();
    let (mut laptop, mut phone) = (Client::new("ada"), Client::new("ada"));
    laptop.register(&mut world, "135790");
    phone.enrol(&mut world, "135790");
    for _ in 0..3 {
        phone.verify(&mut world, "000000");
    }
    let (_, writes) = own(&mut world, &laptop);
    world.trace.clear();
    let reply = ask(&mut world, &mut phone, writes.clone());
    assert!(matches!(reply.outcome, Outcome::History(_)));
    assert_eq!(reply.tries.unwrap().left, 2);
    assert!(world.trace.iter().all(Shape::is_read), "{:?}", world.trace);
    assert_eq!(opened(&mut world, &mut phone, Vec::new()), History { current: Version(11), writes: Vec::new() });
    // As many as are taken, and one more.
    let many = |count: usize| writes.iter().cycle().take(count).cloned().collect();
    assert_eq!(opened(&mut world, &mut phone, many(HISTORY_WRITES_MAX)).writes.len(), HISTORY_WRITES_MAX);
    let beyond = ask(&mut world, &mut phone, many(HISTORY_WRITES_MAX + 1));
    assert_eq!(beyond.outcome, Outcome::Refused(Refusal::Malformed));
}

/// The newest version is that of the very checkpoint the reply carries: what the host shows later is measured by it.
#[test]
fn the_newest_version_belongs_to_the_checkpoint_in_the_same_reply() {
    let mut world = World::new();
    let mut laptop = Client::new("ada");
    laptop.register(&mut world, "135790");
    for expected in [3, 5, 7] {
        let reply = ask(&mut world, &mut laptop, Vec::new());
        let Outcome::History(history) = &reply.outcome else { panic!() };
        assert_eq!(history.current, Version(expected));
        assert_eq!(reply.receipt.to_vec(), world.disk.note);
        let (_, writes) = own(&mut world, &laptop);
        assert_eq!(writes.last().unwrap().version, history.current);
        laptop.verify(&mut world, "135790");
    }
}

/// The reply says what happened, and holds nothing that opens or tells anything else.
#[test]
fn a_reply_holds_no_secret() {
    let mut world = World::new();
    let mut laptop = Client::new("ada");
    laptop.register(&mut world, "135790");
    let (_, writes) = own(&mut world, &laptop);
    let reply = cbor::to_vec(&ask(&mut world, &mut laptop, writes));
    // Everything the enclave ever drew: root, keys, salts, entropy.
    for given in world.environment.given.iter().filter(|given| given.len() >= 16) {
        assert!(!reply.windows(given.len()).any(|window| window == given.as_slice()));
    }
}
