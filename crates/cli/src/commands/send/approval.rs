//! From what a person wants to a signature over what they approved.
//!
//! A prepared transaction holds a nonce, and a nonce held by nobody makes every later transaction wait. So none is held while somebody
//! looks or types: what is shown is only proposed, and after the approval the same is prepared, compared, signed and sent at once.

use std::future::Future;
use std::pin::Pin;

use pinseal_chains::evm;
use pinseal_chains::evm::transaction::Kind;
use pinseal_client::api::NetworkInfo;
use pinseal_client::intents;
use pinseal_client::{
    Address, ApiError, Attested, PreparedTransaction, SignedTransaction, TransactionError, TransactionRequest,
};

use super::discard;
use crate::args::SendArgs;
use crate::commands::connection::Connection;
use crate::commands::{tokens, view};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style};
use crate::trouble::{described, standing};
use crate::{secret, signals, trouble};

/// How often a transaction is shown again because it became dearer; after that the person tries later.
const ROUNDS_MAX: u32 = 5;

/// Resolves when the program is told to stop.
pub(super) type Stop = Pin<Box<dyn Future<Output = ()>>>;

/// What is to be approved and signed.
#[derive(Debug)]
pub(super) struct Approval<'a> {
    pub(super) connection: &'a Connection,
    pub(super) attested: &'a Attested,
    pub(super) arguments: &'a SendArgs,
    pub(super) network: &'a NetworkInfo,
    pub(super) request: &'a TransactionRequest,
    pub(super) token: Option<(Address, u8)>,
    pub(super) output: Output,
}

/// A signed transaction with what is still to be looked after.
pub(super) struct Approved {
    /// To be sent at once.
    pub(super) signed: SignedTransaction,
    /// What was signed; its nonce is held.
    pub(super) prepared: PreparedTransaction,
    /// Signals no longer end the program by themselves.
    pub(super) stop: Stop,
}

impl Approval<'_> {
    /// Shows, asks, and signs.
    ///
    /// # Errors
    /// Declined, interrupted, or why it cannot be prepared or signed. No nonce is held then.
    pub(super) async fn sign(&self) -> Outcome<Approved> {
        let mut shown = self.propose(None).await?;
        // Nothing is held, so a signal may simply end the program here.
        view::approve(self.arguments.yes, self.output)?;
        let pin = secret::pin("PIN: ", self.arguments.pin.pin_fd)?;
        if let Some((token, decimals)) = self.token {
            tokens::keep(&self.connection.chosen.directory, &self.network.caip2, token, decimals)?;
        }
        let mut stop: Stop = Box::pin(signals::stop());
        for _ in 0..ROUNDS_MAX {
            let prepared = self.prepare().await?;
            let is_same = is_as_approved(shown.transaction(), prepared.transaction(), self.arguments.yes);
            if is_same && !prepared.is_otherwise_beside(&shown) {
                return Box::pin(self.sign_at_once(&pin, prepared, stop)).await;
            }
            discard(self.connection, prepared).await;
            self.output
                .note("Fees, or what waits beside it, changed in the meantime. This is what would be signed now:");
            shown = self.propose(Some(&shown)).await?;
            let (yes, output) = (self.arguments.yes, self.output);
            let asked = tokio::task::spawn_blocking(move || view::approve(yes, output));
            tokio::select! {
                biased;
                () = &mut stop => return Err(interrupted()),
                answer = asked => answer.map_err(|_| interrupted())??,
            }
        }
        Err(Failure::failed(
            "fees_rising",
            "fees, or what waits beside it, change faster than they can be approved; nothing was signed",
        )
        .advise("try again later, or choose --fee fast"))
    }

    async fn sign_at_once(
        &self,
        pin: &pinseal_client::Pin,
        prepared: PreparedTransaction,
        mut stop: Stop,
    ) -> Outcome<Approved> {
        let signing = self.connection.sealed("signing in the enclave", self.attested, async |attested| {
            attested.sign_transaction(pin, &prepared).await
        });
        let signed = tokio::select! {
            biased;
            () = &mut stop => Err(interrupted()),
            signed = signing => signed,
        };
        match signed {
            Ok(signed) => Ok(Approved { signed, prepared, stop }),
            Err(failure) => {
                discard(self.connection, prepared).await;
                Err(failure)
            }
        }
    }

    /// Shows what would be signed, after what was `shown` before.
    async fn propose(&self, shown: Option<&PreparedTransaction>) -> Outcome<PreparedTransaction> {
        let proposed = self.connection.client.propose_transaction(self.request, &[]);
        let proposed = self.payable(self.output.progress("preparing", proposed).await).await?;
        view::show(proposed.view(), self.output);
        tell_earlier(&proposed, shown, self.output);
        self.repeats_nothing(proposed).await
    }

    /// The same with a nonce that is held.
    async fn prepare(&self) -> Outcome<PreparedTransaction> {
        let prepared = self.connection.client.prepare_transaction(self.request, &[]);
        let prepared = self.payable(self.output.progress("preparing", prepared).await).await?;
        self.repeats_nothing(prepared).await
    }

    /// Where nobody looks, the same is not sent twice at once: a program that failed may just have been started again.
    async fn repeats_nothing(&self, prepared: PreparedTransaction) -> Outcome<PreparedTransaction> {
        let repeated: Vec<_> = prepared.repeated().into_iter().cloned().collect();
        if !self.arguments.yes || repeated.is_empty() {
            return Ok(prepared);
        }
        discard(self.connection, prepared).await;
        // Whoever reads that it waits is told what came of it before they pay it once more.
        let hashes: Vec<_> = repeated.iter().map(|entry| entry.hash).collect();
        self.connection.client.await_end(&hashes).await.map_err(|error| trouble::transaction(error.into()))?;
        Err(trouble::unsettled(&repeated))
    }

    async fn payable(&self, asked: Result<PreparedTransaction, TransactionError>) -> Outcome<PreparedTransaction> {
        match asked {
            Ok(prepared) if prepared.exceeds_balance() => {
                discard(self.connection, prepared).await;
                Err(self.poor(None).await)
            }
            Ok(prepared) => Ok(prepared),
            Err(TransactionError::Api(ApiError::Problem(problem))) if problem.code == POOR => {
                Err(self.poor(Some(problem.trace_id.clone())).await)
            }
            Err(error) => Err(trouble::transaction(error)),
        }
    }

    /// Too high an amount reads the same, whoever noticed.
    async fn poor(&self, trace_id: Option<String>) -> Failure {
        let held = async {
            let from = self.connection.account(self.arguments.account).await.ok()?.address;
            self.connection.api().balances(&self.network.caip2, from, &[]).await.ok()
        };
        let held = held.await.map_or_else(String::new, |balances| {
            format!(" holds {} and", intents::native(&self.network.caip2, balances.native.amount))
        });
        Failure::failed(POOR, format!("the account{held} cannot pay amount and fee"))
            .advise("send less, or fund the account")
            .traced(trace_id)
    }
}

/// Says what was signed earlier, and goes beside what is to be signed now, or gives way to it, or did as it was `shown` and does not any more, or was
/// the same.
fn tell_earlier(proposed: &PreparedTransaction, shown: Option<&PreparedTransaction>, output: Output) {
    for entry in shown.map_or_else(Vec::new, |shown| proposed.replaced_no_more(shown)) {
        let line = format!("NO LONGER replaced by this, unlike what you were shown before: {}", described(entry));
        output.remark("payment_unreplaced", output.paint(Style::Yellow, line));
    }
    for entry in proposed.beside() {
        let same = if proposed.repeated().contains(&entry) { "THE SAME is on its way" } else { "On its way" };
        let line = format!("{same} already, and not replaced by this: {}", described(entry));
        output.remark("payment_beside", output.paint(Style::Yellow, line));
    }
    for entry in proposed.instead() {
        let line =
            format!("Takes the place of an earlier one; of the two one can be carried out: {}", described(entry));
        output.remark("payment_instead", line);
    }
    for entry in proposed.unreplaced() {
        let line =
            format!("NOT replaced by this, which has nonce {}: {}", proposed.transaction().nonce, standing(entry));
        output.remark("payment_unreplaced", output.paint(Style::Yellow, line));
    }
    if let Some(entry) = proposed.again().last() {
        output
            .remark("payment_again", format!("The same was carried out before, the server says: {}", described(entry)));
    }
}

/// The server's code, and ours.
const POOR: &str = "funds_insufficient";

fn interrupted() -> Failure {
    Failure::failed("interrupted", "interrupted; nothing was sent")
}

/// True if `now` moves what `shown` moved and costs no more. Where nobody looked (`unattended`), the request's own bounds on gas and
/// fee are what was approved, and preparing has kept to them.
fn is_as_approved(shown: &evm::Transaction, now: &evm::Transaction, unattended: bool) -> bool {
    let same = (shown.chain, shown.to, shown.value, &shown.input) == (now.chain, now.to, now.value, &now.input);
    let no_dearer = match (&shown.kind, &now.kind) {
        (Kind::Legacy { gas_price: shown }, Kind::Legacy { gas_price: now }) => now <= shown,
        (
            Kind::DynamicFee { fees: shown, access_list: shown_list },
            Kind::DynamicFee { fees: now, access_list: now_list },
        ) => {
            shown_list == now_list
                && now.max_fee_per_gas <= shown.max_fee_per_gas
                && now.max_priority_fee_per_gas <= shown.max_priority_fee_per_gas
        }
        _ => false,
    };
    same && (unattended || no_dearer && now.gas_limit <= shown.gas_limit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_chains::evm::transaction::DynamicFee;
    use pinseal_protocol::intent::ChainId;

    use super::*;

    fn transaction() -> evm::Transaction {
        let to: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
        let fees = DynamicFee { max_fee_per_gas: 100, max_priority_fee_per_gas: 10 };
        evm::Transaction {
            chain: ChainId(1),
            nonce: 4,
            gas_limit: 21_000,
            to: Some(to.0),
            value: "5".parse::<pinseal_client::Amount>().unwrap().0,
            input: Vec::new(),
            kind: Kind::DynamicFee { fees, access_list: Vec::new() },
        }
    }

    #[test]
    fn only_the_nonce_and_a_lower_fee_may_differ_from_what_was_approved() {
        type Change = fn(&mut evm::Transaction);
        let fee = |max_fee_per_gas, max_priority_fee_per_gas| Kind::DynamicFee {
            fees: DynamicFee { max_fee_per_gas, max_priority_fee_per_gas },
            access_list: Vec::new(),
        };
        let holds = |changed: &evm::Transaction, unattended| is_as_approved(&transaction(), changed, unattended);
        assert!(holds(&evm::Transaction { nonce: 9, ..transaction() }, false));
        assert!(holds(&evm::Transaction { kind: fee(99, 9), ..transaction() }, false));
        for dearer in [
            evm::Transaction { kind: fee(101, 10), ..transaction() },
            evm::Transaction { kind: fee(100, 11), ..transaction() },
            evm::Transaction { kind: Kind::Legacy { gas_price: 1 }, ..transaction() },
            evm::Transaction { gas_limit: 21_001, ..transaction() },
        ] {
            assert!(!holds(&dearer, false) && holds(&dearer, true), "{dearer:?}");
        }
        let changes: [Change; 4] = [
            |transaction| transaction.to = None,
            |transaction| transaction.value = "6".parse::<pinseal_client::Amount>().unwrap().0,
            |transaction| transaction.input = vec![1],
            |transaction| transaction.chain = ChainId(2),
        ];
        for change in changes {
            let mut other = transaction();
            change(&mut other);
            assert!(!holds(&other, false) && !holds(&other, true), "{other:?}");
        }
    }
}
