//! `pinseal pin`.

use std::os::fd::RawFd;

use super::connection::Connection;
use super::ready::{self, Purpose};
use crate::args::{ClientArgs, PinArgs};
use crate::failure::Outcome;
use crate::output::{Output, Style};
use crate::{secret, trouble};

/// Checks the PIN.
///
/// # Errors
/// Wrong, locked, or not judged.
pub(crate) async fn verify(pin: PinArgs, client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let attested = connection.attest().await?;
    ready::check(&connection, &attested, Purpose::Use).await?;
    let pin = secret::pin("PIN: ", pin.pin_fd)?;
    let tries = connection
        .sealed("checking the PIN in the enclave", &attested, async |attested| attested.verify_pin(&pin).await)
        .await?;
    output
        .result(&serde_json::json!({ "correct": true, "tries_left": tries.left, "life_tries_left": tries.life_left }));
    output.line(format!("{} the PIN is right; {}", output.paint(Style::Green, "ok"), trouble::tries_left(tries)));
    Ok(())
}

/// Sets a new PIN.
///
/// # Errors
/// The old PIN is wrong, locked, or not judged; the old one stays in force then.
pub(crate) async fn change(pin: PinArgs, new_pin_fd: Option<RawFd>, client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let attested = connection.attest().await?;
    ready::check(&connection, &attested, Purpose::Use).await?;
    let (old, new) = secret::changed_pin(pin.pin_fd, new_pin_fd)?;
    let tries = connection
        .sealed("changing the PIN in the enclave", &attested, async |attested| attested.change_pin(&old, &new).await)
        .await?;
    output.result(&serde_json::json!({ "changed": true, "tries_left": tries.left }));
    output.line(format!("{} the new PIN is in force", output.paint(Style::Green, "ok")));
    Ok(())
}
