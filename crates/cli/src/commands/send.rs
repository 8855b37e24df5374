//! `pinseal send`.

mod approval;

use pinseal_client::api::{NetworkInfo, PAGE_ITEMS_MAX, TokenHolding, Transaction, TransactionStatus};
use pinseal_client::intents::{self, EVM_NATIVE_DECIMALS};
use pinseal_client::transaction::{Patience, Until, WaitError};
use pinseal_client::{
    Accepted, Address, PreparedTransaction, SignedTransaction, Speed as FeeSpeed, Standing, TransactionError,
    TransactionRequest,
};

use approval::{Approval, Approved};
use pinseal_protocol::ids::Hash32;

use super::connection::{Connection, address, amount, index};
use super::ready::{self, Purpose};
use super::{tokens, transactions};
use crate::args::{SendArgs, Speed};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style};
use crate::trouble;

/// How long a block is waited for. Later it is the history's business; a program that seems to hang is started a second time.
const WAIT_SECONDS: u64 = 120;
/// Looks before asking what the transaction may be waiting for: some four seconds.
const POLLS_QUIET: u32 = 5;

/// Sends coins or tokens.
///
/// # Errors
/// Declined, the enclave's reason, or the network's.
pub(crate) async fn send(arguments: SendArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    address(&arguments.to)?;
    arguments.token.as_deref().map(address).transpose()?;
    index(arguments.account)?;
    let network = connection.network_to_sign(arguments.network.as_deref(), arguments.yes).await?;
    let attested = connection.attest().await?;
    ready::check(&connection, &attested, Purpose::Use).await?;
    connection.account(arguments.account).await?;
    let (request, token) = request(&connection, &arguments, &network, output).await?;
    let approval = Approval {
        connection: &connection,
        attested: &attested,
        arguments: &arguments,
        network: &network,
        request: &request,
        token,
        output,
    };
    let Approved { signed, prepared, mut stop } = Box::pin(approval.sign()).await?;
    // From here on a second try could pay twice, whatever happens to this program: whoever started it holds the hash first.
    output.remark("transaction_signed", format!("signed transaction 0x{}", signed.hash()));
    let sent = tokio::select! {
        biased;
        sent = output.progress("broadcasting", connection.client.broadcast(&signed)) => sent,
        () = &mut stop => {
            // An answer that comes this very moment they are not told.
            let _ = connection.client.await_end(&[signed.hash()]).await;
            return Err(trouble::interrupted(signed.hash(), "it is not known whether it was sent"));
        }
    };
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) => {
            // A refusal frees the nonce; anything else may have used it.
            if matches!(error, TransactionError::Api(_)) || error.was_never_handed_over() {
                discard(&connection, prepared).await;
            }
            return Err(trouble::broadcast(error, signed.hash()));
        }
    };
    // An answer, and none to be glad of: it was not sent, or did nothing.
    match sent.status {
        TransactionStatus::Dropped | TransactionStatus::Replaced => {
            return Err(trouble::wait(WaitError::Gone(Box::new(sent)), signed.hash()));
        }
        TransactionStatus::Failed => return Err(trouble::wait(WaitError::Failed(Box::new(sent)), signed.hash())),
        TransactionStatus::Pending | TransactionStatus::Mined | TransactionStatus::Final => {}
    }
    output.line(format!(
        "{} sent {}",
        output.paint(Style::Green, "ok"),
        output.paint(Style::Cyan, sent.hash.to_string())
    ));
    if arguments.no_wait {
        output.result(&transactions::json(&sent));
        return Ok(());
    }
    let waiting = output.progress("waiting for a block", mined(&connection, &signed, &sent, output));
    let mined = tokio::select! {
        biased;
        mined = waiting => mined?,
        () = &mut stop => {
            // Nor what comes this very moment.
            let _ = connection.client.await_end(&[signed.hash()]).await;
            return Err(trouble::interrupted(signed.hash(), "it was sent, and is not waited for any more"));
        }
    };
    output.result(&transactions::json(&mined));
    receipt(&mined, &network, output);
    Ok(())
}

/// Waits until the transaction is in a block; says what it waits for itself if that is known.
async fn mined(
    connection: &Connection,
    signed: &SignedTransaction,
    sent: &Transaction,
    output: Output,
) -> Outcome<Transaction> {
    let client = &connection.client;
    match client.wait_for(signed, Until::Mined, Patience::polls(POLLS_QUIET)).await {
        Err(WaitError::NotYet(_)) => {}
        other => return other.map_err(|error| trouble::wait(error, signed.hash())),
    }
    if let Some(waiting) = waits_for(connection, sent, signed.hash()).await {
        output.note(waiting);
    }
    client.wait_for(signed, Until::Mined, Patience::seconds(WAIT_SECONDS)).await.map_err(|error| match error {
        WaitError::NotYet(_) => trouble::not_mined_yet(signed.hash(), sent.nonce, WAIT_SECONDS),
        error => trouble::wait(error, signed.hash()),
    })
}

/// What a sent transaction waits for, and what to do about it, where an earlier nonce is in no block.
async fn waits_for(connection: &Connection, sent: &Transaction, hash: Hash32) -> Option<String> {
    let now = connection.client.transaction(&sent.network, hash).await.ok()?;
    if let Some(gap) = now.waits_for {
        return Some(transactions::waiting(sent.nonce, gap));
    }
    let page = connection.client.transactions(&sent.network, sent.from, PAGE_ITEMS_MAX, None).await.ok()?;
    let nonce = behind(&page.items, sent.nonce)?;
    let own = sent.nonce;
    Some(format!(
        "This transaction has nonce {own} and waits for nonce {nonce}, which is in no block yet. Do not send it again."
    ))
}

/// The nonce that comes next in a block, if that is an earlier one. Only what this system sent is known: without anything in a block it
/// cannot be told.
fn behind(sent: &[Transaction], own: u64) -> Option<u64> {
    use TransactionStatus::{Failed, Final, Mined};
    let is_in_block = |transaction: &&Transaction| matches!(transaction.status, Mined | Final | Failed);
    let newest = sent.iter().filter(is_in_block).map(|transaction| transaction.nonce).max()?;
    newest.checked_add(1).filter(|next| *next < own)
}

/// Shows a mined transaction.
pub(crate) fn receipt(mined: &Transaction, network: &NetworkInfo, output: Output) {
    let block = mined.block_number.map_or_else(|| "?".to_owned(), |block| block.to_string());
    output.field("block", block);
    if let Some(fee) = mined.fee_paid {
        output.field("fee paid", intents::native(&network.caip2, fee));
    }
    if let Some(explorer) = &network.explorer {
        output.field("explorer", format!("{}/tx/{}", explorer.trim_end_matches('/'), mined.hash));
    }
}

/// What is asked of the network, and the token it concerns with its decimals.
async fn request(
    connection: &Connection,
    arguments: &SendArgs,
    network: &NetworkInfo,
    output: Output,
) -> Outcome<(TransactionRequest, Option<(Address, u8)>)> {
    let (to, from) = (address(&arguments.to)?, index(arguments.account)?);
    let speed = match arguments.fee {
        Speed::Slow => FeeSpeed::Slow,
        Speed::Normal => FeeSpeed::Normal,
        Speed::Fast => FeeSpeed::Fast,
    };
    let replaced = match &arguments.replace {
        Some(hash) => Some(waiting(connection, network, arguments.account, hash, output).await?),
        None => None,
    };
    let within = |request: TransactionRequest| -> Outcome<TransactionRequest> {
        let request = match replaced {
            Some(nonce) => request.in_place_of(nonce),
            None => request,
        };
        let beside = arguments.beside.iter().map(|text| accepted(text)).collect::<Outcome<_>>()?;
        let request = request.at(speed).beside(beside).fee_at_most(amount(&arguments.max_fee, EVM_NATIVE_DECIMALS)?);
        Ok(match arguments.gas_limit {
            Some(gas) => request.gas_at_most(gas),
            None => request,
        })
    };
    let Some(token) = &arguments.token else {
        let value = amount(&arguments.amount, EVM_NATIVE_DECIMALS)?;
        return Ok((within(TransactionRequest::native(network.caip2.clone(), from, to, value))?, None));
    };
    let token = address(token)?;
    let known = tokens::known(&connection.chosen.directory, &network.caip2, token)?;
    let claimed = token_decimals(connection, network, arguments.account, token, output).await?;
    let decimals = tokens::settle(arguments.decimals, known, claimed, arguments.yes)?;
    let value = amount(&arguments.amount, decimals)?;
    let request = within(TransactionRequest::erc20(network.caip2.clone(), from, token, to, value))?;
    // The decimals are the contract's word by way of the host, so the view shows base units beside what was typed.
    output
        .note(format!("{} units of a token that claims {decimals} decimals are {value} base units.", arguments.amount));
    Ok((request, Some((token, decimals))))
}

/// A transaction's hash as it is shown.
fn hash_of(text: &str) -> Outcome<Hash32> {
    let digits = text.strip_prefix("0x").and_then(Hash32::from_hex);
    digits.ok_or_else(|| Failure::usage(format!("`{text}` is no transaction hash")))
}

/// An earlier transaction with where it stood, as [`trouble::unsettled`] writes it.
fn accepted(text: &str) -> Outcome<Accepted> {
    let parts = text.split_once(':').and_then(|(hash, name)| {
        let standing = Standing::ALL.into_iter().find(|standing| standing.name() == name)?;
        Some(Accepted { hash: hash_of(hash).ok()?, standing })
    });
    parts.ok_or_else(|| {
        let standings = Standing::ALL.map(Standing::name).join(", ");
        Failure::usage(format!("`{text}` is no transaction hash, a colon, and one of {standings}"))
            .advise("send without it; if there is something to look up, it is told with what to give here")
    })
}

/// The nonce of a transaction of this account that is not mined yet.
async fn waiting(
    connection: &Connection,
    network: &NetworkInfo,
    account: u32,
    hash: &str,
    output: Output,
) -> Outcome<u64> {
    let from = connection.account(account).await?.address;
    let nonce = connection.client.nonce_of_waiting(&network.caip2, from, hash_of(hash)?);
    output.progress("looking for the transaction", nonce).await.map_err(trouble::transaction)
}

async fn token_decimals(
    connection: &Connection,
    network: &NetworkInfo,
    account: u32,
    token: Address,
    output: Output,
) -> Outcome<u8> {
    let from = connection.account(account).await?.address;
    let balances = output
        .progress("asking the token", connection.api().balances(&network.caip2, from, &[token]))
        .await
        .map_err(trouble::api)?;
    match balances.tokens.first().map(|found| &found.holding) {
        Some(TokenHolding::Amount { decimals, .. }) => Ok(*decimals),
        Some(TokenHolding::Unreadable { problem }) => Err(trouble::token(token, *problem)),
        None => Err(Failure::failed("token_unknown", format!("{token} is no token on {}", network.name))),
    }
}

/// Gives the nonce back; if that fails it comes back by itself.
async fn discard(connection: &Connection, prepared: PreparedTransaction) {
    let _ = connection.client.discard(prepared).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn what_is_accepted_is_a_transaction_as_it_stood() {
        let hash = "ab".repeat(32);
        let wanted = Accepted { hash: Hash32([0xab; 32]), standing: Standing::Unsent };
        assert_eq!(accepted(&format!("0x{hash}:unsent")).unwrap(), wanted);
        for wrong in
            ["", "0x:unsent", ":", &hash, &format!("0x{hash}"), &format!("0x{hash}:"), &format!("{hash}:mined")]
        {
            assert_eq!(accepted(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_transaction_behind_a_missing_nonce_is_said_to_wait() {
        let sent = |nonce: u64, status: &str| -> Transaction {
            serde_json::from_value(serde_json::json!({
                "network": "eip155:1", "hash": format!("0x{}", "ab".repeat(32)), "nonce": nonce, "status": status,
                "from": format!("0x{}", "70".repeat(20)), "value": "1",
            }))
            .unwrap()
        };
        assert_eq!(behind(&[sent(7, "pending"), sent(4, "final")], 7), Some(5));
        assert_eq!(behind(&[sent(5, "pending"), sent(4, "failed")], 5), None);
        assert_eq!(behind(&[sent(7, "pending")], 7), None, "nothing is known of what came before");
    }
}
