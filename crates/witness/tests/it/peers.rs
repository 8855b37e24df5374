//! Other people's readers: notes by `signed_note`, checkpoints and proofs by `tlog_tiles` (both Cloudflare's).

use pinseal_protocol::ids::Hash32;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash, check_tree};

use crate::{Log, ORIGIN, proof, root, witness};

fn theirs(hash: &Hash32) -> Hash {
    Hash(hash.0)
}

#[test]
fn they_read_and_verify_the_note_that_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let witness = witness(directory.path(), &[&log]);
    witness.add_checkpoint(&log.request(0, 5)).unwrap();
    let served = witness.ledger().logs().unwrap()[0].newest.clone().unwrap().note;
    let note = Note::from_bytes(&served).unwrap();
    let verifier = StandardVerifier::new(&log.key.to_string()).unwrap();
    let (verified, unverified) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 1), "the log's signature, and the cosignature they do not know");
    assert_eq!(unverified[0].name(), "witness.example/w1");
    assert_eq!(unverified[0].id().to_be_bytes(), witness.verifier_key().id());
    assert_eq!(unverified[0].signature().len(), 8 + 64);
    let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), (ORIGIN, 5));
    assert_eq!(checkpoint.hash().0, root(5).0);
}

#[test]
fn they_accept_the_same_proofs() {
    for new in 1..=17_u64 {
        for old in 1..=new {
            let path: Vec<Hash> = proof(old, new).iter().map(theirs).collect();
            check_tree(&path, new, theirs(&root(new)), old, theirs(&root(old))).unwrap();
            let mut changed = path.clone();
            if let Some(first) = changed.first_mut() {
                first.0[0] ^= 1;
                check_tree(&changed, new, theirs(&root(new)), old, theirs(&root(old))).unwrap_err();
            }
        }
    }
}
