//! `pinseal transactions`.

use pinseal_client::api::Transaction;

use super::connection::{Connection, when};
use crate::args::TransactionsArgs;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::trouble;

/// Lists what this system sent from an account, newest first.
///
/// # Errors
/// The server's reason.
pub(crate) async fn list(arguments: TransactionsArgs, output: Output) -> Outcome {
    let connection = Connection::open(&arguments.client, output)?;
    let network = connection.network(arguments.network.as_deref()).await?;
    let account = connection.account(arguments.account).await?;
    let page = connection.api().transactions(&network.caip2, account.address, arguments.limit, None);
    let page = output.progress("listing transactions", page).await.map_err(trouble::api)?;
    output.result(&serde_json::json!({ "transactions": page.items.iter().map(json).collect::<Vec<_>>(), "more": page.next_cursor.is_some() }));
    if page.items.is_empty() {
        output.line("nothing was sent yet");
        return Ok(());
    }
    lines(&page.items, &network.symbol, network.decimals).iter().for_each(|line| output.line(line));
    if page.next_cursor.is_some() {
        output.line(format!("... and older ones; --limit shows more than {}", arguments.limit));
    }
    Ok(())
}

/// A table of transactions, each hash on a line of its own.
pub(crate) fn lines(transactions: &[Transaction], symbol: &str, decimals: u8) -> Vec<String> {
    let mut rows = vec![["NONCE", "STATUS", "AMOUNT", "TO", "BLOCK", "SENT"].map(str::to_owned).to_vec()];
    rows.extend(transactions.iter().map(|transaction| {
        vec![
            transaction.nonce.to_string(),
            status(transaction).to_owned(),
            format!("{} {symbol}", transaction.value.to_units(decimals)),
            transaction.to.map_or_else(|| "new contract".to_owned(), |to| to.to_string()),
            transaction.block_number.map_or_else(|| "-".to_owned(), |block| block.to_string()),
            when(transaction.submitted_at),
        ]
    }));
    let mut lines = table(&rows).into_iter();
    let head = lines.next();
    let hashes = transactions.iter().map(|transaction| format!("       {}", transaction.hash));
    head.into_iter().chain(lines.zip(hashes).flat_map(|(line, hash)| [line, hash])).collect()
}

/// A transaction for programs.
pub(crate) fn json(transaction: &Transaction) -> serde_json::Value {
    serde_json::json!({
        "network": transaction.network.to_string(),
        "hash": transaction.hash.to_string(),
        "from": transaction.from.to_string(),
        "to": transaction.to.map(|to| to.to_string()),
        "value": transaction.value.to_string(),
        "nonce": transaction.nonce,
        "status": status(transaction),
        "block_number": transaction.block_number,
        "confirmations": transaction.confirmations,
        "submitted_at": transaction.submitted_at,
        "fee_paid": transaction.fee_paid.map(|fee| fee.to_string()),
    })
}

/// The API's word for a state.
pub(crate) fn status(transaction: &Transaction) -> &'static str {
    use pinseal_client::api::TransactionStatus as Status;
    match transaction.status {
        Status::Pending => "pending",
        Status::Mined => "mined",
        Status::Final => "final",
        Status::Failed => "failed",
        Status::Dropped => "dropped",
        Status::Replaced => "replaced",
    }
}
