//! Changing the configuration that the root is sealed with.
//!
//! The change is one log entry. Its checkpoint is the first of a new tenure and is anchored where the old configuration says; the root
//! sealed for that tenure leaves only against that receipt. So
//!
//! - under the old root nothing boots any more: no checkpoint of its tenure continues what its anchor holds;
//! - under the new root boots only what continues this very checkpoint, and so everything ever anchored before: a change that was begun
//!   on an older state gets no receipt, and its checkpoint is of a tenure that no root was ever given out for;
//! - a crash in between leaves either the old state, or one that [`ChangeStage::Logged`] finishes with the same tenure.
//!
//! A restore is a change, too, with or without another configuration: an older state becomes the state again, whatever the anchor holds, because
//! the operators say so. It begins a log of its own, anchored where the *new* configuration says, and every wallet in it is closed to PINs until
//! an enrolled device accepts it (`Record::is_open`).

use minicbor::bytes::ByteVec;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{Configuration, SuccessionError};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::limits::{RESTORES_MAX, RESTORES_STEP_MAX};
use pinseal_protocol::log::Entry;
use pinseal_protocol::order::{ORDER_COST, Order, Ordered};
use pinseal_protocol::wire::{BatchId, Change, ChangeStage, FromEnclave, Halt};

use crate::boot::Booted;
use crate::enclave::{Stop, parse_configuration};
use crate::environment::Environment;
use crate::ledger::{Content, Ledger, Settled, Signer, Write};
use crate::passphrase::Passphrase;
use crate::planted::{self, Defect};
use crate::receipt;
use crate::root::{Keys, Root, Tenure};
use crate::serving::BOOT_CALL;

/// A change the operators ordered, ready to be carried out.
pub(crate) struct Succession {
    tenure: Tenure,
    /// The root, sealed for that tenure. Does not leave before the change is anchored.
    sealed_root: Vec<u8>,
    previous: Hash32,
    order: Hash32,
    is_logged: bool,
    /// Enrolment goes on from here.
    resumes: bool,
    /// The configuration whose anchor vouches for a restore: the new one. What the old one's holds is what a restore sets aside.
    restored_under: Option<Configuration>,
}

/// What a change is admitted against: the boot it came with.
pub(crate) struct Present<'b> {
    pub(crate) configuration: &'b Configuration,
    pub(crate) sealed_root: &'b [u8],
    /// The newest checkpoint in the database.
    pub(crate) note: &'b [u8],
    /// Restores so far, as the root is sealed with.
    pub(crate) restores: u32,
}

fn refused(detail: impl Into<String>) -> Stop {
    Stop::new(Halt::OrderRefused, detail)
}

impl Succession {
    /// Checks order, configuration and the new anchor, and seals the root for the new tenure.
    pub(crate) fn admit(
        change: &Change,
        present: &Present<'_>,
        (root, keys): (&Root, &Keys),
        passphrase: &Passphrase,
        environment: &mut dyn Environment,
    ) -> Result<Self, Stop> {
        let next = parse_configuration(&change.configuration)?;
        let stretched = environment.stretch(passphrase, &change.order.salt.0, &ORDER_COST);
        let stretched = stretched.ok_or_else(|| refused("the order's key cannot be derived"))?;
        let ordered = Ordered {
            sealed_root: present.sealed_root,
            previous: present.configuration,
            next: &next,
            checkpoint: followed(change, present)?,
        };
        let verified = change.order.verify(&stretched, &ordered);
        let taken = |error| planted::order(&change.order, error, &ordered).ok_or_else(|| refused(error.to_string()));
        let order: Order = verified.or_else(taken)?;
        match present.configuration.check_succession(&next) {
            // An older state may be put back, and enrolment go on, under the configuration there is.
            Err(SuccessionError::Same) if order.restores.is_some() || order.resumes => {}
            // An index that is kept has gone on since the state that is restored.
            Err(SuccessionError::Base) if order.restores.is_some() => {}
            checked => checked.map_err(|error| refused(error.to_string()))?,
        }
        if order.resumes && order.restores.is_some() {
            return Err(refused("enrolment is not resumed together with a restore: look at the restored state first"));
        }
        let restores = restores(&order, present)?;
        let (tenure, is_logged) = match &change.stage {
            ChangeStage::Ordered { receipt } => {
                shown(&next, present, keys, &order, receipt)?;
                let begun = Tenure::begin(&next, restores, environment);
                (Tenure { term: planted::term(begun.term, &order.hash()), ..begun }, false)
            }
            ChangeStage::Logged { term } => (Tenure { term: *term, configuration: next.hash(), restores }, true),
        };
        let sealed_root = root.seal(next.deployment, &tenure, passphrase, environment)?;
        let judged_by_next = order.restores.is_some() || planted::is(Defect::ChangeJudgedByNewAnchor);
        let (previous, restored_under) = (present.configuration.hash(), judged_by_next.then_some(next));
        let resumes = order.resumes || planted::is(Defect::BreakerResumesUnordered);
        Ok(Self { tenure, sealed_root, previous, order: order.hash(), is_logged, resumes, restored_under })
    }

    /// The new configuration, if an older state becomes the state again under it.
    pub(crate) const fn restored_under(&self) -> Option<&Configuration> {
        self.restored_under.as_ref()
    }

    /// True if an older state becomes the state again.
    pub(crate) const fn is_restore(&self) -> bool {
        self.restored_under.is_some()
    }

    /// The configuration whose anchor vouches for what this change writes.
    pub(crate) fn judge<'c>(&'c self, present: &'c Configuration) -> &'c Configuration {
        self.restored_under.as_ref().unwrap_or(present)
    }

    /// Whose the newest checkpoint in the database is, if that has the change already.
    pub(crate) fn logged(&self) -> Option<Tenure> {
        self.is_logged.then_some(self.tenure)
    }

    /// The change is anchored: its root may leave.
    pub(crate) fn finish(self) -> FromEnclave {
        FromEnclave::Changed { sealed_root: ByteVec::from(self.sealed_root) }
    }
}

/// Checks that the new anchor shows what it must before anything is written: that it holds this state, or, where the deployment is to go on from
/// what a TPM's index holds, that the index still held that when the order had been given. What the index takes on top of it, its receipt will
/// say; this is so that nothing is begun that leads nowhere.
fn shown(next: &Configuration, present: &Present<'_>, keys: &Keys, order: &Order, receipt: &[u8]) -> Result<(), Stop> {
    let begins = next.tpm.filter(|tpm| order.restores.is_some() || present.configuration.tpm != Some(*tpm));
    if let Some(tpm) = begins {
        let base = next.base.ok_or_else(|| {
            refused("the order does not say what the TPM's index holds: nothing goes on from an index that anybody could define anew")
        })?;
        let (writer, purpose) = (keys.writer_of(&tpm)?, order.hash());
        let said = tpm.says(writer.public(), &purpose, receipt);
        let said = said.or_else(|error| planted::word(&tpm, writer.public(), &purpose, receipt).ok_or(error));
        return match said {
            Ok(held) if held == base || planted::is(Defect::BaseNotCompared) => Ok(()),
            Ok(_) => Err(refused(
                "the TPM's index does not hold any more what the order says: something went on in it, or the order was carried out. Look what, and order again",
            )),
            Err(error) => Err(refused(format!("the TPM does not certify what its index holds: {error}"))),
        };
    }
    let is_shown = order.restores.is_some()
        || next == present.configuration
        || receipt::vouches(next, keys, present.note, receipt)
        || planted::is(Defect::NewAnchorNotShown);
    if is_shown {
        return Ok(());
    }
    Err(refused(
        "the new anchor does not show that it holds this state: nothing would start under the new configuration",
    ))
}

/// The checkpoint that the change follows: the newest one, or, where the newest has the change already, the one before.
fn followed(change: &Change, present: &Present<'_>) -> Result<Hash32, Stop> {
    let newest = Checkpoint::read_unverified(present.note);
    let newest = newest.map_err(|error| Stop::new(Halt::CheckpointInvalid, format!("database: {error}")))?;
    Ok(match change.stage {
        ChangeStage::Ordered { .. } => newest.hash(),
        ChangeStage::Logged { .. } => newest.previous,
    })
}

/// How many restores there are after the change.
fn restores(order: &Order, present: &Present<'_>) -> Result<u32, Stop> {
    match order.restores {
        None => Ok(present.restores),
        Some(wanted)
            if wanted > present.restores
                && wanted - present.restores <= RESTORES_STEP_MAX
                && wanted <= RESTORES_MAX
                || planted::is(Defect::RestoreNumberNotCompared) =>
        {
            Ok(wanted)
        }
        Some(wanted) => {
            let known = present.restores;
            Err(refused(format!(
                "the order is for restore {wanted}, and there were {known}: the number is not a next one"
            )))
        }
    }
}

/// A change whose entry waits for its receipt.
pub(crate) struct Changing {
    /// The configuration that was in force, whose anchor decides unless this is a restore.
    configuration: Configuration,
    keys: Keys,
    ledger: Ledger,
    succession: Succession,
}

impl Changing {
    /// Asks for the entry to be stored and anchored.
    pub(crate) fn start(
        booted: Booted,
        succession: Succession,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Self {
        let Booted { configuration, keys, wallets, state, nonce, now, ticks, roll_forward: _ } = booted;
        let mut ledger = Ledger::new(wallets, state, nonce);
        ledger.succeed(succession.tenure, succession.resumes);
        let entry = Entry::Configured {
            term: succession.tenure.term,
            configuration: succession.tenure.configuration,
            previous: succession.previous,
            order: succession.order,
            time: now,
            restores: succession.tenure.restores,
            resumed: succession.resumes,
        };
        ledger.enqueue(Write { call: BOOT_CALL, content: Content::Event(entry) });
        let signer = Signer { keys: &keys, configuration: &configuration, now, ticks };
        out.extend(ledger.next_batch(&signer, environment).map(FromEnclave::Commit));
        if planted::is(Defect::RootBeforeReceipt) {
            out.push(FromEnclave::Changed { sealed_root: ByteVec::from(succession.sealed_root.clone()) });
        }
        Self { configuration, keys, ledger, succession }
    }

    /// The old anchor holds the entry, if the receipt shows it.
    pub(crate) fn committed(mut self, batch: BatchId, receipt: &[u8]) -> Result<FromEnclave, Stop> {
        let judge = self.succession.judge(&self.configuration);
        match self.ledger.commit(batch, receipt, judge, &self.keys) {
            Settled::Done(_) => Ok(self.succession.finish()),
            Settled::Unexpected => Err(Stop::new(Halt::Protocol, "receipt for no batch in flight")),
            Settled::Fenced => Err(Stop::new(
                Halt::Fenced,
                "the anchor's receipt is not for the checkpoint that has the change: another instance has taken over",
            )),
        }
    }
}
