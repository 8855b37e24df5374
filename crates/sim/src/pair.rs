//! Two enclaves on one TPM that were handed one session, and what the TPM answered the one brought to the other.

use core::fmt;
use std::sync::Arc;

use pinseal_fuzzing::harness::host::Disk;
use pinseal_protocol::wire::ToEnclave;

use crate::anchor::{Advance, Weather};
use crate::violation::Violation;
use crate::world::{INSTANCES, World};

/// What the enclave that comes second is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// The first one's receipt, as it is.
    Theirs,
    /// Its own note, and what the TPM certified for the first.
    Certified,
    /// Its own is let in on top of the first one's, where the session allows it, and the TPM certifies that.
    OnTop,
}

impl fmt::Display for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Theirs => "the very receipt of the first",
            Self::Certified => "what the TPM certified for the first",
            Self::OnTop => "what the TPM certifies once its own was tried, too",
        })
    }
}

impl World {
    /// Both have something to let in under one session; the first one's goes in, and the other is brought an answer. Without effect where there is
    /// no TPM.
    pub(crate) fn pair(&mut self, first: usize, who: usize, brought: Brought) -> Result<(), Violation> {
        let Some(seat) = self.tenures[self.current].shape.seat() else { return Ok(()) };
        let Some(image) = self.newest_image() else { return Ok(()) };
        let second = (first + 1) % INSTANCES;
        self.tpms[seat.chip].share();
        for at in [first, second] {
            self.have_something(at, &image, who)?;
        }
        // Stored and let in, and not told yet.
        self.carry_on(first, Weather::Fine)?;
        self.carry_on(first, Weather::Fine)?;
        let said = self.instances[first].as_deref().and_then(|instance| instance.flight.as_ref()?.said.clone());
        let Some(Advance::Receipt(receipt)) = said else { return Ok(()) };
        self.carry_on(second, Weather::Fine)?;
        self.bring(second, brought, &receipt)?;
        for at in [first, second] {
            self.finish(at)?;
        }
        Ok(())
    }

    /// One that serves is given a wrong PIN, and any other is started as far as its entry.
    fn have_something(&mut self, at: usize, image: &Arc<Disk>, who: usize) -> Result<(), Violation> {
        if self.instance(at).is_some_and(|instance| instance.is_honest() || instance.changing.is_some()) {
            self.kill(at);
        }
        if self.instance(at).is_some_and(|instance| instance.flight.is_some()) {
            return Ok(());
        }
        if self.instance(at).is_some_and(|instance| instance.manifest.is_some()) {
            let plan = self.wrong(at, who);
            return self.ask(at, plan);
        }
        self.boot_until(at, Arc::clone(image), self.current, (false, true), Weather::Fine, 0)
    }

    fn bring(&mut self, at: usize, brought: Brought, theirs: &[u8]) -> Result<(), Violation> {
        let Some(instance) = self.instances[at].as_deref() else { return Ok(()) };
        let (Some(flight), place) = (&instance.flight, instance.place) else { return Ok(()) };
        let (batch, note) = (flight.batch.batch, flight.batch.checkpoint.to_vec());
        let receipt = match brought {
            Brought::Theirs => theirs.to_vec(),
            Brought::Certified => self.places[place].forge(&note, &note, LAST),
            Brought::OnTop => {
                if self.tpms.iter().any(|tpm| tpm.let_in(&note)) {
                    self.say(|| "the index takes both".to_owned());
                }
                self.places[place].forge(&note, &note, NOW)
            }
        };
        let nonce = self.nonce(at);
        self.send(at, ToEnclave::Committed { batch, receipt: receipt.into(), nonce })?;
        self.bury(at);
        Ok(())
    }
}

/// Of what a TPM's owner brings: what it certifies now.
const NOW: usize = 2;
/// ... what it certified last.
const LAST: usize = 3;
