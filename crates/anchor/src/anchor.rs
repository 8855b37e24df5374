//! What every anchor does.

use std::io;
use std::sync::Arc;

use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{Authorisation, TpmNonce};

/// What the anchor says after an advance, for the enclave to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt(pub Vec<u8>);

/// Why the anchor cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What lies there is not a signed checkpoint: torn, or of another program. An operator looks at it.
    #[error("the anchor holds something that is not a signed checkpoint")]
    Damaged,
    /// The place cannot be read; see the source.
    #[error("the anchor cannot be read")]
    Unavailable(#[source] io::Error),
}

/// Why an advance did not give a receipt.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The anchor holds neither the expected checkpoint nor the new one: another instance was faster. This instance stops.
    #[error("the anchor holds another checkpoint: another instance has taken over")]
    Lost {
        /// What it holds; empty where it holds nothing. Witnesses that hold nothing where something was expected are unavailable.
        holds: Vec<u8>,
    },
    /// Certainly not advanced. May be repeated as it is.
    #[error("the anchor did not advance")]
    Unavailable(#[source] LoadError),
    /// Perhaps advanced. May be repeated as it is: an anchor that holds the new checkpoint already gives its receipt.
    #[error("whether the anchor advanced is unknown")]
    Unknown(#[source] io::Error),
}

/// How many places of an anchor took the checkpoint that they were last asked for, whenever it is read.
pub type Cosigned = Arc<dyn Fn() -> usize + Send + Sync>;

/// Holds the newest signed checkpoint of one deployment.
pub trait Anchor: Send {
    /// Against whom it holds.
    fn level(&self) -> AnchorLevel;

    /// The signed checkpoint it holds, `None` before the genesis. A TPM holds no checkpoint, but 32 bytes that follow from it.
    ///
    /// # Errors
    /// [`LoadError`].
    fn load(&self) -> Result<Option<Vec<u8>>, LoadError>;

    /// Replaces `previous` (empty: nothing) by `next`. When this returns a receipt, the change outlives whatever the level
    /// promises to outlive. Repeating an advance that succeeded gives its receipt again.
    ///
    /// # Errors
    /// [`AdvanceError`].
    fn advance(&mut self, previous: &[u8], next: &[u8]) -> Result<Receipt, AdvanceError>;

    /// Of a session in which the next advance is to be authorised, for an anchor that only the enclave can write; `None` for every other.
    ///
    /// # Errors
    /// [`LoadError`].
    fn nonce(&mut self) -> Result<Option<TpmNonce>, LoadError> {
        Ok(None)
    }

    /// What the enclave authorised the next advance with, if it did.
    fn authorise(&mut self, authorisation: Option<Authorisation>) {
        let _ = authorisation;
    }

    /// Makes a new, empty place that `writer` alone can write, in place of one left over.
    ///
    /// # Errors
    /// [`LoadError`]; also for an anchor that anybody can write.
    fn define(&mut self, writer: &P256Public) -> Result<(), LoadError> {
        let _ = writer;
        Err(LoadError::Unavailable(io::Error::from(io::ErrorKind::Unsupported)))
    }

    /// Lets `value` into a place that was never written, so that it holds something.
    ///
    /// # Errors
    /// [`LoadError`]; also for an anchor that anybody can write.
    fn prime(&mut self, value: &Hash32, authorisation: &Authorisation) -> Result<(), LoadError> {
        let _ = (value, authorisation);
        Err(LoadError::Unavailable(io::Error::from(io::ErrorKind::Unsupported)))
    }

    /// The anchor's own word for what it holds now, asked for with `purpose`; nobody else can give it.
    ///
    /// # Errors
    /// [`LoadError`]; also for an anchor that has no word of its own.
    fn certify(&mut self, purpose: &Hash32) -> Result<Vec<u8>, LoadError> {
        let _ = purpose;
        Err(LoadError::Unavailable(io::Error::from(io::ErrorKind::Unsupported)))
    }

    /// For an anchor of more than one place.
    fn cosigned(&self) -> Option<Cosigned> {
        None
    }
}
