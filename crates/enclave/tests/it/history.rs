//! What an enrolled device reads of the writes to its wallet, and who reads nothing.

use pinseal_protocol::cbor;
use pinseal_protocol::history::{Detail, History, LoggedWrite, OpenedWrite, Step};
use pinseal_protocol::ids::{DeviceId, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::limits::HISTORY_WRITES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply};
use pinseal_protocol::request::{Method, Request};

use crate::world::{Client, Fate, World, factor};

fn ask(world: &mut World, client: &mut Client, writes: Vec<LoggedWrite>) -> Reply {
    client.run(world, Method::OpenHistory, |_| Request::OpenHistory { writes })
}

fn opened(world: &mut World, client: &mut Client, writes: Vec<LoggedWrite>) -> History {
    match ask(world, client, writes).outcome {
        Outcome::History(history) => history,
        other => panic!("{other:?}"),
    }
}

/// The log's entries of one wallet, and where it is.
fn own(world: &mut World, client: &Client) -> (UserIdHash, Vec<LoggedWrite>) {
    let wallet = world.begin(client, Method::Status).unwrap().wallet;
    (wallet, world.disk.writes().into_iter().filter(|(owner, _)| *owner == wallet).map(|(_, write)| write).collect())
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
    assert!(matches!(opened(&mut world, &mut phone, writes.clone()).writes[0], OpenedWrite::Opened(_)));
    let device = phone.device();
    laptop.run(&mut world, Method::RevokeDevice, |begin| Request::RevokeDevice {
        pin: factor("135790", &begin.current.unwrap()),
        device,
    });
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
    let good = opened(&mut world, &mut ada, writes.clone()).writes;
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
        let history = opened(&mut world, &mut ada, asked);
        assert_eq!(history.writes, [good[0], OpenedWrite::NotOpened, good[2]], "{other:?}");
    }
    assert_eq!(opened(&mut world, &mut bob, writes).writes, [OpenedWrite::NotOpened; 3]);
    assert_eq!(world.disk.records[&wallet].0.version, Version(3), "nothing was written");
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
    assert_eq!((reply.tries.unwrap().left, world.trace.len()), (2, 0));
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
