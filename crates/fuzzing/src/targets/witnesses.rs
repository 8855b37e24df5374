//! What witnesses hear and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arbitrary::{Arbitrary, Unstructured};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinseal_protocol::add_checkpoint::AddCheckpoint;
use pinseal_protocol::cosignature::{Quorum, RECEIPT_BYTES_MAX, Witness, cosign, read_time};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::log::{Consistency, Frontier, empty_root, leaf_hash};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, SIGNATURES_MAX, SignatureLine, VerifierKey, read_note, read_signatures};
use pinseal_witness::{Clock, Ledger, Refusal, Witness as Service, WitnessKey};

use crate::harness::base::BASE;

/// Witnesses of the quorum; as many strangers have keys beside them.
pub(super) const WITNESSES: u8 = 5;

pub(super) struct Cosigner {
    pair: Ed25519KeyPair,
    pub(super) key: VerifierKey,
}

impl Cosigner {
    /// Its line over this text.
    pub(super) fn line(&self, time: u64, text: &str) -> SignatureLine {
        cosign(&self.key, time, text.as_bytes(), |message| self.pair.sign(message).as_ref().try_into().unwrap())
    }
}

fn cosigner(number: u8) -> Cosigner {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
    let public = Ed25519Public::from_slice(pair.public_key().as_ref()).unwrap();
    // Strangers use the witnesses' names.
    let name = format!("witness.test/w{}", number % WITNESSES);
    Cosigner { key: VerifierKey::new(&name, KeyKind::Cosignature, public).unwrap(), pair }
}

pub(super) static COSIGNERS: LazyLock<Vec<Cosigner>> = LazyLock::new(|| (0..2 * WITNESSES).map(cosigner).collect());

#[derive(Debug, Arbitrary)]
pub(super) struct LineInput {
    by: u8,
    time: u64,
    is_of_another_note: bool,
    /// Changes of the signature, time included.
    edit: Option<(u8, u8)>,
}

impl LineInput {
    pub(super) fn by(&self) -> &'static Cosigner {
        &COSIGNERS[usize::from(self.by % (2 * WITNESSES))]
    }

    /// The line, and whether it is a true one over this text.
    pub(super) fn made(&self, text: &str) -> (SignatureLine, bool) {
        let mut made = self.by().line(self.time, if self.is_of_another_note { "another note\n" } else { text });
        let whole = made.signature.clone();
        if let Some((place, value)) = self.edit {
            let length = made.signature.len();
            made.signature[usize::from(place) % length] ^= value;
        }
        let is_true = !self.is_of_another_note && made.signature == whole && (1..1 << 63).contains(&self.time);
        (made, is_true)
    }
}

#[derive(Debug, Arbitrary)]
struct ReceiptInput {
    required: u8,
    lines: Vec<LineInput>,
    tail: Option<String>,
}

/// Notes, verifier keys and receipts: any bytes have one reading or none; a receipt counts exactly when k different witnesses
/// cosigned this note and nobody's line in a witness's name is false.
pub fn cosignature(data: &[u8]) {
    one_text(data);
    let Ok(input) = ReceiptInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let quorum = Quorum {
        required: WITNESSES / 2 + 1 + input.required % (WITNESSES / 2 + 1),
        witnesses: COSIGNERS
            .iter()
            .take(usize::from(WITNESSES))
            .filter_map(|one| Witness::from_verifier_key(&one.key))
            .collect(),
    };
    quorum.check().unwrap();
    let note = &BASE.peopled.note;
    let (text, _) = read_note(note).unwrap();
    let (mut receipt, mut honest, mut is_spoilt) = (note.clone(), BTreeSet::new(), false);
    for line in input.lines.iter().take(2 * SIGNATURES_MAX) {
        let by = line.by();
        let (made, is_true) = line.made(text);
        assert_eq!(read_time(&made, &by.key, text.as_bytes()).is_some(), is_true);
        if line.by % (2 * WITNESSES) < WITNESSES {
            is_spoilt |= !is_true;
            honest.insert(by.key.name().to_owned());
        }
        receipt.extend_from_slice(made.to_string().as_bytes());
    }
    let is_bounded = receipt.len() <= RECEIPT_BYTES_MAX && input.lines.len() <= SIGNATURES_MAX;
    let expected = is_bounded && !is_spoilt && honest.len() >= usize::from(quorum.required);
    assert_eq!(quorum.is_met_by(note, &receipt), expected);
    // Whatever stands behind it, it cannot make a quorum of less.
    receipt.extend_from_slice(input.tail.unwrap_or_default().as_bytes());
    assert!(expected || !quorum.is_met_by(note, &receipt));
}

fn one_text(data: &[u8]) {
    if let Ok((text, lines)) = read_note(data) {
        let written: String = lines.iter().map(SignatureLine::to_string).collect();
        assert_eq!(format!("{text}\n{written}").as_bytes(), data);
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(lines) = read_signatures(text) {
        assert_eq!(lines.iter().map(SignatureLine::to_string).collect::<String>(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
}

/// Leaves that both branches of the log below share.
const SHARED: u64 = 4;
/// Longest log played.
const SIZE_MAX: u64 = 40;

#[derive(Debug, Arbitrary)]
struct StepInput {
    old: Option<u8>,
    new: u8,
    is_branch: bool,
    edit: Option<(u8, u8, u8)>,
    is_signed: bool,
}

#[derive(Debug, Arbitrary)]
struct RequestInput {
    steps: Vec<StepInput>,
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> u64 {
        1_800_000_000
    }
}

static KEY_FILE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    WitnessKey::create(&directory.path().join("key"), "witness.test/w").unwrap();
    directory
});

fn log() -> Cosigner {
    let Cosigner { pair, key } = cosigner(99);
    Cosigner { pair, key: VerifierKey::new("log.test", KeyKind::Ed25519, *key.key()).unwrap() }
}

fn tree(size: u64, is_branch: bool) -> (Hash32, BTreeMap<(u8, u64), Hash32>) {
    let (mut frontier, mut nodes) = (Frontier::default(), BTreeMap::new());
    for leaf in 0..size {
        let is_other = is_branch && leaf >= SHARED;
        frontier.append(leaf_hash(&[&leaf.to_be_bytes()[..], &[u8::from(is_other)]].concat()), |node| {
            nodes.insert((node.level, node.index), node.hash);
        });
    }
    (if size == 0 { empty_root() } else { frontier.root() }, nodes)
}

/// Requests to a witness: any bytes; and a log with a second branch, with wrong sizes, changed proofs and missing signatures. What
/// is cosigned is exactly what continues everything cosigned before.
pub fn witness_request(data: &[u8]) {
    let log = log();
    let key = WitnessKey::load(&KEY_FILE.path().join("key")).unwrap();
    let ledger = Ledger::create(Path::new(":memory:"), key.verifier_key()).unwrap();
    ledger.trust(&log.key).unwrap();
    let witness = Service::new(key, ledger, Arc::new(Noon));
    assert!(witness.add_checkpoint(data).is_err(), "nobody else can sign for the log");
    if let Ok(request) = AddCheckpoint::read(data) {
        assert_eq!(request.to_body(), data);
    }
    let Ok(input) = RequestInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (mut size, mut is_branch) = (0, false);
    for step in input.steps.iter().take(12) {
        let (old, new) = (step.old.map_or(size, |old| u64::from(old) % SIZE_MAX), u64::from(step.new) % SIZE_MAX);
        let (root, nodes) = tree(new, step.is_branch);
        let mut read = |level, index| nodes.get(&(level, index)).copied().ok_or(());
        let proof = Consistency::prove(old, new, &mut read).unwrap();
        let mut proof = proof.map(|proof| proof.path).unwrap_or_default();
        let whole = proof.clone();
        if let Some((place, byte, value)) = step.edit
            && !proof.is_empty()
        {
            let length = proof.len();
            proof[usize::from(place) % length].0[usize::from(byte % 32)] ^= value;
        }
        let text = format!("log.test\n{new}\n{}\n", STANDARD.encode(root.0));
        let signer = if step.is_signed { &log.pair } else { &COSIGNERS[0].pair };
        let line = SignatureLine {
            name: "log.test".into(),
            id: log.key.id(),
            signature: signer.sign(text.as_bytes()).as_ref().to_vec(),
        };
        let note = format!("{text}\n{line}");
        let body = AddCheckpoint { old_size: old, proof: proof.clone(), note: note.as_bytes() }.to_body();
        let is_continued = size <= SHARED || is_branch == step.is_branch;
        let expected = step.is_signed && old == size && new >= size && is_continued && proof == whole;
        match witness.add_checkpoint(&body) {
            Ok(line) => {
                assert!(expected, "cosigned what does not continue {size} leaves: {step:?}");
                assert!(read_time(&line, witness.verifier_key(), text.as_bytes()).is_some());
                (size, is_branch) = (new, step.is_branch);
            }
            Err(refusal) => {
                assert!(!expected, "{refusal}: {step:?}");
                assert!(!matches!(refusal, Refusal::Ledger(_) | Refusal::UnknownLog));
            }
        }
    }
}
