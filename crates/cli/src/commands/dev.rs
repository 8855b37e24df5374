//! `pinseal dev`: test money and caught mail.

use pinseal_client::{Address, Amount};
use pinseal_networks::RpcUrl;

use super::connection::Connection;
use super::mailbox::MailboxReader;
use crate::args::{FundArgs, MailArgs};
use crate::context;
use crate::data_dir::{ClientDefaults, DataDir};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Output, Style};
use crate::profile::Chosen;

/// Decimals of ether.
const DECIMALS: u8 = 18;

/// `pinseal dev fund`.
///
/// # Errors
/// No local node, or nobody to fund.
pub(crate) async fn fund(arguments: FundArgs, output: Output) -> Outcome {
    let defaults = DataDir::at(&arguments.client.data)
        .client_defaults()?
        .filter(ClientDefaults::is_local)
        .ok_or_else(no_system)?;
    let node = defaults
        .node
        .clone()
        .ok_or_else(|| Failure::failed("node_missing", "this system runs without a local EVM node"))?;
    context::note_flags(&arguments.client);
    let amount = super::connection::amount(&arguments.amount, DECIMALS)?;
    let given = arguments.address.as_deref().map(super::connection::address).transpose()?;
    node_runs(&node).await?;
    let address = match given {
        Some(address) => address,
        None => own_address(&arguments, output).await?,
    };
    output.progress("funding", fund_from(&node, address, amount)).await?;
    output.result(&serde_json::json!({ "address": address.to_string(), "amount": amount.to_string(), "network": defaults.network }));
    output.line(format!(
        "{} {address} received {} test ETH",
        output.paint(Style::Green, "ok"),
        amount.to_units(DECIMALS)
    ));
    output.line(format!("next: {}", context::command("send 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 0.25")));
    Ok(())
}

/// Whether anybody listens where the local node should be.
async fn node_runs(node: &str) -> Outcome {
    let place = url::Url::parse(node)
        .ok()
        .and_then(|url| Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?)));
    let (host, port) = place.ok_or_else(|| Failure::failed("fund", "the local EVM node's URL is not usable"))?;
    match tokio::net::TcpStream::connect((host.as_str(), port)).await {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Failure::new(Exit::Service, "unreachable", format!("the local EVM node at {node} does not answer"))
                .advise(format!("start it with `{}`", context::system_command("up"))))
        }
    }
}

/// Sends test money from the local node's own account and waits until it is there.
///
/// # Errors
/// The node does not answer, or is no development node.
pub(crate) async fn fund_from(node: &str, address: Address, amount: Amount) -> Outcome {
    let url = RpcUrl::parse(node)
        .map_err(|error| Failure::failed("fund", format!("the local EVM node's URL is not usable: {error}")))?;
    let funded = pinseal_networks::dev::fund(&url, address.0, amount.0).await;
    funded.map(drop).map_err(|error| {
        Failure::failed(
            "fund",
            format!("the local EVM node did not fund {address}: {}", crate::deployment::chain(&error)),
        )
    })
}

async fn own_address(arguments: &FundArgs, output: Output) -> Outcome<Address> {
    let chosen = Chosen::resolve(&arguments.client)?;
    if chosen.local.is_none() {
        return Err(
            Failure::usage("whom to fund?").advise("give an address, or log in to the development system first")
        );
    }
    let connection = Connection::open(&arguments.client, output)?;
    connection.account(0).await.map(|account| account.address)
}

/// `pinseal dev mail`.
///
/// # Errors
/// No mailbox, or no mail in time.
pub(crate) async fn mail(arguments: MailArgs, output: Output) -> Outcome {
    let defaults =
        DataDir::at(&arguments.data).client_defaults()?.filter(ClientDefaults::is_local).ok_or_else(no_system)?;
    let reader = mailbox(&defaults)?;
    let mails = match &arguments.wait {
        None => reader.mails(None, 0, 0).await?,
        Some(address) => {
            let after = reader.newest(address).await?;
            let mails =
                output.progress("waiting for mail", reader.mails(Some(address), after, arguments.patience)).await?;
            if mails.is_empty() {
                return Err(Failure::failed(
                    "mail_missing",
                    format!("no mail to {address} within {} seconds", arguments.patience),
                ));
            }
            mails
        }
    };
    output.result(&serde_json::json!({ "mails": mails }));
    if mails.is_empty() {
        output.line("no mail yet");
    }
    for mail in &mails {
        output.line(output.paint(Style::Bold, format!("#{} {}", mail.id, printable(&mail.subject))));
        output.field("to", printable(&mail.to.join(", ")));
        if let Some(code) = &mail.code {
            output.field("code", output.paint(Style::Cyan, code));
        }
        for line in mail.text.lines() {
            output.line(format!("    {}", printable(line)));
        }
    }
    Ok(())
}

/// The mailbox of a development system.
///
/// # Errors
/// It sends its mail elsewhere.
pub(crate) fn mailbox(defaults: &ClientDefaults) -> Outcome<MailboxReader> {
    let url = defaults
        .mailbox
        .as_deref()
        .ok_or_else(|| Failure::failed("mailbox_missing", "this system sends its mail through another server"))?;
    MailboxReader::new(url)
}

fn no_system() -> Failure {
    Failure::usage("there is no development system here")
        .advise("start one with `pinseal up`, or name its directory with --data DIR")
}

/// Without characters that could drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
