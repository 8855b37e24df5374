//! `pinseal status`.

use pinseal_client::Attested;
use pinseal_client::api::{HardeningStatus, ServerStatus};
use pinseal_client::operation::WalletStatus;
use pinseal_protocol::request::WalletState;

use super::connection::{self, Connection, when};
use super::devices;
use crate::args::ClientArgs;
use crate::context;
use crate::failure::{Exit, Outcome};
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::trouble;

/// Shows service, enclave and, for somebody logged in, the wallet.
///
/// # Errors
/// The service does not answer, its evidence is not to be believed, or this device has not accepted a restore; then the rest is shown first.
pub(crate) async fn show(client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let server = output.progress("asking the service", connection.api().status()).await.map_err(trouble::api)?;
    let attested = connection.attest_told(true).await?;
    let waiting = connection::waiting(&attested);
    let wallet = match connection.api().me().await.map_err(trouble::api) {
        // The enclave says nothing of a wallet to a device that has not accepted.
        _ if waiting.is_some() => None,
        Ok(me) => Some((me.email, devices::status(&connection, &attested).await?)),
        Err(failure) if failure.exit == Exit::NotLoggedIn => None,
        Err(failure) => return Err(failure),
    };
    let measurement = attested.verified().measurement.to_string();
    // Level, floor and witnesses are the enclave's word; what became of the last checkpoint is the host's.
    let manifest = attested.manifest();
    output.result(&serde_json::json!({
        "server": connection.chosen.service.server,
        "version": server.version,
        "uptime_seconds": server.uptime_seconds,
        "anchor_level": manifest.anchor.to_string(),
        "anchor": {
            "level": manifest.anchor.to_string(),
            "floor": manifest.floor.to_string(),
            "age_seconds": server.anchor.as_ref().map(|anchor| anchor.age_seconds),
            "witnesses": manifest.witnesses.as_ref().map(|quorum| serde_json::json!({
                "required": quorum.required,
                "all": quorum.witnesses.len(),
                "names": quorum.witnesses.iter().map(|witness| witness.name.as_str()).collect::<Vec<_>>(),
                "cosigned": cosigned(&server),
            })),
            "tpm": manifest.tpm.as_ref().map(crate::output::tpm),
            "restores": attested.restores(),
        },
        "restore_to_accept": attested.restored(),
        "checkpoint": server.checkpoint.as_ref().map(|checkpoint| serde_json::json!({
            "sequence": checkpoint.sequence, "size": checkpoint.size, "root": checkpoint.root,
        })),
        "wallets": server.wallets,
        "enrolment": server.enrolment.as_ref().map(|enrolment| serde_json::json!({
            "paused": enrolment.paused,
            "since_log_entry": enrolment.since_log_entry,
            "since": enrolment.since,
            "refused": enrolment.refused,
        })),
        "development": server.development,
        "wallet_page": server.wallet_page.as_ref().map(|page| serde_json::json!({ "url": page.url, "sha256": page.sha256 })),
        "enclave": {
            "measurement": measurement,
            "evidence": attested.verified().statement,
            "hardening": server.enclave.hardening.iter().map(hardening).collect::<Vec<_>>(),
        },
        "wallet": wallet.as_ref().map(|(email, wallet)| serde_json::json!({
            "email": email,
            "state": state(wallet.status.state),
            "enrolled": wallet.status.enrolled,
            "change_pending": wallet.status.change_pending,
            "devices": wallet.status.devices.len(),
            "tries_left": wallet.tries.left,
            "life_tries_left": wallet.tries.life_left,
            "delay_seconds": wallet.tries.delay_seconds,
            "wrong_pins_outstanding": wallet.status.outstanding,
        })),
    }));
    output.line(output.paint(Style::Bold, "Service"));
    output.field("server", &connection.chosen.service.server);
    output.field("version", format!("{}, up {}", server.version, span(server.uptime_seconds)));
    output.field("wallets", server.wallets.to_string());
    if let Some(page) = &server.wallet_page {
        output.field("wallet page", &page.url);
        output.field("page SHA-256", &page.sha256);
    }
    output.field("anchor", format!("{} (never below {})", manifest.anchor, manifest.floor));
    if let Some(quorum) = &manifest.witnesses {
        let told = cosigned(&server).map_or(String::new(), |cosigned| format!("; {cosigned} did when last asked"));
        let (required, all) = (quorum.required, quorum.witnesses.len());
        output.field("witnesses", format!("{required} of {all} have to cosign{told}"));
        for witness in &quorum.witnesses {
            output.field("", &witness.name);
        }
    }
    if let Some(tpm) = &manifest.tpm {
        output.field("TPM", format!("index 0x{:08x}, attests with {}", tpm.index, tpm.attester));
    }
    if let Some(checkpoint) = &server.checkpoint {
        let age = server
            .anchor
            .as_ref()
            .map_or(String::new(), |anchor| format!(", anchored {} ago", span(anchor.age_seconds)));
        output.field("checkpoint", format!("{} ({} log entries){age}", checkpoint.sequence, checkpoint.size));
    }
    if attested.restores() > 0 {
        let waits = format!("; this device has not accepted the last one: `{}`", context::command("accept-restore"));
        let waits = if waiting.is_some() { output.paint(Style::Red, waits) } else { String::new() };
        output.field("restores", format!("{} of an older state by the operators{waits}", attested.restores()));
    }
    if let Some(enrolment) = &server.enrolment {
        let since = enrolment.since.map_or(String::new(), |since| format!(" since {}", when(since)));
        let entry = enrolment.since_log_entry.map_or(String::new(), |entry| format!(", log entry {entry}"));
        let said = format!("paused for everybody{since}{entry}; {} attempts turned away", enrolment.refused);
        let said = if enrolment.paused { output.paint(Style::Red, said) } else { "open".to_owned() };
        output.field("enrolment", said);
    }
    enclave(&server, &measurement, output);
    match wallet {
        _ if waiting.is_some() => {}
        None => output.line("Nobody is logged in here."),
        Some((email, wallet)) => own_wallet(email, &attested, &wallet, output).await,
    }
    waiting.map_or(Ok(()), Err)
}

async fn own_wallet(email: String, attested: &Attested, wallet: &WalletStatus, output: Output) {
    output.line(output.paint(Style::Bold, "Your wallet"));
    output.field("user", email);
    output.field("state", state(wallet.status.state));
    if wallet.status.state == WalletState::Missing {
        return;
    }
    let enrolled = if wallet.status.enrolled {
        "enrolled".to_owned()
    } else {
        format!("not enrolled: `{}`", context::command("devices enrol"))
    };
    output.field("this device", enrolled);
    let tries = trouble::tries_left(wallet.tries);
    output.field("tries", format!("{tries}, {} over the life of this PIN", wallet.tries.life_left));
    // Who has no try left has nothing to wait for.
    if wallet.tries.left == 0 {
        output.field("way back", connection::no_try_left(attested, wallet).await.advice.unwrap_or_default());
    } else if wallet.tries.delay_seconds > 0 {
        output.field("wait", format!("{} s until the next try", wallet.tries.delay_seconds));
    }
}

fn cosigned(server: &ServerStatus) -> Option<u64> {
    Some(server.anchor.as_ref()?.witnesses.as_ref()?.cosigned)
}

fn enclave(server: &ServerStatus, measurement: &str, output: Output) {
    output.line(output.paint(Style::Bold, "Enclave"));
    output.field("image", measurement);
    let width = server.enclave.hardening.iter().map(|measure| measure.measure.chars().count()).max().unwrap_or(0);
    for measure in &server.enclave.hardening {
        let (mark, style) = if measure.active { ("on", Style::Green) } else { ("OFF", Style::Red) };
        let (name, mark) = (format!("{:<width$}", measure.measure), output.paint(style, format!("{mark:<3}")));
        let details = wrapped(&measure.detail, WIDTH.saturating_sub(width + 5));
        let mut details = details.iter().map(|detail| output.paint(Style::Dim, detail));
        let first = details.next().unwrap_or_default();
        output.line(format!("  {} {mark} {first}", output.paint(Style::Dim, name)));
        details.for_each(|detail| output.line(format!("  {:width$}     {detail}", "")));
    }
}

fn hardening(measure: &HardeningStatus) -> serde_json::Value {
    serde_json::json!({ "measure": measure.measure, "active": measure.active, "detail": measure.detail })
}

const fn state(state: WalletState) -> &'static str {
    match state {
        WalletState::Missing => "none yet",
        WalletState::Prepared => "PIN not confirmed yet",
        WalletState::Active => "active",
    }
}

/// A span of time for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
