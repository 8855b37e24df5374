#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex as SyncMutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use pinseal_protocol::checkpoint::log_verifier_key;
use pinseal_witness::{Clock, Ledger, Witness as Service, WitnessKey};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::conformance::{self, DEPLOYMENT, advance, log_key, note, prove};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> u64 {
        1_800_000_000
    }
}

/// A real witness on a port of its own; stops when dropped.
struct Running {
    witness: Witness,
    url: String,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = WitnessKey::create(&directory.path().join("key"), name).unwrap();
        let witness = Witness::from_verifier_key(key.verifier_key()).unwrap();
        Ledger::create(&directory.path().join("ledger"), key.verifier_key()).unwrap();
        let mut running = Self { witness, url: String::new(), directory, stop: None, thread: None };
        running.ledger().trust(&log_verifier_key(&DEPLOYMENT, 0, &log_key())).unwrap();
        running.start();
        running
    }

    fn ledger(&self) -> Ledger {
        let key = WitnessKey::load(&self.directory.path().join("key")).unwrap();
        Ledger::open(&self.directory.path().join("ledger"), key.verifier_key()).unwrap()
    }

    fn start(&mut self) {
        let key = WitnessKey::load(&self.directory.path().join("key")).unwrap();
        let service = Arc::new(Service::new(key, self.ledger(), Arc::new(Noon)));
        let at = self.url.strip_prefix("http://").unwrap_or("127.0.0.1:0");
        let listener = TcpListener::bind(at).unwrap();
        self.url = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = pinseal_witness::serve(service, listener, std::future::pending()) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        }));
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    fn size(&self) -> Option<u64> {
        self.ledger().logs().unwrap()[0].newest.as_ref().map(|held| held.size)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn stand(count: usize) -> Vec<Running> {
    (1..=count).map(|number| Running::new(&format!("witness.test/w{number}"))).collect()
}

fn whom(required: u8, running: &[Running]) -> Witnesses {
    let named = running.iter().map(|one| one.witness.clone()).collect();
    let quorum = Quorum { required, witnesses: named };
    quorum.check().unwrap();
    let urls = running.iter().map(|one| one.url.clone()).collect();
    Witnesses { quorum, urls, deployment: DEPLOYMENT, restores: 0, log: Some(log_key()) }
}

fn anchor(witnesses: &Witnesses) -> WitnessAnchor {
    WitnessAnchor::new(witnesses.clone(), Arc::new(prove)).unwrap()
}

fn reason(error: &AdvanceError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

#[test]
fn three_real_witnesses_conform() {
    let stands: SyncMutex<Vec<Vec<Running>>> = SyncMutex::default();
    conformance::check(|| {
        let running = stand(3);
        let witnesses = whom(2, &running);
        stands.lock().unwrap().push(running);
        move || Box::new(anchor(&witnesses)) as Box<dyn Anchor>
    });
}

#[test]
fn a_receipt_carries_a_quorum_that_the_enclave_accepts_for_this_checkpoint_alone() {
    let running = stand(3);
    let witnesses = whom(3, &running);
    let mut anchor = anchor(&witnesses);
    let genesis = advance(&mut anchor, &[], &note(0, 1));
    let first = advance(&mut anchor, &note(0, 1), &note(1, 1));
    assert!(witnesses.quorum.is_met_by(&note(0, 1), &genesis) && witnesses.quorum.is_met_by(&note(1, 1), &first));
    assert!(!witnesses.quorum.is_met_by(&note(1, 1), &genesis) && !witnesses.quorum.is_met_by(&note(1, 2), &first));
    assert!(!witnesses.quorum.is_met_by(&note(1, 1), &note(1, 1)), "a note alone is no receipt");
}

#[test]
fn a_minority_that_is_down_is_not_waited_for_and_catches_up() {
    let mut running = stand(3);
    let witnesses = whom(2, &running);
    let mut anchor = anchor(&witnesses);
    advance(&mut anchor, &[], &note(0, 1));
    running[0].stop();
    for step in 0..3 {
        let receipt = advance(&mut anchor, &note(step, 1), &note(step + 1, 1));
        assert!(witnesses.quorum.is_met_by(&note(step + 1, 1), &receipt));
    }
    assert_eq!(running[0].size(), Some(1), "it was down");
    running[0].start();
    running[1].stop();
    let receipt = advance(&mut anchor, &note(3, 1), &note(4, 1));
    assert!(witnesses.quorum.is_met_by(&note(4, 1), &receipt));
    assert_eq!(running[0].size(), Some(5), "from 1 to 5 leaves in one proof");
}

#[test]
fn without_a_quorum_nothing_is_anchored_and_every_witness_is_named_with_its_reason() {
    let mut running = stand(3);
    let witnesses = whom(2, &running);
    let mut anchor = anchor(&witnesses);
    advance(&mut anchor, &[], &note(0, 1));
    running[0].stop();
    running[2].stop();
    let error = anchor.advance(&note(0, 1), &note(1, 1)).unwrap_err();
    assert!(matches!(error, AdvanceError::Unknown(_)), "{error:?}");
    let text = reason(&error);
    assert!(text.starts_with("1 of 2 cosignatures: "), "{text}");
    assert!(
        text.contains("witness.test/w1 does not answer") && text.contains("witness.test/w3 does not answer"),
        "{text}"
    );
    assert!(matches!(anchor.load(), Err(LoadError::Unavailable(_))), "one witness may be behind");
    running[2].start();
    let receipt = advance(&mut anchor, &note(0, 1), &note(1, 1));
    assert!(witnesses.quorum.is_met_by(&note(1, 1), &receipt), "the same advance is repeated");
}

#[test]
fn a_log_nobody_was_told_of_is_said_to_be_unknown() {
    let mut running = stand(1);
    let witnesses = whom(1, &running);
    running[0].stop();
    for file in ["ledger", "ledger-wal", "ledger-shm"] {
        let _ = std::fs::remove_file(running[0].directory.path().join(file));
    }
    let key = WitnessKey::load(&running[0].directory.path().join("key")).unwrap();
    Ledger::create(&running[0].directory.path().join("ledger"), key.verifier_key()).unwrap();
    running[0].start();
    let error = anchor(&witnesses).advance(&[], &note(0, 1)).unwrap_err();
    assert!(reason(&error).contains("witness.test/w1 does not know this log"), "{error:?}");
}

/// Two instances over copies of one state: whoever gets the first witness goes on, the other one stops and has split nobody off.
#[test]
fn the_loser_of_a_race_has_asked_no_other_witness() {
    let running = stand(3);
    let witnesses = whom(2, &running);
    let (mut one, mut other) = (anchor(&witnesses), anchor(&witnesses));
    advance(&mut one, &[], &note(0, 1));
    advance(&mut other, &[], &note(0, 1));
    advance(&mut one, &note(0, 1), &note(1, 1));
    assert!(
        matches!(other.advance(&note(0, 1), &note(1, 2)), Err(AdvanceError::Lost { holds }) if holds == note(1, 1))
    );
    let receipt = advance(&mut one, &note(1, 1), &note(2, 1));
    assert!(witnesses.quorum.is_met_by(&note(2, 1), &receipt));
    let sizes: Vec<_> = running.iter().filter_map(Running::size).collect();
    assert!(sizes.iter().filter(|size| **size == 3).count() >= 2, "{sizes:?}");
}

/// A witness that was split off by an instance that is gone holds up nobody.
#[test]
fn a_witness_on_an_abandoned_branch_counts_as_missing() {
    let running = stand(3);
    let (all, alone) = (whom(2, &running), whom(1, &running[..1]));
    let mut anchor_of_all = anchor(&all);
    advance(&mut anchor_of_all, &[], &note(0, 1));
    advance(&mut anchor(&alone), &note(0, 1), &note(1, 2));
    // The instance that goes on had not asked before; to it the branch is as new as its own next step.
    assert!(matches!(anchor_of_all.advance(&note(0, 1), &note(1, 1)), Err(AdvanceError::Lost { .. })));
    // Once the others are ahead, the branch is history.
    let others =
        Witnesses { quorum: Quorum { required: 2, ..whom(2, &running[1..]).quorum }, ..whom(2, &running[1..]) };
    let mut anchor_of_others = anchor(&others);
    advance(&mut anchor_of_others, &note(0, 1), &note(1, 1));
    advance(&mut anchor_of_others, &note(1, 1), &note(2, 1));
    let mut again = anchor(&all);
    let receipt = advance(&mut again, &note(2, 1), &note(3, 1));
    assert!(all.quorum.is_met_by(&note(3, 1), &receipt));
    assert_eq!(running[0].size(), Some(2), "it stays where it was");
}

/// Answers every request with the same bytes.
struct Liar {
    url: String,
    asked: Arc<AtomicUsize>,
}

fn liar(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Liar {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            counted.fetch_add(1, Ordering::Relaxed);
            let request = read_request(&mut stream);
            let _ = stream.write_all(&answer(&request));
        }
    });
    Liar { url, asked }
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One liar among three, everything it can say: the advance neither fails nor counts it.
#[test]
fn a_lying_witness_adds_nothing_and_stops_nothing() {
    let source = stand(1);
    let stolen = String::from_utf8(advance(&mut anchor(&whom(1, &source)), &[], &note(0, 1))).unwrap();
    let stolen_line = stolen.strip_prefix(std::str::from_utf8(&note(0, 1)).unwrap()).unwrap().to_owned();
    let of_another_note = stolen_line.clone().into_bytes();
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("cosignature over another checkpoint", http("200 OK", &of_another_note)),
        ("no signature line", http("200 OK", b"thanks\n")),
        ("nothing", http("200 OK", b"")),
        ("no HTTP", b"\xff\xff\xff\xff".to_vec()),
        ("endless", http("200 OK", &vec![b'x'; 200_000])),
        ("a huge size", http("409 Conflict", b"18446744073709551615\n")),
        ("a size that keeps changing", http("409 Conflict", b"1\n")),
        ("not a size", http("409 Conflict", b"-1\n")),
        ("inconsistent", http("422 Unprocessable Entity", b"")),
        ("unknown", http("404 Not Found", b"")),
        ("ended", http("410 Gone", b"")),
        ("elsewhere", http("302 Found", b"")),
        ("a failure", http("500 Internal Server Error", b"")),
    ];
    for (what, answer) in answers {
        let running = stand(2);
        let liar = liar(move |request| {
            // What it holds is its secret; only what it cosigns is looked at here.
            if request.starts_with("GET") { http("404 Not Found", b"") } else { answer.clone() }
        });
        let mut witnesses = whom(2, &running);
        // By name before the honest ones, so that it is asked first.
        let named = Witness { name: "a.liar/w".into(), key: source[0].witness.key };
        witnesses.quorum.witnesses.insert(0, named);
        witnesses.urls.insert(0, liar.url.clone());
        let mut anchor = anchor(&witnesses);
        advance(&mut anchor, &[], &note(0, 1));
        let receipt = advance(&mut anchor, &note(0, 1), &note(1, 1));
        assert!(witnesses.quorum.is_met_by(&note(1, 1), &receipt), "{what}");
        let lines = receipt.strip_prefix(note(1, 1).as_slice()).unwrap();
        assert!(!String::from_utf8_lossy(lines).contains("a.liar"), "{what}");
        assert!(liar.asked.load(Ordering::Relaxed) > 0, "{what}: it was never asked");
    }
}

/// A proxy whose backends are gone answers for all of them. Nobody was faster, and nothing has ended.
#[test]
fn witnesses_that_all_hold_nothing_of_a_log_that_has_begun_are_waited_for() {
    let running = stand(3);
    let witnesses = whom(2, &running);
    advance(&mut anchor(&witnesses), &[], &note(0, 1));
    let proxy = liar(|_| http("404 Not Found", b""));
    let behind = Witnesses { urls: vec![proxy.url.clone(); 3], ..witnesses.clone() };
    let error = anchor(&behind).advance(&note(0, 1), &note(1, 1)).unwrap_err();
    assert!(matches!(error, AdvanceError::Unavailable(_)), "{error:?}");
    assert!(format!("{error:?}").contains("hold nothing of this log"), "{error:?}");
    let receipt = advance(&mut anchor(&witnesses), &note(0, 1), &note(1, 1));
    assert!(witnesses.quorum.is_met_by(&note(1, 1), &receipt));
}

/// The one that is asked first takes the checkpoint, refuses to have it, and shows it: nobody was faster.
#[test]
fn a_witness_that_refuses_what_it_holds_stops_nothing_and_is_asked_last_from_then_on() {
    let running = stand(2);
    let taken = SyncMutex::<String>::default();
    let liar = liar(move |request| {
        let mut taken = taken.lock().unwrap();
        if request.starts_with("GET") {
            return http("200 OK", taken.as_bytes());
        }
        request.split_once("\r\n\r\n").unwrap().1.split_once("\n\n").unwrap().1.clone_into(&mut taken);
        http("422 Unprocessable Entity", b"")
    });
    let mut witnesses = whom(2, &running);
    let key = stand(1)[0].witness.key;
    witnesses.quorum.witnesses.insert(0, Witness { name: "a.liar/w".into(), key });
    witnesses.urls.insert(0, liar.url.clone());
    let mut anchor = anchor(&witnesses);
    let mut previous = Vec::new();
    for step in 0..3 {
        let receipt = advance(&mut anchor, &previous, &note(step, 1));
        assert!(witnesses.quorum.is_met_by(&note(step, 1), &receipt));
        previous = note(step, 1);
        let last = willing_first(&anchor.members).pop().unwrap();
        assert!(Arc::ptr_eq(&last, &anchor.members[0]), "{step}");
    }
    assert!(liar.asked.load(Ordering::Relaxed) > 0);
}

/// The log of before a restore may be longer than the one that goes on.
#[test]
fn a_checkpoint_of_before_a_restore_is_not_taken_for_one_of_this_log() {
    let running = stand(2);
    let old = note(5, 1);
    let liar = liar(move |_| http("200 OK", &old));
    let mut witnesses = Witnesses { restores: 1, ..whom(2, &running) };
    let key = stand(1)[0].witness.key;
    witnesses.quorum.witnesses.push(Witness { name: "witness.test/w3".into(), key });
    witnesses.urls.push(liar.url.clone());
    assert_eq!(anchor(&witnesses).load().unwrap(), None);
    let before = Witnesses { restores: 0, ..witnesses };
    assert_eq!(anchor(&before).load().unwrap(), Some(note(5, 1)), "the counter-example");
}

#[test]
fn only_urls_that_keep_others_out_are_taken() {
    let running = stand(1);
    let with =
        |url: &str| WitnessAnchor::new(Witnesses { urls: vec![url.into()], ..whom(1, &running) }, Arc::new(prove));
    for good in
        ["https://witness.example", "https://witness.example:8443/v1", "http://127.0.0.1:1", "http://localhost:1"]
    {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in
        ["http://witness.example", "http://192.0.2.1", "witness.example", "https://w.example/", "https://w/?a=b", ""]
    {
        assert!(matches!(with(bad), Err(WitnessesError::Url(_))), "{bad}");
    }
    assert!(matches!(
        WitnessAnchor::new(Witnesses { urls: Vec::new(), ..whom(1, &running) }, Arc::new(prove)),
        Err(WitnessesError::Urls)
    ));
}
