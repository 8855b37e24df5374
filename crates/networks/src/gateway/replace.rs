//! Replacing a transaction that waits: the same nonce, fees that pools take in its place.

use alloy_primitives::U256;
use pinseal_chains::evm::transaction::{Kind, SignedTransaction};
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_store::gateway::{Holder, TxStatus};

use super::prepare::{PrepareError, PrepareRequest, Prepared, Reserved};
use super::{Gateway, GatewayError};
use crate::fees::{Fee, FeeTiers};

/// How much more than the old fees a replacement offers, as one part in this many: an eighth. Pools ask for a tenth.
const RISE_PART: u64 = 8;

impl Gateway {
    /// As [`Gateway::prepare`], for a transaction that takes the place of the sender's open one with this nonce. The caller names
    /// [`Prepared::replaces`] when it broadcasts. No nonce is reserved; the open transaction holds it.
    ///
    /// # Errors
    /// [`PrepareError`]; [`PrepareError::NothingToReplace`] if no open transaction of the sender holds the nonce.
    pub async fn prepare_replacement(&self, request: PrepareRequest, nonce: u64) -> Result<Prepared, PrepareError> {
        let chain = self.chain(&request.network)?;
        let (id, from) = (chain.id.clone(), request.from);
        let held = self.with_store(move |store| store.reservations(&id, from)).await?;
        let bound = held.into_iter().find_map(|held| match held.holder {
            Holder::Bound(hash) if held.nonce == nonce => Some((held.id, hash)),
            _ => None,
        });
        let (reservation, hash) = bound.ok_or(PrepareError::NothingToReplace)?;
        let row = self.with_store(move |store| store.transaction(hash)).await?;
        let row = row
            .filter(|row| matches!(row.status, TxStatus::Submitted | TxStatus::Pending))
            .ok_or(PrepareError::NothingToReplace)?;
        let quote = self.quote(chain, &request).await?;
        let fees = above(quote.fees, &row.raw).ok_or(PrepareError::NothingToReplace)?;
        if fees.fast.max_fee_per_gas > chain.network.fee_cap {
            return Err(GatewayError::Implausible("a fee above the registry's cap").into());
        }
        let expires = UnixSeconds(self.inner.clock.now().0.saturating_add(self.inner.reservation_seconds));
        Ok(Prepared {
            network: chain.network.caip2.clone(),
            chain_id: chain.network.chain_id(),
            nonce,
            reserved: Some(Reserved { id: reservation, expires }),
            replaces: Some(Hash32(hash.0)),
            gas_limit: quote.gas_limit,
            fees,
            balance: quote.balance,
        })
    }
}

/// The tiers, each at least so far above the fees of `raw` that pools take it instead. `None` if `raw` cannot be read.
fn above(tiers: FeeTiers, raw: &[u8]) -> Option<FeeTiers> {
    let signed = SignedTransaction::parse(raw).ok()?;
    let (fee, tip) = match &signed.transaction().kind {
        Kind::Legacy { gas_price } | Kind::AccessList { gas_price, .. } => (*gas_price, *gas_price),
        Kind::DynamicFee { fees, .. } | Kind::SetCode { fees, .. } => {
            (fees.max_fee_per_gas, fees.max_priority_fee_per_gas)
        }
    };
    let risen = |old: u128| {
        let old = U256::from(old);
        old + old / U256::from(RISE_PART) + U256::from(1)
    };
    let raise = |tier: Fee| {
        let max_priority_fee_per_gas = tier.max_priority_fee_per_gas.max(risen(tip));
        Fee {
            max_fee_per_gas: tier.max_fee_per_gas.max(risen(fee)).max(max_priority_fee_per_gas),
            max_priority_fee_per_gas,
        }
    };
    Some(FeeTiers { slow: raise(tiers.slow), normal: raise(tiers.normal), fast: raise(tiers.fast), ..tiers })
}
