//! Whose transaction is looked at next: every owner's in turn, and of an owner's the one that was looked at longest ago.
//!
//! A pass over a network takes a bounded time, and the next one goes on where it ended. So whoever keeps many transactions waiting makes their own
//! come later, and those of others by no more than one in a round.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pinseal_store::gateway::{OpenTx, Owner, TxSerial};

/// The rota of one network.
#[derive(Default)]
pub(super) struct Rota(Mutex<Looks>);

/// Which look at a transaction was the last one.
#[derive(Default)]
struct Looks {
    /// Of those in the last order; what is not there was never looked at.
    by_serial: HashMap<TxSerial, u64>,
    last: u64,
}

impl Rota {
    /// These in the order in which they are to be looked at. Of others nothing is remembered any more.
    pub(super) fn order(&self, open: Vec<OpenTx>) -> Vec<OpenTx> {
        let mut looks = self.lock();
        let before = std::mem::take(&mut looks.by_serial);
        let mut by_owner = BTreeMap::<Option<Owner>, Vec<(u64, OpenTx)>>::new();
        for tx in open {
            let look = before.get(&tx.serial).copied().unwrap_or_default();
            if look > 0 {
                looks.by_serial.insert(tx.serial, look);
            }
            by_owner.entry(tx.owner.clone()).or_default().push((look, tx));
        }
        drop(looks);
        let mut ordered = Vec::new();
        for mut own in by_owner.into_values() {
            own.sort_by_key(|(look, tx)| (*look, tx.serial));
            let last = own.last().map_or(0, |(look, _)| *look);
            // Everybody's first, then everybody's second; of those the owner's whose turn was longest ago.
            ordered.extend(own.into_iter().enumerate().map(|(round, (_, tx))| ((round, last, tx.serial), tx)));
        }
        ordered.sort_by_key(|(place, _)| *place);
        ordered.into_iter().map(|(_, tx)| tx).collect()
    }

    /// Notes that this one was looked at.
    pub(super) fn looked(&self, serial: TxSerial) {
        let mut looks = self.lock();
        looks.last += 1;
        let look = looks.last;
        looks.by_serial.insert(serial, look);
    }

    // A look is written whole, and what an order that ended early forgot is looked at first, so a poisoned lock guards something sound.
    fn lock(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::ids::Hash32;
    use pinseal_protocol::intent::EvmAddress;

    use super::*;

    fn open(rows: &[(u64, &str)]) -> Vec<OpenTx> {
        let row = |(serial, owner): &(u64, &str)| OpenTx {
            serial: TxSerial(*serial),
            hash: Hash32([0; 32]),
            sender: EvmAddress([0; 20]),
            owner: (!owner.is_empty()).then(|| Owner((*owner).to_owned())),
        };
        rows.iter().map(row).collect()
    }

    /// Looks at the first `count` in their order.
    fn pass(rota: &Rota, rows: &[(u64, &str)], count: usize) -> Vec<u64> {
        let order = rota.order(open(rows));
        order.iter().take(count).for_each(|tx| rota.looked(tx.serial));
        order.iter().map(|tx| tx.serial.0).collect()
    }

    #[test]
    fn owners_come_in_turn_and_a_pass_goes_on_where_the_one_before_ended() {
        let rota = Rota::default();
        let rows = [(1, "eve"), (2, "eve"), (3, "eve"), (4, "eve"), (5, "ada"), (6, ""), (7, "")];
        assert_eq!(pass(&rota, &rows, 2), [1, 5, 6, 2, 7, 3, 4]);
        // It is the turn of those without an owner, then of who waits longest.
        assert_eq!(pass(&rota, &rows, 3), [6, 2, 5, 7, 3, 4, 1]);
        assert_eq!(pass(&rota, &rows, 1), [7, 3, 5, 6, 4, 1, 2]);
        // Somebody new comes first.
        let more = [&rows[..], &[(8, "bob")]].concat();
        assert_eq!(pass(&rota, &more, 8), [8, 3, 5, 6, 4, 7, 1, 2]);
    }

    #[test]
    fn what_is_settled_is_forgotten() {
        let rota = Rota::default();
        pass(&rota, &[(1, "ada"), (2, "ada"), (3, "bob")], 3);
        pass(&rota, &[(2, "ada")], 0);
        assert_eq!(rota.lock().by_serial.keys().collect::<Vec<_>>(), [&TxSerial(2)]);
    }
}
