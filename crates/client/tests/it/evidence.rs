use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use pinseal_attestation::verify::{NitroError, VerifyError};
use pinseal_attestation::{Document, EvidenceKind, forge, produce};
use pinseal_client::evidence::{
    DevelopmentMeasurements, DevelopmentMode, EvidenceError, MeasurementList, NitroImages, Policy,
};
use pinseal_client::operation::OperationError;
use pinseal_client::receipt::ReceiptError;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{DeploymentId, Hash32, Measurement, Nonce, UnixSeconds};

use crate::enclave::{Enclave, MEASUREMENT, ed25519};
use crate::peer::{EvidenceLie, NOW, Peer};
use crate::world::{Device, PIN, device, device_with, pin, registered};

/// Whether an error is the expected one.
type Expected = fn(&EvidenceError) -> bool;

#[tokio::test]
async fn good_evidence_is_accepted_once_and_the_deployment_pinned() {
    let peer = Peer::start().await;
    let device = device(&peer);
    let first = device.client.attest().await.unwrap();
    assert!(first.is_first_use());
    assert!(first.verified().statement.contains("proves nothing"));
    assert_eq!(first.verified().measurement, MEASUREMENT);
    assert!(!device.client.attest().await.unwrap().is_first_use());
    let pinned = device.client.profile().await.unwrap().deployment.unwrap();
    assert_eq!(pinned.deployment, peer.host().enclave.deployment);
}

#[tokio::test]
async fn forged_evidence_is_refused_and_nothing_is_pinned() {
    let now = UnixSeconds(NOW);
    let lies: [(EvidenceLie, Expected); 7] = [
        // Of another question.
        (
            |enclave, _| enclave.evidence(Nonce([0; 32]), UnixSeconds(NOW)),
            |e| matches!(e, EvidenceError::Evidence(VerifyError::Nonce)),
        ),
        // Real evidence beside a manifest with the host's own keys.
        (
            |enclave, nonce| {
                let mut other = enclave.manifest();
                other.hpke = pinseal_protocol::manifest::HpkePublic([8; 32]);
                (enclave.evidence(nonce, UnixSeconds(NOW)).0, cbor::to_vec(&other))
            },
            |e| matches!(e, EvidenceError::Evidence(VerifyError::UserData)),
        ),
        // One bit of the document.
        (
            |enclave, nonce| {
                let (mut document, manifest) = enclave.evidence(nonce, UnixSeconds(NOW));
                *document.last_mut().unwrap() ^= 1;
                (document, manifest)
            },
            |e| matches!(e, EvidenceError::Evidence(VerifyError::Signature)),
        ),
        // Old.
        (
            |enclave, nonce| enclave.evidence(nonce, UnixSeconds(NOW - 301)),
            |e| matches!(e, EvidenceError::Evidence(VerifyError::Stale)),
        ),
        // A manifest that is evidenced but is none.
        (
            |_, nonce| {
                let hash = pinseal_protocol::manifest::hash_of(b"\x80");
                (produce::software(MEASUREMENT, hash, nonce, UnixSeconds(NOW)), b"\x80".to_vec())
            },
            |e| matches!(e, EvidenceError::Manifest(_)),
        ),
        // A checkpoint under another key than the manifest's log key.
        (
            |enclave, nonce| {
                let mut other = enclave.manifest();
                other.checkpoint = enclave.note_at(10, &ed25519(77)).into();
                let document = produce::software(MEASUREMENT, other.hash(), nonce, UnixSeconds(NOW));
                (document, cbor::to_vec(&other))
            },
            |e| matches!(e, EvidenceError::Receipt(ReceiptError::Invalid(_))),
        ),
        // A newer protocol.
        (
            |enclave, nonce| {
                let mut other = enclave.manifest();
                other.version += 1;
                let document = produce::software(MEASUREMENT, other.hash(), nonce, UnixSeconds(NOW));
                (document, cbor::to_vec(&other))
            },
            |e| matches!(e, EvidenceError::Version(2)),
        ),
    ];
    let peer = Peer::start().await;
    let device = device(&peer);
    for (number, (lie, expected)) in lies.into_iter().enumerate() {
        peer.host().evidence = Some(lie);
        let error = device.client.attest().await.unwrap_err();
        assert!(expected(&error), "lie {number}: {error:?}");
        let profile = device.client.profile().await.unwrap();
        assert!(profile.deployment.is_none() && profile.receipt.is_none(), "lie {number}");
    }
    // The client's clock counts, not the server's.
    peer.host().evidence = None;
    device.world.now.store(now.0 - 61, Ordering::SeqCst);
    assert!(matches!(device.client.attest().await, Err(EvidenceError::Evidence(VerifyError::Future))));
}

/// One chain for every document, so that a client can trust its root.
static CHAIN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut plan = forge::Plan::new(3);
    plan.build();
    plan.built
});

fn forged() -> forge::Plan {
    forge::Plan { built: CHAIN.clone(), ..forge::Plan::new(3) }
}

/// Nitro evidence of the forged image for the enclave's manifest.
fn nitro_evidence(enclave: &Enclave, nonce: Nonce) -> (Vec<u8>, Vec<u8>) {
    let manifest = enclave.manifest();
    let mut plan = forged();
    plan.user_data = Some(manifest.hash().as_bytes().to_vec());
    plan.nonce = Some(nonce.as_bytes().to_vec());
    (cbor::to_vec(&Document::Nitro { cose: plan.document() }), cbor::to_vec(&manifest))
}

fn nitro_policy() -> Policy {
    Policy::nitro_under_test_root(NitroImages::new(vec![forge::image()]).unwrap(), forged().root())
}

#[tokio::test]
async fn who_trusts_a_nitro_image_accepts_its_evidence_and_nothing_else() {
    let peer = Peer::start().await;
    let device = device_with(&peer, nitro_policy(), None);
    peer.host().evidence = Some(nitro_evidence);
    let attested = device.client.attest().await.unwrap();
    assert!(attested.is_first_use());
    assert_eq!(attested.verified().kind, EvidenceKind::Nitro);
    assert_eq!(attested.verified().measurement, forge::image().measurement());

    let refused = async |device: &Device, expected: Expected| {
        let error = device.client.attest().await.unwrap_err();
        assert!(expected(&error), "{error:?}");
    };
    // The same keys, software evidence.
    peer.host().evidence = None;
    refused(&device, |e| matches!(e, EvidenceError::Evidence(VerifyError::SoftwareEvidenceRefused))).await;
    // A document for another question, and one for another manifest.
    peer.host().evidence = Some(|enclave, _| nitro_evidence(enclave, Nonce([0; 32])));
    refused(&device, |e| matches!(e, EvidenceError::Evidence(VerifyError::Nonce))).await;
    peer.host().evidence = Some(|enclave, nonce| {
        let mut other = enclave.manifest();
        other.hpke = pinseal_protocol::manifest::HpkePublic([8; 32]);
        (nitro_evidence(enclave, nonce).0, cbor::to_vec(&other))
    });
    refused(&device, |e| matches!(e, EvidenceError::Evidence(VerifyError::UserData))).await;
    // The client's clock counts for the certificates, too.
    peer.host().evidence = Some(nitro_evidence);
    device.world.now.store(NOW + 3601, Ordering::SeqCst);
    refused(&device, |e| matches!(e, EvidenceError::Evidence(VerifyError::Nitro(NitroError::Certificate { .. }))))
        .await;
    // Other policies: development, and the same image under AWS's root.
    refused(&crate::world::device(&peer), |e| matches!(e, EvidenceError::Evidence(VerifyError::NitroEvidenceRefused)))
        .await;
    let aws = device_with(&peer, Policy::nitro(NitroImages::new(vec![forge::image()]).unwrap()), None);
    refused(&aws, |e| matches!(e, EvidenceError::Evidence(VerifyError::Nitro(NitroError::RootUnknown)))).await;
    assert!(aws.client.profile().await.unwrap().deployment.is_none());
}

#[tokio::test]
async fn hardware_evidence_does_not_make_up_for_an_anchor_in_memory() {
    let peer = Peer::start().await;
    {
        let mut host = peer.host();
        host.evidence = Some(nitro_evidence);
        (host.enclave.anchor, host.enclave.floor) = (AnchorLevel::L0, AnchorLevel::L0);
    }
    let error = device_with(&peer, nitro_policy(), None).client.attest().await.unwrap_err();
    assert!(
        matches!(error, EvidenceError::AnchorTooLow { shown: AnchorLevel::L0, floor: AnchorLevel::L1 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn software_evidence_is_refused_unless_development_was_asked_for() {
    let peer = Peer::start().await;
    let hardware = Policy::nitro(NitroImages::new(vec![forge::image()]).unwrap());
    let error = device_with(&peer, hardware, None).client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::Evidence(VerifyError::SoftwareEvidenceRefused)));

    let listed = DevelopmentMeasurements::Listed(MeasurementList::new(vec![Measurement([1; 32])]).unwrap());
    let other = Policy::development(DevelopmentMode::i_understand_this_proves_nothing(), listed);
    let error = device_with(&peer, other, None).client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::Evidence(VerifyError::Measurement)));
}

#[tokio::test]
async fn another_deployment_or_log_key_is_never_accepted_later() {
    let peer = Peer::start().await;
    let device = device(&peer);
    device.client.attest().await.unwrap();

    peer.host().enclave.log = ed25519(50);
    peer.host().enclave.restart(51);
    assert!(matches!(device.client.attest().await, Err(EvidenceError::LogKeyChanged)));
    peer.host().enclave.log = ed25519(1);
    peer.host().enclave.deployment = DeploymentId([9; 16]);
    peer.host().enclave.restart(52);
    let error = device.client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::DeploymentChanged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_deployment_below_its_own_floor_is_refused() {
    let peer = Peer::start().await;
    peer.host().enclave.anchor = AnchorLevel::L0;
    let error = device(&peer).client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::AnchorTooLow { shown: AnchorLevel::L0, floor: AnchorLevel::L1 }));
}

#[tokio::test]
async fn a_changed_configuration_is_told_once_and_a_lowered_promise_never_accepted() {
    let peer = Peer::start().await;
    let device = device(&peer);
    assert_eq!(
        device.client.attest().await.unwrap().protection_before(),
        None,
        "the first time there is nothing before"
    );
    assert_eq!(device.client.attest().await.unwrap().protection_before(), None);
    peer.host().enclave.configuration = Hash32([0x77; 32]);
    peer.host().enclave.restart(60);
    for _ in 0..2 {
        let attested = device.client.attest().await.unwrap();
        assert_ne!(attested.protection_before().unwrap().configuration, Hash32([0x77; 32]), "until somebody was told");
    }
    device.client.attest().await.unwrap().acknowledge_protection().await.unwrap();
    assert_eq!(device.client.attest().await.unwrap().protection_before(), None, "told once");

    (peer.host().enclave.anchor, peer.host().enclave.floor) = (AnchorLevel::L1, AnchorLevel::L0);
    peer.host().enclave.restart(61);
    let error = device.client.attest().await.unwrap_err();
    let lowered = matches!(error, EvidenceError::FloorLowered { promised: AnchorLevel::L1, shown: AnchorLevel::L0 });
    assert!(lowered, "{error:?}");
    assert_eq!(device.client.profile().await.unwrap().protection.unwrap().floor, AnchorLevel::L1, "nor remembered");
}

#[tokio::test]
async fn a_promise_counts_from_when_it_was_seen_and_what_was_told_last_stays() {
    let peer = Peer::start().await;
    let device = device(&peer);
    let boot = |configuration, floor, seed| {
        let enclave = &mut peer.host().enclave;
        (enclave.configuration, enclave.floor, enclave.anchor) = (Hash32([configuration; 32]), floor, AnchorLevel::L1);
        enclave.restart(seed);
    };
    boot(0x76, AnchorLevel::L0, 69);
    device.client.attest().await.unwrap();
    boot(0x77, AnchorLevel::L0, 70);
    let stale = device.client.attest().await.unwrap();
    // Seen by somebody who was not told, or did not answer.
    boot(0x78, AnchorLevel::L1, 71);
    let risen = device.client.attest().await.unwrap();
    boot(0x77, AnchorLevel::L0, 72);
    let error = device.client.attest().await.unwrap_err();
    let lowered = matches!(error, EvidenceError::FloorLowered { promised: AnchorLevel::L1, shown: AnchorLevel::L0 });
    assert!(lowered, "{error:?}");
    // A question that was answered after a later one says nothing of what is there now.
    risen.acknowledge_protection().await.unwrap();
    stale.acknowledge_protection().await.unwrap();
    let told = device.client.profile().await.unwrap().protection.unwrap();
    assert_eq!((told.configuration, told.floor), (Hash32([0x78; 32]), AnchorLevel::L1));
}

#[tokio::test]
async fn a_boot_on_an_older_state_is_found_before_any_pin_is_asked() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    attested.verify_pin(&pin(PIN)).await.unwrap();
    let held = device.client.profile().await.unwrap().receipt.unwrap().size;

    // An honest restart continues.
    peer.host().enclave.restart(60);
    let again = device.client.attest().await.unwrap();
    assert!(again.verify_pin(&pin(PIN)).await.is_ok());

    // A restart on the database of before the last requests does not, even one entry short.
    peer.host().enclave.size = held;
    peer.host().enclave.restart(61);
    peer.host().enclave.size = held;
    let begins = peer.count("POST /v1/wallet/begin");
    let error = device.client.attest().await.unwrap_err();
    assert!(matches!(error, EvidenceError::Receipt(ReceiptError::RolledBack { .. })), "{error:?}");
    assert_eq!(peer.count("POST /v1/wallet/begin"), begins);
}

#[tokio::test]
async fn after_a_restart_the_old_attestation_is_refused_and_says_so() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let sealed = peer.count("POST /v1/wallet/sealed");
    peer.host().enclave.restart(62);
    let error = attested.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(error, OperationError::Begin(_)) && error.wants_new_evidence(), "{error:?}");
    assert_eq!(peer.count("POST /v1/wallet/sealed"), sealed);
    device.client.attest().await.unwrap().verify_pin(&pin(PIN)).await.unwrap();
}
