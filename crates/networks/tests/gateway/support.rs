//! A node, a store that can be reopened, and a user who signs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{U256, hex};
use pinseal_networks::dev::{ANVIL_BINARY, Anvil, AnvilOptions};
use pinseal_networks::{
    BroadcastRequest, Clock, Fee, Gateway, GatewayConfig, GatewayStore, IdempotencyKey, Owner, PrepareRequest,
    Prepared, Registry, RpcLimits, RpcUrl,
};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::EvmAddress;
use pinseal_store::Sqlite;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const LOCAL: &str = "local";
pub(crate) const TO: EvmAddress = EvmAddress([0x11; 20]);

/// Where the demo's node is; without it these tests have nothing to say.
pub(crate) fn anvil_binary() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(ANVIL_BINARY)
}

pub(crate) async fn anvil(arguments: &[&str]) -> Anvil {
    let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
    match Anvil::spawn(&anvil_binary(), &AnvilOptions { port: 0, arguments }).await {
        Ok(anvil) => anvil,
        Err(error) => panic!("{error}"),
    }
}

/// A clock that moves when told to.
#[derive(Debug, Default)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(1_800_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// A registry with the local chain alone.
pub(crate) fn registry(finality: u64, url: &str) -> Registry {
    let text = format!(
        "[[network]]\ncaip2 = \"eip155:31337\"\naliases = [\"local\"]\nname = \"Local\"\nsymbol = \"ETH\"\ndecimals = 18\n\
         rpc_urls = []\nexplorer = \"https://explorer.example\"\nfinality_blocks = {finality}\nstatus = \"active\"\n\
         testnet = true\nfee_cap_gwei = 100_000\nlocal = true\n"
    );
    Registry::parse(&text, "test").unwrap().with_rpc_url(LOCAL, RpcUrl::parse(url).unwrap()).unwrap()
}

/// A registry whose one network has several endpoints.
pub(crate) fn registry_of(urls: &[String]) -> Registry {
    let text = format!(
        "[[network]]\ncaip2 = \"eip155:31337\"\naliases = [\"local\"]\nname = \"Local\"\nsymbol = \"ETH\"\ndecimals = 18\n\
         rpc_urls = {urls:?}\nfinality_blocks = 1\nstatus = \"active\"\ntestnet = true\nfee_cap_gwei = 100_000\n"
    );
    Registry::parse(&text, "test").unwrap()
}

/// A database that outlives the gateways over it.
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn open(&self) -> Sqlite {
        Sqlite::open(&self.0.path().join("host.db")).unwrap()
    }
}

pub(crate) fn gateway(registry: Registry, store: Arc<dyn GatewayStore>, clock: &Arc<HandClock>) -> Gateway {
    let limits = RpcLimits {
        exchange_time_max: Duration::from_secs(20),
        call_time_max: Duration::from_secs(60),
        ..RpcLimits::default()
    };
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
    Gateway::new(registry, store, GatewayConfig { limits, clock, ..GatewayConfig::default() }).unwrap()
}

/// A node with a gateway over it.
pub(crate) struct Scene {
    pub(crate) anvil: Anvil,
    pub(crate) disk: Disk,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) gateway: Gateway,
    finality: u64,
}

impl Scene {
    pub(crate) async fn new(finality: u64, arguments: &[&str]) -> Self {
        let (anvil, disk, clock) = (anvil(arguments).await, Disk::new(), Arc::new(HandClock::default()));
        let gateway = gateway(registry(finality, &anvil.url_text()), Arc::new(disk.open()), &clock);
        Self { anvil, disk, clock, gateway, finality }
    }

    /// Ends the host's process as far as the gateway is concerned, and starts another over the same file.
    pub(crate) fn restart(&mut self) {
        self.restart_with(Arc::new(self.disk.open()));
    }

    pub(crate) fn restart_with(&mut self, store: Arc<dyn GatewayStore>) {
        self.gateway = gateway(registry(self.finality, &self.anvil.url_text()), store, &self.clock);
    }

    pub(crate) fn node(&self) -> Node {
        Node::new(&self.anvil.url_text())
    }

    pub(crate) async fn prepare(&self, from: EvmAddress) -> Prepared {
        self.gateway.prepare(transfer(from)).await.unwrap()
    }

    /// Prepares, signs and sends one transfer.
    pub(crate) async fn send(&self, from: EvmAddress) -> pinseal_networks::TxRecord {
        let prepared = self.prepare(from).await;
        let raw = self.node().sign(from, prepared.nonce, prepared.fees.normal, 1).await;
        self.gateway.broadcast(request(raw)).await.unwrap()
    }
}

pub(crate) fn transfer(from: EvmAddress) -> PrepareRequest {
    PrepareRequest { network: LOCAL.into(), from, to: Some(TO), value: U256::from(1), data: vec![] }
}

pub(crate) fn request(raw: Vec<u8>) -> BroadcastRequest {
    BroadcastRequest { network: LOCAL.into(), raw, owner: Owner("ada".into()), idempotency: None, replaces: None }
}

pub(crate) fn keyed(raw: Vec<u8>, key: &str) -> BroadcastRequest {
    BroadcastRequest { idempotency: IdempotencyKey::new(key), ..request(raw) }
}

/// The node itself, past the gateway: it signs for its unlocked accounts and lets tests move the chain.
#[derive(Clone)]
pub(crate) struct Node {
    http: reqwest::Client,
    url: String,
}

impl Node {
    pub(crate) fn new(url: &str) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), url: url.to_owned() }
    }

    /// Question and answer as they are.
    pub(crate) async fn ask(&self, question: &Value) -> Value {
        let http = self.http.post(&self.url).header("content-type", "application/json");
        let answer = http.body(question.to_string()).send().await;
        serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap()
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer.get("result").unwrap().clone()
    }

    pub(crate) async fn account(&self, index: usize) -> EvmAddress {
        let accounts = self.rpc("eth_accounts", json!([])).await;
        let text = accounts.get(index).and_then(Value::as_str).unwrap().to_owned();
        EvmAddress::from_hex(text.strip_prefix("0x").unwrap()).unwrap()
    }

    /// A signed EIP-1559 transfer of `value` wei.
    pub(crate) async fn sign(&self, from: EvmAddress, nonce: u64, fee: Fee, value: u64) -> Vec<u8> {
        let signed = self
            .rpc(
                "eth_signTransaction",
                json!([{
                    "from": format!("0x{from}"), "to": format!("0x{TO}"), "value": format!("{value:#x}"),
                    "nonce": format!("{nonce:#x}"), "gas": "0x5208", "chainId": "0x7a69", "type": "0x2",
                    "maxFeePerGas": format!("{:#x}", fee.max_fee_per_gas),
                    "maxPriorityFeePerGas": format!("{:#x}", fee.max_priority_fee_per_gas),
                }]),
            )
            .await;
        hex::decode(signed.as_str().unwrap()).unwrap()
    }

    /// A signed EIP-1559 call with that many zero bytes of data.
    pub(crate) async fn sign_data(&self, from: EvmAddress, nonce: u64, fee: Fee, zeros: usize, gas: u64) -> Vec<u8> {
        let signed = self
            .rpc(
                "eth_signTransaction",
                json!([{
                    "from": format!("0x{from}"), "to": format!("0x{TO}"), "value": "0x0", "data": format!("0x{}", "00".repeat(zeros)),
                    "nonce": format!("{nonce:#x}"), "gas": format!("{gas:#x}"), "chainId": "0x7a69", "type": "0x2",
                    "maxFeePerGas": format!("{:#x}", fee.max_fee_per_gas),
                    "maxPriorityFeePerGas": format!("{:#x}", fee.max_priority_fee_per_gas),
                }]),
            )
            .await;
        hex::decode(signed.as_str().unwrap()).unwrap()
    }

    pub(crate) async fn mined_count(&self, address: EvmAddress) -> u64 {
        let count = self.rpc("eth_getTransactionCount", json!([format!("0x{address}"), "latest"])).await;
        u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// A node that mines by itself answers before it has mined.
    pub(crate) async fn until_mined(&self, hash: Hash32) {
        let mined = async {
            let mut poll = tokio::time::interval(Duration::from_millis(10));
            loop {
                poll.tick().await;
                let receipt = self.rpc("eth_getTransactionReceipt", json!([format!("0x{hash}")])).await;
                if !receipt.is_null() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), mined).await.unwrap();
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.rpc("evm_mine", json!([])).await;
        }
    }

    pub(crate) async fn set_balance(&self, address: EvmAddress, wei: u128) {
        self.rpc("anvil_setBalance", json!([format!("0x{address}"), format!("{wei:#x}")])).await;
    }
}
