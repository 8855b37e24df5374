//! What follows from a deployment's root, written a second time: with it the harness forges states that the enclave believes, and
//! finds out when a derivation changes.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::ids::{Hash32, UserIdHash, Version};
use pinseal_protocol::kdf;
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::wire::Header;
use zeroize::Zeroizing;

/// A root in clear, and the tenure it is sealed for.
pub(crate) struct Root {
    pub(crate) root: [u8; 32],
    pub(crate) term: [u8; 32],
    /// H(configuration).
    pub(crate) configuration: Hash32,
}

/// The fields of a sealed record, as the host keeps it.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub(crate) struct Outer {
    #[n(0)]
    pub(crate) format: u8,
    #[n(1)]
    pub(crate) epoch: u32,
    #[n(2)]
    pub(crate) version: Version,
    #[n(3)]
    pub(crate) random: Hash32,
    #[n(4)]
    pub(crate) previous: Hash32,
    #[n(5)]
    pub(crate) policy: Hash32,
    #[n(6)]
    pub(crate) ciphertext: minicbor::bytes::ByteVec,
}

impl Outer {
    fn info(&self, wallet: &UserIdHash) -> [u8; 32] {
        kdf::hash("pinseal outer key v1", &[&wallet.0, &self.version.0.to_be_bytes()]).0
    }

    fn aad(&self, wallet: &UserIdHash) -> [u8; 32] {
        let parts: [&[u8]; 5] =
            [&wallet.0, &self.version.0.to_be_bytes(), &self.epoch.to_be_bytes(), &self.previous.0, &self.policy.0];
        kdf::hash("pinseal outer aad v1", &parts).0
    }
}

impl Root {
    fn derive(&self, label: &str) -> SecretBytes<32> {
        kdf::derive(&self.root, &[], label, &[])
    }

    fn log(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(self.derive("pinseal log key v1").expose_secret())
            .expect("32 bytes are a seed")
    }

    /// Public half of K_log.
    pub(crate) fn log_public(&self) -> Ed25519Public {
        Ed25519Public::from_slice(self.log().public_key().as_ref()).expect("the key has 32 bytes")
    }

    /// Ed25519 under K_log.
    pub(crate) fn sign_log(&self, message: &[u8]) -> [u8; 64] {
        self.log().sign(message).as_ref().try_into().expect("the signature has 64 bytes")
    }

    fn record_key(&self, outer: &Outer) -> SealingKey {
        let base = self.derive("pinseal record key v1");
        let epoch = kdf::derive(base.expose_secret(), &[], "pinseal record epoch v1", &[&outer.epoch.to_be_bytes()]);
        SealingKey::new(kdf::derive(epoch.expose_secret(), &outer.random.0, "pinseal outer v1", &[]))
    }

    /// The padded plaintext of a sealed record.
    pub(crate) fn open_record(&self, wallet: &UserIdHash, outer: &Outer) -> Option<Zeroizing<Vec<u8>>> {
        self.record_key(outer).open(&outer.info(wallet), &outer.aad(wallet), &outer.ciphertext).ok()
    }

    /// Seals `plain` in place of the record's own plaintext.
    pub(crate) fn seal_record(&self, wallet: &UserIdHash, outer: &mut Outer, plain: &[u8]) {
        outer.ciphertext = self.record_key(outer).seal(&outer.info(wallet), &outer.aad(wallet), plain).into();
    }

    /// A checkpoint whose state commits to exactly these headers.
    pub(crate) fn commit(&self, mut checkpoint: Checkpoint, headers: &[Header]) -> Checkpoint {
        let key = self.derive("pinseal multiset key v1");
        let mut sum = [0_u64; 8];
        for header in headers {
            let parts: [&[u8]; 3] = [&header.wallet.0, &header.version.0.to_be_bytes(), &header.outer.0];
            let term = kdf::mac_512(key.expose_secret(), "pinseal multiset v1", &parts);
            let mut carry = 0_u128;
            for (limb, bytes) in sum.iter_mut().zip(term.chunks_exact(8)) {
                let term = u64::from_le_bytes(bytes.try_into().expect("a limb has eight bytes"));
                let wide = u128::from(*limb) + u128::from(term) + carry;
                *limb = wide as u64;
                carry = wide >> 64;
            }
        }
        let sum: Vec<u8> = sum.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        let parts: [&[u8]; 10] = [
            &sum,
            &(headers.len() as u64).to_be_bytes(),
            &checkpoint.size.to_be_bytes(),
            &checkpoint.root.0,
            &checkpoint.sequence.0.to_be_bytes(),
            &checkpoint.previous.0,
            &checkpoint.time.0.to_be_bytes(),
            &self.term,
            &self.configuration.0,
            &checkpoint.restores.to_be_bytes(),
        ];
        let outer = self.derive("pinseal multiset outer key v1");
        checkpoint.state = Hash32(kdf::mac(outer.expose_secret(), "pinseal state v1", &parts));
        checkpoint
    }

    /// The signed note of a checkpoint.
    pub(crate) fn note(&self, checkpoint: &Checkpoint) -> Vec<u8> {
        checkpoint.to_note(&self.log_public(), |text| self.sign_log(text))
    }
}

/// H(outer).
pub(crate) fn outer_hash(outer: &[u8]) -> Hash32 {
    kdf::hash("pinseal outer hash v1", &[outer])
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::cbor;

    use super::*;
    use crate::harness::base::BASE;

    #[test]
    fn the_second_derivation_opens_seals_and_vouches_as_the_enclave_does() {
        let (_, real) = &BASE.peopled.records[&BASE.ada];
        let mut outer: Outer = cbor::from_slice(real).unwrap();
        let plain = BASE.root.open_record(&BASE.ada, &outer).unwrap();
        assert_eq!(plain.len(), pinseal_enclave::RECORD_BYTES);
        BASE.root.seal_record(&BASE.ada, &mut outer, &plain);
        assert_eq!(cbor::to_vec(&outer), *real);
        let checkpoint = BASE.peopled.checkpoint();
        assert_eq!(BASE.root.commit(checkpoint, &BASE.peopled.headers()), checkpoint);
        assert_eq!(BASE.root.note(&checkpoint), BASE.peopled.note);
    }
}
