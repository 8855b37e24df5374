//! Native and ERC-20 balances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::U256;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::EvmAddress;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::chain::{Chain, call_object};
use super::{Gateway, GatewayError};
use crate::abi;
use crate::registry::Caip2;
use crate::rpc::{Bytes, RpcError};

/// Most tokens in one question; a page of a portfolio.
pub const TOKENS_MAX: usize = 16;
/// Bytes of a node's answer about a token: a balance, a number or a short text; room for the words of a refusal.
pub(super) const VIEW_ANSWER_LEN_MAX: usize = 16 * 1024;
/// Tokens of one network whose description is remembered, about 200 bytes each.
const DESCRIBED_MAX: usize = 4_096;
/// How long a description is believed: a token may change its symbol, and a node may have lied.
const DESCRIBED_SECONDS: u64 = 3_600;
/// Tokens asked about at once, three calls each: what public nodes bear.
const TOKENS_AT_ONCE: usize = 4;

/// What an address has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balances {
    /// The network.
    pub network: Caip2,
    /// Native balance in the smallest unit.
    pub native: U256,
    /// One entry per token asked for, in the order asked.
    pub tokens: Vec<TokenBalance>,
}

/// What an address has of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBalance {
    /// The token's contract.
    pub contract: EvmAddress,
    /// The balance, or why there is none. One bad token does not spoil the others.
    pub balance: Result<Token, TokenFault>,
}

/// A token as its contract describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Balance in the token's smallest unit.
    pub amount: U256,
    /// Decimals, where the contract has a sensible answer.
    pub decimals: Option<u8>,
    /// Symbol, where the contract has one that can be shown. Anybody may take any symbol: the contract is the name.
    pub symbol: Option<String>,
}

/// Why a token has no balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No contract there, or one that does not answer as ERC-20 asks.
    #[error("not an ERC-20 token")]
    NotAToken,
    /// No node answered; try again.
    #[error("no node answered")]
    Unavailable,
}

/// How tokens of one network describe themselves, so that a balance mostly costs one question instead of three.
#[derive(Default)]
pub(super) struct Descriptions(Mutex<HashMap<EvmAddress, Description>>);

#[derive(Clone)]
struct Description {
    decimals: u8,
    symbol: String,
    read_at: UnixSeconds,
}

impl Descriptions {
    // Entries are written whole, so a poisoned lock guards a sound map.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EvmAddress, Description>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, contract: EvmAddress, now: UnixSeconds) -> Option<Description> {
        let known = self.lock().get(&contract).cloned()?;
        known.is_fresh(now).then_some(known)
    }

    /// Remembers whole descriptions only: what is missing may be a node's passing refusal.
    fn keep(&self, contract: EvmAddress, token: &Token, now: UnixSeconds) {
        let (Some(decimals), Some(symbol)) = (token.decimals, token.symbol.clone()) else { return };
        let mut known = self.lock();
        if known.len() >= DESCRIBED_MAX {
            known.retain(|_, description| description.is_fresh(now));
        }
        if known.len() < DESCRIBED_MAX {
            known.insert(contract, Description { decimals, symbol, read_at: now });
        }
    }
}

impl Description {
    /// Also not from the future, should the clock have been set back.
    fn is_fresh(&self, now: UnixSeconds) -> bool {
        (self.read_at.0..self.read_at.0.saturating_add(DESCRIBED_SECONDS)).contains(&now.0)
    }
}

impl Gateway {
    /// Native balance and the balances of the named tokens.
    ///
    /// # Errors
    /// [`GatewayError`] if the native balance cannot be read; tokens fail one by one.
    pub async fn balance(
        &self,
        network: &str,
        address: EvmAddress,
        tokens: &[EvmAddress],
    ) -> Result<Balances, GatewayError> {
        let chain = self.chain(network)?;
        if tokens.len() > TOKENS_MAX {
            return Err(GatewayError::TooManyTokens);
        }
        let native = chain.balance(address).await?;

        let permits = Arc::new(Semaphore::new(TOKENS_AT_ONCE));
        let mut asked = JoinSet::new();
        for (index, contract) in tokens.iter().copied().enumerate() {
            let (gateway, permits, network) = (self.clone(), Arc::clone(&permits), network.to_owned());
            asked.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let balance = match gateway.chain(&network) {
                    Ok(chain) => token(chain, contract, address, gateway.inner.clock.now()).await,
                    Err(_) => Err(TokenFault::Unavailable),
                };
                (index, TokenBalance { contract, balance })
            });
        }
        let mut found = asked.join_all().await;
        found.sort_by_key(|(index, _)| *index);
        Ok(Balances {
            network: chain.network.caip2.clone(),
            native,
            tokens: found.into_iter().map(|(_, balance)| balance).collect(),
        })
    }
}

async fn token(chain: &Chain, contract: EvmAddress, holder: EvmAddress, now: UnixSeconds) -> Result<Token, TokenFault> {
    let balance_of = abi::balance_of(holder);
    if let Some(known) = chain.descriptions.get(contract, now) {
        let amount = abi::uint256(&view(chain, contract, &balance_of).await?).ok_or(TokenFault::NotAToken)?;
        return Ok(Token { amount, decimals: Some(known.decimals), symbol: Some(known.symbol) });
    }
    let (amount, decimals, symbol) = tokio::join!(
        view(chain, contract, &balance_of),
        view(chain, contract, &abi::DECIMALS),
        view(chain, contract, &abi::SYMBOL),
    );
    let amount = abi::uint256(&amount?).ok_or(TokenFault::NotAToken)?;
    let token = Token {
        amount,
        decimals: optional(decimals)?.as_deref().and_then(abi::decimals),
        symbol: optional(symbol)?.as_deref().and_then(abi::symbol),
    };
    // A local chain may start anew, with another contract at the same address.
    if !chain.network.local {
        chain.descriptions.keep(contract, &token, now);
    }
    Ok(token)
}

/// A function the token need not have.
fn optional(reply: Result<Vec<u8>, TokenFault>) -> Result<Option<Vec<u8>>, TokenFault> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(TokenFault::NotAToken) => Ok(None),
        Err(TokenFault::Unavailable) => Err(TokenFault::Unavailable),
    }
}

async fn view(chain: &Chain, contract: EvmAddress, data: &[u8]) -> Result<Vec<u8>, TokenFault> {
    let call = call_object(None, Some(contract), U256::ZERO, data);
    match chain.views.read::<Bytes>("eth_call", json!([call, "latest"])).await {
        Ok(Bytes(reply)) => Ok(reply),
        Err(RpcError::Refused(_)) => Err(TokenFault::NotAToken),
        Err(RpcError::Unavailable { .. }) => Err(TokenFault::Unavailable),
    }
}
