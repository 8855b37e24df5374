//! Backups: `pinseal backup` beside whoever serves; by hand, after an ordinary stop, a copy of one file, and after a kill of three.

use std::path::Path;
use std::process::Output;

use pinseal_client::operation::Acceptance;
use serde_json::Value;

use super::changed::started;
use super::deployment::{Deployment, copied, run, run_with_fault};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign, status};

fn back_up(deployment: &Deployment, to: &Path) -> Output {
    run(&["backup", "--json", "--data", deployment.data.to_str().unwrap(), "--to", to.to_str().unwrap()])
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(json)))
}

/// The code it fails with and what it says; nothing is left of it.
fn refused(deployment: &Deployment, to: &Path) -> (String, String) {
    let done = back_up(deployment, to);
    assert!(!done.status.success(), "{done:?}");
    let beside = std::fs::read_dir(deployment.scratch()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = beside.filter(|name| name.to_str().unwrap().contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    let error = &value(&done.stderr)["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("code"), format!("{}; {}", text("message"), text("advice")))
}

fn assert_refused(deployment: &Deployment, to: &Path, code: &str, words: &str) {
    let said = refused(deployment, to);
    assert!(said.0 == code && said.1.contains(words), "{code}: {words:?} is not in {said:?}");
}

#[test]
fn a_backup_made_while_it_serves_brings_everything_back_where_nothing_is_left() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let to = deployment.scratch().join("backup");
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        assert!(is_wrong_pin(&ann.attested(&life.door).await.verify_pin(&pin(WRONG_PIN)).await));
        let made = back_up(&deployment, &to);
        assert!(made.status.success(), "{made:?}");
        let said = value(&made.stdout);
        assert_eq!(said["wallets"], 1, "{said}");
        let held = said["log_entries"].as_u64().unwrap();
        assert!((3..=deployment.anchored().size).contains(&held), "{said}");
        // It serves on, and what is written now is not in it.
        let attested = ann.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"while it serves").await.unwrap(), address);
        let (late, _) = User::registered(&life.door, "late@example.org").await;
        life.stop();
        assert_refused(&deployment, &to, "exists", "is there already");

        // The machine is gone, and with it the anchor. The passphrase was kept elsewhere.
        let passphrase = std::fs::read(deployment.data.join("passphrase")).unwrap();
        std::fs::remove_dir_all(&deployment.data).unwrap();
        copied(&to, &deployment.data);
        assert!(!deployment.data.join("passphrase").exists());
        let data = deployment.data.to_str().unwrap();
        let without = run(&["restore", "--yes", "--json", "--data", data]);
        assert_eq!(value(&without.stderr)["error"]["code"], "usage", "{without:?}");
        assert!(String::from_utf8_lossy(&without.stderr).contains("passphrase"), "{without:?}");
        std::fs::write(deployment.data.join("passphrase"), passphrase).unwrap();
        std::fs::set_permissions(deployment.data.join("passphrase"), owner_alone()).unwrap();
        assert_eq!(deployment.stored().size, held);
        assert_eq!(
            deployment.refused().code,
            "anchor_missing",
            "what is put back is no state before the operators say so"
        );
        let restored = run(&["restore", "--yes", "--json", "--data", data]);
        assert!(restored.status.success(), "{restored:?}");

        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert!(matches!(attested.accept_restore().await, Ok(Acceptance::Device(_))));
        let attested = ann.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"on another machine").await.unwrap(), address);
        // Nobody there knows her, neither of her login nor of her wallet.
        assert!(late.attested(&life.door).await.verify_pin(&pin(PIN)).await.is_err());
        life.stop();
    });
}

fn owner_alone() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o600)
}

#[test]
fn of_a_change_that_is_half_done_there_is_no_backup_and_of_a_finished_one_there_is() {
    let deployment = Deployment::new();
    let to = deployment.scratch().join("backup");
    let data = deployment.data.to_str().unwrap();
    for (breaker, fault) in [("101", "change.before_root"), ("102", "change.after_root"), ("103", "change.between")] {
        let change = ["config", "change", "--yes", "--breaker", breaker, "--data", data];
        let died = run_with_fault(&change, &format!("{fault}:1"));
        assert!(!died.status.success(), "{fault}: {died:?}");
        // Whoever opens the database last copies its log into its file.
        let _ = deployment.stored();
        let before = deployment.files();
        assert_refused(&deployment, &to, "backup", "a change of the configuration is under way");
        // Nor does whoever only looks finish it: somebody else may be at it.
        let shown = run(&["config", "show", "--json", "--data", data]);
        assert_eq!(value(&shown.stdout)["change_unfinished"], true, "{fault}: {shown:?}");
        assert!(deployment.files() == before, "{fault}: something was changed");
        started(&deployment).0.stop();
    }
    let made = back_up(&deployment, &to);
    assert!(made.status.success(), "{made:?}");
    for name in ["root.sealed", "configuration.cbor", "log.vkey", "server.toml", "issuer.p8"] {
        let read = |directory: &Path| std::fs::read(directory.join("host").join(name)).unwrap();
        assert_eq!(read(&to), read(&deployment.data), "{name}");
    }
}

#[test]
fn without_a_part_that_nothing_runs_without_there_is_no_backup_and_no_other_part_is_made() {
    let deployment = Deployment::new();
    let to = deployment.scratch().join("backup");
    let away = deployment.scratch().join("away");
    let data = deployment.data.to_str().unwrap();
    for (name, code) in [
        ("root.sealed", "not_initialised"),
        ("log.vkey", "not_initialised"),
        ("configuration.cbor", "not_initialised"),
        ("pinseal.sqlite", "not_initialised"),
        ("server.toml", "not_initialised"),
        ("issuer.p8", "backup"),
    ] {
        std::fs::rename(deployment.host().join(name), &away).unwrap();
        assert_refused(&deployment, &to, code, &format!("{name} is missing"));
        // Nothing else works either, and each says the same.
        for command in
            [&["config", "show"][..], &["restore", "--yes"], &["config", "change", "--yes", "--breaker", "200"]]
        {
            let told = run(&[command, &["--json", "--data", data]].concat());
            let is_told = String::from_utf8_lossy(&told.stderr).contains(&format!("{name} is missing"));
            assert!(code == "backup" || !told.status.success() && is_told, "{name}: {told:?}");
            if code == "backup" {
                break;
            }
        }
        if !["issuer.p8", "root.sealed"].contains(&name) {
            let refused = deployment.try_start(None).map(drop).unwrap_err();
            assert!(refused.code == "not_initialised" && refused.sentence.contains(name), "{name}: {refused:?}");
        }
        assert!(!deployment.host().join(name).exists(), "{name} is made by the way");
        std::fs::rename(&away, deployment.host().join(name)).unwrap();
    }
    deployment.start().stop();
    // A place that cannot be made, one within, and a database and a key of another deployment.
    std::fs::write(&away, "a file").unwrap();
    assert_refused(&deployment, &away.join("backup"), "file", "away");
    assert_refused(&deployment, &deployment.data.join("backup"), "usage", "lies in what is to be backed up");
    let missing = deployment.scratch().join("missing");
    assert_refused(&deployment, &missing.join("../backup"), "usage", "leads through a directory that is not there");
    let linked = deployment.scratch().join("linked");
    std::os::unix::fs::symlink(&deployment.data, &linked).unwrap();
    assert_refused(&deployment, &linked.join("backup"), "usage", "lies in what is to be backed up");
    assert_refused(&deployment, &missing.join(".."), "usage", "is no name for a directory");
    assert!(!missing.exists());
    let other = Deployment::new();
    let newest = deployment.database();
    let named =
        |(path, content): (std::path::PathBuf, Vec<u8>)| (deployment.host().join(path.file_name().unwrap()), content);
    deployment.put_back(&other.database().into_iter().map(named).collect());
    assert_refused(&deployment, &to, "backup", "not this deployment's");
    deployment.put_back(&newest);
    std::fs::copy(other.host().join("issuer.p8"), deployment.host().join("issuer.p8")).unwrap();
    assert_refused(&deployment, &to, "issuer_key", "not the key that configuration.cbor trusts");
}

#[test]
fn what_lies_elsewhere_is_told_of_and_a_place_may_end_in_a_slash() {
    let deployment = Deployment::new();
    let (host, disk) = (deployment.host(), deployment.scratch().join("disk"));
    let to = deployment.scratch().join("backup");
    let said = value(&back_up(&deployment, &to.join("")).stdout);
    assert_eq!((&said["issuer_key_elsewhere"], &said["anchor_elsewhere"]), (&false.into(), &false.into()), "{said}");
    assert!(to.join("host/root.sealed").exists());
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&to.metadata().unwrap().permissions()) & 0o777, 0o700);

    // An absolute path, as an operator may write it: a copy of the whole would go on with the key of the first.
    let settings = std::fs::read_to_string(host.join("server.toml")).unwrap();
    let absolute = format!("\"{}\"", host.join("issuer.p8").display());
    std::fs::write(host.join("server.toml"), settings.replace("\"issuer.p8\"", &absolute)).unwrap();
    std::fs::rename(host.join("anchor"), &disk).unwrap();
    std::os::unix::fs::symlink(&disk, host.join("anchor")).unwrap();
    std::fs::remove_dir_all(&to).unwrap();
    let said = value(&back_up(&deployment, &to).stdout);
    assert_eq!((&said["issuer_key_elsewhere"], &said["anchor_elsewhere"]), (&true.into(), &true.into()), "{said}");
    assert!(
        to.join("host/anchor").symlink_metadata().unwrap().is_dir(),
        "a restore of the copy never reaches the anchor of what lives"
    );

    // The other way to have it on another disk.
    std::fs::remove_file(host.join("anchor")).unwrap();
    std::fs::create_dir(host.join("anchor")).unwrap();
    std::os::unix::fs::symlink(disk.join("checkpoint"), host.join("anchor/checkpoint")).unwrap();
    std::fs::remove_dir_all(&to).unwrap();
    let said = value(&back_up(&deployment, &to).stdout);
    assert_eq!(said["anchor_elsewhere"], true, "{said}");
    assert!(to.join("host/anchor/checkpoint").symlink_metadata().is_err());
    deployment.start().stop();
}

#[test]
fn a_directory_in_which_others_write_is_no_place_for_a_backup_and_another_hosts_is_left_to_it() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let deployment = Deployment::new();
    let open = deployment.scratch().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_refused(&deployment, &open.join("backup"), "exposed", "somebody else can have written");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(back_up(&deployment, &open.join("backup")).status.success());
    // The rest takes two users.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(deployment.host(), Some(12_345), None).unwrap();
    let to = deployment.scratch().join("as-nobody");
    let (data, place) = (deployment.data.to_str().unwrap(), to.to_str().unwrap());
    let as_nobody = ["backup", "--json", "--host-user", "nobody", "--data", data, "--to", place];
    let other = run(&as_nobody);
    assert!(String::from_utf8_lossy(&other.stderr).contains("belongs to another user"), "{other:?}");
    assert_eq!(deployment.host().metadata().unwrap().uid(), 12_345, "it was not taken away");
    chown(deployment.host(), Some(0), None).unwrap();
    std::fs::set_permissions(deployment.scratch(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let made = run(&as_nobody);
    assert!(made.status.success(), "{made:?}");
    let owners = || {
        let mut paths = vec![to.clone(), to.join("host")];
        paths.extend(std::fs::read_dir(to.join("host")).unwrap().map(|entry| entry.unwrap().path()));
        assert!(paths.len() > 6, "{paths:?}");
        paths.iter().map(|path| path.metadata().unwrap().uid()).collect::<Vec<_>>()
    };
    assert!(owners().iter().all(|owner| *owner == 0), "none of it is the host's any more");
    // It is given to the host's user, and that let through to it, once it is somebody's data directory.
    let shown = run(&["config", "show", "--host-user", "nobody", "--data", place]);
    assert!(shown.status.success(), "{shown:?}");
    let owners = owners();
    assert!(owners[0] == 0 && owners[1..].iter().all(|owner| *owner != 0), "{owners:?}");
}

#[test]
fn whose_issuer_key_is_lost_or_anothers_is_told_how_to_make_one_and_loses_no_wallet() {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        let key = deployment.host().join("issuer.p8");
        let other = Deployment::new();
        std::fs::copy(other.host().join("issuer.p8"), &key).unwrap();
        let foreign = deployment.refused();
        assert_eq!(foreign.code, "issuer_key", "{foreign:?}");
        assert!(foreign.sentence.contains("not the key that configuration.cbor trusts"), "{foreign:?}");
        let own = std::fs::read(other.host().join("issuer.p8")).unwrap();
        std::fs::write(&key, own).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let open = deployment.refused();
        assert!(open.code == "issuer_key" && open.advice.starts_with("where nobody else has read it"), "{open:?}");
        std::fs::remove_file(&key).unwrap();
        let lost = deployment.refused();
        assert_eq!(lost.code, "issuer_key", "{lost:?}");
        assert!(lost.advice.contains("config change --new-issuer-key"), "{lost:?}");
        let data = deployment.data.to_str().unwrap();
        let restored = run(&["restore", "--yes", "--json", "--data", data]);
        assert_eq!(
            value(&restored.stderr)["error"]["code"],
            "issuer_key",
            "it would close every wallet in vain: {restored:?}"
        );
        let made = run(&["config", "change", "--new-issuer-key", "--yes", "--data", data]);
        assert!(made.status.success(), "{made:?}");
        let life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"with another key").await.unwrap(), address);
        life.stop();
    });
}

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
