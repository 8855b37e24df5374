//! What an intent means, for display before the user approves it.
//!
//! The view is made from the same parsed values that are signed, never from a second reading. It is deterministic and plain
//! data: `vectors/decode/` fixes it for every implementation. Amounts are exact decimal strings.

mod amount;
mod authorization;
mod call;
mod calldata;
mod message;
mod permit;
mod text;
mod transaction;
mod typed_data;

use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent};
use serde::Serialize;

use crate::evm::{Authorization, IntentError, MESSAGE_LEN_MAX, Transaction, TypedData};

/// A network's own currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    /// For example `ETH`.
    pub symbol: String,
    /// Digits after the decimal point, 18 for wei.
    pub decimals: u8,
}

/// A token whose symbol and decimals are known from a list that the client trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its network.
    pub chain: ChainId,
    /// Its contract.
    pub address: EvmAddress,
    /// For example `USDC`.
    pub symbol: String,
    /// Digits after the decimal point.
    pub decimals: u8,
}

/// What the view may know beyond the intent.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The currency of the intent's network.
    pub native: &'a Native,
    /// Known tokens; amounts of all others are shown in raw units.
    pub tokens: &'a [Token],
}

/// What the user is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// What it is, for icons and texts of the UI's own.
    pub kind: ViewKind,
    /// One short line.
    pub title: String,
    /// What happens, one sentence a line.
    pub summary: Vec<String>,
    /// The details, in order.
    pub fields: Vec<Detail>,
    /// What to think about first, in order.
    pub warnings: Vec<Warning>,
}

/// What an intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// The network's own currency moves.
    ValueTransfer,
    /// A token moves.
    TokenTransfer,
    /// Somebody may take tokens from now on.
    TokenApproval,
    /// Somebody may take every token of a collection from now on.
    ApprovalForAll,
    /// NFTs or ERC-1155 tokens move.
    NftTransfer,
    /// A signature by which somebody may take tokens.
    Permit,
    /// A new contract.
    ContractCreation,
    /// Any other call.
    ContractCall,
    /// An account runs a contract's code from now on.
    Delegation,
    /// A text or bytes.
    Message,
    /// Any other typed data.
    TypedData,
}

/// One line of details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// What it is.
    pub label: String,
    /// Its value, safe to show: control and direction characters are escaped.
    pub value: String,
}

/// One reason to think twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Stable, for texts of the UI's own.
    pub code: WarningCode,
    /// How loud it is.
    pub severity: Severity,
    /// One sentence.
    pub text: String,
}

/// How loud a warning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Unusual, often right.
    Caution,
    /// Can cost everything; wrong in most cases a user meets.
    Danger,
}

/// Why to think twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// An allowance with a limit.
    Approval,
    /// An allowance without a limit.
    UnlimitedApproval,
    /// Every token of a collection.
    ApprovalForAll,
    /// A signature that gives an allowance or moves tokens without a transaction.
    Permit,
    /// Funds go to the zero address or to the token's own contract.
    LostFunds,
    /// The network's currency rides on a token call.
    ValueWithCall,
    /// A new contract is made.
    ContractCreation,
    /// The call is not known.
    UnknownCall,
    /// The selector is known, the arguments do not fit it.
    MalformedCall,
    /// Bytes after the arguments.
    ExtraCalldata,
    /// An account will run foreign code.
    Delegation,
    /// On every chain.
    AnyChain,
    /// What the data are signed for is not known.
    UnknownData,
    /// The payload names another chain than the chosen network.
    ChainMismatch,
    /// The payload names no chain.
    NoChain,
    /// The message may be the hash of anything.
    OpaqueMessage,
    /// The text has characters that do not show or change the reading direction.
    HiddenCharacters,
}

/// The view of an intent.
///
/// What only the policy or the chosen network forbids is shown with a warning; the enclave refuses it all the same.
///
/// # Errors
/// [`IntentError`] for what cannot be parsed: it must not be offered for approval.
pub fn view(intent: &Intent, context: &Context<'_>) -> Result<View, IntentError> {
    let account = intent.account();
    if !account.is_valid() {
        return Err(IntentError::UnknownAccount);
    }
    match intent {
        Intent::EvmTransaction { chain, unsigned, .. } => {
            let tx = Transaction::parse_unsigned(unsigned)?;
            Ok(transaction::view(&tx, account, *chain, context))
        }
        Intent::EvmAuthorization { chain, address, nonce, .. } => {
            let authorization = Authorization { chain: *chain, address: *address, nonce: *nonce };
            authorization.check()?;
            Ok(authorization::view(&authorization, account))
        }
        Intent::EvmPersonalMessage { message, .. } => {
            if message.len() > MESSAGE_LEN_MAX {
                return Err(IntentError::MessageTooLong);
            }
            Ok(message::view(message, account))
        }
        Intent::EvmTypedData { chain, typed_data, .. } => {
            let data = TypedData::from_cbor(typed_data)?;
            Ok(typed_data::view(&data, account, *chain, context))
        }
    }
}

impl View {
    fn new(kind: ViewKind, title: &str) -> Self {
        Self { kind, title: title.to_owned(), summary: Vec::new(), fields: Vec::new(), warnings: Vec::new() }
    }

    fn say(&mut self, sentence: String) {
        self.summary.push(sentence);
    }

    fn field(&mut self, label: &str, value: impl Into<String>) {
        self.fields.push(Detail { label: label.to_owned(), value: value.into() });
    }

    fn account(&mut self, account: AccountIndex) {
        self.field("Account", account.path());
    }

    fn caution(&mut self, code: WarningCode, text: impl Into<String>) {
        self.warnings.push(Warning { code, severity: Severity::Caution, text: text.into() });
    }

    fn danger(&mut self, code: WarningCode, text: impl Into<String>) {
        self.warnings.push(Warning { code, severity: Severity::Danger, text: text.into() });
    }
}

impl Context<'_> {
    fn token(&self, chain: ChainId, address: &EvmAddress) -> Option<&Token> {
        self.tokens.iter().find(|token| token.chain == chain && token.address == *address)
    }
}
