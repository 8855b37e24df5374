//! `pinseal demo`: the whole main job over real processes and sockets, told step by step.

mod stage;
mod story;

use pinseal_client::api::NetworkInfo;
use pinseal_client::operation::Words;
use pinseal_client::transaction::{Patience, Until};
use pinseal_client::{Account, Amount, Attested, NewPin, OperationError, Pin, SecretText, TransactionRequest};
use pinseal_protocol::intent::AccountIndex;
use zeroize::Zeroizing;

use crate::args::DemoArgs;
use crate::commands::connection::Connection;
use crate::commands::{dev, transactions, view};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::profile::{Chosen, Service};
use crate::{signals, trouble};
use stage::Stage;
use story::Story;

/// The demo's user; mail to example.org goes nowhere, and here it is caught before.
const EMAIL: &str = "ada@example.org";
/// Somebody to pay: the local node's second account.
const BOB: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The demo's PIN; printed, because it protects nothing.
const PIN: &str = "482913";
/// Another one.
const WRONG_PIN: &str = "193745";
/// Test coins to start with, in whole coins.
const FUNDS: &str = "10";
/// What is sent, in whole coins.
const AMOUNT: &str = "0.25";
/// Decimals of ether.
const DECIMALS: u8 = 18;
/// Seconds the mail is waited for.
const MAIL_SECONDS: u64 = 30;
/// Looks at a transaction before giving up; the local node mines at once.
const POLLS_MAX: u32 = 60;

/// Runs the story; whatever happens, every process it started is stopped.
///
/// # Errors
/// The first step that fails, with its reason.
pub(crate) async fn run(arguments: DemoArgs, output: Output) -> Outcome {
    let mut story = Story::new(output);
    story.open();
    let mut stage = Stage::make()?;
    let told = tokio::select! {
        told = tell(&mut story, &mut stage) => told,
        () = signals::stop() => Err(Failure::new(Exit::Failure, "interrupted", "interrupted")),
    };
    let cleared = match told {
        Ok(()) => story.step("Stop", stage.clear(arguments.keep)).await,
        Err(failure) => {
            // The reason of the failed step matters more than how clearing up went.
            let _ = stage.clear(arguments.keep).await;
            Err(failure)
        }
    };
    cleared?;
    story.close();
    Ok(())
}

async fn tell(story: &mut Story, stage: &mut Stage) -> Outcome {
    story.step("Start the system", stage.start()).await?;
    let defaults = stage.defaults()?.duplicate();
    let connection = Connection::of(
        Chosen {
            directory: stage.path().join("profile"),
            service: Service {
                server: defaults.server.clone(),
                app_id: defaults.app_id.clone(),
                app_key: defaults.app_key.duplicate(),
                development: true,
                measurements: Vec::new(),
                nitro: Vec::new(),
            },
            local: Some(defaults),
        },
        story.quiet(),
    )?;
    story.step("Verify the enclave's evidence", evidence(&connection)).await?;
    let attested = story.step("Log in by e-mail", log_in(&connection)).await?;
    let account = story.step("Set a PIN, make the wallet", Box::pin(register(&connection, &attested))).await?;
    story.step("Fund the account", fund(&connection, account)).await?;
    story
        .step("Send: decode, approve, seal, sign, mine", Box::pin(send(&connection, &attested, account, story.quiet())))
        .await?;
    story.step("Enter a wrong PIN", Box::pin(wrong_pin(&attested))).await?;
    story.step("List what was sent", list(&connection, account)).await
}

/// What a step shows below its title, and what it hands on.
type Shown<T = ()> = Outcome<(Vec<String>, T)>;

async fn evidence(connection: &Connection) -> Shown {
    let attested = connection.client.attest().await.map_err(trouble::evidence)?;
    let manifest = attested.manifest();
    let lines = vec![
        format!("enclave image  {}", attested.verified().measurement),
        format!("deployment     {}, anchor {}", manifest.deployment, manifest.anchor),
        "our fresh nonce and the enclave's keys are covered by the signature".to_owned(),
        format!("! {}", attested.verified().statement),
    ];
    Ok((lines, ()))
}

/// The evidence once more comes with it: a PIN is given for whom it was verified.
async fn log_in(connection: &Connection) -> Shown<Attested> {
    let local = connection.chosen.local.as_ref().ok_or_else(|| Failure::failed("demo", "the system offers nothing"))?;
    let mails = dev::mailbox(local)?;
    let before = mails.newest(EMAIL).await?;
    let password = random_password()?;
    let api = connection.api();
    api.sign_up(EMAIL, &password, None).await.map_err(trouble::api)?;
    let code = mails.code(EMAIL, before, MAIL_SECONDS).await?;
    api.verify_email(EMAIL, &SecretText::new(code.clone())).await.map_err(trouble::api)?;
    api.log_in(EMAIL, &password).await.map_err(trouble::api)?;
    let me = api.me().await.map_err(trouble::api)?;
    let attested = connection.client.attest().await.map_err(trouble::evidence)?;
    Ok((
        vec![
            format!("{EMAIL} signed up; the mailed code {code} proved the address"),
            format!("session of {} bound to this device's key", me.email),
        ],
        attested,
    ))
}

async fn register(connection: &Connection, attested: &Attested) -> Shown<Account> {
    let pin = Pin::parse(PIN).and_then(NewPin::choose).map_err(|error| Failure::failed("demo", error.to_string()))?;
    let registered = attested.register(&pin, Words::TwentyFour, "demo").await.map_err(trouble::operation)?;
    let account = registered.account;
    // What the host keeps must be what the enclave said: the list below verifies each statement under the attested log key.
    let cached = connection.client.accounts().await.map_err(trouble::account)?;
    if !cached.contains(&account) {
        return Err(Failure::new(
            Exit::NotTrusted,
            "address_refused",
            "the host does not list the address the enclave stated",
        ));
    }
    let lines = vec![
        format!("PIN {PIN} became a factor here (Argon2id), which left this process only sealed to the enclave"),
        format!("address  {}  {}", account.address, account.index.path()),
        "the enclave's signed statement of this address was verified, and the host's copy too".to_owned(),
    ];
    Ok((lines, account))
}

async fn fund(connection: &Connection, account: Account) -> Shown {
    let local = connection.chosen.local.as_ref();
    let node = local
        .and_then(|local| local.node.as_deref())
        .ok_or_else(|| Failure::failed("demo", "there is no local EVM node"))?;
    let amount = amount(FUNDS)?;
    dev::fund_from(node, account.address, amount).await?;
    let network = network(connection).await?;
    let balances = connection.api().balances(&network.caip2, account.address, &[]).await.map_err(trouble::api)?;
    if balances.native.amount < amount {
        return Err(Failure::failed("fund", "the test coins did not arrive"));
    }
    Ok((
        vec![format!("balance  {} {} on {}", balances.native.amount.to_units(DECIMALS), network.symbol, network.name)],
        (),
    ))
}

async fn send(connection: &Connection, attested: &Attested, account: Account, output: Output) -> Shown {
    let network = network(connection).await?;
    let to = BOB.parse().map_err(|error| Failure::failed("demo", format!("{error}")))?;
    let request = TransactionRequest::native(network.caip2.clone(), AccountIndex::default(), to, amount(AMOUNT)?);
    let prepared = connection.client.prepare_transaction(&request, &[]).await.map_err(trouble::transaction)?;
    if !matches!(prepared.transaction().kind, pinseal_chains::evm::transaction::Kind::DynamicFee { .. }) {
        return Err(Failure::failed("demo", "the local node offers no EIP-1559 fees"));
    }
    let mut lines = vec!["decoded from the very bytes that are signed:".to_owned()];
    lines.extend(view::lines(prepared.view(), output).into_iter().map(|line| format!("  {line}")));
    let pin = Pin::parse(PIN).map_err(|error| Failure::failed("demo", error.to_string()))?;
    let signed = attested.sign_transaction(&pin, &prepared).await.map_err(trouble::operation)?;
    lines.push(
        "sealed to the enclave, PIN checked there, signed there; the signature fits bytes and address".to_owned(),
    );
    connection.client.broadcast(&signed).await.map_err(trouble::transaction)?;
    let mined = connection
        .client
        .wait_for(&signed, Until::Mined, Patience::polls(POLLS_MAX))
        .await
        .map_err(|error| trouble::wait(error, signed.hash()))?;
    if mined.from != account.address {
        return Err(Failure::new(Exit::NotTrusted, "transaction_refused", "the mined transaction has another sender"));
    }
    let block = mined.block_number.ok_or_else(|| Failure::failed("demo", "the receipt names no block"))?;
    let fee = mined.fee_paid.map_or_else(|| "?".to_owned(), |fee| fee.to_units(DECIMALS));
    lines.push(format!("receipt  block {block}, fee paid {fee} {}", network.symbol));
    lines.push(format!("         {}", mined.hash));
    Ok((lines, ()))
}

async fn wrong_pin(attested: &Attested) -> Shown {
    let pin = |text: &str| Pin::parse(text).map_err(|error| Failure::failed("demo", error.to_string()));
    let left = match attested.verify_pin(&pin(WRONG_PIN)?).await {
        Err(OperationError::WrongPin { tries }) => tries.left,
        Err(error) => return Err(trouble::operation(error)),
        Ok(_) => return Err(Failure::failed("demo", "a wrong PIN was taken for right")),
    };
    let after = attested.verify_pin(&pin(PIN)?).await.map_err(trouble::operation)?.left;
    if left >= after {
        return Err(Failure::failed("demo", format!("a wrong PIN cost nothing: {left} tries left, then {after}")));
    }
    let lines = vec![
        format!(
            "PIN {WRONG_PIN} refused by the enclave: {left} tries left; the try was taken off before the PIN was checked"
        ),
        format!("PIN {PIN} accepted: {after} tries left again"),
    ];
    Ok((lines, ()))
}

async fn list(connection: &Connection, account: Account) -> Shown {
    let network = network(connection).await?;
    let page = connection.client.transactions(&network.caip2, account.address, 10, None).await.map_err(trouble::api)?;
    if page.items.is_empty() {
        return Err(Failure::failed("demo", "the list of transactions is empty"));
    }
    Ok((transactions::lines(&page.items), ()))
}

async fn network(connection: &Connection) -> Outcome<NetworkInfo> {
    connection.network(None).await
}

fn amount(text: &str) -> Outcome<Amount> {
    crate::commands::connection::amount(text, DECIMALS)
}

fn random_password() -> Outcome<SecretText> {
    let mut bytes = Zeroizing::new([0_u8; 16]);
    getrandom::fill(bytes.as_mut())
        .map_err(|error| Failure::failed("randomness", format!("no randomness: {error}")))?;
    // The server asks for a letter and a digit.
    Ok(SecretText::new(format!("a1{}", hex::encode(bytes.as_ref()))))
}
