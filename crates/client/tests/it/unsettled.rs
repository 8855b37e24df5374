//! A host that has something paid for twice: it says that a payment failed, and names another nonce for the next one.

use std::sync::Arc;

use pinseal_client::api::TransactionStatus;
use pinseal_client::outgoing::{Learnt, OUTGOING_MAX};
use pinseal_client::profile::{ProfileLock, ProfileStore};
use pinseal_client::transaction::{Until, WaitError};
use pinseal_client::{
    Address, Amount, Attested, Network, PreparedTransaction, Profile, ProfileError, SignedTransaction, Standing,
    TransactionError, TransactionRequest,
};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::{AccountIndex, ChainId};
use serde_json::json;

use crate::enclave::account_address;
use crate::peer::{Peer, problem};
use crate::world::{Device, PIN, any_development, device_in, pin, registered};

fn network() -> Network {
    Network::evm(ChainId(31_337))
}

fn pay(amount: &str) -> TransactionRequest {
    let to: Address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap();
    TransactionRequest::native(network(), AccountIndex::default(), to, Amount::from_units(amount, 18).unwrap())
}

/// What the host proposes from now on.
fn name_nonce(peer: &Peer, nonce: u64) {
    let fee = json!({"max_fee_per_gas": "3000000000", "max_priority_fee_per_gas": "1000000000"});
    peer.host().prepare = json!({"network": "eip155:31337", "nonce": nonce, "gas_limit": 21000, "balance": "2000000000000000000",
        "reservation_id": "r1", "expires_at": 5, "fees": {"slow": fee, "normal": fee, "fast": fee, "base_fee": "1000000000"}});
}

async fn prepared(device: &Device, request: &TransactionRequest) -> Result<PreparedTransaction, TransactionError> {
    device.client.prepare_transaction(request, &[]).await
}

async fn signed(device: &Device, attested: &Attested, request: &TransactionRequest) -> SignedTransaction {
    let prepared = prepared(device, request).await.unwrap();
    attested.sign_transaction(&pin(PIN), &prepared).await.unwrap()
}

fn tell(peer: &Peer, hash: Hash32, status: &'static str) {
    peer.host().told.insert(format!("0x{hash}"), status);
}

fn hashes<'a>(entries: impl IntoIterator<Item = &'a pinseal_client::Outgoing>) -> Vec<Hash32> {
    entries.into_iter().map(|entry| entry.hash).collect()
}

fn stopped_by(result: Result<PreparedTransaction, TransactionError>) -> Vec<Hash32> {
    match result {
        Err(TransactionError::Unsettled(entries)) => hashes(&entries),
        other => panic!("not stopped: {other:?}"),
    }
}

async fn kept(device: &Device, hash: Hash32) -> Option<(Standing, bool)> {
    device.client.outgoing().await.unwrap().get(&hash).map(|entry| (entry.standing, entry.in_doubt))
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
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, true)));

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
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, false)));
    let error = prepared(&device, &pay("2")).await.unwrap_err();
    assert!(matches!(error, TransactionError::Unreasonable(_)), "the nonce of one that waits: {error:?}");
    name_nonce(&peer, 5);
    tell(&peer, first.hash(), "pending");
    let again = prepared(&device, &pay("1.5")).await.unwrap();
    assert_eq!((hashes(again.beside()), hashes(again.repeated())), (vec![first.hash()], vec![first.hash()]));
    assert_eq!(prepared(&device, &pay("1.4")).await.unwrap().repeated(), Vec::<&pinseal_client::Outgoing>::new());

    // Denied while it was waited for, and not any more when it matters.
    tell(&peer, first.hash(), "dropped");
    let waited = device.client.wait_for(&first, Until::Mined, 3).await;
    assert!(matches!(waited, Err(WaitError::Gone(_))), "{waited:?}");
    tell(&peer, first.hash(), "pending");
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    // Handed in once more, and taken.
    device.client.broadcast(&first).await.unwrap();
    assert_eq!(hashes(prepared(&device, &pay("1.5")).await.unwrap().beside()), [first.hash()]);

    // Denied in a list, or left out of it; on a page of several nothing is missed.
    let list =
        async || device.client.transactions(&network(), account_address(AccountIndex::default()), 10, None).await;
    tell(&peer, first.hash(), "replaced");
    list().await.unwrap();
    tell(&peer, first.hash(), "pending");
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    device.client.broadcast(&first).await.unwrap();
    peer.host().told.clear();
    tell(&peer, Hash32([7; 32]), "pending");
    peer.host().next_cursor = Some("more");
    list().await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, false)));
    peer.host().next_cursor = None;
    list().await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, true)));

    // Asked for by itself, and unknown.
    device.client.broadcast(&first).await.unwrap();
    device.client.transaction(&network(), first.hash()).await.unwrap_err();
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, true)));

    // It carried it out, and says that nothing came of it.
    tell(&peer, first.hash(), "failed");
    assert_eq!(stopped_by(prepared(&device, &pay("1.5")).await), [first.hash()]);
    prepared(&device, &pay("1.4")).await.unwrap();

    // Whoever looked elsewhere goes on, and is not asked again.
    tell(&peer, first.hash(), "dropped");
    let beside = signed(&device, &attested, &pay("1.4").beside(vec![first.hash()])).await;
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Unsent, true)), "nothing was sent yet");
    device.client.broadcast(&beside).await.unwrap();
    assert_eq!(kept(&device, first.hash()).await, None);
    tell(&peer, beside.hash(), "mined");
    name_nonce(&peer, 6);
    prepared(&device, &pay("1.4")).await.unwrap();

    // Another one is reported in its place.
    peer.host().told.clear();
    peer.host().hash = Some(format!("0x{}", "11".repeat(32)));
    assert!(matches!(device.client.wait_for(&beside, Until::Mined, 3).await, Err(WaitError::Other)));
    assert_eq!(kept(&device, beside.hash()).await, Some((Standing::Mined, true)));
}

#[tokio::test]
async fn what_a_second_program_signed_meanwhile_stops_what_was_not_handed_over_yet() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let slow = signed(&device, &attested, &pay("1.5")).await;
    name_nonce(&peer, 5);
    let other = signed(&device, &attested, &pay("2")).await;
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
    assert_eq!(kept(&device, quick.hash()).await, Some((Standing::Waiting, true)), "its owner was told to look");
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
        profile.outgoing.sign(pinseal_client::Outgoing { nonce, hash, ..entry.clone() }).unwrap();
        let status = if number == 20 { TransactionStatus::Failed } else { TransactionStatus::Pending };
        profile.outgoing.learn(&hash, Learnt::Answered, Some(status));
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
    assert!(matches!(error, TransactionError::Misreported(_)), "{error:?}");
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
    let refused = async |device: &Device| matches!(nonce(device, own).await, Err(TransactionError::Misreported(_)));
    let unshown = nonce(&other, own).await;
    assert!(matches!(unshown, Err(TransactionError::NotReplaceable(_))), "{unshown:?}");
    peer.host().shows_raw = true;
    assert_eq!(nonce(&other, own).await.unwrap(), 4);
    name_nonce(&peer, 5);
    assert!(refused(&device).await && refused(&other).await, "another nonce beside the bytes");
    name_nonce(&peer, 4);
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
    assert_eq!(kept(&failing, first.hash()).await, Some((Standing::Waiting, false)));

    // As many as may be kept, none of them settled.
    let entry = failing.client.outgoing().await.unwrap().entries()[0].clone();
    let mut profile = failing.client.profile().await.unwrap();
    for number in 1..OUTGOING_MAX {
        let hash = Hash32([number.to_le_bytes()[0]; 32]);
        profile
            .outgoing
            .sign(pinseal_client::Outgoing {
                from: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap(),
                hash,
                ..entry.clone()
            })
            .unwrap();
    }
    let full = crate::world::device_with(&peer, any_development(), Some(profile));
    let second = signed(&device, &attested, &pay("1.7")).await;
    let sends = peer.count("POST /v1/tx/broadcast");
    let error = full.client.broadcast(&second).await.unwrap_err();
    assert!(matches!(error, TransactionError::TooManyUnsettled), "{error:?}");
    assert_eq!(peer.count("POST /v1/tx/broadcast"), sends);
}
