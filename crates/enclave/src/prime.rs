//! Writing another TPM's index for the first time, ahead of an order that names what it holds then.
//!
//! An index that was never written is one that anybody can define anew, so nothing may go on from it. What is let in here was drawn for it: no
//! checkpoint there is, and no configuration in force, follows from what the index holds then. It becomes a beginning by the operators' order alone.

use pinseal_protocol::ids::Hash32;
use pinseal_protocol::kdf;
use pinseal_protocol::tpm::{Tpm, TpmNonce};
use pinseal_protocol::wire::{FromEnclave, Halt};

use crate::enclave::{Stop, parse_configuration};
use crate::environment::{Environment, random};
use crate::passphrase::Passphrase;
use crate::planted;
use crate::root::Root;
use crate::writer::Writer;

/// An index that waits to be defined.
pub(crate) struct Priming(Writer);

impl Priming {
    /// Under the root, since its key is the one that writes.
    pub(crate) fn start(
        configuration: &[u8],
        sealed_root: &[u8],
        tpm: &Tpm,
        passphrase: &Passphrase,
        environment: &mut dyn Environment,
    ) -> Result<Self, Stop> {
        if !tpm.is_well_formed() {
            return Err(Stop::new(Halt::Protocol, "no TPM with an index left to owners"));
        }
        let configuration = parse_configuration(configuration)?;
        let (root, _) = Root::unseal(sealed_root, &configuration, passphrase, environment)?;
        let keys = root.keys(&configuration, environment)?;
        Ok(Self(keys.writer_of(tpm)?))
    }

    /// What the host has to define.
    pub(crate) fn needs(&self) -> FromEnclave {
        FromEnclave::Define { writer: *self.0.public() }
    }

    /// The index is defined: what goes into it, and what lets it in.
    pub(crate) fn defined(self, nonce: &TpmNonce, environment: &mut dyn Environment) -> FromEnclave {
        // Hashed under a label of its own: no checkpoint's hash is one of these, whatever was drawn.
        let drawn: [u8; 32] = random(environment);
        let value: Hash32 = planted::primed(drawn, |drawn| kdf::hash("pinseal tpm prime v1", &[drawn]));
        FromEnclave::Primed { value, authorisation: self.0.authorise(nonce, &value, true) }
    }
}
