//! `pinseal devices`.

use pinseal_client::Attested;
use pinseal_client::operation::WalletStatus;
use pinseal_protocol::reply::DeviceInfo;

use super::connection::{Connection, address, device_label, index, when};
use super::ready::{self, Purpose};
use crate::args::{ClientArgs, PinArgs};
use crate::context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Output, Style, table};
use crate::{secret, trouble};

/// Shortest beginning of a device's id that names it.
const PREFIX_CHARS_MIN: usize = 8;
/// As many of a device's id as lists show.
const SHOWN_CHARS: usize = 16;

/// Lists the wallet's devices.
///
/// # Errors
/// The enclave's reason.
pub(crate) async fn list(client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let attested = connection.attest().await?;
    let WalletStatus { status, .. } = status(&connection, &attested).await?;
    let own = connection
        .client
        .profile()
        .await
        .map_err(|error| Failure::failed("profile", crate::deployment::chain(&error)))?
        .device
        .id();
    let items: Vec<_> = status
        .devices
        .iter()
        .map(|device| {
            serde_json::json!({
                "device": device.device.to_string(),
                "label": device.label,
                "enrolled_at": device.enrolled.0,
                "wrong_pins_outstanding": device.outstanding,
                "current": device.device == own,
            })
        })
        .collect();
    output.result(&serde_json::json!({ "enrolled": status.enrolled, "devices": items }));
    if !status.enrolled {
        output.line(format!("this device is not enrolled; next: {}", context::command("devices enrol")));
        return Ok(());
    }
    let mut rows = vec![["DEVICE", "NAME", "ENROLLED", "WRONG PINS", ""].map(str::to_owned).to_vec()];
    rows.extend(status.devices.iter().map(|device| {
        let short = short(&device.device.to_string());
        let here = if device.device == own { "this one" } else { "" };
        vec![short, printable(&device.label), when(device.enrolled.0), device.outstanding.to_string(), here.to_owned()]
    }));
    table(&rows).iter().for_each(|line| output.line(line));
    Ok(())
}

/// Enrols this device.
///
/// # Errors
/// The enclave's reason.
pub(crate) async fn enrol(
    label: Option<String>,
    expected: Option<String>,
    pin: PinArgs,
    client: ClientArgs,
    output: Output,
) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let expected = expected.as_deref().map(address).transpose()?;
    if expected.is_none() && (!output.is_seen() || pin.pin_fd.is_some()) {
        return Err(Failure::usage("where nobody looks on, a PIN goes only to the wallet whose address is given")
            .advise(format!("give --address; another device shows it: `{}`", context::command("accounts"))));
    }
    let attested = connection.attest().await?;
    ready::check(&connection, &attested, Purpose::Enrol).await?;
    let label = device_label(label);
    // Nothing is pinned on a new device: a host could have logged it in to a wallet of its own, to learn the PINs typed there. The
    // enclave's statement of the address is what a person can tell their own wallet by.
    let first = [index(0)?];
    let accounts = connection
        .sealed("asking the enclave for the address", &attested, async |attested| attested.list_accounts(&first).await)
        .await?;
    let Some(shown) = accounts.first().map(|account| account.address) else {
        return Err(Failure::failed("account_unknown", "the enclave named no account"));
    };
    match expected {
        None => output
            .note(format!("This login leads to the wallet {shown}. If that is not your wallet, do not type your PIN.")),
        Some(expected) if expected == shown => {}
        Some(expected) => {
            let sentence =
                format!("this login leads to the wallet {shown}, and not to {expected}; it was given no PIN");
            return Err(Failure::new(Exit::NotTrusted, "wallet_other", sentence)
                .advise("log in as whoever owns that wallet; if that is you, tell the operator"));
        }
    }
    let pin = secret::pin("PIN: ", pin.pin_fd)?;
    connection
        .sealed("enrolling this device", &attested, async |attested| attested.enrol_device(&pin, &label).await)
        .await?;
    output.result(&serde_json::json!({ "enrolled": true, "label": label, "address": shown.to_string() }));
    output.line(format!("{} this device is enrolled as {label}", output.paint(Style::Green, "ok")));
    Ok(())
}

/// Revokes a device.
///
/// # Errors
/// No such device, or the enclave's reason.
pub(crate) async fn revoke(device: String, pin: PinArgs, client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    named_enough(&device)?;
    let attested = connection.attest().await?;
    let WalletStatus { status, .. } = ready::check(&connection, &attested, Purpose::Use).await?;
    let found = named(&status.devices, &device)?;
    let (id, label) = (found.device, printable(&found.label));
    let pin = secret::pin(&format!("PIN to revoke {label}: "), pin.pin_fd)?;
    connection
        .sealed("revoking the device", &attested, async |attested| attested.revoke_device(&pin, id).await)
        .await?;
    output.result(&serde_json::json!({ "revoked": id.to_string() }));
    output.line(format!("{} {label} is revoked", output.paint(Style::Green, "ok")));
    Ok(())
}

/// Gives back all used-up tries.
///
/// # Errors
/// The enclave's reason.
pub(crate) async fn clear(pin: PinArgs, client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let attested = connection.attest().await?;
    ready::check(&connection, &attested, Purpose::Use).await?;
    let pin = secret::pin("PIN: ", pin.pin_fd)?;
    let tries =
        connection.sealed("giving tries back", &attested, async |attested| attested.clear_tries(&pin).await).await?;
    output.result(&serde_json::json!({ "cleared": true, "tries_left": tries.left }));
    output.line(format!(
        "{} all used-up tries are given back; {}",
        output.paint(Style::Green, "ok"),
        trouble::tries_left(tries)
    ));
    Ok(())
}

/// The wallet's status from the enclave.
///
/// # Errors
/// The enclave's reason.
pub(crate) async fn status(connection: &Connection, attested: &Attested) -> Outcome<WalletStatus> {
    connection.sealed("asking the enclave", attested, async |attested| attested.status().await).await
}

/// The first characters of a device's id, as many in every list.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(SHOWN_CHARS).collect()
}

fn named_enough(wanted: &str) -> Outcome {
    if wanted.len() >= PREFIX_CHARS_MIN {
        return Ok(());
    }
    Err(Failure::usage(format!("a device is named by {PREFIX_CHARS_MIN} or more characters of its id"))
        .advise(format!("see `{}`", context::command("devices list"))))
}

fn named<'a>(devices: &'a [DeviceInfo], wanted: &str) -> Outcome<&'a DeviceInfo> {
    let wanted = wanted.to_ascii_lowercase();
    let mut found = devices.iter().filter(|device| device.device.to_string().starts_with(&wanted));
    match (found.next(), found.next()) {
        (Some(device), None) => Ok(device),
        (None, _) => {
            Err(Failure::usage("there is no such device").advise(format!("see `{}`", context::command("devices list"))))
        }
        (Some(_), Some(_)) => Err(Failure::usage("several devices begin like this").advise("give more of the id")),
    }
}

/// A label comes from another device; it must not drive this terminal.
pub(crate) fn printable(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
