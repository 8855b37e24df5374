//! Checkpoints as signed notes: exact bytes, and nothing but them.

use pinseal_protocol::checkpoint::{Checkpoint, NOTE_BYTES_MAX, NoteError, SealedBreaker, log_of, origin};
use pinseal_protocol::ids::{DeploymentId, Hash32, Sequence, UnixSeconds};
use pinseal_protocol::manifest::Ed25519Public;
use proptest::prelude::*;

use crate::{array, bytes, cases, ed25519, load, number, samples, sign, text};

fn signed(checkpoint: &Checkpoint) -> Vec<u8> {
    let (pair, key) = ed25519(0x11);
    checkpoint.to_note(&key, |text| sign(&pair, text))
}

#[test]
fn notes_agree_with_another_implementation() {
    let file = load("checkpoint.json");
    let (_, key) = ed25519(0x11);
    assert_eq!(key.0, array(&file, "key"));
    let deployment = DeploymentId(array(&file, "deployment"));
    for case in cases(&file, "cases") {
        let checkpoint = Checkpoint {
            deployment,
            restores: 0,
            size: number(case, "size"),
            root: Hash32(array(case, "root")),
            sequence: Sequence(number(case, "sequence")),
            previous: Hash32(array(case, "previous")),
            time: UnixSeconds(number(case, "time")),
            state: Hash32(array(case, "state")),
            breaker: SealedBreaker(array(case, "breaker")),
            tpm: None,
        };
        let note = text(case, "note").as_bytes();
        assert_eq!(signed(&checkpoint), note);
        assert!(note.len() <= NOTE_BYTES_MAX);
        assert_eq!(Checkpoint::verify(note, &deployment, &key), Ok(checkpoint));
        assert_eq!(Checkpoint::read_unverified(note), Ok(checkpoint));
        assert_eq!(checkpoint.hash().0, array(case, "hash"));
    }
}

#[test]
fn the_published_signed_note_verifies() {
    let note = &load("checkpoint.json")["signed_note"];
    let key = Ed25519Public(array(note, "key"));
    assert!(key.verifies(text(note, "text").as_bytes(), &bytes(note, "signature")));
    assert!(!key.verifies(text(note, "text").trim_end().as_bytes(), &bytes(note, "signature")));
}

#[test]
fn a_note_of_another_key_or_deployment_is_refused() {
    let note = signed(&samples::checkpoint());
    let (_, key) = ed25519(0x11);
    let (_, other) = ed25519(0x12);
    assert_eq!(Checkpoint::verify(&note, &samples::deployment(), &key), Ok(samples::checkpoint()));
    assert_eq!(Checkpoint::verify(&note, &samples::deployment(), &other), Err(NoteError::Signature));
    assert_eq!(Checkpoint::verify(&note, &DeploymentId([0; 16]), &key), Err(NoteError::Malformed));
    // The right name over a signature of another key.
    let (pair, _) = ed25519(0x12);
    let forged = samples::checkpoint().to_note(&key, |text| sign(&pair, text));
    assert_eq!(Checkpoint::verify(&forged, &samples::deployment(), &key), Err(NoteError::Signature));
}

#[test]
fn a_flipped_bit_in_a_note_is_refused() {
    let note = signed(&samples::checkpoint());
    let (_, key) = ed25519(0x11);
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut changed = note.clone();
            changed[at] ^= 1 << bit;
            assert!(Checkpoint::verify(&changed, &samples::deployment(), &key).is_err(), "byte {at}, bit {bit}");
        }
    }
    for end in 0..note.len() {
        assert_eq!(Checkpoint::read_unverified(&note[..end]), Err(NoteError::Malformed), "cut at {end}");
    }
}

#[test]
fn another_spelling_of_a_note_is_refused() {
    let note = String::from_utf8(signed(&samples::checkpoint())).unwrap();
    let name = format!("pinseal.dev/{}", samples::deployment());
    let line = note.lines().last().unwrap().to_owned();
    let root = note.lines().nth(2).unwrap().to_owned();
    assert!(root.ends_with('='), "32 bytes are padded");
    // The last digit before the padding carries two bits that say nothing; another digit with other such bits.
    let loose = {
        let digit = root.as_bytes()[root.len() - 2];
        let other = char::from(if digit == b'8' { b'9' } else { digit + 1 });
        format!("{}{other}=", &root[..root.len() - 2])
    };
    let spellings = [
        note.replace("\n5\n", "\n05\n"),
        note.replace("\n5\n", "\n+5\n"),
        note.replace("\n5\n", "\n5 \n"),
        note.replace("\n5\n", "\n-5\n"),
        note.replace("\n5\n", "\n18446744073709551616\n"),
        note.replace("sequence 2", "sequence  2"),
        note.replace("sequence 2", "Sequence 2"),
        note.replace('\n', "\r\n"),
        note.replace(&name, &name.to_uppercase()),
        note.replace(&name, &name.replace("d0", "D0")),
        note.replacen(&name, "pinseal.dev/00000000000000000000000000000000", 1),
        note.replace(&root, root.trim_end_matches('=')),
        note.replace(&root, &loose),
        note.replace(&root, &format!("{root}=")),
        note.replace(&root, &root.replace(['+', '/'], "-")),
        note.replace("\n\n", "\nextension\n\n"),
        note.replace("\n\n", "\n\n\n"),
        note.replace("\n\n", "\n"),
        note.replace('\u{2014}', "--"),
        format!("{note}{line}\n"),
        format!("{note}\n"),
        format!("\n{note}"),
        format!("\u{feff}{note}"),
        format!("{note}\0"),
        note.trim_end().to_owned(),
        format!("{}=\n", note.trim_end()),
        String::new(),
        "\n\n".to_owned(),
    ];
    let mut refused = 0;
    for spelling in spellings.iter().filter(|spelling| **spelling != note) {
        assert_eq!(Checkpoint::read_unverified(spelling.as_bytes()), Err(NoteError::Malformed), "{spelling:?}");
        refused += 1;
    }
    assert!(refused >= spellings.len() - 1, "at most the base64url spelling may coincide");
    let long = [note.as_bytes(), &[b'x'; NOTE_BYTES_MAX]].concat();
    assert_eq!(Checkpoint::read_unverified(&long), Err(NoteError::Malformed));
    assert_eq!(Checkpoint::read_unverified(&[0xff; 100]), Err(NoteError::Malformed));
}

proptest! {
    #[test]
    fn any_checkpoint_reads_back(deployment: [u8; 16], size: u64, root: [u8; 32], sequence: u64, previous: [u8; 32], time: u64, state: [u8; 32], breaker in prop::collection::vec(any::<u8>(), SealedBreaker::LEN), tpm: Option<[u8; 32]>) {
        let checkpoint = Checkpoint {
            deployment: DeploymentId(deployment),
            restores: 0,
            size,
            root: Hash32(root),
            sequence: Sequence(sequence),
            previous: Hash32(previous),
            time: UnixSeconds(time),
            state: Hash32(state),
            breaker: SealedBreaker::from_slice(&breaker).unwrap(),
            tpm: tpm.map(Hash32),
        };
        let (_, key) = ed25519(0x11);
        prop_assert_eq!(Checkpoint::verify(&signed(&checkpoint), &checkpoint.deployment, &key), Ok(checkpoint));
    }

    #[test]
    fn reading_a_note_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600), at in 0_usize..400, byte: u8) {
        let _ = Checkpoint::read_unverified(&bytes);
        let mut note = signed(&samples::checkpoint());
        let at = at % note.len();
        note.splice(at..=at, bytes.into_iter().take(4).chain([byte]));
        let _ = Checkpoint::read_unverified(&note);
    }
}

#[test]
fn the_name_of_a_log_says_deployment_and_restores_and_any_other_text_says_nothing() {
    let deployment = DeploymentId([0xd1; 16]);
    for restores in [0, 1, 12, u32::MAX] {
        assert_eq!(log_of(&origin(&deployment, restores)), Some((deployment, restores)));
    }
    let name = origin(&deployment, 0);
    let others = ["", "pinseal.dev/", "pinseal.dev/d1", "witness.example/w1"].map(str::to_owned);
    let spelt = ["/0", "/01", "/+1", "/4294967296", "/1/2", "/", " ", "/1 "].map(|end| format!("{name}{end}"));
    for text in others.into_iter().chain(spelt).chain([name.to_uppercase(), format!("x{name}")]) {
        assert_eq!(log_of(&text), None, "{text:?}");
    }
}
