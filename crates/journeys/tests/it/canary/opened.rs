//! A deployment opened from what lies on its disk, the sealing passphrase and a PIN: every secret that the enclave has and no test
//! is told. Written after docs/PROTOCOL.md, beside the enclave's own code.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use minicbor::Decoder;
use pinseal_enclave::KEY_LABELS;
use pinseal_keys::Entropy;
use pinseal_keys::bip32::{ExtendedPrivate, HARDENED};
use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::cbor;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::kdf;
use pinseal_protocol::pin::{Argon2Parameters, PinParameters};
use pinseal_protocol::secret::SecretBytes;

use super::secrets::Secret;
use crate::system::raw::factor;

const MAGIC_BYTES: usize = "PINSEAL ROOT\n".len();
const CHECKSUM_BYTES: usize = 32;

/// The deployment's root and what follows from it.
pub(super) struct Root {
    deployment: [u8; 16],
    root: Vec<u8>,
    stretched: [u8; 32],
    keys: Vec<(&'static str, [u8; 32])>,
    record_key: [u8; 32],
}

impl Root {
    /// Opens `root.sealed`.
    pub(super) fn open(host: &Path, passphrase: &[u8]) -> Self {
        let file = std::fs::read(host.join("root.sealed")).unwrap();
        let mut decoder = Decoder::new(&file[MAGIC_BYTES + 2..file.len() - CHECKSUM_BYTES]);
        decoder.array().unwrap();
        let deployment: [u8; 16] = decoder.bytes().unwrap().try_into().unwrap();
        let configuration = decoder.bytes().unwrap();
        let term = decoder.bytes().unwrap();
        let restores = decoder.u32().unwrap().to_be_bytes();
        let cost: Argon2Parameters = decoder.decode().unwrap();
        let salt = decoder.bytes().unwrap();
        let ciphertext = decoder.bytes().unwrap();
        let stretched = argon2(passphrase, salt, cost);
        let info =
            kdf::hash("pinseal root v1", &[&deployment, configuration, term, &restores, &cbor::to_vec(&cost), salt]);
        let root = SealingKey::new(SecretBytes::from_slice(&stretched).unwrap())
            .open(&info.0, configuration, ciphertext)
            .unwrap()
            .to_vec();
        let key = |label| *kdf::derive(&root, &[], label, &[]).expose_secret();
        let keys: Vec<_> = KEY_LABELS.into_iter().map(|label| (label, key(label))).collect();
        let record_key =
            *kdf::derive(&key("pinseal record key v1"), &[], "pinseal record epoch v1", &[&1_u32.to_be_bytes()])
                .expose_secret();
        Self { deployment, root, stretched, keys, record_key }
    }

    /// What nobody has once the enclave serves, the enclave included.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        vec![
            Secret::bytes("deployment root R", &self.root),
            Secret::bytes("key of the sealed root", &self.stretched),
            Secret::bytes("key of the records", &self.record_key),
        ]
    }

    /// What the enclave alone has, in locked memory.
    pub(super) fn long_lived(&self) -> Vec<Secret> {
        self.keys.iter().map(|(label, key)| Secret::bytes(*label, key)).collect()
    }

    /// The secrets of the wallet that has this PIN, or is prepared under it.
    pub(super) fn wallet(&self, database: &Path, pin: &str) -> Vec<Secret> {
        let opened = newest_records(database).iter().find_map(|(wallet, outer)| self.open_record(wallet, outer, pin));
        opened.unwrap_or_else(|| panic!("no wallet has the PIN {pin}"))
    }

    fn open_record(&self, wallet: &[u8; 32], outer: &[u8], pin: &str) -> Option<Vec<Secret>> {
        let record = self.record(wallet, outer);
        let mut decoder = Decoder::new(&record);
        decoder.array().unwrap();
        decoder.skip().unwrap();
        let active = inner(&mut decoder);
        let pending = inner_of_pending(&mut decoder);
        let accounts = decoder.bytes().unwrap().to_vec();
        let inner = active.or(pending).expect("there is a wallet");
        let mut secrets = inner.open(wallet, &accounts, &self.factor(pin, &inner.parameters, wallet))?;
        secrets.push(Secret::bytes("k_u", &inner.factor_key));
        secrets.push(Secret::bytes("rho", &inner.rho));
        Some(secrets)
    }

    /// S of a PIN.
    pub(super) fn factor(&self, pin: &str, parameters: &PinParameters, wallet: &[u8; 32]) -> [u8; 32] {
        *factor(pin, parameters, &pinseal_protocol::ids::DeploymentId(self.deployment), &UserIdHash(*wallet))
            .expose_secret()
    }

    fn record(&self, wallet: &[u8; 32], outer: &[u8]) -> Vec<u8> {
        let mut decoder = Decoder::new(outer);
        decoder.array().unwrap();
        decoder.skip().unwrap();
        let epoch = decoder.u32().unwrap().to_be_bytes();
        let version = version(&mut decoder).to_be_bytes();
        let mut field = || decoder.bytes().unwrap();
        let (random, previous, policy, ciphertext) = (field(), field(), field(), field());
        let key = SealingKey::new(kdf::derive(&self.record_key, random, "pinseal outer v1", &[]));
        let info = kdf::hash("pinseal outer key v1", &[wallet, &version]);
        let aad = kdf::hash("pinseal outer aad v1", &[wallet, &version, &epoch, previous, policy]);
        key.open(&info.0, &aad.0, ciphertext).unwrap().to_vec()
    }
}

/// The seed sealed under a PIN.
struct Inner {
    parameters: PinParameters,
    generation: u64,
    factor_key: [u8; 32],
    rho: [u8; 32],
    ciphertext: Vec<u8>,
}

impl Inner {
    /// Nothing if the PIN is another.
    fn open(&self, wallet: &[u8; 32], accounts: &[u8], pin_factor: &[u8; 32]) -> Option<Vec<Secret>> {
        let mixed = kdf::mac(&self.factor_key, "pinseal factor v1", &[pin_factor]);
        let unlock = kdf::derive(&mixed, &self.rho, "pinseal unlock v1", &[]);
        let info = kdf::hash("pinseal inner v1", &[wallet, &self.generation.to_be_bytes()]);
        let plain = SealingKey::new(SecretBytes::from_slice(unlock.expose_secret()).unwrap())
            .open(&info.0, accounts, &self.ciphertext)
            .ok()?;
        let entropy = Entropy::from_bytes(&plain[1..1 + usize::from(plain[0]) * 4 / 3]).unwrap();
        let mut secrets = vec![
            Secret::bytes("PIN factor S", pin_factor),
            Secret::bytes("F", &mixed),
            Secret::bytes("K_u", unlock.expose_secret()),
        ];
        secrets.extend(of_seed(&entropy));
        assert!(secrets.iter().any(|secret| secret.bytes == plain[33..65]), "the branch key is the derived one");
        Some(secrets)
    }
}

/// Entropy, phrase, seed, and every private key down to the first two accounts.
fn of_seed(entropy: &Entropy) -> Vec<Secret> {
    let seed = entropy.seed("");
    let mut secrets = vec![
        Secret::bytes("entropy", entropy.expose_secret()),
        Secret::text("phrase", entropy.phrase().expose_secret()),
        Secret::bytes("BIP-39 seed", seed.expose_secret()),
    ];
    let mut node = ExtendedPrivate::master(&seed).unwrap();
    let mut path = "m".to_owned();
    let private = |path: &str, node: &ExtendedPrivate| {
        let key = node.key().expose_secret();
        [
            Secret::bytes(format!("private key {path}"), key),
            Secret::text(format!("private key {path} in hex"), &hex::encode(key)),
        ]
    };
    secrets.extend(private(&path, &node));
    for (step, index) in [("44'", HARDENED + 44), ("60'", HARDENED + 60), ("0'", HARDENED), ("0", 0)] {
        // Hardened levels are secret with their chain code; the branch's own is part of its public form.
        secrets.push(Secret::bytes(format!("chain code {path}"), node.chain_code()));
        node = node.child(index).unwrap();
        path = format!("{path}/{step}");
        secrets.extend(private(&path, &node));
    }
    for account in 0..2 {
        secrets.extend(private(&format!("{path}/{account}"), &node.child(account).unwrap()));
    }
    secrets
}

fn inner(decoder: &mut Decoder<'_>) -> Option<Inner> {
    if decoder.datatype().unwrap() == minicbor::data::Type::Null {
        decoder.skip().unwrap();
        return None;
    }
    decoder.array().unwrap();
    let parameters = decoder.decode().unwrap();
    let generation = decoder.u64().unwrap();
    let key = |decoder: &mut Decoder<'_>| decoder.bytes().unwrap().try_into().unwrap();
    let (factor_key, rho) = (key(decoder), key(decoder));
    Some(Inner { parameters, generation, factor_key, rho, ciphertext: decoder.bytes().unwrap().to_vec() })
}

fn inner_of_pending(decoder: &mut Decoder<'_>) -> Option<Inner> {
    if decoder.datatype().unwrap() == minicbor::data::Type::Null {
        decoder.skip().unwrap();
        return None;
    }
    decoder.array().unwrap();
    let inner = inner(decoder);
    decoder.skip().unwrap();
    inner
}

/// Eight bytes, whatever the number.
fn version(decoder: &mut Decoder<'_>) -> u64 {
    u64::from_be_bytes(decoder.bytes().unwrap().try_into().unwrap())
}

fn newest_records(database: &Path) -> Vec<([u8; 32], Vec<u8>)> {
    let database = rusqlite::Connection::open(database).unwrap();
    let mut newest = database.prepare("SELECT wallet, outer FROM records JOIN outers USING (number)").unwrap();
    let rows = newest.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn argon2(password: &[u8], salt: &[u8], cost: Argon2Parameters) -> [u8; 32] {
    let cost = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).unwrap();
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost).hash_password_into(password, salt, &mut out).unwrap();
    out
}
