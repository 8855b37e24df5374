//! `pinseal backup`: everything that a deployment needs to come back, but the sealing passphrase.

use serde_json::json;

use super::connection::when;
use crate::args::BackupArgs;
use crate::context::quoted;
use crate::data_dir::DataDir;
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
    let warn = |text: &str| wrapped(text, WIDTH).iter().for_each(|line| output.note(output.paint(Style::Yellow, line)));
    if made.is_issuer_key_elsewhere {
        warn(
            "server.toml names another place for the token issuer's key than host/issuer.p8, where the backup has it: before a restore put it there, or \
              have the backup's host/server.toml say issuer_key_file = \"issuer.p8\".",
        );
    }
    if made.is_anchor_elsewhere {
        warn(
            "The anchor lies on a disk of its own, where a link leads, and the backup holds no link: before a restore make host/anchor one again, to \
             a place that no other deployment uses.",
        );
    }
    let has_passphrase = DataDir::at(data).has_passphrase();
    if has_passphrase {
        warn(&format!(
            "The sealing passphrase is not in it. It lies in {} alone: copy it to a third place, since nothing opens the backup without it.",
            DataDir::at(data).root().join("passphrase").display()
        ));
    } else {
        warn("The sealing passphrase is not in it, and nothing opens the backup without it.");
    }
    let copy = quoted(&to.display().to_string());
    let note = format!(
        "Where the newest state is lost, put it in place whole: `mv D D.lost`, `cp -aT {copy} D`; then `{} restore --data D`. What is said here of \
         the content is the host's word.",
        up::own_name()
    );
    wrapped(&note, WIDTH).iter().for_each(|line| output.note(line));
    output.result(&json!({
        "backup": to, "deployment": newest.deployment.to_string(), "checkpoint": newest.sequence.0, "log_entries": newest.size,
        "time": newest.time.0, "restores": newest.restores, "wallets": made.wallets, "bytes": made.bytes,
        "issuer_key_elsewhere": made.is_issuer_key_elsewhere, "anchor_elsewhere": made.is_anchor_elsewhere,
        "passphrase_stored_beside": has_passphrase,
    }));
    Ok(())
}
