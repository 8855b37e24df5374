//! A disk that is really full: a small file system of its own, filled to the last page.
//!
//! Mounting needs a mount namespace, so each test runs itself again inside one; nothing of it is seen or left outside.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinseal_client::OperationError;
use pinseal_protocol::refusal::Refusal;

use super::deployment::Deployment;
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

/// Smallest piece of a tmpfs.
const PAGE_BYTES: u64 = 4_096;
/// Pages that two batches need at most, so that the search for the settling write ends.
const PAGES_MAX: u32 = 256;

/// Runs an ignored test of this file in a mount namespace, as root of it.
fn in_a_mount_namespace(test: &str) {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", &format!("crash::disk::{test}"), "--ignored", "--nocapture"]);
    let output = unshare.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn mount(directory: &Path, size: &str) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "none"])
        .arg(directory)
        .output();
    let mounted = mounted.unwrap();
    assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
}

/// What takes all the space there is.
struct Filler(PathBuf);

impl Filler {
    fn fill(directory: &Path) -> Self {
        let path = directory.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [1_024 * 1_024, PAGE_BYTES, 1] {
            let piece = vec![b'x'; usize::try_from(size).unwrap()];
            while file.write_all(&piece).is_ok() {}
        }
        Self(path)
    }

    fn give_back_a_page(&self) {
        let file = File::options().write(true).open(&self.0).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length.checked_sub(PAGE_BYTES).expect("the disk was filled")).unwrap();
    }

    fn empty(self) {
        std::fs::remove_file(self.0).unwrap();
    }
}

#[test]
fn a_full_disk_is_a_service_fault_at_charge_and_at_settle_and_never_a_wrong_pin() {
    in_a_mount_namespace("database_disk_full");
}

#[test]
#[ignore = "needs a mount namespace, which the test above makes"]
fn database_disk_full() {
    runtime().block_on(async {
        let mut elsewhere = PathBuf::new();
        let deployment = Deployment::prepared(|host| {
            let kept = host.with_file_name("kept");
            std::fs::rename(host, &kept).unwrap();
            std::fs::create_dir(host).unwrap();
            mount(host, "16m");
            for entry in std::fs::read_dir(&kept).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
                std::fs::copy(entry.path(), host.join(entry.file_name())).unwrap();
            }
            // The anchor has a disk of its own.
            std::os::unix::fs::symlink(kept.join("anchor"), host.join("anchor")).unwrap();
            elsewhere = kept;
        });
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        let attested = ann.attested(&life.door).await;

        let filler = Filler::fill(&deployment.host());
        let not_durable =
            |error: &OperationError| matches!(error, OperationError::Refused { refusal: Refusal::NotDurable });
        let wrong = attested.verify_pin(&pin(WRONG_PIN)).await.unwrap_err();
        assert!(not_durable(&wrong), "{wrong:?}");
        let right = sign(&attested, PIN, b"full").await.unwrap_err();
        assert!(not_durable(&right), "{right:?}");
        // What is read needs a checkpoint of its own.
        let read = attested.status().await.unwrap_err();
        assert!(not_durable(&read), "{read:?}");

        // A page at a time, until there is room for the charge and none for the settling write.
        let mut pages = 0;
        loop {
            pages += 1;
            assert!(pages < PAGES_MAX);
            filler.give_back_a_page();
            match sign(&attested, PIN, b"nearly full").await.unwrap_err() {
                OperationError::ServiceFault { tries } => {
                    assert_eq!(tries.left, 4);
                    break;
                }
                error => assert!(not_durable(&error), "{error:?}"),
            }
        }
        filler.empty();
        let seen = status(&attested).await;
        let stands = (seen.status.outstanding, seen.tries.left);
        assert_eq!(stands, (1, 4), "the stored charge stands, and what was not stored is not charged");
        assert_eq!(sign(&attested, PIN, b"free").await.unwrap(), address);
        assert_eq!(status(&attested).await.status.outstanding, 0);
        life.stop();
        let life = deployment.start();
        assert_eq!(sign(&ann.attested(&life.door).await, PIN, b"again").await.unwrap(), address);
        life.stop();
    });
}

#[test]
fn a_full_anchor_disk_hinders_nobody() {
    in_a_mount_namespace("anchor_disk_full");
}

#[test]
#[ignore = "needs a mount namespace, which the test above makes"]
fn anchor_disk_full() {
    runtime().block_on(async {
        let deployment = Deployment::prepared(|host| mount(&host.join("anchor"), "64k"));
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        let attested = ann.attested(&life.door).await;

        // An advance overwrites what is there: it needs no room.
        let _filler = Filler::fill(&deployment.host().join("anchor"));
        assert!(is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await.map(drop)));
        life.stop();
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        let seen = status(&attested).await;
        assert_eq!((seen.status.outstanding, seen.tries.left), (1, 4));
        assert_eq!(sign(&attested, PIN, b"full").await.unwrap(), address);
        life.stop();
    });
}
