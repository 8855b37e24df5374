//! `pinseal networks`.

use super::connection::Connection;
use crate::args::ClientArgs;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::trouble;

/// Lists the service's networks.
///
/// # Errors
/// The server's reason.
pub(crate) async fn list(client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::open(&client, output)?;
    let networks = output.progress("listing networks", connection.api().networks()).await.map_err(trouble::api)?;
    let items: Vec<_> = networks
        .iter()
        .map(|network| {
            serde_json::json!({
                "network": network.caip2.to_string(),
                "name": network.name,
                "symbol": network.symbol,
                "decimals": network.decimals,
                "testnet": network.testnet,
                "status": network.status,
            })
        })
        .collect();
    output.result(&serde_json::json!({ "networks": items }));
    let mut rows = vec![["NAME", "NETWORK", "COIN", "STATUS", ""].map(str::to_owned).to_vec()];
    rows.extend(networks.iter().map(|network| {
        vec![
            network.name.clone(),
            network.caip2.to_string(),
            network.symbol.clone(),
            network.status.clone().unwrap_or_else(|| "unknown".to_owned()),
            if network.testnet { "test" } else { "" }.to_owned(),
        ]
    }));
    table(&rows).iter().for_each(|line| output.line(line));
    Ok(())
}
