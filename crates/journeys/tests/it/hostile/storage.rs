//! The storage token: without the right one no record moves and the enclave is not even asked.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_protocol::cbor;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::Method;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{StorageClaims, StorageKey, sign};
use pinseal_store::vault::storage_audience;
use serde_json::json;

use super::{ANN, BOB};
use crate::system::System;
use crate::system::device::Device;
use crate::system::raw::Sealed;

/// Sends `sealed` with `token` and checks that it is turned away before the enclave hears of it.
async fn turned_away(system: &System, device: &Device, sealed: &Sealed, token: &str, code: &str) {
    system.wire.take();
    let answer = device.send_as(sealed, token, &sealed.request).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, code));
    assert_eq!(system.wire.take(), [], "the enclave was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_record_moves_without_the_wallets_own_fresh_token_for_the_operation() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let bob = system.person(&app, BOB).await;
    let manifest = system.manifest();
    let refused = "storage_token_refused";

    let sealed = ann.prepare_wrong(&manifest).await;
    system.wire.take();
    let (answer, _) = ann
        .post(
            "/v1/wallet/sealed",
            &[("authorization", &format!("DPoP {}", sealed.access_token))],
            &json!({"request": hex::encode(cbor::to_vec(&sealed.request))}),
        )
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_json"));
    assert_eq!(system.wire.take(), []);
    turned_away(&system, &ann, &sealed, "", refused).await;
    turned_away(&system, &ann, &sealed, "e30.e30.e30", refused).await;
    turned_away(&system, &ann, &sealed, &sealed.access_token, refused).await;

    // Of another operation, and of another wallet.
    let (_, of_status) = ann.begin(Method::Status).await;
    turned_away(&system, &ann, &sealed, &of_status, refused).await;
    let (_, bobs) = bob.begin(Method::VerifyPin).await;
    turned_away(&system, &ann, &sealed, &bobs, refused).await;

    // Made by somebody else than the login service; with its own claims otherwise.
    let now = system.clock.unix();
    let claims = StorageClaims {
        iss: system.configuration.issuers[0].issuer.clone(),
        aud: storage_audience(&manifest.deployment),
        wallet: sealed.begin.wallet.to_string(),
        operation: Method::VerifyPin.name().into(),
        jti: "1".into(),
        iat: now,
        exp: now + 300,
    };
    let stranger = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    turned_away(&system, &ann, &sealed, &sign("storage+jwt", &claims, &stranger).unwrap(), refused).await;
    turned_away(
        &system,
        &ann,
        &sealed,
        StorageKey::new(&SecretBytes::take(&mut [7; 32])).sign(&claims).unwrap().expose_secret(),
        refused,
    )
    .await;

    // None of this used the right one up or charged anything.
    assert_eq!(ann.outstanding().await, 0);
    assert_eq!(sealed.outcome(&ann.send(&sealed).await), Outcome::WrongPin);

    // Once only, also for another request.
    let next = ann.prepare_wrong(&manifest).await;
    turned_away(&system, &ann, &next, &sealed.storage_token, refused).await;
    // And for five minutes.
    system.clock.pass(300);
    turned_away(&system, &ann, &next, &next.storage_token, refused).await;
    assert_eq!((ann.outstanding().await, bob.outstanding().await), (1, 0));
}
