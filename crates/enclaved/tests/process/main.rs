//! The real process, watched from outside.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod boot;
mod flood;
mod spawn;

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use pinseal_protocol::ids::{Nonce, UnixSeconds};
use pinseal_protocol::limits::FRAME_BYTES_MAX;
use pinseal_protocol::wire::{CallId, FromEnclave, Halt, ToEnclave, WIRE_VERSION};

use spawn::{Enclaved, NOBODY, Started, image_hash, is_root};

const PASSPHRASE: &str = "correct horse battery staple 7151";
/// The host is gone, and no PIN was tested on its word alone.
const UNTRIED: Option<i32> = Some(77);

const MEASURES: [&str; 9] = [
    "not_dumpable",
    "no_core",
    "no_new_privileges",
    "no_capabilities",
    "closed_descriptors",
    "landlock",
    "seccomp",
    "locked_arena",
    "locked_stack",
];

/// A message that is out of order before a boot.
fn early_question() -> ToEnclave {
    ToEnclave::Evidence { call: CallId(1), nonce: Nonce([1; 32]), time: UnixSeconds(1_800_000_000) }
}

/// What the process says first, when all it does before is done.
fn hello(started: &mut Started) -> FromEnclave {
    started.hear()
}

#[test]
fn every_measure_is_active() {
    let mut enclaved = Enclaved::new(PASSPHRASE).start();
    let FromEnclave::Hello { version, measurement, release, hardening } = hello(&mut enclaved) else {
        panic!("the first frame is a hello");
    };
    assert_eq!(version, WIRE_VERSION);
    assert_eq!(measurement, image_hash());
    assert_eq!(release, env!("CARGO_PKG_VERSION"));
    assert_eq!(hardening.iter().map(|measure| measure.name.as_str()).collect::<Vec<_>>(), MEASURES);
    for measure in hardening {
        assert!(measure.active, "{}: {}", measure.name, measure.detail);
    }
}

#[test]
fn the_kernel_agrees() {
    let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
    let status = enclaved.proc_text("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    assert_eq!(field("Seccomp"), "2");
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("CapEff"), "0000000000000000");
    assert_eq!(field("CapPrm"), "0000000000000000");
    assert_eq!(field("Threads"), "1");
    let locked: u64 = field("VmLck").strip_suffix(" kB").unwrap().parse().unwrap();
    assert!((4096 + 256..8192).contains(&locked), "{locked} KiB locked");

    let limits = enclaved.proc_text("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, UNTRIED);
}

#[test]
fn what_the_parent_left_open_is_closed() {
    let leaked = spawn::inheritable_file();
    let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
    drop(leaked);
    let directory = std::fs::read_dir(format!("/proc/{}/fd", enclaved.pid()));
    if !is_root() {
        // Not dumpable: even its own user may not look.
        assert_eq!(directory.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        return;
    }
    let mut targets = BTreeSet::new();
    for entry in directory.unwrap() {
        let entry = entry.unwrap();
        let target = std::fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned();
        targets.insert((entry.file_name().to_str().unwrap().parse::<i32>().unwrap(), target));
    }
    let targets: Vec<_> = targets.into_iter().collect();
    assert_eq!(targets.len(), 4, "{targets:?}");
    assert_eq!(targets[0], (0, "/dev/null".to_owned()));
    assert_eq!(targets[1], (1, "/dev/null".to_owned()));
    assert!(targets[2].0 == 2 && targets[2].1.starts_with("pipe:"), "{targets:?}");
    assert!(targets[3].1.starts_with("socket:"), "{targets:?}");
    enclaved.hang_up();
}

#[test]
fn an_ordinary_user_gets_every_measure_and_cannot_look_inside() {
    if !is_root() {
        // Then every other test here is this one.
        return;
    }
    let mut enclaved = Enclaved::new(PASSPHRASE).run_by(NOBODY).start();
    let FromEnclave::Hello { hardening, .. } = hello(&mut enclaved) else { panic!("the first frame is a hello") };
    assert!(hardening.iter().all(|measure| measure.active), "{hardening:?}");
    // The kernel hands a process that is not dumpable to root, so that its own user can neither trace nor read it.
    assert_eq!(std::fs::metadata(format!("/proc/{}/mem", enclaved.pid())).unwrap().uid(), 0);
    assert!(enclaved.proc_text("status").lines().any(|line| line.starts_with("Uid:\t65534")));
}

#[test]
fn the_passphrase_shows_nowhere_outside() {
    let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
    for file in ["cmdline", "environ"] {
        let path = format!("/proc/{}/{file}", enclaved.pid());
        match std::fs::read(path) {
            Ok(bytes) => assert!(!bytes.windows(PASSPHRASE.len()).any(|window| window == PASSPHRASE.as_bytes())),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
        }
    }
    enclaved.hang_up();
    let end = enclaved.end();
    assert_eq!(end.code, UNTRIED);
    assert!(!end.log.contains(PASSPHRASE), "{}", end.log);
}

#[test]
fn a_missing_measure_stops_it() {
    let end = Enclaved::new(PASSPHRASE).without_locked_memory().start().end();
    assert_eq!(end.code, Some(71), "{}", end.log);
    assert!(end.log.contains("hardening measure locked_arena is missing"), "{}", end.log);
    assert!(end.log.contains("--allow-missing locked_arena"), "{}", end.log);
    assert!(end.said.is_empty(), "nothing is said to the host");

    let one_of_two = ["--allow-missing", "locked_arena"];
    let end = Enclaved::new(PASSPHRASE).without_locked_memory().arguments(&one_of_two).start().end();
    assert_eq!(end.code, Some(71), "{}", end.log);
    assert!(end.log.contains("hardening measure locked_stack is missing"), "{}", end.log);
}

#[test]
fn a_missing_measure_can_be_accepted_and_is_reported() {
    let both = ["--allow-missing", "locked_stack,locked_arena"];
    let mut enclaved = Enclaved::new(PASSPHRASE).without_locked_memory().arguments(&both).start();
    let FromEnclave::Hello { hardening, .. } = hello(&mut enclaved) else { panic!("the first frame is a hello") };
    for measure in &hardening {
        assert_eq!(measure.active, !measure.name.starts_with("locked_"), "{measure:?}");
    }
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, UNTRIED);
}

#[test]
fn it_ends_when_the_host_goes() {
    let mut silent = Enclaved::new(PASSPHRASE).start();
    silent.hang_up();
    let end = silent.end();
    assert_eq!(end.code, UNTRIED, "{}", end.log);
    assert!(end.log.contains("\"event\":\"host_gone\",\"messages\":0"), "{}", end.log);

    let mut half_a_frame = Enclaved::new(PASSPHRASE).conversing_until(hello);
    half_a_frame.write(&[0, 0, 1]);
    half_a_frame.hang_up();
    assert_eq!(half_a_frame.end().code, UNTRIED);
}

#[test]
fn what_is_no_frame_ends_it_with_an_error() {
    let oversize = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    for (bytes, cause) in [
        (oversize.as_slice(), "frame length out of bounds"),
        (&[0; 4], "frame length out of bounds"),
        (b"GET / HTTP/1.1\r\n\r\n", "frame length out of bounds"),
        (&[0, 0, 0, 2, 0x81, 0x63], "frame is not a message"),
    ] {
        let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
        enclaved.write(bytes);
        assert!(matches!(enclaved.hear(), FromEnclave::Halted { halt: Halt::Protocol, .. }));
        let end = enclaved.end();
        assert_eq!(end.code, Some(76), "{}", end.log);
        let expected = format!("the host broke the protocol: {cause}");
        assert!(end.log.contains(&expected), "{}", end.log);
    }
}

#[test]
fn a_message_out_of_order_halts_it() {
    let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
    enclaved.say(&early_question());
    assert!(matches!(enclaved.hear(), FromEnclave::Halted { halt: Halt::Protocol, .. }));
    let end = enclaved.end();
    assert_eq!((end.code, end.said.len()), (Some(75), 0), "{}", end.log);
    assert!(end.log.contains("halted: Protocol"), "{}", end.log);
}

#[test]
fn a_bad_command_line_is_refused_without_echo() {
    for arguments in [
        vec![],
        vec!["--passphrase", "hunter2"],
        vec!["--socket-fd", "hunter2", "--passphrase-fd", "3"],
        vec!["--socket", "/tmp/x", "--passphrase-fd", "3", "--allow-missing", "hunter2"],
    ] {
        let output = spawn::binary().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("\"reason\":\"usage\"") && !log.contains("hunter2"), "{log}");
    }
    let help = spawn::binary().arg("--help").output().unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--passphrase-fd N"));
    let version = spawn::binary().arg("--version").output().unwrap();
    assert_eq!(version.stdout, concat!("pinseal-enclaved ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

#[test]
fn no_passphrase_no_enclave() {
    for (passphrase, cause) in [("", "it is empty"), ("\n", "it is empty"), (&"x".repeat(1025), "it is longer than")] {
        let end = Enclaved::new(passphrase).start().end();
        assert_eq!(end.code, Some(66), "{}", end.log);
        assert!(end.log.contains(cause) && !end.log.contains("xxx"), "{}", end.log);
    }
    let closed = ["--socket-fd", "900", "--passphrase-fd", "901"];
    let output = spawn::binary().args(closed).output().unwrap();
    assert_eq!(output.status.code(), Some(66));
}

#[test]
fn only_a_unix_stream_socket_is_a_host() {
    let file = spawn::inheritable_file();
    let number = spawn::number(&file);
    let output = spawn::binary()
        .args(["--socket-fd", &number, "--passphrase-fd", "0"])
        .stdin(spawn::pipe_with(PASSPHRASE))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8(output.stderr).unwrap().contains("not a unix stream socket"));
}

#[test]
fn a_listening_socket_of_the_parent_serves_one_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("enclave.sock");
    let listener = UnixListener::bind(&path).unwrap();
    spawn::make_inheritable(&listener);
    let enclaved = Enclaved::new(PASSPHRASE).on_listener(&listener);
    drop(listener);
    let mut enclaved = enclaved.connected_to(UnixStream::connect(&path).unwrap());
    assert!(matches!(hello(&mut enclaved), FromEnclave::Hello { .. }));
    let second = UnixStream::connect(&path).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::ConnectionRefused);
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, UNTRIED);
}

#[test]
fn its_own_socket_is_private_and_taken_only_when_dead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("enclave.sock");

    // A dead socket of an earlier life is replaced.
    drop(UnixListener::bind(&path).unwrap());
    let mut first = Enclaved::new(PASSPHRASE).on_path(&path);
    let stream = first.wait_for_socket(&path);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut first = first.connected_to(stream);
    assert!(matches!(hello(&mut first), FromEnclave::Hello { .. }));

    // While it lives the path is taken, also though it listens no more.
    let second = Enclaved::new(PASSPHRASE).on_path(&path).unconnected_end();
    assert_eq!(second.code, Some(69), "{}", second.log);
    assert!(second.log.contains("another process is live on this path"), "{}", second.log);
    first.hang_up();
    assert_eq!(first.end().code, UNTRIED);

    // A live socket of another program is left alone, and so is anything that is no socket.
    std::fs::remove_file(&path).unwrap();
    let foreign = UnixListener::bind(&path).unwrap();
    let third = Enclaved::new(PASSPHRASE).on_path(&path).unconnected_end();
    assert!(third.code == Some(69) && third.log.contains("another process is live"), "{}", third.log);
    drop(foreign);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"precious").unwrap();
    let fourth = Enclaved::new(PASSPHRASE).on_path(&path).unconnected_end();
    assert!(fourth.code == Some(69) && fourth.log.contains("not a socket"), "{}", fourth.log);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn the_log_is_json_lines() {
    let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
    enclaved.hang_up();
    let log = enclaved.end().log;
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["process"], "enclaved");
        assert!(value["event"].is_string() && value["level"].is_string());
    }
}

#[cfg(not(feature = "fault-points"))]
#[test]
fn fault_points_do_not_exist_in_an_ordinary_build() {
    let mut enclaved = Enclaved::new(PASSPHRASE).fault("enclave.before_hello:1").start();
    assert!(matches!(hello(&mut enclaved), FromEnclave::Hello { .. }));
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, UNTRIED);
    let image = std::fs::read(env!("CARGO_BIN_EXE_pinseal-enclaved")).unwrap();
    assert!(!image.windows(13).any(|window| window == b"PINSEAL_FAULT"));
}

#[cfg(feature = "fault-points")]
#[test]
fn a_system_call_outside_the_list_kills() {
    let mut enclaved = Enclaved::new(PASSPHRASE).fault("enclave.forbidden_call:1").conversing_until(hello);
    enclaved.say(&early_question());
    let end = enclaved.end();
    assert_eq!((end.signal, end.said.len()), (Some(31), 0), "SIGSYS; {}", end.log);
    assert!(!end.log.contains("survived"), "{}", end.log);
}

#[cfg(feature = "fault-points")]
#[test]
fn a_panic_ends_it_without_its_message() {
    let mut enclaved = Enclaved::new(PASSPHRASE).fault("enclave.panic:1").conversing_until(hello);
    enclaved.say(&early_question());
    let end = enclaved.end();
    assert_eq!((end.signal, end.said.len()), (Some(6), 0), "SIGABRT; {}", end.log);
    assert!(end.log.contains("\"event\":\"panic\"") && end.log.contains("faults.rs"), "{}", end.log);
    assert!(!end.log.contains("quote a secret"), "{}", end.log);
}

#[cfg(feature = "fault-points")]
#[test]
fn fault_points_end_it_where_they_say() {
    const ABORT: Option<i32> = Some(6);
    for (fault, says_hello, says_halted) in [
        ("enclave.before_hello:1", false, false),
        ("enclave.after_hello:1", true, false),
        ("enclave.before_evidence:1", true, false),
        ("enclave.after_evidence:1", true, false),
        ("enclave.before_halted:1", true, false),
        ("enclave.after_halted:1", true, true),
    ] {
        let mut enclaved = Enclaved::new(PASSPHRASE).fault(fault).start();
        if says_hello {
            assert!(matches!(enclaved.hear(), FromEnclave::Hello { .. }));
        }
        if !fault.ends_with("_hello:1") {
            enclaved.say(&early_question());
        }
        if says_halted {
            assert!(matches!(enclaved.hear(), FromEnclave::Halted { .. }));
        }
        let end = enclaved.end();
        assert_eq!((end.signal, end.said.len()), (ABORT, 0), "{fault}: {}", end.log);
        assert!(end.log.contains("fault_point"), "{fault}: {}", end.log);
    }
    for misspelt in ["enclave.before_helo:1", "enclave.before_hello:0", "enclave.before_hello", "enclave.at_hello:1"] {
        assert_eq!(Enclaved::new(PASSPHRASE).fault(misspelt).start().end().signal, ABORT, "{misspelt}");
    }
    let mut of_the_host = Enclaved::new(PASSPHRASE).fault("host.before_store:1").conversing_until(hello);
    of_the_host.hang_up();
    assert_eq!(of_the_host.end().code, UNTRIED);
}
