//! The chain gateway's rows: nonce reservations, sent transactions and their history.
//!
//! Invariants, kept by the transactions in this module and relied on by `pinseal-networks`:
//!
//! 1. A (network, address, nonce) has at most one live reservation, so no two senders are handed the same nonce.
//! 2. A (network, address, nonce) is bound to at most one transaction hash at a time, and the binding is durable
//!    before the transaction leaves for a node. Another hash for that nonce is refused unless it names the one it replaces.
//! 3. A reservation ends by expiry, by its owner's release, by a binding, or as one that a clock which ran ahead made; a restart ends none.
//! 4. The nonce handed out is the lowest free one at or above what the chain and this table know to be used, so a gap
//!    is filled before the sequence grows.
//! 5. A nonce below the floor was used by a transaction that became final and is never handed out again.
//! 6. What is settled never opens again, so its signed bytes, which are there to be sent again, are erased with that.

mod nonces;
mod rows;
mod transactions;

use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;

use crate::sqlite::{SqlError, Sqlite, StoreError};

/// The tables of this module; part of the store's migrations.
pub(crate) const SCHEMA: &str = "
CREATE TABLE gateway_chain (
  network TEXT NOT NULL PRIMARY KEY,
  genesis BLOB NOT NULL CHECK (length(genesis) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE gateway_floor (
  network TEXT NOT NULL,
  address BLOB NOT NULL CHECK (length(address) = 20),
  floor INTEGER NOT NULL CHECK (floor >= 0),
  PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE gateway_reservation (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  network TEXT NOT NULL,
  address BLOB NOT NULL CHECK (length(address) = 20),
  nonce INTEGER NOT NULL CHECK (nonce >= 0),
  hash BLOB CHECK (hash IS NULL OR length(hash) = 32),
  expires INTEGER,
  CHECK ((hash IS NULL) <> (expires IS NULL)),
  UNIQUE (network, address, nonce)
) STRICT;

CREATE TABLE gateway_transaction (
  serial INTEGER PRIMARY KEY AUTOINCREMENT,
  network TEXT NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  sender BLOB NOT NULL CHECK (length(sender) = 20),
  nonce INTEGER NOT NULL CHECK (nonce >= 0),
  recipient BLOB CHECK (recipient IS NULL OR length(recipient) = 20),
  value BLOB NOT NULL CHECK (length(value) = 32),
  raw BLOB NOT NULL,
  idempotency TEXT,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  status INTEGER NOT NULL,
  open INTEGER NOT NULL CHECK (open IN (0, 1)),
  refusals INTEGER NOT NULL DEFAULT 0,
  block_number INTEGER,
  block_hash BLOB CHECK (block_hash IS NULL OR length(block_hash) = 32),
  success INTEGER,
  gas_used INTEGER,
  gas_price BLOB CHECK (gas_price IS NULL OR length(gas_price) = 32),
  replaced_by BLOB CHECK (replaced_by IS NULL OR length(replaced_by) = 32),
  UNIQUE (network, hash)
) STRICT;
CREATE UNIQUE INDEX gateway_transaction_key ON gateway_transaction (network, sender, idempotency)
  WHERE idempotency IS NOT NULL;
CREATE INDEX gateway_transaction_open ON gateway_transaction (network, serial) WHERE open = 1;
CREATE INDEX gateway_transaction_nonce ON gateway_transaction (network, sender, nonce);
CREATE INDEX gateway_transaction_history ON gateway_transaction (sender, serial);
CREATE INDEX gateway_transaction_hash ON gateway_transaction (hash);
";

/// Whose transactions are counted together; those from before this step count for nobody, and end.
pub(crate) const OWNERS_SCHEMA: &str = "
ALTER TABLE gateway_transaction ADD COLUMN owner TEXT;
CREATE INDEX gateway_transaction_owned ON gateway_transaction (owner) WHERE open = 1;
";

/// What was settled before its bytes were erased with it.
pub(crate) const SETTLED_SCHEMA: &str = "
UPDATE gateway_transaction SET raw = x'' WHERE open = 0 AND length(raw) > 0;
";

/// Who is followed is read whole, and out of the index alone: the rows lie among their signed bytes.
pub(crate) const FOLLOWED_SCHEMA: &str = "
DROP INDEX IF EXISTS gateway_transaction_open;
CREATE INDEX IF NOT EXISTS gateway_transaction_followed ON gateway_transaction (network, serial, hash, sender, owner)
  WHERE open = 1;
";

/// Unsigned reservations one address may hold at once: what node pools take per account, and a bound on what one
/// user can make the table hold.
pub const RESERVATIONS_MAX: usize = 64;

/// Longest a reservation may be held unsigned: five times what the gateway asks for. One that would be held for longer was made while the clock
/// ran ahead, and is none, so that its nonce waits minutes and not as long as the clock had jumped. A clock that is set back by a few minutes
/// ends none that lives.
pub const RESERVATION_SECONDS_MAX: u64 = 600;

/// Transactions of one owner that may wait for finality at once, over all networks and addresses; bounds the tracker's work per user.
pub const OPEN_TRANSACTIONS_MAX: usize = 256;

/// Signed bytes of those, together; bounds the disk per user. One may have 128 KiB.
pub const OPEN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A transaction that replaces another may exceed both bounds by one part in this many: who may send no further one can still pay more for
/// the one that holds the others up.
pub const REPLACEMENTS_SHARE: usize = 4;

/// A network's CAIP-2 id as the registry spells it. The store compares it and never reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub String);

/// Whose transactions are counted together: a user, whatever addresses they have. The store compares it and never reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(pub String);

/// A 256-bit amount of the network's smallest unit, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub [u8; 32]);

/// Names one reservation for ever; ids are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(pub u64);

/// Place of a transaction in the order of submission; grows with every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxSerial(pub u64);

/// What a reservation is asked with.
#[derive(Debug, Clone)]
pub struct ReserveRequest {
    /// The network.
    pub network: NetworkId,
    /// The sending address.
    pub address: EvmAddress,
    /// First nonce no mined transaction and no node's pool uses, as the chain reported it.
    pub chain_next: u64,
    /// Now; reservations that expired by it are released first.
    pub now: UnixSeconds,
    /// When the new reservation is released unless a transaction binds it; after [`RESERVATION_SECONDS_MAX`] at the latest.
    pub expires: UnixSeconds,
}

/// What the lowest free nonce is asked with; see [`ReserveRequest`].
#[derive(Debug, Clone)]
pub struct FreeRequest {
    /// The network.
    pub network: NetworkId,
    /// The sending address.
    pub address: EvmAddress,
    /// First nonce no mined transaction and no node's pool uses, as the chain reported it.
    pub chain_next: u64,
    /// Now; what expired by it is free, and what [`RESERVATION_SECONDS_MAX`] says is none.
    pub now: UnixSeconds,
}

/// One live reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its name.
    pub id: ReservationId,
    /// The nonce held.
    pub nonce: u64,
    /// What holds it.
    pub holder: Holder,
}

/// What holds a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Handed out and not yet signed; released at this time.
    Expires(UnixSeconds),
    /// Bound to this transaction.
    Bound(Hash32),
}

/// Answer to a [`ReserveRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserve {
    /// The nonce is the caller's until it expires.
    Reserved(Reservation),
    /// The address holds [`RESERVATIONS_MAX`] unsigned reservations; the caller waits for one to be used or to expire.
    Full,
}

/// A signed transaction to be recorded before it is sent.
#[derive(Debug, Clone)]
pub struct NewTransaction {
    /// The network.
    pub network: NetworkId,
    /// Keccak-256 of `raw`.
    pub hash: Hash32,
    /// Recovered from the signature.
    pub sender: EvmAddress,
    /// Whose address that is.
    pub owner: Owner,
    /// The sender's nonce.
    pub nonce: u64,
    /// The called address; `None` creates a contract.
    pub recipient: Option<EvmAddress>,
    /// The native amount moved.
    pub value: Amount,
    /// The signed bytes, kept until it is settled so that they can be sent again.
    pub raw: Vec<u8>,
    /// The caller's idempotency key, unique per network and sender.
    pub idempotency: Option<String>,
    /// The transaction this one means to replace, where it does.
    pub replaces: Option<Hash32>,
    /// Now.
    pub now: UnixSeconds,
}

/// Answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submit {
    /// Recorded and bound to its nonce; now it may be sent for the first time.
    New(TxRow),
    /// The same transaction was recorded before, with what became of it. One that was dropped has its nonce again and is
    /// [`TxStatus::Submitted`], to be sent once more.
    Known(TxRow),
    /// The nonce is bound to another transaction; the caller prepares again or names it as replaced.
    NonceTaken {
        /// That transaction.
        by: Hash32,
    },
    /// A final transaction used this nonce; the caller prepares again.
    NonceUsed,
    /// The idempotency key came with another transaction before; the caller's fault.
    KeyReused {
        /// That transaction.
        first: Hash32,
    },
    /// More than [`OPEN_TRANSACTIONS_MAX`] of this owner, or [`OPEN_BYTES_MAX`], would wait for finality, with one part in
    /// [`REPLACEMENTS_SHARE`] on top for replacements; the caller waits.
    TooManyOpen,
}

/// Where a transaction was mined and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inclusion {
    /// Height of the block.
    pub block_number: u64,
    /// Hash of the block.
    pub block_hash: Hash32,
    /// False if it was mined and reverted.
    pub success: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Price paid per unit of gas, where the node tells.
    pub gas_price: Option<Amount>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxStatus {
    /// Recorded; no node has confirmed that it holds it.
    Submitted,
    /// A node holds it in its pool.
    Pending,
    /// In a block that may still be reorganised away.
    Mined(Inclusion),
    /// In a block as deep as the network's finality asks.
    Final(Inclusion),
    /// Another transaction used its nonce.
    Replaced {
        /// That transaction, where this system sent it.
        by: Option<Hash32>,
        /// True once the other one is final.
        settled: bool,
    },
    /// No node holds it and nodes refuse it; its nonce is free again. It could still be mined by someone who kept it.
    Dropped,
}

impl TxStatus {
    /// True while the tracker still has something to learn.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Final(_) | Self::Replaced { settled: true, .. })
    }
}

/// One sent transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxRow {
    /// Order of submission.
    pub serial: TxSerial,
    /// The network.
    pub network: NetworkId,
    /// Its hash.
    pub hash: Hash32,
    /// Who signed it.
    pub sender: EvmAddress,
    /// The sender's nonce.
    pub nonce: u64,
    /// The called address; `None` creates a contract.
    pub recipient: Option<EvmAddress>,
    /// The native amount moved.
    pub value: Amount,
    /// The signed bytes; none in a history, nor once it is settled.
    pub raw: Vec<u8>,
    /// When it was recorded.
    pub created: UnixSeconds,
    /// When its status last changed.
    pub updated: UnixSeconds,
    /// What became of it.
    pub status: TxStatus,
    /// How often in a row nodes refused it since one last held it.
    pub refusals: u32,
}

/// One transaction that is not settled, as far as it matters for when it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTx {
    /// Order of submission.
    pub serial: TxSerial,
    /// Its hash.
    pub hash: Hash32,
    /// Who signed it.
    pub sender: EvmAddress,
    /// Whose address that is; `None` for one that was recorded before that was.
    pub owner: Option<Owner>,
}

/// Whether a network is still the chain it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Genesis {
    /// Never seen before; remembered now.
    First,
    /// The chain the rows are about.
    Same,
    /// Another chain under the same id. Its rows were removed: they describe a chain that is gone.
    Changed,
}

/// A page of history.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    /// Only this network, or all.
    pub network: Option<NetworkId>,
    /// Who sent.
    pub sender: EvmAddress,
    /// Only rows older than the sender's transaction of this hash; none, where that is none of theirs.
    pub before: Option<Hash32>,
    /// At most this many, newest first.
    pub limit: u32,
}

/// Who may send with which nonce. One store serves every task and process start; each call is one durable transaction.
pub trait NonceStore: Send + Sync {
    /// Reserves the lowest free nonce.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was reserved, or ([`StoreError::Unknown`]) the process must stop.
    fn reserve(&self, request: ReserveRequest) -> Result<Reserve, StoreError>;

    /// The nonce that [`NonceStore::reserve`] would reserve now. It is held for nobody.
    ///
    /// # Errors
    /// [`StoreError`].
    fn lowest_free(&self, request: &FreeRequest) -> Result<u64, StoreError>;

    /// The lowest nonce that no final transaction of this system used.
    ///
    /// # Errors
    /// [`StoreError`].
    fn floor(&self, network: &NetworkId, address: EvmAddress) -> Result<u64, StoreError>;

    /// Gives an unsigned reservation back; false if it expired, was bound or never was. Ids can be counted up to, so the
    /// caller lets nobody but the owner name one.
    ///
    /// # Errors
    /// [`StoreError`]; the reservation then expires by itself.
    fn release(&self, id: ReservationId) -> Result<bool, StoreError>;

    /// Every reservation of an address, lowest nonce first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn reservations(&self, network: &NetworkId, address: EvmAddress) -> Result<Vec<Reservation>, StoreError>;
}

/// What the chain gateway keeps. Each call is one durable transaction.
pub trait GatewayStore: NonceStore {
    /// Records a transaction and binds its nonce, before it is sent.
    ///
    /// # Errors
    /// [`StoreError`]: the transaction must not be sent.
    fn submit(&self, transaction: NewTransaction) -> Result<Submit, StoreError>;

    /// Forgets a transaction no node can hold; false if one may hold it.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction stays recorded and the tracker finds out.
    fn withdraw(&self, network: &NetworkId, hash: Hash32) -> Result<bool, StoreError>;

    /// Writes what became of a transaction and returns it; `None` if it is not recorded. A settled one does not change.
    ///
    /// # Errors
    /// [`StoreError`].
    fn record(
        &self,
        network: &NetworkId,
        hash: Hash32,
        status: TxStatus,
        refusals: u32,
        now: UnixSeconds,
    ) -> Result<Option<TxRow>, StoreError>;

    /// One transaction by its hash.
    ///
    /// # Errors
    /// [`StoreError`].
    fn transaction(&self, hash: Hash32) -> Result<Option<TxRow>, StoreError>;

    /// The mined transaction of this system that used the nonce of `row`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn mined_sibling(&self, row: &TxRow) -> Result<Option<Hash32>, StoreError>;

    /// Every transaction of a network that is not settled, in order of submission; as many as all owners together may have waiting.
    ///
    /// # Errors
    /// [`StoreError`].
    fn open_transactions(&self, network: &NetworkId) -> Result<Vec<OpenTx>, StoreError>;

    /// What a sender sent, newest first, without the signed bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    fn history(&self, query: &HistoryQuery) -> Result<Vec<TxRow>, StoreError>;

    /// Compares a network's first block with the one its rows were made on; removes the rows of a chain that is gone.
    /// For local chains only, which start anew.
    ///
    /// # Errors
    /// [`StoreError`].
    fn observe_genesis(&self, network: &NetworkId, genesis: Hash32) -> Result<Genesis, StoreError>;

    /// Height and hash of the highest block that holds a final transaction of ours.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_final_block(&self, network: &NetworkId) -> Result<Option<(u64, Hash32)>, StoreError>;

    /// Removes every row about a network. For local chains only, which may be put back to an earlier state.
    ///
    /// # Errors
    /// [`StoreError`].
    fn forget(&self, network: &NetworkId) -> Result<(), StoreError>;
}

impl NonceStore for Sqlite {
    fn reserve(&self, request: ReserveRequest) -> Result<Reserve, StoreError> {
        self.write(move |tx| Ok::<_, SqlError>(nonces::reserve(tx, &request)?)).map_err(StoreError::from)
    }

    fn lowest_free(&self, request: &FreeRequest) -> Result<u64, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(nonces::lowest_free(conn, request)?)).map_err(StoreError::from)
    }

    fn floor(&self, network: &NetworkId, address: EvmAddress) -> Result<u64, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(nonces::floor(conn, network, address)?)).map_err(StoreError::from)
    }

    fn release(&self, id: ReservationId) -> Result<bool, StoreError> {
        self.write(move |tx| Ok::<_, SqlError>(nonces::release(tx, id)?)).map_err(StoreError::from)
    }

    fn reservations(&self, network: &NetworkId, address: EvmAddress) -> Result<Vec<Reservation>, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(nonces::reservations(conn, network, address)?)).map_err(StoreError::from)
    }
}

impl GatewayStore for Sqlite {
    fn submit(&self, transaction: NewTransaction) -> Result<Submit, StoreError> {
        self.write(move |tx| Ok::<_, SqlError>(transactions::submit(tx, &transaction)?)).map_err(StoreError::from)
    }

    fn withdraw(&self, network: &NetworkId, hash: Hash32) -> Result<bool, StoreError> {
        let network = network.clone();
        self.write(move |tx| Ok::<_, SqlError>(transactions::withdraw(tx, &network, hash)?)).map_err(StoreError::from)
    }

    fn record(
        &self,
        network: &NetworkId,
        hash: Hash32,
        status: TxStatus,
        refusals: u32,
        now: UnixSeconds,
    ) -> Result<Option<TxRow>, StoreError> {
        let network = network.clone();
        self.write(move |tx| Ok::<_, SqlError>(transactions::record(tx, &network, hash, status, refusals, now)?))
            .map_err(StoreError::from)
    }

    fn transaction(&self, hash: Hash32) -> Result<Option<TxRow>, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(transactions::by_hash(conn, hash)?)).map_err(StoreError::from)
    }

    fn mined_sibling(&self, row: &TxRow) -> Result<Option<Hash32>, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(transactions::mined_sibling(conn, row)?)).map_err(StoreError::from)
    }

    fn open_transactions(&self, network: &NetworkId) -> Result<Vec<OpenTx>, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(transactions::open(conn, network)?)).map_err(StoreError::from)
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<TxRow>, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(transactions::history(conn, query)?)).map_err(StoreError::from)
    }

    fn observe_genesis(&self, network: &NetworkId, genesis: Hash32) -> Result<Genesis, StoreError> {
        let network = network.clone();
        self.write(move |tx| Ok::<_, SqlError>(nonces::observe_genesis(tx, &network, genesis)?))
            .map_err(StoreError::from)
    }

    fn last_final_block(&self, network: &NetworkId) -> Result<Option<(u64, Hash32)>, StoreError> {
        self.read(|conn| Ok::<_, SqlError>(transactions::last_final_block(conn, network)?)).map_err(StoreError::from)
    }

    fn forget(&self, network: &NetworkId) -> Result<(), StoreError> {
        let network = network.clone();
        self.write(move |tx| Ok::<_, SqlError>(nonces::forget(tx, &network)?)).map_err(StoreError::from)
    }
}

#[cfg(test)]
mod tests;
