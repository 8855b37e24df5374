//! What an honest user does.

use pinseal_protocol::cbor;
use pinseal_protocol::ids::Nonce;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{Method, Request, WalletState};
use pinseal_protocol::wire::ToEnclave;

use crate::world::{Answer, Client, World, factor};

fn message(text: &str) -> Vec<Intent> {
    vec![Intent::EvmPersonalMessage { account: AccountIndex::default(), message: text.as_bytes().to_vec().into() }]
}

fn sign(world: &mut World, client: &mut Client, pin: &str) -> Outcome {
    client
        .run(world, Method::Sign, |begin| Request::Sign {
            pin: factor(pin, &begin.current.unwrap()),
            intents: message("hi"),
        })
        .outcome
}

#[test]
fn a_registered_wallet_signs_with_the_key_its_statement_names() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    let Outcome::Registered(statement) = client.register(&mut world, "135790") else { panic!() };
    let wallet = *world.disk.records.keys().next().unwrap();
    let manifest = world.manifest();
    let statement = statement.verify(&manifest.log, &manifest.deployment, &wallet).unwrap();
    assert_eq!(statement.path, "m/44'/60'/0'/0/0");
    let Outcome::Signed(signed) = sign(&mut world, &mut client, "135790") else { panic!() };
    let [Signed::EvmSignature { signature }] = signed.as_slice() else { panic!() };
    let digest = pinseal_chains::evm::personal_message_digest(b"hi");
    let id = secp256k1::ecdsa::RecoveryId::try_from(i32::from(signature[64]) - 27).unwrap();
    let recoverable = secp256k1::ecdsa::RecoverableSignature::from_compact(&signature[..64], id).unwrap();
    let key = recoverable.recover(secp256k1::Message::from_digest(digest)).unwrap();
    assert_eq!(pinseal_chains::evm::address(&key).0.as_slice(), statement.address.as_slice());
}

#[test]
fn an_unconfirmed_wallet_neither_signs_nor_shows_an_address_and_can_be_prepared_anew() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    let prepare = |client: &mut Client, world: &mut World| {
        client.run(world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
            pin: factor("111222", &begin.next),
            words: 24,
            label: "laptop".into(),
        })
    };
    prepare(&mut client, &mut world);
    let reply = client
        .run(&mut world, Method::ListAccounts, |_| Request::ListAccounts { accounts: vec![AccountIndex::default()] });
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::WalletMissing));
    let first = world.disk.records.values().next().unwrap().0;
    prepare(&mut client, &mut world);
    let second = world.disk.records.values().next().unwrap().0;
    assert_eq!(second.version.0, first.version.0 + 1, "versions never restart");
    let reply = client.run(&mut world, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
        pin: factor("111222", &begin.pending.unwrap()),
    });
    assert!(matches!(reply.outcome, Outcome::Registered(_)));
    let again = client.run(&mut world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
        pin: factor("111222", &begin.next),
        words: 24,
        label: "laptop".into(),
    });
    assert_eq!(again.outcome, Outcome::Refused(Refusal::WalletExists));
}

#[test]
fn only_the_device_that_prepared_confirms() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.run(&mut world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
        pin: factor("111222", &begin.next),
        words: 12,
        label: "laptop".into(),
    });
    let mut thief = Client::new("ada");
    let reply = thief.run(&mut world, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
        pin: factor("111222", &begin.pending.unwrap()),
    });
    assert_eq!(reply.outcome, Outcome::Refused(Refusal::NothingPending));
}

#[test]
fn a_second_device_enrols_with_the_pin_and_then_signs_and_can_be_revoked() {
    let mut world = World::new();
    let (mut laptop, mut phone) = (Client::new("ada"), Client::new("ada"));
    laptop.register(&mut world, "135790");
    assert_eq!(sign(&mut world, &mut phone, "135790"), Outcome::Refused(Refusal::DeviceNotEnrolled));
    assert_eq!(phone.enrol(&mut world, "135790").outcome, Outcome::DeviceEnrolled);
    assert!(matches!(sign(&mut world, &mut phone, "135790"), Outcome::Signed(_)));
    let Outcome::Status(status) = phone.status(&mut world).outcome else { panic!() };
    assert_eq!(status.devices.len(), 2);
    let device = laptop.device();
    let reply = phone.run(&mut world, Method::RevokeDevice, |begin| Request::RevokeDevice {
        pin: factor("135790", &begin.current.unwrap()),
        device,
    });
    assert_eq!(reply.outcome, Outcome::DeviceRevoked);
    assert_eq!(sign(&mut world, &mut laptop, "135790"), Outcome::Refused(Refusal::DeviceNotEnrolled));
    let Outcome::Status(status) = laptop.status(&mut world).outcome else { panic!() };
    assert_eq!((status.state, status.enrolled, status.devices.len()), (WalletState::Active, false, 0));
}

#[test]
fn a_new_pin_counts_only_after_it_is_confirmed() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepare = client.run(&mut world, Method::ChangePinPrepare, |begin| Request::ChangePinPrepare {
        pin: factor("135790", &begin.current.unwrap()),
        new_pin: factor("246802", &begin.next),
    });
    assert_eq!(prepare.outcome, Outcome::Prepared);
    assert!(matches!(sign(&mut world, &mut client, "135790"), Outcome::Signed(_)), "the old PIN signs until then");
    assert_eq!(sign(&mut world, &mut client, "246802"), Outcome::WrongPin);
    let confirm = |client: &mut Client, world: &mut World, pin: &str| {
        client
            .run(world, Method::ChangePinConfirm, |begin| Request::ChangePinConfirm {
                pin: factor(pin, &begin.pending.unwrap()),
            })
            .outcome
    };
    assert_eq!(confirm(&mut client, &mut world, "999999"), Outcome::WrongPin);
    assert_eq!(confirm(&mut client, &mut world, "246802"), Outcome::PinChanged);
    assert_eq!(sign(&mut world, &mut client, "135790"), Outcome::WrongPin);
    assert!(matches!(sign(&mut world, &mut client, "246802"), Outcome::Signed(_)));
}

#[test]
fn a_change_prepared_with_a_wrong_pin_leaves_nothing_pending() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let prepare = client.run(&mut world, Method::ChangePinPrepare, |begin| Request::ChangePinPrepare {
        pin: factor("000001", &begin.current.unwrap()),
        new_pin: factor("246802", &begin.next),
    });
    assert_eq!(prepare.outcome, Outcome::WrongPin);
    let Outcome::Status(status) = client.status(&mut world).outcome else { panic!() };
    assert!(!status.change_pending);
    let begin = world.begin(&client, Method::ChangePinConfirm).unwrap();
    assert!(begin.pending.is_none());
}

#[test]
fn several_intents_ride_on_one_pin_and_accounts_differ() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let intents = (0..16)
        .map(|n| Intent::EvmPersonalMessage {
            account: AccountIndex::new(n).unwrap(),
            message: b"same text".to_vec().into(),
        })
        .collect::<Vec<_>>();
    let reply = client.run(&mut world, Method::Sign, |begin| Request::Sign {
        pin: factor("135790", &begin.current.unwrap()),
        intents,
    });
    let Outcome::Signed(signed) = reply.outcome else { panic!() };
    let distinct: std::collections::BTreeSet<_> = signed.iter().map(cbor::to_vec).collect();
    assert_eq!((signed.len(), distinct.len()), (16, 16));
}

#[test]
fn a_reboot_changes_boot_keys_and_keeps_wallets_and_log_key() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let before = world.manifest().clone();
    world.boot();
    let after = world.manifest().clone();
    assert_ne!(before.hpke, after.hpke);
    assert_ne!(before.boot, after.boot);
    assert_eq!(before.log, after.log);
    assert!(
        matches!(sign(&mut world, &mut client, "135790"), Outcome::Signed(_)),
        "its receipt continues over the reboot"
    );
}

#[test]
fn evidence_covers_manifest_and_nonce() {
    use pinseal_attestation::verify::{DevelopmentMeasurements, DevelopmentMode, Expected, Policy, verify};
    let mut world = World::new();
    let call = world.next_call();
    let now = UnixSeconds(world.now);
    world.send(ToEnclave::Evidence { call, nonce: Nonce([3; 32]), time: now });
    let Some(Answer::Evidence(document)) = world.take(call) else { panic!() };
    let policy = Policy::development(DevelopmentMode::i_understand_this_proves_nothing(), DevelopmentMeasurements::Any);
    let expected = Expected { user_data: world.manifest().hash(), nonce: Nonce([3; 32]), now, age_seconds_max: 60 };
    assert!(verify(&document, &policy, &expected).is_ok());
    let other = Expected { nonce: Nonce([4; 32]), ..expected };
    assert!(verify(&document, &policy, &other).is_err());
}

#[test]
fn a_policy_or_parse_fault_is_found_before_anything_is_charged() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let before = world.disk.records.clone();
    let account = AccountIndex::default();
    let any_chain = Intent::EvmAuthorization {
        account,
        chain: pinseal_protocol::intent::ChainId(0),
        address: pinseal_protocol::intent::EvmAddress([1; 20]),
        nonce: 0,
    };
    let garbage =
        Intent::EvmTransaction { account, chain: pinseal_protocol::intent::ChainId(1), unsigned: vec![1, 2, 3].into() };
    for (intent, refusal) in [(any_chain, Refusal::PolicyDenied), (garbage, Refusal::IntentInvalid)] {
        let reply = client.run(&mut world, Method::Sign, |begin| Request::Sign {
            pin: factor("000000", &begin.current.unwrap()),
            intents: vec![intent],
        });
        assert_eq!(reply.outcome, Outcome::Refused(refusal));
        assert_eq!(reply.tries.unwrap().left, 5);
    }
    assert_eq!(world.disk.records, before);
}
