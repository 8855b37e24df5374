//! What a transaction costs: slow, normal and fast.

use alloy_primitives::U256;
use serde::Deserialize;
use serde_json::json;

use crate::gateway::GatewayError;
use crate::registry::Network;
use crate::rpc::{Quantity, RpcClient, RpcError};

/// Blocks whose fees are looked at: four minutes on Ethereum, enough to smooth one crowded block.
const HISTORY_BLOCKS: u64 = 20;
/// Most blocks an answer may speak of; nodes may give fewer than asked for, never more.
const HISTORY_ANSWER_MAX: usize = 20;
/// Percentiles of the priority fees paid in a block, for slow, normal and fast.
const PERCENTILES: [u8; 3] = [10, 50, 90];
/// By how much the base fee may grow before a tier is no longer mined, in percent; it grows 12.5 % a block at most.
const BASE_FEE_PERCENT: [u64; 3] = [125, 150, 200];
/// The same for networks without a base fee, over what the node suggests.
const GAS_PRICE_PERCENT: [u64; 3] = [100, 110, 125];

/// One tier, in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// The most that is paid per gas, base fee included; the gas price on networks without a base fee.
    pub max_fee_per_gas: U256,
    /// What of it the block's producer gets; equal to the gas price on networks without a base fee.
    pub max_priority_fee_per_gas: U256,
}

/// The fees a network asks for now. No tier is above the registry's cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeTiers {
    /// Base fee of the next block (EIP-1559); `None` where only legacy transactions are priced.
    pub base_fee: Option<U256>,
    /// Mined when there is room.
    pub slow: Fee,
    /// Mined within a few blocks.
    pub normal: Fee,
    /// Mined in the next block or two.
    pub fast: Fee,
}

/// `eth_feeHistory` (execution API). The base fees are one more than the blocks: the last is the next block's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    base_fee_per_gas: Vec<Quantity>,
    gas_used_ratio: Vec<f64>,
    #[serde(default)]
    reward: Option<Vec<Vec<Quantity>>>,
}

/// The fees of a network, from `eth_feeHistory`, or from `eth_gasPrice` where that does not exist.
pub(crate) async fn fees(rpc: &RpcClient, network: &Network) -> Result<FeeTiers, GatewayError> {
    let params = json!([format!("{HISTORY_BLOCKS:#x}"), "latest", PERCENTILES]);
    let tiers = match rpc.read::<FeeHistory>("eth_feeHistory", params).await {
        Ok(history) => match dynamic(&history, network)? {
            Some(tiers) => tiers,
            None => legacy(rpc).await?,
        },
        Err(RpcError::Refused(refusal)) if refusal.is_unknown_method() => legacy(rpc).await?,
        Err(error) => return Err(error.into()),
    };
    let highest = [tiers.slow, tiers.normal, tiers.fast].into_iter().map(|fee| fee.max_fee_per_gas).max();
    if highest.is_none_or(|fee| fee > network.fee_cap) {
        return Err(GatewayError::Implausible("a fee above the registry's cap"));
    }
    Ok(tiers)
}

/// Tiers from a fee history; `None` if it has no base fee, as before EIP-1559.
fn dynamic(history: &FeeHistory, network: &Network) -> Result<Option<FeeTiers>, GatewayError> {
    let malformed = || GatewayError::Implausible("a fee history of another form");
    let blocks = history.gas_used_ratio.len();
    let rewards = history.reward.as_deref().unwrap_or_default();
    let is_consistent = blocks <= HISTORY_ANSWER_MAX
        && (rewards.is_empty() || rewards.len() == blocks)
        && rewards.iter().all(|block| block.len() == PERCENTILES.len());
    if !is_consistent {
        return Err(malformed());
    }
    if history.base_fee_per_gas.is_empty() {
        return Ok(None);
    }
    if history.base_fee_per_gas.len() != blocks + 1 {
        return Err(malformed());
    }
    let base_fee = history.base_fee_per_gas.last().ok_or_else(malformed)?.0;
    if base_fee.is_zero() && history.base_fee_per_gas.iter().all(|fee| fee.0.is_zero()) && rewards.is_empty() {
        return Ok(None);
    }
    if base_fee > network.fee_cap {
        return Err(GatewayError::Implausible("a base fee above the registry's cap"));
    }
    let tier = |index: usize| -> Option<Fee> {
        let paid = rewards.iter().zip(&history.gas_used_ratio).filter(|(_, used)| **used > 0.0);
        let paid = paid.map(|(block, _)| block.get(index).map(|fee| fee.0)).collect::<Option<Vec<_>>>()?;
        let priority = median(paid).max(network.priority_fee_min).min(network.fee_cap);
        let room = percent(base_fee, *BASE_FEE_PERCENT.get(index)?);
        Some(Fee { max_fee_per_gas: room.saturating_add(priority), max_priority_fee_per_gas: priority })
    };
    let (Some(slow), Some(mut normal), Some(mut fast)) = (tier(0), tier(1), tier(2)) else { return Err(malformed()) };
    raise(&mut normal, slow);
    raise(&mut fast, normal);
    Ok(Some(FeeTiers { base_fee: Some(base_fee), slow, normal, fast }))
}

/// For the fuzz targets: tiers from a result.
#[cfg(feature = "fuzzing")]
pub(crate) fn of_history(result: serde_json::Value, network: &Network) -> Option<FeeTiers> {
    dynamic(&serde_json::from_value(result).ok()?, network).ok()?
}

/// A faster tier never offers less, whatever a node says about percentiles.
fn raise(fee: &mut Fee, floor: Fee) {
    fee.max_fee_per_gas = fee.max_fee_per_gas.max(floor.max_fee_per_gas);
    fee.max_priority_fee_per_gas = fee.max_priority_fee_per_gas.max(floor.max_priority_fee_per_gas);
}

/// The middle value; empty blocks were left out, since nobody paid there. Zero without any.
fn median(mut values: Vec<U256>) -> U256 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn legacy(rpc: &RpcClient) -> Result<FeeTiers, GatewayError> {
    let price = rpc.read::<Quantity>("eth_gasPrice", json!([])).await?.0;
    let [slow, normal, fast] = GAS_PRICE_PERCENT.map(|share| {
        let price = percent(price, share);
        Fee { max_fee_per_gas: price, max_priority_fee_per_gas: price }
    });
    Ok(FeeTiers { base_fee: None, slow, normal, fast })
}

fn percent(value: U256, share: u64) -> U256 {
    value.saturating_mul(U256::from(share)) / U256::from(100)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

    use super::*;
    use crate::registry::Registry;

    fn network(name: &str) -> Network {
        Registry::embedded().unwrap().network(name).unwrap().clone()
    }

    fn history(json: &str) -> FeeHistory {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn tiers_follow_what_was_paid_and_leave_empty_blocks_out() {
        let history = history(
            r#"{"baseFeePerGas":["0x1","0x2","0x3","0x64"],"gasUsedRatio":[0.5,0,0.7],
                "reward":[["0x1","0x5","0x9"],["0x0","0x0","0x0"],["0x3","0x7","0xb"]]}"#,
        );
        let tiers = dynamic(&history, &network("ethereum")).unwrap().unwrap();
        assert_eq!(tiers.base_fee, Some(U256::from(100)));
        assert_eq!(
            [tiers.slow, tiers.normal, tiers.fast].map(|fee| (fee.max_fee_per_gas, fee.max_priority_fee_per_gas)),
            [(128, 3), (157, 7), (211, 11)].map(|(max, tip)| (U256::from(max), U256::from(tip)))
        );
    }

    #[test]
    fn the_registrys_floor_holds_on_a_quiet_network() {
        let history = history(r#"{"baseFeePerGas":["0x1","0x1"],"gasUsedRatio":[0],"reward":[["0x0","0x0","0x0"]]}"#);
        let tiers = dynamic(&history, &network("polygon")).unwrap().unwrap();
        assert_eq!(tiers.slow.max_priority_fee_per_gas, U256::from(25_000_000_000_u64));
    }

    #[test]
    fn a_fee_history_that_does_not_add_up_is_refused() {
        for json in [
            r#"{"baseFeePerGas":["0x1"],"gasUsedRatio":[0.5],"reward":[["0x1","0x2","0x3"]]}"#,
            r#"{"baseFeePerGas":["0x1","0x1"],"gasUsedRatio":[0.5],"reward":[["0x1","0x2"]]}"#,
            r#"{"baseFeePerGas":["0x1","0x1"],"gasUsedRatio":[0.5],"reward":[["0x1","0x2","0x3"],["0x1","0x2","0x3"]]}"#,
            r#"{"baseFeePerGas":["0x1","0xfffffffffffffffffffffffffffffffff"],"gasUsedRatio":[0.5]}"#,
        ] {
            assert!(dynamic(&history(json), &network("ethereum")).is_err(), "{json}");
        }
        let many = format!(r#"{{"baseFeePerGas":[],"gasUsedRatio":[{}]}}"#, vec!["0"; 21].join(","));
        assert!(dynamic(&history(&many), &network("ethereum")).is_err());
    }

    #[test]
    fn a_network_without_base_fee_is_priced_the_old_way() {
        let before_1559 = history(r#"{"baseFeePerGas":["0x0","0x0"],"gasUsedRatio":[0.5]}"#);
        assert_eq!(dynamic(&before_1559, &network("ethereum")).unwrap(), None);
    }

    #[test]
    fn a_faster_tier_never_offers_less() {
        let history = history(r#"{"baseFeePerGas":["0x1","0x1"],"gasUsedRatio":[0.5],"reward":[["0x9","0x5","0x1"]]}"#);
        let tiers = dynamic(&history, &network("ethereum")).unwrap().unwrap();
        assert!(tiers.slow.max_fee_per_gas <= tiers.normal.max_fee_per_gas);
        assert!(tiers.normal.max_priority_fee_per_gas <= tiers.fast.max_priority_fee_per_gas);
    }
}
