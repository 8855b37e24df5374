//! Strangers' wrong PINs over several wallets pause enrolment for everybody but those who are enrolled, until the operators resume it.

use std::process::Output;

use pinseal_client::history::EventKind;
use pinseal_protocol::refusal::Refusal;
use serde_json::Value;

use super::changed::{change, is_refused, started};
use super::deployment::{Deployment, Door, run, run_with_fault};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign};

/// Wrong PINs of strangers at one wallet until the next has to wait for a minute.
const WITHOUT_DELAY: usize = 3;
/// The least a breaker may trip at.
const MAXIMUM: usize = 10;

async fn get(door: &Door, path: &str) -> String {
    reqwest::get(format!("{}{path}", door.url)).await.unwrap().text().await.unwrap()
}

/// As `/readyz` says, and `/v1/status` for a client.
async fn enrolment(user: &User, door: &Door) -> Value {
    let ready: Value = serde_json::from_str(&get(door, "/readyz").await).unwrap();
    let told = user.client(door).api().status().await.unwrap().enrolment.unwrap();
    let shown = ready["enrolment"].clone();
    assert_eq!((told.paused, told.refused), (shown["paused"].as_bool().unwrap(), shown["refused"].as_u64().unwrap()));
    assert_eq!((told.since_log_entry, told.since), (shown["since_log_entry"].as_u64(), shown["since"].as_u64()));
    shown
}

fn resume(deployment: &Deployment, fault: Option<&str>) -> Output {
    let arguments = ["resume", "--yes", "--json", "--data", deployment.data.to_str().unwrap()];
    fault.map_or_else(|| run(&arguments), |fault| run_with_fault(&arguments, fault))
}

fn code(failed: &Output) -> String {
    let said: Value = serde_json::from_slice(&failed.stderr).unwrap_or_else(|_| panic!("{failed:?}"));
    said["error"]["code"].as_str().unwrap().to_owned()
}

async fn events(user: &User, door: &Door) -> Vec<EventKind> {
    let history = user.attested(door).await.history(None).await.unwrap();
    history.events.into_iter().map(|event| event.kind).collect()
}

#[test]
fn strangers_wrong_pins_pause_enrolment_for_everybody_until_the_operators_resume_it() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        assert_eq!(change(&deployment.data, &["--breaker", &MAXIMUM.to_string()])["breaker"], MAXIMUM);
        let (life, _) = started(&deployment);
        let mut people = Vec::new();
        for name in ["ann", "bob", "cid", "dan"] {
            people.push(User::registered(&life.door, &format!("{name}@example.org")).await);
        }
        let (ann, address) = people[0].clone();
        assert_eq!(enrolment(&ann, &life.door).await["paused"], false);
        for number in 0..MAXIMUM {
            let stranger = people[number / WITHOUT_DELAY].0.another_device(&life.door).await;
            let answer = stranger.attested(&life.door).await.enrol_device(&pin(WRONG_PIN), "thief").await;
            assert!(is_wrong_pin(&answer), "guess {number}: {answer:?}");
        }

        let dans = people[3].0.another_device(&life.door).await;
        let answer = dans.attested(&life.door).await.enrol_device(&pin(PIN), "phone").await;
        assert!(is_refused(&answer, Refusal::EnrolmentPaused), "{answer:?}");
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"enrolled").await.unwrap(), address);

        let shown = enrolment(&ann, &life.door).await;
        assert_eq!((&shown["paused"], &shown["refused"]), (&true.into(), &1.into()));
        let entry = shown["since_log_entry"].as_u64().unwrap();
        assert!(shown["since"].as_u64().unwrap() > 0);
        let metrics = get(&life.door, "/metrics").await;
        for line in ["pinseal_enclave_enrolment_paused 1", "pinseal_enrolments_refused_total 1"] {
            assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
        }
        let log = life.host.log();
        let logged =
            |line: &&str| line.contains("enrolment is paused") && line.contains(&format!("\"log_entry\":{entry}"));
        assert_eq!(log.lines().filter(logged).count(), 1, "{log}");
        assert!(matches!(events(&ann, &life.door).await[0], EventKind::Paused { .. }));
        life.stop();

        // A restart, and an order that dies before it is in the log, leave it paused.
        let died = resume(&deployment, Some("host.before_commit:1"));
        assert!(!died.status.success(), "{died:?}");
        let (life, finished) = started(&deployment);
        assert!(!finished);
        let shown = enrolment(&ann, &life.door).await;
        assert_eq!((&shown["paused"], &shown["since_log_entry"]), (&true.into(), &entry.into()));
        let answer = dans.attested(&life.door).await.enrol_device(&pin(PIN), "phone").await;
        assert!(is_refused(&answer, Refusal::EnrolmentPaused), "{answer:?}");
        life.stop();

        // One that dies after that is finished by the next start.
        let died = resume(&deployment, Some("change.before_root:1"));
        assert!(!died.status.success(), "{died:?}");
        let (life, finished) = started(&deployment);
        assert!(finished);
        assert_eq!(enrolment(&ann, &life.door).await["paused"], false);
        assert!(dans.attested(&life.door).await.enrol_device(&pin(PIN), "phone").await.is_ok());
        assert!(matches!(events(&ann, &life.door).await[1], EventKind::Configured { resumed: true, .. }));
        life.stop();
        assert_eq!(code(&resume(&deployment, None)), "not_paused");
    });
}

#[test]
fn what_is_resumed_says_so_and_an_older_root_opens_nothing() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        change(&deployment.data, &["--breaker", &MAXIMUM.to_string()]);
        let life = deployment.start();
        let mut people = Vec::new();
        for number in 0..=MAXIMUM / WITHOUT_DELAY {
            people.push(User::registered(&life.door, &format!("user{number}@example.org")).await.0);
        }
        for number in 0..MAXIMUM {
            let stranger = people[number / WITHOUT_DELAY].another_device(&life.door).await;
            assert!(is_wrong_pin(&stranger.attested(&life.door).await.enrol_device(&pin(WRONG_PIN), "thief").await));
        }
        life.stop();
        let root = deployment.host().join("root.sealed");
        let before = std::fs::read(&root).unwrap();
        let done = resume(&deployment, None);
        assert!(done.status.success(), "{done:?}");
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!((&said["paused"], &said["breaker"]), (&false.into(), &MAXIMUM.into()));
        let after = std::fs::read(&root).unwrap();
        std::fs::write(&root, before).unwrap();
        assert_eq!(deployment.refused().code, "state_mismatch");
        std::fs::write(&root, after).unwrap();
        deployment.start().stop();
    });
}
