//! A challenge in the sealed reply: what a second signature is sealed under without `begin`, and what a host cannot make of it.

use pinseal_protocol::challenge;
use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Reply};
use pinseal_protocol::request::{BeginReply, Method, Request};

use crate::world::{Answer, Client, Fate, Prepared, World, factor};

const PIN: &str = "135790";

fn intents() -> Vec<Intent> {
    vec![Intent::EvmPersonalMessage { account: AccountIndex::default(), message: vec![b'x'; 30].into() }]
}

/// Seals a signature under `begin`.
fn seal(world: &World, client: &mut Client, begin: &BeginReply, pin: &str) -> Prepared {
    let request = Request::Sign { pin: factor(pin, &begin.current.unwrap()), intents: intents() };
    let token = world.token(&client.user, &client.device(), 600);
    client.seal(world, begin, token, request)
}

fn submit(world: &mut World, client: &mut Client, prepared: &Prepared) -> Reply {
    let call = world.submit(&prepared.wallet, &prepared.request);
    match world.take(call) {
        Some(Answer::Replied(reply)) => client.open(world, &prepared.opener, &reply),
        other => panic!("{other:?}"),
    }
}

/// A whole signature under a fresh `begin`.
fn sign(world: &mut World, client: &mut Client, pin: &str) -> (Reply, BeginReply) {
    let begin = world.begin(client, Method::Sign).unwrap();
    let prepared = seal(world, client, &begin, pin);
    (submit(world, client, &prepared), begin)
}

/// The begin reply that a reply's next challenge stands for.
fn next(world: &World, client: &Client, before: &BeginReply, reply: &Reply) -> BeginReply {
    let next = reply.next.clone().expect("a next challenge");
    next.into_begin(world.manifest().hash(), before.wallet, client.device(), Method::Sign, reply.time).unwrap()
}

fn world() -> (World, Client) {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, PIN);
    (world, client)
}

#[test]
fn every_answer_after_a_charge_carries_the_next_challenge_and_no_refusal_does() {
    let (mut world, mut client) = world();
    let (right, begin) = sign(&mut world, &mut client, PIN);
    assert!(matches!(right.outcome, Outcome::Signed(_)));
    let fresh = world.begin(&client, Method::Sign).unwrap();
    let expected = BeginReply { challenge: fresh.challenge.clone(), next: fresh.next, ..fresh };
    let carried = next(&world, &client, &begin, &right);
    assert_eq!(
        BeginReply { challenge: expected.challenge.clone(), next: expected.next, ..carried.clone() },
        expected,
        "it says what a begin at that moment would say"
    );
    assert_eq!(challenge::version(&carried.challenge), challenge::version(&expected.challenge), "for the version left");
    let (wrong, _) = sign(&mut world, &mut client, "000000");
    assert_eq!(wrong.outcome, Outcome::WrongPin);
    assert!(wrong.next.is_some());
    world.fates = vec![Fate::Commit, Fate::Abort];
    let (fault, begin) = sign(&mut world, &mut client, PIN);
    assert_eq!(fault.outcome, Outcome::ServiceFault);
    let carried = next(&world, &client, &begin, &fault);
    let prepared = seal(&world, &mut client, &carried, PIN);
    assert!(matches!(submit(&mut world, &mut client, &prepared).outcome, Outcome::Signed(_)), "also after a fault");

    let again = submit(&mut world, &mut client, &prepared);
    assert_eq!((again.outcome, again.next), (Outcome::Refused(Refusal::AlreadyAnswered), None));
    world.fates = vec![Fate::Abort];
    let (refused, _) = sign(&mut world, &mut client, PIN);
    assert_eq!((refused.outcome, refused.next), (Outcome::Refused(Refusal::NotDurable), None));
    assert_eq!(client.verify(&mut world, PIN).next, None, "and no other method has it");
}

#[test]
fn signatures_follow_one_another_without_begin_and_each_challenge_counts_once() {
    let (mut world, mut client) = world();
    let (mut reply, mut begin) = sign(&mut world, &mut client, PIN);
    for pin in [PIN, "000000", PIN, "000000", "000000", PIN] {
        begin = next(&world, &client, &begin, &reply);
        let prepared = seal(&world, &mut client, &begin, pin);
        reply = submit(&mut world, &mut client, &prepared);
        assert_eq!(reply.outcome == Outcome::WrongPin, pin != PIN, "{:?}", reply.outcome);
        let records = world.disk.records.clone();
        let twice = seal(&world, &mut client, &begin, PIN);
        assert_eq!(submit(&mut world, &mut client, &twice).outcome, Outcome::Refused(Refusal::AlreadyAnswered));
        assert_eq!(world.disk.records, records);
    }
    assert_eq!(client.status(&mut world).tries.unwrap().left, 5);
}

#[test]
fn of_the_challenges_for_one_version_at_most_one_is_decided() {
    let (mut world, mut client) = world();
    let (reply, begin) = sign(&mut world, &mut client, PIN);
    let carried = next(&world, &client, &begin, &reply);
    let begun = [world.begin(&client, Method::Sign).unwrap(), world.begin(&client, Method::Sign).unwrap()];
    // A client that was made to believe, again and again, that its request was lost has sealed all of these.
    let sealed: Vec<Prepared> =
        [&begun[0], &carried, &begun[1]].map(|begin| seal(&world, &mut client, begin, "000000")).into();
    let outcomes: Vec<Outcome> =
        sealed.iter().map(|prepared| submit(&mut world, &mut client, prepared).outcome).collect();
    let overtaken = Outcome::Refused(Refusal::ChallengeInvalid);
    assert_eq!(outcomes, [Outcome::WrongPin, overtaken.clone(), overtaken]);
    assert_eq!(client.status(&mut world).tries.unwrap().left, 4, "one try for them all");
}

#[test]
fn a_reply_kept_back_with_its_challenge_buys_no_try() {
    let (mut world, mut owner) = world();
    let (first, begin) = sign(&mut world, &mut owner, PIN);
    // The owner seals right PINs under what each reply carried, and the host keeps every one of them back, to play one out, and so give
    // the tries back, whenever a thief with the same device's session has used them up.
    let carried = next(&world, &owner, &begin, &first);
    let kept_back: Vec<Prepared> = (0..3).map(|_| seal(&world, &mut owner, &carried, PIN)).collect();
    let mut wrong = 0;
    for kept in &kept_back {
        for _ in 0..3 {
            world.now += 3_600;
            let (reply, _) = sign(&mut world, &mut owner, "000000");
            wrong += u32::from(reply.outcome == Outcome::WrongPin);
        }
        // The host can stop the clock for token and challenge, but not the record's version.
        world.now -= 3 * 3_600;
        let refused = submit(&mut world, &mut owner, kept).outcome;
        let expected =
            if kept.request == kept_back[0].request { Refusal::ChallengeInvalid } else { Refusal::AlreadyAnswered };
        assert_eq!(refused, Outcome::Refused(expected));
        world.now += 3 * 3_600;
    }
    assert_eq!(wrong, 5, "the cap, and none bought back");
}

#[test]
fn a_next_challenge_serves_no_other_device_method_boot_or_time() {
    let (mut world, mut client) = world();
    let mut phone = Client::new("ada");
    phone.enrol(&mut world, PIN);
    let (reply, begin) = sign(&mut world, &mut client, PIN);
    let carried = next(&world, &client, &begin, &reply);
    let records = world.disk.records.clone();
    let invalid = Outcome::Refused(Refusal::ChallengeInvalid);

    let stolen = seal(&world, &mut phone, &carried, "000000");
    assert_eq!(submit(&mut world, &mut phone, &stolen).outcome, invalid);
    let token = world.token("ada", &client.device(), 600);
    let other = Request::VerifyPin { pin: factor("000000", &carried.current.unwrap()) };
    let other = client.seal(&world, &carried, token, other);
    assert_eq!(submit(&mut world, &mut client, &other).outcome, invalid);

    world.now += 600;
    let late = seal(&world, &mut client, &carried, "000000");
    assert_eq!(submit(&mut world, &mut client, &late).outcome, invalid);

    let (reply, begin) = sign(&mut world, &mut client, PIN);
    let carried = next(&world, &client, &begin, &reply);
    let moved = world.disk.records.clone();
    world.boot();
    let of_before = seal(&world, &mut client, &carried, "000000");
    assert_eq!(submit(&mut world, &mut client, &of_before).outcome, invalid);
    assert_eq!(world.disk.records, moved);
    assert_ne!(moved, records);
}

#[test]
fn a_reply_is_as_long_with_a_next_challenge_as_without() {
    let (mut world, mut client) = world();
    let begin = world.begin(&client, Method::Sign).unwrap();
    let prepared = seal(&world, &mut client, &begin, PIN);
    let mut length = || {
        let call = world.submit(&prepared.wallet, &prepared.request);
        let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
        (reply.ciphertext.len(), prepared.opener.open(&reply).unwrap().next.is_some())
    };
    let ((with, carried), (without, absent)) = (length(), length());
    assert!(carried && !absent, "signed, then refused as answered before");
    assert_eq!(with, without);
}
