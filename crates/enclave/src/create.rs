//! Making a deployment: a root, and the checkpoint of its empty log.
//!
//! At L2 the TPM's index has to be defined for a key that follows from the root, and is written for the first time here: the only time that the
//! enclave lets anything into an index that was never written. The root leaves only against the receipt for that.

use minicbor::bytes::ByteVec;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::tpm::TpmNonce;
use pinseal_protocol::wire::{FromEnclave, Halt};

use crate::enclave::{Stop, parse_configuration};
use crate::environment::Environment;
use crate::ledger::{Signer, State};
use crate::passphrase::Passphrase;
use crate::receipt;
use crate::root::{Keys, Root, Tenure};

/// A deployment that is being made.
pub(crate) struct Creating {
    configuration: Configuration,
    keys: Keys,
    sealed_root: Vec<u8>,
    genesis: State,
    /// The one authorisation for an index never written was given.
    is_authorised: bool,
}

impl Creating {
    /// A new root under this configuration, and its genesis.
    pub(crate) fn start(
        configuration: &[u8],
        time: UnixSeconds,
        passphrase: &Passphrase,
        environment: &mut dyn Environment,
    ) -> Result<Self, Stop> {
        let configuration = parse_configuration(configuration)?;
        if configuration.base.is_some() {
            return Err(Stop::new(Halt::ConfigurationInvalid, "a new deployment goes on from nothing"));
        }
        let (root, tenure) = (Root::make(environment), Tenure::begin(&configuration, 0, environment));
        let sealed_root = root.seal(configuration.deployment, &tenure, passphrase, environment)?;
        let keys = root.keys(&configuration, environment)?;
        let signer = Signer { keys: &keys, configuration: &configuration, now: time, ticks: time };
        let genesis = State::genesis(&signer, tenure, environment);
        Ok(Self { configuration, keys, sealed_root, genesis, is_authorised: false })
    }

    /// What the host has to define in its TPM first, if there is one.
    pub(crate) fn needs(&self) -> Option<FromEnclave> {
        self.keys.writer().map(|writer| FromEnclave::Define { writer: *writer.public() })
    }

    /// The index is defined: what lets the genesis into it.
    pub(crate) fn defined(&mut self, nonce: &TpmNonce) -> Result<FromEnclave, Stop> {
        let writer = self.keys.writer().filter(|_| !self.is_authorised);
        let writer = writer.ok_or_else(|| Stop::new(Halt::Protocol, "no index is to be defined"))?;
        let authorisation = writer.authorise(nonce, &self.genesis.checkpoint.hash(), true);
        self.is_authorised = true;
        Ok(FromEnclave::RollForward {
            previous: ByteVec::from(Vec::new()),
            checkpoint: ByteVec::from(self.genesis.note.clone()),
            authorisation: Some(authorisation),
        })
    }

    /// The index holds the genesis, if the receipt shows it.
    pub(crate) fn committed(self, receipt: &[u8]) -> Result<FromEnclave, Stop> {
        if !self.is_authorised || !receipt::vouches(&self.configuration, &self.keys, &self.genesis.note, receipt) {
            return Err(Stop::new(Halt::Fenced, "the TPM does not show that its index took the genesis"));
        }
        Ok(self.finish())
    }

    /// The deployment.
    pub(crate) fn finish(self) -> FromEnclave {
        FromEnclave::Created {
            sealed_root: self.sealed_root.into(),
            genesis: self.genesis.note.into(),
            log: self.keys.log_public(),
        }
    }
}
