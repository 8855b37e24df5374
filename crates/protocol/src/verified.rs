//! Tokens that were verified, remembered by hash until they expire.

use std::collections::HashMap;

use crate::ids::{Hash32, UnixSeconds};

/// What verified tokens say, by [`crate::token::token_hash`]. Saves a signature check and decides nothing else: what is not found
/// here, or not any more, is checked in full, and that says what is wrong with it.
#[derive(Debug)]
pub struct Verified<T> {
    known: HashMap<Hash32, (u64, T)>,
    max: usize,
    /// The second in which the expired were last looked for.
    swept_at: u64,
}

impl<T: Clone> Verified<T> {
    /// Remembers at most `max` tokens.
    pub fn new(max: usize) -> Self {
        Self { known: HashMap::new(), max, swept_at: 0 }
    }

    /// What the token of this hash says, if it was verified before and has not expired.
    pub fn find(&self, token: &Hash32, now: UnixSeconds) -> Option<T> {
        self.known.get(token).filter(|(expires, _)| now.0 < *expires).map(|(_, says)| says.clone())
    }

    /// Remembers a token that was just verified. When there is no room, the expired ones go, and if there are none, this one is not
    /// remembered: a flood of tokens costs their senders the signature checks and nobody else anything.
    pub fn remember(&mut self, token: Hash32, expires: u64, says: T, now: UnixSeconds) {
        if expires <= now.0 {
            return;
        }
        if self.known.len() >= self.max && self.is_sweep_due(now) {
            self.known.retain(|_, (expires, _)| now.0 < *expires);
        }
        if self.known.len() < self.max {
            self.known.insert(token, (expires, says));
        }
    }

    /// True once in each second of the clock: nothing expires between, and a search for every newcomer would be a flood's work.
    const fn is_sweep_due(&mut self, now: UnixSeconds) -> bool {
        let due = now.0 != self.swept_at;
        self.swept_at = now.0;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_full_the_expired_go_and_the_rest_stay() {
        let (hash, now) = (|n: u8| Hash32([n; 32]), UnixSeconds(100));
        let mut verified = Verified::new(2);
        verified.remember(hash(0), 100, 'x', now);
        assert_eq!(verified.find(&hash(0), UnixSeconds(99)), None, "had expired when it was to be remembered");
        verified.remember(hash(1), 101, 'a', now);
        verified.remember(hash(2), 200, 'b', now);
        verified.remember(hash(3), 200, 'c', now);
        assert_eq!([1, 2, 3].map(|n| verified.find(&hash(n), now)), [Some('a'), Some('b'), None]);
        assert_eq!(verified.find(&hash(1), UnixSeconds(101)), None);
        verified.remember(hash(3), 200, 'c', UnixSeconds(101));
        assert_eq!([1, 2, 3].map(|n| verified.find(&hash(n), now)), [None, Some('b'), Some('c')]);
    }

    #[test]
    fn a_full_table_is_searched_once_a_second_however_many_come() {
        let mut verified = Verified::new(1);
        verified.remember(Hash32([1; 32]), 200, (), UnixSeconds(100));
        verified.remember(Hash32([2; 32]), 200, (), UnixSeconds(100));
        assert!(!verified.is_sweep_due(UnixSeconds(100)), "the first that found no room has searched");
        assert!(verified.is_sweep_due(UnixSeconds(101)));
        assert!(verified.is_sweep_due(UnixSeconds(99)), "a clock that was set back");
    }
}
