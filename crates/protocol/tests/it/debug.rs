//! No secret shows in `Debug`.

use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::envelope::BootKey;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::pin::PinFactor;
use pinseal_protocol::request::{Method, Request};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::AccessToken;
use pinseal_protocol::wire::{CallId, ToEnclave};

use crate::samples;

/// Every byte of the secret is this one: in decimal and in hex it is found wherever it shows.
const SECRET: u8 = 0xa7;
const TOKEN: &str = "eyJhbGciOi.secret.token";

fn assert_silent(shown: &str) {
    let shown = shown.to_lowercase();
    for trace in ["167", "a7", &TOKEN.to_lowercase()] {
        assert!(!shown.contains(trace), "{trace} shows in {shown}");
    }
}

fn assert_all_silent(value: &impl core::fmt::Debug) {
    assert_silent(&format!("{value:?}"));
    assert_silent(&format!("{value:#?}"));
}

#[test]
fn the_probe_would_find_a_secret() {
    let leaky = format!("{:?} {:02x?} {TOKEN}", [SECRET; 2], [SECRET; 2]);
    for trace in ["167", "a7", TOKEN] {
        assert!(leaky.contains(trace));
    }
}

#[test]
fn key_types_show_their_name_only() {
    let factor = PinFactor::new(SecretBytes::take(&mut [SECRET; 32]));
    let sealing = SealingKey::new(SecretBytes::take(&mut [SECRET; 32]));
    let boot = BootKey::derive(&SecretBytes::take(&mut [SECRET; 32]));
    assert_eq!(format!("{factor:?} {sealing:?} {boot:?}"), "PinFactor(..) SealingKey(..) BootKey(..)");
    assert_all_silent(&(factor, sealing));
}

#[test]
fn requests_show_neither_pin_factor_nor_token() {
    let secret = || PinFactor::new(SecretBytes::take(&mut [SECRET; 32]));
    let requests = vec![
        Request::RegisterPrepare { pin: secret(), words: 12, label: "phone".into() },
        Request::RegisterConfirm { pin: secret() },
        Request::VerifyPin { pin: secret() },
        Request::Sign { pin: secret(), intents: Vec::new() },
        Request::ChangePinPrepare { pin: secret(), new_pin: secret() },
        Request::ChangePinConfirm { pin: secret() },
        Request::EnrolDevice { pin: secret(), label: "phone".into() },
        Request::RevokeDevice { pin: secret(), device: samples::device() },
        Request::ClearTries { pin: secret() },
    ];
    for request in requests {
        assert_all_silent(&request);
        let shown = format!(
            "{:?}",
            pinseal_protocol::request::Body {
                access_token: AccessToken::from(TOKEN.to_owned()),
                ..samples::body(request)
            }
        );
        assert!(!shown.contains("secret.token") && !shown.contains("[167"), "{shown}");
        assert!(shown.starts_with("Body { device_key: P256Public("), "{shown}");
    }
    let begin = ToEnclave::Begin {
        call: CallId(1),
        time: UnixSeconds(0),
        access_token: AccessToken::from(TOKEN.to_owned()),
        method: Method::Sign,
        outer: None,
    };
    assert_all_silent(&begin);
    assert_eq!(format!("{begin:?}"), "Begin(1, sign)");
}

#[test]
fn both_ends_of_a_reply_show_their_name_only() {
    let (opened, opener) = crate::envelope::exchange(Request::Status);
    assert_eq!(format!("{:?} {opener:?}", opened.reply), "ReplySealer(..) ReplyOpener(..)");
}
