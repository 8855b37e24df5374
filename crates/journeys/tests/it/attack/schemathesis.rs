//! Generated requests: every answer of the real server is one that docs/openapi.json lists.

use std::path::PathBuf;
use std::process::Command;

use crate::crash::process::program;

/// Generated calls per operation and phase; `make schemathesis` makes many more.
const EXAMPLES: &str = "2";

#[test]
fn every_answer_to_generated_requests_is_documented_and_none_is_a_fault() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    assert!(root.join("target/schemathesis/venv/bin/schemathesis").exists(), "run `make setup` first");
    let done = Command::new(root.join("scripts/schemathesis/run"))
        .env("EXAMPLES", EXAMPLES)
        .env("SEED", "1")
        .env("CALLERS", "user,stranger")
        .env("PROGRAMS", program("pinseal").parent().unwrap())
        .env_remove("PINSEAL_FAULT")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let total: u64 = said
        .lines()
        .filter_map(|line| line.strip_prefix("schemathesis as ")?.split(' ').nth(1)?.parse::<u64>().ok())
        .sum();
    assert!(total > 800, "{total} calls: {said}");
}
