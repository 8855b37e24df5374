//! What a hostile host, or a stranger at the socket, can make the process do: end, at most. Its memory stays within bounds, and
//! nothing it did keeps the deployment from booting again.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use pinseal_protocol::ids::Nonce;
use pinseal_protocol::limits::FRAME_BYTES_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::{BatchId, Begun, CallId, FromEnclave, Halt, ToEnclave, frame};
use rustix::process::{Gid, Uid};

use crate::boot::{Deployment, NOW, serve};
use crate::spawn::{self, Enclaved, NOBODY, Started, is_root};
use crate::{PASSPHRASE, UNTRIED, hello};

/// What a conversation may add to the process: one frame and one chunk that arrive, what waits to be sent, and the copies made
/// while a message is read.
const GROWTH_KIB_MAX: u64 = 3 * (FRAME_BYTES_MAX as u64 / 1_024) + 4 * 1_024;

/// Frames of a flood: more than fit into every buffer on the way many times over.
const FLOOD: u64 = 200_000;

/// The memory it has now. Its peak says nothing: the root's passphrase took 64 MiB at the boot.
fn resident_kib(enclaved: &Started) -> u64 {
    let status = enclaved.proc_text("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn booted(deployment: &Deployment) -> Started {
    let mut enclaved = deployment.boot(Enclaved::new(PASSPHRASE));
    serve(&mut enclaved);
    enclaved
}

fn evidence(call: u64) -> ToEnclave {
    ToEnclave::Evidence { call: CallId(call), nonce: Nonce([7; 32]), time: NOW }
}

fn begin(call: u64) -> ToEnclave {
    let access_token = "eyJ.no.token".repeat(40).into();
    ToEnclave::Begin { call: CallId(call), time: NOW, access_token, method: Method::Sign, outer: None }
}

/// Writes questions without reading one answer, until nothing more is taken. How many went, the last perhaps in part.
fn flood(stream: &UnixStream, question: impl Fn(u64) -> ToEnclave) -> (u64, Vec<u8>) {
    // A writer that is not taken from for this long is pushed back; waiting cannot make a bounded buffer take more.
    stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    for call in 0..FLOOD {
        let bytes = frame(&question(call)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match (&mut &*stream).write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (call, bytes[sent..].to_vec()),
                Err(error) => panic!("{error}"),
            }
        }
    }
    panic!("{FLOOD} questions were taken without one answer being read");
}

#[test]
fn questions_whose_answers_nobody_reads_push_back_and_are_all_answered_later() {
    let deployment = Deployment::create();
    let mut enclaved = booted(&deployment);
    let before = resident_kib(&enclaved);
    for question in [evidence as fn(u64) -> ToEnclave, begin] {
        let (asked, rest) = flood(enclaved.stream(), question);
        let grown = resident_kib(&enclaved).saturating_sub(before);
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB for {asked} questions");
        let stream = enclaved.stream().try_clone().unwrap();
        let finishing = std::thread::spawn(move || (&stream).write_all(&rest).unwrap());
        for expected in 0..=asked {
            match enclaved.hear() {
                FromEnclave::Evidence { call, .. } => assert_eq!(call, CallId(expected)),
                FromEnclave::Begun { call, begun: Begun::Refused(Refusal::TokenInvalid) } => {
                    assert_eq!(call, CallId(expected));
                }
                other => panic!("{other:?}"),
            }
        }
        finishing.join().unwrap();
    }
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, Some(0));
}

#[test]
fn frames_that_lie_about_their_length_or_never_end_cost_one_frame() {
    let deployment = Deployment::create();
    let mut enclaved = booted(&deployment);
    let before = resident_kib(&enclaved);
    // The longest frame there may be, but for its last byte: nearly all of it has been taken once the last write returns.
    let length = u32::try_from(FRAME_BYTES_MAX).unwrap();
    enclaved.write(&length.to_be_bytes());
    enclaved.write(&vec![0x80; FRAME_BYTES_MAX - 1]);
    let grown = resident_kib(&enclaved).saturating_sub(before);
    assert!((2 * 1_024..GROWTH_KIB_MAX).contains(&grown), "{grown} KiB");
    // Its last byte makes a frame of it, which is no message.
    enclaved.write(&[0x80]);
    assert!(matches!(enclaved.hear(), FromEnclave::Halted { halt: Halt::Protocol, .. }));
    assert_eq!(enclaved.end().code, Some(76));

    for lie in [u32::MAX, length + 1, 0x8000_0000] {
        let mut enclaved = booted(&deployment);
        enclaved.write(&lie.to_be_bytes());
        assert!(matches!(enclaved.hear(), FromEnclave::Halted { halt: Halt::Protocol, .. }), "{lie}");
        assert_eq!(enclaved.end().code, Some(76), "{lie}");
    }
}

#[test]
fn valid_frames_out_of_order_halt_it_and_change_nothing() {
    let deployment = Deployment::create();
    let wrong_turns: [fn(&Deployment) -> ToEnclave; 5] = [
        |_| ToEnclave::HeadersEnd,
        |_| ToEnclave::Headers { headers: Vec::new() },
        |_| ToEnclave::Committed { batch: BatchId(9), receipt: vec![1; 100].into(), nonce: None },
        |_| ToEnclave::Aborted { batch: BatchId(9) },
        |deployment| ToEnclave::Create { configuration: deployment.configuration.clone().into(), time: NOW },
    ];
    for (place, turn) in wrong_turns.iter().enumerate() {
        let mut enclaved = booted(&deployment);
        enclaved.say(&turn(&deployment));
        let heard = enclaved.hear();
        assert!(matches!(heard, FromEnclave::Halted { halt: Halt::Protocol, .. }), "{place}: {heard:?}");
        assert_eq!(enclaved.end().code, Some(75), "{place}");
    }
    // Thousands of frames before the boot: the first one ends it, and the others are not even read.
    let mut enclaved = Enclaved::new(PASSPHRASE).conversing_until(hello);
    let many: Vec<u8> = (0..5_000).flat_map(|call| frame(&evidence(call)).unwrap()).collect();
    let stream = enclaved.stream().try_clone().unwrap();
    // Fails once the process has gone.
    let writing = std::thread::spawn(move || drop((&stream).write_all(&many)));
    assert!(matches!(enclaved.hear(), FromEnclave::Halted { halt: Halt::Protocol, .. }));
    writing.join().unwrap();
    assert_eq!(enclaved.end().code, Some(75));
    // Whatever was said, root and checkpoint are as they were.
    booted(&deployment).hang_up();
}

/// A connection by a process of user nobody; threads have credentials of their own.
fn connect_as_nobody(path: &std::path::Path) -> std::io::Result<UnixStream> {
    let path = path.to_owned();
    std::thread::spawn(move || {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_res_gid(group, group, group).unwrap();
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        UnixStream::connect(path)
    })
    .join()
    .unwrap()
}

#[test]
fn a_stranger_gets_no_connection_and_takes_none_from_the_host() {
    if !is_root() {
        // Nobody else to be.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();

    // The socket it makes itself has a mode that keeps strangers out.
    let own = directory.path().join("own.sock");
    let mut enclaved = Enclaved::new(PASSPHRASE).on_path(&own);
    let stream = enclaved.wait_for_socket(&own);
    assert_eq!(connect_as_nobody(&own).unwrap_err().kind(), ErrorKind::PermissionDenied);
    let mut enclaved = enclaved.connected_to(stream);
    assert!(matches!(hello(&mut enclaved), FromEnclave::Hello { .. }));
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, UNTRIED);

    // On one that its parent left open to all of the machine they are hung up on, however many come first.
    let wide = directory.path().join("wide.sock");
    let listener = UnixListener::bind(&wide).unwrap();
    std::fs::set_permissions(&wide, std::fs::Permissions::from_mode(0o777)).unwrap();
    spawn::make_inheritable(&listener);
    let process = Enclaved::new(PASSPHRASE).on_listener(&listener);
    drop(listener);
    for _ in 0..20 {
        let mut stranger = connect_as_nobody(&wide).unwrap();
        // Garbage and valid frames alike: nobody reads them. It may be hung up on before it has written.
        let _ = stranger.write_all(&frame(&evidence(1)).unwrap());
        let said = stranger.read(&mut [0; 16]);
        assert!(matches!(&said, Ok(0)) || said.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    let mut enclaved = process.connected_to(UnixStream::connect(&wide).unwrap());
    assert!(matches!(hello(&mut enclaved), FromEnclave::Hello { .. }));
    assert_eq!(connect_as_nobody(&wide).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    enclaved.hang_up();
    let end = enclaved.end();
    assert_eq!(end.code, UNTRIED);
    assert_eq!(end.log.matches("stranger_refused").count(), 20, "{}", end.log);

    // Where the host is another user, the operator says so; nobody else is it then, not even root.
    let named = directory.path().join("named.sock");
    let listener = UnixListener::bind(&named).unwrap();
    std::fs::set_permissions(&named, std::fs::Permissions::from_mode(0o777)).unwrap();
    spawn::make_inheritable(&listener);
    let process = Enclaved::new(PASSPHRASE).arguments(&["--host-uid", &NOBODY.to_string()]).on_listener(&listener);
    drop(listener);
    let mut stranger = UnixStream::connect(&named).unwrap();
    assert_eq!(stranger.read(&mut [0; 16]).unwrap(), 0);
    let mut enclaved = process.connected_to(connect_as_nobody(&named).unwrap());
    assert!(matches!(hello(&mut enclaved), FromEnclave::Hello { .. }));
    enclaved.hang_up();
    assert_eq!(enclaved.end().code, UNTRIED);
}
