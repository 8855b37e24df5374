//! The append-only log (RFC 6962 Merkle tree over SHA-256): entries, frontier, consistency and inclusion proofs.

mod inclusion;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

pub use self::inclusion::Inclusion;
use crate::ids::{Hash32, Nonce, Term, UnixSeconds, UserIdHash, Version};

/// Bytes of the detail in a record entry: constant, sealed to the user.
pub const DETAIL_BYTES: usize = 96;

crate::ids::byte_newtype! {
    /// What happened, sealed to the user; the same size whatever it says.
    SealedDetail, 96
}

/// What proofs lead to: the log when it had `size` entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Entries.
    pub size: u64,
    /// Merkle tree hash.
    pub root: Hash32,
}

/// One leaf.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Entry {
    /// A wallet's record was written. Every field has a fixed size.
    #[n(0)]
    Record {
        /// Wallet.
        #[n(0)]
        wallet: UserIdHash,
        /// Version written.
        #[n(1)]
        version: Version,
        /// H(outer).
        #[n(2)]
        outer: Hash32,
        /// Sealed to the user.
        #[n(3)]
        detail: SealedDetail,
    },
    /// The enclave booted.
    #[n(1)]
    Boot {
        /// Fresh randomness of this boot.
        #[n(0)]
        nonce: Nonce,
        /// H(boot keys).
        #[n(1)]
        keys: Hash32,
        /// H(configuration).
        #[n(2)]
        configuration: Hash32,
        /// Host-told time.
        #[n(3)]
        time: UnixSeconds,
    },
    /// The operators changed the sealed configuration, or put an older state back. Every later checkpoint is of the new term.
    #[n(2)]
    Configured {
        /// The new term.
        #[n(0)]
        term: Term,
        /// H(configuration) from now on.
        #[n(1)]
        configuration: Hash32,
        /// H(configuration) until now.
        #[n(2)]
        previous: Hash32,
        /// [`crate::order::Order::hash`] of the operators' order.
        #[n(3)]
        order: Hash32,
        /// Host-told time.
        #[n(4)]
        time: UnixSeconds,
        /// Restores from now on: one more than before where the operators put an older state back with it.
        #[n(5)]
        restores: u32,
        /// Enrolment, paused or not, goes on from here: the operators have looked at the wrong PINs there are.
        #[n(6)]
        resumed: bool,
    },
    /// Enrolment pauses: wrong PINs of devices that are not enrolled have reached the deployment's maximum. The charges that did it are in the
    /// same batch; nothing tells whose they are.
    #[n(3)]
    Tripped {
        /// Host-told time.
        #[n(0)]
        time: UnixSeconds,
    },
    /// Somebody read, and nobody wrote meanwhile. Without it two checkpoints would have one log, and whoever goes by the log, as witnesses do,
    /// could not tell which of them is the newer one.
    #[n(4)]
    Read {
        /// Fresh randomness of this batch: one that was given up, and the one that was made in its place, have two logs.
        #[n(0)]
        nonce: Nonce,
    },
}

/// RFC 6962 leaf hash of an encoded entry.
pub fn leaf_hash(entry: &[u8]) -> Hash32 {
    Hash32(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// RFC 6962 interior node.
pub fn node_hash(left: &Hash32, right: &Hash32) -> Hash32 {
    Hash32(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// RFC 6962 hash of the empty tree.
pub fn empty_root() -> Hash32 {
    Hash32(Sha256::digest([]).into())
}

/// The roots of the perfect subtrees along the right edge, largest first: all that appending needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
pub struct Frontier {
    #[n(0)]
    size: u64,
    #[n(1)]
    edge: Vec<Hash32>,
}

/// A node of a perfect subtree, as a store keeps it: `level` 0 is a leaf, `index` counts from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Node {
    /// Height above the leaves.
    #[n(0)]
    pub level: u8,
    /// Position within the level.
    #[n(1)]
    pub index: u64,
    /// Hash.
    #[n(2)]
    pub hash: Hash32,
}

impl Frontier {
    /// True if the number of edge nodes fits the size: to be asked of one that came off the wire. Sizes beyond 2^63 do not
    /// occur and would let [`Frontier::append`] overflow.
    pub fn is_well_formed(&self) -> bool {
        self.size <= 1 << 63 && self.edge.len() == self.size.count_ones() as usize
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash and tells `kept` every node that became complete, the leaf first.
    pub fn append(&mut self, leaf: Hash32, mut kept: impl FnMut(Node)) {
        let mut node = Node { level: 0, index: self.size, hash: leaf };
        kept(node);
        let mut rest = self.size;
        while rest & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            node = Node { level: node.level + 1, index: node.index >> 1, hash: node_hash(&left, &node.hash) };
            kept(node);
            rest >>= 1;
        }
        self.edge.push(node.hash);
        self.size += 1;
    }

    /// Merkle tree hash.
    pub fn root(&self) -> Hash32 {
        let mut nodes = self.edge.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// RFC 6962 section 2.1.2 proof that the first `old_size` leaves of a tree are an older tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Consistency {
    /// Size of the older tree, at least 1.
    #[n(0)]
    pub old_size: u64,
    /// Size of the newer tree.
    #[n(1)]
    pub new_size: u64,
    /// Hashes, as RFC 6962 orders them.
    #[n(2)]
    pub path: Vec<Hash32>,
    /// Root of the older tree as the prover has it. One that differs from a signed root of that size, and that the path leads from to a
    /// root of this state, proves two histories.
    #[n(3)]
    pub old_root: Option<Hash32>,
}

impl Consistency {
    /// Builds the proof from stored nodes. `None` if the sizes make no sense or `node` lacks one.
    pub fn prove<E>(
        old_size: u64,
        new_size: u64,
        node: &mut impl FnMut(u8, u64) -> Result<Hash32, E>,
    ) -> Result<Option<Self>, E> {
        if old_size == 0 || old_size > new_size {
            return Ok(None);
        }
        let mut path = Vec::new();
        subproof(old_size, 0, new_size, true, &mut path, node)?;
        let old_root = Some(range_root(0, old_size, node)?);
        Ok(Some(Self { old_size, new_size, path, old_root }))
    }

    /// True if the prover's own older tree is a prefix of (`new_size`, `new_root`) and is not the one of `seen_root`: then whoever signed
    /// both `seen_root` and `new_root` has signed two histories. Nobody can make this up: a path leads from one older root only.
    pub fn convicts(&self, seen_root: &Hash32, new_root: &Hash32) -> bool {
        self.old_root.is_some_and(|own| own != *seen_root && self.verifies(&own, new_root))
    }

    /// True if the tree (`old_size`, `old_root`) is a prefix of (`new_size`, `new_root`); RFC 9162 section 2.1.4.2.
    pub fn verifies(&self, old_root: &Hash32, new_root: &Hash32) -> bool {
        if self.old_size == 0 || self.old_size > self.new_size {
            return false;
        }
        if self.old_size == self.new_size {
            return self.path.is_empty() && old_root == new_root;
        }
        let mut path = self.path.iter();
        let first = if self.old_size.is_power_of_two() { Some(old_root) } else { path.next() };
        let Some(first) = first else { return false };
        let (mut fn_, mut sn) = (self.old_size - 1, self.new_size - 1);
        let shift = fn_.trailing_ones();
        (fn_, sn) = (fn_ >> shift, sn >> shift);
        let (mut old, mut new) = (*first, *first);
        for hash in path {
            if sn == 0 {
                return false;
            }
            if fn_ & 1 == 1 || fn_ == sn {
                old = node_hash(hash, &old);
                new = node_hash(hash, &new);
                while fn_ & 1 == 0 && fn_ != 0 {
                    (fn_, sn) = (fn_ >> 1, sn >> 1);
                }
            } else {
                new = node_hash(&new, hash);
            }
            (fn_, sn) = (fn_ >> 1, sn >> 1);
        }
        sn == 0 && old == *old_root && new == *new_root
    }
}

/// SUBPROOF(m, D[start : start + n], whole) of RFC 6962. Depth is at most 64: n halves each time.
fn subproof<E>(
    m: u64,
    start: u64,
    n: u64,
    whole: bool,
    path: &mut Vec<Hash32>,
    node: &mut impl FnMut(u8, u64) -> Result<Hash32, E>,
) -> Result<(), E> {
    if m == n {
        if !whole {
            path.push(range_root(start, n, node)?);
        }
        return Ok(());
    }
    let k = split(n);
    if m <= k {
        subproof(m, start, k, whole, path, node)?;
        path.push(range_root(start + k, n - k, node)?);
    } else {
        subproof(m - k, start + k, n - k, false, path, node)?;
        path.push(range_root(start, k, node)?);
    }
    Ok(())
}

/// MTH(D[start : start + n]) from perfect nodes; `start` is aligned to the powers of two that make up `n`.
fn range_root<E>(start: u64, n: u64, node: &mut impl FnMut(u8, u64) -> Result<Hash32, E>) -> Result<Hash32, E> {
    if n.is_power_of_two() {
        let level = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
        return node(level, start >> level);
    }
    let k = split(n);
    let left = range_root(start, k, node)?;
    let right = range_root(start + k, n - k, node)?;
    Ok(node_hash(&left, &right))
}

/// Largest power of two smaller than n, for n > 1.
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// An encoded entry, as the store keeps it.
pub type EncodedEntry = ByteVec;
