//! The state machine's outside: phases of one boot.

use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::ids::Measurement;
use pinseal_protocol::wire::{BatchId, Change, FromEnclave, Halt, Measure, ToEnclave, WIRE_VERSION};

use crate::boot::{Boot, Booted, Holds};
use crate::change::{Changing, Present, Succession};
use crate::create::Creating;
use crate::environment::Environment;
use crate::passphrase::Passphrase;
use crate::planted::{self, Defect};
use crate::prime::Priming;
use crate::receipt;
use crate::root::Root;
use crate::serving::Serving;

/// What the process knows of itself.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Hash of the image.
    pub measurement: Measurement,
    /// Release name.
    pub release: String,
    /// Hardening measures, probed.
    pub hardening: Vec<Measure>,
}

/// One boot of the enclave.
///
/// | phase | accepts | leads to |
/// |---|---|---|
/// | waiting | `Create`, `Boot`, `Prime` | halted (after `Created`), creating, booting, priming |
/// | priming (another TPM's index) | `Defined` | halted (after `Primed`) |
/// | creating (at L2) | `Defined`, then `Committed` of batch 0 | halted (after `Created`) |
/// | booting | `Headers`, `HeadersEnd` | rolling forward, anchoring, changing |
/// | rolling forward | `Committed` of batch 0 | anchoring, changing, halted (after `Changed`) |
/// | changing (the entry of a new configuration) | `Committed` of batch 1 | halted (after `Changed`) |
/// | anchoring (the BOOT entry) | `Committed` of batch 1 | serving |
/// | serving | `Begin`, `Sealed`, `Evidence`, `Committed`, `Aborted` | serving |
/// | halted | nothing | |
///
/// Anything else in a phase halts it: the host does not keep to the conversation.
pub struct Enclave {
    identity: Identity,
    phase: Phase,
}

enum Phase {
    Waiting(Passphrase),
    Creating(Box<Creating>),
    Priming(Box<Priming>),
    Booting(Box<Boot>, Option<Box<Succession>>),
    RollingForward(Box<Booted>, ByteVec, Option<Box<Succession>>),
    Changing(Box<Changing>),
    Serving(Box<Serving>),
    Halted,
}

/// Why the phase ended, for the operator.
pub(crate) struct Stop {
    pub(crate) halt: Halt,
    pub(crate) detail: String,
}

impl Stop {
    pub(crate) fn new(halt: Halt, detail: impl Into<String>) -> Self {
        Self { halt, detail: detail.into() }
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::new(halt, "")
    }
}

impl core::fmt::Debug for Enclave {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Enclave").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Enclave {
    /// An enclave that waits for `Create` or `Boot`.
    pub const fn new(passphrase: Passphrase, identity: Identity) -> Self {
        Self { identity, phase: Phase::Waiting(passphrase) }
    }

    /// The first frame of every connection.
    pub fn hello(&self) -> FromEnclave {
        FromEnclave::Hello {
            version: WIRE_VERSION,
            measurement: self.identity.measurement,
            release: self.identity.release.clone(),
            hardening: self.identity.hardening.clone(),
        }
    }

    /// True once [`FromEnclave::Halted`], [`FromEnclave::Created`], [`FromEnclave::Primed`] or [`FromEnclave::Changed`] was returned: the process
    /// ends the connection.
    pub const fn is_halted(&self) -> bool {
        matches!(self.phase, Phase::Halted)
    }

    /// True if PINs are tested on the host's word alone: it serves, at a level whose receipt the host makes itself. Whoever starts enclaves again and
    /// again bounds the number of those, and of no others.
    pub const fn rests_on_host(&self) -> bool {
        match &self.phase {
            Phase::Serving(serving) => serving.rests_on_host(),
            _ => false,
        }
    }

    /// Takes one message and returns what it causes, in order.
    pub fn step(&mut self, event: ToEnclave, environment: &mut dyn Environment) -> Vec<FromEnclave> {
        let mut out = Vec::new();
        match self.advance(event, environment, &mut out) {
            Ok(phase) => self.phase = phase,
            Err(stop) => {
                self.phase = Phase::Halted;
                out.push(FromEnclave::Halted { halt: stop.halt, detail: stop.detail });
            }
        }
        out
    }

    fn advance(
        &mut self,
        event: ToEnclave,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Result<Phase, Stop> {
        match (core::mem::replace(&mut self.phase, Phase::Halted), event) {
            (Phase::Waiting(passphrase), ToEnclave::Create { configuration, time }) => {
                let creating = Creating::start(&configuration, time, &passphrase, environment)?;
                Ok(if let Some(needed) = creating.needs() {
                    out.push(needed);
                    Phase::Creating(Box::new(creating))
                } else {
                    out.push(creating.finish());
                    Phase::Halted
                })
            }
            (Phase::Creating(mut creating), ToEnclave::Defined { nonce }) => {
                out.push(creating.defined(&nonce)?);
                Ok(Phase::Creating(creating))
            }
            (Phase::Creating(creating), ToEnclave::Committed { batch: BatchId(0), receipt, .. }) => {
                out.push(creating.committed(&receipt)?);
                Ok(Phase::Halted)
            }
            (Phase::Waiting(passphrase), ToEnclave::Prime { configuration, sealed_root, tpm }) => {
                let priming = Priming::start(&configuration, &sealed_root, &tpm, &passphrase, environment)?;
                out.push(priming.needs());
                Ok(Phase::Priming(Box::new(priming)))
            }
            (Phase::Priming(priming), ToEnclave::Defined { nonce }) => {
                out.push(priming.defined(&nonce, environment));
                Ok(Phase::Halted)
            }
            (Phase::Waiting(passphrase), event @ ToEnclave::Boot { .. }) => start(event, &passphrase, environment),
            (Phase::Booting(mut boot, succession), ToEnclave::Headers { headers }) => {
                boot.headers(&headers)?;
                Ok(Phase::Booting(boot, succession))
            }
            (Phase::Booting(boot, succession), ToEnclave::HeadersEnd) => {
                let booted = boot.finish()?;
                let checkpoint = ByteVec::from(booted.state.note.clone());
                let is_logged = succession.as_ref().is_some_and(|succession| succession.logged().is_some());
                let is_logged = is_logged && !planted::is(Defect::FinishedWithoutReceipt);
                // The receipt for a change that is in the log is what its root is given out for, even where the anchor holds it.
                match booted.roll_forward.clone().or_else(|| is_logged.then(|| checkpoint.clone())) {
                    Some(previous) => {
                        let authorisation = booted.authorise_roll_forward();
                        out.push(FromEnclave::RollForward { previous, checkpoint: checkpoint.clone(), authorisation });
                        Ok(Phase::RollingForward(Box::new(booted), checkpoint, succession))
                    }
                    None => Ok(self.go_on(booted, succession, environment, out)),
                }
            }
            (
                Phase::RollingForward(mut booted, asked, succession),
                ToEnclave::Committed { batch: BatchId(0), receipt, nonce },
            ) => {
                let judge =
                    succession.as_ref().map_or(&booted.configuration, |change| change.judge(&booted.configuration));
                if !receipt::vouches(judge, &booted.keys, &asked, &receipt) {
                    return Err(Stop::new(
                        Halt::Fenced,
                        "the anchor did not take the checkpoint it was to roll forward to",
                    ));
                }
                booted.nonce = receipt::session(&booted.keys, nonce)?;
                Ok(self.go_on(*booted, succession, environment, out))
            }
            (Phase::Changing(changing), ToEnclave::Committed { batch, receipt, .. }) => {
                out.push(changing.committed(batch, &receipt)?);
                Ok(Phase::Halted)
            }
            (Phase::Changing(_), ToEnclave::Aborted { .. }) => {
                Err(Stop::new(Halt::Protocol, "the entry with the change could not be stored"))
            }
            (Phase::Serving(mut serving), event) => {
                serving.step(event, environment, out)?;
                Ok(Phase::Serving(serving))
            }
            _ => Err(Stop::new(Halt::Protocol, "message out of order")),
        }
    }

    /// The state added up and is anchored.
    fn go_on(
        &self,
        booted: Booted,
        succession: Option<Box<Succession>>,
        environment: &mut dyn Environment,
        out: &mut Vec<FromEnclave>,
    ) -> Phase {
        match succession {
            None => Phase::Serving(Box::new(Serving::start(booted, self.identity.measurement, environment, out))),
            Some(succession) if succession.logged().is_some() => {
                out.push(succession.finish());
                Phase::Halted
            }
            Some(succession) => Phase::Changing(Box::new(Changing::start(booted, *succession, environment, out))),
        }
    }
}

/// Opens the root and checks what came with it; the passphrase ends here.
fn start(event: ToEnclave, passphrase: &Passphrase, environment: &mut dyn Environment) -> Result<Phase, Stop> {
    let ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, anchored, time, change, nonce } = event
    else {
        return Err(Stop::new(Halt::Protocol, "message out of order"));
    };
    let configuration = parse_configuration(&configuration)?;
    let (root, tenure) = Root::unseal(&sealed_root, &configuration, passphrase, environment)?;
    let present = Present {
        configuration: &configuration,
        sealed_root: &sealed_root,
        note: &checkpoint,
        restores: tenure.restores,
    };
    let keys = root.keys(&configuration, environment)?;
    let admit = |change: &Change| Succession::admit(change, &present, (&root, &keys), passphrase, environment);
    let succession = change.as_ref().map(admit).transpose()?;
    let tenure = succession.as_ref().and_then(Succession::logged).unwrap_or(tenure);
    // A restore is anchored where the new configuration says, from its entry on.
    let next = succession.as_ref().and_then(Succession::restored_under);
    let (index, keys) = match next {
        Some(next) => ((next.anchor, next.base), keys.writing_to(next.tpm.as_ref())?),
        None => ((configuration.anchor, configuration.base), keys),
    };
    let holds = match &succession {
        // What a restore is there to set aside is what the anchor holds; where its entry is in the log, a TPM has taken that or waits for it.
        Some(restore) if restore.is_restore() && (restore.logged().is_none() || index.0 != AnchorLevel::L2) => None,
        _ => Some(anchored.as_slice()),
    };
    let anchor = Holds { level: index.0, base: index.1, anchored: holds };
    let boot = Boot::start(configuration, keys, tenure, (&checkpoint, frontier), &anchor, nonce, time)?;
    Ok(Phase::Booting(Box::new(boot), succession.map(Box::new)))
}

pub(crate) fn parse_configuration(encoded: &[u8]) -> Result<Configuration, Stop> {
    let configuration: Configuration =
        cbor::from_slice(encoded).map_err(|error| Stop::new(Halt::ConfigurationInvalid, error.to_string()))?;
    configuration.check().map_err(|error| Stop::new(Halt::ConfigurationInvalid, error.to_string()))?;
    Ok(configuration)
}
