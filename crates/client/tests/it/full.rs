//! A profile that keeps as many transactions as it may.

use pinseal_client::api::TransactionStatus;
use pinseal_client::outgoing::{Content, Learnt, OUTGOING_MAX};
use pinseal_client::{Address, Attested, Outgoing, TransactionError, TransactionRequest};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::AccountIndex;

use crate::enclave::account_address;
use crate::peer::{Peer, problem};
use crate::unsettled::{device_of, hashes, name_nonce, network, pay, prepared, signed, tell};
use crate::world::{Device, registered};

/// What the others have in common, for the host to show.
const NONCE: u64 = 1_000;

fn own() -> Address {
    account_address(AccountIndex::default())
}

fn second() -> AccountIndex {
    AccountIndex::new(1).unwrap()
}

fn hash(number: u64) -> Hash32 {
    let mut hash = [0; 32];
    hash[24..].copy_from_slice(&(NONCE + number).to_be_bytes());
    Hash32(hash)
}

/// The same, as the host shows it, of the account that was asked for, or of the second one.
fn nonce_of(shown: &mut serde_json::Value) -> bool {
    let hash = shown["hash"].as_str().unwrap();
    let is_ours = hash.starts_with("0x0000");
    if is_ours {
        shown["nonce"] = u64::from_str_radix(&hash[50..], 16).unwrap().into();
    }
    is_ours
}

/// A device that keeps as many of one of its accounts as it may, all of which wait, as it was told.
async fn full(peer: &Peer, device: &Device, attested: &Attested, account: AccountIndex) -> Device {
    attested.list_accounts(&[second()]).await.unwrap();
    let from = account_address(account);
    let bend: fn(&mut serde_json::Value) = if account == second() {
        |shown| {
            if nonce_of(shown) {
                shown["from"] = account_address(second()).to_string().into();
            }
        }
    } else {
        |shown| {
            if nonce_of(shown) {
                shown["from"] = own().to_string().into();
            }
        }
    };
    peer.host().bends = Some(bend);
    let mut profile = device.client.profile().await.unwrap();
    for number in 0..OUTGOING_MAX as u64 {
        let content = Content::new(None, "1".parse().unwrap(), b"");
        let entry = Outgoing {
            network: network(),
            from,
            nonce: NONCE + number,
            hash: hash(number),
            content,
            summary: "Sends 1.".into(),
            signed_at: pinseal_protocol::ids::UnixSeconds(1),
            standing: pinseal_client::Standing::Unsent,
            known: pinseal_client::Known::Told,
            stays_accepted: false,
        };
        profile.outgoing.sign(entry, &[from], &[]).unwrap();
        profile.outgoing.learn(&hash(number), Learnt::Answered, Some(TransactionStatus::Pending));
    }
    let full = device_of(peer, profile);
    // The host gives it a nonce for its proofs.
    full.client.api().me().await.unwrap();
    full
}

fn told(peer: &Peer, status: &'static str) {
    (0..OUTGOING_MAX as u64).for_each(|number| tell(peer, hash(number), status));
}

/// Lists asked for, and single ones.
fn asked(peer: &Peer) -> (usize, usize) {
    let host = peer.host();
    let count = |is: &dyn Fn(&&String) -> bool| host.seen.iter().filter(is).count();
    (count(&|seen| *seen == "GET /v1/tx"), count(&|seen| seen.starts_with("GET /v1/tx/")))
}

#[tokio::test]
async fn whoever_sends_without_preparing_is_not_blocked_by_what_is_in_a_block_by_now() {
    for is_listed in [true, false] {
        let peer = Peer::start().await;
        let (device, attested) = registered(&peer).await;
        name_nonce(&peer, 4);
        let next = signed(&device, &attested, &pay("1.5")).await;
        let full = full(&peer, &device, &attested, AccountIndex::default()).await;
        told(&peer, "mined");
        if !is_listed {
            peer.next("/v1/tx", problem(400, "invalid", false));
        }
        full.client.broadcast(&next).await.unwrap();
        assert_eq!(asked(&peer), (1, if is_listed { 0 } else { 16 }));
        let kept = full.client.outgoing().await.unwrap();
        assert_eq!(kept.entries().len(), OUTGOING_MAX);
        assert!(kept.get(&hash(0)).is_none() && kept.get(&hash(1)).is_some() && kept.get(&next.hash()).is_some());
    }
}

#[tokio::test]
async fn what_another_account_sent_blocks_nobody_once_it_is_in_a_block() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let full = full(&peer, &device, &attested, second()).await;
    told(&peer, "pending");
    let error = prepared(&full, &pay("1.5")).await.unwrap_err();
    assert!(matches!(error, TransactionError::TooManyUnsettled), "{error:?}");
    assert!(error.to_string().ends_with("as far as it has asked"), "{error}");
    assert_eq!(asked(&peer), (1, 0));
    told(&peer, "mined");
    prepared(&full, &pay("1.5")).await.unwrap();
}

#[tokio::test]
async fn what_replaces_one_or_pays_nobody_is_sent_where_nothing_else_is() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let full = full(&peer, &device, &attested, AccountIndex::default()).await;
    told(&peer, "pending");
    name_nonce(&peer, 4);
    let error = prepared(&full, &pay("1.5")).await.unwrap_err();
    assert!(matches!(error, TransactionError::TooManyUnsettled), "{error:?}");
    let nothing = TransactionRequest { to: own(), ..pay("0") };
    let nothing = signed(&full, &attested, &nothing).await;
    name_nonce(&peer, NONCE + 7);
    let replacing = prepared(&full, &pay("1.5").in_place_of(NONCE + 7)).await.unwrap();
    assert_eq!(hashes(replacing.instead()), [hash(7)]);
    peer.host().told.clear();
    full.client.broadcast(&nothing).await.unwrap();
    assert_eq!(full.client.outgoing().await.unwrap().entries().len(), OUTGOING_MAX + 1);
}
