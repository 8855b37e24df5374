//! From "send this there" to a mined transaction.

mod heard;
mod prepared;
mod sent;

use alloy_primitives::U256;
use pinseal_protocol::intent::AccountIndex;

pub use heard::Listed;
pub use prepared::{
    FEE_MAX_DEFAULT, GAS_LIMIT_MAX, GAS_PRICE_MAX, PreparedTransaction, TRANSFER_GAS, TransactionError,
};
pub use sent::{Patience, SignedTransaction, Until, WaitError};

use crate::outgoing::{Accepted, Content};
use crate::values::{Address, Amount, Network};

/// Selector of `transfer(address,uint256)` (ERC-20).
const TRANSFER_SELECTOR: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

/// How much hurry is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speed {
    /// Little.
    Slow,
    /// The usual.
    #[default]
    Normal,
    /// Much.
    Fast,
}

/// A transaction a person wants, without what the network decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRequest {
    /// Network; an EVM one.
    pub network: Network,
    /// Account that pays.
    pub account: AccountIndex,
    /// Recipient or contract.
    pub to: Address,
    /// Native currency to move.
    pub value: Amount,
    /// Call data, empty for a plain transfer.
    pub data: Vec<u8>,
    /// Which of the network's fees to pay.
    pub speed: Speed,
    /// Nonce of a waiting transaction of the account that this one takes the place of.
    pub nonce: Option<u64>,
    /// Most gas to allow. The host says how much is needed; this is how far it is believed.
    pub gas_limit_max: u64,
    /// Most the whole fee may be, likewise.
    pub fee_max: Amount,
    /// Transactions signed earlier that its owner has looked up elsewhere: as they stand they are no reason against this one. Once it is handed to the
    /// host those that were not sent are forgotten, and the others no reason against what comes later, until they stand at something else or are denied.
    pub beside: Vec<Accepted>,
}

impl TransactionRequest {
    /// A transfer of the network's own currency to an account; a contract takes more gas, see [`Self::gas_at_most`].
    pub const fn native(network: Network, account: AccountIndex, to: Address, amount: Amount) -> Self {
        Self {
            network,
            account,
            to,
            value: amount,
            data: Vec::new(),
            speed: Speed::Normal,
            nonce: None,
            gas_limit_max: TRANSFER_GAS,
            fee_max: FEE_MAX_DEFAULT,
            beside: Vec::new(),
        }
    }

    /// A transfer of an ERC-20 token, in the token's base units.
    pub fn erc20(network: Network, account: AccountIndex, token: Address, to: Address, amount: Amount) -> Self {
        let mut data = TRANSFER_SELECTOR.to_vec();
        data.extend_from_slice(&[0; 12]);
        data.extend_from_slice(&to.0.0);
        data.extend_from_slice(&amount.0.to_be_bytes::<32>());
        Self { data, gas_limit_max: GAS_LIMIT_MAX, ..Self::native(network, account, token, Amount(U256::ZERO)) }
    }

    /// The same at another speed.
    #[must_use]
    pub const fn at(mut self, speed: Speed) -> Self {
        self.speed = speed;
        self
    }

    /// The same in place of the account's waiting transaction with this nonce; one of the two will be mined.
    #[must_use]
    pub const fn in_place_of(mut self, nonce: u64) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The same beside transactions signed earlier that its owner has looked up elsewhere.
    #[must_use]
    pub fn beside(mut self, accepted: Vec<Accepted>) -> Self {
        self.beside = accepted;
        self
    }

    /// What it does.
    pub fn content(&self) -> Content {
        Content::new(Some(self.to), self.value, &self.data)
    }

    /// The same with at most this much gas.
    #[must_use]
    pub const fn gas_at_most(mut self, gas: u64) -> Self {
        self.gas_limit_max = gas;
        self
    }

    /// The same with at most this whole fee.
    #[must_use]
    pub const fn fee_at_most(mut self, fee: Amount) -> Self {
        self.fee_max = fee;
        self
    }
}
