//! An older state put back: the database alone, and database and anchor both.

use pinseal_client::evidence::EvidenceError;
use pinseal_client::operation::OperationError;
use pinseal_client::receipt::ReceiptError;

use super::deployment::{Deployment, run};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

/// Boots after which a restored log is certainly longer than the lost one.
const BOOTS_MAX: u32 = 10;

#[test]
fn an_older_database_beside_the_newer_anchor_is_refused_and_the_missing_entries_are_named() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let (older, then) = (deployment.database(), deployment.stored());

        // What the older database does not know: a wrong PIN.
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();
        let (newest, now) = (deployment.database(), deployment.anchored());
        assert_eq!(deployment.stored(), now);

        deployment.put_back(&older);
        let refused = deployment.refused();
        assert_eq!(
            (refused.code.as_str(), refused.host, refused.enclave),
            ("state_older", Some(1), Some(75)),
            "{refused:?}"
        );
        let missing = format!("log entries {} to {} are missing", then.size + 1, now.size);
        for words in ["an older database was put back", &missing] {
            assert_eq!(refused.sentence.matches(words).count(), 1, "{words:?} is not in {refused:?} once");
        }
        assert!(refused.advice.starts_with("put the newest database back"), "{refused:?}");
        assert_eq!((deployment.stored(), deployment.anchored()), (then, now));

        supervised_run_refuses(&deployment, &missing);

        deployment.put_back(&newest);
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 4, "the wrong PIN is not forgotten");
        assert_eq!(sign(&attested, PIN, b"after").await.unwrap(), address);
        life.stop();
    });
}

/// The same through `pinseal up`.
fn supervised_run_refuses(deployment: &Deployment, missing: &str) {
    let app = deployment.app();
    let defaults = serde_json::json!({
        "server": "http://127.0.0.1:1", "app_id": app.id, "app_key": app.key.expose_secret(),
        "development": true, "mailbox": null, "node": null, "network": null,
    });
    std::fs::write(deployment.data.join("client.json"), defaults.to_string()).unwrap();
    let before = deployment.files();
    let data = deployment.data.to_str().unwrap();
    let up = run(&["up", "--json", "--no-dev-node", "--port", "0", "--mailbox-port", "0", "--data", data]);
    assert_eq!(up.status.code(), Some(1), "{up:?}");
    let said: serde_json::Value = serde_json::from_slice(&up.stderr).unwrap();
    assert_eq!(said["error"]["code"], "state_older", "{said}");
    assert!(said.to_string().contains(missing), "{said}");
    assert_eq!(deployment.files(), before);
}

#[test]
fn an_older_state_put_back_whole_is_refused_by_the_returning_client_and_stops_the_deployment() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, _) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let (older, anchor) = (deployment.database(), std::fs::read(deployment.anchor()).unwrap());
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await));
        life.stop();

        deployment.put_back(&older);
        std::fs::write(deployment.anchor(), anchor).unwrap();

        // Each boot adds an entry. While the log is shorter than the one she has seen, the client itself gives no PIN ...
        let (mut refusals, mut stopped) = (0, false);
        for _ in 0..BOOTS_MAX {
            let mut life = deployment.start();
            let attested = match ann.attest(&life.door).await {
                Err(EvidenceError::Receipt(ReceiptError::RolledBack { held, shown })) => {
                    assert!(shown <= held);
                    refusals += 1;
                    life.stop();
                    continue;
                }
                attested => attested.unwrap(),
            };
            // ... and once it is longer, the enclave finds that it does not continue her receipt, and ends.
            let answer = attested.verify_pin(&pin(PIN)).await;
            assert!(matches!(answer, Err(OperationError::StateRolledBack)), "{answer:?}");
            assert_eq!(life.enclave.ended().code(), Some(75), "{}", life.enclave.log());
            let last_word = life.word();
            assert_eq!(last_word["failed"]["code"], "state_rolled_back", "{last_word}");
            assert_eq!(life.host.ended().code(), Some(1));
            assert!(refusals > 0, "the client took an older state for a newer one");
            stopped = true;
            break;
        }

        assert!(stopped, "still refused after {BOOTS_MAX} boots");

        // Later boots do not remember that far back, and somebody else writes meanwhile; the host's own root of that size, with its proof,
        // convicts the state again.
        let mut life = deployment.start();
        let (bob, _) = User::registered(&life.door, "bob@example.org").await;
        sign(&bob.attested(&life.door).await, PIN, b"meanwhile").await.unwrap();
        let attested = ann.attested(&life.door).await;
        let answer = attested.verify_pin(&pin(PIN)).await;
        assert!(matches!(answer, Err(OperationError::StateRolledBack)), "{answer:?}");
        assert_eq!(life.enclave.ended().code(), Some(75), "{}", life.enclave.log());
        assert_eq!(life.word()["failed"]["code"], "state_rolled_back");
    });
}
