//! `pinseal backup`: everything that a deployment needs to come back, but the sealing passphrase.

use serde_json::json;

use super::connection::when;
use crate::args::BackupArgs;
use crate::context::quoted;
use crate::failure::Outcome;
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::up;

/// Makes a backup.
///
/// # Errors
/// There is no deployment, something lies there, or a part of it cannot be read or written; nothing lies there then.
pub(crate) async fn backup(arguments: BackupArgs, output: Output) -> Outcome {
    let BackupArgs { data, to, host_user } = &arguments;
    let made = output.progress("copying the deployment", up::back_up(data, to, host_user.as_deref())).await?;
    let newest = made.checkpoint()?;
    output.line(format!("backup of deployment {} in {}", newest.deployment, to.display()));
    output.field(
        "holds",
        format!("checkpoint {} with {} log entries, of {}", newest.sequence.0, newest.size, when(newest.time.0)),
    );
    let wallets = if made.wallets == 1 { "1 wallet".to_owned() } else { format!("{} wallets", made.wallets) };
    output.field("", format!("{wallets}, {} KiB of database", made.bytes.div_ceil(1024)));
    if made.is_issuer_key_elsewhere {
        output.note(output.paint(
            Style::Yellow,
            "server.toml names another place for the token issuer's key: it is in the backup as host/issuer.p8, and is wanted there again",
        ));
    }
    let copy = quoted(&to.display().to_string());
    let note = format!(
        "The sealing passphrase is not in it: without that nothing opens it, and beside it anybody guesses PINs. Where the newest state is lost: \
         `cp -a {copy} D`, then `{} restore --data D`.",
        up::own_name()
    );
    wrapped(&note, WIDTH).iter().for_each(|line| output.note(line));
    output.result(&json!({
        "backup": to, "deployment": newest.deployment.to_string(), "checkpoint": newest.sequence.0, "log_entries": newest.size,
        "time": newest.time.0, "restores": newest.restores, "wallets": made.wallets, "bytes": made.bytes,
        "issuer_key_elsewhere": made.is_issuer_key_elsewhere,
    }));
    Ok(())
}
