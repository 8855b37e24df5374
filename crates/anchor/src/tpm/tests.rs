#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::net::TcpListener;

use pinseal_protocol::tpm::{AttestError, CC_NV_EXTEND, certified};

use super::*;
use crate::conformance::{self, advance, authorise, note, writer};

const INDEX: u32 = 0x0180_0123;

/// A software TPM of its own; stops when dropped.
struct Swtpm(pinseal_swtpm::Swtpm);

impl Swtpm {
    fn new() -> Self {
        Self(pinseal_swtpm::Swtpm::start().expect("scripts/setup installs swtpm"))
    }

    fn stop(&mut self) {
        self.0.kill().unwrap();
    }

    /// As after a power cut: what is not in its storage is gone.
    fn restart(&mut self) {
        self.stop();
        self.0.restart().unwrap();
    }

    fn place(&self) -> TpmPlace {
        TpmPlace::Tcp(self.0.address())
    }

    fn chip(&self) -> Chip {
        Chip::new(Link::new(self.place()).turn().unwrap())
    }

    fn anchor(&self) -> TpmAnchor {
        let attester = attestation_key(self.place()).unwrap();
        TpmAnchor::new(self.place(), Tpm { attester, index: INDEX }, Duration::ZERO)
    }

    /// With the index of the suite's writer.
    fn defined() -> (Self, TpmAnchor) {
        let tpm = Self::new();
        let mut anchor = tpm.anchor();
        anchor.define(&writer().1).unwrap();
        (tpm, anchor)
    }

    fn owner(&self, command: &[u8]) -> u32 {
        self.0.command(command).unwrap()
    }

    fn undefine(&self) {
        assert!(self.0.undefine(INDEX).unwrap());
    }

    fn clear(&self) {
        assert!(self.0.clear().unwrap());
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[test]
fn a_tpm_conforms() {
    conformance::check(|| {
        let (tpm, anchor) = Swtpm::defined();
        drop(anchor);
        let attester = attestation_key(tpm.place()).unwrap();
        let named = Tpm { attester, index: INDEX };
        move || Box::new(TpmAnchor::new(tpm.place(), named, Duration::ZERO)) as Box<dyn Anchor>
    });
}

/// The receipt says what the protocol's own reader wants to hear: names, policy and signatures are those of a real TPM.
#[test]
fn the_receipt_certifies_the_value_that_follows_from_the_checkpoint() {
    let (_tpm, mut anchor) = Swtpm::defined();
    let mut previous = Vec::new();
    for sequence in 0..3 {
        let next = note(sequence, 1);
        let receipt = advance(&mut anchor, &previous, &next);
        let checkpoint = Checkpoint::read_unverified(&next).unwrap();
        assert!(anchor.tpm.vouches(&writer().1, &next, &checkpoint, &receipt));
        let (attest, signature) = receipt[next.len()..].split_at(receipt.len() - next.len() - 64);
        let index = Index::new(INDEX, writer().1);
        assert_eq!(certified(attest, signature, &anchor.tpm.attester, &index), Ok(checkpoint.held_after().unwrap()));
        previous = next;
    }
}

#[test]
fn an_authorisation_is_good_for_one_value_in_one_session_once() {
    let (tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    let value = Checkpoint::read_unverified(&note(1, 1)).unwrap().hash();
    let mut chip = tpm.chip();
    let session = chip.open().unwrap();
    let good = conformance::authorisation(&session.nonce, &note(1, 1), INDEX);
    let extend = |chip: &mut Chip, session: &Session, value: &Hash32, authorisation: &Authorisation| {
        let mut sent = false;
        chip.extend(INDEX, session, value, authorisation, &mut sent).map_err(|error| cause(&error))
    };
    // Another session: the nonce is another one.
    let other = chip.open().unwrap();
    assert!(extend(&mut chip, &other, &value, &good).is_err());
    // The same nonce claimed in another session.
    let mut claimed = chip.open().unwrap();
    claimed.nonce = session.nonce;
    assert!(extend(&mut chip, &claimed, &value, &good).is_err());
    // A signature by another key: the policy names the writer's.
    let (foreign, _) = conformance::pair(9);
    let other = chip.open().unwrap();
    let forged = conformance::authorisation_by(&foreign, &other.nonce, &note(1, 1), INDEX);
    assert!(extend(&mut chip, &other, &value, &forged).is_err());
    assert_eq!(anchor.tpm.index, INDEX);
    // The counter-example, and the same again: the session is gone, and so is what was signed for it.
    assert_eq!(extend(&mut chip, &session, &value, &good), Ok(()));
    assert!(extend(&mut chip, &session, &value, &good).is_err());
    let held = chip.read(INDEX).unwrap();
    assert_eq!(held, Checkpoint::read_unverified(&note(1, 1)).unwrap().held_after());
}

/// A word for what the index holds is of now, for whoever asked with that purpose, and says what is there.
#[test]
fn the_word_for_what_an_index_holds_names_its_purpose() {
    let (tpm, mut anchor) = Swtpm::defined();
    let (one, other) = (Hash32([1; 32]), Hash32([2; 32]));
    assert!(matches!(anchor.certify(&one), Err(LoadError::Unavailable(_))), "nothing was written");
    advance(&mut anchor, &[], &note(0, 1));
    let word = anchor.certify(&one).unwrap();
    let held = tpm.chip().read(INDEX).unwrap().unwrap();
    assert_eq!(anchor.tpm.says(&writer().1, &one, &word), Ok(held));
    assert_eq!(anchor.tpm.says(&writer().1, &other, &word), Err(AttestError::Purpose));
    let receipt = anchor.advance(&[], &note(0, 1)).unwrap().0;
    assert_eq!(anchor.tpm.says(&writer().1, &one, &receipt[note(0, 1).len()..]), Err(AttestError::Purpose));
    assert!(anchor.tpm.says(&writer().1, &one, &word[..word.len() - 1]).is_err());
}

/// An index written for the first time with something drawn: what holds a checkpoint later goes in on top of that.
#[test]
fn a_primed_index_is_gone_on_from() {
    let (tpm, mut anchor) = Swtpm::defined();
    let (pair, public) = writer();
    let value = Hash32([0x5d; 32]);
    let nonce = anchor.nonce().unwrap().unwrap();
    let message = Index::new(INDEX, public).to_be_signed(&nonce, &value, true);
    let made = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), &message).unwrap();
    let mut signature = P256Signature([0; 64]);
    signature.0.copy_from_slice(made.as_ref());
    let authorisation = Authorisation { writer: public, signature };
    anchor.prime(&value, &authorisation).unwrap();
    assert_eq!(tpm.chip().read(INDEX).unwrap(), Some(pinseal_protocol::tpm::extended(&NOTHING, &value)));
    // Not a second time, neither by what was given nor where something is held.
    assert!(anchor.prime(&value, &authorisation).is_err());
    let refused = anchor.define(&public).unwrap_err();
    assert!(cause(&refused).contains("written already"), "{}", cause(&refused));
    assert!(matches!(anchor.advance(&[], &note(0, 1)), Err(AdvanceError::Lost { .. })), "it is no genesis's");
}

/// Nobody but the writer: not by the empty password, not by the owner, not by a session that no signature was given in.
#[test]
fn nobody_else_writes_the_index() {
    let (tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    let held = tpm.chip().read(INDEX).unwrap();
    let write = |by: u32, session: u32| {
        let size = [0x80, 2, 0, 0, 0, 65];
        let handles = [by.to_be_bytes(), INDEX.to_be_bytes()].concat();
        let within = [&[0, 0, 0, 9][..], &session.to_be_bytes(), &[0; 5]].concat();
        tpm.owner(&[&size[..], &CC_NV_EXTEND.to_be_bytes(), &handles, &within, &[0, 32], &[7; 32]].concat())
    };
    const OWNER: u32 = 0x4000_0001;
    const PLATFORM: u32 = 0x4000_000c;
    const PASSWORD: u32 = 0x4000_0009;
    for by in [INDEX, OWNER, PLATFORM] {
        assert_ne!(write(by, PASSWORD), 0, "{by:x}");
    }
    let mut chip = tpm.chip();
    let session = chip.open().unwrap();
    let handle = chip.load_for_tests(&session);
    drop(chip);
    assert_ne!(write(INDEX, handle), 0, "a session without the writer's signature");
    assert_eq!(tpm.chip().read(INDEX).unwrap(), held);
}

/// What is signed for an index in use lets nothing into one that was defined in its place.
#[test]
fn an_index_defined_anew_takes_nothing_but_a_genesis() {
    let (tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    advance(&mut anchor, &note(0, 1), &note(1, 1));
    tpm.undefine();
    assert_eq!(anchor.load().unwrap(), None);
    anchor.define(&writer().1).unwrap();
    assert_eq!(anchor.load().unwrap(), None);
    match anchor.advance(&note(0, 1), &note(1, 1)) {
        Err(AdvanceError::Lost { holds }) => assert!(holds.is_empty()),
        other => panic!("{other:?}"),
    }
    // Past the host's own look, as a host of ill will would go.
    let mut chip = tpm.chip();
    let session = chip.open().unwrap();
    let given = conformance::authorisation(&session.nonce, &note(1, 1), INDEX);
    let value = Checkpoint::read_unverified(&note(1, 1)).unwrap().hash();
    assert!(chip.extend(INDEX, &session, &value, &given, &mut false).is_err());
    assert_eq!(chip.read(INDEX).unwrap(), None);
}

#[test]
fn an_index_in_use_is_never_defined_anew() {
    let (_tpm, mut anchor) = Swtpm::defined();
    anchor.define(&writer().1).unwrap();
    advance(&mut anchor, &[], &note(0, 1));
    let refused = anchor.define(&writer().1).unwrap_err();
    assert!(cause(&refused).contains("written already"), "{}", cause(&refused));
    assert!(anchor.load().unwrap().is_some());
}

#[test]
fn a_cleared_tpm_attests_no_more() {
    let (tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    tpm.clear();
    assert_eq!(anchor.load().unwrap(), None);
    // With the same index made and written again: its key is another one for ever.
    anchor.define(&writer().1).unwrap();
    let mut later = TpmAnchor::new(tpm.place(), anchor.tpm, Duration::ZERO);
    authorise(&mut later, &note(0, 1));
    let error = later.advance(&[], &note(0, 1)).unwrap_err();
    assert!(cause(&error).contains("another key"), "{}", cause(&error));
}

/// A power cut of the TPM takes sessions and loaded keys along, and nothing that was written.
#[test]
fn a_restarted_tpm_holds_what_it_held_and_wants_a_new_session() {
    let (mut tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    authorise(&mut anchor, &note(1, 1));
    tpm.restart();
    anchor.link = Link::new(tpm.place());
    assert!(matches!(anchor.advance(&note(0, 1), &note(1, 1)), Err(AdvanceError::Unavailable(_))));
    assert_eq!(
        anchor.load().unwrap(),
        Checkpoint::read_unverified(&note(0, 1)).unwrap().held_after().map(|held| held.0.to_vec())
    );
    advance(&mut anchor, &note(0, 1), &note(1, 1));
}

/// The process may end between writing the index and hearing of it.
#[test]
fn an_advance_of_unknown_outcome_is_found_done() {
    let (tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    let mut chip = tpm.chip();
    let session = chip.open().unwrap();
    let given = conformance::authorisation(&session.nonce, &note(1, 1), INDEX);
    let value = Checkpoint::read_unverified(&note(1, 1)).unwrap().hash();
    chip.extend(INDEX, &session, &value, &given, &mut false).unwrap();
    drop(chip);
    // No session, nothing authorised: nothing is written a second time.
    let mut later = tpm.anchor();
    let receipt = later.advance(&note(0, 1), &note(1, 1)).unwrap();
    assert!(receipt.0.starts_with(&note(1, 1)));
}

#[test]
fn without_an_authorisation_nothing_is_written() {
    let (tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    let error = anchor.advance(&note(0, 1), &note(1, 1)).unwrap_err();
    assert!(matches!(error, AdvanceError::Unavailable(_)), "{error:?}");
    assert_eq!(tpm.chip().read(INDEX).unwrap(), Checkpoint::read_unverified(&note(0, 1)).unwrap().held_after());
}

/// Sessions that a killed host left behind use a TPM's places up; the next one ends them.
#[test]
fn sessions_left_behind_are_ended_when_the_tpm_runs_out() {
    let (tpm, mut anchor) = Swtpm::defined();
    let mut chip = tpm.chip();
    for _ in 0..70 {
        chip.open().unwrap();
    }
    drop(chip);
    advance(&mut anchor, &[], &note(0, 1));
}

#[test]
fn a_tpm_that_is_away_or_silent_is_unavailable() {
    let (mut tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    tpm.stop();
    assert!(matches!(anchor.load(), Err(LoadError::Unavailable(_))));
    assert!(matches!(anchor.nonce(), Err(LoadError::Unavailable(_))));
    assert!(matches!(anchor.advance(&note(0, 1), &note(1, 1)), Err(AdvanceError::Unavailable(_))));
    // Something that takes the connection and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = TpmPlace::Tcp(silent.local_addr().unwrap());
    let link = Link::with_patience(place, Duration::from_millis(50));
    let anchor = TpmAnchor::over(link, anchor.tpm, Duration::ZERO);
    assert!(matches!(anchor.load(), Err(LoadError::Unavailable(_))));
}

/// Whatever answers in a TPM's place: nothing of it is taken for an answer, and nothing hangs or panics.
#[test]
fn a_lying_transport_gives_errors_alone() {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = TpmPlace::Tcp(listener.local_addr().unwrap());
    let answers: Vec<Vec<u8>> = vec![
        vec![],
        vec![0x80, 1],
        vec![0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0],
        vec![0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        vec![0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0],
        vec![0x80, 2, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [&[0x80, 2, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0xff][..], &[0; 34]].concat(),
        [&[0x80, 2, 0, 0, 0, 47, 0, 0, 0, 0, 0, 0, 0, 33, 0, 31][..], &[0; 31]].concat(),
        vec![0x80, 1, 0, 0, 0, 10, 0, 0, 0x01, 0x01],
    ];
    let count = answers.len();
    let liar = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked);
            stream.write_all(&answer).unwrap();
        }
    });
    let tpm = Tpm { attester: writer().1, index: INDEX };
    for _ in 0..count {
        let link = Link::with_patience(place.clone(), Duration::from_secs(5));
        let anchor = TpmAnchor::over(link, tpm, Duration::ZERO);
        assert!(matches!(anchor.load(), Err(LoadError::Unavailable(_))));
    }
    liar.join().unwrap();
}

#[test]
fn writes_keep_their_distance() {
    let (_tpm, mut anchor) = Swtpm::defined();
    advance(&mut anchor, &[], &note(0, 1));
    anchor.interval = Duration::from_millis(300);
    let begun = anchor.written.unwrap();
    advance(&mut anchor, &note(0, 1), &note(1, 1));
    assert!(begun.elapsed() >= anchor.interval);
}

#[test]
fn only_a_device_or_this_machine_is_a_place() {
    for good in ["/dev/tpmrm0", "tcp://127.0.0.1:2321", "tcp://[::1]:2321"] {
        assert_eq!(good.parse::<TpmPlace>().unwrap().to_string(), good);
    }
    for bad in ["", "tpmrm0", "tcp://10.0.0.1:2321", "tcp://127.0.0.1", "tcp://localhost:2321", "/tmp/tpm", "swtpm"] {
        assert_eq!(bad.parse::<TpmPlace>(), Err(NoPlace), "{bad}");
    }
}
