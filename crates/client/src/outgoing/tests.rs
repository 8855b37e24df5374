#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use pinseal_protocol::intent::EvmAddress;
use serde::Deserialize;

use super::room::SPARE_MAX;
use super::*;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    steps: Vec<Step>,
    next: NextCase,
    stops: Vec<String>,
    beside: Vec<String>,
    instead: Vec<String>,
    again: Vec<String>,
    refused: bool,
}

type Told = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Signed(Signed),
    Answered(Told),
    Followed(Told),
    Shown(Told),
    Heard(Told),
    FollowedLate(Told),
    ShownLate(Told),
    Awaited(String),
    Omitted(String),
    Told(String),
    Accepted(Told),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    hash: String,
    nonce: u64,
    content: String,
    #[serde(default)]
    at: Place,
    #[serde(default)]
    accepted: Told,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Place {
    #[default]
    Here,
    Account,
    Network,
    Stranger,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NextCase {
    nonce: u64,
    content: String,
    replaces: bool,
    #[serde(default)]
    accepted: Told,
}

const FROM: Address = Address(EvmAddress([7; 20]));
const ACCOUNTS: [Address; 2] = [FROM, Address(EvmAddress([8; 20]))];
const STRANGER: Address = Address(EvmAddress([9; 20]));

fn network() -> Network {
    "eip155:31337".parse().unwrap()
}

fn named(name: &str) -> Hash32 {
    Hash32(Sha256::digest(name).into())
}

fn doing(what: &str) -> Content {
    Content::new(Some(STRANGER), Amount::default(), what.as_bytes())
}

fn entry(name: &str, nonce: u64, what: &str) -> Outgoing {
    Outgoing {
        network: network(),
        from: FROM,
        nonce,
        hash: named(name),
        content: doing(what),
        summary: name.to_owned(),
        signed_at: UnixSeconds(1),
        standing: Standing::Final,
        known: Known::Told,
        stays_accepted: true,
    }
}

fn placed(at: &Place, entry: Outgoing) -> Outgoing {
    match at {
        Place::Here => entry,
        Place::Account => Outgoing { from: ACCOUNTS[1], ..entry },
        Place::Network => Outgoing { network: "eip155:1".parse().unwrap(), ..entry },
        Place::Stranger => Outgoing { from: STRANGER, ..entry },
    }
}

fn accepted(told: &Told) -> Vec<Accepted> {
    let standing = |name: &str| Standing::ALL.into_iter().find(|standing| standing.name() == name).unwrap();
    told.iter().map(|(hash, name)| Accepted { hash: named(hash), standing: standing(name) }).collect()
}

fn keep(ledger: &mut Ledger, entry: Outgoing, accepted: &[Accepted]) -> Result<(), Full> {
    let next = Next {
        network: &entry.network.clone(),
        from: entry.from,
        nonce: entry.nonce,
        replaces: false,
        content: entry.content,
        accounts: &ACCOUNTS,
        accepted,
    };
    let has_room = ledger.has_room(&next);
    let is_kept = ledger.get(&entry.hash).is_some();
    let before = ledger.clone();
    let signed = ledger.sign(entry, &ACCOUNTS, accepted);
    assert_eq!(signed.is_ok(), has_room || is_kept);
    assert!(signed.is_ok() || *ledger == before);
    signed
}

fn sign(ledger: &mut Ledger, entry: Outgoing) -> Result<(), Full> {
    keep(ledger, entry, &[])
}

type Learn = fn(&mut Ledger, &Hash32, Learnt, Option<TransactionStatus>);

fn take(ledger: &mut Ledger, step: Step) {
    let (learn, learnt, told): (Learn, _, _) = match step {
        Step::Signed(Signed { hash, nonce, content, at, accepted: told }) => {
            return keep(ledger, placed(&at, entry(&hash, nonce, &content)), &accepted(&told)).unwrap();
        }
        Step::Omitted(hash) => return ledger.doubt(&named(&hash)),
        Step::Told(hash) => return ledger.tell(&named(&hash)),
        Step::Awaited(hash) => return ledger.await_end(&named(&hash)),
        Step::Accepted(told) => {
            // By something under another nonce that is of no further interest.
            let other = entry("other", 1_000_000, "other");
            keep(ledger, other.clone(), &accepted(&told)).unwrap();
            return ledger.0.retain(|entry| entry.hash != other.hash);
        }
        Step::Answered(told) => (Ledger::learn, Learnt::Answered, told),
        Step::Followed(told) => (Ledger::learn, Learnt::Followed, told),
        Step::Shown(told) => (Ledger::learn, Learnt::Shown, told),
        Step::Heard(told) => (Ledger::learn, Learnt::Heard, told),
        Step::FollowedLate(told) => (Ledger::learn_late, Learnt::Followed, told),
        Step::ShownLate(told) => (Ledger::learn_late, Learnt::Shown, told),
    };
    for (hash, status) in told {
        let status = match status.as_str() {
            "unknown" => None,
            status => Some(serde_json::from_value(status.into()).unwrap()),
        };
        learn(ledger, &named(&hash), learnt, status);
    }
}

fn judged(ledger: &Ledger, nonce: u64, content: &str) -> Verdict {
    let (network, content) = (network(), doing(content));
    let (accounts, accepted): (&[Address], _) = (&ACCOUNTS, &[]);
    ledger.verdict(&Next { network: &network, from: FROM, nonce, replaces: false, content, accounts, accepted })
}

fn names(entries: Vec<Outgoing>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.summary).collect()
}

#[test]
fn what_was_signed_before_is_judged_as_the_vectors_say() {
    let file: File = serde_json::from_str(include_str!("../../../../vectors/client/outgoing.json")).unwrap();
    assert!(file.cases.len() >= 290);
    for case in file.cases {
        let mut ledger = Ledger::default();
        case.steps.into_iter().for_each(|step| take(&mut ledger, step));
        let (network, content) = (network(), doing(&case.next.content));
        let NextCase { nonce, replaces, accepted: told, .. } = case.next;
        let (accounts, accepted): (&[Address], _) = (&ACCOUNTS, accepted(&told));
        let accepted = &accepted;
        let next = Next { network: &network, from: FROM, nonce, replaces, content, accounts, accepted };
        let found = ledger.verdict(&next);
        let expected = ([case.stops, case.beside, case.instead, case.again], case.refused);
        let is_refused = found.is_nonce_refused;
        let found = [found.stops, found.beside, found.instead, found.again].map(names);
        assert_eq!((found, is_refused), expected, "{}", case.name);
    }
}

#[derive(Deserialize)]
struct Approvals {
    cases: Vec<Approval>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    name: String,
    content: String,
    steps: Vec<Step>,
    shown: Proposal,
    then: Vec<Step>,
    next: Proposal,
    unseen: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal {
    nonce: u64,
    replaces: bool,
}

#[test]
fn what_was_not_shown_is_asked_again_as_the_vectors_say() {
    let file: Approvals = serde_json::from_str(include_str!("../../../../vectors/client/approval.json")).unwrap();
    assert!(file.cases.len() >= 35);
    for case in file.cases {
        let (network, content) = (network(), doing(&case.content));
        let next = |Proposal { nonce, replaces }| {
            let (accounts, accepted): (&[Address], _) = (&ACCOUNTS, &[]);
            Next { network: &network, from: FROM, nonce, replaces, content, accounts, accepted }
        };
        let mut ledger = Ledger::default();
        case.steps.into_iter().for_each(|step| take(&mut ledger, step));
        let shown = ledger.verdict(&next(case.shown));
        case.then.into_iter().for_each(|step| take(&mut ledger, step));
        let next = next(case.next);
        let found = ledger.verdict(&next);
        let unseen = found.unseen(&next, &shown);
        let named: BTreeSet<_> = unseen.iter().map(|entry| entry.summary.clone()).collect();
        assert_eq!((named.len(), &named), (unseen.len(), &case.unseen), "{}", case.name);
    }
}

#[test]
fn room_is_made_by_what_is_settled_or_accepted_and_by_nothing_else() {
    use TransactionStatus::{Failed, Final, Mined, Pending};
    let mut ledger = Ledger::default();
    for nonce in 0..OUTGOING_MAX as u64 {
        sign(&mut ledger, entry(&nonce.to_string(), nonce, "one")).unwrap();
    }
    assert_eq!(sign(&mut ledger, entry("more", 999, "one")), Err(Full));
    sign(&mut ledger, entry("3", 3, "one")).unwrap();
    // Mined by the host's word alone, while its owner may believe that it failed.
    ledger.learn(&named("5"), Learnt::Heard, Some(Mined));
    assert_eq!(sign(&mut ledger, entry("more", 999, "one")), Err(Full));
    let accepted = |number: u64| [Accepted { hash: named(&number.to_string()), standing: Standing::Unsent }];
    // What it takes the place of stays.
    assert_eq!(keep(&mut ledger, Outgoing { from: ACCOUNTS[1], ..entry("elsewhere", 999, "one") }, &[]), Err(Full));
    keep(&mut ledger, entry("beside", 999, "one"), &accepted(20)).unwrap();
    assert_eq!(ledger.get(&named("20")), None);
    for (number, status) in [(7, Failed), (9, Mined), (11, Final), (13, Pending)] {
        ledger.learn(&named(&number.to_string()), Learnt::Answered, Some(status));
    }
    for (number, gone) in ["11", "9", "7"].into_iter().enumerate() {
        sign(&mut ledger, entry(&format!("more {number}"), 1_000 + number as u64, "one")).unwrap();
        assert_eq!(ledger.get(&named(gone)), None);
    }
    assert_eq!(sign(&mut ledger, entry("once", 1_010, "one")), Err(Full));
    assert_eq!(ledger.entries().len(), OUTGOING_MAX);
}

#[test]
fn a_nonce_is_forgotten_as_a_whole_and_only_its_own() {
    use TransactionStatus::{Final, Mined};
    let mut ledger = Ledger::default();
    sign(&mut ledger, Outgoing { from: ACCOUNTS[1], ..entry("theirs", 5, "one") }).unwrap();
    for name in ["replaced", "replacement"] {
        sign(&mut ledger, entry(name, 5, name)).unwrap();
    }
    ledger.learn(&named("replacement"), Learnt::Answered, Some(Mined));
    for nonce in 100..100 + OUTGOING_MAX as u64 - 2 {
        sign(&mut ledger, entry(&nonce.to_string(), nonce, "one")).unwrap();
    }
    assert!(ledger.get(&named("replaced")).is_none() && ledger.get(&named("replacement")).is_none());
    assert!(ledger.get(&named("theirs")).is_some());
    for nonce in 100..120 {
        ledger.learn(&named(&nonce.to_string()), Learnt::Answered, Some(Final));
    }
    let last = ledger.entries().iter().filter(|entry| entry.standing == Standing::Final).map(|entry| entry.nonce);
    assert_eq!(last.collect::<Vec<_>>(), (104..120).collect::<Vec<_>>());
    // What its owner does not know of is not forgotten.
    for nonce in 120..140 {
        ledger.learn(&named(&nonce.to_string()), Learnt::Heard, Some(Final));
    }
    assert!((120..140).all(|nonce: u64| ledger.get(&named(&nonce.to_string())).is_some()));
    // All of this account; of the other one nothing that does something else.
    assert_eq!(judged(&ledger, 1, "two").stops.len(), OUTGOING_MAX - 2 - 20);
}

#[test]
fn content_is_recipient_value_and_call_data() {
    let content = |to, value: &str, input| Content::new(to, value.parse().unwrap(), input);
    let same = content(Some(FROM), "0", b"x");
    assert_eq!(same, content(Some(FROM), "0", b"x"));
    for other in [content(Some(STRANGER), "0", b"x"), content(Some(FROM), "1", b"x"), content(Some(FROM), "0", b"y")] {
        assert_ne!(same, other);
    }
    assert_ne!(content(None, "0", b""), content(Some(Address(EvmAddress([0; 20]))), "0", b""));
}

fn theirs(number: u64) -> Outgoing {
    Outgoing { from: STRANGER, ..entry(&format!("theirs {number}"), number, "one") }
}

/// Of another wallet.
fn sign_theirs(ledger: &mut Ledger, number: u64) -> Result<(), Full> {
    ledger.sign(theirs(number), &[STRANGER], &[])
}

#[test]
fn another_wallet_of_the_profile_takes_no_places_of_this_one() {
    let mut ledger = Ledger::default();
    for number in 0..OUTGOING_MAX as u64 {
        sign_theirs(&mut ledger, number).unwrap();
    }
    assert_eq!(sign_theirs(&mut ledger, 999), Err(Full));
    for number in 0..OUTGOING_MAX as u64 {
        let from = ACCOUNTS[usize::from(number % 2 == 1)];
        sign(&mut ledger, Outgoing { from, ..entry(&number.to_string(), number, "one") }).unwrap();
    }
    // What is settled of the other one makes no room: it is not what takes the places.
    ledger.learn(&named("theirs 3"), Learnt::Answered, Some(TransactionStatus::Mined));
    assert_eq!(sign(&mut ledger, entry("more", 999, "one")), Err(Full));
    assert!(ledger.get(&named("theirs 3")).is_some());
    ledger.learn(&named("5"), Learnt::Answered, Some(TransactionStatus::Mined));
    sign(&mut ledger, entry("more", 999, "one")).unwrap();
    assert!(ledger.get(&named("5")).is_none() && ledger.get(&named("theirs 3")).is_some());
    // Where all places of the profile are taken, whoever's is settled makes room.
    for number in 1_000..1_000 + (LEDGER_MAX - 2 * OUTGOING_MAX) as u64 {
        let from = Address(EvmAddress([10 + number.to_le_bytes()[1]; 20]));
        ledger.sign(Outgoing { from, ..theirs(number) }, &[from], &[]).unwrap();
    }
    let from = Address(EvmAddress([99; 20]));
    ledger.sign(Outgoing { from, ..theirs(5_000) }, &[from], &[]).unwrap();
    assert!(ledger.get(&named("theirs 3")).is_none());
    assert_eq!(ledger.sign(Outgoing { from, ..theirs(5_001) }, &[from], &[]), Err(Full));
    assert_eq!(ledger.entries().len(), LEDGER_MAX);
}

#[test]
fn what_takes_a_place_or_pays_nobody_has_places_of_its_own() {
    let mut ledger = Ledger::default();
    for nonce in 0..OUTGOING_MAX as u64 {
        sign(&mut ledger, entry(&nonce.to_string(), nonce, "one")).unwrap();
    }
    let nothing = |name: &str, nonce| Outgoing {
        content: Content::new(Some(FROM), Amount::default(), b""),
        ..entry(name, nonce, "one")
    };
    assert_eq!(sign(&mut ledger, entry("more", 999, "one")), Err(Full));
    for number in 0..SPARE_MAX as u64 {
        let name = format!("way out {number}");
        let way_out = if number % 2 == 0 { nothing(&name, 999) } else { entry(&name, number, "two") };
        sign(&mut ledger, way_out).unwrap();
        assert_eq!(sign(&mut ledger, entry("more", 1_000, "one")), Err(Full));
    }
    assert_eq!(sign(&mut ledger, nothing("once more", 1_000)), Err(Full));
    assert_eq!(sign(&mut ledger, entry("once more", 20, "two")), Err(Full));
    assert_eq!(ledger.entries().len(), OUTGOING_MAX + SPARE_MAX);
    // Nothing is what is sent to oneself, and no more.
    let own = |value: &str, input: &[u8]| Content::new(Some(FROM), value.parse().unwrap(), input);
    assert!(own("0", b"").moves_nothing(FROM) && !own("0", b"").moves_nothing(STRANGER));
    assert!(!own("1", b"").moves_nothing(FROM) && !own("0", b"x").moves_nothing(FROM));
}

#[test]
fn what_stays_accepted_makes_room_first_and_its_rivals_stay() {
    use TransactionStatus::{Dropped, Final, Pending};
    let mut ledger = Ledger::default();
    for nonce in 0..OUTGOING_MAX as u64 - 1 {
        sign(&mut ledger, entry(&nonce.to_string(), nonce, "one")).unwrap();
    }
    sign(&mut ledger, entry("rival", 7, "two")).unwrap();
    for name in ["7", "9"] {
        ledger.learn(&named(name), Learnt::Answered, Some(Dropped));
        ledger.learn(&named(name), Learnt::Heard, Some(Pending));
    }
    ledger.learn(&named("11"), Learnt::Answered, Some(Final));
    let waiting = |name: &str| Accepted { hash: named(name), standing: Standing::Waiting };
    let accepted = [waiting("7"), waiting("9")];
    keep(&mut ledger, entry("beside", 999, "one"), &accepted).unwrap();
    let is_kept = |ledger: &Ledger, name: &str| ledger.get(&named(name)).is_some();
    assert!(!is_kept(&ledger, "7") && is_kept(&ledger, "rival") && is_kept(&ledger, "9") && is_kept(&ledger, "11"));
    for nonce in 2_000..2_000 + SPARE_MAX as u64 {
        let nothing = Content::new(Some(FROM), Amount::default(), b"");
        sign(&mut ledger, Outgoing { content: nothing, ..entry(&nonce.to_string(), nonce, "one") }).unwrap();
    }
    // What is replaced stays.
    sign(&mut ledger, entry("instead", 9, "two")).unwrap();
    assert!(is_kept(&ledger, "9") && !is_kept(&ledger, "11"));
    sign(&mut ledger, entry("more", 1_000, "one")).unwrap_err();
}
