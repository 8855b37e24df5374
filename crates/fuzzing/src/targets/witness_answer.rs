//! What a witness answers, as the host reads it.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_anchor::fuzzing::{cosignature, held_size, own_note};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::Sequence;
use pinseal_protocol::note::{SIGNATURES_MAX, SignatureLine};

use super::witnesses::{COSIGNERS, Cosigner, LineInput};
use crate::harness::base::BASE;
use crate::inputs::{Edit, apply};

#[derive(Debug, Arbitrary)]
struct AnswerInput {
    lines: Vec<LineInput>,
    /// Where the log's own line stands in a note that is shown, and how it is changed.
    own: Option<(u8, Option<(u8, u8)>)>,
    sequence: u64,
    held: u64,
    edits: Vec<Edit>,
}

fn asked() -> &'static Cosigner {
    &COSIGNERS[0]
}

/// A witness's answers: cosignatures, what it holds, and the checkpoint that it shows; any bytes, lines by it, by others and by strangers with
/// its name, true and false. What is taken is what its key, or the log's, signed over just this, and nothing that is true is passed over.
pub fn witness_answer(data: &[u8]) {
    taken(data);
    let Ok(input) = AnswerInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let checkpoint = BASE.peopled.checkpoint();
    let text = checkpoint.text();
    let lines: Vec<_> = input.lines.iter().take(2 * SIGNATURES_MAX).map(|line| (line, line.made(&text))).collect();
    let answer: String = lines.iter().map(|(_, (line, _))| line.to_string()).collect();
    let mut by_it = lines.iter().filter(|(line, (_, is_true))| *is_true && std::ptr::eq(line.by(), asked()));
    let expected = by_it.next().map(|(_, (line, _))| line.clone()).filter(|_| lines.len() <= SIGNATURES_MAX);
    assert_eq!(cosignature(answer.as_bytes(), &asked().key, &checkpoint), expected);
    taken(&apply(answer.as_bytes(), &input.edits));

    let shown = Checkpoint { sequence: Sequence(input.sequence), ..checkpoint };
    let text = shown.text();
    let mut lines: Vec<SignatureLine> =
        input.lines.iter().take(SIGNATURES_MAX).map(|line| line.made(&text).0).collect();
    let mut is_signed = false;
    if let Some((place, edit)) = input.own {
        let log = BASE.root.log_public();
        let key = pinseal_protocol::checkpoint::log_verifier_key(&shown.deployment, shown.restores, &log);
        let mut signature = BASE.root.sign_log(text.as_bytes()).to_vec();
        if let Some((place, value)) = edit {
            signature[usize::from(place) % 64] ^= value;
        }
        is_signed = edit.is_none_or(|(_, value)| value == 0) && lines.len() < SIGNATURES_MAX;
        let line = SignatureLine { name: key.name().to_owned(), id: key.id(), signature };
        lines.insert(usize::from(place) % (lines.len() + 1), line);
    }
    let note = format!("{text}\n{}", lines.iter().map(SignatureLine::to_string).collect::<String>()).into_bytes();
    let own = own_note(&note, &shown.deployment, &BASE.root.log_public());
    assert_eq!(own.map(|(checkpoint, _)| checkpoint), is_signed.then_some(shown));
    taken(&apply(&note, &input.edits));

    for end in ["", "\n"] {
        let number = format!("{}{end}", input.held);
        assert_eq!(held_size(number.as_bytes()), Some(input.held).filter(|held| *held < 1 << 63));
        taken(&apply(number.as_bytes(), &input.edits));
    }
}

/// Whatever is taken from these bytes was signed, or stands there. Ed25519 has one signature for a message.
fn taken(answer: &[u8]) {
    if let Some(held) = held_size(answer) {
        let text = held.to_string();
        assert!(answer.strip_suffix(b"\n").unwrap_or(answer) == text.as_bytes() && held < 1 << 63);
    }
    let checkpoint = BASE.peopled.checkpoint();
    if let Some(line) = cosignature(answer, &asked().key, &checkpoint) {
        let time = line.signature.first_chunk().copied().map(u64::from_be_bytes).expect("a time comes first");
        assert_eq!(line, asked().line(time, &checkpoint.text()));
        assert!(core::str::from_utf8(answer).expect("it is text").contains(&line.to_string()));
    }
    if let Some((checkpoint, note)) = own_note(answer, &BASE.configuration.deployment, &BASE.root.log_public()) {
        assert_eq!(checkpoint.to_note(&BASE.root.log_public(), |text| BASE.root.sign_log(text)), note);
        assert!(answer.starts_with(checkpoint.text().as_bytes()));
    }
}

/// Answers as a witness gives them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let checkpoint = BASE.peopled.checkpoint();
    let line = asked().line(1_800_000_000, &checkpoint.text()).to_string();
    let shown = [&BASE.peopled.note[..], line.as_bytes()].concat();
    vec![line.into_bytes(), shown, BASE.peopled.note.clone(), b"0\n".to_vec(), b"9223372036854775807\n".to_vec()]
}
