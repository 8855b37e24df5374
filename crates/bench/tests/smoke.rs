//! Every measure runs, and its responses are verified. The numbers of a quick try mean nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn every_measure_runs_and_every_response_is_verified() {
    let program = env!("CARGO_BIN_EXE_pinseal-bench");
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let json = scratch.path().join("results.json");
    let output = Command::new(program)
        .args(["--quick", "--dir"])
        .arg(scratch.path().join("bench"))
        .arg("--json")
        .arg(&json)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let findings: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    for block in [
        "raw",
        "softhsm",
        "enclave@1",
        "enclave@64",
        "durable",
        "anvil@1",
        "anvil@2",
        "sign@1",
        "sign@2",
        "begin@2",
        "many@2",
        "register@2",
        "login@2",
    ] {
        assert!(findings["blocks"][block]["responses"].as_u64().unwrap_or_default() > 0, "{block}: {said}");
    }
    assert!(findings["verdict"]["pairs"].as_u64().unwrap() > 0);
    assert!(findings["scale"]["large_enclave"]["resident"].as_u64().unwrap() > 0);
    assert!(findings["syncs_for_1000"]["1"].as_f64().unwrap() > 0.0, "{said}");
    assert_eq!(findings["goals"].as_array().unwrap().len(), 8, "{said}");
}
