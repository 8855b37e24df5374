//! What is cosigned and what is not.

use pinseal_protocol::add_checkpoint::{AddCheckpoint, PROOF_LINES_MAX};
use pinseal_protocol::cosignature::read_time;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, VerifierKey};
use pinseal_witness::{KeyError, Ledger, LedgerError, Refusal, Served, WitnessKey};

use crate::{Log, NOW, ORIGIN, leaf, proof, witness};

#[test]
fn a_log_that_grows_is_cosigned_step_by_step() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let witness = witness(directory.path(), &[&log]);
    for (old, new) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 7), (7, 8), (8, 300), (300, 300)] {
        let line = witness.add_checkpoint(&log.request(old, new)).unwrap();
        assert_eq!(read_time(&line, witness.verifier_key(), log.text(new).as_bytes()), Some(NOW), "{old} to {new}");
    }
}

#[test]
fn extension_lines_are_cosigned_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let witness = witness(directory.path(), &[&log]);
    let text = format!("{}sequence 1\nstate abc\n", log.text(3));
    let note = log.sign(&text);
    let body = AddCheckpoint { old_size: 0, proof: Vec::new(), note: note.as_bytes() }.to_body();
    let line = witness.add_checkpoint(&body).unwrap();
    assert!(read_time(&line, witness.verifier_key(), text.as_bytes()).is_some());
    assert!(read_time(&line, witness.verifier_key(), log.text(3).as_bytes()).is_none());
}

#[test]
fn each_refusal_of_the_standard_and_after_it_nothing_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (log, stranger, impostor) = (Log::new(ORIGIN, 1), Log::new("log.example/two", 2), Log::new(ORIGIN, 3));
    let witness = witness(directory.path(), &[&log]);
    witness.add_checkpoint(&log.request(0, 5)).unwrap();
    let before = witness.ledger().logs().unwrap();
    let refused = |body: &[u8]| {
        let refusal = witness.add_checkpoint(body).unwrap_err();
        assert_eq!(witness.ledger().logs().unwrap(), before);
        refusal
    };
    let with = |old_size, proof, note: &str| AddCheckpoint { old_size, proof, note: note.as_bytes() }.to_body();

    assert!(matches!(refused(&stranger.request(0, 1)), Refusal::UnknownLog));
    assert!(matches!(refused(&impostor.request(5, 6)), Refusal::Signature));
    let unsigned = format!("{}\n\u{2014} other YWJjZGVm\n", log.text(6));
    assert!(matches!(refused(&with(5, proof(5, 6), &unsigned)), Refusal::Signature));
    // The log's name and id over a signature that does not verify, beside one that does.
    let other_text = log.note(7);
    let foreign_line = other_text.rsplit_once("\n\n").unwrap().1;
    let doubled = format!("{}{foreign_line}", log.note(6));
    assert!(matches!(refused(&with(5, proof(5, 6), &doubled)), Refusal::Signature));

    assert!(matches!(refused(&log.request(0, 6)), Refusal::Conflict(5)), "it forgets nothing");
    assert!(matches!(refused(&log.request(4, 6)), Refusal::Conflict(5)));
    assert!(matches!(refused(&log.request(3, 4)), Refusal::Conflict(5)), "nor goes back");
    assert!(matches!(refused(&with(7, Vec::new(), &log.note(6))), Refusal::Malformed), "old beyond new");

    assert!(matches!(refused(&with(5, Vec::new(), &log.note(6))), Refusal::Inconsistent), "no proof");
    let mut long = proof(5, 9);
    long.push(long[0]);
    assert!(matches!(refused(&with(5, long, &log.note(9))), Refusal::Inconsistent));
    let mut changed = proof(5, 9);
    changed[1].0[7] ^= 1;
    assert!(matches!(refused(&with(5, changed, &log.note(9))), Refusal::Inconsistent));
    let same_size =
        log.sign(&log.text(5).replace(log.text(5).lines().nth(2).unwrap(), log.text(6).lines().nth(2).unwrap()));
    assert!(matches!(refused(&with(5, Vec::new(), &same_size)), Refusal::Inconsistent), "another tree of that size");
    assert!(
        matches!(refused(&with(5, proof(4, 5), &log.note(5))), Refusal::Inconsistent),
        "a proof where none belongs"
    );

    for malformed in [
        "".to_owned(),
        "old 5".to_owned(),
        format!("old 05\n\n{}", log.note(6)),
        format!("old +5\n\n{}", log.note(6)),
        format!("old 99999999999999999999\n\n{}", log.note(6)),
        format!("new 5\n\n{}", log.note(6)),
        format!("old 5\nnot base64\n\n{}", log.note(6)),
        String::from_utf8(with(5, vec![leaf(0); PROOF_LINES_MAX + 1], &log.note(6))).unwrap(),
        format!("old 5\n\n{}", log.text(6)),
        format!("old 5\n\n{}", log.sign("log.example/one\n6\n")),
        format!("old 5\n\n{}", log.sign("log.example/one\n06\nAAAA\n")),
        format!("old 5\n\n{}", log.sign(&format!("{}\nafter a blank line\n", log.text(6)))),
    ] {
        assert!(matches!(refused(malformed.as_bytes()), Refusal::Malformed), "{malformed:?}");
    }
    witness.add_checkpoint(&log.request(5, 6)).unwrap();
}

#[test]
fn an_empty_tree_has_the_empty_root_and_needs_no_proof() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let witness = witness(directory.path(), &[&log]);
    let wrong_root = log.sign(&log.text(1).replace("\n1\n", "\n0\n"));
    let body = AddCheckpoint { old_size: 0, proof: Vec::new(), note: wrong_root.as_bytes() }.to_body();
    assert!(matches!(witness.add_checkpoint(&body), Err(Refusal::Inconsistent)));
    let note = log.note(2);
    let body = AddCheckpoint { old_size: 0, proof: proof(1, 2), note: note.as_bytes() }.to_body();
    assert!(matches!(witness.add_checkpoint(&body), Err(Refusal::Inconsistent)), "the empty tree needs no proof");
    witness.add_checkpoint(&log.request(0, 0)).unwrap();
    witness.add_checkpoint(&log.request(0, 2)).unwrap();
}

/// What was cosigned once binds every later life of the witness.
#[test]
fn a_restart_forgets_nothing_and_a_log_keeps_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (log, impostor) = (Log::new(ORIGIN, 1), Log::new(ORIGIN, 3));
    witness(directory.path(), &[&log]).add_checkpoint(&log.request(0, 5)).unwrap();
    let again = witness(directory.path(), &[&log]);
    assert!(matches!(again.add_checkpoint(&log.request(0, 4)), Err(Refusal::Conflict(5))));
    assert!(matches!(again.ledger().trust(&impostor.key), Err(LedgerError::OtherKey)));
    let cosigning = VerifierKey::new("log.example/three", KeyKind::Cosignature, *log.key.key()).unwrap();
    assert!(matches!(again.ledger().trust(&cosigning), Err(LedgerError::NotALog)));
    again.add_checkpoint(&log.request(5, 6)).unwrap();
}

/// Else the state that a restore gave up could go on under the old root, and with it PINs that were changed and devices that were revoked.
#[test]
fn once_a_restored_log_goes_on_those_before_it_are_cosigned_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = |digit: &str, restores: &str| format!("pinseal.dev/{}{restores}", digit.repeat(32));
    let log = |restores, seed| Log::new(&deployment("a", restores), seed);
    let (first, third, later) = (log("", 1), log("/3", 1), log("/4", 1));
    // Another key's, another deployment's, nobody's.
    let others = [log("/2", 2), Log::new(&deployment("b", ""), 1), Log::new(&deployment("a", "/03"), 1)];
    let witness = witness(directory.path(), &[&first, &third, &others[0], &others[1], &others[2]]);
    witness.add_checkpoint(&first.request(0, 5)).unwrap();
    // The restore can still be called off: no quorum may ever have cosigned this.
    witness.add_checkpoint(&third.request(0, 3)).unwrap();
    witness.add_checkpoint(&third.request(3, 3)).unwrap();
    witness.add_checkpoint(&first.request(5, 6)).unwrap();
    witness.add_checkpoint(&third.request(3, 4)).unwrap();
    let before = witness.ledger().logs().unwrap();
    for new in [6, 7] {
        assert!(matches!(witness.add_checkpoint(&first.request(6, new)), Err(Refusal::Ended)));
    }
    let again = crate::witness(directory.path(), &[&log("/1", 1)]);
    assert!(matches!(again.add_checkpoint(&first.request(6, 7)), Err(Refusal::Ended)), "after a restart, too");
    assert!(matches!(again.add_checkpoint(&log("/1", 1).request(0, 1)), Err(Refusal::Ended)), "known afterwards");
    let ended = |logs: Vec<Served>| logs.into_iter().filter(|log| log.has_ended).map(|log| log.key).collect::<Vec<_>>();
    assert_eq!(ended(before), std::slice::from_ref(&first.key));
    assert_eq!(ended(again.ledger().logs().unwrap()), [first.key.clone(), log("/1", 1).key]);
    for other in &others {
        again.add_checkpoint(&other.request(0, 1)).unwrap();
        again.add_checkpoint(&other.request(1, 2)).unwrap();
    }
    again.add_checkpoint(&third.request(4, 5)).unwrap();

    // By its operator's word.
    for stranger in [&later, &others[2], &Log::new(third.key.name(), 7)] {
        assert!(matches!(again.ledger().end(&stranger.key), Err(LedgerError::NotServed)));
    }
    again.ledger().end(&third.key).unwrap();
    assert!(matches!(again.add_checkpoint(&third.request(5, 6)), Err(Refusal::Ended)));
    again.ledger().trust(&later.key).unwrap();
    again.add_checkpoint(&later.request(0, 1)).unwrap();
    again.add_checkpoint(&later.request(1, 2)).unwrap();
    assert!(matches!(again.add_checkpoint(&third.request(5, 6)), Err(Refusal::Ended)));
}

/// Two processes on one file, many racers: of the checkpoints that do not continue one another one at most is cosigned.
#[test]
fn racing_requests_never_cosign_two_histories() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let both = [witness(directory.path(), &[&log]), witness(directory.path(), &[&log])];
    both[0].add_checkpoint(&log.request(0, 4)).unwrap();
    let start = std::sync::Barrier::new(8);
    let sizes: Vec<u64> = std::thread::scope(|scope| {
        let racers: Vec<_> = (5..13_u64)
            .map(|size| {
                let (log, start, witness) = (&log, &start, &both[usize::try_from(size % 2).unwrap()]);
                scope.spawn(move || {
                    start.wait();
                    witness.add_checkpoint(&log.request(4, size)).ok().map(|_| size)
                })
            })
            .collect();
        racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(sizes.len(), 1, "all of them came from 4 leaves: {sizes:?}");
    assert!(matches!(both[0].add_checkpoint(&log.request(4, 5)), Err(Refusal::Conflict(size)) if size == sizes[0]));
}

#[test]
fn a_key_file_is_made_once_and_read_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let key = WitnessKey::create(&path, "w").unwrap();
    assert!(WitnessKey::create(&path, "w").is_err(), "never overwritten");
    assert_eq!(WitnessKey::load(&path).unwrap().verifier_key(), key.verifier_key());
    assert!(!format!("{key:?}").contains(&std::fs::read_to_string(&path).unwrap()[2..40]));
    for bad in ["", "w", "w\n", "w\nzz", "a b\n00"] {
        std::fs::write(&path, bad).unwrap();
        assert!(WitnessKey::load(&path).is_err(), "{bad:?}");
    }
    for name in ["", "a b", "a+b"] {
        assert!(WitnessKey::create(&directory.path().join("other"), name).is_err(), "{name:?}");
    }
}

#[test]
fn another_programs_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    std::fs::write(&path, b"not a database at all, and long enough to be looked at as one").unwrap();
    let key = VerifierKey::new("w", KeyKind::Cosignature, Ed25519Public([7; 32])).unwrap();
    assert!(Ledger::open(&path, &key).is_err());
    assert!(Ledger::create(&path, &key).is_err());
    assert!(std::fs::read(&path).unwrap().starts_with(b"not a database"));
}

#[test]
fn a_memory_that_is_lost_is_not_made_anew_and_one_that_holds_something_is_nobody_elses() {
    let (directory, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let path = directory.path().join("ledger");
    let key = |number| VerifierKey::new("w", KeyKind::Cosignature, Ed25519Public([number; 32])).unwrap();
    assert!(matches!(Ledger::open(&path, &key(1)), Err(LedgerError::Missing)));
    assert!(!path.exists(), "looking makes none");
    // Made, and again before anything is in it, as after a crash: then for the key that is going to be kept.
    drop(Ledger::create(&path, &key(1)).unwrap());
    Ledger::create(&path, &key(2)).unwrap().trust(&log.key).unwrap();
    assert!(matches!(Ledger::create(&path, &key(2)), Err(LedgerError::Exists)));
    assert_eq!(Ledger::open(&path, &key(2)).unwrap().logs().unwrap().len(), 1);
    // A key that was kept elsewhere, put beside a memory that was made after it.
    let other = Ledger::open(&path, &key(1));
    assert!(matches!(other, Err(LedgerError::Other(of)) if of == key(2).to_string()));
    // A file that was cut off holds no less than one that is gone.
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(Ledger::open(&path, &key(2)), Err(LedgerError::Foreign)));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn what_was_cosigned_is_in_the_one_file_when_its_cosignature_leaves() {
    let (directory, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let first = witness(directory.path(), &[&log]);
    for (old, new) in [(0, 1), (1, 5), (5, 9)] {
        first.add_checkpoint(&log.request(old, new)).unwrap();
        // As a kill leaves it: key and memory, and nothing of what lies beside them.
        let copy = tempfile::tempdir().unwrap();
        for file in ["key", "ledger"] {
            std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
        }
        let again = witness(copy.path(), &[&log]);
        let refused = again.add_checkpoint(&log.request(old, new));
        assert!(matches!(refused, Err(Refusal::Conflict(size)) if size == new), "{new}");
    }
}

#[test]
fn a_key_that_others_can_read_signs_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    WitnessKey::create(&path, "w").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(WitnessKey::load(&path), Err(KeyError::Mode)));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(WitnessKey::load(&path).is_ok());
}

#[test]
fn a_key_that_was_half_written_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(directory.path().join("key.new"), "w\n00").unwrap();
    let key = WitnessKey::create(&path, "w").unwrap();
    assert_eq!(WitnessKey::load(&path).unwrap().verifier_key(), key.verifier_key());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    // A link that leads nowhere is a name that is taken.
    std::os::unix::fs::symlink(directory.path().join("nowhere"), directory.path().join("link")).unwrap();
    assert!(matches!(WitnessKey::create(&directory.path().join("link"), "w"), Err(KeyError::Exists)));
    assert!(!directory.path().join("nowhere").exists());
}
