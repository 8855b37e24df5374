//! The state machine's outside: phases of one boot.

use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{Measurement, UnixSeconds};
use pinseal_protocol::wire::{BatchId, FromEnclave, Halt, Measure, ToEnclave, WIRE_VERSION};

use crate::boot::{Boot, Booted};
use crate::environment::Environment;
use crate::ledger::State;
use crate::passphrase::Passphrase;
use crate::receipt;
use crate::root;
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
/// | waiting | `Create`, `Boot` | halted (after `Created`), booting |
/// | booting | `Headers`, `HeadersEnd` | rolling forward, anchoring |
/// | rolling forward | `Committed` of batch 0 | anchoring |
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
    Booting(Box<Boot>),
    RollingForward(Box<Booted>, ByteVec),
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

    /// True once [`FromEnclave::Halted`] or [`FromEnclave::Created`] was returned: the process ends the connection.
    pub const fn is_halted(&self) -> bool {
        matches!(self.phase, Phase::Halted)
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
                out.push(create(&configuration, time, &passphrase, environment)?);
                Ok(Phase::Halted)
            }
            (
                Phase::Waiting(passphrase),
                ToEnclave::Boot { configuration, sealed_root, checkpoint, frontier, anchored, time },
            ) => {
                let configuration = parse_configuration(&configuration)?;
                let keys = root::unseal(&sealed_root, &configuration, &passphrase, environment)?;
                drop(passphrase);
                let boot = Boot::start(configuration, keys, &checkpoint, frontier, &anchored, time)?;
                Ok(Phase::Booting(Box::new(boot)))
            }
            (Phase::Booting(mut boot), ToEnclave::Headers { headers }) => {
                boot.headers(&headers)?;
                Ok(Phase::Booting(boot))
            }
            (Phase::Booting(boot), ToEnclave::HeadersEnd) => {
                let booted = boot.finish()?;
                match booted.roll_forward.clone() {
                    Some(previous) => {
                        let checkpoint = ByteVec::from(booted.state.note.clone());
                        out.push(FromEnclave::RollForward { previous, checkpoint: checkpoint.clone() });
                        Ok(Phase::RollingForward(Box::new(booted), checkpoint))
                    }
                    None => Ok(self.serve(booted, environment, out)),
                }
            }
            (Phase::RollingForward(booted, asked), ToEnclave::Committed { batch: BatchId(0), receipt }) => {
                if !receipt::vouches(&booted.configuration, &asked, &receipt) {
                    return Err(Stop::new(
                        Halt::Fenced,
                        "the anchor did not take the checkpoint it was to roll forward to",
                    ));
                }
                Ok(self.serve(*booted, environment, out))
            }
            (Phase::Serving(mut serving), event) => {
                serving.step(event, environment, out)?;
                Ok(Phase::Serving(serving))
            }
            _ => Err(Stop::new(Halt::Protocol, "message out of order")),
        }
    }

    fn serve(&self, booted: Booted, environment: &mut dyn Environment, out: &mut Vec<FromEnclave>) -> Phase {
        Phase::Serving(Box::new(Serving::start(booted, self.identity.measurement, environment, out)))
    }
}

fn parse_configuration(encoded: &[u8]) -> Result<Configuration, Stop> {
    let configuration: Configuration =
        cbor::from_slice(encoded).map_err(|error| Stop::new(Halt::ConfigurationInvalid, error.to_string()))?;
    configuration.check().map_err(|error| Stop::new(Halt::ConfigurationInvalid, error.to_string()))?;
    Ok(configuration)
}

fn create(
    configuration: &[u8],
    time: UnixSeconds,
    passphrase: &Passphrase,
    environment: &mut dyn Environment,
) -> Result<FromEnclave, Stop> {
    let configuration = parse_configuration(configuration)?;
    let (sealed_root, keys) = root::create(&configuration, passphrase, environment)?;
    let genesis = State::genesis(&keys, &configuration.deployment, time);
    Ok(FromEnclave::Created { sealed_root: sealed_root.into(), genesis: genesis.note.into(), log: keys.log_public() })
}
