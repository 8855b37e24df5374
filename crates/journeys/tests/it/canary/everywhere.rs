//! The whole system at its most talkative: after everything a person does, no secret is where it must not be.

use std::collections::BTreeSet;
use std::path::Path;

use super::command::{self, Finch};
use super::memory::{self, Found};
use super::net::Net;
use super::person::{EMAIL, PASSWORD, Person};
use super::secrets::Secret;
use super::whole::Whole;
use super::{astray, core, trawl};

/// Rounds of further requests after which the host has forgotten what passed through it.
const ROUNDS_MAX: usize = 4;
/// Requests of one round, each on a connection of its own.
const REQUESTS_A_ROUND: usize = 16;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A person who did everything once.
fn lived(keep: Option<&str>) -> (Whole, Person) {
    let whole = Whole::start(keep.map(|keep| ("PINSEAL_KEEP_SECRETS", keep)));
    let person = runtime().block_on(async {
        let mut person = Person::sign_up(&whole).await;
        person.live(&whole).await;
        person
    });
    (whole, person)
}

/// Further requests, none with a secret in it.
fn round(whole: &Whole) {
    runtime().block_on(async {
        for _ in 0..REQUESTS_A_ROUND {
            let answer = reqwest::get(format!("{}/healthz", whole.recorder.url)).await.unwrap();
            assert!(answer.status().is_success());
        }
    });
}

/// What the host still holds of `secrets` after so many rounds as it may take.
fn left_in_host(whole: &Whole, secrets: &[Secret]) -> Vec<Found> {
    let net = Net::new(secrets);
    let mut left = Vec::new();
    for _ in 0..ROUNDS_MAX {
        round(whole);
        left = memory::search(whole.pid("host"), &net);
        if left.is_empty() {
            break;
        }
    }
    left
}

fn names(found: &[Found]) -> BTreeSet<&str> {
    found.iter().map(|found| found.catch.secret.as_str()).collect()
}

#[test]
fn no_secret_is_where_it_must_not_be() {
    let (whole, mut person) = lived(None);
    let finch = command::live(&whole);
    runtime().block_on(async {
        astray::send(&whole).await;
        for page in ["/metrics", "/readyz", "/openapi.json", "/v1/nothing"] {
            reqwest::get(format!("{}{page}", whole.recorder.url)).await.unwrap();
        }
    });
    person.note_storage_tokens(&whole);
    person.issued.extend(finch.issued.clone());
    let never = [person.never.clone(), finch.never.clone()].concat();
    let misplaced = Secret::text("misplaced secret", astray::MISPLACED);
    let passing = [person.passing.clone(), finch.passing.clone(), vec![misplaced]].concat();
    let all = Net::new(&[never.clone(), passing.clone()].concat());

    shown_by_processes(&whole, &Net::new(&never), &all);
    written_to_disk(&whole, &finch, &all);
    told_to_clients(&whole, &person, &all);
    let left = left_in_host(&whole, &passing);
    assert_eq!(left, [], "what passed through the host");
    if let Some(image) = core::of_host(&whole) {
        assert!(all.search(&std::fs::read(image).unwrap()).is_empty(), "core image of the host");
    }
    whole.stop();
}

fn shown_by_processes(whole: &Whole, never: &Net, all: &Net) {
    for (name, pid) in whole.pids() {
        assert_eq!(trawl::surroundings(pid, all), [], "command line or environment of the {name}");
        let mut found = memory::search(pid, never);
        if name == "supervisor" {
            // It starts the enclave again after a crash.
            found.retain(|found| found.catch.secret != "sealing passphrase");
        }
        assert_eq!(found, [], "memory of the {name}");
    }
}

fn written_to_disk(whole: &Whole, finch: &Finch, all: &Net) {
    let mut written = trawl::files(whole.directory(), all);
    written.retain(|found| !finch.may_keep(&found.catch.secret, &found.path));
    assert_eq!(written, [], "files");
    // What may be there is found there: the search reads databases and logs.
    let known = trawl::files(whole.directory(), &Net::new(&[Secret::text("e-mail address", EMAIL)]));
    let is_found = |name: &str| known.iter().any(|found| found.path.to_str().unwrap().contains(name));
    assert!(is_found("pinseal.sqlite"), "{known:?}");
    let log = std::fs::read_to_string(whole.directory().join("pinseal-data/logs/host.log")).unwrap();
    assert!(log.contains("\"route\":\"/v1/wallet/sealed\""), "the host's log is quiet");
}

fn told_to_clients(whole: &Whole, person: &Person, all: &Net) {
    let exchanges = whole.recorder.exchanges();
    for path in ["/metrics", "/v1/login/email", "/v1/wallet/sealed", "/v1/session/refresh"] {
        assert!(exchanges.iter().any(|exchange| exchange.line.ends_with(path)), "{path} was not asked");
    }
    for exchange in exchanges {
        assert!(all.search(exchange.line.as_bytes()).is_empty(), "the line {}", exchange.line);
        let mut told = all.search(&exchange.answer);
        told.retain(|catch, _| !is_issued(person, &exchange.line, &catch.secret));
        assert!(told.is_empty(), "the answer to {}: {told:?}", exchange.line);
    }
}

/// The answer is the one that hands the token to its owner.
fn is_issued(person: &Person, line: &str, secret: &str) -> bool {
    person.issued.iter().any(|(issued, at)| *at == line && issued.name == secret)
}

#[test]
fn a_host_and_an_enclave_that_keep_secrets_are_found_out() {
    let (whole, person) = lived(Some("heap"));
    let left = left_in_host(&whole, &person.passing);
    let kept = BTreeSet::from(["password", "wrong password", "access token"]);
    assert!(names(&left).is_superset(&kept), "{left:#?}");
    assert!(left.iter().all(|found| found.is_dumped), "a core image would hold it");
    let found = memory::search(whole.pid("enclave"), &Net::new(&person.never));
    assert!(names(&found).is_superset(&BTreeSet::from(["PIN factor S", "entropy"])), "{found:#?}");
    // What is on disk and on the wire is found as well.
    std::fs::write(whole.directory().join("planted"), format!("a log that says {PASSWORD:?}")).unwrap();
    let all = Net::new(&person.passing);
    assert!(trawl::files(whole.directory(), &all).iter().any(|found| found.path.ends_with("planted")));
    let told = whole.recorder.exchanges().iter().filter(|exchange| !all.search(&exchange.answer).is_empty()).count();
    assert!(told >= 2, "the tokens of login and refresh are in their answers");
    if let Some(image) = core::of_host(&whole) {
        found_in_image(&image, &all, &kept);
    }
    whole.stop();
}

fn found_in_image(image: &Path, net: &Net, kept: &BTreeSet<&str>) {
    let found = net.search(&std::fs::read(image).unwrap());
    let found: BTreeSet<_> = found.keys().map(|catch| catch.secret.as_str()).collect();
    assert!(found.is_superset(kept), "{found:?}");
}
