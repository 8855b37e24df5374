//! An enclave and networks that take what the server read and answer the same every time.

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{Hash32, Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::log::Inclusion;
use pinseal_protocol::manifest::{Ed25519Public, HpkePublic, MANIFEST_VERSION, Manifest};
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::SignedBeginReply;
use pinseal_server::{
    AnchorStatus, BalancesBody, BeginCall, Begun, Boxed, EnclaveStatus, EnrolmentStatus, Evidence, FeeTierBody,
    FeesBody, NativeBody, NetworkBody, Networks, NetworksError, PrepareCall, PreparedBody, Room, Sample, SealedCall,
    TxBody, TxPageBody, Wallets, WalletsError,
};

use pinseal_store::accounts::UserId;
use pinseal_store::records::{Listed, LogPage, LogQuery};

use super::deployment;
use crate::harness::base::{BASE, START};

pub(super) struct Enclave;

fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        deployment: deployment(),
        hpke: HpkePublic([1; 32]),
        boot: Ed25519Public([2; 32]),
        log: BASE.root.log_public(),
        configuration: Hash32([4; 32]),
        anchor: AnchorLevel::L1,
        floor: AnchorLevel::L0,
        checkpoint: vec![6].into(),
        witnesses: None,
        tpm: None,
    }
}

impl Wallets for Enclave {
    fn begin(&self, call: BeginCall) -> Boxed<'_, Result<Begun, WalletsError>> {
        let reply =
            SignedBeginReply { reply: call.method.name().as_bytes().to_vec().into(), signature: vec![1].into() };
        Box::pin(async { Ok(Begun { wallet: BASE.ada, reply }) })
    }

    fn sealed(&self, call: SealedCall) -> Boxed<'_, Result<SealedReply, WalletsError>> {
        let request = call.request.header.request;
        Box::pin(async move { Ok(SealedReply { request, ciphertext: vec![5; 64].into() }) })
    }

    fn evidence(&self, nonce: Nonce, _: UnixSeconds) -> Boxed<'_, Result<Evidence, WalletsError>> {
        Box::pin(async move { Ok(Evidence { document: nonce.0.to_vec(), manifest: cbor::to_vec(&manifest()) }) })
    }

    fn status(&self) -> Boxed<'_, Result<EnclaveStatus, WalletsError>> {
        Box::pin(async {
            Ok(EnclaveStatus {
                ready: true,
                manifest: cbor::to_vec(&manifest()),
                anchor: AnchorStatus {
                    level: "L1".into(),
                    floor: "L1".into(),
                    witnesses: None,
                    tpm: None,
                    age_seconds: 3,
                    restores: 0,
                },
                checkpoint: None,
                wallets: 1,
                enrolment: EnrolmentStatus::default(),
                measurement: String::new(),
                hardening: Vec::new(),
            })
        })
    }

    fn history(&self, wallet: UserIdHash, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        let path = vec![Hash32(wallet.0); usize::try_from(query.size % 3).unwrap_or(0)];
        let proof = Inclusion { index: query.from.unwrap_or(query.size), size: query.size, path };
        let items = vec![Listed { entry: vec![1, 2], proof }; query.count];
        Box::pin(async move { Ok((query.size < 100).then_some(LogPage { items, next: query.from })) })
    }

    fn events(&self, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        self.history(BASE.ada, query)
    }

    fn metrics(&self) -> Vec<Sample> {
        Vec::new()
    }
}

pub(super) struct Chain;

type Answer<'a, T> = Boxed<'a, Result<T, NetworksError>>;

fn fees() -> FeesBody {
    let tier =
        FeeTierBody { max_fee_per_gas: "2".into(), max_priority_fee_per_gas: "1".into(), seconds_estimate: None };
    FeesBody { slow: tier.clone(), normal: tier.clone(), fast: tier, base_fee: "1".into(), legacy_gas_price: None }
}

fn transaction(network: String, hash: String) -> TxBody {
    TxBody {
        network,
        hash,
        from: format!("0x{}", hex::encode(BASE.addresses[0])),
        to: None,
        value: "0".into(),
        nonce: 0,
        status: "pending".into(),
        block_number: None,
        confirmations: 0,
        submitted_at: START,
        fee_paid: None,
        waits_for: None,
        raw: None,
    }
}

impl Networks for Chain {
    fn list(&self) -> Answer<'_, Vec<NetworkBody>> {
        let network = NetworkBody {
            caip2: "eip155:1".into(),
            name: "One".into(),
            symbol: "ETH".into(),
            decimals: 18,
            explorer: None,
            testnet: false,
            status: "up".into(),
        };
        Box::pin(async { Ok(vec![network]) })
    }

    fn caip2(&self, network: &str) -> Option<String> {
        Some(network.to_owned())
    }

    fn fees(&self, _: String) -> Answer<'_, FeesBody> {
        Box::pin(async { Ok(fees()) })
    }

    fn balances(&self, network: String, address: String, _: Vec<String>) -> Answer<'_, BalancesBody> {
        let native = NativeBody { amount: "1".into(), symbol: "ETH".into(), decimals: 18 };
        Box::pin(async { Ok(BalancesBody { network, address, native, tokens: Vec::new() }) })
    }

    fn prepare(&self, call: PrepareCall) -> Answer<'_, PreparedBody> {
        Box::pin(async move {
            Ok(PreparedBody {
                network: call.network,
                nonce: call.nonce.unwrap_or_default(),
                gas_limit: 21_000,
                fees: fees(),
                balance: call.value,
                reservation_id: call.reserve.then(|| "1".into()),
                expires_at: call.reserve.then_some(START),
            })
        })
    }

    fn sender(&self, _: &str, raw: &str) -> Result<String, NetworksError> {
        // Half of what is sent is a stranger's.
        let address = BASE.addresses[0].map(|byte| if raw.len().is_multiple_of(4) { byte } else { !byte });
        Ok(format!("0x{}", hex::encode(address)))
    }

    fn broadcast(&self, network: String, raw: String, _: UserId) -> Answer<'_, TxBody> {
        Box::pin(async { Ok(transaction(network, raw)) })
    }

    fn transaction(&self, network: String, hash: String, _: Vec<String>) -> Answer<'_, TxBody> {
        Box::pin(async { Ok(transaction(network, hash)) })
    }

    fn history<'a>(
        &'a self,
        _: Option<String>,
        _: String,
        limit: usize,
        cursor: Option<String>,
        _: &'a dyn Room,
    ) -> Answer<'a, TxPageBody> {
        let items = (0..limit).map(|_| transaction("eip155:1".into(), "0x11".into())).collect();
        Box::pin(async { Ok(TxPageBody { items, next_cursor: cursor }) })
    }

    fn call(&self, _: String, method: String, params: serde_json::Value) -> Answer<'_, serde_json::Value> {
        Box::pin(async move { if method == "eth_call" { Ok(params) } else { Err(NetworksError::Invalid("method")) } })
    }

    fn release(&self, reservation: String) -> Answer<'_, ()> {
        Box::pin(async move { (reservation == "1").then_some(()).ok_or(NetworksError::UnknownReservation) })
    }
}
