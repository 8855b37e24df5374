//! `pinseal wallet create` and `pinseal accounts`.

use pinseal_client::Account;
use pinseal_client::operation::Words;

use super::connection::{Connection, device_label, index};
use super::ready::{self, Purpose};
use crate::args::{AccountsArgs, WalletCreateArgs};
use crate::context;
use crate::failure::Outcome;
use crate::output::{Output, Style};
use crate::{secret, trouble};

/// Sets a PIN and makes the wallet.
///
/// # Errors
/// The enclave's reason; a wallet that exists stays as it is.
pub(crate) async fn create(arguments: WalletCreateArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    // Both come before a person is asked for a PIN that could not be used.
    let attested = connection.attest().await?;
    ready::check(&connection, &attested, Purpose::Create).await?;
    let me = output.progress("looking up the user", connection.api().me()).await.map_err(trouble::api)?;
    output.note(format!(
        "Making a wallet for {}. Choose a PIN of 6 to 8 digits; nobody can look it up for you.",
        me.email
    ));
    let pin = secret::new_pin("New PIN: ", "--pin-fd", arguments.pin.pin_fd)?;
    let words = if arguments.words == "12" { Words::Twelve } else { Words::TwentyFour };
    let label = device_label(arguments.label);
    let registered = connection
        .sealed("making the wallet in the enclave", &attested, async |attested| {
            attested.register(&pin, words, &label).await
        })
        .await?;
    let address = registered.account.address;
    output.result(&serde_json::json!({ "address": address.to_string(), "path": registered.account.index.path(), "device": label }));
    output.line(format!(
        "{} your wallet is ready; its first address, vouched for by the enclave:",
        output.paint(Style::Green, "ok")
    ));
    output.line(format!("  {}", output.paint(Style::Cyan, address.to_string())));
    if connection.chosen.local.as_ref().is_some_and(|local| local.node.is_some()) {
        output.line(format!("next: {}", context::command("dev fund")));
    }
    Ok(())
}

/// Lists addresses as the enclave states them.
///
/// # Errors
/// A statement does not hold, or there is no wallet.
pub(crate) async fn accounts(arguments: AccountsArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    let attested = connection.attest().await?;
    let wanted = (0..arguments.count).map(index).collect::<Outcome<Vec<_>>>()?;
    let accounts = connection
        .sealed("asking the enclave for addresses", &attested, async |attested| attested.list_accounts(&wanted).await)
        .await?;
    let json = |account: &Account| serde_json::json!({ "index": account.index.value(), "path": account.index.path(), "address": account.address.to_string() });
    output.result(&serde_json::json!({ "accounts": accounts.iter().map(json).collect::<Vec<_>>() }));
    for account in &accounts {
        output.line(format!(
            "{}  {}",
            output.paint(Style::Cyan, account.address.to_string()),
            output.paint(Style::Dim, account.index.path())
        ));
    }
    Ok(())
}
