//! What the kernel saw: database and anchor are synced, twice, before a reply leaves the host.

use super::deployment::Deployment;
use super::user::{PIN, User, runtime, sign};

/// Calls that write, sync or send.
const CALLS: &str = "fsync,fdatasync,pwrite64,write,sendto,sendmsg,writev";

/// A traced call, as far as the order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    WriteDatabase,
    SyncDatabase,
    WriteAnchor,
    SyncAnchor,
    TellEnclave,
    Answer,
}

/// What a line of the trace says; calls that another thread interrupted count where they began if they send, and where they
/// returned if they make durable.
fn call(line: &str, pending: &mut Vec<(String, Call)>) -> Option<Call> {
    let (thread, line) = line.split_once(' ')?;
    let line = line.trim_start();
    if let Some(resumed) = line.strip_prefix("<... ") {
        let place = pending.iter().position(|(waiting, _)| waiting == thread)?;
        let (_, call) = pending.remove(place);
        return succeeded(resumed).then_some(call);
    }
    let name = line.split('(').next()?;
    let syncs = matches!(name, "fsync" | "fdatasync");
    let sends = matches!(name, "write" | "writev" | "sendto" | "sendmsg");
    let first = line.split(',').next()?;
    let call = if syncs && first.contains("pinseal.sqlite-wal") {
        Call::SyncDatabase
    } else if name == "pwrite64" && first.contains("pinseal.sqlite-wal") {
        Call::WriteDatabase
    } else if syncs && first.contains("anchor/checkpoint>") {
        Call::SyncAnchor
    } else if name == "pwrite64" && first.contains("anchor/checkpoint>") {
        Call::WriteAnchor
    } else if sends && first.contains("<UNIX") {
        Call::TellEnclave
    } else if sends && first.contains("<TCP") && line.contains("HTTP/1.1 ") {
        Call::Answer
    } else {
        return None;
    };
    let waits = line.ends_with("<unfinished ...>");
    let sending = matches!(call, Call::TellEnclave | Call::Answer);
    if waits && !sending {
        pending.push((thread.to_owned(), call));
        return None;
    }
    (waits || succeeded(line)).then_some(call)
}

fn succeeded(line: &str) -> bool {
    line.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-'))
}

#[test]
fn database_and_anchor_are_synced_twice_before_the_reply_leaves() {
    runtime().block_on(async {
        let mut deployment = Deployment::new();
        let life = deployment.start();
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();

        let trace = deployment.scratch().join("trace");
        let trace_calls = format!("trace={CALLS}");
        let wrapper = ["strace", "-f", "-qq", "-yy", "-s", "16", "-e", &trace_calls, "-o", trace.to_str().unwrap()];
        deployment.wrapper = wrapper.map(str::to_owned).to_vec();
        let mut life = deployment.start();
        let attested = ann.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"traced").await.unwrap(), address);
        // The host ends when its enclave does, and the tracer with it.
        life.enclave.signal(rustix::process::Signal::KILL);
        life.enclave.ended();
        life.host.ended();

        let text = std::fs::read_to_string(&trace).unwrap();
        let mut pending = Vec::new();
        let calls: Vec<Call> = text.lines().filter_map(|line| call(line, &mut pending)).collect();
        // The last two answers are those to begin and to the sealed request; nothing was asked after it.
        let answers: Vec<usize> = (0..calls.len()).filter(|place| calls[*place] == Call::Answer).collect();
        let [.., begun, replied] = answers.as_slice() else { panic!("no answers: {calls:?}") };
        let mut between = calls[begun + 1..*replied].to_vec();
        between.dedup();

        let durable = [Call::WriteDatabase, Call::SyncDatabase, Call::WriteAnchor, Call::SyncAnchor, Call::TellEnclave];
        // The request goes to the enclave; then each batch is stored, anchored and only then acknowledged.
        let expected = [&[Call::TellEnclave][..], &durable, &durable].concat();
        assert_eq!(between, expected, "{text}");
    });
}
