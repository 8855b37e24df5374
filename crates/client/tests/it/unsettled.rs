//! A host that has something paid for twice: it says that a payment failed, and names another nonce for the next one.

use std::sync::Arc;

use pinseal_client::api::TransactionStatus;
use pinseal_client::outgoing::{Learnt, OUTGOING_MAX};
use pinseal_client::profile::{ProfileLock, ProfileStore};
use pinseal_client::transaction::{Patience, Until, WaitError};
use pinseal_client::{
    Accepted, Address, Amount, ApiError, Attested, Known, Network, PreparedTransaction, Profile, ProfileError,
    SignedTransaction, Standing, TransactionError, TransactionRequest,
};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::{AccountIndex, ChainId};
use serde_json::json;

use crate::enclave::account_address;
use crate::peer::{Peer, problem};
use crate::world::{Device, PIN, any_development, device_in, pin, registered};

pub(crate) fn network() -> Network {
    Network::evm(ChainId(31_337))
}

pub(crate) fn pay(amount: &str) -> TransactionRequest {
    let to: Address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap();
    TransactionRequest::native(network(), AccountIndex::default(), to, Amount::from_units(amount, 18).unwrap())
}

/// What the host proposes from now on.
pub(crate) fn name_nonce(peer: &Peer, nonce: u64) {
    let fee = json!({"max_fee_per_gas": "3000000000", "max_priority_fee_per_gas": "1000000000"});
    peer.host().prepare = json!({"network": "eip155:31337", "nonce": nonce, "gas_limit": 21000, "balance": "2000000000000000000",
        "reservation_id": "r1", "expires_at": 5, "fees": {"slow": fee, "normal": fee, "fast": fee, "base_fee": "1000000000"}});
}

pub(crate) async fn prepared(
    device: &Device,
    request: &TransactionRequest,
) -> Result<PreparedTransaction, TransactionError> {
    device.client.prepare_transaction(request, &[]).await
}

pub(crate) async fn signed(device: &Device, attested: &Attested, request: &TransactionRequest) -> SignedTransaction {
    let prepared = prepared(device, request).await.unwrap();
    attested.sign_transaction(&pin(PIN), &prepared).await.unwrap()
}

pub(crate) fn tell(peer: &Peer, hash: Hash32, status: &'static str) {
    peer.host().told.insert(format!("0x{hash}"), status);
}

pub(crate) fn hashes<'a>(entries: impl IntoIterator<Item = &'a pinseal_client::Outgoing>) -> Vec<Hash32> {
    entries.into_iter().map(|entry| entry.hash).collect()
}

pub(crate) fn stopped_by(result: Result<PreparedTransaction, TransactionError>) -> Vec<Hash32> {
    match result {
        Err(TransactionError::Unsettled(entries)) => hashes(&entries),
        other => panic!("not stopped: {other:?}"),
    }
}

pub(crate) fn accepted(hash: Hash32, standing: Standing) -> Vec<Accepted> {
    vec![Accepted { hash, standing }]
}

fn is_misreported(error: &TransactionError) -> bool {
    matches!(error, TransactionError::Api(ApiError::Misreported(_)))
}

pub(crate) async fn kept(device: &Device, hash: Hash32) -> Option<(Standing, Known)> {
    device.client.outgoing().await.unwrap().get(&hash).map(|entry| (entry.standing, entry.known))
}

#[tokio::test]
async fn a_payment_that_was_refused_is_made_again_under_its_nonce_or_not_at_all() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    assert_eq!(kept(&device, first.hash()).await, None, "nobody but the enclave and this device has it yet");
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));

    // The lie: it was kept, and the next nonce is named. It does not help to say what became of it after all, its owner has heard that it failed.
    name_nonce(&peer, 5);
    let releases = peer.count("POST /v1/tx/release");
    let said = ["dropped", "replaced", "pending", "mined", "pending", "final"];
    for said in said {
        tell(&peer, first.hash(), said);
        assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()], "{said}");
        assert_eq!(stopped_by(device.client.propose_transaction(&pay("2"), &[]).await), [first.hash()], "{said}");
    }
    assert_eq!(peer.count("POST /v1/tx/release") - releases, 2 * said.len(), "the nonce is given back each time");
    let shown = prepared(&device, &pay("1.5")).await.unwrap_err().to_string();
    assert!(shown.contains(&first.hash().to_string()) && shown.contains("nonce 4"), "{shown}");
    // What pays nobody is paid twice by nothing.
    let own = account_address(AccountIndex::default());
    let nothing = TransactionRequest { to: own, ..pay("0") };
    prepared(&device, &nothing).await.unwrap();
    for something in
        [TransactionRequest { to: own, ..pay("1") }, TransactionRequest { data: vec![0], ..nothing.clone() }]
    {
        stopped_by(prepared(&device, &something.gas_at_most(30_000)).await);
    }
}

#[tokio::test]
async fn an_honest_host_gives_the_nonce_of_a_refused_payment_to_the_next_one() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    tell(&peer, Hash32([7; 32]), "pending");
    let again = prepared(&device, &pay("1.6")).await.unwrap();
    assert_eq!((hashes(again.instead()), hashes(again.beside())), (vec![first.hash()], vec![]));
    assert!(again.instead()[0].summary.contains("1.5 ETH"), "{:?}", again.instead());
    let second = attested.sign_transaction(&pin(PIN), &again).await.unwrap();
    device.client.broadcast(&second).await.unwrap();
    tell(&peer, second.hash(), "final");
    name_nonce(&peer, 5);
    prepared(&device, &pay("1.6")).await.unwrap();
    // Which of the two is in the block, the host says: it may have carried out the first one.
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    // No honest host names a nonce that is used up.
    name_nonce(&peer, 4);
    let error = prepared(&device, &pay("1.6")).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable("the nonce of another transaction")), "{error:?}");
    let error = prepared(&device, &pay("1.6").in_place_of(4)).await.unwrap_err();
    assert!(matches!(error, TransactionError::NotReplaceable(_)), "{error:?}");
}

#[tokio::test]
async fn what_its_owner_was_told_is_remembered_whoever_asked() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Told)));
    let error = prepared(&device, &pay("2")).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable(_)), "the nonce of one that waits: {error:?}");
    name_nonce(&peer, 5);
    tell(&peer, first.hash(), "pending");
    let again = prepared(&device, &pay("1.5")).await.unwrap();
    assert_eq!((hashes(again.beside()), hashes(again.repeated())), (vec![first.hash()], vec![first.hash()]));
    assert_eq!(prepared(&device, &pay("1.4")).await.unwrap().repeated(), Vec::<&pinseal_client::Outgoing>::new());

    // Denied while it was waited for, and not any more when it matters.
    tell(&peer, first.hash(), "dropped");
    let waited = device.client.wait_for(&first, Until::Mined, Patience::polls(3)).await;
    assert!(matches!(waited, Err(WaitError::Gone(_))), "{waited:?}");
    tell(&peer, first.hash(), "pending");
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    // Handed in once more, and taken.
    device.client.broadcast(&first).await.unwrap();
    assert_eq!(hashes(prepared(&device, &pay("1.5")).await.unwrap().beside()), [first.hash()]);

    // Denied in a list, or left out of it; on a page of several nothing is missed.
    let list = async || device.client.transactions(&network(), account_address(AccountIndex::default()), 1, None).await;
    tell(&peer, first.hash(), "replaced");
    list().await.unwrap();
    tell(&peer, first.hash(), "pending");
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    device.client.broadcast(&first).await.unwrap();
    peer.host().told.clear();
    tell(&peer, Hash32([7; 32]), "pending");
    peer.host().next_cursor = Some("more");
    list().await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Told)));
    peer.host().next_cursor = None;
    list().await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Doubtful)));

    // Asked for by itself, and unknown.
    device.client.broadcast(&first).await.unwrap();
    device.client.transaction(&network(), first.hash()).await.unwrap_err();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));

    // It carried it out, and says that nothing came of it.
    tell(&peer, first.hash(), "failed");
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    prepared(&device, &pay("1.4")).await.unwrap();

    // Whoever looked elsewhere goes on, and is not asked again.
    tell(&peer, first.hash(), "dropped");
    let beside = signed(&device, &attested, &pay("1.4").beside(accepted(first.hash(), Standing::Unsent))).await;
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)), "nothing was sent yet");
    device.client.broadcast(&beside).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, None);
    tell(&peer, beside.hash(), "mined");
    name_nonce(&peer, 6);
    prepared(&device, &pay("1.4")).await.unwrap();

    // Another one is reported in its place.
    peer.host().told.clear();
    peer.host().hash = Some(format!("0x{}", "11".repeat(32)));
    assert!(matches!(device.client.wait_for(&beside, Until::Mined, Patience::polls(3)).await, Err(WaitError::Other)));
    assert_eq!(kept(&device, beside.hash()).await, Some((Standing::Mined, Known::Doubtful)));
}

#[tokio::test]
async fn what_a_second_program_signed_meanwhile_stops_what_was_not_handed_over_yet() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let slow = signed(&device, &attested, &pay("1.5")).await;
    name_nonce(&peer, 5);
    let other = signed(&device, &attested, &pay("2")).await;
    name_nonce(&peer, 6);
    let quick = signed(&device, &attested, &pay("1.5")).await;
    // Another payment on its way is no matter; the same one is.
    device.client.broadcast(&other).await.unwrap();
    name_nonce(&peer, 6);
    let sends = peer.count("POST /v1/tx/broadcast");
    device.client.broadcast(&quick).await.unwrap();
    let error = device.client.broadcast(&slow).await.unwrap_err();
    assert!(error.was_never_handed_over(), "{error:?}");
    let TransactionError::Unsettled(entries) = error else { panic!("{error:?}") };
    assert_eq!(hashes(&entries), [quick.hash()]);
    assert_eq!((kept(&device, slow.hash()).await, peer.count("POST /v1/tx/broadcast") - sends), (None, 1));
    assert_eq!(
        kept(&device, quick.hash()).await,
        Some((Standing::Waiting, Known::Doubtful)),
        "its owner was told to look"
    );
}

#[tokio::test]
async fn what_was_not_asked_for_is_left_as_it_was() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    let entry = device.client.outgoing().await.unwrap().entries()[0].clone();
    let mut profile = device.client.profile().await.unwrap();
    for number in 1..=20_u8 {
        let (nonce, hash) = (100 + u64::from(number), Hash32([number; 32]));
        profile.outgoing.sign(pinseal_client::Outgoing { nonce, hash, ..entry.clone() }, &[], &[]).unwrap();
        profile.outgoing.learn(&hash, Learnt::Answered, Some(TransactionStatus::Pending));
        if number == 20 {
            profile.outgoing.learn(&hash, Learnt::Heard, Some(TransactionStatus::Failed));
        }
    }
    let device = crate::world::device_with(&peer, any_development(), Some(profile));
    tell(&peer, Hash32([99; 32]), "pending");
    name_nonce(&peer, 200);
    let asked = || peer.host().seen.iter().filter(|seen| seen.starts_with("GET /v1/tx/")).count();
    // Sixteen of those that are not listed are asked for, and unknown; four are not asked for. What reverted is not asked for at all.
    assert_eq!(stopped_by(prepared(&device, &pay("2")).await).len(), 16);
    assert_eq!(asked(), 16);
    let unsent = device.client.outgoing().await.unwrap();
    let standing = |standing| unsent.entries().iter().filter(|entry| entry.standing == standing).count();
    assert_eq!((standing(Standing::Unsent), standing(Standing::Waiting), standing(Standing::Reverted)), (16, 4, 1));
}

#[tokio::test]
async fn a_host_that_does_not_say_what_became_of_it_gets_no_other() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    name_nonce(&peer, 5);
    peer.next("/v1/tx", problem(400, "invalid", false));
    let error = prepared(&device, &pay("1.5")).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Api(error) if error.code() == Some("invalid")), "{error:?}");
    // Asked for by its hash, it shows another one.
    peer.host().hash = Some(format!("0x{}", "11".repeat(32)));
    let error = prepared(&device, &pay("1.5")).await.unwrap_err();
    assert!(is_misreported(&error), "{error:?}");
}

#[tokio::test]
async fn the_nonce_of_what_is_replaced_is_no_hosts_word() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    let own = account_address(AccountIndex::default());
    let nonce = async |device: &Device, from| device.client.nonce_of_waiting(&network(), from, first.hash()).await;
    assert_eq!(nonce(&device, own).await.unwrap(), 4);

    // On another device of the same user nothing is kept: the signed bytes say it, or nobody.
    let profile = Profile { outgoing: Default::default(), ..device.client.profile().await.unwrap() };
    let other = crate::world::device_with(&peer, any_development(), Some(profile));
    let refused = async |device: &Device| nonce(device, own).await.is_err_and(|error| is_misreported(&error));
    let unshown = nonce(&other, own).await;
    assert!(matches!(unshown, Err(TransactionError::NotReplaceable(_))), "{unshown:?}");
    peer.host().shows_raw = true;
    assert_eq!(nonce(&other, own).await.unwrap(), 4);
    peer.host().bends = Some(|shown| shown["nonce"] = 5.into());
    assert!(refused(&device).await && refused(&other).await, "another nonce beside the bytes");
    peer.host().bends = None;
    for device in [&device, &other] {
        let elsewhere = nonce(device, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap()).await;
        assert!(matches!(elsewhere, Err(TransactionError::NotReplaceable(_))), "{elsewhere:?}");
    }
    let whole = peer.host().raw.clone().unwrap();
    peer.host().raw = Some(format!("{}00", &whole[..whole.len() - 2]));
    peer.host().hash = Some(format!("0x{}", first.hash()));
    assert!(refused(&other).await, "other bytes");
    for said in ["mined", "dropped"] {
        tell(&peer, first.hash(), said);
        assert!(matches!(nonce(&device, own).await, Err(TransactionError::NotReplaceable(_))));
    }
    peer.host().told.clear();
    tell(&peer, Hash32([7; 32]), "pending");
    assert!(matches!(nonce(&device, own).await, Err(TransactionError::NotReplaceable(_))));
}

#[tokio::test]
async fn what_a_host_shows_under_a_hash_is_compared_with_what_was_signed() {
    type Bend = fn(&mut serde_json::Value);
    let bends: [Bend; 5] = [
        |shown| shown["network"] = "eip155:1".into(),
        |shown| shown["from"] = crate::peer::zero().into(),
        |shown| shown["nonce"] = 3.into(),
        |shown| shown["to"] = serde_json::Value::Null,
        |shown| shown["value"] = "1500000000000000001".into(),
    ];
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    name_nonce(&peer, 5);
    let own = account_address(AccountIndex::default());
    for (number, bend) in bends.into_iter().enumerate() {
        // As after an honest broadcast; then it lies.
        let begin = async || {
            peer.host().bends = None;
            peer.host().told.clear();
            device.client.broadcast(&first).await.unwrap();
            let known = kept(&device, first.hash()).await.unwrap().1;
            tell(&peer, first.hash(), "mined");
            peer.host().bends = Some(bend);
            assert_eq!(known, Known::Told);
        };
        let doubted = async |how: &str| {
            assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Doubtful)), "{number} {how}");
        };
        begin().await;
        let error = device.client.transactions(&network(), own, 10, None).await.unwrap_err();
        let is_of_another = number < 2;
        if is_of_another {
            assert!(matches!(error, ApiError::Malformed(_)), "{number}: {error:?}");
        } else {
            assert!(matches!(error, ApiError::Misreported(hash) if hash == first.hash()), "{number}: {error:?}");
            doubted("in a list").await;
        }
        begin().await;
        let error = device.client.transaction(&network(), first.hash()).await.unwrap_err();
        assert!(matches!(error, ApiError::Misreported(_)), "{number}: {error:?}");
        doubted("by itself").await;
        begin().await;
        let error = device.client.wait_for(&first, Until::Mined, Patience::polls(3)).await.unwrap_err();
        assert!(matches!(error, WaitError::Other), "{number}: {error:?}");
        doubted("waited for").await;
        begin().await;
        let error = prepared(&device, &pay("2")).await.unwrap_err();
        if !is_of_another {
            assert!(is_misreported(&error), "{number}: {error:?}");
            doubted("heard of").await;
        }
    }
    // Of what another device signed nothing is known but what was asked for.
    let empty = Profile { outgoing: Default::default(), ..device.client.profile().await.unwrap() };
    let other = device_of(&peer, empty);
    other.client.transaction(&network(), first.hash()).await.unwrap();
    for bend in [bends[0], |shown| shown["hash"] = format!("0x{}", "11".repeat(32)).into()] {
        peer.host().bends = Some(bend);
        let error = other.client.transaction(&network(), first.hash()).await.unwrap_err();
        assert!(matches!(error, ApiError::Misreported(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_payment_is_missed_in_a_list_that_shows_an_older_one() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let mut sent = Vec::new();
    for nonce in [4, 5] {
        name_nonce(&peer, nonce);
        sent.iter().for_each(|hash| tell(&peer, *hash, "pending"));
        let signed = signed(&device, &attested, &pay(&format!("1.{nonce}"))).await;
        peer.host().told.clear();
        device.client.broadcast(&signed).await.unwrap();
        sent.push(signed.hash());
    }
    let own = account_address(AccountIndex::default());
    let list = async |cursor| device.client.transactions(&network(), own, 1, cursor).await.unwrap();
    let known = async |hash| kept(&device, hash).await.unwrap().1;
    peer.host().next_cursor = Some("more");
    // The older one may be on a later page, and on a later page nothing is missed.
    tell(&peer, sent[1], "pending");
    list(None).await;
    peer.host().told.clear();
    tell(&peer, sent[0], "pending");
    list(Some("more")).await;
    assert_eq!((known(sent[0]).await, known(sent[1]).await), (Known::Told, Known::Told));
    // The newer one cannot.
    list(None).await;
    assert_eq!((known(sent[0]).await, known(sent[1]).await), (Known::Told, Known::Doubtful));
    // Nor can anything be behind a page that is not full.
    peer.host().told.clear();
    tell(&peer, Hash32([7; 32]), "pending");
    let listed = device.client.transactions(&network(), own, 2, None).await.unwrap();
    assert_eq!(hashes(&listed.unlisted), sent);
    assert_eq!((known(sent[0]).await, known(sent[1]).await), (Known::Doubtful, Known::Doubtful));
    // A page holds a hundred at most, however many are asked for: one of a hundred is full, one of 99 is not.
    for number in 8..=106 {
        tell(&peer, Hash32([number; 32]), "pending");
    }
    let listed = device.client.transactions(&network(), own, 200, None).await.unwrap();
    assert_eq!((listed.items.len(), hashes(&listed.unlisted)), (100, vec![]));
    peer.host().told.pop_last();
    let listed = device.client.transactions(&network(), own, 200, None).await.unwrap();
    assert_eq!((listed.items.len(), hashes(&listed.unlisted)), (99, sent));

    // What is another account's, or on another network, is no list of this one.
    for bend in [(|shown| shown["from"] = crate::peer::zero().into()) as fn(&mut serde_json::Value), |shown| {
        shown["network"] = "eip155:1".into()
    }] {
        peer.host().bends = Some(bend);
        let error = device.client.transactions(&network(), own, 10, None).await.unwrap_err();
        assert!(matches!(error, ApiError::Malformed(_)), "{error:?}");
        let error = prepared(&device, &pay("2")).await.unwrap_err();
        assert!(matches!(error, TransactionError::Api(ApiError::Malformed(_))), "{error:?}");
    }
}

#[tokio::test]
async fn what_a_later_one_is_said_to_wait_for_is_denied() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 3);
    let lower = signed(&device, &attested, &pay("1.4")).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    name_nonce(&peer, 5);
    let second = signed(&device, &attested, &pay("1.6")).await;
    for signed in [&lower, &first, &second] {
        device.client.broadcast(signed).await.unwrap();
        tell(&peer, signed.hash(), "pending");
    }
    peer.host().bends = Some(|shown| {
        if shown["nonce"] == 5 {
            shown["waits_for"] = json!({"nonce": 4});
        }
    });
    name_nonce(&peer, 6);
    prepared(&device, &pay("1.7")).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Told)), "nobody was told");
    device.client.transaction(&network(), second.hash()).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Doubtful)));
    device.client.broadcast(&first).await.unwrap();
    device.client.transactions(&network(), account_address(AccountIndex::default()), 10, None).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Doubtful)));
    for other in [&lower, &second] {
        assert_eq!(kept(&device, other.hash()).await, Some((Standing::Waiting, Known::Told)));
    }
}

#[tokio::test]
async fn what_a_host_says_that_it_sent_is_what_it_was_given() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    peer.host().bends = Some(|shown| shown["nonce"] = 3.into());
    let error = device.client.broadcast(&first).await.unwrap_err();
    assert!(matches!(error, TransactionError::OtherTransaction), "{error:?}");
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));
}

#[tokio::test]
async fn of_two_under_one_nonce_the_second_is_not_handed_over_unasked() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    let second = signed(&device, &attested, &pay("1.6")).await;
    let nothing = TransactionRequest { to: account_address(AccountIndex::default()), ..pay("0") };
    let third = signed(&device, &attested, &nothing).await;
    // Refused, so that its nonce is free; but whoever approved the others was not told of it.
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    let sends = peer.count("POST /v1/tx/broadcast");
    for late in [&second, &third] {
        let error = device.client.broadcast(late).await.unwrap_err();
        assert!(matches!(error, TransactionError::NonceTaken(4)) && error.was_never_handed_over(), "{error:?}");
    }
    device.client.broadcast(&first).await.unwrap();
    let error = device.client.broadcast(&second).await.unwrap_err();
    assert!(matches!(error, TransactionError::NonceTaken(4)), "{error:?}");
    tell(&peer, first.hash(), "mined");
    device.client.transaction(&network(), first.hash()).await.unwrap();
    let error = device.client.broadcast(&second).await.unwrap_err();
    assert!(matches!(error, TransactionError::NonceTaken(4)), "its nonce is used up: {error:?}");
    assert_eq!(peer.count("POST /v1/tx/broadcast"), sends + 1);
    assert_eq!(kept(&device, second.hash()).await, None);

    // Nothing is replaced by one that has another nonce, and that is said.
    name_nonce(&peer, 5);
    tell(&peer, first.hash(), "dropped");
    device.client.transaction(&network(), first.hash()).await.unwrap();
    let beside = prepared(&device, &nothing).await.unwrap();
    assert_eq!((hashes(beside.unreplaced()), hashes(beside.instead())), (vec![first.hash()], vec![]));
}

#[tokio::test]
async fn what_a_list_denied_is_remembered_whatever_was_learnt_meanwhile() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    let own = account_address(AccountIndex::default());
    for said in ["dropped", "mined", "absent"] {
        let inner = Arc::new(pinseal_client::MemoryProfile::holding(device.client.profile().await.unwrap()));
        let shared = device_in(&peer, any_development(), Arc::clone(&inner) as Arc<dyn ProfileStore>);
        peer.host().told.clear();
        let (named, status) = if said == "absent" { (Hash32([7; 32]), "pending") } else { (first.hash(), said) };
        tell(&peer, named, status);
        let hash = first.hash();
        let learn = move || {
            let mut lock = inner.lock().unwrap();
            let mut profile = lock.load().unwrap().unwrap();
            profile.outgoing.learn(&hash, Learnt::Heard, Some(TransactionStatus::Final));
            lock.save(&profile).unwrap();
        };
        peer.host().meanwhile = Some(Box::new(|| std::thread::spawn(learn).join().unwrap()));
        shared.client.transactions(&network(), own, 10, None).await.unwrap();
        let known = if said == "mined" { Known::Told } else { Known::Doubtful };
        assert_eq!(kept(&shared, hash).await, Some((Standing::Final, known)), "{said}");
    }

    // Also of what was signed while the list was made, and whoever waits is told what is learnt, and not what is late.
    let profile = device.client.profile().await.unwrap();
    let entry = profile.outgoing.get(&first.hash()).unwrap().clone();
    for status in ["dropped", "mined"] {
        let empty = Profile { outgoing: Default::default(), ..profile.duplicate() };
        let inner = Arc::new(pinseal_client::MemoryProfile::holding(empty));
        let shared = device_in(&peer, any_development(), Arc::clone(&inner) as Arc<dyn ProfileStore>);
        peer.host().told.clear();
        tell(&peer, first.hash(), status);
        let entry = entry.clone();
        let keep = move || {
            let mut lock = inner.lock().unwrap();
            let mut profile = lock.load().unwrap().unwrap();
            let hash = entry.hash;
            profile.outgoing.sign(entry, &[], &[]).unwrap();
            profile.outgoing.learn(&hash, Learnt::Answered, Some(TransactionStatus::Pending));
            lock.save(&profile).unwrap();
        };
        peer.host().meanwhile = Some(Box::new(|| std::thread::spawn(keep).join().unwrap()));
        if status == "dropped" {
            shared.client.transactions(&network(), own, 10, None).await.unwrap();
            assert_eq!(kept(&shared, first.hash()).await, Some((Standing::Waiting, Known::Doubtful)));
        } else {
            shared.client.wait_for(&first, Until::Mined, Patience::polls(3)).await.unwrap();
            assert_eq!(kept(&shared, first.hash()).await, Some((Standing::Mined, Known::Told)));
        }
    }
}

#[tokio::test]
async fn what_is_accepted_is_accepted_as_it_stood() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    tell(&peer, first.hash(), "dropped");
    name_nonce(&peer, 5);
    let beside = pay("1.6").beside(accepted(first.hash(), Standing::Unsent));
    let second = signed(&device, &attested, &beside).await;
    // It waits by now: their owner has seen something else.
    tell(&peer, first.hash(), "pending");
    assert_eq!(stopped_by(prepared(&device, &beside).await), [first.hash()]);
    let sends = peer.count("POST /v1/tx/broadcast");
    let error = device.client.broadcast(&second).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Unsettled(entries) if hashes(entries) == [first.hash()]), "{error:?}");
    assert_eq!(peer.count("POST /v1/tx/broadcast"), sends);
    // Under its very nonce nothing has to be accepted, and nothing is forgotten.
    tell(&peer, first.hash(), "dropped");
    name_nonce(&peer, 4);
    let instead = signed(&device, &attested, &pay("1.6").beside(accepted(first.hash(), Standing::Unsent))).await;
    peer.host().told.clear();
    device.client.broadcast(&instead).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));
}

#[tokio::test]
async fn the_same_is_not_paid_again_from_another_account_of_the_wallet() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let other = AccountIndex::new(1).unwrap();
    attested.list_accounts(&[other]).await.unwrap();
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    let from_other = |amount| TransactionRequest { account: other, ..pay(amount) };
    // It waits, and that is told; nothing else of another account is.
    tell(&peer, first.hash(), "pending");
    let again = prepared(&device, &from_other("1.5")).await.unwrap();
    assert_eq!((hashes(again.beside()), hashes(again.repeated())), (vec![first.hash()], vec![first.hash()]));
    assert_eq!(hashes(prepared(&device, &from_other("1.4")).await.unwrap().beside()), []);
    // Dropped, as the host says when it is asked for that.
    tell(&peer, first.hash(), "dropped");
    assert_eq!(stopped_by(prepared(&device, &from_other("1.5")).await), [first.hash()]);
    prepared(&device, &from_other("1.4")).await.unwrap();
    tell(&peer, first.hash(), "mined");
    assert_eq!(stopped_by(prepared(&device, &from_other("1.5")).await), [first.hash()]);
    name_nonce(&peer, 5);
    let beside = from_other("1.5").beside(accepted(first.hash(), Standing::Mined));
    let second = signed(&device, &attested, &beside).await;
    peer.host().told.clear();
    device.client.broadcast(&second).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Mined, Known::Told)));

    // Where the host does not say what became of it, it stands as it stood; somebody else's of the same profile is no matter.
    let mut profile = device.client.profile().await.unwrap();
    profile.outgoing.learn(&first.hash(), Learnt::Shown, Some(TransactionStatus::Dropped));
    let mut strange = profile.duplicate();
    let strangers = strange.wallets.values_mut();
    strangers.for_each(|wallet| wallet.addresses.retain(|path, _| path.ends_with("/1")));
    peer.host().bends = Some(|shown| {
        if shown["nonce"] == 4 {
            shown["value"] = "1".into();
        }
    });
    let (own, strange) = (device_of(&peer, profile), device_of(&peer, strange));
    tell(&peer, first.hash(), "mined");
    tell(&peer, second.hash(), "final");
    name_nonce(&peer, 7);
    assert_eq!(stopped_by(prepared(&own, &from_other("1.5")).await), [first.hash()]);
    assert_eq!(kept(&own, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));
    let asked = || peer.host().seen.iter().filter(|seen| seen.ends_with(&first.hash().to_string())).count();
    let before = asked();
    prepared(&strange, &from_other("1.5")).await.unwrap();
    assert_eq!(asked(), before, "nor is it anything to be asked for");
}

#[tokio::test]
async fn what_was_handed_over_from_another_account_meanwhile_stops_the_same() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let other = AccountIndex::new(1).unwrap();
    attested.list_accounts(&[other]).await.unwrap();
    name_nonce(&peer, 4);
    let second = signed(&device, &attested, &TransactionRequest { account: other, ..pay("1.5") }).await;
    let first = signed(&device, &attested, &pay("1.5")).await;
    peer.next("/v1/tx/broadcast", problem(422, "transaction_rejected", false));
    device.client.broadcast(&first).await.unwrap_err();
    let error = device.client.broadcast(&second).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Unsettled(entries) if hashes(entries) == [first.hash()]), "{error:?}");
    // As accepted when it was prepared, it goes.
    let beside = TransactionRequest { account: other, ..pay("1.5") }.beside(accepted(first.hash(), Standing::Unsent));
    tell(&peer, first.hash(), "dropped");
    let meant = signed(&device, &attested, &beside).await;
    peer.host().told.clear();
    device.client.broadcast(&meant).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, None);
}

pub(crate) fn device_of(peer: &Peer, profile: Profile) -> Device {
    crate::world::device_with(peer, any_development(), Some(profile))
}

#[tokio::test]
async fn after_a_chain_was_set_back_its_nonces_can_be_used_again() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    tell(&peer, first.hash(), "final");
    device.client.wait_for(&first, Until::Final, Patience::polls(1)).await.unwrap();
    // A host that calls it final still names no such nonce.
    let error = prepared(&device, &pay("1.5")).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable(_)), "{error:?}");
    // It is in no list any more, and unknown.
    peer.host().told.clear();
    tell(&peer, Hash32([7; 32]), "pending");
    let again = prepared(&device, &pay("1.5")).await.unwrap();
    assert_eq!((hashes(again.instead()), hashes(again.beside())), (vec![first.hash()], vec![]));
}

#[tokio::test]
async fn whoever_waited_and_was_not_told_is_asked_before_the_same_is_paid_again() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    let waited = device.client.wait_for(&first, Until::Mined, Patience::polls(2)).await;
    assert!(matches!(waited, Err(WaitError::NotYet(_))), "{waited:?}");
    let looks = || peer.host().seen.iter().filter(|seen| seen.starts_with("GET /v1/tx/")).count();
    let before = looks();
    let waited = device.client.wait_for(&first, Until::Mined, Patience::seconds(0)).await;
    assert!(matches!(waited, Err(WaitError::NotYet(_))) && looks() == before + 1, "{waited:?}");
    tell(&peer, first.hash(), "mined");
    // That it is in a block is not told to whoever waits for more.
    let waited = device.client.wait_for(&first, Until::Final, Patience::polls(1)).await;
    assert!(matches!(waited, Err(WaitError::NotYet(_))), "{waited:?}");
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Mined, Known::Awaited)));
    name_nonce(&peer, 5);
    prepared(&device, &pay("1.4")).await.unwrap();
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    device.client.wait_for(&first, Until::Mined, Patience::polls(1)).await.unwrap();
    assert_eq!(hashes(prepared(&device, &pay("1.5")).await.unwrap().again()), [first.hash()]);
    assert_eq!(hashes(prepared(&device, &pay("1.4")).await.unwrap().again()), []);
    // Whoever ended a wait by force says so.
    device.client.await_end(&[first.hash()]).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Mined, Known::Awaited)));

    // It cannot be followed: its owner may believe anything.
    peer.host().told.clear();
    let path = format!("/v1/tx/eip155:31337/0x{}", first.hash());
    peer.next(path.leak(), problem(400, "rejected_for_good", false));
    let waited = device.client.wait_for(&first, Until::Mined, Patience::polls(3)).await;
    assert!(matches!(waited, Err(WaitError::Api(_))), "{waited:?}");
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Mined, Known::Doubtful)));
}

#[tokio::test]
async fn what_is_shown_again_after_the_approval_is_what_repeats_or_gives_way_no_more() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    let propose = async |request| device.client.propose_transaction(&request, &[]).await.unwrap();
    let shown = propose(pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    tell(&peer, first.hash(), "pending");
    name_nonce(&peer, 5);
    assert!(propose(pay("1.5")).await.is_otherwise_beside(&shown), "the same");
    assert!(!propose(pay("1.6")).await.is_otherwise_beside(&shown), "something else");
    let beside = propose(pay("1.5")).await;
    assert!(!propose(pay("1.5")).await.is_otherwise_beside(&beside), "the same, as was shown");
    // In its place at first, beside it then.
    name_nonce(&peer, 4);
    let instead = propose(pay("1.6").in_place_of(4)).await;
    assert_eq!(hashes(instead.instead()), [first.hash()]);
    name_nonce(&peer, 5);
    assert!(propose(pay("1.6")).await.is_otherwise_beside(&instead));
    // Carried out since it was shown: as what waits, unless that was shown.
    let late = signed(&device, &attested, &pay("1.5")).await;
    device.client.wait_for(&first, Until::Mined, Patience::polls(1)).await.unwrap_err();
    tell(&peer, first.hash(), "mined");
    device.client.wait_for(&first, Until::Mined, Patience::polls(1)).await.unwrap();
    let again = propose(pay("1.5")).await;
    assert_eq!(hashes(again.again()), [first.hash()]);
    assert!(again.is_otherwise_beside(&shown) && !again.is_otherwise_beside(&beside));
    assert!(!propose(pay("1.5")).await.is_otherwise_beside(&again), "carried out, as was shown");
    device.client.broadcast(&late).await.unwrap();
}

#[tokio::test]
async fn what_was_carried_out_since_it_was_shown_stops_the_same() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 5);
    let slow = signed(&device, &attested, &pay("1.5")).await;
    name_nonce(&peer, 4);
    let quick = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&quick).await.unwrap();
    tell(&peer, quick.hash(), "mined");
    device.client.wait_for(&quick, Until::Mined, Patience::polls(1)).await.unwrap();
    let error = device.client.broadcast(&slow).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Unsettled(entries) if hashes(entries) == [quick.hash()]), "{error:?}");
    // It was carried out, and they read that: nothing else is stopped by it, nor is the same by whoever was shown it.
    assert_eq!(kept(&device, quick.hash()).await, Some((Standing::Mined, Known::Told)));
    name_nonce(&peer, 6);
    let again = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&again).await.unwrap();
}

#[tokio::test]
async fn what_is_doubted_and_was_in_a_block_is_asked_for_where_no_list_has_it() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    device.client.broadcast(&first).await.unwrap();
    tell(&peer, first.hash(), "final");
    device.client.wait_for(&first, Until::Final, Patience::polls(1)).await.unwrap();
    // The chain was set back, or the host restored: its list is empty, and it knows of none.
    peer.host().told.clear();
    tell(&peer, Hash32([7; 32]), "pending");
    device.client.transactions(&network(), account_address(AccountIndex::default()), 10, None).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Final, Known::Doubtful)));
    name_nonce(&peer, 0);
    assert_eq!(stopped_by(prepared(&device, &pay("2")).await), [first.hash()]);
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));
    let beside = signed(&device, &attested, &pay("2").beside(accepted(first.hash(), Standing::Unsent))).await;
    peer.host().told.clear();
    device.client.broadcast(&beside).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, None);
}

/// A profile whose disk fails from some moment on.
#[derive(Debug)]
struct Failing {
    inner: Arc<pinseal_client::MemoryProfile>,
    fails: Arc<std::sync::atomic::AtomicBool>,
}

struct FailingLock {
    inner: Box<dyn ProfileLock>,
    fails: bool,
}

impl ProfileStore for Failing {
    fn lock(self: Arc<Self>) -> Result<Box<dyn ProfileLock>, ProfileError> {
        let fails = self.fails.load(std::sync::atomic::Ordering::SeqCst);
        Ok(Box::new(FailingLock { inner: Arc::clone(&self.inner).lock()?, fails }))
    }
}

impl ProfileLock for FailingLock {
    fn load(&self) -> Result<Option<Profile>, ProfileError> {
        self.inner.load()
    }

    fn save(&mut self, profile: &Profile) -> Result<(), ProfileError> {
        if self.fails { Err(std::io::Error::other("no space").into()) } else { self.inner.save(profile) }
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_sent() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let profile = device.client.profile().await.unwrap();
    let inner = Arc::new(pinseal_client::MemoryProfile::holding(profile));
    let failing = device_in(&peer, any_development(), Arc::new(Failing { inner, fails: Arc::clone(&fails) }));
    let error = failing.client.broadcast(&first).await.unwrap_err();
    assert!(matches!(error, TransactionError::Profile(_)), "{error:?}");
    assert_eq!(peer.count("POST /v1/tx/broadcast"), 0);
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    failing.client.broadcast(&first).await.unwrap();
    assert_eq!(kept(&failing, first.hash()).await, Some((Standing::Waiting, Known::Told)));

    // As many of the wallet as may be kept, none of them settled.
    attested.list_accounts(&[AccountIndex::new(1).unwrap()]).await.unwrap();
    let elsewhere = account_address(AccountIndex::new(1).unwrap());
    let entry = failing.client.outgoing().await.unwrap().entries()[0].clone();
    let mut profile = failing.client.profile().await.unwrap();
    profile.wallets = device.client.profile().await.unwrap().wallets;
    for number in 0..OUTGOING_MAX {
        let hash = Hash32([number.to_le_bytes()[0]; 32]);
        let entry = pinseal_client::Outgoing { from: elsewhere, hash, ..entry.clone() };
        profile.outgoing.sign(entry, &[elsewhere], &[]).unwrap();
    }
    let full = crate::world::device_with(&peer, any_development(), Some(profile));
    name_nonce(&peer, 5);
    let second = signed(&device, &attested, &pay("1.7")).await;
    let sends = peer.count("POST /v1/tx/broadcast");
    let error = full.client.broadcast(&second).await.unwrap_err();
    assert!(matches!(error, TransactionError::TooManyUnsettled), "{error:?}");
    assert_eq!(peer.count("POST /v1/tx/broadcast"), sends);
}
