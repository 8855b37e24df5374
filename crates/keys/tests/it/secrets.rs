//! Which types hold a secret, that none of them gives it away, and that all erase it.

use pinseal_keys::bip32::{ExtendedPrivate, HARDENED};
use pinseal_keys::{Entropy, EvmMaster, Phrase, PrivateKey, Seed};
use pinseal_probe::{RecordingAllocator, Remains, assert_never_written};
use zeroize::ZeroizeOnDrop;

// A new secret type is added here; `journeys` finds the one that is left out.
assert_never_written!(Entropy, Phrase, Seed, PrivateKey, ExtendedPrivate, EvmMaster);

const fn erases_itself<T: ZeroizeOnDrop>() {}
const _: () = {
    erases_itself::<Entropy>();
    erases_itself::<Phrase>();
    erases_itself::<Seed>();
    erases_itself::<PrivateKey>();
    erases_itself::<ExtendedPrivate>();
    erases_itself::<EvmMaster>();
};

#[global_allocator]
static ALLOCATOR: RecordingAllocator = RecordingAllocator;

#[test]
fn debug_shows_names_only() {
    let entropy = Entropy::from_bytes(&[0xa7; 16]).unwrap();
    let master = EvmMaster::from_entropy(&entropy).unwrap();
    let extended = ExtendedPrivate::from_seed_bytes(&[0xa7; 32]).unwrap();
    let shown = format!("{entropy:?} {:?} {:?} {master:?} {extended:?}", entropy.phrase(), entropy.seed(""));
    let wanted = "Entropy([redacted]) Phrase([redacted]) Seed([redacted]) EvmMaster(ExtendedPrivate { key: PrivateKey([redacted]), \
                  chain_code: [redacted] }) ExtendedPrivate { key: PrivateKey([redacted]), chain_code: [redacted] }";
    assert_eq!(shown, wanted);
}

#[test]
fn from_entropy_to_signature_nothing_is_left_in_freed_memory() {
    let bytes: Vec<u8> = (0x51..0x61).collect();
    let mut remains = Remains::new();
    let secrets = {
        let entropy = Entropy::from_bytes(&bytes).unwrap();
        let seed = entropy.seed("");
        let path = [HARDENED + 44, HARDENED + 60, HARDENED, 0, 3];
        let account = ExtendedPrivate::master(&seed).unwrap().descend(&path).unwrap();
        let branch = EvmMaster::from_entropy(&entropy).unwrap().to_secret_bytes();
        vec![
            ("entropy", bytes.clone()),
            ("phrase", entropy.phrase().expose_secret().as_bytes().to_vec()),
            ("seed", seed.expose_secret().to_vec()),
            ("branch key", branch.expose_secret()[..32].to_vec()),
            ("account key", account.key().expose_secret().to_vec()),
        ]
    };
    remains.during(|| {
        let entropy = Entropy::from_bytes(&bytes).unwrap();
        let again = Entropy::from_phrase(entropy.phrase().expose_secret()).unwrap();
        let master = EvmMaster::from_entropy(&again).unwrap();
        let stored = master.to_secret_bytes();
        let public = master.account_public();
        EvmMaster::from_secret_bytes(stored.expose_secret()).unwrap().sign(3, &[1; 32], &public).unwrap();
        // And where there is no key: an early end.
        assert!(EvmMaster::from_secret_bytes(&[0; 64]).is_none());
        assert!(master.sign(HARDENED, &[1; 32], &public).is_err());
        assert!(Entropy::from_phrase("abandon").is_err());
    });
    assert!(remains.blocks() > 10);
    let found = remains.found(secrets.iter().map(|(name, secret)| (*name, secret.as_slice())));
    assert!(found.is_empty(), "{found:?}");
}
