//! Proofs that an entry is in a tree.

use minicbor::{Decode, Encode};

use super::{node_hash, range_root, split};
use crate::ids::Hash32;
use crate::limits::INCLUSION_HASHES_MAX;

/// RFC 6962 section 2.1.1 proof that a leaf is the one at `index` of a tree of `size` leaves.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Inclusion {
    /// Place of the leaf, counted from 0.
    #[n(0)]
    pub index: u64,
    /// Size of the tree.
    #[n(1)]
    pub size: u64,
    /// Hashes, as RFC 6962 orders them.
    #[n(2)]
    pub path: Vec<Hash32>,
}

impl Inclusion {
    /// Builds the proof from stored nodes. `None` if there is no such leaf; `node`'s error if it lacks one.
    ///
    /// # Errors
    /// Those of `node`.
    pub fn prove<E>(
        index: u64,
        size: u64,
        node: &mut impl FnMut(u8, u64) -> Result<Hash32, E>,
    ) -> Result<Option<Self>, E> {
        if index >= size {
            return Ok(None);
        }
        // From the root down, each time into the half that holds the leaf: 64 halves at most.
        let mut path = Vec::new();
        let (mut start, mut n) = (0, size);
        while n > 1 {
            let left = split(n);
            if index - start < left {
                path.push(range_root(start + left, n - left, node)?);
                n = left;
            } else {
                path.push(range_root(start, left, node)?);
                (start, n) = (start + left, n - left);
            }
        }
        path.reverse();
        Ok(Some(Self { index, size, path }))
    }

    /// True if `leaf` is the leaf hash at `index` of the tree (`size`, `root`); RFC 9162 section 2.1.3.2.
    pub fn verifies(&self, leaf: &Hash32, root: &Hash32) -> bool {
        if self.index >= self.size || self.path.len() > INCLUSION_HASHES_MAX {
            return false;
        }
        let (mut fn_, mut sn) = (self.index, self.size - 1);
        let mut hash = *leaf;
        for sibling in &self.path {
            if sn == 0 {
                return false;
            }
            if fn_ & 1 == 1 || fn_ == sn {
                hash = node_hash(sibling, &hash);
                while fn_ & 1 == 0 && fn_ != 0 {
                    (fn_, sn) = (fn_ >> 1, sn >> 1);
                }
            } else {
                hash = node_hash(&hash, sibling);
            }
            (fn_, sn) = (fn_ >> 1, sn >> 1);
        }
        sn == 0 && hash == *root
    }
}
