//! Every measure runs, and its responses are verified; a soak runs and judges. The numbers of a quick try mean nothing and are not looked
//! at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use serde_json::Value;

/// A quarter of a minute: one kill of each process, and time to come back.
const SOAK_MINUTES: &str = "0.25";

#[test]
fn a_soak_kills_both_processes_and_judges_what_is_left() {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let json = scratch.path().join("soak.json");
    let output = Command::new(env!("CARGO_BIN_EXE_pinseal-bench"))
        .args(["soak", "--quick", "--minutes", SOAK_MINUTES, "--dir"])
        .arg(scratch.path().join("bench"))
        .arg("--json")
        .arg(&json)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let soaked: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!((number(&soaked["kills_of_host"]), number(&soaked["kills_of_enclave"])), (1, 1), "{said}");
    assert!(number(&soaked["tally"]["signed"]) > 0 && number(&soaked["tally"]["wrong"]) > 0, "{said}");
    assert!(number(&soaked["tally"]["most_to_strangers"]) > 0, "{said}");
    assert_eq!(number(&soaked["judgement"]["wallets"]), 6, "{said}");
    assert!(number(&soaked["sent"]["acknowledged"]) > 0 && number(&soaked["sent"]["mined"]) > 0, "{said}");
    assert!(number(&soaked["sent"]["attempts"]) > number(&soaked["sent"]["acknowledged"]), "{said}");
    assert!(number(&soaked["judgement"]["receipts"]) >= 4 && number(&soaked["judgement"]["entries"]) > 0, "{said}");
    assert!(!soaked["looks"].as_array().unwrap().is_empty(), "{said}");
}

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

#[test]
fn every_level_of_anchor_is_measured_beside_the_others() {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let json = scratch.path().join("levels.json");
    let output = Command::new(env!("CARGO_BIN_EXE_pinseal-bench"))
        .args(["levels", "--quick", "--dir"])
        .arg(scratch.path().join("bench"))
        .arg("--json")
        .arg(&json)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let rows: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    let levels: Vec<&str> = rows.iter().map(|row| row["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["L0", "L1", "L2", "L4"], "{said}");
    for row in rows {
        assert!(row["responses"].as_u64().unwrap() > 0, "{row}");
        assert!(row["p50_to_l0"]["median"].as_f64() > Some(0.0), "{row}");
        // One client at a time shares its batches with nobody.
        assert!(row["counted"]["records_a_batch"].as_f64() <= Some(1.0), "{row}");
        assert!(row["counted"]["syncs_a_thousand"].as_f64() >= Some(1_000.0), "{row}");
    }
    for word in ["L1 ", "L2 ", "L4 ", "goal of CPU/L0 at 64"] {
        assert!(said.contains(word), "{said}");
    }
}
