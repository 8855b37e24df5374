//! The main job through the trunk.

use pinseal_host::CallError;
use pinseal_protocol::ids::{Nonce, UserIdHash};
use pinseal_protocol::limits::DEVICE_OUTSTANDING_MAX;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::Method;
use pinseal_store::vault::VaultError;

use crate::world::{Client, Prepared, World, wait};

#[test]
fn register_verify_and_fetch_evidence() {
    let world = World::new();
    let trunk = world.boot().unwrap();
    let mut ann = Client::new("ann");
    assert!(matches!(ann.register(&world, &trunk, "123456"), Outcome::Registered(_)));
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
    assert_eq!(ann.verify(&world, &trunk, "654321").unwrap(), Outcome::WrongPin);
    assert_eq!(ann.outstanding(&world, &trunk), 1);
    let document = wait(|done| trunk.evidence(Nonce([1; 32]), done)).unwrap();
    assert!(!document.is_empty());
    let status = trunk.status();
    assert!(status.ready);
    assert_eq!((status.wallets, status.batches), (1, 8), "1 prepare, 2 confirm, 2 and 2 verify, 1 status");
    assert_eq!(status.commit_latency.batches, 8);
    assert_eq!(status.checkpoint.size, 9, "one boot entry, one for every write, and one for the read");
}

#[test]
fn wallets_survive_a_restart_and_receipts_are_proved_consistent() {
    let world = World::new();
    let mut ann = Client::new("ann");
    {
        let trunk = world.boot().unwrap();
        ann.register(&world, &trunk, "123456");
        let mut bob = Client::new("bob");
        bob.register(&world, &trunk, "222222");
        trunk.close();
    }
    for boots in 1..4 {
        let trunk = world.boot().unwrap();
        // Ann's receipt is from an earlier boot: only a proof from stored nodes connects it with this one.
        assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified, "boot {boots}");
        assert_eq!(trunk.status().wallets, 2);
        trunk.close();
    }
}

#[test]
fn a_token_used_before_a_restart_is_refused_before_it_gets_into_anybodys_batch() {
    let world = World::new();
    let mut ann = Client::new("ann");
    let trunk = world.boot().unwrap();
    ann.register(&world, &trunk, "123456");
    let used = ann.prepare_verify(&world, &trunk, "123456").unwrap();
    used.send(&trunk).unwrap();
    trunk.close();
    let trunk = world.boot().unwrap();
    let batches = trunk.status().batches;
    let replay = Prepared { token: used.token, ..ann.prepare_verify(&world, &trunk, "123456").unwrap() };
    assert_eq!(replay.send(&trunk).unwrap_err(), CallError::StorageToken(VaultError::Spent));
    assert_eq!(trunk.status().batches, batches);
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::PinVerified);
}

#[test]
fn an_identical_resend_gets_the_identical_reply_and_costs_no_try() {
    let world = World::new();
    let trunk = world.boot().unwrap();
    let mut ann = Client::new("ann");
    ann.register(&world, &trunk, "123456");
    let prepared = ann.prepare_verify(&world, &trunk, "000000").unwrap();
    let reply = prepared.send(&trunk).unwrap();
    let batches = trunk.status().batches;
    for _ in 0..3 {
        assert_eq!(prepared.send(&trunk).unwrap(), reply);
    }
    assert_eq!(trunk.status().batches, batches);
    assert_eq!(ann.outstanding(&world, &trunk), 1);
}

#[test]
fn a_storage_token_of_another_wallet_or_operation_opens_nothing() {
    let world = World::new();
    let trunk = world.boot().unwrap();
    let (mut ann, mut bob) = (Client::new("ann"), Client::new("bob"));
    ann.register(&world, &trunk, "123456");
    bob.register(&world, &trunk, "222222");
    let bobs = bob.begin(&world, &trunk, Method::VerifyPin).unwrap().wallet;
    let batches = trunk.status().batches;

    let mut prepared = ann.prepare_verify(&world, &trunk, "123456").unwrap();
    prepared.token = world.storage_token(&prepared.wallet, Method::Sign);
    assert_eq!(prepared.send(&trunk).unwrap_err(), CallError::StorageToken(VaultError::Invalid));
    prepared.token = "not a token".to_owned().into();
    assert_eq!(prepared.send(&trunk).unwrap_err(), CallError::StorageToken(VaultError::Invalid));
    prepared.token = world.storage_token(&bobs, Method::VerifyPin);
    assert_eq!(prepared.send(&trunk).unwrap_err(), CallError::StorageToken(VaultError::Invalid));
    // A login service that took Ann's request for Bob's hands the enclave Bob's record; no write comes of it.
    prepared.wallet = bobs;
    let reply = prepared.send(&trunk).unwrap();
    let outcome = ann.open(&world, &trunk, &prepared, &reply).outcome;
    // Which of the two is the enclave's business; either way nothing was opened or charged.
    let refused = matches!(outcome, Outcome::Refused(Refusal::RecordStale | Refusal::RecordDamaged));
    assert!(refused, "{outcome:?}");
    assert_eq!(trunk.status().batches, batches);
    assert_eq!((ann.outstanding(&world, &trunk), bob.outstanding(&world, &trunk)), (0, 0));
}

#[test]
fn a_registration_under_a_token_for_another_wallet_is_aborted() {
    let world = World::new();
    let trunk = world.boot().unwrap();
    let mut ann = Client::new("ann");
    let mut prepared = ann
        .prepare(&world, &trunk, Method::RegisterPrepare, |begin| pinseal_protocol::request::Request::RegisterPrepare {
            pin: crate::world::factor("123456", &begin.next),
            words: 12,
            label: "laptop".into(),
        })
        .unwrap();
    prepared.wallet = UserIdHash([1; 32]);
    prepared.token = world.storage_token(&prepared.wallet, Method::RegisterPrepare);
    let reply = prepared.send(&trunk).unwrap();
    let outcome = ann.open(&world, &trunk, &prepared, &reply).outcome;
    assert_eq!(outcome, Outcome::Refused(Refusal::NotDurable), "the enclave is told that nothing was stored");
    assert_eq!((trunk.status().batches, world.records().headers(None, 10).unwrap().len()), (0, 0));
    assert!(matches!(ann.register(&world, &trunk, "123456"), Outcome::Registered(_)));
}

#[test]
fn parallel_calls_of_many_wallets_share_batches() {
    let world = World::new();
    let trunk = world.boot().unwrap();
    let mut clients: Vec<Client> = (0..8).map(|number| Client::new(&format!("user {number}"))).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let (world, trunk) = (&world, trunk.clone());
            scope.spawn(move || {
                assert!(matches!(client.register(world, &trunk, "123456"), Outcome::Registered(_)));
                assert_eq!(client.verify(world, &trunk, "123456").unwrap(), Outcome::PinVerified);
            });
        }
    });
    let status = trunk.status();
    assert_eq!((status.wallets, status.checkpoint.size), (8, 1 + 8 * 5));
    assert_eq!(status.depths.calls, 0);
}

#[test]
fn of_parallel_wrong_pins_on_one_wallet_exactly_the_cap_is_answered_as_wrong() {
    let world = World::new();
    let trunk = world.boot().unwrap();
    let mut ann = Client::new("ann");
    ann.register(&world, &trunk, "123456");
    let mut wrong = 0;
    let mut last_round = 1;
    while last_round > 0 {
        let prepared: Vec<_> = (0..32).map(|_| ann.prepare_verify(&world, &trunk, "000000").unwrap()).collect();
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let send = |prepared: &Prepared| match prepared.send(&trunk) {
                Ok(reply) => prepared.opener.open(&reply).unwrap().outcome,
                Err(CallError::Refused(refusal)) => Outcome::Refused(refusal),
                Err(error) => panic!("{error}"),
            };
            let calls: Vec<_> = prepared.iter().map(|prepared| scope.spawn(move || send(prepared))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let refused = |outcome: &Outcome| matches!(outcome, Outcome::WrongPin | Outcome::Refused(_));
        assert!(outcomes.iter().all(refused), "{outcomes:?}");
        last_round = outcomes.iter().filter(|outcome| **outcome == Outcome::WrongPin).count();
        wrong += last_round;
        // Past every delay.
        world.clock.pass(3_600);
    }
    assert_eq!(wrong, usize::from(DEVICE_OUTSTANDING_MAX));
    assert_eq!(usize::from(ann.outstanding(&world, &trunk)), wrong);
    assert_eq!(ann.verify(&world, &trunk, "123456").unwrap(), Outcome::Refused(Refusal::Locked));
}
