//! Commands to a TPM whose answers are a script.

use std::collections::VecDeque;

use pinseal_protocol::ids::Hash32;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{Authorisation, INDEX_FIRST, Index, P256Signature, TpmNonce};

use super::chip::{Chip, TpmError};
use super::link::Turn;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// What the index holds.
    Read,
    /// To define it.
    Define,
    /// For a session.
    Open,
    /// To let a value in, in the session of these nonce and context.
    Extend,
    /// For its word, with a purpose.
    Certify,
    /// For the key that it attests with.
    Attester,
}

/// What was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Understood {
    /// It was done.
    Done,
    /// What the index holds.
    Held(Option<Hash32>),
    /// A session.
    Session(TpmNonce),
    /// Attestation and signature.
    Word(Vec<u8>, P256Signature),
    /// A key.
    Key(P256Public),
}

/// Asks; every command takes the next of `answers`.
///
/// # Errors
/// [`TpmError`].
pub fn ask(asked: Asked, answers: Vec<Vec<u8>>) -> Result<Understood, TpmError> {
    let mut chip = Chip::new(Turn::scripted(VecDeque::from(answers)));
    let writer = P256Public([4; 65]);
    Ok(match asked {
        Asked::Read => Understood::Held(chip.read(INDEX_FIRST)?),
        Asked::Define => chip.define(&Index::new(INDEX_FIRST, writer)).map(|()| Understood::Done)?,
        Asked::Open => Understood::Session(chip.open()?.nonce),
        Asked::Extend => {
            let session = chip.open()?;
            let authorisation = Authorisation { writer, signature: P256Signature([7; 64]) };
            chip.extend(INDEX_FIRST, &session, &Hash32([3; 32]), &authorisation, &mut false)?;
            Understood::Done
        }
        Asked::Certify => {
            let (attest, signature) = chip.certify(1, INDEX_FIRST, &[5; 32])?;
            Understood::Word(attest, signature)
        }
        Asked::Attester => Understood::Key(chip.attester()?.1),
    })
}
