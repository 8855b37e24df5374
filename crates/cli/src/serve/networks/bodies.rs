//! What the gateway says, in the form the API answers.

use std::collections::HashMap;

use pinseal_client::Address;
use pinseal_networks::{Balances, Fee, FeeTiers, Gap, Network, Prepared, TokenFault, TxRecord, TxStatus};
use pinseal_server::{
    BalancesBody, FeeTierBody, FeesBody, GapBody, NativeBody, NetworkBody, PreparedBody, TokenBody, TokenProblemBody,
    TxBody,
};

pub(super) fn network(network: &Network, seen: &HashMap<String, &'static str>) -> NetworkBody {
    NetworkBody {
        caip2: network.caip2.to_string(),
        name: network.name.clone(),
        symbol: network.symbol.clone(),
        decimals: network.decimals,
        explorer: network.explorer.clone(),
        testnet: network.testnet,
        status: (*seen.get(network.caip2.as_str()).unwrap_or(&"unknown")).to_owned(),
    }
}

pub(super) fn fees(tiers: &FeeTiers) -> FeesBody {
    let tier = |fee: &Fee| FeeTierBody {
        max_fee_per_gas: fee.max_fee_per_gas.to_string(),
        max_priority_fee_per_gas: fee.max_priority_fee_per_gas.to_string(),
        seconds_estimate: None,
    };
    FeesBody {
        slow: tier(&tiers.slow),
        normal: tier(&tiers.normal),
        fast: tier(&tiers.fast),
        base_fee: tiers.base_fee.unwrap_or_default().to_string(),
        legacy_gas_price: if tiers.base_fee.is_none() { Some(tiers.normal.max_fee_per_gas.to_string()) } else { None },
    }
}

pub(super) fn balances(network: &Network, holder: Address, balances: Balances) -> BalancesBody {
    BalancesBody {
        network: balances.network.to_string(),
        address: holder.to_string(),
        native: NativeBody {
            amount: balances.native.to_string(),
            symbol: network.symbol.clone(),
            decimals: network.decimals,
        },
        tokens: balances.tokens.into_iter().map(token).collect(),
    }
}

fn token(pinseal_networks::TokenBalance { contract, balance }: pinseal_networks::TokenBalance) -> TokenBody {
    let contract = Address(contract).to_string();
    match balance {
        Ok(found) => TokenBody {
            contract,
            amount: Some(found.amount.to_string()),
            symbol: Some(found.symbol.unwrap_or_default()),
            // EIP-20 leaves decimals out at will; without them an amount is what the contract counts.
            decimals: Some(found.decimals.unwrap_or(0)),
            problem: None,
        },
        Err(fault) => {
            let problem = match fault {
                TokenFault::NotAToken => TokenProblemBody::NotAToken,
                TokenFault::Unavailable => TokenProblemBody::Unavailable,
            };
            TokenBody { contract, amount: None, symbol: None, decimals: None, problem: Some(problem) }
        }
    }
}

pub(super) fn prepared(prepared: &Prepared, reservation_id: Option<String>) -> PreparedBody {
    PreparedBody {
        network: prepared.network.to_string(),
        nonce: prepared.nonce,
        gas_limit: prepared.gas_limit,
        fees: fees(&prepared.fees),
        balance: prepared.balance.to_string(),
        reservation_id,
        expires_at: prepared.reserved.map(|reserved| reserved.expires.0),
    }
}

/// The status of one that is in no block yet.
pub(super) const PENDING: &str = "pending";

/// True if the newest block must be known to say how deep the transaction lies.
pub(super) fn needs_head(record: &TxRecord) -> bool {
    matches!(record.status, TxStatus::Mined(_) | TxStatus::Final(_))
}

/// True if a transaction may wait for one that was not sent.
pub(super) fn may_wait(record: &TxRecord) -> bool {
    matches!(record.status, TxStatus::Submitted | TxStatus::Pending)
}

/// A transaction; without a known head it lies at least in its own block, and a final one as deep as the network's finality asks.
pub(super) fn transaction(record: &TxRecord, head: Option<u64>, gap: Option<Gap>, network: Option<&Network>) -> TxBody {
    let depth =
        |block: u64, least: u64| head.map_or(least, |head| head.saturating_sub(block).saturating_add(1)).max(least);
    let finality = network.map_or(1, |network| network.finality_blocks);
    let (status, block_number, confirmations) = match record.status {
        TxStatus::Submitted | TxStatus::Pending => (PENDING, None, 0),
        // A node may count a transaction before it tells its block, and then it looks as if something unknown had taken its nonce.
        TxStatus::Replaced { by: None, settled: false } => (PENDING, None, 0),
        TxStatus::Mined(at) | TxStatus::Final(at) if !at.success => {
            ("failed", Some(at.block_number), depth(at.block_number, 1))
        }
        TxStatus::Mined(at) => ("mined", Some(at.block_number), depth(at.block_number, 1)),
        TxStatus::Final(at) => ("final", Some(at.block_number), depth(at.block_number, finality)),
        TxStatus::Replaced { .. } => ("replaced", None, 0),
        TxStatus::Dropped => ("dropped", None, 0),
    };
    TxBody {
        network: record.network.to_string(),
        hash: format!("0x{}", record.hash),
        from: Address(record.sender).to_string(),
        to: record.recipient.map(|to| Address(to).to_string()),
        value: record.value.to_string(),
        nonce: record.nonce,
        status: status.to_owned(),
        block_number,
        confirmations,
        submitted_at: record.created.0,
        fee_paid: record.fee_paid().map(|fee| fee.to_string()),
        waits_for: gap.map(|Gap { nonce, until }| GapBody { nonce, until: until.map(|until| until.0) }),
        raw: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_networks::Caip2;
    use pinseal_protocol::ids::{Hash32, UnixSeconds};
    use pinseal_protocol::intent::EvmAddress;

    use super::*;

    #[test]
    fn nobody_is_told_of_a_replacement_that_may_be_a_node_lagging_behind() {
        let record = |status| TxRecord {
            network: Caip2::parse("eip155:1").unwrap(),
            hash: Hash32([1; 32]),
            sender: EvmAddress([2; 20]),
            nonce: 3,
            recipient: None,
            value: pinseal_client::Amount::default().0,
            raw: Vec::new(),
            created: UnixSeconds(1),
            updated: UnixSeconds(1),
            status,
            explorer_url: None,
        };
        let by = Some(Hash32([4; 32]));
        for (status, shown) in [
            (TxStatus::Replaced { by: None, settled: false }, "pending"),
            (TxStatus::Replaced { by: None, settled: true }, "replaced"),
            (TxStatus::Replaced { by, settled: false }, "replaced"),
            (TxStatus::Dropped, "dropped"),
        ] {
            assert_eq!(transaction(&record(status), None, None, None).status, shown, "{status:?}");
        }
    }
}
