//! The log, its proofs and its checkpoints.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::{Checkpoint, NOTE_BYTES_MAX, NoteError, SealedBreaker};
use pinseal_protocol::ids::{DeploymentId, Hash32, Sequence, UnixSeconds};
use pinseal_protocol::log::{Consistency, Entry, Frontier, Inclusion, empty_root, leaf_hash, node_hash};
use sha2::{Digest as _, Sha256};

use crate::harness::base::BASE;

/// Leaves of the largest tree a proof is made over.
const LEAVES_MAX: u64 = 96;

/// Entries, and a frontier from the wire that they are appended to.
pub fn log_entry(data: &[u8]) {
    if let Ok(entry) = cbor::from_slice::<Entry>(data) {
        assert_eq!(cbor::to_vec(&entry), data);
        let digest: [u8; 32] = Sha256::new().chain_update([0]).chain_update(data).finalize().into();
        assert_eq!(leaf_hash(data).0, digest);
    }
    let mut u = Unstructured::new(data);
    // Leaf by leaf the frontier gives the root that the whole tree has.
    let leaves: Vec<Hash32> =
        (0..u.int_in_range(0..=40_u8).unwrap_or(0)).map(|_| leaf_hash(u.bytes(1).unwrap_or(&[0]))).collect();
    let (mut frontier, mut kept) = (Frontier::default(), 0_u64);
    for (index, leaf) in leaves.iter().enumerate() {
        frontier.append(*leaf, |_| kept += 1);
        assert!(frontier.is_well_formed());
        assert_eq!(frontier.root(), tree_root(&leaves[..=index]));
    }
    assert_eq!((frontier.size(), frontier.root()), (leaves.len() as u64, tree_root(&leaves)));
    assert_eq!(kept, 2 * leaves.len() as u64 - leaves.len().count_ones() as u64, "every perfect node once");
    let reread: Frontier = cbor::from_slice(&cbor::to_vec(&frontier)).expect("a frontier is a message");
    assert_eq!(reread, frontier);
    // Any frontier off the wire.
    let rest = u.take_rest();
    if let Ok(mut foreign) = cbor::from_slice::<Frontier>(rest)
        && foreign.is_well_formed()
        && foreign.size() < 1 << 63
    {
        let before = foreign.size();
        foreign.append(empty_root(), |_| {});
        assert!(foreign.size() == before + 1 && foreign.is_well_formed());
        let _ = foreign.root();
    }
}

/// RFC 6962 section 2.1, literally.
fn tree_root(leaves: &[Hash32]) -> Hash32 {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at((leaves.len().next_power_of_two()) / 2);
            node_hash(&tree_root(left), &tree_root(right))
        }
    }
}

#[derive(Debug, Arbitrary)]
struct ProofInput {
    old: u64,
    new: u64,
    /// What to change in an honest proof.
    edits: Vec<(u8, u8, u8)>,
    truncate: Option<u8>,
    append: Vec<[u8; 32]>,
    sizes: Option<(u64, u64)>,
    roots: Option<([u8; 32], [u8; 32])>,
}

/// Proofs: an honest one verifies, a changed one does not, and none of any form makes the verifier fail.
pub fn consistency(data: &[u8]) {
    if let Ok(proof) = cbor::from_slice::<Consistency>(data) {
        let _ = proof.verifies(&empty_root(), &leaf_hash(b"x"));
    }
    let Ok(input) = ProofInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let new = 1 + input.new % LEAVES_MAX;
    let old = 1 + input.old % new;
    let leaves: Vec<Hash32> = (0..new).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect();
    let node = |level: u8, index: u64| {
        let width = 1_usize << level;
        let start = usize::try_from(index).map_err(|_| ())? * width;
        leaves.get(start..start + width).map(tree_root).ok_or(())
    };
    let honest = Consistency::prove(old, new, &mut { node }).expect("all nodes are there").expect("sizes make sense");
    let (old_root, new_root) = (tree_root(&leaves[..usize::try_from(old).unwrap_or(0)]), tree_root(&leaves));
    assert!(honest.verifies(&old_root, &new_root), "an honest proof of {old} in {new}");
    let mut changed = honest.clone();
    for (place, byte, value) in &input.edits {
        let length = changed.path.len();
        if let Some(hash) = changed.path.get_mut(usize::from(*place) % length.max(1)) {
            hash.0[usize::from(*byte) % 32] ^= value;
        }
    }
    if let Some(length) = input.truncate {
        changed.path.truncate(usize::from(length));
    }
    changed.path.extend(input.append.iter().take(70).map(|hash| Hash32(*hash)));
    if let Some((old_size, new_size)) = input.sizes {
        (changed.old_size, changed.new_size) = (old_size, new_size);
    }
    let (shown_old, shown_new) = input.roots.map_or((old_root, new_root), |(old, new)| (Hash32(old), Hash32(new)));
    let verifies = changed.verifies(&shown_old, &shown_new);
    let same_trees = (shown_old, shown_new) == (old_root, new_root);
    if (changed.old_size, changed.new_size) == (old, new) {
        let accusing = Consistency { old_root: Some(shown_old), ..changed.clone() };
        assert!(!accusing.convicts(&old_root, &new_root), "an honest history of {old} in {new} is convicted");
    }
    if changed == honest && same_trees {
        assert!(verifies);
    }
    // Under the honest sizes only the honest path leads to the honest roots.
    if verifies && (changed.old_size, changed.new_size) == (old, new) && same_trees {
        assert_eq!(changed.path, honest.path);
    }
    inclusion(&input, &leaves, &mut { node });
}

/// Under the honest place and size only the honest path leads from a leaf to the root, and only from that leaf.
fn inclusion<E: core::fmt::Debug>(
    input: &ProofInput,
    leaves: &[Hash32],
    node: &mut impl FnMut(u8, u64) -> Result<Hash32, E>,
) {
    let (size, root) = (leaves.len() as u64, tree_root(leaves));
    let index = input.old % size;
    let honest = Inclusion::prove(index, size, node).expect("all nodes are there").expect("the leaf is there");
    let leaf = leaves[usize::try_from(index).unwrap_or(0)];
    assert!(honest.verifies(&leaf, &root), "an honest proof of {index} in {size}");
    let mut changed = honest.clone();
    for (place, byte, value) in &input.edits {
        let length = changed.path.len();
        if let Some(hash) = changed.path.get_mut(usize::from(*place) % length.max(1)) {
            hash.0[usize::from(*byte) % 32] ^= value;
        }
    }
    if let Some(length) = input.truncate {
        changed.path.truncate(usize::from(length));
    }
    changed.path.extend(input.append.iter().take(70).map(|hash| Hash32(*hash)));
    assert_eq!(changed.verifies(&leaf, &root), changed == honest);
    if let Some((index, size)) = input.sizes {
        (changed.index, changed.size) = (index, size);
        let _ = changed.verifies(&leaf, &root);
    }
    assert!(leaves.iter().all(|other| honest.verifies(other, &root) == (*other == leaf)));
}

#[derive(Debug, Arbitrary)]
struct NoteInput<'a> {
    size: u64,
    root: [u8; 32],
    sequence: u64,
    previous: [u8; 32],
    time: u64,
    state: [u8; 32],
    deployment: [u8; 16],
    edits: Vec<(u16, u8)>,
    /// Text signed by K_log as it stands, in a checkpoint's place.
    text: Option<&'a str>,
    tpm: Option<[u8; 32]>,
}

/// Notes: any bytes, notes signed by K_log with changes, and other text signed by K_log.
pub fn checkpoint(data: &[u8]) {
    read_note(data);
    let Ok(input) = NoteInput::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let checkpoint = Checkpoint {
        deployment: DeploymentId(input.deployment),
        restores: 0,
        size: input.size,
        root: Hash32(input.root),
        sequence: Sequence(input.sequence),
        previous: Hash32(input.previous),
        time: UnixSeconds(input.time),
        state: Hash32(input.state),
        breaker: SealedBreaker([0; SealedBreaker::LEN]),
        tpm: input.tpm.map(Hash32),
    };
    let key = BASE.root.log_public();
    let note = BASE.root.note(&checkpoint);
    assert!(note.len() <= NOTE_BYTES_MAX);
    assert_eq!(Checkpoint::verify(&note, &checkpoint.deployment, &key), Ok(checkpoint));
    let other = DeploymentId(input.deployment.map(|byte| !byte));
    assert_eq!(Checkpoint::verify(&note, &other, &key), Err(NoteError::Malformed));
    let mut changed = note.clone();
    for (place, value) in &input.edits {
        let length = changed.len();
        changed[usize::from(*place) % length] ^= value;
    }
    read_note(&changed);
    if changed != note {
        assert!(Checkpoint::verify(&changed, &checkpoint.deployment, &key).is_err(), "a changed note verifies");
    }
    if let Some(text) = input.text {
        let signed = signed_text(text, &note, &checkpoint);
        if let Ok(read) = Checkpoint::verify(&signed, &checkpoint.deployment, &key) {
            assert_eq!(read.text(), text, "what was signed is what is read");
        }
    }
}

/// What reads as a checkpoint is written in the one way it can be.
fn read_note(note: &[u8]) {
    let Ok(checkpoint) = Checkpoint::read_unverified(note) else { return };
    let text = checkpoint.text();
    let rest = note.strip_prefix(text.as_bytes()).expect("the text comes first");
    let line = format!("\n\u{2014} pinseal.dev/{} ", checkpoint.deployment);
    let encoded = rest.strip_prefix(line.as_bytes()).expect("then the signature line");
    assert_eq!(encoded.len(), 93, "68 bytes in base64 and a newline");
    assert!(note.len() <= NOTE_BYTES_MAX);
}

/// The signature line of `note` with a signature over `text` in front of it.
fn signed_text(text: &str, note: &[u8], checkpoint: &Checkpoint) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let line = note.get(checkpoint.text().len()..).unwrap_or(&[]);
    let line = String::from_utf8_lossy(line);
    let (head, encoded) = line.trim_end().rsplit_once(' ').expect("the line has a name and a signature");
    let mut signed = STANDARD.decode(encoded).expect("base64");
    signed.truncate(4);
    signed.extend_from_slice(&BASE.root.sign_log(text.as_bytes()));
    format!("{text}{head} {}\n", STANDARD.encode(signed)).into_bytes()
}
