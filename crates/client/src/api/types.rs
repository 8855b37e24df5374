//! JSON answers of the API. Unknown members are ignored, so that an older client reads a newer server.

use serde::Deserialize;

use crate::values::{Address, Amount, EvmBytes, HexBytes, Network};
use pinseal_protocol::secret::SecretText;

/// `GET /v1/app/info`.
#[derive(Debug, Clone, Deserialize)]
pub struct AppInfo {
    /// App ID.
    pub app_id: String,
    /// Its name.
    pub name: String,
    /// Deployment id in hex, as the host says.
    pub deployment: String,
    /// Networks.
    pub networks: Vec<NetworkInfo>,
    /// Ways to log in.
    pub login_providers: Vec<String>,
    /// Server version.
    pub version: String,
    /// True for a server that runs without hardware evidence, as the host says.
    pub development: bool,
}

/// One network of the registry.
#[derive(Debug, Clone, Deserialize)]
pub struct NetworkInfo {
    /// CAIP-2 id.
    pub caip2: Network,
    /// Name.
    pub name: String,
    /// Symbol of the native currency.
    pub symbol: String,
    /// Its decimals.
    pub decimals: u8,
    /// Block explorer.
    #[serde(default)]
    pub explorer: Option<String>,
    /// True for networks whose coins have no price.
    #[serde(default)]
    pub testnet: bool,
    /// Whether the host reaches it.
    #[serde(default)]
    pub status: Option<String>,
}

/// `GET /v1/evidence`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EvidenceResponse {
    pub(crate) document: HexBytes,
    pub(crate) manifest: HexBytes,
}

/// What a login still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginStatus {
    /// Nothing.
    Complete,
    /// A wallet: register one under a new PIN.
    PinRequired,
    /// The wallet exists, this app does not know the user yet: see [`super::Api::register_app`].
    RegisterRequired,
}

/// A new session.
#[derive(Debug, Deserialize)]
pub(crate) struct SessionResponse {
    pub(crate) user_id: String,
    pub(crate) access_token: SecretText,
    pub(crate) access_expires_at: u64,
    pub(crate) refresh_token: SecretText,
    pub(crate) session_id: String,
    pub(crate) login_status: LoginStatus,
}

/// One entry of the sessions list.
#[derive(Debug, Clone, Deserialize)]
pub struct SessionInfo {
    /// Names it for revocation.
    pub session_id: String,
    /// Device id, as the host says.
    pub device: String,
    /// Unix seconds.
    pub created_at: u64,
    /// Unix seconds.
    pub last_used_at: u64,
    /// True for the session that asks.
    pub current: bool,
    /// App it belongs to.
    pub app_id: String,
}

/// `GET /v1/me`.
#[derive(Debug, Clone, Deserialize)]
pub struct Me {
    /// User id.
    pub user_id: String,
    /// E-mail address.
    pub email: String,
    /// What the login still lacks.
    pub login_status: LoginStatus,
    /// The wallet, as the host says.
    #[serde(default)]
    pub wallet_id: Option<String>,
}

/// `POST /v1/app/register`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct AppRegisterResponse {
    pub(crate) login_status: LoginStatus,
}

/// `POST /v1/wallet/begin`.
#[derive(Debug, Deserialize)]
pub(crate) struct BeginResponse {
    pub(crate) begin: HexBytes,
    pub(crate) storage_token: SecretText,
}

/// `POST /v1/wallet/sealed`.
#[derive(Debug, Deserialize)]
pub(crate) struct SealedResponse {
    pub(crate) reply: HexBytes,
    /// For the next request of the same method.
    #[serde(default)]
    pub(crate) storage_token: Option<SecretText>,
}

/// One entry of the host's account cache: only its signed statement counts.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AccountEntry {
    pub(crate) statement: HexBytes,
    pub(crate) signature: HexBytes,
}

/// A list without a cursor.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// One level of fees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Fee {
    /// Most paid for a unit of gas.
    pub max_fee_per_gas: Amount,
    /// Of that, most paid to the block's producer.
    pub max_priority_fee_per_gas: Amount,
    /// A guess.
    #[serde(default)]
    pub seconds_estimate: Option<u64>,
}

/// Fees of a network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fees {
    /// For those who can wait.
    #[serde(default)]
    pub slow: Option<Fee>,
    /// For most.
    #[serde(default)]
    pub normal: Option<Fee>,
    /// For those who cannot.
    #[serde(default)]
    pub fast: Option<Fee>,
    /// Base fee of the next block; absent on networks without EIP-1559.
    #[serde(default)]
    pub base_fee: Option<Amount>,
    /// Gas price of networks without EIP-1559.
    #[serde(default)]
    pub legacy_gas_price: Option<Amount>,
}

/// An amount of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NativeBalance {
    /// Base units.
    pub amount: Amount,
    /// Symbol.
    pub symbol: String,
    /// Decimals.
    pub decimals: u8,
}

/// What is held of one token, or why that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenBalance {
    /// Its contract.
    pub contract: Address,
    /// An amount, or the problem.
    #[serde(flatten)]
    pub holding: TokenHolding,
}

/// One of the two, and never neither.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TokenHolding {
    /// An amount.
    Amount {
        /// Base units.
        amount: Amount,
        /// Symbol, as the contract says.
        symbol: String,
        /// Decimals, as the contract says.
        decimals: u8,
    },
    /// Nothing is known of this one.
    Unreadable {
        /// Why.
        problem: TokenProblem,
    },
}

/// Why a token could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenProblem {
    /// There is no contract at this address, or none that answers as ERC-20 asks.
    NotAToken,
    /// No node answered; ask again.
    Unavailable,
}

/// `GET /v1/balances`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Balances {
    /// Network.
    pub network: Network,
    /// Address.
    pub address: Address,
    /// Native currency.
    pub native: NativeBalance,
    /// Tokens, in the order asked for.
    #[serde(default)]
    pub tokens: Vec<TokenBalance>,
}

/// `POST /v1/tx/prepare`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PrepareResponse {
    pub(crate) network: Network,
    pub(crate) nonce: u64,
    pub(crate) gas_limit: u64,
    pub(crate) fees: Fees,
    #[serde(default)]
    pub(crate) balance: Option<Amount>,
    #[serde(default)]
    pub(crate) reservation_id: Option<String>,
    #[serde(default)]
    pub(crate) expires_at: Option<u64>,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionStatus {
    /// Sent, in no block.
    Pending,
    /// In a block.
    Mined,
    /// In a block that will not go away.
    Final,
    /// In a block, reverted.
    Failed,
    /// The network forgot it.
    Dropped,
    /// Another transaction took its nonce.
    Replaced,
}

impl TransactionStatus {
    /// True if nothing will change any more but the number of confirmations.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

/// A transaction as the host tracks it.
#[derive(Debug, Clone, Deserialize)]
pub struct Transaction {
    /// Network.
    pub network: Network,
    /// Transaction hash.
    pub hash: EvmBytes,
    /// Sender.
    pub from: Address,
    /// Recipient or contract; `None` creates a contract.
    #[serde(default)]
    pub to: Option<Address>,
    /// Native currency moved.
    pub value: Amount,
    /// Sender's nonce.
    pub nonce: u64,
    /// Where it is.
    pub status: TransactionStatus,
    /// Block.
    #[serde(default)]
    pub block_number: Option<u64>,
    /// Blocks on top, its own included.
    #[serde(default)]
    pub confirmations: u64,
    /// Unix seconds.
    #[serde(default)]
    pub submitted_at: u64,
    /// Fee paid, once mined.
    #[serde(default)]
    pub fee_paid: Option<Amount>,
    /// What a pending one waits for, where an earlier nonce was not sent, as the host says.
    #[serde(default)]
    pub waits_for: Option<Gap>,
    /// The signed bytes of a pending one that was asked for by its hash.
    #[serde(default)]
    pub raw: Option<EvmBytes>,
}

/// A nonce that was not sent, below one that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// The lowest such nonce.
    pub nonce: u64,
    /// Until then, in unix seconds, somebody who is signing may still send it. `None`: the next transaction that is sent takes it.
    #[serde(default)]
    pub until: Option<u64>,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerStatus {
    /// Version.
    pub version: String,
    /// Since start.
    pub uptime_seconds: u64,
    /// Anchor level, as the host says.
    pub anchor_level: String,
    /// Where freshness is kept, as the host says; absent from older hosts.
    #[serde(default)]
    pub anchor: Option<AnchorStatus>,
    /// Newest checkpoint; absent before the first.
    #[serde(default)]
    pub checkpoint: Option<CheckpointStatus>,
    /// Whether devices are enrolled, as the host says; absent from older hosts.
    #[serde(default)]
    pub enrolment: Option<EnrolmentStatus>,
    /// Wallets.
    pub wallets: u64,
    /// The enclave, as the host says.
    pub enclave: EnclaveStatus,
    /// True without hardware evidence.
    pub development: bool,
    /// The wallet page, where one is served.
    #[serde(default)]
    pub wallet_page: Option<WalletPageStatus>,
}

/// Part of [`ServerStatus`].
#[derive(Debug, Clone, Deserialize)]
pub struct WalletPageStatus {
    /// Its origin.
    pub url: String,
    /// Hash of its files in hex, as the host says.
    pub sha256: String,
}

/// Part of [`ServerStatus`]. Level, floor and witnesses are read in the manifest.
#[derive(Debug, Clone, Deserialize)]
pub struct AnchorStatus {
    /// Since the newest checkpoint was anchored.
    pub age_seconds: u64,
    /// How often an older state was put back, as the host says; absent from older hosts.
    #[serde(default)]
    pub restores: Option<u32>,
    /// The witnesses, at L4.
    #[serde(default)]
    pub witnesses: Option<WitnessesStatus>,
}

/// Part of [`ServerStatus`].
#[derive(Debug, Clone, Deserialize)]
pub struct EnrolmentStatus {
    /// Paused for everybody, until the operators resume it.
    pub paused: bool,
    /// Place of the log entry that says so.
    #[serde(default)]
    pub since_log_entry: Option<u64>,
    /// Unix seconds.
    #[serde(default)]
    pub since: Option<u64>,
    /// Attempts turned away since.
    pub refused: u64,
}

/// Part of [`AnchorStatus`].
#[derive(Debug, Clone, Deserialize)]
pub struct WitnessesStatus {
    /// Those that cosigned the checkpoint they were last asked to.
    pub cosigned: u64,
}

/// Part of [`ServerStatus`].
#[derive(Debug, Clone, Deserialize)]
pub struct CheckpointStatus {
    /// Number.
    pub sequence: u64,
    /// Leaves.
    pub size: u64,
    /// Root in hex.
    pub root: String,
}

/// Part of [`ServerStatus`].
#[derive(Debug, Clone, Deserialize)]
pub struct EnclaveStatus {
    /// Measurement in hex.
    pub measurement: String,
    /// What the process did to protect itself.
    #[serde(default)]
    pub hardening: Vec<HardeningStatus>,
}

/// Part of [`EnclaveStatus`].
#[derive(Debug, Clone, Deserialize)]
pub struct HardeningStatus {
    /// Measure.
    pub measure: String,
    /// Whether it was found to work.
    pub active: bool,
    /// More.
    #[serde(default)]
    pub detail: String,
}

/// An entry of the log, as the host shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LogItem {
    /// Place in the log.
    pub(crate) index: u64,
    /// Encoded entry.
    pub(crate) entry: HexBytes,
    /// Hashes that are to lead to the root.
    pub(crate) proof: Vec<HexBytes>,
}

/// An answer without content.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Empty {}
