//! `pinseal transactions`.

use std::collections::BTreeMap;

use pinseal_client::api::{Gap, Transaction};
use pinseal_client::intents;

use super::connection::{Connection, when};
use crate::args::TransactionsArgs;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::trouble::{self, described};

/// Lists what this system sent from an account, newest first.
///
/// # Errors
/// The server's reason.
pub(crate) async fn list(arguments: TransactionsArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    let network = connection.network(arguments.network.as_deref()).await?;
    let account = connection.account(arguments.account).await?;
    let page = connection.client.transactions(&network.caip2, account.address, arguments.limit, None);
    let page = output.progress("listing transactions", page).await.map_err(trouble::api)?;
    let kept = connection.client.outgoing().await.map_err(|error| trouble::api(error.into()))?;
    let mut elsewhere = BTreeMap::<String, usize>::new();
    for entry in kept.entries().iter().filter(|entry| entry.from == account.address && entry.network != network.caip2) {
        *elsewhere.entry(entry.network.to_string()).or_default() += 1;
    }
    output.result(&serde_json::json!({
        "transactions": page.items.iter().map(json).collect::<Vec<_>>(),
        "more": page.next_cursor.is_some(),
        "unlisted": page.unlisted.iter().map(|entry| format!("0x{}", entry.hash)).collect::<Vec<_>>(),
    }));
    if !page.items.is_empty() {
        lines(&page.items).iter().for_each(|line| output.line(line));
    } else if page.unlisted.is_empty() && elsewhere.is_empty() {
        output.line("nothing was sent yet");
    } else {
        output.line(format!("the server lists nothing on {}", network.caip2));
    }
    for entry in &page.unlisted {
        output.note(format!("Signed on this device, and not listed: {}", described(entry)));
    }
    for (other, count) in elsewhere.iter().filter(|_| page.items.is_empty()) {
        output.note(format!("Signed on this device with this account on {other}: {count}."));
    }
    for waiting in waits(&page.items) {
        output.note(waiting);
    }
    if page.next_cursor.is_some() {
        output.line(format!("... and older ones; --limit shows more than {}", arguments.limit));
    }
    Ok(())
}

/// A table of transactions, each hash on a line of its own.
pub(crate) fn lines(transactions: &[Transaction]) -> Vec<String> {
    let mut rows = vec![["NONCE", "STATUS", "AMOUNT", "TO", "BLOCK", "SENT"].map(str::to_owned).to_vec()];
    rows.extend(transactions.iter().map(|transaction| {
        vec![
            transaction.nonce.to_string(),
            status(transaction).to_owned(),
            intents::native(&transaction.network, transaction.value),
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

/// What those that wait are waiting for; once for each nonce that was not sent.
fn waits(transactions: &[Transaction]) -> Vec<String> {
    let mut told = Vec::new();
    // The list begins with the newest; the one just behind the gap is the last.
    for transaction in transactions.iter().rev() {
        if let Some(gap) = transaction.waits_for
            && told.iter().all(|(nonce, _)| *nonce != gap.nonce)
        {
            told.push((gap.nonce, waiting(transaction.nonce, gap)));
        }
    }
    told.into_iter().map(|(_, text)| text).collect()
}

/// Why a transaction with nonce `own` does not move, and what to do.
pub(crate) fn waiting(own: u64, Gap { nonce, until }: Gap) -> String {
    let waits = format!("The transaction with nonce {own} waits for nonce {nonce}, which was not sent.");
    match until {
        Some(until) => {
            format!(
                "{waits} Somebody may be signing with it until {}; after that the next one you send takes it.",
                when(until)
            )
        }
        None => format!("{waits} Send something, 0 to yourself if you like: it takes nonce {nonce}, and both go on."),
    }
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
        "waits_for": transaction.waits_for.map(|gap| serde_json::json!({ "nonce": gap.nonce, "until": gap.until })),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_waits_behind_a_nonce_that_was_not_sent_says_so_once_and_what_to_do() {
        let sent = |nonce: u64, gap: serde_json::Value| -> Transaction {
            serde_json::from_value(serde_json::json!({
                "network": "eip155:1", "hash": format!("0x{}", "ab".repeat(32)), "nonce": nonce, "status": "pending",
                "from": format!("0x{}", "70".repeat(20)), "value": "1", "waits_for": gap,
            }))
            .unwrap()
        };
        let open = serde_json::json!({ "nonce": 4 });
        assert_eq!(waits(&[sent(3, serde_json::Value::Null)]), Vec::<String>::new());
        assert_eq!(
            waits(&[sent(6, open.clone()), sent(5, open)]),
            [
                "The transaction with nonce 5 waits for nonce 4, which was not sent. Send something, 0 to yourself if you like: it takes \
              nonce 4, and both go on."
            ]
        );
        let held = waits(&[sent(5, serde_json::json!({ "nonce": 4, "until": 1_800_000_000 }))]);
        assert!(held.len() == 1 && held.iter().all(|text| text.contains("2027-01-15")), "{held:?}");
    }
}
