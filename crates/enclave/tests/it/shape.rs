//! What the host sees is the same for a right and a wrong PIN.

use pinseal_protocol::cbor;
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{Hash32, Version};
use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::log::SealedDetail;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};

use sha2::{Digest as _, Sha256};

use crate::world::{Answer, Client, Shape, World, factor, fixed_key};

/// Everything observable of one operation: batches in order, and the reply's length.
fn observe(
    method: Method,
    right: bool,
    request: impl FnOnce(&BeginReply, &str) -> Request,
) -> (Vec<Shape>, usize, Outcome) {
    let mut world = World::new();
    let (mut owner, mut phone) = (Client::new("ada"), Client::new("ada"));
    owner.register(&mut world, "135790");
    phone.enrol(&mut world, "135790");
    if method == Method::ChangePinConfirm {
        owner.run(&mut world, Method::ChangePinPrepare, |begin| Request::ChangePinPrepare {
            pin: factor("135790", &begin.current.unwrap()),
            new_pin: factor("246802", &begin.next),
        });
    }
    let pin = match (method, right) {
        (_, false) => "000000",
        (Method::ChangePinConfirm, true) => "246802",
        (_, true) => "135790",
    };
    let mut stranger = Client::new("ada");
    let client = if method == Method::EnrolDevice { &mut stranger } else { &mut owner };
    let prepared = client.prepare(&mut world, method, |begin| request(begin, pin)).unwrap();
    world.trace.clear();
    let call = world.submit(&prepared.wallet, &prepared.request);
    let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
    let length = cbor::to_vec(&reply).len();
    (world.trace, length, prepared.opener.open(&reply).unwrap().outcome)
}

#[test]
fn number_order_and_sizes_of_writes_and_replies_do_not_depend_on_the_verdict() {
    let intents =
        || vec![Intent::EvmPersonalMessage { account: AccountIndex::default(), message: vec![b'x'; 5_000].into() }; 3];
    type Build = fn(&BeginReply, &str) -> Request;
    let methods: [(Method, Build); 5] = [
        (Method::VerifyPin, |begin, pin| Request::VerifyPin { pin: factor(pin, &begin.current.unwrap()) }),
        (Method::ChangePinPrepare, |begin, pin| Request::ChangePinPrepare {
            pin: factor(pin, &begin.current.unwrap()),
            new_pin: factor("246802", &begin.next),
        }),
        (Method::ChangePinConfirm, |begin, pin| Request::ChangePinConfirm {
            pin: factor(pin, &begin.pending.unwrap()),
        }),
        (Method::EnrolDevice, |begin, pin| Request::EnrolDevice {
            pin: factor(pin, &begin.current.unwrap()),
            label: "tablet".into(),
        }),
        (Method::ClearTries, |begin, pin| Request::ClearTries { pin: factor(pin, &begin.current.unwrap()) }),
    ];
    for (method, build) in methods {
        let (right, wrong) = (observe(method, true, build), observe(method, false, build));
        assert_eq!(wrong.2, Outcome::WrongPin, "{method:?}");
        assert_ne!(right.2, Outcome::WrongPin, "{method:?}");
        assert_eq!((&right.0, right.1), (&wrong.0, wrong.1), "{method:?}");
        assert_eq!(right.0.len(), usize::from(method.writes()), "{method:?}");
        let (charge, settle) = (&right.0[0], &right.0[1]);
        assert_eq!(
            (&charge.records, &charge.entries),
            (&settle.records, &settle.entries),
            "charge and settle look alike"
        );
        assert_eq!((charge.records.len(), charge.entries.len()), (1, 1));
    }
    let sign =
        |begin: &BeginReply, pin: &str| Request::Sign { pin: factor(pin, &begin.current.unwrap()), intents: intents() };
    let (right, wrong) = (observe(Method::Sign, true, sign), observe(Method::Sign, false, sign));
    assert!(matches!(right.2, Outcome::Signed(_)));
    assert_eq!((&right.0, right.1), (&wrong.0, wrong.1));
}

#[test]
fn the_longest_reply_fits_the_block_its_request_gets() {
    let mut world = World::new();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let sixteen: Vec<_> = (984..1_000).map(|n| AccountIndex::new(n).unwrap()).collect();
    let prepared =
        client.prepare(&mut world, Method::ListAccounts, |_| Request::ListAccounts { accounts: sixteen }).unwrap();
    let mut answer = || {
        let call = world.submit(&prepared.wallet, &prepared.request);
        let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
        let outcome = prepared.opener.open(&reply).unwrap().outcome;
        (reply.ciphertext.len(), outcome)
    };
    let (longest, listed) = answer();
    assert!(matches!(listed, Outcome::Accounts(_)));
    // Handed in again, the same request is refused: the shortest answer there is.
    let (shortest, refused) = answer();
    assert!(matches!(refused, Outcome::Refused(_)));
    assert_eq!(longest, shortest, "one block, not two");
}

#[test]
fn the_size_of_an_opened_history_depends_on_how_much_was_asked_for_and_on_nothing_else() {
    let mut world = World::new();
    let (mut owner, mut stranger) = (Client::new("ada"), Client::new("bob"));
    owner.register(&mut world, "135790");
    stranger.register(&mut world, "246802");
    let own = world.disk.writes().into_iter().map(|(_, write)| write).collect::<Vec<_>>();
    let nobodys = LoggedWrite {
        version: Version(0),
        outer: Hash32([0; 32]),
        detail: SealedDetail([0; 96]),
        index: 0,
        path: Vec::new(),
    };
    for count in [0, 1, 8, 32] {
        let size = |world: &mut World, client: &mut Client, writes: &[LoggedWrite]| {
            let writes = writes.iter().cycle().take(count).cloned().collect();
            let prepared = client.prepare(world, Method::OpenHistory, |_| Request::OpenHistory { writes }).unwrap();
            let call = world.submit(&prepared.wallet, &prepared.request);
            let Some(Answer::Replied(reply)) = world.take(call) else { panic!() };
            reply.ciphertext.len()
        };
        let opened = size(&mut world, &mut owner, &own[..3]);
        assert_eq!(size(&mut world, &mut stranger, &own[..3]), opened, "{count}: of another wallet");
        assert_eq!(size(&mut world, &mut owner, std::slice::from_ref(&nobodys)), opened, "{count}: of nobody");
        assert_eq!(size(&mut world, &mut Client::new("ada"), &own[..3]), opened, "{count}: refused");
    }
}

/// Length and SHA-256.
fn golden(bytes: &[u8]) -> (usize, String) {
    (bytes.len(), hex::encode(Sha256::digest(bytes)))
}

#[test]
fn golden_bytes_of_what_is_stored() {
    let mut world = World::at_full_cost(1, fixed_key());
    let mut client = Client { key: fixed_key(), ..Client::new("ada") };
    client.register(&mut world, "135790");
    let (_, outer) = world.disk.records.values().next().unwrap();
    assert_eq!(
        golden(outer),
        (3_237, "398d10693ee877b25ff56a0fb8b922e45721e8582e07aa81163379a73811f136".into()),
        "sealed record"
    );
    assert_eq!(
        golden(&world.disk.sealed_root),
        (258, "69162b946c4e7f2f2c13dc11366f042030907c85197b85cb7c75bd1d5f634a5d".into()),
        "root file"
    );
    assert_eq!(
        golden(&world.disk.note),
        (484, "806f25ad9b6e3827576dd736ad35c89fa2bc46b62ea112c132f002bc81490b00".into()),
        "checkpoint"
    );
    assert_eq!(cbor::to_vec(world.manifest()).len(), 644);
}
