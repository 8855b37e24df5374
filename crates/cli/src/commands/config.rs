//! `pinseal config`: what the deployment is sealed with, and its change.

use std::io::IsTerminal as _;

use pinseal_client::SecretText;
use pinseal_host::{ChangeError, Clock as _, SystemClock};
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_store::deployment::Deployment;
use pinseal_store::records::Records;
use serde_json::{Value, json};

use super::login::confirm;
use crate::args::{ConfigChangeArgs, ConfigShowArgs};
use crate::data_dir::DataDir;
use crate::deployment::{self, HostDir, chain};
use crate::failure::{Exit, Failure, Outcome};
use crate::operators;
use crate::output::{Output, Style};
use crate::serve::open_database;
use crate::up::{self, own_name};

/// What lies on the host's disk.
struct Sealed {
    directory: HostDir,
    files: Deployment,
    records: Records,
    configuration: Configuration,
}

impl Sealed {
    fn open(data: &DataDir) -> Outcome<Self> {
        if !deployment::exists(data) {
            return Err(Failure::usage(format!("{} holds no deployment", data.root().display()))
                .advise("make one with `pinseal init`"));
        }
        let directory = HostDir::at(&data.host());
        let files = Deployment::open(directory.path()).map_err(|error| Failure::failed("file", chain(&error)))?;
        let records = Records::new(open_database(&directory)?);
        let configuration = pinseal_host::configuration(&files)
            .map_err(|error| Failure::failed("configuration", chain(&error)))?
            .ok_or_else(|| failed(&ChangeError::NoDeployment))?;
        Ok(Self { directory, files, records, configuration })
    }

    /// The change in the log that a crash interrupted, or one that was only ordered.
    fn ordered(&self) -> Outcome<Option<pinseal_host::Ordered>> {
        pinseal_host::ordered(&self.files, &self.records).map_err(|error| failed(&error))
    }
}

fn failed(error: &ChangeError) -> Failure {
    Failure::failed("change", chain(error)).advise("nothing was changed")
}

/// Shows the sealed configuration.
///
/// # Errors
/// There is no deployment, or it cannot be read.
pub(crate) fn show(arguments: &ConfigShowArgs, output: Output) -> Outcome {
    let sealed = Sealed::open(&DataDir::at(&arguments.data))?;
    let ordered = sealed.ordered()?;
    let config = sealed.directory.server()?;
    let Configuration { deployment, issuers, anchor, floor, witnesses, argon2, .. } = &sealed.configuration;
    output.field("deployment", deployment.to_string());
    output.field("configuration", sealed.configuration.hash().to_string());
    output.field("anchor", format!("{anchor}, never below {floor}"));
    if let Some(quorum) = witnesses {
        let (n, k) = (quorum.witnesses.len(), quorum.required);
        output.field(
            "witnesses",
            format!("{k} of {n} cosign every step; holds while fewer than {} lie", quorum.tolerance()),
        );
        for witness in &quorum.witnesses {
            let url = config.witnesses.get(&witness.name).map_or("no URL in server.toml", String::as_str);
            output.field("", format!("{}  {}", witness.name, output.paint(Style::Dim, url)));
        }
    }
    for issuer in issuers {
        output.field(
            "tokens of",
            format!("{}  {}", issuer.issuer, output.paint(Style::Dim, issuer.key.thumbprint().to_string())),
        );
    }
    output.field("PIN cost", format!("{} MiB, {} passes", argon2.memory_kib / 1_024, argon2.passes));
    if let Some(ordered) = &ordered {
        let (what, next) = if ordered.is_logged {
            ("a change was interrupted; nothing starts before it is finished", "config change")
        } else {
            ("a change was ordered and did not happen; it is forgotten with the next one", "config change")
        };
        output.note(output.paint(Style::Yellow, format!("{what}: `{} {next}`", own_name())));
    }
    output.result(&described(&sealed.configuration, ordered.is_some_and(|ordered| ordered.is_logged)));
    Ok(())
}

fn described(configuration: &Configuration, unfinished: bool) -> Value {
    let issuer = |issuer: &pinseal_protocol::configuration::Issuer| json!({ "issuer": issuer.issuer, "audience": issuer.audience, "key": issuer.key.thumbprint().to_string() });
    let quorum = |quorum: &Quorum| json!({ "required": quorum.required, "tolerated": quorum.tolerance().saturating_sub(1), "verifier_keys": quorum.witnesses.iter().filter_map(Witness::verifier_key).map(|key| key.to_string()).collect::<Vec<_>>() });
    json!({
        "deployment": configuration.deployment.to_string(),
        "configuration": configuration.hash().to_string(),
        "anchor": configuration.anchor.to_string(),
        "floor": configuration.floor.to_string(),
        "witnesses": configuration.witnesses.as_ref().map(quorum),
        "issuers": configuration.issuers.iter().map(issuer).collect::<Vec<_>>(),
        "change_unfinished": unfinished,
    })
}

/// Changes the sealed configuration, or finishes a change that was interrupted.
///
/// # Errors
/// Nothing to change, refused, or it cannot be anchored.
pub(crate) async fn change(arguments: ConfigChangeArgs, output: Output) -> Outcome {
    up::change(&arguments, output, |data, passphrase| order(data, &arguments, output, passphrase)).await?;
    let sealed = Sealed::open(&DataDir::at(&arguments.data))?;
    output.line("the configuration is changed: it is in the log, and the old one opens nothing any more");
    output.field("configuration", sealed.configuration.hash().to_string());
    output.line(format!("next: {} up --data {}", own_name(), arguments.data.display()));
    output.note(
        "copy root.sealed and configuration.cbor to your safe place again: the older copies are worth nothing now",
    );
    output.result(&described(&sealed.configuration, false));
    Ok(())
}

/// Puts the order down, unless one waits to be finished.
fn order(
    data: &DataDir,
    arguments: &ConfigChangeArgs,
    output: Output,
    passphrase: &mut dyn FnMut() -> Outcome<SecretText>,
) -> Outcome<SecretText> {
    let directory = HostDir::at(&data.host());
    let files = Deployment::open(directory.path()).map_err(|error| Failure::failed("file", chain(&error)))?;
    deployment::finish_change(&files, &directory, &directory.server()?)?;
    let sealed = Sealed::open(data)?;
    if sealed.ordered()?.is_some_and(|ordered| ordered.is_logged) {
        output.note("a change of the configuration was interrupted; finishing that one");
        return passphrase();
    }
    let mut next = wanted(&sealed.configuration, arguments)?;
    let is_new = next != sealed.configuration;
    if !is_new && !arguments.new_issuer_key {
        return Err(Failure::usage("nothing is to be changed")
            .advise("give --add-witness, --remove-witness, --witnesses-required or --new-issuer-key"));
    }
    if is_new {
        sealed
            .configuration
            .check_succession(&next)
            .map_err(|error| Failure::usage(format!("{error}; nothing was changed")))?;
    }
    tell(&sealed.configuration, &next, arguments, output);
    agree(arguments, output)?;
    let passphrase = passphrase()?;
    deployment::add_urls(&sealed.directory, &arguments.add)?;
    if arguments.new_issuer_key {
        let key = deployment::next_issuer(&sealed.directory, next.deployment)?;
        if let Some(own) = next.issuers.first_mut() {
            own.key = key;
        }
    } else {
        deployment::forget_next_issuer(&sealed.directory)?;
    }
    let root = pinseal_host::root_in_force(&sealed.files).map_err(|error| failed(&error))?;
    let order = operators::order(root, &next, &passphrase, SystemClock.now())?;
    pinseal_host::order_change(&sealed.files, &sealed.records, &next, &order).map_err(|error| failed(&error))?;
    Ok(passphrase)
}

/// The configuration with the witnesses that were asked for.
fn wanted(current: &Configuration, arguments: &ConfigChangeArgs) -> Outcome<Configuration> {
    let mut next = current.clone();
    if arguments.add.is_empty() && arguments.remove.is_empty() && arguments.witnesses_required.is_none() {
        return Ok(next);
    }
    let mut witnesses = current.witnesses.as_ref().map(|quorum| quorum.witnesses.clone()).unwrap_or_default();
    for name in &arguments.remove {
        if !witnesses.iter().any(|witness| witness.name == *name) {
            return Err(Failure::usage(format!("there is no witness {name}; nothing was changed"))
                .advise("see `pinseal config show`"));
        }
        witnesses.retain(|witness| witness.name != *name);
    }
    for place in &arguments.add {
        witnesses.push(deployment::witness(place)?);
    }
    if witnesses.is_empty() && current.anchor == AnchorLevel::L4 {
        return Err(Failure::usage("a deployment with witnesses keeps some: its level never goes down")
            .advise("give --add-witness for those that are to follow"));
    }
    next.witnesses = Some(deployment::quorum_of(witnesses, arguments.witnesses_required)?);
    (next.anchor, next.floor) = (AnchorLevel::L4, AnchorLevel::L4);
    Ok(next)
}

/// What is going to be different.
fn tell(current: &Configuration, next: &Configuration, arguments: &ConfigChangeArgs, output: Output) {
    if output.is_json() {
        return;
    }
    if current.anchor != next.anchor {
        output.field("anchor", format!("{} becomes {}, for good", current.anchor, next.anchor));
    }
    let names = |configuration: &Configuration| -> Vec<String> {
        configuration.witnesses.iter().flat_map(|quorum| &quorum.witnesses).map(|one| one.name.clone()).collect()
    };
    let (before, after) = (names(current), names(next));
    for gone in before.iter().filter(|name| !after.contains(name)) {
        output.field("witness", output.paint(Style::Red, format!("- {gone}")));
    }
    for come in after.iter().filter(|name| !before.contains(name)) {
        output.field("witness", output.paint(Style::Green, format!("+ {come}")));
    }
    if let Some(quorum) = &next.witnesses {
        let said = |quorum: &Quorum| {
            format!(
                "{} of {} cosign, fewer than {} may lie",
                quorum.required,
                quorum.witnesses.len(),
                quorum.tolerance()
            )
        };
        output.field("quorum", said(quorum));
    }
    if arguments.new_issuer_key {
        output.field("token issuer", "gets a new key; every access token given out before ends");
    }
    output.line("Every client sees that the configuration changed. It is written to the log and cannot be undone, only changed again.");
}

fn agree(arguments: &ConfigChangeArgs, output: Output) -> Outcome {
    if arguments.yes {
        return Ok(());
    }
    let declined = |code: &str, sentence: &str| Failure::new(Exit::Declined, code, sentence);
    if output.is_json() || !std::io::stdin().is_terminal() {
        return Err(declined("not_confirmed", "nothing was changed: there is nobody to ask")
            .advise("give --yes to agree beforehand"));
    }
    if confirm("Change it?", false)? { Ok(()) } else { Err(declined("declined", "nothing was changed")) }
}
