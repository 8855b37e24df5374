//! Stand-ins behind the two seams. The real enclave and the real gateway are met in the end-to-end tests of the `pinseal`
//! binary; here they must also be able to fail, hang and panic on demand.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{DeploymentId, Hash32, Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::log::Inclusion;
use pinseal_protocol::manifest::{Ed25519Public, HpkePublic, Manifest};
use pinseal_protocol::pin::{Argon2Parameters, PinParameters, PinSalt};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{AddressStatement, BeginReply, Method, SignedBeginReply, SignedStatement, WalletState};
use pinseal_protocol::token::{AccessClaims, StorageKey};
use pinseal_server::{
    AnchorStatus, BalancesBody, BeginCall, Begun, Boxed, EnclaveStatus, EnrolmentStatus, Evidence, FeeTierBody,
    FeesBody, GapBody, NativeBody, NetworkBody, Networks, NetworksError, PrepareCall, PreparedBody, Room, Sample,
    SealedCall, TxBody, TxPageBody, Value, Wallets, WalletsError,
};
use pinseal_store::accounts::UserId;
use pinseal_store::records::{Listed, LogPage, LogQuery};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

/// What the enclave stand-in does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Serve,
    Refuse(Refusal),
    StorageToken,
    Away,
    Fault,
    Interrupted,
    Hang,
    /// `begin` and `evidence` wait until told.
    Slow,
    Panic,
    OtherWallet,
}

pub(crate) struct Enclave {
    pub(crate) mood: Mutex<Mood>,
    /// Told when a call hangs.
    pub(crate) hanging: Notify,
    pub(crate) go_on: Notify,
    /// How often it was asked for evidence.
    pub(crate) evidence: AtomicUsize,
    deployment: DeploymentId,
    storage: StorageKey,
    log: Ed25519KeyPair,
    states: Mutex<HashMap<UserIdHash, WalletState>>,
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

fn public(pair: &Ed25519KeyPair) -> Ed25519Public {
    Ed25519Public::from_slice(pair.public_key().as_ref()).unwrap()
}

impl Enclave {
    pub(crate) fn new(deployment: DeploymentId, storage: StorageKey) -> Self {
        Self {
            mood: Mutex::new(Mood::Serve),
            hanging: Notify::new(),
            go_on: Notify::new(),
            evidence: AtomicUsize::new(0),
            deployment,
            storage,
            log: pair(),
            states: Mutex::default(),
        }
    }

    pub(crate) fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn wallet_of(&self, user: &str) -> UserIdHash {
        UserIdHash(Sha256::digest(user.as_bytes()).into())
    }

    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            version: 1,
            deployment: self.deployment,
            hpke: HpkePublic([1; 32]),
            boot: public(&self.log),
            log: public(&self.log),
            configuration: Hash32([2; 32]),
            anchor: AnchorLevel::L1,
            floor: AnchorLevel::L1,
            checkpoint: ByteVec::from(vec![3]),
            witnesses: None,
            tpm: None,
        }
    }

    /// A statement as the enclave makes it.
    pub(crate) fn statement(&self, wallet: UserIdHash, address: [u8; 20]) -> SignedStatement {
        let statement = cbor::to_vec(&AddressStatement {
            deployment: self.deployment,
            wallet,
            path: "m/44'/60'/0'/0/0".into(),
            network: "eip155".into(),
            address: ByteVec::from(address.to_vec()),
        });
        let signature = self.log.sign(&AddressStatement::signed_bytes(&statement));
        SignedStatement { statement: statement.into(), signature: signature.as_ref().to_vec().into() }
    }

    async fn mood(&self) -> Result<Mood, WalletsError> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Serve | Mood::OtherWallet | Mood::Slow => Ok(mood),
            Mood::Refuse(refusal) => Err(WalletsError::Refused(refusal)),
            Mood::StorageToken => Err(WalletsError::StorageToken),
            Mood::Away => Err(WalletsError::Unavailable("away".into())),
            Mood::Fault => Err(WalletsError::Fault("broken".into())),
            Mood::Interrupted => Err(WalletsError::Interrupted("gone".into())),
            Mood::Hang => {
                self.hanging.notify_one();
                std::future::pending().await
            }
            Mood::Panic => panic!("the enclave double panics on demand"),
        }
    }
}

/// Ten entries that say whose they are, in a log of forty.
fn page(whose: &[u8], query: LogQuery) -> Option<LogPage> {
    let from = query.from.unwrap_or(9);
    if query.size > 40 || from > 9 {
        return None;
    }
    let item = |index: u64| Listed {
        entry: whose.to_vec(),
        proof: Inclusion { index, size: query.size, path: vec![Hash32([u8::try_from(index).unwrap(); 32])] },
    };
    let items: Vec<Listed> = (0..=from).rev().take(query.count).map(item).collect();
    let next = items.last().and_then(|last| last.proof.index.checked_sub(1));
    Some(LogPage { items, next })
}

fn claims_of(token: &str) -> AccessClaims {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

impl Wallets for Enclave {
    fn begin(&self, call: BeginCall) -> Boxed<'_, Result<Begun, WalletsError>> {
        Box::pin(async move {
            let mood = self.mood().await?;
            if mood == Mood::Slow {
                self.hanging.notify_one();
                self.go_on.notified().await;
            }
            let claims = claims_of(call.access_token.expose_secret());
            let suffix = if mood == Mood::OtherWallet { "other" } else { "" };
            let wallet = self.wallet_of(&format!("{}{suffix}", claims.sub));
            let parameters = PinParameters { salt: PinSalt([7; 16]), argon2: Argon2Parameters::DEFAULT };
            let reply = cbor::to_vec(&BeginReply {
                manifest: self.manifest().hash(),
                wallet,
                device: claims.device().unwrap(),
                method: call.method,
                challenge: vec![9; 32].into(),
                state: self.states.lock().unwrap().get(&wallet).copied().unwrap_or(WalletState::Missing),
                enrolled: false,
                current: None,
                pending: None,
                next: parameters,
                time: call.now,
            });
            let signature = self.log.sign(&BeginReply::signed_bytes(&reply)).as_ref().to_vec();
            Ok(Begun { wallet, reply: SignedBeginReply { reply: reply.into(), signature: signature.into() } })
        })
    }

    fn sealed(&self, call: SealedCall) -> Boxed<'_, Result<SealedReply, WalletsError>> {
        Box::pin(async move {
            let token = call.storage_token.expose_secret();
            let claims = self.storage.verify(token).map_err(|_| WalletsError::StorageToken)?;
            let method = call.request.header.method;
            if claims.operation != method.name() || claims.wallet != call.wallet.to_string() {
                return Err(WalletsError::StorageToken);
            }
            self.mood().await?;
            if method == Method::RegisterConfirm {
                let wallet = UserIdHash::from_hex(&claims.wallet).unwrap();
                self.states.lock().unwrap().insert(wallet, WalletState::Active);
            }
            Ok(SealedReply { request: call.request.header.request, ciphertext: vec![5; 64].into() })
        })
    }

    fn evidence(&self, nonce: Nonce, _: UnixSeconds) -> Boxed<'_, Result<Evidence, WalletsError>> {
        Box::pin(async move {
            self.evidence.fetch_add(1, Ordering::SeqCst);
            if self.mood().await? == Mood::Slow {
                self.go_on.notified().await;
            }
            Ok(Evidence { document: nonce.0.to_vec(), manifest: cbor::to_vec(&self.manifest()) })
        })
    }

    fn status(&self) -> Boxed<'_, Result<EnclaveStatus, WalletsError>> {
        Box::pin(async move {
            self.mood().await?;
            Ok(EnclaveStatus {
                ready: true,
                manifest: cbor::to_vec(&self.manifest()),
                anchor: AnchorStatus {
                    level: "L1".into(),
                    floor: "L1".into(),
                    witnesses: None,
                    tpm: None,
                    age_seconds: 3,
                    restores: 2,
                },
                checkpoint: Some((4, 9, "00".repeat(32))),
                wallets: 2,
                enrolment: EnrolmentStatus::default(),
                measurement: "11".repeat(32),
                hardening: Vec::new(),
            })
        })
    }

    fn history(&self, wallet: UserIdHash, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        Box::pin(async move {
            self.mood().await?;
            Ok(page(&wallet.0, query))
        })
    }

    fn events(&self, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        Box::pin(async move {
            self.mood().await?;
            Ok(page(b"boot", query))
        })
    }

    fn metrics(&self) -> Vec<Sample> {
        vec![Sample { name: "pinseal_enclave_wallets".into(), help: "Wallets.".into(), value: Value::Gauge(2.0) }]
    }
}

/// What the gateway stand-in does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    Away,
    Fault,
    Funds,
    Waiting,
    Rejected,
    /// `prepare` waits until told.
    Slow,
}

pub(crate) struct Chain {
    pub(crate) weather: Mutex<Weather>,
    pub(crate) calls: AtomicUsize,
    pub(crate) waiting: Notify,
    pub(crate) go_on: Notify,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self {
            weather: Mutex::new(Weather::Fair),
            calls: AtomicUsize::new(0),
            waiting: Notify::new(),
            go_on: Notify::new(),
        }
    }

    pub(crate) fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    async fn pass(&self, network: &str) -> Result<(), NetworksError> {
        if network != "eip155:31337" {
            return Err(NetworksError::UnknownNetwork);
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let weather = *self.weather.lock().unwrap();
        match weather {
            Weather::Fair => Ok(()),
            Weather::Away => Err(NetworksError::Unavailable("no node".into())),
            Weather::Fault => Err(NetworksError::Fault("broken".into())),
            Weather::Funds => Err(NetworksError::Funds),
            Weather::Waiting => Err(NetworksError::Waiting),
            Weather::Rejected => Err(NetworksError::Rejected("nonce too low".into())),
            Weather::Slow => {
                self.waiting.notify_one();
                self.go_on.notified().await;
                Ok(())
            }
        }
    }
}

fn fees() -> FeesBody {
    let tier =
        FeeTierBody { max_fee_per_gas: "2".into(), max_priority_fee_per_gas: "1".into(), seconds_estimate: None };
    FeesBody { slow: tier.clone(), normal: tier.clone(), fast: tier, base_fee: "1".into(), legacy_gas_price: None }
}

/// Of the answer to `eth_getCode`: more than sockets keep of what nobody reads.
const LONG_BYTES: usize = 5 * 512 * 1_024;

/// The address everything but `0xcc` was sent from.
pub(crate) const SENDER: [u8; 20] = [0xab; 20];

fn tx(network: String, hash: String) -> TxBody {
    let sender = if hash == "0xcc" { [0xcd; 20] } else { SENDER };
    let waits_for = (hash == "0xaa").then_some(GapBody { nonce: 0, until: Some(7) });
    TxBody {
        network,
        hash,
        from: format!("0x{}", hex::encode(sender)),
        to: None,
        value: "0".into(),
        nonce: 0,
        status: "pending".into(),
        block_number: None,
        confirmations: 0,
        submitted_at: 0,
        fee_paid: None,
        waits_for,
        raw: None,
    }
}

type Answer<'a, T> = Boxed<'a, Result<T, NetworksError>>;

impl Networks for Chain {
    fn list(&self) -> Answer<'_, Vec<NetworkBody>> {
        Box::pin(async {
            Ok(vec![NetworkBody {
                caip2: "eip155:31337".into(),
                name: "Local".into(),
                symbol: "ETH".into(),
                decimals: 18,
                explorer: None,
                testnet: true,
                status: "up".into(),
            }])
        })
    }

    fn caip2(&self, network: &str) -> Option<String> {
        Some(network.to_owned())
    }

    fn fees(&self, network: String) -> Answer<'_, FeesBody> {
        Box::pin(async move { self.pass(&network).await.map(|()| fees()) })
    }

    fn balances(&self, network: String, address: String, tokens: Vec<String>) -> Answer<'_, BalancesBody> {
        Box::pin(async move {
            self.pass(&network).await?;
            if tokens.iter().any(|token| !token.starts_with("0x")) {
                return Err(NetworksError::Invalid("token"));
            }
            let native = NativeBody { amount: tokens.len().to_string(), symbol: "ETH".into(), decimals: 18 };
            Ok(BalancesBody { network, address, native, tokens: Vec::new() })
        })
    }

    fn prepare(&self, call: PrepareCall) -> Answer<'_, PreparedBody> {
        Box::pin(async move {
            self.pass(&call.network).await?;
            let nonce = self.calls.load(Ordering::SeqCst) as u64;
            Ok(PreparedBody {
                network: call.network,
                nonce,
                gas_limit: 21_000,
                fees: fees(),
                balance: "1".into(),
                reservation_id: call.reserve.then(|| nonce.to_string()),
                expires_at: call.reserve.then_some(0),
            })
        })
    }

    fn sender(&self, _: &str, raw: &str) -> Result<String, NetworksError> {
        raw.get(..42).map(str::to_owned).ok_or(NetworksError::Invalid("raw"))
    }

    fn broadcast(&self, network: String, _: String, _: UserId) -> Answer<'_, TxBody> {
        Box::pin(async move { self.pass(&network).await.map(|()| tx(network, "0xaa".into())) })
    }

    fn transaction(&self, network: String, hash: String, of: Vec<String>) -> Answer<'_, TxBody> {
        Box::pin(async move {
            self.pass(&network).await?;
            let known = matches!(hash.as_str(), "0xaa" | "0xcc").then(|| tx(network, hash));
            known.filter(|known| of.contains(&known.from)).ok_or(NetworksError::UnknownTransaction)
        })
    }

    /// A node says what its transactions wait for, where there is a place to ask one.
    fn history<'a>(
        &'a self,
        _: Option<String>,
        _: String,
        limit: usize,
        _: Option<String>,
        room: &'a dyn Room,
    ) -> Answer<'a, TxPageBody> {
        Box::pin(async move {
            let place = room.place("eip155:31337");
            let written = || tx("eip155:31337".into(), "0xaa".into());
            let shown = || TxBody { waits_for: written().waits_for.filter(|_| place.is_some()), ..written() };
            let items = (0..limit).map(|_| shown()).collect();
            Ok(TxPageBody { items, next_cursor: Some("next".into()) })
        })
    }

    fn call(&self, network: String, method: String, params: serde_json::Value) -> Answer<'_, serde_json::Value> {
        Box::pin(async move {
            self.pass(&network).await?;
            match method.as_str() {
                "eth_blockNumber" => Ok("0x10".into()),
                "eth_call" => {
                    Err(NetworksError::Refused { reason: "execution reverted".into(), data: Some(vec![8, 0xc3]) })
                }
                "eth_getLogs" => Ok(params),
                "eth_getCode" => Ok(format!("0x{}", "00".repeat(LONG_BYTES)).into()),
                _ => Err(NetworksError::Invalid("method")),
            }
        })
    }

    fn release(&self, reservation_id: String) -> Answer<'_, ()> {
        Box::pin(async move { if reservation_id == "1" { Ok(()) } else { Err(NetworksError::UnknownReservation) } })
    }
}
