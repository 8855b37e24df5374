//! Generated requests: every answer of the real server is one that docs/openapi.json lists.

use std::path::PathBuf;
use std::process::Command;

use crate::crash::process::program;

/// Generated calls per operation and phase; `make schemathesis` makes many more.
const EXAMPLES: &str = "2";

/// Callers of two runs side by side, each with a system of its own.
#[test]
fn every_answer_to_generated_requests_of_a_user_or_a_stranger_is_documented_and_none_is_a_fault() {
    holds_to_the_document("user,stranger");
}

#[test]
fn every_answer_to_generated_requests_of_a_page_or_an_app_is_documented_and_none_is_a_fault() {
    holds_to_the_document("page,app");
}

fn holds_to_the_document(callers: &str) {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    assert!(root.join("target/schemathesis/venv/bin/schemathesis").exists(), "run `make setup` first");
    let done = Command::new(root.join("scripts/schemathesis/run"))
        .env("EXAMPLES", EXAMPLES)
        .env("SEED", "1")
        .env("CALLERS", callers)
        .env("PROGRAMS", program("pinseal").parent().unwrap())
        .env_remove("PINSEAL_FAULT")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    for caller in callers.split(',') {
        let mine = |line: &str| {
            line.strip_prefix(&format!("schemathesis as {caller}: "))?.split(' ').next()?.parse::<u64>().ok()
        };
        let calls = said.lines().find_map(mine).unwrap_or(0);
        assert!(calls > 400, "{calls} calls as {caller}: {said}");
    }
}
