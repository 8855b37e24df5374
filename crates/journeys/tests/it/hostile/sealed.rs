//! Sealed requests that were seen before, come too late, or come from somebody else.

use pinseal_protocol::cbor;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::limits::CHALLENGE_SECONDS;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request, RequestHeader, SealedRequest};
use pinseal_protocol::token::token_hash;
use pinseal_protocol::wire::ToEnclave;
use pinseal_server::WalletsError;

use super::{ANN, BOB};
use crate::system::System;
use crate::system::device::PIN;
use crate::system::raw::{factor, random_request, wrong_factor};

/// Replies are kept as long as a challenge lives.
const LATE: u64 = CHALLENGE_SECONDS + 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_again_is_answered_once_and_charged_once() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let manifest = system.manifest();

    let sealed = ann.prepare_wrong(&manifest).await;
    let first = ann.send(&sealed).await;
    assert_eq!(sealed.outcome(&first), Outcome::WrongPin);
    let (batches, log) = (system.status().batches, system.status().checkpoint.size);
    for _ in 0..3 {
        assert_eq!(ann.send(&sealed).await, first, "byte for byte");
    }
    assert_eq!((system.status().batches, system.status().checkpoint.size), (batches, log));
    assert_eq!(ann.outstanding().await, 1);

    // Once the host has forgotten the reply, the storage token is of no use any more, and with another one the enclave knows that
    // it has answered before.
    system.clock.pass(LATE);
    assert_eq!(ann.send(&sealed).await.code(), "storage_token_refused");
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    let again = ann.send_as(&sealed, &fresh, &sealed.request).await;
    assert_eq!(sealed.outcome(&again), Outcome::Refused(Refusal::AlreadyAnswered));
    assert_eq!(ann.outstanding().await, 1);

    // Under another request id it is no request at all, and the first one still counts.
    let sealed = ann.prepare_wrong(&manifest).await;
    let mut renamed = sealed.request.clone();
    renamed.header.request = random_request();
    assert_eq!(ann.send_as(&sealed, &sealed.storage_token, &renamed).await.code(), "request_malformed");
    assert_eq!(ann.outstanding().await, 1);
    assert_eq!(ann.send(&sealed).await.code(), "storage_token_refused", "used up by the renamed one");
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    assert_eq!(sealed.outcome(&ann.send_as(&sealed, &fresh, &sealed.request).await), Outcome::WrongPin);
    assert_eq!(ann.outstanding().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_kept_back_is_refused_once_the_wallet_has_moved_on() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let phone = system.further_device(&app, ANN).await;
    phone.enrol("phone").await;
    let manifest = system.manifest();
    let begin = ann.begin(Method::ClearTries).await.0;
    let right = || factor(PIN, &begin.current.unwrap(), &manifest.deployment, &begin.wallet);

    // A host that keeps an owner's clears back must not buy tries with them later.
    let first = ann.prepare(&manifest, Method::ClearTries, |_| Request::ClearTries { pin: right() }).await;
    let second = ann.prepare(&manifest, Method::ClearTries, |_| Request::ClearTries { pin: right() }).await;
    let guess = phone.prepare_wrong(&manifest).await;
    assert_eq!(guess.outcome(&phone.send(&guess).await), Outcome::WrongPin);
    for kept in [&second, &first] {
        assert_eq!(kept.outcome(&ann.send(kept).await), Outcome::Refused(Refusal::ChallengeInvalid));
    }
    assert_eq!(ann.outstanding().await, 1, "not cleared, not charged");

    // In the other order: of two requests made on one state, whichever comes second is refused.
    let first = ann.prepare_wrong(&manifest).await;
    let second = ann.prepare(&manifest, Method::ClearTries, |_| Request::ClearTries { pin: right() }).await;
    assert_eq!(second.outcome(&ann.send(&second).await), Outcome::TriesCleared);
    assert_eq!(first.outcome(&ann.send(&first).await), Outcome::Refused(Refusal::ChallengeInvalid));
    assert_eq!(ann.outstanding().await, 0);

    // A confirmation before there is anything to confirm.
    let early = |_: &_| Request::ChangePinConfirm { pin: wrong_factor() };
    let early = ann.prepare(&manifest, Method::ChangePinConfirm, early).await;
    assert_eq!(early.outcome(&ann.send(&early).await), Outcome::Refused(Refusal::NothingPending));
    assert_eq!(ann.outstanding().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_challenges_and_tokens_are_refused_without_a_charge() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let manifest = system.manifest();

    let late = ann.prepare_wrong(&manifest).await;
    system.clock.pass(CHALLENGE_SECONDS);
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    let answer = ann.send_as(&late, &fresh, &late.request).await;
    assert_eq!(late.outcome(&answer), Outcome::Refused(Refusal::ChallengeInvalid));
    // Its sender was told, and is told the same again.
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    let answer = ann.send_as(&late, &fresh, &late.request).await;
    assert_eq!(answer.status, 200, "the host's kept reply");
    assert_eq!(late.outcome(&answer), Outcome::Refused(Refusal::ChallengeInvalid));
    // Nor does a host revive it that forgets the reply and sets the clock back to where the challenge was good.
    let good = UnixSeconds(late.begin.time.0 + 1);
    system.clock.pass(LATE);
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    system.wire.change_to_enclave(move |message| {
        if let ToEnclave::Sealed { time, .. } = message {
            *time = good;
        }
    });
    let reply = system.hand_on(&fresh, &late.request).await;
    assert_eq!(late.outcome_of(&reply), Outcome::Refused(Refusal::AlreadyAnswered));
    system.wire.honest();
    assert_eq!(ann.outstanding().await, 0);

    let old = ann.prepare_wrong(&manifest).await;
    system.clock.pass(1_000);
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    assert_eq!(ann.send_as(&old, &fresh, &old.request).await.code(), "token_expired", "said by the host");
    let access = ann.session().await.access_token.expose_secret().to_owned();
    let answer = ann.send_bytes(&access, &fresh, &cbor::to_vec(&old.request)).await;
    assert_eq!(answer.code(), "storage_token_refused", "said by the host: it was sealed with another token");
    let reply = system.hand_on(&fresh, &old.request).await;
    assert_eq!(old.outcome_of(&reply), Outcome::Refused(Refusal::TokenExpired), "said by the enclave");
    // That was its answer: a clock set back to where the token was good brings no other one.
    let good = UnixSeconds(old.begin.time.0 + 1);
    system.clock.pass(LATE);
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    system.wire.change_to_enclave(move |message| {
        if let ToEnclave::Sealed { time, .. } = message {
            *time = good;
        }
    });
    let reply = system.hand_on(&fresh, &old.request).await;
    assert_eq!(old.outcome_of(&reply), Outcome::Refused(Refusal::AlreadyAnswered));
    system.wire.honest();
    assert_eq!(ann.outstanding().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_others_are_refused_without_a_charge_to_anybody() {
    let system = System::start().await;
    let (app, other_app) = (system.app("App"), system.app("Other"));
    let ann = system.person(&app, ANN).await;
    let bob = system.person(&app, BOB).await;
    let manifest = system.manifest();

    // Ann's request under Bob's login: the host sees that it is not his; and his storage token opens his record, not hers.
    let hers = ann.prepare_wrong(&manifest).await;
    let (_, his_token) = bob.begin(Method::VerifyPin).await;
    let his_access = bob.session().await.access_token.expose_secret().to_owned();
    let answer = bob.send_bytes(&his_access, &his_token, &cbor::to_vec(&hers.request)).await;
    assert_eq!(answer.code(), "storage_token_refused");
    let refused = hers.outcome_of(&system.hand_on(&his_token, &hers.request).await);
    assert!(matches!(refused, Outcome::Refused(Refusal::RecordStale | Refusal::RecordDamaged)), "{refused:?}");
    // Nor does it go with hers, which is not his to show.
    let (_, her_token) = ann.begin(Method::VerifyPin).await;
    let answer = bob.send_bytes(&his_access, &her_token, &cbor::to_vec(&hers.request)).await;
    assert_eq!(answer.code(), "storage_token_refused");

    // Bob's request over Ann's challenge.
    let (her_begin, _) = ann.begin(Method::VerifyPin).await;
    let (_, his_token) = bob.begin(Method::VerifyPin).await;
    let mixed = bob.seal(&manifest, her_begin, his_token, Request::VerifyPin { pin: wrong_factor() }).await;
    assert_eq!(mixed.outcome(&bob.send(&mixed).await), Outcome::Refused(Refusal::ChallengeInvalid));

    // Bob with Ann's stolen access and storage tokens, but his own device key.
    let (her_begin, her_token) = ann.begin(Method::VerifyPin).await;
    let her_access = ann.session().await.access_token.expose_secret().to_owned();
    let request = Request::VerifyPin { pin: wrong_factor() };
    let stolen = bob.seal_with(&manifest, her_begin, her_token, &her_access, request).await;
    let answer = bob.send(&stolen).await;
    assert_eq!(answer.code(), "storage_token_refused");
    let reply = system.hand_on(&stolen.storage_token, &stolen.request).await;
    assert_eq!(stolen.outcome_of(&reply), Outcome::Refused(Refusal::DeviceInvalid));

    // A challenge of one device or operation in a request of another one.
    let phone = system.further_device(&app, ANN).await;
    phone.enrol("phone").await;
    let (laptops, token) = ann.begin(Method::VerifyPin).await;
    let foreign = phone.seal(&manifest, laptops, token, Request::VerifyPin { pin: wrong_factor() }).await;
    assert_eq!(foreign.outcome(&phone.send(&foreign).await), Outcome::Refused(Refusal::ChallengeInvalid));
    let (of_status, _) = ann.begin(Method::Status).await;
    let (_, token) = ann.begin(Method::VerifyPin).await;
    let foreign = ann.seal(&manifest, of_status, token, Request::VerifyPin { pin: wrong_factor() }).await;
    assert_eq!(foreign.outcome(&ann.send(&foreign).await), Outcome::Refused(Refusal::ChallengeInvalid));

    // A login of one app shown with the key of another one.
    let mut elsewhere = ann.in_app(&system, &other_app);
    let held = ann.prepare_wrong(&manifest).await;
    assert_eq!(elsewhere.send(&held).await.code(), "token_invalid");
    elsewhere.app = app.clone();
    assert_eq!(held.outcome(&elsewhere.send(&held).await), Outcome::WrongPin, "it was the key alone");

    assert_eq!((ann.outstanding().await, bob.outstanding().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_boot_takes_no_request_of_the_last_one() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let attested = ann.attest().await;
    let before = ann.prepare_wrong(&system.manifest()).await;
    let unused = ann.begin(Method::VerifyPin).await.0;
    system.restart_enclave().await;
    let manifest = system.manifest();

    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    assert_eq!(ann.send_as(&before, &fresh, &before.request).await.code(), "evidence_outdated");
    // Sealed to the new boot, over a challenge of the last one.
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    let crossed = ann.seal(&manifest, unused, fresh, Request::VerifyPin { pin: wrong_factor() }).await;
    assert_eq!(crossed.outcome(&ann.send(&crossed).await), Outcome::Refused(Refusal::ChallengeInvalid));
    // An honest client notices before it computes a factor, and goes on with new evidence.
    let outdated = attested.verify_pin(&crate::system::device::pin(PIN)).await.unwrap_err();
    assert!(outdated.wants_new_evidence(), "{outdated:?}");
    assert_eq!(ann.outstanding().await, 0);
    ann.try_pin(PIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_gets_past_the_envelope() {
    let system = System::start().await;
    let app = system.app("App");
    let ann = system.person(&app, ANN).await;
    let manifest = system.manifest();
    let sealed = ann.prepare_wrong(&manifest).await;
    let honest = cbor::to_vec(&sealed.request);
    // Every byte of header and encapsulated key, and some of the ciphertext's.
    let header = cbor::to_vec(&sealed.request.header).len() + 40;
    let places = (0..header).chain((header..honest.len()).step_by(97)).chain([honest.len() - 1]);
    let written = || (system.status().batches, system.status().checkpoint.size);
    let before = written();
    let (mut flipped, mut turned, mut judged) = (0, 0, 0);
    for (bit, place) in places.enumerate() {
        let mut bytes = honest.clone();
        bytes[place] ^= 1 << (bit % 8);
        let request = cbor::from_slice::<SealedRequest>(&bytes).ok();
        let own = &sealed.request.header;
        let is_own = |header: &RequestHeader| header.token == own.token && header.device == own.device;
        // Over HTTP. What names another login or device does not get as far as the enclave.
        let method = request.as_ref().map_or(Method::VerifyPin, |request| request.header.method);
        let (_, fresh) = ann.begin(method).await;
        system.wire.take();
        let answer = ann.send_bytes(&sealed.access_token, &fresh, &bytes).await;
        let asked = !system.wire.take().is_empty();
        let expected: &[(u16, &str)] = match &request {
            None => &[(400, "request_malformed")],
            Some(request) if !is_own(&request.header) => &[(403, "storage_token_refused")],
            Some(_) => &[(400, "request_malformed"), (409, "evidence_outdated")],
        };
        assert!(
            expected.contains(&(answer.status, &answer.code())),
            "byte {place}: {} {}",
            answer.status,
            answer.json()
        );
        assert_eq!(asked, request.as_ref().is_some_and(|request| is_own(&request.header)), "byte {place}");
        flipped += 1;
        // Past the server the enclave itself refuses it.
        let Some(request) = request else { continue };
        turned += usize::from(!is_own(&request.header));
        let (_, fresh) = ann.begin(method).await;
        system.wire.take();
        let refusal = system.try_hand_on(&fresh, &request).await.unwrap_err();
        let expected = matches!(refusal, WalletsError::Refused(Refusal::Malformed | Refusal::StaleManifest));
        assert!(expected && !system.wire.take().is_empty(), "byte {place}: {refusal:?}");
        judged += 1;
    }
    assert!(flipped > 200 && judged > 200 && turned > 60, "{flipped} flipped, {judged} judged, {turned} turned away");
    assert_eq!((written(), ann.outstanding().await), (before, 0));
    // It was a good request all along.
    let (_, fresh) = ann.begin(Method::VerifyPin).await;
    assert_eq!(sealed.outcome(&ann.send_as(&sealed, &fresh, &sealed.request).await), Outcome::WrongPin);

    // Nor does a request whose token, inside and outside, is somebody's invention.
    let (begin, token) = ann.begin(Method::VerifyPin).await;
    let invented = "e30.e30.e30";
    let request = Request::VerifyPin { pin: wrong_factor() };
    let forged = ann.seal_with(&manifest, begin, token.clone(), invented, request).await;
    assert_eq!(forged.request.header.token, token_hash(invented));
    let access = ann.session().await.access_token.expose_secret().to_owned();
    let answer = ann.send_bytes(&access, &token, &cbor::to_vec(&forged.request)).await;
    assert_eq!(answer.code(), "storage_token_refused");
    let reply = system.hand_on(&token, &forged.request).await;
    assert_eq!(forged.outcome_of(&reply), Outcome::Refused(Refusal::TokenInvalid));
    assert_eq!(ann.outstanding().await, 1);
}
