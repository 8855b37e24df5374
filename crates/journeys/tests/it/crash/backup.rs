//! A backup after an ordinary stop is a copy of one file; after a kill it is one of three.

use super::deployment::Deployment;
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

#[test]
fn after_an_ordinary_stop_a_copy_of_the_one_file_is_a_whole_backup() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let file = deployment.host().join("pinseal.sqlite");
        let side = |name: &str| deployment.host().join(format!("pinseal.sqlite-{name}"));
        assert!(!side("wal").exists(), "not after the commands that made the deployment and its app either");
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        assert!(side("wal").metadata().unwrap().len() > 0, "while it runs the newest is beside the file");
        life.stop();
        for name in ["wal", "shm"] {
            assert!(!side(name).exists(), "{name}");
        }
        let copy = std::fs::read(&file).unwrap();
        // The disk is lost, and the one file comes back.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, copy).unwrap();
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(status(&attested).await.tries.left, 4, "the newest write is in it");
        assert_eq!(sign(&attested, PIN, b"from the copy").await.unwrap(), address);
        // Killed, it keeps its log, from which the next start goes on.
        drop(life);
        assert!(side("wal").metadata().unwrap().len() > 0);
        let life = deployment.start();
        assert_eq!(status(&ann.attested(&life.door).await).await.tries.left, 5, "a success gave the try back");
        life.stop();
        assert!(!side("wal").exists());
    });
}
