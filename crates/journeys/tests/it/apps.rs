//! Several apps, several people, several devices.

use aws_lc_rs::digest::{SHA256, digest};
use pinseal_chains::evm::{RecoverableSig, personal_message_digest};
use pinseal_client::api::LoginStatus;
use pinseal_client::{Account, ApiError, OperationError, intents};
use pinseal_protocol::intent::{AccountIndex, Signed};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::WalletState;

use crate::system::device::{Device, PIN, pin};
use crate::system::{App, System};

const PEOPLE: [&str; 3] = ["ann@example.org", "bob@example.org", "cid@example.org"];

/// Signs a message on `device` and says whose signature it is.
async fn signer(device: &Device, text: &str) -> pinseal_client::Address {
    let intent = intents::personal_message(AccountIndex::default(), text.as_bytes());
    let signed = device.attest().await.sign(&pin(PIN), &[intent]).await.unwrap();
    let [Signed::EvmSignature { signature }] = signed.as_slice() else { panic!("{signed:?}") };
    let signature = RecoverableSig::from_bytes(signature.as_slice().try_into().unwrap()).unwrap();
    pinseal_client::Address(signature.recover_address(&personal_message_digest(text.as_bytes())).unwrap())
}

/// A person with a laptop in one app and a phone in the other.
struct Person {
    email: &'static str,
    laptop: Device,
    phone: Device,
    account: Account,
}

async fn settle(system: &System, [first, second]: &[App; 2], email: &'static str) -> Person {
    let laptop = Device::new(system, first);
    system.sign_up(&laptop, email).await;
    assert_eq!(laptop.log_in(email).await, LoginStatus::PinRequired);
    let account = laptop.register().await;
    assert_eq!(laptop.client.api().me().await.unwrap().login_status, LoginStatus::Complete);

    // The other app knows the person, but may not use the wallet before it is told so.
    let phone = Device::new(system, second);
    assert_eq!(phone.log_in(email).await, LoginStatus::RegisterRequired);
    let refused = phone.attest().await.enrol_device(&pin(PIN), "phone").await.unwrap_err();
    assert!(
        matches!(&refused, OperationError::Api(error) if error.code() == Some("app_not_registered")),
        "{refused:?}"
    );
    assert_eq!(phone.client.api().register_app().await.unwrap(), LoginStatus::Complete);
    let unenrolled = phone.attest().await.verify_pin(&pin(PIN)).await.unwrap_err();
    assert!(matches!(unenrolled, OperationError::Refused { refusal: Refusal::DeviceNotEnrolled }), "{unenrolled:?}");
    phone.enrol("phone").await;
    assert_eq!(phone.log_in(email).await, LoginStatus::Complete);
    Person { email, laptop, phone, account }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_have_one_wallet_in_every_app_and_nobody_elses() {
    let system = System::start().await;
    let apps = [system.app("First"), system.app("Second")];
    let mut people = Vec::new();
    for email in PEOPLE {
        people.push(settle(&system, &apps, email).await);
    }

    for person in &people {
        one_wallet_on_every_device_and_in_every_app(&system, &apps, person).await;
    }
    for (place, person) in people.iter().enumerate() {
        nothing_of_others_is_seen(person, people.iter().enumerate().filter(|(other, _)| *other != place)).await;
    }
    for person in people {
        a_device_is_logged_out_from_afar(&system, person).await;
    }
}

async fn one_wallet_on_every_device_and_in_every_app(system: &System, [_, second]: &[App; 2], person: &Person) {
    let address = person.account.address;
    for device in [&person.laptop, &person.phone] {
        assert_eq!(signer(device, person.email).await, address);
        assert_eq!(device.client.accounts().await.unwrap(), [person.account]);
        let listed = device.attest().await.list_accounts(&[AccountIndex::default()]).await.unwrap();
        assert_eq!(listed, [person.account]);
    }
    // The very same device in the other app: enrolled already, since the wallet knows the device and not the app.
    let laptop = person.laptop.in_app(system, second);
    assert_eq!(laptop.log_in(person.email).await, LoginStatus::Complete);
    assert_eq!(signer(&laptop, "another app").await, address);

    let status = person.laptop.status().await;
    assert_eq!((status.state, status.enrolled, status.outstanding), (WalletState::Active, true, 0));
    let devices: Vec<_> = status.devices.iter().map(|device| (device.device, device.label.as_str())).collect();
    assert_eq!(devices, [(person.laptop.id(), "first"), (person.phone.id(), "phone")]);
}

async fn nothing_of_others_is_seen<'p>(person: &Person, others: impl Iterator<Item = (usize, &'p Person)>) {
    let api = person.laptop.client.api();
    let me = api.me().await.unwrap();
    let sessions = api.sessions().await.unwrap();
    let network = "eip155:31337".parse().unwrap();
    for (_, other) in others {
        assert_ne!(person.account.address, other.account.address);
        let theirs = other.laptop.client.api().me().await.unwrap();
        assert_ne!((me.user_id.as_str(), &me.wallet_id), (theirs.user_id.as_str(), &theirs.wallet_id));
        let their_sessions = other.laptop.client.api().sessions().await.unwrap();
        for session in &their_sessions {
            assert!(sessions.iter().all(|mine| mine.session_id != session.session_id && mine.device != session.device));
            // Knowing the name of a session is no right to end it.
            let refused = api.revoke_session(&session.session_id).await.unwrap_err();
            assert_eq!(refused.code(), Some("not_found"), "{refused:?}");
        }
        assert_eq!(other.laptop.client.api().sessions().await.unwrap().len(), their_sessions.len());
        // Nor is knowing a device a right to revoke it.
        let unknown = person.laptop.attest().await.revoke_device(&pin(PIN), other.phone.id()).await.unwrap_err();
        assert!(matches!(unknown, OperationError::Refused { refusal: Refusal::DeviceUnknown }), "{unknown:?}");
        // Nor is knowing an address.
        let refused = person.laptop.client.transactions(&network, other.account.address, 10, None).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Some("account_unknown"), "{refused:?}");
    }
}

async fn a_device_is_logged_out_from_afar(system: &System, person: Person) {
    let api = person.laptop.client.api();
    let sessions = api.sessions().await.unwrap();
    let of = |device: &Device| {
        let id = device.id().to_string();
        sessions.iter().filter(|session| session.device == id).collect::<Vec<_>>()
    };
    // The laptop in two apps; the phone logged in twice.
    assert_eq!((sessions.len(), of(&person.laptop).len(), of(&person.phone).len()), (4, 2, 2));
    assert_eq!(sessions.iter().filter(|session| session.current).count(), 1);
    let manifest = system.manifest();
    let held = person.phone.prepare_wrong(&manifest).await;
    for session in of(&person.phone) {
        api.revoke_session(&session.session_id).await.unwrap();
    }
    // A request that was sealed before is refused on its way to the enclave.
    assert_eq!(person.phone.send(&held).await.code(), "session_revoked");
    let ended = person.phone.client.api().me().await.unwrap_err();
    assert!(matches!(ended, ApiError::SessionEnded(_)), "{ended:?}");
    let ended = person.phone.try_pin(PIN).await.unwrap_err();
    assert!(matches!(ended, OperationError::Api(ApiError::NotLoggedIn)), "{ended:?}");
    assert_eq!(signer(&person.laptop, "still here").await, person.account.address);
    assert_eq!(person.laptop.outstanding().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_serves_here_is_the_hardened_process_and_says_so() {
    let system = System::start().await;
    let device = Device::new(&system, &system.app("App"));
    let said = device.client.api().status().await.unwrap();
    assert!(said.development && said.anchor_level == "L1" && said.wallets == 0, "{said:?}");
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("pinseal-enclaved");
    let image = digest(&SHA256, &std::fs::read(program).unwrap());
    assert_eq!(said.enclave.measurement, hex::encode(image.as_ref()));
    assert_eq!(said.enclave.hardening.len(), 9, "{said:?}");
    assert!(said.enclave.hardening.iter().all(|measure| measure.active), "{said:?}");
    // The evidence says the same of the image, under a signature.
    assert_eq!(device.attest().await.verified().measurement.to_string(), said.enclave.measurement);
}
