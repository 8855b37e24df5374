//! A sender's nonces in their order, and where a transaction that was sent waits for one that was not.
//!
//! A chain takes a sender's transactions by nonce, so one above a nonce that nobody uses waits for ever. The next transaction that is
//! prepared takes the lowest free nonce and ends the wait; until then the one that waits is told to wait for a [`Gap`].

use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::gateway::{Holder, Reservation};

use super::chain::Counts;
use super::{Gateway, GatewayError};

/// A sender's nonces, for people who wonder why a transaction does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceView {
    /// Transactions mined.
    pub latest: u64,
    /// Transactions mined, or in the node's pool without a gap.
    pub pending: u64,
    /// Nonces this system holds, lowest first.
    pub reservations: Vec<Reservation>,
}

/// A nonce that was not sent, below one that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The lowest such nonce.
    pub nonce: u64,
    /// Until when it is held for somebody who may be signing with it. With `None` nobody has it, and the next prepared transaction fills it.
    pub until: Option<UnixSeconds>,
}

impl NonceView {
    /// The gap that later transactions wait for, where there is one.
    pub fn gap(&self) -> Option<Gap> {
        let last_bound = self.reservations.iter().rev().find(|held| matches!(held.holder, Holder::Bound(_)))?.nonce;
        self.gap_below(last_bound)
    }

    /// The gap that a transaction with this nonce waits for.
    pub fn gap_below(&self, nonce: u64) -> Option<Gap> {
        let holder = |nonce: u64| self.reservations.iter().find(|held| held.nonce == nonce).map(|held| held.holder);
        (self.pending.max(self.latest)..nonce).find_map(|nonce| match holder(nonce) {
            Some(Holder::Bound(_)) => None,
            Some(Holder::Expires(at)) => Some(Gap { nonce, until: Some(at) }),
            None => Some(Gap { nonce, until: None }),
        })
    }
}

impl Gateway {
    /// A sender's nonces on a network.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn nonces(&self, network: &str, address: EvmAddress) -> Result<NonceView, GatewayError> {
        let chain = self.chain(network)?;
        self.settle_genesis(chain).await?;
        let Counts { latest, pending } = chain.counts(address).await?;
        let reservations = self.live_reservations(network, address).await?;
        Ok(NonceView { latest, pending, reservations })
    }

    /// As [`Gateway::nonces`], for [`NonceView::gap_below`] `nonce` at most. No node is asked where this system sent all that comes before.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn nonces_below(
        &self,
        network: &str,
        address: EvmAddress,
        nonce: u64,
    ) -> Result<NonceView, GatewayError> {
        let id = self.chain(network)?.id.clone();
        let floor = self.with_store(move |store| store.floor(&id, address)).await?;
        let reservations = self.live_reservations(network, address).await?;
        let known = NonceView { latest: floor, pending: floor, reservations };
        if known.gap_below(nonce).is_none() { Ok(known) } else { self.nonces(network, address).await }
    }

    async fn live_reservations(&self, network: &str, address: EvmAddress) -> Result<Vec<Reservation>, GatewayError> {
        let id = self.chain(network)?.id.clone();
        let mut reservations = self.with_store(move |store| store.reservations(&id, address)).await?;
        let now = self.inner.clock.now();
        reservations.retain(|held| !matches!(held.holder, Holder::Expires(at) if at <= now));
        Ok(reservations)
    }
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::ids::Hash32;
    use pinseal_store::gateway::ReservationId;

    use super::*;

    #[test]
    fn a_gap_is_the_first_nonce_that_holds_up_a_sent_one() {
        let held = |nonce, holder| Reservation { id: ReservationId(nonce), nonce, holder };
        let bound = Holder::Bound(Hash32([1; 32]));
        let unsigned = Holder::Expires(UnixSeconds(1));
        let view = |reservations| NonceView { latest: 5, pending: 6, reservations };
        let gap = |nonce, until: Option<u64>| Some(Gap { nonce, until: until.map(UnixSeconds) });
        assert_eq!(view(vec![]).gap(), None);
        assert_eq!(view(vec![held(5, bound), held(6, bound)]).gap(), None);
        assert_eq!(view(vec![held(5, bound), held(7, bound)]).gap(), gap(6, None));
        assert_eq!(view(vec![held(5, bound), held(6, unsigned), held(7, bound)]).gap(), gap(6, Some(1)));
        assert_eq!(view(vec![held(6, unsigned)]).gap(), None);
        let two = view(vec![held(6, bound), held(8, bound)]);
        assert_eq!((two.gap_below(6), two.gap_below(7), two.gap_below(8)), (None, None, gap(7, None)));
    }
}
