//! People who send real transactions on the local node, through the whole client. Afterwards everything that was acknowledged is looked for in
//! the service's list, at the node, and in the history that the enclave proves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_client::api::{Transaction, TransactionStatus};
use pinseal_client::history::AttemptResult;
use pinseal_client::operation::Words;
use pinseal_client::{
    Address, Amount, Attested, Client, Network, NewPin, Pin, SecretText, SignedTransaction, TransactionRequest,
};
use pinseal_networks::RpcUrl;
use pinseal_networks::dev::{LOCAL_NETWORK, fund};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::intent::{AccountIndex, EvmAddress};
use pinseal_protocol::request::Method;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::http::Http;
use crate::mailbox::Codes;
use crate::system::System;
use crate::user::{PASSWORD, PIN, client, is_broken};

/// What each is given, more than fees and transfers of an hour take.
const COINS: &str = "1000";
/// Transactions of one list.
const PAGE: u32 = 100;
/// Tries of a question while the service comes back, and the pause before the next.
const ASKED_MAX: usize = 100;
const PAUSE: Duration = Duration::from_millis(250);

/// Somebody with a funded account.
struct Sender {
    client: Client,
    address: Address,
    request: TransactionRequest,
    /// Hashes of the transactions that the service acknowledged.
    sent: Vec<Hash32>,
    /// Signatures received.
    signed: usize,
    /// Attempts to sign without an answer that says what came of them.
    unsigned: usize,
    /// Signed, and nobody said what became of it: it is handed in once more before anything else is signed.
    unanswered: Option<SignedTransaction>,
}

/// Everybody who sends, at work.
pub(crate) struct Senders {
    stop: Arc<AtomicBool>,
    running: JoinSet<anyhow::Result<Sender>>,
}

/// What was found to hold of them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Sent {
    /// Transactions whose sending was acknowledged; each is in the service's list and known to the node.
    pub(crate) acknowledged: usize,
    /// Of these, those in a block by now.
    pub(crate) mined: usize,
    /// Signed and sent, and no answer came.
    pub(crate) unknown: usize,
    /// Attempts in the senders' histories, which the enclave proves to be complete.
    pub(crate) attempts: usize,
}

impl Senders {
    /// Has so many people sign up, make wallets, be funded, and send one transaction after the other, one each `pace`.
    pub(crate) async fn start(
        system: &System,
        mailbox: &tokio::sync::Mutex<Codes>,
        count: usize,
        pace: Duration,
    ) -> anyhow::Result<Self> {
        let node = RpcUrl::parse(system.node.as_deref().context("no local EVM node")?).context("node")?;
        let (stop, mut running) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for number in 0..count {
            let sender =
                Sender::register(system, mailbox, &node, &format!("sender-{number}@bench.example.org")).await?;
            running.spawn_local(sender.work(pace, Arc::clone(&stop)));
        }
        Ok(Self { stop, running })
    }

    /// Lets everybody finish, and compares what they were told with what there is.
    ///
    /// # Errors
    /// What does not hold.
    pub(crate) async fn stop(mut self, system: &System) -> anyhow::Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Sent::default();
        while let Some(ended) = self.running.join_next().await {
            let sender = ended.context("a sender panicked")??;
            let listed = sender.listed().await?;
            sum.mined += sender.compare_with_list(&listed)?;
            sender.compare_with_node(system.node.as_deref().context("no local EVM node")?).await?;
            sum.attempts += sender.compare_with_history().await?;
            sum.acknowledged += sender.sent.len();
            sum.unknown += usize::from(sender.unanswered.is_some());
        }
        Ok(sum)
    }
}

impl Sender {
    async fn register(
        system: &System,
        mailbox: &tokio::sync::Mutex<Codes>,
        node: &RpcUrl,
        email: &str,
    ) -> anyhow::Result<Self> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| anyhow::anyhow!("device key: {error}"))?;
        let client = client(&system.target, pkcs8.as_ref())?;
        let password = SecretText::new(PASSWORD.to_owned());
        client.api().sign_up(email, &password, None).await.context("sign up")?;
        let code = mailbox.lock().await.code(email).await?;
        client.api().verify_email(email, &SecretText::new(code)).await.context("verify the address")?;
        client.api().log_in(email, &password).await.context("log in")?;
        let pin = NewPin::choose(pin()?).context("PIN")?;
        let attested = client.attest().await.context("evidence")?;
        let address = attested.register(&pin, Words::Twelve, "soak").await.context("register")?.account.address;
        let coins = Amount::from_units(COINS, 18).context("coins")?;
        fund(node, address.0, coins.0).await.context("fund")?;
        let network: Network = LOCAL_NETWORK.parse().context("network")?;
        let value = Amount::from_units("0.000001", 18).context("value")?;
        let to = Address(EvmAddress([0x11; 20]));
        let request = TransactionRequest::native(network, AccountIndex::default(), to, value);
        Ok(Self { client, address, request, sent: Vec::new(), signed: 0, unsigned: 0, unanswered: None })
    }

    async fn work(mut self, pace: Duration, stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let pin = pin()?;
        let mut attested: Option<Attested> = None;
        while !stop.load(Ordering::Relaxed) {
            let due = tokio::time::Instant::now() + pace;
            if let Err(failed) = self.send(&pin, &mut attested).await {
                ensure!(!is_broken(&failed), "a sender was told: {failed:#}");
                // A restart, mostly; the next one begins with evidence of the new boot.
                attested = None;
            }
            tokio::time::sleep_until(due).await;
        }
        Ok(self)
    }

    /// One transaction, as the command line makes it.
    async fn send(&mut self, pin: &Pin, attested: &mut Option<Attested>) -> anyhow::Result<()> {
        if attested.is_none() {
            *attested = Some(self.client.attest().await.context("evidence")?);
        }
        let attested = attested.as_ref().context("evidence")?;
        if let Some(signed) = &self.unanswered {
            self.client.broadcast(signed).await.context("broadcast once more")?;
            self.sent.extend(self.unanswered.take().map(|signed| signed.hash()));
        }
        let prepared = self.client.prepare_transaction(&self.request, &[]).await.context("prepare")?;
        let signed = match attested.sign_transaction(pin, &prepared).await {
            Ok(signed) => signed,
            Err(error) => {
                self.unsigned += 1;
                // If that fails the nonce comes back by itself.
                let _ = self.client.discard(prepared).await;
                return Err(error).context("sign");
            }
        };
        self.signed += 1;
        match self.client.broadcast(&signed).await {
            Ok(_) => self.sent.push(signed.hash()),
            Err(error) => {
                self.unanswered = Some(signed);
                return Err(error).context("broadcast");
            }
        }
        Ok(())
    }

    /// What the service says it sent from this address.
    async fn listed(&self) -> anyhow::Result<BTreeMap<String, Transaction>> {
        let (mut listed, mut cursor): (BTreeMap<_, _>, Option<String>) = (BTreeMap::new(), None);
        loop {
            let ask = || self.client.transactions(&self.request.network, self.address, PAGE, cursor.as_deref());
            let page = patiently(ask).await.context("list of transactions")?;
            listed.extend(page.items.into_iter().map(|one| (one.hash.to_string(), one)));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(listed);
            }
        }
    }

    /// How many of those acknowledged are in a block.
    fn compare_with_list(&self, listed: &BTreeMap<String, Transaction>) -> anyhow::Result<usize> {
        let mut mined = 0;
        for hash in &self.sent {
            let one =
                listed.get(&format!("0x{hash}")).with_context(|| format!("{hash} was acknowledged, and is gone"))?;
            ensure!(one.from == self.address, "{hash} is shown as somebody else's");
            match one.status {
                TransactionStatus::Mined | TransactionStatus::Final => mined += 1,
                TransactionStatus::Pending => {}
                other => anyhow::bail!("{hash} was acknowledged, and is {other:?}"),
            }
        }
        let most = self.sent.len() + usize::from(self.unanswered.is_some());
        ensure!(listed.len() <= most, "{} transactions are listed, and {most} were sent", listed.len());
        Ok(mined)
    }

    /// The node's own word, past the service.
    async fn compare_with_node(&self, node: &str) -> anyhow::Result<()> {
        let mut http = Http::new(node);
        for hash in &self.sent {
            let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [format!("0x{hash}")] });
            let headers = [("content-type", "application/json")];
            let answer = http.post("/", &headers, question.to_string().as_bytes()).await.context("node")?.json();
            ensure!(answer["result"]["hash"] == format!("0x{hash}"), "the node does not know {hash}: {answer}");
        }
        Ok(())
    }

    /// Every signature that was received is a right PIN in the history, and there are no more than were asked for.
    async fn compare_with_history(&self) -> anyhow::Result<usize> {
        let history = patiently(async || self.client.attest().await?.history(None).await.map_err(anyhow::Error::from))
            .await
            .context("history")?;
        ensure!(history.is_complete, "the history has a gap");
        let signatures = history.attempts.iter().filter(|attempt| attempt.method == Method::Sign);
        let right = signatures.clone().filter(|attempt| attempt.result == AttemptResult::Right).count();
        let (least, most) = (self.signed, self.signed + self.unsigned);
        ensure!((least..=most).contains(&right), "{right} signatures in the history, {least} to {most} were asked for");
        ensure!(signatures.count() <= most, "attempts that nobody made are in the history");
        Ok(history.attempts.len())
    }
}

fn pin() -> anyhow::Result<Pin> {
    Pin::parse(PIN).context("PIN")
}

/// Asks until there is an answer; the last kill may be a moment ago.
async fn patiently<T, E: Into<anyhow::Error>>(ask: impl AsyncFn() -> Result<T, E>) -> anyhow::Result<T> {
    let mut error = None;
    for _ in 0..ASKED_MAX {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(failed) => error = Some(failed.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(error.unwrap_or_else(|| anyhow::anyhow!("nothing was asked")))
}
