//! The demo is the end-to-end test a person can watch.

use crate::process::{code, command, flowed, text};

/// The steps it tells, in order.
const STEPS: &[&str] = &[
    "Start the system",
    "Verify the enclave's evidence",
    "Log in by e-mail",
    "Set a PIN, make the wallet",
    "Fund the account",
    "Send: decode, approve, seal, sign, mine",
    "Enter a wrong PIN",
    "List what was sent",
    "Stop",
];

#[test]
fn the_whole_main_job_passes_and_nothing_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    let output = command(scratch.path(), &["demo"]).env("TMPDIR", scratch.path()).output().unwrap();
    let told = text(&output);
    assert_eq!(code(&output), 0, "{told}");
    let mut rest = told.as_str();
    for step in STEPS {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("step {step:?} is missing or out of order:\n{told}")).1;
    }
    assert!(flowed(&output).contains("proves nothing about hardware"), "{told}");
    assert!(told.contains("4 tries left"), "{told}");
    assert!(told.contains("0.25 ETH"), "{told}");
    assert!(rest.contains(&format!("all {} steps passed", STEPS.len())), "{told}");
    assert!(!told.contains('\u{1b}'), "colours without a terminal");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the demo left files behind");
}

#[test]
fn a_step_that_fails_is_named_and_the_exit_code_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let output = command(scratch.path(), &["demo"])
        .env("TMPDIR", scratch.path())
        .env("PINSEAL_ANVIL", "/nonexistent/anvil")
        .output()
        .unwrap();
    assert_ne!(code(&output), 0);
    let told = text(&output);
    assert!(told.contains("Start the system failed"), "{told}");
    assert!(told.contains("PINSEAL_ANVIL"), "{told}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the demo left files behind");
}
