//! What transactions are shown beside: how high their chains are, and what those that wait are waiting for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pinseal_networks::{Gateway, NonceView, TxRecord};
use pinseal_server::TxBody;

use super::bodies;

/// Of transactions of one sender, asked once for each network; what no node tells is left out.
#[derive(Default)]
pub(super) struct Surroundings {
    heads: HashMap<String, u64>,
    queues: HashMap<String, NonceView>,
}

impl Surroundings {
    /// Asks for the newest block only where a depth depends on it, and for a queue only where something waits.
    pub(super) async fn of(gateway: &Gateway, records: &[TxRecord]) -> Self {
        let mut known = Self::default();
        let (mut deep, mut waiting) = (BTreeSet::new(), BTreeMap::new());
        for record in records {
            let network = record.network.as_str();
            if bodies::needs_head(record) {
                deep.insert(network);
            }
            if bodies::may_wait(record) {
                let (_, highest) = waiting.entry(network).or_insert((record.sender, record.nonce));
                *highest = record.nonce.max(*highest);
            }
        }
        for network in deep {
            if let Ok(head) = gateway.block_number(network).await {
                known.heads.insert(network.to_owned(), head);
            }
        }
        for (network, (sender, highest)) in waiting {
            if let Ok(queue) = gateway.nonces_below(network, sender, highest).await {
                known.queues.insert(network.to_owned(), queue);
            }
        }
        known
    }

    /// A transaction as the API shows it.
    pub(super) fn shown(&self, gateway: &Gateway, record: &TxRecord) -> TxBody {
        let network = record.network.as_str();
        let queue = self.queues.get(network).filter(|_| bodies::may_wait(record));
        let gap = queue.and_then(|queue| queue.gap_below(record.nonce));
        bodies::transaction(record, self.heads.get(network).copied(), gap, gateway.network(network))
    }
}
