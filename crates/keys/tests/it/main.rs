//! Vectors of BIP-32, BIP-39, BIP-44 and of other wallets' signatures.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod secrets;

use std::path::Path;

use pinseal_chains::evm::{Transaction, address, checksum};
use pinseal_keys::bip32::{ExtendedKeyError, ExtendedPrivate, ExtendedPublic, HARDENED, Position};
use pinseal_keys::{AccountPublic, Entropy, EvmMaster, KeyError, PhraseError, Seed, WordCount};
use proptest::prelude::*;
use secp256k1::PublicKey;
use serde_json::Value;

const JUNK: &str = "test test test test test test test test test test test junk";

fn load(path: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(path);
    serde_json::from_slice(&std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))).unwrap()
}

fn cases<'a>(file: &'a Value, key: &str) -> &'a [Value] {
    let list = file[key].as_array().unwrap();
    assert!(!list.is_empty(), "{key} is empty");
    list
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(case, key).trim_start_matches("0x")).unwrap()
}

fn path(text: &str) -> Vec<u32> {
    let step = |step: &str| match step.strip_suffix('\'') {
        Some(index) => index.parse::<u32>().unwrap() + HARDENED,
        None => step.parse().unwrap(),
    };
    text.split('/').skip(1).map(step).collect()
}

#[test]
fn bip_32_derivations_match() {
    let file = load("bip/bip32.json");
    let mut chains = 0;
    for case in cases(&file, "derivations") {
        let seed = bytes(case, "seed");
        for chain in cases(case, "chains") {
            let path = path(text(chain, "path"));
            let derived = ExtendedPrivate::from_seed_bytes(&seed).unwrap().descend(&path).unwrap();
            let (private, position) = ExtendedPrivate::from_xprv(text(chain, "xprv")).unwrap();
            let (public, public_position) = ExtendedPublic::from_xpub(text(chain, "xpub")).unwrap();
            assert_eq!(derived.key().expose_secret(), private.key().expose_secret());
            assert_eq!(derived.public(), private.public(), "chain code and public key");
            assert_eq!(derived.public(), public);
            let wanted = match path.split_last() {
                None => Position { depth: 0, parent_fingerprint: [0; 4], number: 0 },
                Some((number, above)) => {
                    let parent = ExtendedPrivate::from_seed_bytes(&seed).unwrap().descend(above).unwrap().public();
                    if *number < HARDENED {
                        assert_eq!(parent.child(*number).unwrap(), public, "public derivation");
                    } else {
                        assert_eq!(parent.child(*number).unwrap_err(), KeyError::IndexOutOfRange);
                    }
                    let depth = u8::try_from(path.len()).unwrap();
                    // A fingerprint takes RIPEMD-160, which is not in the tree: only compared between xprv and xpub.
                    Position { depth, parent_fingerprint: position.parent_fingerprint, number: *number }
                }
            };
            assert_eq!((position, public_position), (wanted, wanted));
            chains += 1;
        }
    }
    assert_eq!(chains, 17);
}

#[test]
fn bip_32_invalid_keys_are_refused_for_their_reason() {
    let file = load("bip/bip32.json");
    assert_eq!(cases(&file, "invalid_keys").len(), 16);
    for case in cases(&file, "invalid_keys") {
        let (key, reason) = (text(case, "key"), text(case, "reason"));
        let wanted = match reason {
            "invalid checksum" => ExtendedKeyError::WrongChecksum,
            "unknown extended key version" => ExtendedKeyError::WrongVersion,
            reason if reason.starts_with("zero depth") => ExtendedKeyError::OrphanWithParent,
            _ => ExtendedKeyError::InvalidKey,
        };
        let private = ExtendedPrivate::from_xprv(key).map(|_| ()).unwrap_err();
        let public = ExtendedPublic::from_xpub(key).map(|_| ()).unwrap_err();
        match key.get(..4) {
            Some("xprv") => assert_eq!((private, public_or(public, wanted)), (wanted, wanted), "{reason}"),
            Some("xpub") => assert_eq!((public, public_or(private, wanted)), (wanted, wanted), "{reason}"),
            _ => assert_eq!((private, public), (wanted, wanted), "{reason}"),
        }
    }
}

/// Read as the other kind, an extended key is refused for its version, unless its checksum is wrong already.
fn public_or(other: ExtendedKeyError, wanted: ExtendedKeyError) -> ExtendedKeyError {
    if other == ExtendedKeyError::WrongVersion { wanted } else { other }
}

#[test]
fn texts_that_are_no_extended_keys_are_refused() {
    let good = text(&cases(&cases(&load("bip/bip32.json"), "derivations")[0], "chains")[0], "xprv").to_owned();
    assert!(ExtendedPrivate::from_xprv(&good).is_ok());
    for bad in [String::new(), good[1..].to_owned(), format!("{good}1"), good.replace('x', "0"), good.replace('x', "é")]
    {
        assert_eq!(ExtendedPrivate::from_xprv(&bad).map(|_| ()).unwrap_err(), ExtendedKeyError::Malformed, "{bad}");
    }
    let largest = "z".repeat(111);
    assert_eq!(ExtendedPrivate::from_xprv(&largest).map(|_| ()).unwrap_err(), ExtendedKeyError::WrongChecksum);
}

#[test]
fn bip_39_phrases_and_seeds_match() {
    let file = load("bip/bip39.json");
    let passphrase = text(&file, "passphrase");
    let mut used = 0;
    for case in cases(&file, "cases") {
        let raw = bytes(case, "entropy");
        let Some(entropy) = Entropy::from_bytes(&raw) else {
            // The 18-word vectors: a length that wallets of Pinseal do not have.
            assert_eq!(raw.len(), 24);
            assert_eq!(Entropy::from_phrase(text(case, "phrase")).unwrap_err(), PhraseError::WrongWordCount);
            continue;
        };
        assert_eq!(entropy.expose_secret(), raw);
        assert_eq!(entropy.phrase().expose_secret(), text(case, "phrase"));
        assert_eq!(Entropy::from_phrase(text(case, "phrase")).unwrap().expose_secret(), entropy.expose_secret());
        let seed = entropy.seed(passphrase);
        assert_eq!(seed.expose_secret().as_slice(), bytes(case, "seed"));
        let (master, _) = ExtendedPrivate::from_xprv(text(case, "xprv")).unwrap();
        assert_eq!(ExtendedPrivate::master(&seed).unwrap().public(), master.public());
        used += 1;
    }
    assert_eq!(used, 16);
}

#[test]
fn mistaken_phrases_are_refused_for_their_reason() {
    let refused = |phrase: &str| Entropy::from_phrase(phrase).unwrap_err();
    assert_eq!(refused(""), PhraseError::WrongWordCount);
    assert_eq!(refused("test junk"), PhraseError::WrongWordCount);
    assert_eq!(refused(&JUNK.replace("junk", "jumk")), PhraseError::UnknownWord(11));
    assert_eq!(refused(&JUNK.replace("junk", "test")), PhraseError::WrongChecksum);
    assert_eq!(refused(&format!("{JUNK} {JUNK}")), PhraseError::WrongChecksum);
}

#[test]
fn entropy_has_16_or_32_bytes() {
    for len in 0..=64 {
        assert_eq!(Entropy::from_bytes(&vec![7; len]).is_some(), len == 16 || len == 32, "{len}");
    }
}

#[test]
fn entropy_is_mixed_from_both_sources() {
    for case in cases(&load("bip/entropy-mix.json"), "cases") {
        let words = if case["words"] == 12 { WordCount::Twelve } else { WordCount::TwentyFour };
        let tee: [u8; 32] = bytes(case, "tee").try_into().unwrap();
        let system: [u8; 32] = bytes(case, "system").try_into().unwrap();
        let mixed = Entropy::mix(&tee, &system, words);
        assert_eq!(mixed.expose_secret(), bytes(case, "entropy"));
        assert_eq!(mixed.word_count(), words);
        assert_eq!(mixed.phrase().expose_secret().split(' ').count() as u64, case["words"].as_u64().unwrap());
        let mut changed = system;
        changed[31] ^= 1;
        assert_ne!(Entropy::mix(&tee, &changed, words).expose_secret(), mixed.expose_secret());
        assert_ne!(Entropy::mix(&system, &tee, words).expose_secret() == mixed.expose_secret(), tee != system);
    }
}

#[test]
fn bip_44_accounts_are_those_of_other_wallets() {
    for case in cases(&load("bip/bip44-evm.json"), "cases") {
        let master = EvmMaster::from_entropy(&Entropy::from_phrase(text(case, "phrase")).unwrap()).unwrap();
        let public = master.account_public();
        let wanted = [bytes(case, "change_public_key"), bytes(case, "change_chain_code")].concat();
        assert_eq!(public.to_bytes().to_vec(), wanted);
        assert_eq!(AccountPublic::from_bytes(&public.to_bytes()), Some(public));
        for account in cases(case, "accounts") {
            let n = u32::try_from(account["index"].as_u64().unwrap()).unwrap();
            let key = public.child(n).unwrap();
            assert_eq!(key.serialize().to_vec(), bytes(account, "public_key"));
            assert_eq!(checksum(&address(&key)), text(account, "address"));
            // What signs is the key of the address that is shown.
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&n.to_be_bytes());
            assert_eq!(master.sign(n, &digest, &master.account_public()).unwrap().recover(&digest).unwrap(), key);
        }
    }
}

#[test]
fn signatures_are_those_of_other_wallets() {
    let master = EvmMaster::from_entropy(&Entropy::from_phrase(JUNK).unwrap()).unwrap();
    let mut compared = 0;
    for (file, list) in [("evm/transactions.json", "cases"), ("evm/authorizations.json", "cases")] {
        for case in cases(&load(file), list).iter().filter(|case| case["account"].is_u64()) {
            let n = u32::try_from(case["account"].as_u64().unwrap()).unwrap();
            let digest: [u8; 32] = bytes(case, "digest").try_into().unwrap();
            let signature = master.sign(n, &digest, &master.account_public()).unwrap();
            let padded = |key: &str| [vec![0; 32 - bytes(case, key).len()], bytes(case, key)].concat();
            assert_eq!(signature.r().to_vec(), padded("r"), "{}", text(case, "name"));
            assert_eq!(signature.s().to_vec(), padded("s"), "{}", text(case, "name"));
            assert_eq!(signature.y_parity(), case["y_parity"] == 1, "{}", text(case, "name"));
            compared += 1;
        }
    }
    for file in ["evm/personal-messages.json", "evm/typed-data.json"] {
        for case in cases(&load(file), "cases") {
            let digest: [u8; 32] = bytes(case, "digest").try_into().unwrap();
            assert_eq!(
                master.sign(0, &digest, &master.account_public()).unwrap().to_bytes().to_vec(),
                bytes(case, "signature")
            );
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn a_signed_transaction_is_the_other_wallets_transaction() {
    let master = EvmMaster::from_entropy(&Entropy::from_phrase(JUNK).unwrap()).unwrap();
    for case in cases(&load("evm/transactions.json"), "cases").iter().filter(|case| case["account"].is_u64()) {
        let tx = Transaction::parse_unsigned(&bytes(case, "unsigned")).unwrap();
        let n = u32::try_from(case["account"].as_u64().unwrap()).unwrap();
        let (raw, _) = tx.assemble(&master.sign(n, &tx.digest(), &master.account_public()).unwrap());
        assert_eq!(raw, bytes(case, "signed"));
    }
}

#[test]
fn hardened_indices_have_no_account() {
    let master = EvmMaster::from_entropy(&Entropy::from_phrase(JUNK).unwrap()).unwrap();
    assert_eq!(master.sign(HARDENED, &[1; 32], &master.account_public()).unwrap_err(), KeyError::IndexOutOfRange);
    assert_eq!(master.account_public().child(HARDENED).unwrap_err(), KeyError::IndexOutOfRange);
    assert!(master.sign(HARDENED - 1, &[1; 32], &master.account_public()).is_ok());
}

#[test]
fn a_stored_branch_signs_as_the_derived_one() {
    let master = EvmMaster::from_entropy(&Entropy::from_phrase(JUNK).unwrap()).unwrap();
    let stored = master.to_secret_bytes();
    let restored = EvmMaster::from_secret_bytes(stored.expose_secret()).unwrap();
    assert_eq!(restored.account_public(), master.account_public());
    assert_eq!(
        restored.sign(7, &[1; 32], &restored.account_public()).unwrap(),
        master.sign(7, &[1; 32], &master.account_public()).unwrap()
    );
    assert_eq!(restored.to_secret_bytes().expose_secret(), stored.expose_secret());
    // 0 and n are no private keys.
    assert!(EvmMaster::from_secret_bytes(&[0; 64]).is_none());
    assert!(EvmMaster::from_secret_bytes(&[0xff; 64]).is_none());
}

#[test]
fn a_signature_that_is_not_the_accounts_own_never_leaves() {
    let master = EvmMaster::from_entropy(&Entropy::from_phrase(JUNK).unwrap()).unwrap();
    let other = EvmMaster::from_entropy(&Entropy::from_bytes(&[7; 16]).unwrap()).unwrap();
    assert_eq!(master.sign(0, &[1; 32], &other.account_public()).unwrap_err(), KeyError::Fault);
    // The same key under another chain code, and the other way round: what a fault on either side looks like.
    let (mine, theirs) = (master.account_public().to_bytes(), other.account_public().to_bytes());
    for (key, chain_code) in [(&mine, &theirs), (&theirs, &mine)] {
        let mixed: [u8; 65] = [&key[..33], &chain_code[33..]].concat().try_into().unwrap();
        let mixed = AccountPublic::from_bytes(&mixed).unwrap();
        let signed = master.sign(0, &[1; 32], &mixed);
        if key[..33] == mine[..33] {
            // A consistent branch, though not this wallet's: it signs for the account that this branch shows.
            assert_eq!(signed.unwrap().recover(&[1; 32]).unwrap(), mixed.child(0).unwrap());
        } else {
            assert_eq!(signed.unwrap_err(), KeyError::Fault);
        }
    }
}

#[test]
fn bytes_that_are_no_point_are_no_account() {
    assert_eq!(AccountPublic::from_bytes(&[0; 65]), None);
    assert_eq!(AccountPublic::from_bytes(&[0xff; 65]), None);
}

#[test]
fn nothing_of_a_secret_is_in_its_debug_text() {
    let entropy = Entropy::from_bytes(&[0xab; 32]).unwrap();
    let seed: Seed = entropy.seed("");
    let master = EvmMaster::from_entropy(&entropy).unwrap();
    let extended = ExtendedPrivate::master(&seed).unwrap();
    let shown = [
        format!("{entropy:?}"),
        format!("{:?}", entropy.phrase()),
        format!("{seed:?}"),
        format!("{master:#?}"),
        format!("{extended:?}"),
        format!("{:?}", extended.key()),
    ];
    for text in shown {
        assert!(text.contains("[redacted]"), "{text}");
        let digits = |bytes: &[u8]| hex::encode(bytes.get(..4).unwrap());
        let secrets = [
            digits(entropy.expose_secret()),
            digits(seed.expose_secret()),
            digits(extended.key().expose_secret()),
            "171, 171".to_owned(),
        ];
        assert!(secrets.iter().all(|secret| !text.to_lowercase().contains(secret)), "{text}");
    }
}

/// Compiles only where `$type` does not implement `$trait`: with the trait, the inference below has two candidates.
macro_rules! assert_lacks {
    ($type:ty: $($trait:path),+) => {$({
        trait Marker<A> {
            fn marker() {}
        }
        struct Implements;
        impl<T: ?Sized> Marker<()> for T {}
        impl<T: ?Sized + $trait> Marker<Implements> for T {}
        <$type as Marker<_>>::marker();
    })+};
}

#[test]
fn secrets_are_zeroized_and_neither_copied_printed_nor_serialized() {
    fn zeroized<T: zeroize::ZeroizeOnDrop>() {}
    macro_rules! secrets {
        ($($type:ty),+) => {$(
            zeroized::<$type>();
            assert_lacks!($type: Clone, core::fmt::Display, serde::Serialize);
        )+};
    }
    secrets!(Entropy, pinseal_keys::Phrase, Seed, pinseal_keys::PrivateKey, ExtendedPrivate, EvmMaster);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn public_and_private_derivation_agree(raw in any::<[u8; 32]>(), n in 0..HARDENED, digest in any::<[u8; 32]>()) {
        let master = EvmMaster::from_entropy(&Entropy::from_bytes(&raw).unwrap()).unwrap();
        let key: PublicKey = master.account_public().child(n).unwrap();
        let signature = master.sign(n, &digest, &master.account_public()).unwrap();
        prop_assert_eq!(signature.recover(&digest), Some(key));
        prop_assert_eq!(master.sign(n, &digest, &master.account_public()).unwrap(), signature, "RFC 6979: one digest, one signature");
    }

    #[test]
    fn a_phrase_brings_its_entropy_back(raw in any::<[u8; 32]>(), short in any::<bool>()) {
        let entropy = Entropy::from_bytes(if short { &raw[..16] } else { &raw }).unwrap();
        let again = Entropy::from_phrase(entropy.phrase().expose_secret()).unwrap();
        prop_assert_eq!(again.expose_secret(), entropy.expose_secret());
    }
}
