#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use pinseal_protocol::ids::{Measurement, Nonce, UnixSeconds};
use pinseal_protocol::limits::FRAME_BYTES_MAX;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::wire::{CallId, WIRE_VERSION, frame, frame_length, parse};

use super::*;

/// Answers each call with a document of a fixed size; halts on `HeadersEnd`.
struct Echo {
    document_bytes: usize,
    halted: bool,
}

impl Machine for Echo {
    fn hello(&self) -> FromEnclave {
        hello()
    }

    fn is_halted(&self) -> bool {
        self.halted
    }

    fn step(&mut self, message: ToEnclave) -> Vec<FromEnclave> {
        match message {
            ToEnclave::Evidence { call, .. } => {
                vec![FromEnclave::Evidence { call, document: vec![7; self.document_bytes].into() }]
            }
            ToEnclave::Create { .. } => {
                self.halted = true;
                vec![FromEnclave::Created {
                    sealed_root: vec![1].into(),
                    genesis: vec![2].into(),
                    log: Ed25519Public([3; 32]),
                }]
            }
            _ => {
                self.halted = true;
                vec![FromEnclave::Halted { halt: Halt::StateOlder, detail: String::new() }]
            }
        }
    }
}

fn hello() -> FromEnclave {
    FromEnclave::Hello {
        version: WIRE_VERSION,
        measurement: Measurement([3; 32]),
        release: "test".to_owned(),
        hardening: Vec::new(),
    }
}

fn question(call: u64) -> Vec<u8> {
    frame(&ToEnclave::Evidence { call: CallId(call), nonce: Nonce([0; 32]), time: UnixSeconds(0) }).unwrap()
}

fn answer(host: &mut UnixStream) -> FromEnclave {
    let mut prefix = [0; 4];
    host.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; frame_length(prefix).unwrap()];
    host.read_exact(&mut body).unwrap();
    parse(&body).unwrap()
}

/// Runs the loop in a thread while `host` talks to it.
fn conversation<T>(document_bytes: usize, host: impl FnOnce(UnixStream) -> T) -> (T, Result<End, TransportError>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let enclave = thread::spawn(move || {
        let mut machine = Echo { document_bytes, halted: false };
        serve(ours.as_fd(), &mut machine, &mut Faults::from_environment())
    });
    let mut theirs = theirs;
    assert_eq!(answer(&mut theirs), hello());
    let said = host(theirs);
    (said, enclave.join().unwrap())
}

#[test]
fn frames_cut_anywhere_are_put_together() {
    let ((), end) = conversation(100, |mut host| {
        for call in 0..3 {
            for byte in question(call) {
                host.write_all(&[byte]).unwrap();
            }
        }
        let many: Vec<u8> = (3..500).flat_map(question).collect();
        host.write_all(&many).unwrap();
        for call in 0..500 {
            assert_eq!(answer(&mut host), FromEnclave::Evidence { call: CallId(call), document: vec![7; 100].into() });
        }
    });
    assert_eq!(end, Ok(End::HostGone { handled: 500 }));
}

#[test]
fn a_host_that_does_not_take_answers_is_not_read_from() {
    const CALLS: u64 = 20_000;
    let (pushed_back, end) = conversation(64 * 1024, |mut host| {
        host.set_nonblocking(true).unwrap();
        let mut asked = 0;
        let pushed_back = loop {
            match host.write(&question(asked)) {
                Ok(written) if written == question(asked).len() => asked += 1,
                Ok(_) => break true,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break true,
                Err(error) => panic!("{error}"),
            }
            if asked == CALLS {
                break false;
            }
        };
        drop(host);
        pushed_back
    });
    assert!(pushed_back, "the enclave took {CALLS} questions without one answer being read");
    assert!(matches!(end, Ok(End::HostGone { handled }) if handled < CALLS), "{end:?}");
}

#[test]
fn answers_outlive_the_hosts_last_question() {
    let ((), end) = conversation(1024 * 1024, |mut host| {
        for call in 0..8 {
            host.write_all(&question(call)).unwrap();
        }
        host.shutdown(std::net::Shutdown::Write).unwrap();
        for call in 0..8 {
            assert!(matches!(answer(&mut host), FromEnclave::Evidence { call: CallId(found), .. } if found == call));
        }
    });
    assert_eq!(end, Ok(End::HostGone { handled: 8 }));
}

#[test]
fn the_last_word_is_sent_before_the_end() {
    let ((), end) = conversation(10, |mut host| {
        host.write_all(&frame(&ToEnclave::HeadersEnd).unwrap()).unwrap();
        assert!(matches!(answer(&mut host), FromEnclave::Halted { halt: Halt::StateOlder, .. }));
        assert_eq!(host.read(&mut [0]).unwrap(), 0);
    });
    assert_eq!(end, Ok(End::Halted(Halt::StateOlder)));
}

#[test]
fn what_is_no_frame_ends_it_and_the_host_is_told() {
    let oversize = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes().to_vec();
    let mut trailing = frame(&ToEnclave::HeadersEnd).unwrap();
    trailing.push(0);
    trailing[3] += 1;
    for (bytes, error) in [
        (vec![0, 0, 0, 0], FrameError::Length),
        (vec![0xff; 4], FrameError::Length),
        (oversize, FrameError::Length),
        (vec![0, 0, 0, 1, 0xff], FrameError::Malformed),
        (vec![0, 0, 0, 3, 1, 2, 3], FrameError::Malformed),
        (trailing, FrameError::Malformed),
    ] {
        let ((), end) = conversation(10, |mut host| {
            host.write_all(&bytes).unwrap();
            assert!(matches!(answer(&mut host), FromEnclave::Halted { halt: Halt::Protocol, .. }));
        });
        assert_eq!(end, Err(TransportError::Frame(error)), "{bytes:?}");
    }
}

#[test]
fn the_longest_frame_is_taken() {
    let ((), end) = conversation(FRAME_BYTES_MAX - 64, |mut host| {
        let configuration = vec![1; FRAME_BYTES_MAX - 64];
        let create = ToEnclave::Create { configuration: configuration.into(), time: UnixSeconds(1) };
        host.write_all(&question(1)).unwrap();
        assert!(matches!(answer(&mut host), FromEnclave::Evidence { call: CallId(1), .. }));
        host.write_all(&frame(&create).unwrap()).unwrap();
        assert!(matches!(answer(&mut host), FromEnclave::Created { .. }));
    });
    assert_eq!(end, Ok(End::Finished));
}

#[test]
fn a_message_that_fits_no_frame_is_our_fault_and_ends_it() {
    let ((), end) = conversation(FRAME_BYTES_MAX, |mut host| {
        host.write_all(&question(1)).unwrap();
        assert_eq!(host.read(&mut [0]).unwrap(), 0);
    });
    assert_eq!(end, Err(TransportError::Oversize));
}
