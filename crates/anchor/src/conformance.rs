//! What every implementation must do; its tests call [`check`].

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{DeploymentId, Hash32, Sequence, UnixSeconds};
use pinseal_protocol::manifest::Ed25519Public;

use crate::{AdvanceError, Anchor};

/// Runs the suite. `place` makes a new, empty place; what it returns opens one more handle on that place.
///
/// # Panics
/// Where the implementation does not conform.
pub fn check<P, O>(place: P)
where
    P: Fn() -> O,
    O: Fn() -> Box<dyn Anchor> + Send + Sync,
{
    starts_empty_and_takes_one_genesis(&place());
    advances_only_from_what_it_holds(&place());
    repeats_its_receipt(&place());
    one_of_two_racers_wins(&place());
    another_handle_sees_the_advance(&place());
}

/// A well-formed note with a meaningless signature; `branch` tells two notes of one sequence apart.
pub fn note(sequence: u64, branch: u8) -> Vec<u8> {
    let checkpoint = Checkpoint {
        deployment: DeploymentId([7; 16]),
        size: sequence,
        root: Hash32([branch; 32]),
        sequence: Sequence(sequence),
        previous: Hash32([0; 32]),
        time: UnixSeconds(1_700_000_000),
        state: Hash32([branch; 32]),
    };
    checkpoint.to_note(&Ed25519Public([3; 32]), |_| [9; 64])
}

fn holds(anchor: &dyn Anchor) -> Option<Vec<u8>> {
    match anchor.load() {
        Ok(held) => held,
        Err(error) => panic!("load failed: {error}"),
    }
}

fn advance(anchor: &mut dyn Anchor, previous: &[u8], next: &[u8]) {
    match anchor.advance(previous, next) {
        Ok(receipt) => assert_eq!(receipt.0, next, "the receipt is what the anchor holds"),
        Err(error) => panic!("advance failed: {error}"),
    }
}

fn loses(anchor: &mut dyn Anchor, previous: &[u8], next: &[u8], held: &[u8]) {
    match anchor.advance(previous, next) {
        Err(AdvanceError::Lost { holds }) => assert_eq!(holds, held, "a lost advance says what is held"),
        other => panic!("a wrong expectation was not refused as lost: {other:?}"),
    }
    assert_eq!(holds(anchor).unwrap_or_default(), held, "a lost advance changes nothing");
}

fn starts_empty_and_takes_one_genesis(open: &dyn Fn() -> Box<dyn Anchor>) {
    let mut anchor = open();
    assert_eq!(holds(&*anchor), None);
    loses(&mut *anchor, &note(0, 1), &note(1, 1), &[]);
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
    assert_eq!(holds(&*anchor), Some(note(2, 1)));
}

fn repeats_its_receipt(open: &dyn Fn() -> Box<dyn Anchor>) {
    let mut anchor = open();
    advance(&mut *anchor, &[], &note(0, 1));
    advance(&mut *anchor, &[], &note(0, 1));
    advance(&mut *anchor, &note(0, 1), &note(1, 1));
    advance(&mut *anchor, &note(0, 1), &note(1, 1));
    assert_eq!(holds(&*anchor), Some(note(1, 1)));
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
                    start.wait();
                    match anchor.advance(&note(0, 1), &note(1, branch)) {
                        Ok(receipt) => {
                            assert_eq!(receipt.0, note(1, branch));
                            Some(branch)
                        }
                        Err(AdvanceError::Lost { holds }) => {
                            assert_ne!(holds, note(0, 1), "a loser is told who won");
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
    assert_eq!(holds(&*open()), winners.first().map(|branch| note(1, *branch)));
}

fn another_handle_sees_the_advance(open: &dyn Fn() -> Box<dyn Anchor>) {
    let (mut one, mut other) = (open(), open());
    advance(&mut *one, &[], &note(0, 1));
    assert_eq!(holds(&*other), Some(note(0, 1)));
    advance(&mut *other, &note(0, 1), &note(1, 1));
    loses(&mut *one, &note(0, 1), &note(1, 2), &note(1, 1));
}
