//! `pinseal config`: what the deployment is sealed with, and its change.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use pinseal_client::SecretText;
use pinseal_host::{Clock as _, SystemClock};
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::cosignature::{Quorum, Witness};
use serde_json::{Value, json};

use super::login::confirm;
use crate::args::{ConfigChangeArgs, ConfigShowArgs};
use crate::change::{Described, OrderedChange, Question};
use crate::deployment;
use crate::failure::{Exit, Failure, Outcome};
use crate::operators;
use crate::output::{Output, Style};
use crate::up;

/// Shows the sealed configuration.
///
/// # Errors
/// There is no deployment, or it cannot be read.
pub(crate) async fn show(arguments: ConfigShowArgs, output: Output) -> Outcome {
    let question = Question { only_look: true, ..Question::default() };
    let described = up::describe(&arguments.data, arguments.host_user.as_deref(), question).await?;
    output.field("deployment", described.configuration.deployment.to_string());
    output.field("configuration", described.configuration.hash().to_string());
    tell(&described.configuration, &described.urls, output);
    let said = if described.is_orderless {
        Some(
            "a change was interrupted, and its order is gone: `pinseal restore --give-up-change` goes on from the state before it",
        )
    } else if described.is_unfinished {
        Some("a change was interrupted; nothing starts before it is finished, and the next start finishes it")
    } else if described.is_ordered {
        Some("a change was ordered and did not happen; the next boot ends the order")
    } else {
        None
    };
    if let Some(said) = said {
        output.note(output.paint(Style::Yellow, said));
    }
    output.result(&as_json(&described.configuration, described.is_unfinished));
    Ok(())
}

/// A whole configuration, for whoever is going to vouch for it.
pub(super) fn tell(configuration: &Configuration, urls: &BTreeMap<String, String>, output: Output) {
    let Configuration { issuers, anchor, floor, witnesses, argon2, breaker, tpm, .. } = configuration;
    output.field("anchor", format!("{anchor}, never below {floor}"));
    if let Some(quorum) = witnesses {
        let (n, k) = (quorum.witnesses.len(), quorum.required);
        let holds = format!("{k} of {n} cosign every step; holds while fewer than {} lie", quorum.tolerance());
        output.field("witnesses", holds);
        for witness in &quorum.witnesses {
            let url = urls.get(&witness.name).map_or("server.toml does not say where", String::as_str);
            let key = witness.verifier_key().map_or_else(|| witness.name.clone(), |key| key.to_string());
            output.field("", format!("{key}  {}", output.paint(Style::Dim, url)));
        }
    }
    if let Some(tpm) = tpm {
        output.field("TPM", format!("index 0x{:08x}, attests with", tpm.index));
        output.field("", tpm.attester.to_string());
    }
    if let Some(base) = &configuration.base {
        output.field("", format!("goes on from {base}"));
    }
    for issuer in issuers {
        let key = output.paint(Style::Dim, issuer.key.thumbprint().to_string());
        output.field("tokens of", format!("{}  {key}", issuer.issuer));
    }
    output.field("PIN cost", format!("{} MiB, {} passes", argon2.memory_kib / 1_024, argon2.passes));
    output.field("breaker", format!("enrolment pauses at {breaker} wrong PINs of devices that are not enrolled"));
}

fn as_json(configuration: &Configuration, unfinished: bool) -> Value {
    let issuer = |issuer: &pinseal_protocol::configuration::Issuer| json!({ "issuer": issuer.issuer, "audience": issuer.audience, "key": issuer.key.thumbprint().to_string() });
    let quorum = |quorum: &Quorum| json!({ "required": quorum.required, "tolerated": quorum.tolerance().saturating_sub(1), "verifier_keys": quorum.witnesses.iter().filter_map(Witness::verifier_key).map(|key| key.to_string()).collect::<Vec<_>>() });
    json!({
        "deployment": configuration.deployment.to_string(),
        "configuration": configuration.hash().to_string(),
        "anchor": configuration.anchor.to_string(),
        "floor": configuration.floor.to_string(),
        "witnesses": configuration.witnesses.as_ref().map(quorum),
        "breaker": configuration.breaker,
        "tpm": configuration.tpm.as_ref().map(crate::output::tpm),
        "tpm_base": configuration.base.map(|base| base.to_string()),
        "issuers": configuration.issuers.iter().map(issuer).collect::<Vec<_>>(),
        "change_unfinished": unfinished,
    })
}

/// Changes the sealed configuration, or finishes a change that was interrupted.
///
/// # Errors
/// Nothing to change, refused, or it cannot be anchored.
pub(crate) async fn change(arguments: ConfigChangeArgs, output: Output) -> Outcome {
    let question = question(&arguments, false);
    let up::Changed { now: changed, is_of_before } =
        up::change(&arguments, output, question, |described| order(described, &arguments, output)).await?;
    output.line(if is_of_before {
        "the change that was interrupted is finished, and the old configuration continues nothing any more; run the command again for what else you want"
    } else {
        "the configuration is changed: it is in the log, and the old one continues nothing any more"
    });
    output.field("configuration", changed.configuration.hash().to_string());
    output.line(up::next(&arguments.data, &arguments.pair));
    output.note(COPY_TOGETHER);
    output.result(&as_json(&changed.configuration, false));
    Ok(())
}

/// After whatever puts another root in force: a copy of the database without the root of its time is worth nothing.
pub(crate) const COPY_TOGETHER: &str = "make a backup now, with `pinseal backup --to DIR`: the older root does not open this state, and the new one opens \
    no older copy of the database. Keep older backups whole";

/// What the host is to find out first.
pub(crate) fn question(arguments: &ConfigChangeArgs, restore: bool) -> Question {
    let tpm = arguments.tpm.as_ref().map(ToString::to_string);
    Question { new_issuer_key: arguments.new_issuer_key, restore, tpm, ..Question::default() }
}

/// What is ordered, shown to the operators and agreed to.
fn order(described: &Described, arguments: &ConfigChangeArgs, output: Output) -> Outcome<Wanted> {
    let next = with_key(wanted(described, arguments)?, described);
    if next == described.configuration {
        return Err(Failure::usage("nothing is to be changed").advise(
            "give --add-witness, --remove-witness, --witnesses-required, --tpm, --breaker or --new-issuer-key",
        ));
    }
    let refused = |error| Failure::usage(format!("{error}; nothing was changed"));
    described.configuration.check_succession(&next).map_err(refused)?;
    if !output.is_json() {
        difference(&described.configuration, &next, arguments, output);
        output.line("The whole configuration from then on:");
        tell(&next, &urls(described, arguments), output);
        output.line(
            "Every client sees that it changed. It is written to the log and cannot be undone, only changed again.",
        );
    }
    if next.witnesses != described.configuration.witnesses {
        next.witnesses.iter().for_each(|quorum| warn_of_no_spare(quorum, output));
    }
    agree(arguments.yes, "Change it?", output)?;
    Ok(Wanted { next, restores: None, resumes: false })
}

/// What the operators agreed to.
pub(crate) struct Wanted {
    pub(crate) next: Configuration,
    pub(crate) restores: Option<u32>,
    /// Enrolment goes on.
    pub(crate) resumes: bool,
}

impl Wanted {
    /// The order for it, under the passphrase.
    ///
    /// # Errors
    /// No randomness, or no memory for Argon2id.
    pub(crate) fn sign(
        &self,
        described: &Described,
        arguments: &ConfigChangeArgs,
        passphrase: &SecretText,
    ) -> Outcome<OrderedChange> {
        let order = operators::order(described, self, passphrase, SystemClock.now())?;
        let gives_up = described.given_up.is_some();
        Ok(OrderedChange::new(
            &self.next,
            &order,
            &arguments.add,
            arguments.new_issuer_key,
            gives_up,
            arguments.tpm.as_ref(),
        ))
    }
}

/// With the issuer's next key, where one was made.
pub(crate) fn with_key(mut next: Configuration, described: &Described) -> Configuration {
    if let (Some(key), Some(own)) = (described.issuer_key, next.issuers.first_mut()) {
        own.key = key;
    }
    next
}

/// The configuration with the witnesses or the TPM that were asked for.
///
/// # Errors
/// They are no quorum, or the TPM's index holds nothing.
pub(crate) fn wanted(described: &Described, arguments: &ConfigChangeArgs) -> Outcome<Configuration> {
    let current = &described.configuration;
    let mut next = current.clone();
    next.breaker = arguments.breaker.unwrap_or(current.breaker);
    if arguments.tpm.is_some() {
        return going_on(next, described);
    }
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
        let name = place.key.name();
        // The old witnesses are asked under their names until the change is anchored.
        let known = current.witnesses.iter().flat_map(|quorum| &quorum.witnesses).any(|witness| witness.name == name);
        if known {
            return Err(Failure::usage(format!(
                "there is a witness {name} already, and its key does not change; nothing was changed"
            ))
            .advise("a new key needs a new name; where a witness answers stands in server.toml"));
        }
        witnesses.push(deployment::witness(place)?);
    }
    if witnesses.is_empty() && current.anchor == AnchorLevel::L4 {
        return Err(Failure::usage("a deployment with witnesses keeps some: its level never goes down")
            .advise("give --add-witness for those that are to follow"));
    }
    next.witnesses = Some(deployment::quorum_of(witnesses, arguments.witnesses_required)?);
    (next.anchor, next.floor) = (AnchorLevel::L4, AnchorLevel::L4);
    (next.tpm, next.base) = (None, None);
    Ok(next)
}

/// The configuration that goes on from what the index holds in the TPM that the host was asked about.
///
/// # Errors
/// It holds nothing, or nobody says.
pub(crate) fn going_on(mut next: Configuration, described: &Described) -> Outcome<Configuration> {
    let asked = described.tpm.ok_or_else(|| Failure::failed("protocol", "the host says nothing of the TPM"))?;
    let held = asked.holds.ok_or_else(|| {
        Failure::failed("tpm", "the TPM does not answer, or its index is gone; nothing was changed")
            .advise("have it answer, or name a TPM to go on in with --tpm PLACE, which may be the same one after it was cleared")
    })?;
    (next.tpm, next.base) = (Some(asked.tpm), Some(held));
    (next.anchor, next.floor) = (AnchorLevel::L2, next.floor.max(AnchorLevel::L2));
    next.witnesses = None;
    Ok(next)
}

/// Where witnesses answer: those that there are, and those that are to come.
pub(super) fn urls(described: &Described, arguments: &ConfigChangeArgs) -> BTreeMap<String, String> {
    let mut urls = described.urls.clone();
    urls.extend(arguments.add.iter().map(|place| (place.key.name().to_owned(), place.url.clone())));
    urls
}

/// Says it where no witness may be lost, before that is sealed.
pub(crate) fn warn_of_no_spare(quorum: &Quorum, output: Output) {
    let all = quorum.witnesses.len();
    if usize::from(quorum.required) < all {
        return;
    }
    let which = if all == 1 { "the one witness has".to_owned() } else { format!("all {all} witnesses have") };
    output.note(output.paint(
        Style::Yellow,
        format!(
            "warning: {which} to cosign every step, so none may fail: while one does not answer nothing is served, and one that is lost for good can \
             only be replaced by a restore, which closes every wallet until its owner accepts. Take more witnesses, or a smaller --witnesses-required.",
        ),
    ));
}

/// What is going to be different.
pub(crate) fn difference(current: &Configuration, next: &Configuration, arguments: &ConfigChangeArgs, output: Output) {
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
    let tpm = |tpm: &pinseal_protocol::tpm::Tpm| format!("index 0x{:08x}, attests with {}", tpm.index, tpm.attester);
    if current.tpm != next.tpm {
        if let Some(gone) = &current.tpm {
            output.field("TPM", output.paint(Style::Red, format!("- {}", tpm(gone))));
        }
        if let Some(come) = &next.tpm {
            output.field("TPM", output.paint(Style::Green, format!("+ {}", tpm(come))));
        }
    }
    if current.breaker != next.breaker {
        output.field("breaker", format!("{} wrong PINs become {}", current.breaker, next.breaker));
    }
    if arguments.new_issuer_key {
        output.field("token issuer", "gets a new key; every access token given out before ends");
    }
}

/// Asks, unless it was agreed to beforehand.
///
/// # Errors
/// Declined, or nobody to ask.
pub(crate) fn agree(yes: bool, question: &str, output: Output) -> Outcome {
    if yes {
        return Ok(());
    }
    let declined = |code: &str, sentence: &str| Failure::new(Exit::Declined, code, sentence);
    if output.is_json() || !std::io::stdin().is_terminal() {
        return Err(declined("not_confirmed", "nothing was changed: there is nobody to ask")
            .advise("give --yes to agree beforehand"));
    }
    if confirm(question, false)? { Ok(()) } else { Err(declined("declined", "nothing was changed")) }
}
