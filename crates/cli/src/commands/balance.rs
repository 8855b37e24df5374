//! `pinseal balance`.

use super::connection::{Connection, address};
use crate::args::BalanceArgs;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::trouble;

/// Shows what an account holds, as the network's node says.
///
/// # Errors
/// The server's reason.
pub(crate) async fn show(arguments: BalanceArgs, output: Output) -> Outcome {
    let connection = Connection::open(&arguments.client, output)?;
    let network = connection.network(arguments.network.as_deref()).await?;
    let account = connection.account(arguments.account).await?;
    let tokens = arguments.token.iter().map(|token| address(token)).collect::<Outcome<Vec<_>>>()?;
    let balances = connection.api().balances(&network.caip2, account.address, &tokens);
    let refused = if tokens.is_empty() { trouble::api } else { trouble::token };
    let balances = output.progress("asking the network", balances).await.map_err(refused)?;
    let tokens: Vec<_> = balances
        .tokens
        .iter()
        .map(|token| {
            serde_json::json!({
                "contract": token.contract.to_string(),
                "amount": token.amount.to_string(),
                "symbol": token.symbol,
                "decimals": token.decimals,
            })
        })
        .collect();
    let native = &balances.native;
    output.result(&serde_json::json!({
        "network": network.caip2.to_string(),
        "address": account.address.to_string(),
        "native": { "amount": native.amount.to_string(), "symbol": native.symbol, "decimals": native.decimals },
        "tokens": tokens,
    }));
    output.line(format!("{} on {}", account.address, network.name));
    let mut rows = vec![vec![format!("  {}", native.amount.to_units(native.decimals)), native.symbol.clone()]];
    rows.extend(balances.tokens.iter().map(|token| {
        vec![format!("  {}", token.amount.to_units(token.decimals)), token.symbol.clone(), token.contract.to_string()]
    }));
    table(&rows).iter().for_each(|line| output.line(line));
    Ok(())
}
