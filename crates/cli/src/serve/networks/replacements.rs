//! Which waiting transaction a sender asked to replace. Another one with the same nonce is refused without that: two clients may have
//! been given it one after the other, and the second must not undo what the first one sent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pinseal_client::Address;
use pinseal_protocol::ids::Hash32;

/// How long a prepared replacement may be signed and sent.
const LASTING: Duration = Duration::from_secs(600);
/// Replacements remembered at once; beyond that the oldest is forgotten and has to be prepared again.
const COUNT_MAX: usize = 1_000;

/// Network, sender, nonce.
type Place = (String, Address, u64);

/// What was asked for since the start; forgotten with the process, then it is prepared again.
#[derive(Debug, Default)]
pub(super) struct Replacements(Mutex<HashMap<Place, (Hash32, Instant)>>);

impl Replacements {
    /// Remembers that `hash` is to be replaced by the next transaction in its place.
    pub(super) fn ask(&self, place: Place, hash: Hash32, now: Instant) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, (_, since)| now.saturating_duration_since(*since) < LASTING);
        if asked.len() >= COUNT_MAX
            && let Some(oldest) = asked.iter().min_by_key(|(_, (_, since))| *since).map(|(place, _)| place.clone())
        {
            asked.remove(&oldest);
        }
        asked.insert(place, (hash, now));
    }

    /// What a transaction in this place was meant to replace.
    pub(super) fn asked(&self, place: &Place, now: Instant) -> Option<Hash32> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(place).filter(|(_, since)| now.saturating_duration_since(*since) < LASTING).map(|(hash, _)| *hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinseal_protocol::intent::EvmAddress;

    #[test]
    fn only_what_was_asked_for_is_replaced_and_not_for_ever() {
        let replacements = Replacements::default();
        let (start, hash) = (Instant::now(), Hash32([7; 32]));
        let place = |nonce| ("eip155:1".to_owned(), Address(EvmAddress([1; 20])), nonce);
        replacements.ask(place(4), hash, start);
        assert_eq!(replacements.asked(&place(4), start), Some(hash));
        assert_eq!(replacements.asked(&place(5), start), None);
        assert_eq!(replacements.asked(&place(4), start + LASTING), None);
        for nonce in 10..10 + COUNT_MAX as u64 {
            replacements.ask(place(nonce), hash, start + Duration::from_secs(1));
        }
        assert_eq!(replacements.asked(&place(4), start), None, "the oldest made room");
        assert_eq!(replacements.asked(&place(10), start), Some(hash));
    }
}
