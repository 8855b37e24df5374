//! K_tpm: the key that alone lets anything into the TPM's index.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::kdf;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{Authorisation, Index, P256Signature, Tpm, TpmNonce};
use pinseal_protocol::wire::Halt;

use crate::planted;

/// Numbers tried until one is a private key; one in four billion is none.
const CANDIDATES_MAX: u8 = 8;

/// The key, and the index that it writes.
pub(crate) struct Writer {
    pair: EcdsaKeyPair,
    public: P256Public,
    index: Index,
}

impl Writer {
    /// Follows from `key` alone, so that it outlives every boot.
    pub(crate) fn derive(key: &[u8; 32], tpm: &Tpm) -> Result<Self, Halt> {
        let pair = (0..CANDIDATES_MAX).find_map(|candidate| {
            let number = kdf::derive(key, &[], "pinseal tpm candidate v1", &[&[candidate]]);
            let public =
                PrivateKey::from_private_key(&ECDH_P256, number.expose_secret()).ok()?.compute_public_key().ok()?;
            EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                number.expose_secret(),
                public.as_ref(),
            )
            .ok()
        });
        let pair = pair.ok_or(Halt::RootDamaged)?;
        let public = P256Public::of(&pair);
        Ok(Self { pair, public, index: Index::new(tpm.index, public) })
    }

    pub(crate) const fn public(&self) -> &P256Public {
        &self.public
    }

    /// Lets `value` into the index once, in the session of `nonce`. `is_first` is for an index that was never written: for the genesis, once in the
    /// life of a deployment, and for values that were drawn for it and that nothing else follows from. So nothing that is known goes into what
    /// somebody defines anew in the index's place.
    pub(crate) fn authorise(&self, nonce: &TpmNonce, value: &Hash32, is_first: bool) -> Authorisation {
        let message = self.index.to_be_signed(nonce, value, is_first);
        let mut signature = P256Signature([0; 64]);
        let made =
            self.pair.sign(&SystemRandom::new(), planted::to_be_signed(&message)).expect("a P-256 key pair signs");
        signature.0.copy_from_slice(made.as_ref());
        Authorisation { writer: self.public, signature }
    }
}
