//! Nonces under any order of operations, with a restart between any two of them, against a model of what must hold.

use std::collections::BTreeMap;

use pinseal_networks::{GatewayStore, Holder, Inclusion, NonceStore, ReservationId, TxStatus};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::Sqlite;
use pinseal_store::gateway::{Amount, FreeRequest, NetworkId, NewTransaction, Owner, Reserve, ReserveRequest, Submit};
use proptest::prelude::*;

use crate::support::Disk;

const SENDER: EvmAddress = EvmAddress([7; 20]);
const HELD_SECONDS: u64 = 10;

#[derive(Debug, Clone)]
enum Step {
    Reserve,
    Release(prop::sample::Index),
    /// Submits with one of the reserved nonces; the flag says whether a node takes it.
    Submit(prop::sample::Index, bool),
    /// Submits with any small nonce, reserved or not.
    SubmitAny(u64, bool),
    /// A node refused the last word on one submitted transaction.
    Withdraw(prop::sample::Index),
    /// The tracker gives one transaction up.
    Drop(prop::sample::Index),
    /// The chain mines the next nonce if it is in the pool, and it is final.
    Mine,
    /// Somebody else uses the next nonce.
    Foreign,
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Reserve),
        1 => any::<prop::sample::Index>().prop_map(Step::Release),
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, taken)| Step::Submit(which, taken)),
        1 => (0_u64..12, any::<bool>()).prop_map(|(nonce, taken)| Step::SubmitAny(nonce, taken)),
        1 => any::<prop::sample::Index>().prop_map(Step::Withdraw),
        1 => any::<prop::sample::Index>().prop_map(Step::Drop),
        3 => Just(Step::Mine),
        1 => Just(Step::Foreign),
        1 => (1_u64..15).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// What must be true, kept independently of the store.
#[derive(Default)]
struct Model {
    now: u64,
    mined: u64,
    floor: u64,
    held: BTreeMap<u64, Held>,
    /// Transactions nodes hold, by nonce.
    pool: BTreeMap<u64, Hash32>,
    hashes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Unsigned(ReservationId, u64),
    Bound(Hash32),
}

impl Model {
    /// What a node calls the pending count.
    fn chain_next(&self) -> u64 {
        (self.mined..).find(|nonce| !self.pool.contains_key(nonce)).unwrap_or(self.mined)
    }

    fn lowest_free(&self) -> u64 {
        (self.chain_next().max(self.floor)..).find(|nonce| !self.held.contains_key(nonce)).unwrap_or(0)
    }

    fn next_hash(&mut self) -> Hash32 {
        self.hashes += 1;
        let mut hash = [0; 32];
        hash[24..].copy_from_slice(&self.hashes.to_be_bytes());
        Hash32(hash)
    }

    fn expire(&mut self) {
        let now = self.now;
        self.held.retain(|_, held| !matches!(held, Held::Unsigned(_, expires) if *expires <= now));
    }

    fn bound(&self) -> Vec<(u64, Hash32)> {
        let bound = |(nonce, held): (&u64, &Held)| match held {
            Held::Bound(hash) => Some((*nonce, *hash)),
            Held::Unsigned(..) => None,
        };
        self.held.iter().filter_map(bound).collect()
    }

    fn unsigned(&self) -> Vec<(u64, ReservationId)> {
        let unsigned = |(nonce, held): (&u64, &Held)| match held {
            Held::Unsigned(id, _) => Some((*nonce, *id)),
            Held::Bound(_) => None,
        };
        self.held.iter().filter_map(unsigned).collect()
    }
}

struct World {
    disk: Disk,
    store: Sqlite,
    network: NetworkId,
    model: Model,
}

impl World {
    fn new() -> Self {
        let disk = Disk::new();
        let store = disk.open();
        Self { disk, store, network: NetworkId("eip155:1".into()), model: Model::default() }
    }

    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.model.now)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Reserve => self.reserve(),
            Step::Release(which) => self.release(which),
            Step::Submit(which, taken) => {
                let unsigned = self.model.unsigned();
                if !unsigned.is_empty() {
                    self.submit(which.get(&unsigned).0, taken);
                }
            }
            Step::SubmitAny(nonce, taken) => self.submit(nonce, taken),
            Step::Withdraw(which) => self.withdraw(which),
            Step::Drop(which) => self.drop_one(which),
            Step::Mine => self.mine(),
            Step::Foreign => self.foreign(),
            Step::Wait(seconds) => self.model.now += seconds,
            Step::Restart => self.store = self.disk.open(),
        }
    }

    fn reserve(&mut self) {
        let expires = self.model.now + HELD_SECONDS;
        let request = ReserveRequest {
            network: self.network.clone(),
            address: SENDER,
            chain_next: self.model.chain_next(),
            now: self.now(),
            expires: UnixSeconds(expires),
        };
        self.model.expire();
        let ReserveRequest { network, address, chain_next, now, .. } = request.clone();
        let shown = self.store.lowest_free(&FreeRequest { network, address, chain_next, now }).unwrap();
        assert_eq!(shown, self.model.lowest_free());
        let Reserve::Reserved(reservation) = self.store.reserve(request).unwrap() else { panic!("never full here") };
        assert_eq!(reservation.nonce, self.model.lowest_free());
        let before = self.model.held.insert(reservation.nonce, Held::Unsigned(reservation.id, expires));
        assert_eq!(before, None, "held twice");
    }

    fn release(&mut self, which: prop::sample::Index) {
        let unsigned = self.model.unsigned();
        if unsigned.is_empty() {
            return;
        }
        let (nonce, id) = *which.get(&unsigned);
        assert!(self.store.release(id).unwrap());
        assert!(!self.store.release(id).unwrap());
        self.model.held.remove(&nonce);
    }

    fn submit(&mut self, nonce: u64, is_taken: bool) {
        let hash = self.model.next_hash();
        let new = NewTransaction {
            network: self.network.clone(),
            hash,
            sender: SENDER,
            owner: Owner("ada".into()),
            nonce,
            recipient: None,
            value: Amount::default(),
            raw: vec![1],
            idempotency: None,
            replaces: None,
            now: self.now(),
        };
        let answer = self.store.submit(new.clone()).unwrap();
        if nonce < self.model.floor {
            assert_eq!(answer, Submit::NonceUsed);
            return;
        }
        if let Some(Held::Bound(by)) = self.model.held.get(&nonce) {
            assert_eq!(answer, Submit::NonceTaken { by: *by });
            return;
        }
        assert!(matches!(&answer, Submit::New(row) if row.hash == hash), "{answer:?}");
        assert!(matches!(self.store.submit(new).unwrap(), Submit::Known(row) if row.hash == hash));
        self.model.held.insert(nonce, Held::Bound(hash));
        if is_taken && nonce >= self.model.mined {
            self.record(hash, TxStatus::Pending);
            self.model.pool.insert(nonce, hash);
        }
    }

    fn withdraw(&mut self, which: prop::sample::Index) {
        let bound = self.model.bound();
        if bound.is_empty() {
            return;
        }
        let (nonce, hash) = *which.get(&bound);
        let is_pooled = self.model.pool.get(&nonce) == Some(&hash);
        assert_eq!(self.store.withdraw(&self.network, hash).unwrap(), !is_pooled);
        if !is_pooled {
            self.model.held.remove(&nonce);
            assert_eq!(self.store.transaction(hash).unwrap(), None);
        }
    }

    fn drop_one(&mut self, which: prop::sample::Index) {
        let bound = self.model.bound();
        if bound.is_empty() {
            return;
        }
        let (nonce, hash) = *which.get(&bound);
        self.record(hash, TxStatus::Dropped);
        self.model.held.remove(&nonce);
        self.model.pool.remove(&nonce);
    }

    fn mine(&mut self) {
        let nonce = self.model.mined;
        let Some(hash) = self.model.pool.remove(&nonce) else { return };
        let at = Inclusion {
            block_number: nonce,
            block_hash: Hash32([9; 32]),
            success: true,
            gas_used: 21_000,
            gas_price: None,
        };
        self.record(hash, TxStatus::Mined(at));
        self.record(hash, TxStatus::Final(at));
        self.pass(nonce);
    }

    /// Somebody else's transaction takes the next nonce and becomes final; ours of that nonce ends replaced.
    fn foreign(&mut self) {
        let nonce = self.model.mined;
        self.model.pool.remove(&nonce);
        match self.model.held.get(&nonce).copied() {
            Some(Held::Bound(hash)) => {
                self.record(hash, TxStatus::Replaced { by: None, settled: false });
                self.record(hash, TxStatus::Replaced { by: None, settled: true });
                self.pass(nonce);
            }
            // Unsigned reservations below the chain's count do no harm; they expire.
            _ => self.model.mined += 1,
        }
    }

    fn pass(&mut self, nonce: u64) {
        self.model.mined = nonce + 1;
        self.model.floor = self.model.floor.max(nonce + 1);
        let floor = self.model.floor;
        self.model.held.retain(|held, _| *held >= floor);
    }

    fn record(&self, hash: Hash32, status: TxStatus) {
        let row = self.store.record(&self.network, hash, status, 0, self.now()).unwrap().unwrap();
        assert_eq!(row.status, status);
    }

    /// The store says of every nonce what the model says, no more and no less.
    fn check(&self) {
        let found: BTreeMap<u64, Held> = self
            .store
            .reservations(&self.network, SENDER)
            .unwrap()
            .into_iter()
            .map(|held| {
                let holder = match held.holder {
                    Holder::Expires(at) => Held::Unsigned(held.id, at.0),
                    Holder::Bound(hash) => Held::Bound(hash),
                };
                (held.nonce, holder)
            })
            .collect();
        assert_eq!(found, self.model.held);
        let open = self.store.open_transactions(&self.network).unwrap();
        for (_, hash) in self.model.bound() {
            assert!(open.iter().any(|row| row.hash == hash), "a bound nonce is always followed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_nonce_is_handed_out_twice_or_lost(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
    }
}
