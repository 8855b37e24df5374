//! `pinseal witness`: a small service of its own that cosigns checkpoints. It knows nothing of wallets.

use std::path::Path;
use std::sync::Arc;

use pinseal_witness::{Ledger, LedgerError, NewKey, Served, SystemClock, Witness, WitnessKey};
use serde_json::json;
use tokio::net::TcpListener;

use super::config::agree;
use crate::args::{DIRECTORY, WitnessDirectory, WitnessEndArgs, WitnessInitArgs, WitnessServeArgs, WitnessTrustArgs};
use crate::context::command;
use crate::data_dir;
use crate::deployment::chain;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, WIDTH, wrapped};
use crate::signals;

const KEY_FILE: &str = "witness.key";
const LEDGER_FILE: &str = "witness.sqlite";

/// Makes key and file.
///
/// # Errors
/// There is one already, or it cannot be written.
pub(crate) fn init(arguments: &WitnessInitArgs, output: Output) -> Outcome {
    let directory = &arguments.place.directory;
    data_dir::make_directory(directory, 0o700)?;
    check(directory)?;
    if directory.join(KEY_FILE).exists() {
        return Err(already(&arguments.place));
    }
    // The key comes last: where there is one, there is a memory, or there was.
    let key = NewKey::generate(&arguments.name).map_err(|error| failed(&error))?;
    Ledger::create(&directory.join(LEDGER_FILE), key.verifier_key()).map_err(|error| forgetful(&error, directory))?;
    let key = key.store(&directory.join(KEY_FILE)).map_err(|error| failed(&error))?;
    let text = key.verifier_key().to_string();
    output.line(format!("witness {} is ready in {}", arguments.name, directory.display()));
    output.field("verifier key", &text);
    output.line(format!(
        "next: give that key and your URL to the deployment, `{}` its log,",
        command(&format!("witness trust{} VKEY", given(&arguments.place)))
    ));
    output.line(format!("      and keep `{}` running", command(&format!("witness serve{}", given(&arguments.place)))));
    output.note("never put an older copy of this directory back: a witness that forgets is worse than none");
    output.result(&json!({ "name": arguments.name, "verifier_key": text, "directory": directory }));
    Ok(())
}

/// There is one already: which, and that it stays.
fn already(place: &WitnessDirectory) -> Failure {
    let key = match existing(place) {
        Ok(key) => key.verifier_key().to_string(),
        Err(failure) => return failure,
    };
    Failure::failed(
        "exists",
        format!(
            "{} holds a witness already, with the verifier key {key}; nothing was changed",
            place.directory.display()
        ),
    )
    .advise(format!(
        "see `{}`; for another witness take another --directory",
        command(&format!("witness status{}", given(place)))
    ))
}

/// How to name that directory again, unless it is the usual one.
fn given(place: &WitnessDirectory) -> String {
    let directory = place.directory.display().to_string();
    if directory == DIRECTORY { String::new() } else { format!(" --directory {}", crate::context::quoted(&directory)) }
}

/// Adds a log. A running witness serves it at once.
///
/// # Errors
/// Not a log's key, known under another one, or the file cannot be written.
pub(crate) fn trust(arguments: &WitnessTrustArgs, output: Output) -> Outcome {
    let key = existing(&arguments.place)?;
    ledger(&arguments.place.directory, &key)?.trust(&arguments.log).map_err(|error| failed(&error))?;
    output.line(format!("the log {} is cosigned from now on", arguments.log.name()));
    output.result(&json!({ "log": arguments.log.name(), "verifier_key": arguments.log.to_string() }));
    Ok(())
}

/// Ends a log and those before it. A running witness cosigns it no more at once.
///
/// # Errors
/// Not a log that is served here, declined, or the file cannot be written.
pub(crate) fn end(arguments: &WitnessEndArgs, output: Output) -> Outcome {
    let key = existing(&arguments.place)?;
    let ledger = ledger(&arguments.place.directory, &key)?;
    let logs = ledger.logs().map_err(|error| failed(&error))?;
    if let Some(Served { newest: Some(held), .. }) = logs.iter().find(|log| log.key == arguments.log) {
        output.note(format!("{} entries of {} are cosigned.", held.size, arguments.log.name()));
    }
    wrapped("Nothing of this log, and of those before it, is cosigned again; that cannot be taken back. It is the log from before a restore that ends, not the restored one.", WIDTH)
        .iter()
        .for_each(|line| output.note(line));
    agree(arguments.yes, "End it?", output)?;
    ledger.end(&arguments.log).map_err(|error| failed(&error))?;
    output.line(format!("the log {} has ended: nothing of it is cosigned any more", arguments.log.name()));
    output.result(&json!({ "log": arguments.log.name(), "ended": true }));
    Ok(())
}

/// Serves until told to stop.
///
/// # Errors
/// The port is taken, or key or file cannot be read.
pub(crate) async fn serve(arguments: WitnessServeArgs, output: Output) -> Outcome {
    let key = existing(&arguments.place)?;
    let ledger = ledger(&arguments.place.directory, &key)?;
    let witness = Witness::new(key, ledger, Arc::new(SystemClock));
    let text = witness.verifier_key().to_string();
    let stop = signals::stop();
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        Failure::failed("port_busy", format!("cannot listen on {}: {error}", arguments.listen))
            .advise("choose another one with --listen")
    })?;
    let address = listener.local_addr().unwrap_or(arguments.listen);
    output.line(format!("witness {} answers on http://{address}", witness.verifier_key().name()));
    output.field("verifier key", &text);
    output.result(&json!({ "url": format!("http://{address}"), "verifier_key": text }));
    let served = pinseal_witness::serve(Arc::new(witness), listener, stop).await;
    served.map_err(|error| Failure::failed("server", format!("the listener failed: {error}")))
}

/// Shows key and logs.
///
/// # Errors
/// Key or file cannot be read.
pub(crate) fn status(place: &WitnessDirectory, output: Output) -> Outcome {
    let key = existing(place)?;
    let logs = ledger(&place.directory, &key)?.logs().map_err(|error| failed(&error))?;
    output.result(&json!({
        "name": key.verifier_key().name(),
        "verifier_key": key.verifier_key().to_string(),
        "logs": logs.iter().map(shown).collect::<Vec<_>>(),
    }));
    output.field("witness", key.verifier_key().name());
    output.field("verifier key", key.verifier_key().to_string());
    for Served { key, newest, has_ended } in &logs {
        let held = newest.as_ref().map_or("nothing cosigned yet".to_owned(), |held| format!("{} entries", held.size));
        let ended = if *has_ended { ", and no more: the deployment was restored" } else { "" };
        output.field("log", format!("{}: {held}{ended}", key.name()));
    }
    if logs.is_empty() {
        output.line(format!("no log yet: `{}`", command(&format!("witness trust{} VKEY", given(place)))));
    }
    Ok(())
}

fn shown(log: &Served) -> serde_json::Value {
    json!({
        "log": log.key.name(),
        "verifier_key": log.key.to_string(),
        "size": log.newest.as_ref().map(|held| held.size),
        "root": log.newest.as_ref().map(|held| held.root.to_string()),
        "ended": log.has_ended,
    })
}

/// The key of a witness that exists; nothing is made by the way.
fn existing(place: &WitnessDirectory) -> Outcome<WitnessKey> {
    let path = place.directory.join(KEY_FILE);
    if !path.exists() {
        return Err(Failure::failed("not_initialised", format!("{} holds no witness", place.directory.display()))
            .advise(format!(
                "name its directory with --directory, or make one with `{}`",
                command(&format!("witness init{} --name NAME", given(place)))
            )));
    }
    check(&place.directory)?;
    WitnessKey::load(&path).map_err(|error| failed(&error))
}

/// Whoever can put an older file there makes the witness forget.
fn check(directory: &Path) -> Outcome {
    let advice = format!(
        "a witness that others can make forget is worth nothing: if nobody has, `chmod go-w {0}`, and `chown` it to whom it runs as; else make it anew",
        directory.display()
    );
    data_dir::check_our_directory(directory, &advice)
}

fn ledger(directory: &Path, key: &WitnessKey) -> Outcome<Ledger> {
    Ledger::open(&directory.join(LEDGER_FILE), key.verifier_key()).map_err(|error| forgetful(&error, directory))
}

/// Without its memory a witness would cosign a second history of a log under the same key.
fn forgetful(error: &LedgerError, directory: &Path) -> Failure {
    let said = Failure::failed("witness", format!("{}: {}", directory.join(LEDGER_FILE).display(), chain(error)));
    match error {
        LedgerError::Missing | LedgerError::Other(_) | LedgerError::Foreign | LedgerError::Damaged => said.advise(
            "put the very file back that was there last, never an older copy; where it is lost, this key cosigns nothing any more: make another \
             witness with `pinseal witness init` in another --directory, under another --name, and have each deployment replace this one",
        ),
        LedgerError::Exists => said.advise(
            "its key is gone from there: put witness.key back, or make another witness in another --directory",
        ),
        _ => said,
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::failed("witness", chain(error))
}
