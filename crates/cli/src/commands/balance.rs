//! `pinseal balance`.

use pinseal_client::api::{TokenBalance, TokenHolding};
use pinseal_client::intents::{self, EVM_NATIVE_DECIMALS};

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
    let connection = Connection::own(&arguments.client, output).await?;
    let network = connection.network(arguments.network.as_deref()).await?;
    let account = connection.account(arguments.account).await?;
    let tokens = arguments.token.iter().map(|token| address(token)).collect::<Outcome<Vec<_>>>()?;
    let balances = connection.api().balances(&network.caip2, account.address, &tokens);
    let balances = output.progress("asking the network", balances).await.map_err(trouble::api)?;
    let native = &balances.native;
    // Of the host's answer the amount alone: it could shift the decimal point.
    let (symbol, decimals) = (intents::native_symbol(&network.caip2), EVM_NATIVE_DECIMALS);
    let mut rows = vec![vec![format!("  {}", native.amount.to_units(decimals)), symbol.to_owned()]];
    let mut tokens = Vec::with_capacity(balances.tokens.len());
    for TokenBalance { contract, holding } in &balances.tokens {
        // Each was asked for by name: an answer without one of them is none.
        let (amount, symbol, decimals) = match holding {
            TokenHolding::Amount { amount, symbol, decimals } => (amount, symbol, *decimals),
            TokenHolding::Unreadable { problem } => return Err(trouble::token(*contract, *problem)),
        };
        rows.push(vec![format!("  {}", amount.to_units(decimals)), symbol.clone(), contract.to_string()]);
        tokens.push(serde_json::json!({
            "contract": contract.to_string(), "amount": amount.to_string(), "symbol": symbol, "decimals": decimals,
        }));
    }
    output.result(&serde_json::json!({
        "network": network.caip2.to_string(),
        "address": account.address.to_string(),
        "native": { "amount": native.amount.to_string(), "symbol": symbol, "decimals": decimals },
        "tokens": tokens,
    }));
    output.line(format!("{} on {}", account.address, network.name));
    table(&rows).iter().for_each(|line| output.line(line));
    Ok(())
}
