//! Verifier keys, notes with several signatures, and witnesses' cosignatures.

use pinseal_protocol::cosignature::{Quorum, RECEIPT_BYTES_MAX, Witness, cosign, read_time, signed_message};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{
    KeyKind, NAME_BYTES_MAX, NoteFormError, SIGNATURES_MAX, SignatureLine, VerifierKey, is_key_name, read_note,
    read_signatures,
};
use proptest::prelude::*;

use crate::{array, bytes, cases, ed25519, load, sign, text};

#[test]
fn the_published_verifier_key_verifies_the_published_note() {
    let published = &load("cosignature.json")["verifier_key"];
    let key: VerifierKey = text(published, "text").parse().unwrap();
    assert_eq!((key.name(), key.kind()), (text(published, "name"), KeyKind::Ed25519));
    assert_eq!(key.id(), array(published, "id"));
    assert_eq!(key.to_string(), text(published, "text"));
    let (message, lines) = read_note(text(published, "note").as_bytes()).unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].is_by(&key) && key.key().verifies(message.as_bytes(), &lines[0].signature));
    assert_eq!(format!("{message}\n{}", lines[0]), text(published, "note"));
}

/// What witnesses of the public network signed, this code verifies, and only over that tree head and with that time.
#[test]
fn cosignatures_of_public_witnesses_verify() {
    let file = load("cosignature.json");
    let head = text(&file, "text");
    for case in cases(&file, "cosignatures") {
        let key =
            VerifierKey::new(text(case, "name"), KeyKind::Cosignature, Ed25519Public(array(case, "key"))).unwrap();
        let time: u64 = text(case, "time").parse().unwrap();
        let made = |time: u64| {
            let signature = [time.to_be_bytes().to_vec(), bytes(case, "signature")].concat();
            SignatureLine { name: key.name().to_owned(), id: key.id(), signature }
        };
        assert_eq!(read_time(&made(time), &key, head.as_bytes()), Some(time), "{}", key.name());
        assert_eq!(read_time(&made(time + 1), &key, head.as_bytes()), None);
        assert_eq!(read_time(&made(time), &key, head.replace("381382", "381383").as_bytes()), None);
        let plain = VerifierKey::new(key.name(), KeyKind::Ed25519, *key.key()).unwrap();
        assert_eq!(read_time(&made(time), &plain, head.as_bytes()), None, "another kind of signature");
        assert_ne!(plain.id(), key.id());
    }
}

#[test]
fn the_signed_message_is_that_of_the_standard() {
    let head = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let expected = format!("cosignature/v1\ntime 1679315147\n{head}");
    assert_eq!(signed_message(1_679_315_147, head.as_bytes()), expected.into_bytes());
}

#[test]
fn a_verifier_key_has_one_text() {
    let (_, key) = ed25519(0x21);
    let good = VerifierKey::new("witness.example/w1", KeyKind::Cosignature, key).unwrap().to_string();
    assert_eq!(good.parse::<VerifierKey>().unwrap().to_string(), good);
    let other_id = good.replacen('+', "+0", 1);
    let unpadded = format!("{good}=");
    let upper = good.to_uppercase();
    for bad in
        ["", "a", "a+b", "a+b+c", "+00000000+BA==", &good[1..], &good[..good.len() - 1], &other_id, &unpadded, &upper]
    {
        assert_eq!(bad.parse::<VerifierKey>(), Err(NoteFormError::VerifierKey), "{bad}");
    }
    // ML-DSA-44 (0x06) and whatever comes later is not known here.
    let unknown = "w+00000000+BuEyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    assert!(unknown.parse::<VerifierKey>().is_err());
}

#[test]
fn key_names_are_bounded_and_separate() {
    assert!(is_key_name("witness.example/w1") && is_key_name("ü") && is_key_name(&"n".repeat(NAME_BYTES_MAX)));
    for bad in ["", "a b", "a+b", "a\tb", "a\u{2003}b", "a\nb", "a\u{7f}b", &"n".repeat(NAME_BYTES_MAX + 1)] {
        assert!(!is_key_name(bad), "{bad:?}");
    }
}

#[test]
fn a_note_ends_in_signature_lines_and_nothing_else() {
    let line = "\u{2014} a YWJjZGVm\n";
    let good = format!("one\n\ntwo\n\n{line}{line}");
    let (text, lines) = read_note(good.as_bytes()).unwrap();
    assert_eq!((text, lines.len()), ("one\n\ntwo\n", 2), "the last blank line parts them");
    for bad in [
        "".to_owned(),
        line.to_owned(),
        "text\n\n".to_owned(),
        format!("text\n{line}"),
        format!("text\n\n{}", line.trim_end()),
        format!("text\n\n{line}\n"),
        format!("text\n\n{line}more\n"),
        format!("text\n\n{line} "),
        format!("te\txt\n\n{line}"),
        format!("te\rxt\n\n{line}"),
        "text\n\n- a YWJjZGVm\n".to_owned(),
        "text\n\n\u{2014} a  YWJjZGVm\n".to_owned(),
        "text\n\n\u{2014} a YWJjZGVm=\n".to_owned(),
        "text\n\n\u{2014} a YWJj\n".to_owned(),
        "text\n\n\u{2014} a YWJjZA==\n".to_owned(),
        "text\n\n\u{2014} a+b YWJjZGVm\n".to_owned(),
    ] {
        assert_eq!(read_note(bad.as_bytes()), Err(NoteFormError::Note), "{bad:?}");
    }
    assert!(read_note(b"\xff\n\n\xe2\x80\x94 a YWJjZGVm\n").is_err());
    assert!(read_signatures(&line.repeat(SIGNATURES_MAX)).is_ok());
    assert!(read_signatures(&line.repeat(SIGNATURES_MAX + 1)).is_err());
    assert_eq!(read_signatures(""), Ok(Vec::new()));
}

#[test]
fn checking_a_receipt_is_bounded_work() {
    let (pair, key) = ed25519(0x31);
    let verifier = VerifierKey::new("w", KeyKind::Cosignature, key).unwrap();
    let quorum = Quorum { required: 1, witnesses: vec![Witness::from_verifier_key(&verifier).unwrap()] };
    let note = b"text\n\n\xe2\x80\x94 log YWJjZGVm\n";
    let line = cosign(&verifier, 1, b"text\n", |message| sign(&pair, message)).to_string();
    assert!(quorum.is_met_by(note, &[note, line.as_bytes()].concat()));
    assert!(!quorum.is_met_by(note, &[&note[..], line.repeat(10_000).as_bytes()].concat()), "beyond the bound");
    // Others' lines fill it up to the last byte, and one further.
    let long = |name: usize, bytes: usize| {
        SignatureLine { name: "n".repeat(name), id: [0; 4], signature: vec![0; bytes] }.to_string()
    };
    let filled = |bytes: usize| {
        let receipt = [note, line.as_bytes(), long(1, 4_000).as_bytes(), long(1, 1_980).as_bytes()].concat();
        let missing = bytes - receipt.len() - long(1, 2).len();
        [receipt, long(1 + missing, 2).into_bytes()].concat()
    };
    for (bytes, is_met) in [(RECEIPT_BYTES_MAX - 1, true), (RECEIPT_BYTES_MAX, true), (RECEIPT_BYTES_MAX + 1, false)] {
        assert_eq!(filled(bytes).len(), bytes);
        assert_eq!(quorum.is_met_by(note, &filled(bytes)), is_met, "{bytes}");
    }
}

#[test]
fn a_line_states_a_time_for_the_key_it_is_by_and_for_cosignatures_alone() {
    let (pair, key) = ed25519(0x31);
    let of = |name, kind| VerifierKey::new(name, kind, key).unwrap();
    let verifier = of("w", KeyKind::Cosignature);
    let by = |key: &VerifierKey, time| cosign(key, time, b"text\n", |message| sign(&pair, message));
    assert_eq!(read_time(&by(&verifier, 7), &verifier, b"text\n"), Some(7));
    assert_eq!(read_time(&by(&verifier, 7), &of("v", KeyKind::Cosignature), b"text\n"), None, "another name");
    let of_log = of("w", KeyKind::Ed25519);
    assert_eq!(read_time(&by(&verifier, 7), &of_log, b"text\n"), None, "another id");
    assert_eq!(read_time(&by(&of_log, 7), &of_log, b"text\n"), None, "a log's key cosigns nothing");
    for (time, is_read) in [(0, false), (1, true), ((1 << 63) - 1, true), (1 << 63, false)] {
        assert_eq!(read_time(&by(&verifier, time), &verifier, b"text\n").is_some(), is_read, "{time}");
    }
}

proptest! {
    #[test]
    fn whatever_reads_as_a_note_is_written_the_same(text in "\\PC{0,40}\n?\\PC{0,20}", tail in "[\u{2014} a-zA-Z=\n]{0,60}") {
        let note = format!("{text}\n\n{tail}\u{2014} k YWJjZGVm\n");
        if let Ok((text, lines)) = read_note(note.as_bytes()) {
            let written: String = lines.iter().map(ToString::to_string).collect();
            prop_assert_eq!(format!("{text}\n{written}"), note);
        }
    }
}
