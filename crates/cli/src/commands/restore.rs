//! `pinseal restore`, for operators, and `pinseal accept-restore`, for whoever owns a wallet.

use pinseal_client::operation::Acceptance;
use pinseal_protocol::checkpoint::log_verifier_key;
use pinseal_protocol::configuration::{AnchorLevel, Configuration, SuccessionError};
use serde_json::json;

use super::config::{self, Wanted};
use super::connection::{Connection, when};
use super::login::confirm;
use crate::args::{AcceptRestoreArgs, RestoreArgs};
use crate::change::{Described, GivenUp, Question};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::{trouble, up};

/// Makes what lies in the data directory the state, whatever the anchor holds; or finishes that.
///
/// # Errors
/// Refused, or it cannot be anchored.
pub(crate) async fn restore(arguments: RestoreArgs, output: Output) -> Outcome {
    let RestoreArgs { change, give_up_change, .. } = &arguments;
    let question = Question { give_up: *give_up_change, ..config::question(change, true) };
    let up::Changed { now: changed, is_of_before } =
        up::change(change, output, question, |described| order(described, &arguments, output)).await?;
    let restores = changed.newest.restores;
    output.line(if is_of_before {
        format!(
            "what was interrupted is finished, and nothing else was restored: there are {restores} restores in the log. Run the command again for another one"
        )
    } else {
        format!("restored: this is the state now, and restore {restores} is in its log")
    });
    output.line(up::next(&change.data, &change.pair));
    if restores > 0 {
        output.note("tell your users: each of them runs `pinseal accept-restore` and then has one try");
    }
    output.note(config::COPY_TOGETHER);
    let base = changed.configuration.base.map(|base| base.to_string());
    output.result(
        &json!({ "restores": restores, "data": change.data, "tpm_base": base, "finished_earlier": is_of_before, "gave_up_change": *give_up_change && !is_of_before }),
    );
    Ok(())
}

/// What is ordered, shown to the operators and agreed to.
fn order(
    described: &Described,
    RestoreArgs { change, number, give_up_change: gives_up }: &RestoreArgs,
    output: Output,
) -> Outcome<Wanted> {
    let (number, gives_up) = (*number, *gives_up);
    let mut next = config::with_key(config::wanted(described, change)?, described);
    if next.anchor == AnchorLevel::L2 && change.tpm.is_none() {
        next = config::going_on(next, described)?;
        // Which TPM is believed from here on is not the host's to say.
        if next.tpm != described.configuration.tpm {
            return Err(Failure::new(
                Exit::NotTrusted,
                "tpm",
                "the host names another TPM than the one that the configuration in force is sealed to; nothing was changed",
            )
            .advise("where that TPM is lost, name the one to go on in: --tpm PLACE"));
        }
    }
    if next != described.configuration {
        match described.configuration.check_succession(&next) {
            // The index went on since the state that is restored.
            Ok(()) | Err(SuccessionError::Base) => {}
            Err(error) => return Err(Failure::usage(format!("{error}; nothing was changed"))),
        }
    }
    if gives_up && described.given_up.is_none() {
        return Err(Failure::usage("there is no change to give up: none is in the log and not finished")
            .advise("for a restore of what lies here run the command without --give-up-change"));
    }
    let (newest, held) = (&described.newest, described.held.as_ref());
    // Some witness may know of a restore that is given up, also where that command died before it had ordered the next.
    let given_up = described.given_up.and_then(|given_up| given_up.restores).unwrap_or(0);
    let held = held.map_or(0, |held| held.restores);
    let before = newest.restores.max(held).max(given_up).max(described.ordered_restore.unwrap_or(0));
    let restores = number.unwrap_or(before.saturating_add(1));
    if restores <= newest.restores.max(given_up) {
        return Err(Failure::usage(format!("there were {} restores already", newest.restores.max(given_up))));
    }
    if is_nothing_lost(described) && !gives_up {
        output.note(output.paint(
            Style::Yellow,
            format!(
                "warning: nothing is lost here: the anchor holds this very state, and `{} up` goes on with it. A restore would close every wallet \
                 until its owner accepts; it is of use only to owners who mistyped the PIN after the last one.",
                up::own_name()
            ),
        ));
    }
    if !output.is_json() {
        told(described, &next, restores, output);
        config::difference(&described.configuration, &next, change, output);
        output.line("The whole configuration from then on:");
        config::tell(&next, &config::urls(described, change), output);
        consequences(output);
    }
    if next.witnesses != described.configuration.witnesses {
        next.witnesses.iter().for_each(|quorum| config::warn_of_no_spare(quorum, output));
    }
    config::agree(change.yes, "Restore this state?", output)?;
    Ok(Wanted { next, restores: Some(restores), resumes: false })
}

/// True if the anchor is known to hold what is to be restored.
fn is_nothing_lost(described: &Described) -> bool {
    let newest = &described.newest;
    described.held.as_ref().is_some_and(|held| (held.restores, held.size) == (newest.restores, newest.size))
}

fn told(described: &Described, next: &Configuration, restores: u32, output: Output) {
    let newest = &described.newest;
    output.field("deployment", next.deployment.to_string());
    output.field(
        "to restore",
        format!("checkpoint {} with {} log entries, of {}", newest.sequence.0, newest.size, when(newest.time.0)),
    );
    let given_up = match &described.held {
        None => "whatever came after it: the anchor does not say".to_owned(),
        Some(_) if is_nothing_lost(described) => "nothing that the anchor knows of, as the host says".to_owned(),
        Some(held) => format!(
            "checkpoint {} with {} log entries, of {}, which the anchor holds as the host says",
            held.sequence.0,
            held.size,
            when(held.time.0)
        ),
    };
    output.field("given up", output.paint(Style::Red, given_up));
    match described.given_up {
        Some(GivenUp { restores: Some(number), .. }) => {
            output
                .field("", output.paint(Style::Red, format!("restore {number}, which is in the log and not finished")));
        }
        Some(GivenUp { restores: None, .. }) => {
            output.field(
                "",
                output.paint(Style::Red, "the change of the configuration that is in the log and not finished"),
            );
        }
        None => {}
    }
    output.field("restore", format!("number {restores}"));
    if next.anchor == AnchorLevel::L4 {
        let log = log_verifier_key(&next.deployment, restores, described.log_key.key());
        output.field("log key", log.to_string());
        output.line("Each witness is told of that key first (`pinseal witness trust`): a log never goes back, so this is a new one.");
    }
    if let (Some(tpm), Some(base)) = (&next.tpm, &next.base) {
        let other = described.configuration.tpm.as_ref() != Some(tpm);
        output.field("TPM", format!("{}index 0x{:08x}", if other { "another one, " } else { "" }, tpm.index));
        output.field("goes on from", base.to_string());
        output.line(if other {
            "Every client sees that it is another TPM. The old one, if it lives, goes on with the old state until it is stopped: stop it first."
        } else {
            "That is what the index holds now, and it never holds it again: the order can be carried out once."
        });
    }
}

fn consequences(output: Output) {
    let text = "Every wallet stays closed to PINs until a device of its owner accepts. What happened after that state is gone: new \
                wallets, new devices, changed PINs, tries that were used up. It cannot be undone. Restore only the newest you have.";
    wrapped(text, WIDTH).iter().for_each(|line| output.line(line));
}

/// Accepts a restore on this device.
///
/// # Errors
/// There is none, declined, or the one try it gave is used up.
pub(crate) async fn accept(arguments: AcceptRestoreArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    let attested = connection.attest_to_accept().await?;
    let restores = attested.restores();
    if restores == 0 {
        return Err(Failure::new(
            Exit::Failure,
            "nothing_restored",
            "the operators of this service have put no older state back",
        ));
    }
    if !output.is_json() {
        let text = format!(
            "The operators of this service have put an older state back (restore {restores}). What happened in this service since that state \
             is forgotten: changed PINs, enrolled devices, wrong PINs that were counted. Nothing on any chain changes. \
             If they told you so, accept; if you doubt it, ask them first. This device then has one try: take your time with the PIN, and \
             take the one you had back then."
        );
        wrapped(&text, WIDTH).iter().for_each(|line| output.line(line));
    }
    if !arguments.yes {
        if output.is_json() {
            return Err(Failure::new(Exit::Declined, "not_confirmed", "nothing was accepted: there is nobody to ask")
                .advise("give --yes to accept beforehand"));
        }
        if !confirm("Accept it?", false)? {
            return Err(Failure::new(Exit::Declined, "declined", "nothing was accepted"));
        }
    }
    let accepted =
        connection.sealed("telling the enclave", &attested, async |attested| attested.accept_restore().await).await?;
    match accepted {
        Acceptance::Device(tries) => {
            output.line(format!("{} accepted; {}", output.paint(Style::Green, "ok"), trouble::tries_left(tries)));
            output.note(format!(
                "next: `{}` with your PIN opens the wallet again, and `{}` lets new devices enrol",
                crate::context::command("pin verify"),
                crate::context::command("devices clear")
            ));
        }
        Acceptance::Here => {
            output.line("accepted here; the restored state knows no wallet of yours with this device");
            output.note(format!(
                "next: `{}`, or `{}`",
                crate::context::command("wallet create"),
                crate::context::command("devices enrol")
            ));
        }
    }
    let by_device = matches!(accepted, Acceptance::Device(_));
    output.result(&json!({ "accepted": restores, "wallet_known": by_device }));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::Parser as _;
    use pinseal_protocol::cbor;
    use pinseal_protocol::configuration::Configuration;
    use pinseal_protocol::ids::Hash32;
    use pinseal_protocol::token::P256Public;
    use pinseal_protocol::tpm::{INDEX_FIRST, Tpm};

    use super::*;
    use crate::change::DescribedTpm;
    use crate::change::tests::{configuration, description};

    #[derive(Debug, clap::Parser)]
    struct Restore {
        #[command(flatten)]
        arguments: RestoreArgs,
    }

    /// Whoever runs as the host's user has keys, too: one that it names in the TPM's place would make every receipt from then on.
    #[test]
    fn the_tpm_that_is_gone_on_in_is_not_the_hosts_to_name() {
        let tpm = |key: u8| Tpm { attester: P256Public([key; 65]), index: INDEX_FIRST };
        let sealed = Configuration {
            anchor: AnchorLevel::L2,
            floor: AnchorLevel::L2,
            tpm: Some(tpm(4)),
            base: Some(Hash32([6; 32])),
            ..configuration()
        };
        let told = |named: Tpm| {
            let mut described = description();
            described.configuration = hex::encode(cbor::to_vec(&sealed));
            described.tpm = Some(DescribedTpm::new(&named, Some(Hash32([9; 32]))));
            Described::parse(described).unwrap()
        };
        let Restore { arguments } = Restore::parse_from(["restore", "--data", "d", "--yes"]);
        let order = |named: Tpm| order(&told(named), &arguments, Output::new(true));
        let wanted = order(tpm(4)).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!((wanted.next.tpm, wanted.next.base), (Some(tpm(4)), Some(Hash32([9; 32]))));
        let Err(refused) = order(tpm(5)) else { panic!("another TPM was ordered") };
        assert_eq!((refused.exit, refused.code.as_str()), (Exit::NotTrusted, "tpm"), "{refused:?}");
    }
}
