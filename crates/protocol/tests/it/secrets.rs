//! Which types hold a secret, that none of them gives it away, and that all erase it.

use pinseal_probe::{Remains, assert_never_written};
use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::envelope::{BootKey, Opened, ReplyOpener, ReplySealer};
use pinseal_protocol::hpke::{self, Context, Exporter, KeyPair};
use pinseal_protocol::pin::PinFactor;
use pinseal_protocol::request::{Body, Request};
use pinseal_protocol::secret::{SecretBytes, SecretText};
use pinseal_protocol::token::{AccessToken, StorageKey, StorageToken};
use pinseal_protocol::wire::ToEnclave;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

// A new secret type is added here; `journeys` finds the one that is left out.
assert_never_written!(
    SecretBytes<32>,
    SecretText,
    PinFactor,
    AccessToken,
    StorageToken,
    StorageKey,
    SealingKey,
    KeyPair,
    Context,
    Exporter,
    BootKey,
    ReplySealer,
    ReplyOpener,
    Opened,
    Body,
    Request,
    ToEnclave,
);

const fn erases_itself<T: ZeroizeOnDrop>() {}
const _: () = {
    erases_itself::<SecretBytes<32>>();
    erases_itself::<SecretText>();
    erases_itself::<PinFactor>();
    erases_itself::<AccessToken>();
    erases_itself::<StorageToken>();
};

const SECRET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

fn bytes() -> SecretBytes<32> {
    SecretBytes::from_slice(SECRET).unwrap()
}

fn text() -> SecretText {
    SecretText::new(String::from_utf8(SECRET.to_vec()).unwrap())
}

/// What is left of the secret after `work`.
fn left(work: impl FnOnce()) -> Vec<String> {
    let mut remains = Remains::new();
    remains.during(work);
    remains.found([("secret", SECRET.as_slice())])
}

#[test]
fn a_secret_that_is_dropped_leaves_nothing_behind() {
    let values: [(&str, Box<dyn std::any::Any>); 7] = [
        ("SecretBytes", Box::new(bytes())),
        ("SecretText", Box::new(text())),
        ("PinFactor", Box::new(PinFactor::new(bytes()))),
        ("AccessToken", Box::new(AccessToken::new(text()))),
        ("StorageToken", Box::new(StorageToken::new(text()))),
        ("SealingKey", Box::new(SealingKey::new(bytes()))),
        ("Request", Box::new(Request::VerifyPin { pin: PinFactor::new(bytes()) })),
    ];
    for (name, value) in values {
        assert_eq!(left(|| drop(value)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_hpke_exports_and_is_made_from_leaves_nothing_behind() {
    let info = b"pinseal test".as_slice();
    let work = |ikm: &SecretBytes<32>| {
        let pair = KeyPair::derive(ikm).unwrap();
        let (enc, sender) = hpke::setup_sender(&pair.public(), info, ikm).unwrap();
        let (sealed, _) = sender.seal(b"", b"message").unwrap();
        let (_, exporter) = hpke::setup_receiver(&pair, &enc, info).unwrap().open(b"", &sealed).unwrap();
        exporter.export(b"label")
    };
    let (exported, ikm) = (work(&bytes()), bytes());
    let mut remains = Remains::new();
    remains.during(|| {
        drop(work(&ikm));
        drop(ikm);
    });
    let secrets = [("ikm", SECRET.as_slice()), ("exported key", exported.expose_secret().as_slice())];
    assert_eq!(remains.found(secrets), Vec::<String>::new());
}

#[test]
#[allow(clippy::vec_init_then_push, reason = "the vector must grow")]
fn a_secret_that_is_moved_leaves_nothing_behind() {
    // Out of a box and into a vector that grows: the secret stays where it is.
    let boxed = Box::new(SealingKey::new(bytes()));
    let grow = || {
        let mut keys = Vec::with_capacity(1);
        keys.push(*boxed);
        keys.push(SealingKey::new(bytes()));
        keys
    };
    assert_eq!(left(|| drop(grow())), Vec::<String>::new());
}

#[test]
fn an_early_return_and_a_panic_erase_as_well() {
    fn early(secret: SecretBytes<32>) -> Option<SecretBytes<32>> {
        let fifth = *secret.expose_secret().get(4)?;
        if fifth == b'4' { None } else { Some(secret) }
    }
    let secret = bytes();
    assert_eq!(left(|| drop(early(secret))), Vec::<String>::new());
    let secret = bytes();
    let panicked = || {
        let unwound = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            let _held = secret;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
    };
    assert_eq!(left(panicked), Vec::<String>::new());
}

#[test]
fn taking_a_secret_over_erases_the_source_and_zeroizing_the_copy() {
    let mut source = *SECRET;
    let mut secret = SecretBytes::take(&mut source);
    assert_eq!((source, secret.expose_secret()), ([0; 32], SECRET));
    secret.zeroize();
    assert_eq!(secret.expose_secret(), &[0; 32]);
}

#[test]
fn secrets_are_equal_to_themselves_only() {
    use subtle::ConstantTimeEq as _;
    let mut other = *SECRET;
    other[31] ^= 1;
    assert!(bool::from(bytes().ct_eq(&bytes())));
    assert!(!bool::from(bytes().ct_eq(&SecretBytes::take(&mut other))));
    assert!(text().equals(&text()));
    assert!(!text().equals(&SecretText::new("0123456789abcdefghijklmnopqrstu".into())));
}
