//! What a client needs to build a transaction, and the nonce it may use.

use std::sync::Arc;

use alloy_primitives::U256;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::intent::{ChainId, EvmAddress};
use pinseal_store::StoreError;
use pinseal_store::gateway::{FreeRequest, Holder, Reservation, ReservationId, Reserve, ReserveRequest};
use serde_json::json;

use super::chain::{Chain, call_object};
use super::{Gateway, GatewayError};
use crate::fees::{Fee, FeeTiers};
use crate::registry::{Caip2, NetworkStatus, UnknownNetwork};
use crate::rpc::{PeerText, Quantity64, Rejection, RpcError};

/// Gas of a plain transfer to an account without code; exact, so it gets no margin.
const TRANSFER_GAS: u64 = 21_000;
/// Added to an estimate, in percent: the state may change until the transaction is mined.
const GAS_MARGIN_PERCENT: u64 = 20;
/// Most gas a node is believed to need; no network has larger transactions.
const GAS_MAX: u64 = 100_000_000;
/// Longest calldata that is estimated; pools take 128 KiB a transaction.
const DATA_LEN_MAX: usize = 128 * 1024;

/// A transaction to be built.
#[derive(Debug, Clone)]
pub struct PrepareRequest {
    /// CAIP-2 id or alias.
    pub network: String,
    /// Who will sign; the caller has checked that it is the user's.
    pub from: EvmAddress,
    /// The called address; `None` creates a contract.
    pub to: Option<EvmAddress>,
    /// Native amount in the smallest unit.
    pub value: U256,
    /// Calldata or creation code.
    pub data: Vec<u8>,
}

/// What to build the transaction with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The network.
    pub network: Caip2,
    /// Its chain id.
    pub chain_id: ChainId,
    /// The nonce: this caller's alone where it is [`Prepared::reserved`], otherwise the next one as things are.
    pub nonce: u64,
    /// Who else may get the nonce, and when; `None` if it is held for nobody ([`Gateway::propose`]).
    pub reserved: Option<Reserved>,
    /// The open transaction that has the nonce now; [`Gateway::prepare_replacement`] only.
    pub replaces: Option<Hash32>,
    /// Gas limit, with margin.
    pub gas_limit: u64,
    /// Fee tiers.
    pub fees: FeeTiers,
    /// Native balance of the sender now.
    pub balance: U256,
}

/// A nonce that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Gives the nonce back early.
    pub id: ReservationId,
    /// When the nonce is given to somebody else unless a transaction with it was broadcast.
    pub expires: UnixSeconds,
}

impl Prepared {
    /// The most the transaction can cost at a tier's price, value included; `None` beyond 256 bits.
    pub fn cost_max(&self, fee: &Fee, value: U256) -> Option<U256> {
        fee.max_fee_per_gas.checked_mul(U256::from(self.gas_limit))?.checked_add(value)
    }
}

/// What nodes say about a transaction to be.
pub(super) struct Quote {
    pub(super) fees: FeeTiers,
    pub(super) gas_limit: u64,
    pub(super) balance: U256,
    /// The next nonce, as the chain and the pools know it.
    chain_next: u64,
}

/// Why a transaction cannot be prepared. No nonce is held.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Nothing is sent to a retired network; the caller's fault.
    #[error("the network is retired")]
    Retired,
    /// Calldata longer than any pool takes; the caller's fault.
    #[error("calldata too long")]
    DataTooLong,
    /// The sender cannot pay; the user adds funds or sends less.
    #[error("insufficient funds")]
    InsufficientFunds,
    /// The call would fail; the user should not send it.
    #[error("the call would revert")]
    WouldRevert(Option<PeerText>),
    /// The node refuses it for another reason.
    #[error("the node refuses the transaction: {message}")]
    Rejected {
        /// What it means.
        rejection: Rejection,
        /// The node's words.
        message: PeerText,
    },
    /// No open transaction of the sender has the nonce: it was mined, or never sent from here. Prepare without a nonce.
    #[error("no transaction of this sender waits under that nonce")]
    NothingToReplace,
    /// Too many prepared and unsigned transactions of this sender; wait or release some.
    #[error("too many unsigned transactions are prepared")]
    TooManyReserved,
    /// Anything else.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl From<UnknownNetwork> for PrepareError {
    fn from(error: UnknownNetwork) -> Self {
        Self::Gateway(error.into())
    }
}

impl From<StoreError> for PrepareError {
    fn from(error: StoreError) -> Self {
        Self::Gateway(error.into())
    }
}

impl Gateway {
    /// Reads what a transaction needs and reserves its nonce, for a transaction that is signed and broadcast at once: later ones wait for
    /// it. The reservation comes last: a failure before it holds nothing.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn prepare(&self, request: PrepareRequest) -> Result<Prepared, PrepareError> {
        let chain = self.chain(&request.network)?;
        let quote = self.quote(chain, &request).await?;
        let reservation = self.reserve(chain, request.from, quote.chain_next).await?;
        let expires = match reservation.holder {
            Holder::Expires(at) => at,
            Holder::Bound(_) => self.inner.clock.now(),
        };
        let reserved = Reserved { id: reservation.id, expires };
        Ok(prepared(chain, quote, reservation.nonce, Some(reserved)))
    }

    /// As [`Gateway::prepare`], for somebody who looks at the transaction first, and may never sign it. Its nonce is the next one as
    /// things are and is held for nobody, so that nothing ever waits for it.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub async fn propose(&self, request: PrepareRequest) -> Result<Prepared, PrepareError> {
        let chain = self.chain(&request.network)?;
        let quote = self.quote(chain, &request).await?;
        let free = FreeRequest {
            network: chain.id.clone(),
            address: request.from,
            chain_next: quote.chain_next,
            now: self.inner.clock.now(),
        };
        let nonce = self.with_store(move |store| store.lowest_free(&free)).await?;
        Ok(prepared(chain, quote, nonce, None))
    }

    /// What a transaction needs besides its nonce.
    pub(super) async fn quote(&self, chain: &Arc<Chain>, request: &PrepareRequest) -> Result<Quote, PrepareError> {
        if chain.network.status == NetworkStatus::Retired {
            return Err(PrepareError::Retired);
        }
        if request.data.len() > DATA_LEN_MAX {
            return Err(PrepareError::DataTooLong);
        }
        self.settle_genesis(chain).await?;
        let (fees, gas_limit, balance, counts) = tokio::try_join!(
            async { Ok(chain.tiers(self.inner.clock.now()).await?) },
            gas_limit(chain, request),
            async { Ok(chain.balance(request.from).await?) },
            async { Ok(chain.counts(request.from).await?) },
        )?;
        if balance < request.value {
            return Err(PrepareError::InsufficientFunds);
        }
        Ok(Quote { fees, gas_limit, balance, chain_next: counts.latest.max(counts.pending) })
    }

    /// Gives a prepared nonce back; false if it expired or was used. Ids can be counted up to: the caller lets nobody but
    /// the user it was prepared for name one.
    ///
    /// # Errors
    /// [`StoreError`]; the nonce then expires by itself.
    pub async fn release(&self, reservation: ReservationId) -> Result<bool, StoreError> {
        self.with_store(move |store| store.release(reservation)).await
    }

    async fn reserve(&self, chain: &Chain, address: EvmAddress, chain_next: u64) -> Result<Reservation, PrepareError> {
        let now = self.inner.clock.now();
        let request = ReserveRequest {
            network: chain.id.clone(),
            address,
            chain_next,
            now,
            expires: UnixSeconds(now.0.saturating_add(self.inner.reservation_seconds)),
        };
        match self.with_store(move |store| store.reserve(request)).await? {
            Reserve::Reserved(reservation) => Ok(reservation),
            Reserve::Full => Err(PrepareError::TooManyReserved),
        }
    }
}

fn prepared(chain: &Chain, quote: Quote, nonce: u64, reserved: Option<Reserved>) -> Prepared {
    let Quote { fees, gas_limit, balance, .. } = quote;
    Prepared {
        network: chain.network.caip2.clone(),
        chain_id: chain.network.chain_id(),
        nonce,
        reserved,
        replaces: None,
        gas_limit,
        fees,
        balance,
    }
}

async fn gas_limit(chain: &Chain, request: &PrepareRequest) -> Result<u64, PrepareError> {
    let call = call_object(Some(request.from), request.to, request.value, &request.data);
    let estimate = match chain.rpc.read::<Quantity64>("eth_estimateGas", json!([call])).await {
        Ok(estimate) => estimate.0,
        Err(RpcError::Refused(refusal)) => {
            return Err(match refusal.rejection() {
                Rejection::InsufficientFunds => PrepareError::InsufficientFunds,
                Rejection::Reverted(reason) => PrepareError::WouldRevert(reason),
                rejection => PrepareError::Rejected { rejection, message: refusal.message().clone() },
            });
        }
        Err(error) => return Err(GatewayError::from(error).into()),
    };
    if !(TRANSFER_GAS..=GAS_MAX).contains(&estimate) {
        return Err(GatewayError::Implausible("a gas estimate no transaction has").into());
    }
    let is_transfer = estimate == TRANSFER_GAS && request.data.is_empty();
    Ok(if is_transfer { estimate } else { estimate + estimate * GAS_MARGIN_PERCENT / 100 })
}
