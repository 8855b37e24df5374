//! A process that dies at a fault point, for every point and every pass of it.
//!
//! The child is this very test binary: it boots the deployment in the directory it is given and runs a journey, noting what
//! it was told. The parent boots what is left, compares, and takes the journey to its end.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::limits::PIN_LIFE_WRONG_MAX;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request, WalletState};

use crate::world::{Client, World, factor};

/// Tells the child where to work; without it the child test has nothing to do.
pub const DIRECTORY: &str = "PINSEAL_TEST_CRASH_DIRECTORY";
/// Passes of one point in one journey: more than there are, so that every sweep ends by itself.
const PASSES_MAX: u32 = 200;

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

/// One thing the child was told, durable before it goes on.
fn note(directory: &Path, line: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path(directory, "told")).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn world(directory: &Path) -> World {
    World::over(directory, fs::read(path(directory, "issuer")).unwrap())
}

fn ann(directory: &Path) -> Client {
    Client::with_key("ann", &fs::read(path(directory, "device")).unwrap())
}

/// Directory with the keys of login service and device.
pub fn prepared() -> (tempfile::TempDir, World) {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    fs::write(path(directory, "issuer"), World::empty().pkcs8()).unwrap();
    fs::write(path(directory, "device"), Client::fresh_key()).unwrap();
    let world = world(directory);
    assert_eq!(world.configuration.anchor, AnchorLevel::L1);
    (temporary, world)
}

#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let directory = PathBuf::from(directory);
    let world = world(&directory);
    if !path(&directory, "root.sealed").exists() || path(&directory, "genesis.note").exists() {
        world.create().unwrap();
    }
    let trunk = world.boot().unwrap();
    let mut ann = ann(&directory);
    ann.register_prepare(&world, &trunk, "123456").unwrap();
    note(&directory, "prepared");
    match ann.register_confirm(&world, &trunk, "123456").unwrap() {
        Outcome::Registered(statement) => {
            fs::write(path(&directory, "address"), pinseal_protocol::cbor::to_vec(&statement)).unwrap();
            note(&directory, "registered");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ann.verify(&world, &trunk, "000000").unwrap(), Outcome::WrongPin);
    note(&directory, "wrong");
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
    note(&directory, "right");
    let outcome = ann.run(&world, &trunk, Method::ChangePinPrepare, |begin| Request::ChangePinPrepare {
        pin: factor("123456", &begin.current.unwrap()),
        new_pin: factor("777777", &begin.next),
    });
    assert_eq!(outcome.unwrap(), Outcome::Prepared);
    note(&directory, "change prepared");
    let outcome = ann.run(&world, &trunk, Method::ChangePinConfirm, |begin| Request::ChangePinConfirm {
        pin: factor("777777", &begin.pending.unwrap()),
    });
    assert_eq!(outcome.unwrap(), Outcome::PinChanged);
    note(&directory, "changed");
    // An idle moment, for what is dropped then.
    while world.records().superseded().unwrap() > 0 {
        std::thread::yield_now();
    }
}

/// Runs the child; true if it died at the point.
fn dies(directory: &Path, point: &str, pass: u32) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .env("PINSEAL_FAULT", format!("{point}:{pass}"))
        .output()
        .unwrap();
    let aborted = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(6);
    assert!(aborted || output.status.success(), "{point}:{pass}: {}", String::from_utf8_lossy(&output.stderr));
    aborted
}

/// What must hold whenever it died: the deployment boots, no try is bought back, no address is lost, the PIN in force is one
/// of the two, and the journey can be finished.
fn survives(directory: &Path, context: &str) {
    let world = world(directory);
    if !path(directory, "root.sealed").exists() {
        world.create().unwrap();
    }
    let trunk = world.boot().unwrap_or_else(|error| panic!("{context}: {error}"));
    let told = fs::read_to_string(path(directory, "told")).unwrap_or_default();
    let was_told = |line: &str| told.lines().any(|told| told == line);
    let mut ann = ann(directory);
    let status = ann.status(&world, &trunk);
    match status.state {
        WalletState::Missing => assert!(!was_told("prepared"), "{context}: a wallet is lost"),
        WalletState::Prepared => assert!(!was_told("registered"), "{context}: a registration is lost"),
        WalletState::Active => assert!(was_told("prepared"), "{context}"),
    }
    if status.state == WalletState::Missing {
        assert_eq!(ann.register_prepare(&world, &trunk, "123456").unwrap(), Outcome::Prepared, "{context}");
    }
    if status.state != WalletState::Active {
        let confirmed = ann.register_confirm(&world, &trunk, "123456").unwrap();
        assert!(matches!(confirmed, Outcome::Registered(_)), "{context}: {confirmed:?}");
    }
    let old = ann.verify_reply(&world, &trunk, "123456").unwrap();
    if old.outcome == Outcome::PinVerified {
        assert!(!was_told("changed"), "{context}: a PIN change is lost");
        let wrong = PIN_LIFE_WRONG_MAX - old.tries.unwrap().life_left;
        assert!(wrong >= u8::from(was_told("wrong")), "{context}: a wrong answer is forgotten");
    } else {
        assert!(was_told("change prepared"), "{context}: the old PIN ended before the new one was prepared");
        assert_eq!(ann.verify(&world, &trunk, "777777").unwrap(), Outcome::PinVerified, "{context}");
    }
    if let Ok(address) = fs::read(path(directory, "address")) {
        let listed = ann
            .run(&world, &trunk, Method::ListAccounts, |_| Request::ListAccounts { accounts: vec![first_account()] })
            .unwrap();
        let Outcome::Accounts(accounts) = listed else { panic!("{context}: {listed:?}") };
        let statements: Vec<_> = accounts.iter().map(|account| account.statement.clone()).collect();
        let told: pinseal_protocol::request::SignedStatement = pinseal_protocol::cbor::from_slice(&address).unwrap();
        assert_eq!(statements, [told.statement], "{context}: another address");
    }
}

fn first_account() -> pinseal_protocol::intent::AccountIndex {
    pinseal_protocol::intent::AccountIndex::default()
}

fn sweep(point: &str) {
    let (fresh, world) = prepared();
    if !point.starts_with("create.") {
        world.create().unwrap();
    }
    let mut deaths = 0;
    for pass in 1..=PASSES_MAX {
        let temporary = tempfile::tempdir().unwrap();
        for file in fs::read_dir(fresh.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), temporary.path().join(file.file_name())).unwrap();
        }
        let died = dies(temporary.path(), point, pass);
        survives(temporary.path(), &format!("{point}:{pass}"));
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 0, "{point} was never passed");
    assert!(deaths < PASSES_MAX, "the sweep of {point} never ended");
}

#[test]
fn dying_before_a_frame_to_the_enclave() {
    sweep("host.before_enclave_send");
}

#[test]
fn dying_before_the_transaction() {
    sweep("host.before_commit");
}

#[test]
fn dying_between_transaction_and_anchor() {
    sweep("host.after_commit");
}

#[test]
fn dying_between_anchor_and_enclave() {
    sweep("host.after_anchor");
}

#[test]
fn dying_before_the_reply() {
    sweep("host.before_reply");
}

#[test]
fn dying_before_superseded_records_are_dropped() {
    sweep("host.before_drop_old");
}

#[test]
fn dying_while_the_deployment_is_created() {
    sweep("create.after_root");
    sweep("create.after_genesis");
}
