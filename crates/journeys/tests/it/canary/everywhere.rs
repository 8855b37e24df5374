//! The whole system at its most talkative: after everything a person does, no secret is where it must not be.

use std::collections::BTreeSet;

use super::command::{self, Finch};
use super::memory::{self, Found};
use super::net::Net;
use super::person::{EMAIL, PASSWORD, Person};
use super::secrets::Secret;
use super::whole::{PASSPHRASE, Whole, text};
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
    let whole = Whole::start(keep);
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
    let (mut whole, mut person) = lived(None);
    let finch = command::live(&whole);
    runtime().block_on(astray::send(&whole));
    runtime().block_on(ask_for_pages(&whole));
    person.note_storage_tokens(&whole);
    let misplaced = Secret::text("misplaced secret", astray::MISPLACED);
    let passing = |person: &Person| [person.passing.clone(), finch.passing.clone(), vec![misplaced.clone()]].concat();
    let never = |person: &Person| [person.never.clone(), finch.never.clone()].concat();
    shown_by_processes(&whole, &never(&person), &passing(&person));
    assert_eq!(left_in_host(&whole, &passing(&person)), [], "what passed through the host");

    let told = whole.change_and_restore();
    command::accept_restore(&whole, &finch);
    person.note_root(&whole);
    person.note_storage_tokens(&whole);
    person.issued.extend(finch.issued.clone());
    let (never, passing) = (never(&person), passing(&person));
    shown_by_processes(&whole, &never, &passing);
    let fresh = runtime().block_on(person.have_somebody_sign_up(&whole));
    let all = [never, passing.clone()].concat();
    written_to_disk(&whole, &finch, &all, fresh);
    let all = Net::new(&all);
    told_to_clients(&whole, &person, &all);
    for output in &told {
        let said = [&output.stdout, &output.stderr].map(|stream| all.search(stream));
        assert!(said.iter().all(|said| said.is_empty()), "told to operators: {said:?}: {}", text(output));
    }
    assert_eq!(left_in_host(&whole, &passing), [], "what passed through the host after the restore");
    whole.stop();
}

/// What a monitor or a curious visitor asks for.
async fn ask_for_pages(whole: &Whole) {
    for (page, status) in [("/metrics", 200), ("/readyz", 200), ("/openapi.json", 200), ("/v1/nothing", 401)] {
        let answer = reqwest::get(format!("{}{page}", whole.recorder.url)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{page}");
        let is_full = page != "/metrics" || answer.text().await.unwrap().contains("\npinseal_batches_total ");
        assert!(is_full, "the numbers are not among {page}");
    }
}

fn shown_by_processes(whole: &Whole, never: &[Secret], passing: &[Secret]) {
    let (all, never) = (Net::new(&[never, passing].concat()), Net::new(never));
    for (name, pid) in whole.pids() {
        assert_eq!(trawl::surroundings(pid, &all), [], "command line or environment of the {name}");
        assert!(core::has_no_room(pid) || !memory::may_read_anything(), "the {name} has room for a core image");
        let mut found = memory::search(pid, &never);
        if name == "supervisor" {
            // It starts the enclave again after a crash, and leaves no image of its own (`core`).
            found.retain(|found| found.catch.secret != "sealing passphrase");
        }
        assert_eq!(found, [], "memory of the {name}");
    }
}

/// `fresh` is what the database was told last.
fn written_to_disk(whole: &Whole, finch: &Finch, all: &[Secret], fresh: &str) {
    // What may be there is looked for in the same go, and found: the search reads databases, their logs too, as they are this moment.
    let known = [Secret::text("e-mail address", EMAIL), Secret::text("newest e-mail address", fresh)];
    let net = Net::new(&[all, &known].concat());
    let (known, mut written): (Vec<_>, Vec<_>) = trawl::files(whole.directory(), &net)
        .into_iter()
        .partition(|found| known.iter().any(|known| known.name == found.catch.secret));
    written.retain(|found| !finch.may_keep(&found.catch.secret, &found.path));
    assert_eq!(written, [], "files");
    let is_found = |secret: &str, file: &str| {
        known.iter().any(|found| found.catch.secret == secret && found.path == whole.host_directory().join(file))
    };
    assert!(is_found("e-mail address", "pinseal.sqlite"), "{known:?}");
    assert!(is_found("newest e-mail address", "pinseal.sqlite-wal"), "{known:?}");
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
    // Left open, they leave images, and what those hold is found.
    if let Some([host, supervisor]) = core::of_host_and_supervisor(&whole) {
        let found = found_in(&host, &all);
        assert!(kept.iter().all(|name| found.contains(*name)), "{found:?}");
        let passphrase = Net::new(&[Secret::text("sealing passphrase", PASSPHRASE)]);
        assert!(!found_in(&supervisor, &passphrase).is_empty(), "it keeps the passphrase for the next start");
    }
}

fn found_in(image: &[u8], net: &Net) -> BTreeSet<String> {
    net.search(image).into_keys().map(|catch| catch.secret).collect()
}
