//! L2: an NV index of a TPM 2.0 that only the enclave can write.
//!
//! Compare-and-swap is what the value does by itself: a checkpoint names the value it goes in on top of, and what the index holds afterwards follows
//! from both. The index is looked at before anything is let into it, in one turn at the TPM, so that an honest host that comes too late
//! spoils nothing. The enclave judges by what the TPM certifies.

mod chip;
mod link;
#[cfg(feature = "fuzzing")]
pub(crate) mod scripted;

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{Authorisation, Index, NOTHING, P256Signature, Tpm, TpmNonce, join_receipt, join_word};

use crate::{AdvanceError, Anchor, LoadError, Receipt};
use chip::{Chip, Session};
use link::Link;

pub use chip::TpmError;
pub use link::{NoPlace, TpmPlace};

/// The anchor.
#[derive(Debug)]
pub struct TpmAnchor {
    link: Link,
    tpm: Tpm,
    /// Least time between two writes, since an index bears so many of them.
    interval: Duration,
    written: Option<Instant>,
    session: Option<Session>,
    authorisation: Option<Authorisation>,
    /// The attestation key, put aside.
    attester: Option<Vec<u8>>,
}

fn unavailable(error: TpmError) -> LoadError {
    LoadError::Unavailable(io::Error::other(error))
}

/// The public half of the key that the TPM there attests with.
///
/// # Errors
/// [`TpmError`].
pub fn attestation_key(place: TpmPlace) -> Result<P256Public, TpmError> {
    let mut chip = Chip::new(Link::new(place).turn().map_err(TpmError::Unreachable)?);
    let (handle, public) = chip.attester()?;
    chip.flush(handle)?;
    Ok(public)
}

impl TpmAnchor {
    /// The index of the sealed configuration, in the TPM there. Asks nobody yet.
    pub fn new(place: TpmPlace, tpm: Tpm, interval: Duration) -> Self {
        Self::over(Link::new(place), tpm, interval)
    }

    fn over(link: Link, tpm: Tpm, interval: Duration) -> Self {
        Self { link, tpm, interval, written: None, session: None, authorisation: None, attester: None }
    }

    fn chip(&self) -> Result<Chip, TpmError> {
        self.link.turn().map(Chip::new).map_err(TpmError::Unreachable)
    }

    /// Not sooner after the last write than the interval.
    fn wait(&self) {
        if let Some(written) = self.written {
            sleep(self.interval.saturating_sub(written.elapsed()));
        }
    }

    /// The attestation key, ready to sign.
    fn attester(&mut self, chip: &mut Chip) -> Result<u32, TpmError> {
        if let Some(Ok(handle)) = self.attester.as_ref().map(|context| chip.load(context)) {
            return Ok(handle);
        }
        // The first time, or the TPM was reset meanwhile: it makes the same key again.
        let (handle, public) = chip.attester()?;
        if public != self.tpm.attester {
            chip.flush(handle)?;
            return Err(TpmError::Attester);
        }
        self.attester = Some(chip.save(handle)?);
        Ok(handle)
    }

    /// The attestation, and its signature.
    fn certified(&mut self, chip: &mut Chip, purpose: &[u8]) -> Result<(Vec<u8>, P256Signature), TpmError> {
        let handle = self.attester(chip)?;
        let certified = chip.certify(handle, self.tpm.index, purpose);
        chip.flush(handle)?;
        certified
    }

    /// Lets the checkpoint in; `sent` tells whether it may be in.
    fn extend(&mut self, chip: &mut Chip, value: &Hash32, sent: &mut bool) -> Result<(), TpmError> {
        let (Some(session), Some(authorisation)) = (self.session.take(), self.authorisation.take()) else {
            return Err(TpmError::Unauthorised);
        };
        chip.extend(self.tpm.index, &session, value, &authorisation, sent)?;
        self.written = Some(Instant::now());
        Ok(())
    }
}

/// What the index holds once it has taken a checkpoint; what it holds may also be given as such.
fn value_after(taken: &[u8]) -> Option<Hash32> {
    if taken.is_empty() {
        return Some(NOTHING);
    }
    Hash32::from_slice(taken).or_else(|| Checkpoint::read_unverified(taken).ok()?.held_after())
}

impl Anchor for TpmAnchor {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L2
    }

    fn load(&self) -> Result<Option<Vec<u8>>, LoadError> {
        let held = self.chip().and_then(|mut chip| chip.read(self.tpm.index)).map_err(unavailable)?;
        Ok(held.map(|held| held.0.to_vec()))
    }

    /// `previous` is a checkpoint, or what the index holds; `next` names that, too.
    fn advance(&mut self, previous: &[u8], next: &[u8]) -> Result<Receipt, AdvanceError> {
        let damaged = || AdvanceError::Unavailable(LoadError::Damaged);
        let checkpoint = Checkpoint::read_unverified(next).map_err(|_| damaged())?;
        let (before, after) = checkpoint.tpm.zip(checkpoint.held_after()).ok_or_else(damaged)?;
        let failed = |error| AdvanceError::Unavailable(unavailable(error));
        let unknown = |error| AdvanceError::Unknown(io::Error::other(error));
        self.wait();
        let mut chip = self.chip().map_err(failed)?;
        let held = chip.read(self.tpm.index).map_err(failed)?.unwrap_or(NOTHING);
        if held != after {
            if held != before || value_after(previous) != Some(held) {
                let holds = if held == NOTHING { Vec::new() } else { held.0.to_vec() };
                return Err(AdvanceError::Lost { holds });
            }
            let mut sent = false;
            self.extend(&mut chip, &checkpoint.hash(), &mut sent).map_err(|error| {
                if sent && matches!(error, TpmError::Unreachable(_) | TpmError::Malformed(_)) {
                    unknown(error)
                } else {
                    failed(error)
                }
            })?;
        }
        let (attest, signature) = self.certified(&mut chip, &[]).map_err(unknown)?;
        Ok(Receipt(join_receipt(next, &attest, &signature)))
    }

    fn nonce(&mut self) -> Result<Option<TpmNonce>, LoadError> {
        if self.session.is_none() {
            self.session = Some(self.chip().and_then(|mut chip| chip.open()).map_err(unavailable)?);
        }
        Ok(self.session.as_ref().map(|session| session.nonce))
    }

    fn authorise(&mut self, authorisation: Option<Authorisation>) {
        self.authorisation = authorisation;
    }

    fn define(&mut self, writer: &P256Public) -> Result<(), LoadError> {
        let index = Index::new(self.tpm.index, *writer);
        self.chip().and_then(|mut chip| chip.define(&index)).map_err(unavailable)
    }

    fn prime(&mut self, value: &Hash32, authorisation: &Authorisation) -> Result<(), LoadError> {
        self.authorisation = Some(*authorisation);
        let mut chip = self.chip().map_err(unavailable)?;
        self.extend(&mut chip, value, &mut false).map_err(unavailable)
    }

    fn certify(&mut self, purpose: &Hash32) -> Result<Vec<u8>, LoadError> {
        let mut chip = self.chip().map_err(unavailable)?;
        let (attest, signature) = self.certified(&mut chip, &purpose.0).map_err(unavailable)?;
        Ok(join_word(&attest, &signature))
    }
}

impl Drop for TpmAnchor {
    fn drop(&mut self) {
        // What a TPM keeps for a session that nobody ends is found by whoever runs out of them.
        if let Some(session) = self.session.take()
            && let Ok(mut chip) = self.chip()
        {
            let _ = chip.close(&session);
        }
    }
}

#[cfg(test)]
mod tests;
