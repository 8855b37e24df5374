//! Transactions that nodes do not have, or give no usable answer about, and how long each is let alone.
//!
//! What is asked about a transaction its sender has a say in: a receipt with megabytes of logs is longer than any answer that is read, and what can
//! never be mined no node keeps, however often it is sent. Such a transaction keeps no other one from being followed, and is asked about ever more
//! seldom.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinseal_protocol::ids::{Hash32, UnixSeconds};

/// Times in a row that cost nothing: a node may have had a bad moment.
const FREE: u32 = 3;
/// Seconds of the first pause; each further one is twice as long.
const PAUSE_SECONDS: u64 = 4;
/// Doublings at most: about nine hours.
const DOUBLINGS_MAX: u32 = 13;
/// Transactions remembered; of further ones nothing is, and they are asked about at each pass.
const REMEMBERED_MAX: usize = 16_384;

/// See the module.
#[derive(Default)]
pub(super) struct Stumbles(Mutex<HashMap<Hash32, Stumble>>);

#[derive(Clone, Copy)]
struct Stumble {
    times: u32,
    since: UnixSeconds,
}

impl Stumble {
    const fn pause_seconds(self) -> u64 {
        match self.times.checked_sub(FREE) {
            Some(doublings) if doublings < DOUBLINGS_MAX => PAUSE_SECONDS << doublings,
            Some(_) => PAUSE_SECONDS << DOUBLINGS_MAX,
            None => 0,
        }
    }
}

impl Stumbles {
    /// True while a transaction is let alone.
    pub(super) fn rests(&self, hash: &Hash32, now: UnixSeconds) -> bool {
        let known = self.lock().get(hash).copied();
        // Not where the clock was set back behind the stumble.
        known.is_some_and(|stumble| {
            let end = stumble.since.0.saturating_add(stumble.pause_seconds());
            (stumble.since.0..end).contains(&now.0)
        })
    }

    /// Notes one more time without a usable answer, or with the one that no node has it.
    pub(super) fn note(&self, hash: Hash32, now: UnixSeconds) {
        let mut known = self.lock();
        if known.len() < REMEMBERED_MAX || known.contains_key(&hash) {
            let stumble = known.entry(hash).or_insert(Stumble { times: 0, since: now });
            *stumble = Stumble { times: stumble.times.saturating_add(1), since: now };
        }
    }

    /// Forgets a transaction that a node has, or a block, or that is shown to nodes anew.
    pub(super) fn over(&self, hash: &Hash32) {
        self.lock().remove(hash);
    }

    // Entries are written whole, so a poisoned lock guards a sound map.
    fn lock(&self) -> MutexGuard<'_, HashMap<Hash32, Stumble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_an_answer() {
        let (stumbles, hash) = (Stumbles::default(), Hash32([1; 32]));
        let mut now = UnixSeconds(1_000);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            stumbles.note(hash, now);
            let start = now.0;
            while stumbles.rests(&hash, now) {
                now.0 += 1;
            }
            pauses.push(now.0 - start);
        }
        assert_eq!(pauses[..6], [0, 0, 4, 8, 16, 32]);
        assert_eq!(pauses[19], 4 << 13);
        stumbles.note(hash, now);
        assert!(stumbles.rests(&hash, now) && !stumbles.rests(&hash, UnixSeconds(now.0 - 1)));
        stumbles.over(&hash);
        assert!(!stumbles.rests(&hash, now));
    }

    #[test]
    fn a_flood_is_not_remembered() {
        let (stumbles, now) = (Stumbles::default(), UnixSeconds(1_000));
        for number in 0..=REMEMBERED_MAX {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            (0..3).for_each(|_| stumbles.note(Hash32(hash), now));
        }
        assert_eq!(stumbles.lock().len(), REMEMBERED_MAX);
        assert!(stumbles.rests(&Hash32([0; 32]), now));
    }
}
