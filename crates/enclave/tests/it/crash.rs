//! The host dies at every batch of every operation, at every point between database, anchor and receipt; then everything boots
//! again from what was durable.

use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};

use crate::world::{Client, Fate, World, factor};

const FATES: [Fate; 4] = [Fate::Abort, Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored];
const HOUR: u64 = 3_600;

/// Runs one operation whose `batch`-th batch meets `fate`; boots again if the host died. The client never opens the reply.
fn run_into(
    world: &mut World,
    client: &mut Client,
    method: Method,
    batch: usize,
    fate: Fate,
    request: impl FnOnce(&BeginReply) -> Request,
) {
    let prepared = client.prepare(world, method, request).unwrap();
    world.fates = vec![Fate::Commit; batch];
    world.fates.push(fate);
    let call = world.submit(&prepared.wallet, &prepared.request);
    world.take(call);
    if world.crashed {
        world.boot();
    }
    assert_eq!(world.halted, None, "{method:?} batch {batch} {fate:?}: the deployment boots again");
    world.fates.clear();
}

fn tries_left(world: &mut World, client: &mut Client) -> u8 {
    client.status(world).tries.unwrap().left
}

#[test]
fn a_crash_during_a_wrong_guess_never_gives_a_try_back() {
    for batch in 0..2 {
        for fate in FATES {
            let mut world = World::new();
            let mut client = Client::new("ada");
            client.register(&mut world, "135790");
            let mut learned = 0;
            // The attacker's loop: guess, crash, look whether a verdict leaked, until the wallet refuses.
            for _ in 0..12 {
                world.now += HOUR;
                let prepared = client
                    .prepare(&mut world, Method::VerifyPin, |begin| Request::VerifyPin {
                        pin: factor("000000", &begin.current.unwrap()),
                    })
                    .unwrap();
                world.fates = vec![Fate::Commit; batch];
                world.fates.push(fate);
                let call = world.submit(&prepared.wallet, &prepared.request);
                if let Some(crate::world::Answer::Replied(reply)) = world.take(call) {
                    let outcome = prepared.opener.open(&reply).unwrap().outcome;
                    learned += u8::from(outcome == Outcome::WrongPin);
                }
                if world.crashed {
                    world.boot();
                }
            }
            assert_eq!(learned, 0, "no verdict leaves with a batch that was lost: batch {batch} {fate:?}");
            let charge_was_durable = batch == 1 || matches!(fate, Fate::LoseStored | Fate::LoseAnchored);
            world.fates.clear();
            world.now += HOUR;
            let left = tries_left(&mut world, &mut client);
            assert_eq!(left, if charge_was_durable { 0 } else { 5 }, "batch {batch} {fate:?}");
        }
    }
}

#[test]
fn a_crash_during_registration_leaves_no_wallet_or_a_whole_one() {
    for fate in FATES {
        let mut world = World::new();
        let mut client = Client::new("ada");
        run_into(&mut world, &mut client, Method::RegisterPrepare, 0, fate, |begin| Request::RegisterPrepare {
            pin: factor("135790", &begin.next),
            words: 12,
            label: "laptop".into(),
        });
        assert!(matches!(client.register(&mut world, "135790"), Outcome::Registered(_)), "{fate:?}");
        for batch in 0..2 {
            let mut world = World::new();
            let mut client = Client::new("ada");
            client.run(&mut world, Method::RegisterPrepare, |begin| Request::RegisterPrepare {
                pin: factor("135790", &begin.next),
                words: 12,
                label: "laptop".into(),
            });
            run_into(&mut world, &mut client, Method::RegisterConfirm, batch, fate, |begin| Request::RegisterConfirm {
                pin: factor("135790", &begin.pending.unwrap()),
            });
            let begin = world.begin(&client, Method::RegisterConfirm).unwrap();
            if begin.pending.is_some() {
                let reply = client.run(&mut world, Method::RegisterConfirm, |begin| Request::RegisterConfirm {
                    pin: factor("135790", &begin.pending.unwrap()),
                });
                assert!(matches!(reply.outcome, Outcome::Registered(_)), "{batch} {fate:?}: {:?}", reply.outcome);
            }
            assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified);
        }
    }
}

#[test]
fn a_crash_during_signing_loses_no_key() {
    for batch in 0..2 {
        for fate in FATES {
            let mut world = World::new();
            let mut client = Client::new("ada");
            let Outcome::Registered(before) = client.register(&mut world, "135790") else { panic!() };
            run_into(&mut world, &mut client, Method::Sign, batch, fate, |begin| Request::Sign {
                pin: factor("135790", &begin.current.unwrap()),
                intents: vec![Intent::EvmPersonalMessage {
                    account: AccountIndex::default(),
                    message: b"x".to_vec().into(),
                }],
            });
            assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified, "{batch} {fate:?}");
            assert_eq!(tries_left(&mut world, &mut client), 5, "a success gives the lost try back");
            let accounts = vec![AccountIndex::default()];
            let reply = client.run(&mut world, Method::ListAccounts, |_| Request::ListAccounts { accounts });
            assert_eq!(reply.outcome, Outcome::Accounts(vec![before]));
        }
    }
}

#[test]
fn a_crash_during_a_pin_change_leaves_exactly_one_pin_in_force() {
    for batch in 0..2 {
        for fate in FATES {
            let mut world = World::new();
            let mut client = Client::new("ada");
            client.register(&mut world, "135790");
            let prepare = |begin: &BeginReply| Request::ChangePinPrepare {
                pin: factor("135790", &begin.current.unwrap()),
                new_pin: factor("246802", &begin.next),
            };
            run_into(&mut world, &mut client, Method::ChangePinPrepare, batch, fate, prepare);
            assert_eq!(client.verify(&mut world, "135790").outcome, Outcome::PinVerified, "{batch} {fate:?}");
            assert_eq!(client.run(&mut world, Method::ChangePinPrepare, prepare).outcome, Outcome::Prepared);
            run_into(&mut world, &mut client, Method::ChangePinConfirm, batch, fate, |begin| {
                Request::ChangePinConfirm { pin: factor("246802", &begin.pending.unwrap()) }
            });
            let new = client.verify(&mut world, "246802").outcome;
            let old = client.verify(&mut world, "135790").outcome;
            assert!(
                matches!(
                    (&old, &new),
                    (Outcome::PinVerified, Outcome::WrongPin) | (Outcome::WrongPin, Outcome::PinVerified)
                ),
                "{batch} {fate:?}: old {old:?} new {new:?}"
            );
        }
    }
}
