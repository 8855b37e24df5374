//! What the kernel is asked for, in order: nothing is answered that is not on disk.
//!
//! The journey of [`crate::crash::child`] runs under strace. Whatever the code says of itself, here the calls count.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::crash::{DIRECTORY, prepared};

/// One call that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    /// Bytes went to the database's log.
    LogWritten,
    /// The database's log is on disk.
    LogSynced,
    /// The new checkpoint was written beside the old one.
    AnchorWritten,
    /// What an earlier process had put in force is on disk.
    AnchorSettled,
    /// The new checkpoint is on disk.
    AnchorSynced,
    /// The caller got its answer and noted it.
    Answered(String),
}

/// The calls in the order they took effect: a write when it begins, a sync when it has returned.
fn calls(trace: &str, directory: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, &str> = HashMap::new();
    let mut out = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        let resumed = call.starts_with("<...");
        let begun = if resumed { unfinished.remove(thread).unwrap_or_default() } else { call };
        let is_unfinished = call.ends_with("<unfinished ...>");
        if is_unfinished {
            unfinished.insert(thread, call);
        }
        let is_returned = !is_unfinished && call.contains(" = 0");
        let at = |name: &str| begun.contains(&format!("<{directory}/{name}>"));
        let is_sync = begun.starts_with("fsync(") || begun.starts_with("fdatasync(");
        let effect = if begun.starts_with("pwrite64(") && at("pinseal.db-wal") {
            (!resumed).then_some(Call::LogWritten)
        } else if begun.starts_with("write(") && at("told") {
            let text = begun.split('"').nth(1).unwrap_or_default().trim_end_matches("\\n").to_owned();
            (!resumed).then_some(Call::Answered(text))
        } else if is_sync && is_returned && at("pinseal.db-wal") {
            Some(Call::LogSynced)
        } else if begun.starts_with("pwrite64(") && at("anchor.note") {
            (!resumed).then_some(Call::AnchorWritten)
        } else if begun.starts_with("fsync(") && is_returned && at("anchor.note") {
            Some(Call::AnchorSettled)
        } else if begun.starts_with("fdatasync(") && is_returned && at("anchor.note") {
            Some(Call::AnchorSynced)
        } else {
            None
        };
        out.extend(effect);
    }
    out
}

#[test]
fn every_answer_follows_as_many_synced_commits_and_anchors_as_its_method_writes() {
    let (temporary, world) = prepared();
    world.create().unwrap();
    let directory = fs::canonicalize(temporary.path()).unwrap();
    let trace = directory.join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync,write,pwrite64", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(DIRECTORY, &directory)
        .output()
        .unwrap_or_else(|error| panic!("this test needs strace (apt-get install strace): {error}"));
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));

    let trace = fs::read_to_string(trace).unwrap();
    let (mut is_log_dirty, mut is_written) = (false, false);
    let (mut anchored, mut settled) = (0, 0);
    let mut answers = Vec::new();
    for call in calls(&trace, directory.to_str().unwrap()) {
        match call {
            Call::LogWritten => is_log_dirty = true,
            Call::LogSynced => is_log_dirty = false,
            Call::AnchorWritten => {
                assert!(!is_log_dirty, "the anchor moved before the database was on disk");
                is_written = true;
            }
            Call::AnchorSettled => {
                assert!(answers.is_empty(), "one process settles once");
                (is_written, settled) = (false, settled + 1);
            }
            Call::AnchorSynced => {
                assert_eq!(settled, 1, "one slot was overwritten before the other was known to be on disk");
                assert!(is_written, "nothing was written to the anchor");
                is_written = false;
                anchored += 1;
            }
            Call::Answered(answer) => {
                // The log may be dirty again: an idle moment after the last batch drops superseded records.
                assert!(!is_written, "{answer}: answered before all was on disk");
                answers.push((answer, anchored));
                anchored = 0;
            }
        }
    }
    let expected = [
        // With the one of the boot entry.
        ("prepared", 2),
        ("registered", 2),
        ("wrong", 2),
        ("right", 2),
        ("change prepared", 2),
        ("changed", 2),
    ];
    assert_eq!(answers, expected.map(|(answer, anchored)| (answer.to_owned(), anchored)));
}
