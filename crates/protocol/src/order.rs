//! What operators order: that another configuration follows the sealed one, that an older state is the state again, or that enrolment goes on.
//!
//! The enclave gets the sealing passphrase at every boot, from whoever starts it; that it has it says nothing about who wants a change.
//! So an order is authenticated by itself: a MAC under a key that follows from the passphrase, made where the operators type it. The host
//! only carries it.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use crate::cbor;
use crate::configuration::Configuration;
use crate::constant_time;
use crate::ids::{DeploymentId, Hash32, UnixSeconds};
use crate::kdf;
use crate::pin::Argon2Parameters;
use crate::secret::SecretBytes;

/// The only format this version writes and reads.
pub const ORDER_VERSION: u16 = 1;
/// Cost of turning the passphrase into the key of one order: that of a sealed root, which an attacker could guess at just as well.
pub const ORDER_COST: Argon2Parameters = Argon2Parameters { memory_kib: 64 * 1024, passes: 4, lanes: 1 };

/// An order. It holds for one root, one configuration and one state: whatever happens to the deployment before it is carried out, a boot or
/// another change, ends it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Order {
    /// [`ORDER_VERSION`].
    #[n(0)]
    pub version: u16,
    /// Deployment.
    #[n(1)]
    pub deployment: DeploymentId,
    /// [`root_hash`] of the sealed root in force.
    #[n(2)]
    pub root: Hash32,
    /// H(configuration) in force, as the operators were shown it: the host may show another one than the root is sealed with.
    #[n(3)]
    pub previous: Hash32,
    /// H(configuration) that is to follow.
    #[n(4)]
    pub configuration: Hash32,
    /// [`crate::checkpoint::Checkpoint::hash`] of the state's newest checkpoint.
    #[n(5)]
    pub checkpoint: Hash32,
    /// When it was given, by the operators' clock.
    #[n(6)]
    pub time: UnixSeconds,
    /// That state is to be the state from now on, whatever the anchor holds, and this is the number of that restore: more than there were, so
    /// that anchors and clients tell it from every other. `None` where the anchor decides.
    #[n(7)]
    pub restores: Option<u32>,
    /// Enrolment goes on, whatever has paused it: from now on as many more wrong PINs are borne as the configuration says. Not together with
    /// a restore, whose state nobody has looked at yet.
    #[n(8)]
    pub resumes: bool,
}

/// What an order must be for.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'o> {
    /// The sealed root's file.
    pub sealed_root: &'o [u8],
    /// The configuration it is sealed with.
    pub previous: &'o Configuration,
    /// The configuration that is to follow.
    pub next: &'o Configuration,
    /// Hash of the checkpoint that the change follows.
    pub checkpoint: Hash32,
}

/// An [`Order`] under the operators' key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedOrder {
    /// Encoded [`Order`].
    #[n(0)]
    pub order: ByteVec,
    /// Random salt of the key.
    #[n(1)]
    pub salt: Hash32,
    /// HMAC over the order.
    #[n(2)]
    pub mac: Hash32,
}

/// Why an order is refused; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Made with another passphrase, or changed since.
    #[error("the order was not given with this deployment's passphrase")]
    Mac,
    /// Not an order in this version's form.
    #[error("the order has a form this program does not know")]
    Malformed,
    /// For another deployment.
    #[error("the order is for another deployment")]
    Deployment,
    /// For another sealed root: it was carried out before, or another change came between.
    #[error("the order is for another sealed root: it was carried out before, or another change came between")]
    Root,
    /// Given for another configuration than the root is sealed with: what the operators were shown was not what is in force.
    #[error("the order was given for another configuration than is in force: what was shown then was not true")]
    Previous,
    /// For another configuration than the one handed over.
    #[error("the order is for another configuration")]
    Configuration,
    /// Given at another state: something happened to the deployment since.
    #[error("the order was given for another state of the deployment: give it again")]
    State,
}

/// Names a sealed root: SHA-256 of its file.
pub fn root_hash(sealed_root: &[u8]) -> Hash32 {
    Hash32(Sha256::digest(sealed_root).into())
}

impl Order {
    /// Names the order in the log.
    pub fn hash(&self) -> Hash32 {
        kdf::hash("pinseal order v1", &[&cbor::to_vec(self)])
    }

    /// Authenticates the order. `stretched` is Argon2id of the passphrase with `salt` at [`ORDER_COST`].
    pub fn sign(&self, salt: Hash32, stretched: &SecretBytes<32>) -> SignedOrder {
        let order = cbor::to_vec(self);
        let mac = mac(stretched, &order);
        SignedOrder { order: order.into(), salt, mac }
    }
}

impl SignedOrder {
    /// The order, if it is the operators' and for exactly this.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn verify(&self, stretched: &SecretBytes<32>, ordered: &Ordered<'_>) -> Result<Order, OrderError> {
        if !constant_time::equal(&mac(stretched, &self.order).0, &self.mac.0) {
            return Err(OrderError::Mac);
        }
        let order: Order = cbor::from_slice(&self.order).map_err(|_| OrderError::Malformed)?;
        if order.version != ORDER_VERSION {
            return Err(OrderError::Malformed);
        }
        if order.deployment != ordered.next.deployment {
            return Err(OrderError::Deployment);
        }
        if order.root != root_hash(ordered.sealed_root) {
            return Err(OrderError::Root);
        }
        if order.previous != ordered.previous.hash() {
            return Err(OrderError::Previous);
        }
        if order.configuration != ordered.next.hash() {
            return Err(OrderError::Configuration);
        }
        if order.checkpoint != ordered.checkpoint {
            return Err(OrderError::State);
        }
        Ok(order)
    }
}

fn mac(stretched: &SecretBytes<32>, order: &[u8]) -> Hash32 {
    let key = kdf::derive(stretched.expose_secret(), &[], "pinseal operators key v1", &[]);
    Hash32(kdf::mac(key.expose_secret(), "pinseal order mac v1", &[order]))
}
