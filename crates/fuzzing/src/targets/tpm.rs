//! What a TPM says: to the enclave, which takes nothing else for an anchor, and to the host, which has to understand it first.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_anchor::fuzzing::{Asked, Understood, ask};
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{
    AttestError, Certified, INDEX_FIRST, Index, P256Signature, Tpm, certified, extended, join_receipt, join_word,
};
use sha2::{Digest as _, Sha256};

use crate::harness::base::BASE;
use crate::harness::keys::{es256, key};
use crate::inputs::{Edit, apply};

/// What the word is asked for with.
const PURPOSE: Hash32 = Hash32([0x9a; 32]);
/// Longest TPM2B that a reader takes.
const SIZED_BYTES_MAX: usize = 66;
/// Longest answer that the transport hands on.
pub(crate) const ANSWER_BYTES_MAX: usize = 4_096;
/// Answers of one script.
const ANSWERS_MAX: usize = 12;

/// One field, as it should be or not.
#[derive(Debug, Clone, Arbitrary)]
enum Field {
    Right,
    Other(Vec<u8>),
}

impl Field {
    fn of(&self, right: &[u8]) -> Vec<u8> {
        match self {
            Self::Right => right.to_vec(),
            Self::Other(bytes) => bytes.iter().copied().take(80).collect(),
        }
    }
}

#[derive(Debug, Arbitrary)]
struct AttestationInput {
    magic: Field,
    kind: Field,
    signer: Field,
    extra: Field,
    clock: Field,
    firmware: Field,
    name: Field,
    offset: Field,
    content: Field,
    edits: Vec<Edit>,
    by_another: bool,
    spoilt: Option<(u8, u8)>,
}

fn tpm() -> Tpm {
    Tpm { attester: P256Public::of(key(1)), index: INDEX_FIRST + 7 }
}

fn writer() -> P256Public {
    P256Public::of(key(2))
}

fn named(area: &[u8]) -> Vec<u8> {
    [&[0, 0x0b], &Sha256::digest(area)[..]].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A checkpoint that goes in on top of `held`.
fn checkpoint(held: Hash32) -> (Checkpoint, Vec<u8>) {
    let checkpoint = Checkpoint { tpm: Some(held), ..BASE.peopled.checkpoint() };
    let note = checkpoint.to_note(&pinseal_protocol::manifest::Ed25519Public([1; 32]), |_| [2; 64]);
    (checkpoint, note)
}

/// Attestations field by field and byte by byte, signed by the right key or not: what is read is what the standard's layout says, and nothing but
/// the whole content of the right index, as the right key says it, is believed.
pub fn tpm_attestation(data: &[u8]) {
    assert_eq!(Certified::read(data).ok().map(|read| read.content.to_vec()), layout(data).map(|read| read.content));
    let Ok(input) = AttestationInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (tpm, index) = (tpm(), Index::new(tpm().index, writer()));
    let (before, note) = checkpoint(Hash32([0x77; 32]));
    let held = extended(&Hash32([0x77; 32]), &before.hash());
    let attest = [
        input.magic.of(&[0xff, 0x54, 0x43, 0x47]),
        input.kind.of(&[0x80, 0x14]),
        sized(&input.signer.of(&[0x51; 34])),
        sized(&input.extra.of(&PURPOSE.0)),
        input.clock.of(&[0; 17]),
        input.firmware.of(&[0x20; 8]),
        sized(&input.name.of(&named(&index.public_written()))),
        input.offset.of(&[0, 0]),
        sized(&input.content.of(&held.0)),
    ];
    let attest = apply(&attest.concat(), &input.edits);
    let mut signature = es256(key(if input.by_another { 3 } else { 1 }), &attest);
    if let Some((place, value)) = input.spoilt {
        signature[usize::from(place) % 64] ^= value;
    }
    let is_signed = !input.by_another && input.spoilt.is_none_or(|(_, value)| value == 0);
    let expected = layout(&attest).filter(|read| {
        is_signed && read.name == named(&index.public_written()) && read.offset == [0, 0] && read.content.len() == 32
    });
    let judged = certified(&attest, &signature, &tpm.attester, &index);
    assert_eq!(judged.ok().map(|held| held.0.to_vec()), expected.as_ref().map(|read| read.content.clone()));
    if layout(&attest).is_some() && !is_signed {
        assert_eq!(judged, Err(AttestError::Signature));
    }
    let word = join_word(&attest, &P256Signature(signature));
    let is_for_it = expected.as_ref().is_some_and(|read| read.extra == PURPOSE.0);
    let says = tpm.says(&writer(), &PURPOSE, &word);
    assert_eq!(says.is_ok(), is_for_it);
    assert_eq!(says.ok(), judged.ok().filter(|_| is_for_it));
    let receipt = join_receipt(&note, &attest, &P256Signature(signature));
    let vouches = expected.as_ref().is_some_and(|read| read.content == held.0);
    assert_eq!(tpm.vouches(&writer(), &note, &before, &receipt), vouches);
    let (other, of_other) = checkpoint(Hash32([0x78; 32]));
    assert!(!tpm.vouches(&writer(), &of_other, &other, &receipt), "a receipt is for one note");
    // Somebody else's index, or another handle, has another name.
    assert!(!tpm.vouches(&tpm.attester, &note, &before, &receipt));
    assert!(!Tpm { index: tpm.index + 1, ..tpm }.vouches(&writer(), &note, &before, &receipt));
}

/// TPMS_ATTEST of an NV certification, from the standard's tables (part 2, 10.12.12 and 10.12.10).
struct Layout {
    extra: Vec<u8>,
    name: Vec<u8>,
    offset: Vec<u8>,
    content: Vec<u8>,
}

fn layout(attest: &[u8]) -> Option<Layout> {
    let mut at = 0;
    let mut next = |length: usize| {
        let taken = attest.get(at..at + length)?.to_vec();
        at += length;
        Some(taken)
    };
    let is_head = next(4)? == [0xff, 0x54, 0x43, 0x47] && next(2)? == [0x80, 0x14];
    let length = |bytes: Vec<u8>| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    let bounded = |length: usize| (length <= SIZED_BYTES_MAX).then_some(length);
    if !is_head {
        return None;
    }
    let signer = bounded(length(next(2)?))?;
    next(signer)?;
    let extra = bounded(length(next(2)?))?;
    let extra = next(extra)?;
    let clock = next(17)?;
    next(8)?;
    let name = bounded(length(next(2)?))?;
    let name = next(name)?;
    let offset = next(2)?;
    let content = bounded(length(next(2)?))?;
    let content = next(content)?;
    (clock[16] <= 1 && at == attest.len()).then_some(Layout { extra, name, offset, content })
}

/// A piece of an answer's parameters.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Piece {
    U8(u8),
    U16(u16),
    U32(u32),
    Sized(Vec<u8>),
    Held([u8; 32]),
    Raw(Vec<u8>),
    /// parameterSize of what follows.
    ParametersSize,
}

/// One answer.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Answer {
    /// With its size and this code.
    Framed(u16, Vec<Piece>),
    /// Any bytes.
    Raw(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
struct AnswersInput {
    asked: u8,
    answers: Vec<Answer>,
    edits: Vec<Edit>,
}

impl Answer {
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let (code, pieces) = match self {
            Self::Raw(bytes) => return bytes.clone(),
            Self::Framed(code, pieces) => (code, pieces),
        };
        let mut body = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::U8(value) => body.push(*value),
                Piece::U16(value) => body.extend(value.to_be_bytes()),
                Piece::U32(value) => body.extend(value.to_be_bytes()),
                Piece::Sized(bytes) => body.extend(sized(bytes)),
                Piece::Held(bytes) => body.extend(sized(bytes)),
                Piece::Raw(bytes) => body.extend(bytes),
                Piece::ParametersSize => {
                    let rest = Self::Framed(0, pieces[place + 1..].to_vec()).encoded().len() - 10;
                    body.extend((rest as u32).to_be_bytes());
                }
            }
        }
        let size = (10 + body.len()) as u32;
        [&[0x80, 2][..], &size.to_be_bytes(), &u32::from(*code).to_be_bytes(), &body].concat()
    }
}

/// Answers of any bytes, and ones that look like a TPM's, to every command of an anchor: understood or not, and what is understood is there.
pub fn tpm_answer(data: &[u8]) {
    let asked = |number: u8| match number % 6 {
        0 => Asked::Read,
        1 => Asked::Define,
        2 => Asked::Open,
        3 => Asked::Extend,
        4 => Asked::Certify,
        _ => Asked::Attester,
    };
    if let Some((first, rest)) = data.split_first() {
        understood(asked(*first), vec![rest.to_vec()]);
    }
    let Ok(input) = AnswersInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    // A piece that says how long the rest is looks at all of it, so there are few.
    let is_short = |answer: &&Answer| !matches!(answer, Answer::Framed(_, pieces) if pieces.len() > 16);
    let mut answers: Vec<Vec<u8>> =
        input.answers.iter().filter(is_short).take(ANSWERS_MAX).map(Answer::encoded).collect();
    if let Some(last) = answers.last_mut() {
        *last = apply(last, &input.edits);
    }
    understood(asked(input.asked), answers);
}

fn understood(asked: Asked, answers: Vec<Vec<u8>>) {
    // The transport hands nothing longer on.
    let answers: Vec<Vec<u8>> = answers
        .into_iter()
        .map(|mut answer| {
            answer.truncate(ANSWER_BYTES_MAX);
            answer
        })
        .collect();
    let said = answers.concat();
    let is_said = |bytes: &[u8]| said.windows(bytes.len().max(1)).any(|window| window == bytes);
    let expected = if answers.len() == 1 { held(&answers[0]) } else { None };
    match ask(asked, answers) {
        Ok(Understood::Held(Some(value))) => assert!(is_said(&value.0)),
        Ok(Understood::Session(nonce)) => assert!(is_said(&nonce.0)),
        Ok(Understood::Word(attest, _)) => assert!(attest.is_empty() || is_said(&attest)),
        Ok(Understood::Key(public)) => assert_eq!(public.0[0], 4),
        Ok(Understood::Held(None) | Understood::Done) => {}
        Err(_) => assert!(!(matches!(asked, Asked::Read) && expected.is_some()), "a good answer is understood"),
    }
}

/// What one answer to TPM2_NV_Read says, from the standard's layout.
fn held(answer: &[u8]) -> Option<[u8; 32]> {
    let number = |at: usize| Some(u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?) as usize);
    let is_good = number(2)? == answer.len() && number(6)? == 0;
    let end = 14_usize.checked_add(number(10)?)?;
    let parameters = answer.get(14..end)?;
    let (length, value) = parameters.split_at_checked(2)?;
    (is_good && length == [0, 32]).then(|| value.get(..32)?.try_into().ok()).flatten()
}
