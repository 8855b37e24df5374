//! What every implementation must do; the tests of each call [`check`].

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use pinseal_protocol::checkpoint::{Checkpoint, SealedBreaker};
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{DeploymentId, Hash32, Sequence, UnixSeconds};
use pinseal_protocol::log::{Consistency, Frontier, Node, leaf_hash};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{self, Authorisation, Index, P256Signature, TpmNonce};

use crate::{AdvanceError, Anchor};

/// Whose log the suite writes.
pub(crate) const DEPLOYMENT: DeploymentId = DeploymentId([7; 16]);

/// Runs the suite. `place` makes a new, empty place; what it returns opens one more handle on that place.
pub(crate) fn check<P, O>(place: P)
where
    P: Fn() -> O,
    O: Fn() -> Box<dyn Anchor> + Send + Sync,
{
    starts_empty_and_takes_one_genesis(&place());
    advances_only_from_what_it_holds(&place());
    repeats_its_receipt(&place());
    one_of_two_racers_wins(&place());
    another_handle_sees_the_advance(&place());
    a_stopped_advance_is_finished_by_the_next(&place());
}

/// The key of the suite's log.
fn log_pair() -> Ed25519KeyPair {
    match Ed25519KeyPair::from_seed_unchecked(&[3; 32]) {
        Ok(pair) => pair,
        Err(error) => panic!("every 32 bytes are a seed: {error}"),
    }
}

/// Its public half.
pub(crate) fn log_key() -> Ed25519Public {
    let mut key = Ed25519Public([0; 32]);
    key.0.copy_from_slice(log_pair().public_key().as_ref());
    key
}

/// The log of `sequence + 1` leaves: branch 1 up to the last leaf, which is the branch's own.
fn log(sequence: u64, branch: u8, mut kept: impl FnMut(Node)) -> Frontier {
    let mut frontier = Frontier::default();
    for leaf in 0..=sequence {
        let branch = if leaf == sequence { branch } else { 1 };
        frontier.append(leaf_hash(&[&leaf.to_be_bytes()[..], &[branch]].concat()), &mut kept);
    }
    frontier
}

/// A signed checkpoint; `branch` tells two of one sequence apart. Those of branch 1 continue one another, and every other one
/// continues branch 1.
pub(crate) fn note(sequence: u64, branch: u8) -> Vec<u8> {
    let frontier = log(sequence, branch, |_| {});
    // What a TPM's index holds before it; nobody else minds.
    let held_before = sequence.checked_sub(1).map_or(tpm::NOTHING, |before| held(&note(before, 1)));
    let checkpoint = Checkpoint {
        deployment: DEPLOYMENT,
        restores: 0,
        size: frontier.size(),
        root: frontier.root(),
        sequence: Sequence(sequence),
        previous: Hash32([0; 32]),
        time: UnixSeconds(1_700_000_000),
        state: Hash32([branch; 32]),
        breaker: SealedBreaker([0; SealedBreaker::LEN]),
        tpm: Some(held_before),
    };
    let mut signature = [0; 64];
    checkpoint.to_note(&log_key(), |text| {
        signature.copy_from_slice(log_pair().sign(text).as_ref());
        signature
    })
}

/// The proof that one of [`note`]'s checkpoints continues the log of `old` leaves of branch 1.
pub(crate) fn prove(old: u64, next: &Checkpoint) -> Option<Vec<Hash32>> {
    let branch = (1..=u8::MAX).find(|branch| log(next.sequence.0, *branch, |_| {}).root() == next.root)?;
    let mut nodes = std::collections::HashMap::new();
    log(next.sequence.0, branch, |node| {
        nodes.insert((node.level, node.index), node.hash);
    });
    let mut read = |level, index| nodes.get(&(level, index)).copied().ok_or(());
    Some(Consistency::prove(old, next.size, &mut read).ok()??.path)
}

/// The key that writes a TPM's index in the suite, and its public half.
pub(crate) fn writer() -> (EcdsaKeyPair, P256Public) {
    pair(5)
}

/// A key pair of that number.
pub(crate) fn pair(number: u8) -> (EcdsaKeyPair, P256Public) {
    let private = PrivateKey::from_private_key(&ECDH_P256, &[number; 32]).ok();
    let Some(public) = private.and_then(|private| private.compute_public_key().ok()) else { panic!("a private key") };
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    match EcdsaKeyPair::from_private_key_and_public_key(algorithm, &[number; 32], public.as_ref()) {
        Ok(pair) => {
            let public = P256Public::of(&pair);
            (pair, public)
        }
        Err(error) => panic!("{error}"),
    }
}

/// What lets a checkpoint into a TPM's index in the session of `nonce`.
pub(crate) fn authorisation(nonce: &TpmNonce, next: &[u8], index: u32) -> Authorisation {
    authorisation_by(&writer().0, nonce, next, index)
}

/// As [`authorisation`], by another key than the index's.
pub(crate) fn authorisation_by(pair: &EcdsaKeyPair, nonce: &TpmNonce, next: &[u8], index: u32) -> Authorisation {
    let checkpoint = read(next);
    let index = Index::new(index, P256Public::of(pair));
    let message = index.to_be_signed(nonce, &checkpoint.hash(), checkpoint.tpm == Some(tpm::NOTHING));
    let Ok(made) = pair.sign(&SystemRandom::new(), &message) else { panic!("a key pair signs") };
    let mut signature = P256Signature([0; 64]);
    signature.0.copy_from_slice(made.as_ref());
    Authorisation { writer: P256Public::of(pair), signature }
}

/// Does for an anchor that only the enclave can write what the enclave does.
pub(crate) fn authorise(anchor: &mut dyn Anchor, next: &[u8]) {
    match anchor.nonce() {
        Ok(Some(nonce)) => anchor.authorise(Some(authorisation(&nonce, next, INDEX))),
        Ok(None) => {}
        Err(error) => panic!("no session: {error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    }
}

/// The index of the suite.
const INDEX: u32 = 0x0180_0123;

fn read(note: &[u8]) -> Checkpoint {
    match Checkpoint::read_unverified(note) {
        Ok(checkpoint) => checkpoint,
        Err(error) => panic!("{error}"),
    }
}

fn held(note: &[u8]) -> Hash32 {
    read(note).held_after().unwrap_or(tpm::NOTHING)
}

/// What an anchor says that it holds when it holds this.
fn as_held(anchor: &dyn Anchor, note: &[u8]) -> Vec<u8> {
    match anchor.level() {
        AnchorLevel::L2 if !note.is_empty() => held(note).0.to_vec(),
        _ => note.to_vec(),
    }
}

fn holds(anchor: &dyn Anchor) -> Option<Vec<u8>> {
    match anchor.load() {
        Ok(held) => held,
        Err(error) => panic!("load failed: {error}"),
    }
}

/// The receipt begins with the checkpoint it is for; what else it needs, the level says.
pub(crate) fn advance(anchor: &mut dyn Anchor, previous: &[u8], next: &[u8]) -> Vec<u8> {
    authorise(anchor, next);
    match anchor.advance(previous, next) {
        Ok(receipt) => {
            assert!(receipt.0.starts_with(next), "the receipt is of the checkpoint that was asked for");
            receipt.0
        }
        Err(error) => {
            panic!("advance failed: {error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
        }
    }
}

fn loses(anchor: &mut dyn Anchor, previous: &[u8], next: &[u8], held: &[u8]) {
    let held = &as_held(anchor, held);
    authorise(anchor, next);
    match anchor.advance(previous, next) {
        Err(AdvanceError::Lost { holds }) => assert_eq!(&holds, held, "a lost advance says what is held"),
        other => panic!("a wrong expectation was not refused as lost: {other:?}"),
    }
    assert_eq!(&holds(anchor).unwrap_or_default(), held, "a lost advance changes nothing");
}

fn starts_empty_and_takes_one_genesis(open: &dyn Fn() -> Box<dyn Anchor>) {
    let mut anchor = open();
    assert_eq!(holds(&*anchor), None);
    if anchor.level() == AnchorLevel::L4 {
        // Several places that all know nothing may not be the ones that were asked before.
        let refused = anchor.advance(&note(0, 1), &note(1, 1));
        assert!(matches!(refused, Err(AdvanceError::Unavailable(_))), "{refused:?}");
    } else {
        loses(&mut *anchor, &note(0, 1), &note(1, 1), &[]);
    }
    advance(&mut *anchor, &[], &note(0, 1));
    loses(&mut *anchor, &[], &note(0, 2), &note(0, 1));
}

fn advances_only_from_what_it_holds(open: &dyn Fn() -> Box<dyn Anchor>) {
    let mut anchor = open();
    advance(&mut *anchor, &[], &note(0, 1));
    advance(&mut *anchor, &note(0, 1), &note(1, 1));
    loses(&mut *anchor, &note(0, 1), &note(1, 2), &note(1, 1));
    loses(&mut *anchor, &note(1, 2), &note(2, 2), &note(1, 1));
    loses(&mut *anchor, &[], &note(0, 1), &note(1, 1));
    advance(&mut *anchor, &note(1, 1), &note(2, 1));
    assert_eq!(holds(&*anchor), Some(as_held(&*anchor, &note(2, 1))));
}

fn repeats_its_receipt(open: &dyn Fn() -> Box<dyn Anchor>) {
    let mut anchor = open();
    advance(&mut *anchor, &[], &note(0, 1));
    advance(&mut *anchor, &[], &note(0, 1));
    advance(&mut *anchor, &note(0, 1), &note(1, 1));
    advance(&mut *anchor, &note(0, 1), &note(1, 1));
    assert_eq!(holds(&*anchor), Some(as_held(&*anchor, &note(1, 1))));
}

/// Racers in as many threads, each with a handle of its own and another next checkpoint.
fn one_of_two_racers_wins(open: &(dyn Fn() -> Box<dyn Anchor> + Sync)) {
    const RACERS: u8 = 8;
    advance(&mut *open(), &[], &note(0, 1));
    let start = std::sync::Barrier::new(usize::from(RACERS));
    let winners: Vec<u8> = std::thread::scope(|scope| {
        let racers: Vec<_> = (1..=RACERS)
            .map(|branch| {
                let start = &start;
                scope.spawn(move || {
                    let mut anchor = open();
                    authorise(&mut *anchor, &note(1, branch));
                    start.wait();
                    match anchor.advance(&note(0, 1), &note(1, branch)) {
                        Ok(receipt) => {
                            assert!(receipt.0.starts_with(&note(1, branch)));
                            Some(branch)
                        }
                        Err(AdvanceError::Lost { holds }) => {
                            assert_ne!(holds, as_held(&*anchor, &note(0, 1)), "a loser is told who won");
                            None
                        }
                        Err(error) => panic!("advance failed: {error}"),
                    }
                })
            })
            .collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    assert_eq!(winners.len(), 1, "exactly one racer wins: {winners:?}");
    let anchor = open();
    assert_eq!(holds(&*anchor), winners.first().map(|branch| as_held(&*anchor, &note(1, *branch))));
}

fn another_handle_sees_the_advance(open: &dyn Fn() -> Box<dyn Anchor>) {
    let (mut one, mut other) = (open(), open());
    advance(&mut *one, &[], &note(0, 1));
    assert_eq!(holds(&*other), Some(as_held(&*other, &note(0, 1))));
    advance(&mut *other, &note(0, 1), &note(1, 1));
    loses(&mut *one, &note(0, 1), &note(1, 2), &note(1, 1));
}

/// Between intent and receipt the process may end: whoever comes next repeats the advance and gets the receipt.
fn a_stopped_advance_is_finished_by_the_next(open: &dyn Fn() -> Box<dyn Anchor>) {
    advance(&mut *open(), &[], &note(0, 1));
    let first = advance(&mut *open(), &note(0, 1), &note(1, 1));
    let again = advance(&mut *open(), &note(0, 1), &note(1, 1));
    assert!(first.starts_with(&note(1, 1)) && again.starts_with(&note(1, 1)));
    advance(&mut *open(), &note(1, 1), &note(2, 1));
}
