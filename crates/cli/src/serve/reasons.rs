//! Why a deployment is not made, changed, started or gone on with, for its operator.

use pinseal_anchor::{AdvanceError, LoadError, TpmError};
use pinseal_host::{BootError, ChangeError, CreateError, Stop};
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::note::VerifierKey;
use pinseal_protocol::wire::Halt;

use crate::deployment::chain;
use crate::failure::Failure;

pub(super) fn creation(error: &CreateError) -> Failure {
    match error {
        CreateError::Halted { halt, detail } => halted(*halt, detail),
        error if is_of_tpm(error) => {
            Failure::failed("tpm", chain(error)).advise("nothing that existed was overwritten")
        }
        error => Failure::failed("creation", chain(error)).advise("nothing that existed was overwritten"),
    }
}

/// Why the configuration was not changed, for the operator; with the log's key of then, where witnesses are concerned. [`Fate`] adds what became of
/// it.
pub(super) fn changing(error: &ChangeError, log_key: Option<&VerifierKey>) -> Failure {
    match (error, log_key) {
        (ChangeError::Boot(BootError::Halted { halt, detail }), _) => halted(*halt, detail),
        (error, _) if is_of_tpm(error) => Failure::failed("tpm", chain(error)).advise("have the TPM answer"),
        (ChangeError::NextAdvance(error), Some(log_key)) if let Some(answers) = too_few(error) => Failure::failed(
            "witnesses",
            format!("too few of the witnesses that are to follow cosign the newest checkpoint: {answers}"),
        )
        .advise(told_of(log_key)),
        (ChangeError::Advance(error), _) if let Some(answers) = too_few(error) => Failure::failed(
            "witnesses",
            format!("too few of the witnesses in force cosign, so the change could not be finished; nothing was changed: {answers}"),
        )
        .advise(
            "have them cosign first. Where they are gone for good, `pinseal restore` with other witnesses goes on, with every owner's consent",
        ),
        (ChangeError::Boot(BootError::Advance(error)), Some(log_key)) if let Some(answers) = too_few(error) => {
            Failure::failed("witnesses", format!("too few witnesses cosign the change: {answers}"))
                .advise(told_of(log_key))
        }
        (ChangeError::NextAnchor(error) | ChangeError::Boot(BootError::Anchor(error)), Some(log_key)) => {
            Failure::failed("witnesses", chain(error)).advise(told_of(log_key))
        }
        (ChangeError::Boot(BootError::NoRoom(_)), _) => {
            Failure::failed("database", chain(error)).advise("see to the disk of the database")
        }
        (ChangeError::RestoredSince(restores), _) => Failure::failed("restored_since", chain(error)).advise(format!(
            "an older copy of the data directory was put back after that restore: put the newest back; where it is lost, restore from a backup of before that restore, under a number above {restores}"
        )),
        (
            ChangeError::NextAnchor(_)
            | ChangeError::NextAdvance(_)
            | ChangeError::Boot(BootError::Anchor(_) | BootError::Advance(_)),
            None,
        ) => Failure::failed("anchor", chain(error)).advise("see to the disk of the anchor's file"),
        (error, _) => Failure::failed("change", chain(error)),
    }
}

/// Why nothing is ordered beside a change that is half done and that nobody can finish, as far as can be told without the enclave.
pub(super) fn orderless() -> Failure {
    Failure::failed("change", "the newest entry in the log is a change that is half done, and its order is gone or damaged; nothing was changed").advise(
        "put order.cbor and configuration.next.cbor back as they lay there; where that cannot be, `pinseal restore --give-up-change` goes on from the state \
         before it, with every owner's consent",
    )
}

/// Why it does not boot where a change, the newest entry in the log, is not known to be finished, and no order for it is there.
pub(super) fn boot_beside_change(failure: Failure) -> Failure {
    if failure.code != "state_mismatch" {
        return failure;
    }
    let advice = failure.advice.clone().unwrap_or_default();
    failure.advise(format!(
        "{advice}. Where the newest change or restore was half done, and its order is lost, `pinseal restore --give-up-change` goes on from the state \
         before it"
    ))
}

/// What witnesses have to do for a change.
fn told_of(log_key: &VerifierKey) -> String {
    format!(
        "a quorum of old and new witnesses has to answer, and the new ones to know this deployment's log: `pinseal witness trust '{log_key}'`"
    )
}

/// What places of an anchor answered that are too few to advance it, or to say what they hold.
const fn too_few(error: &AdvanceError) -> Option<&std::io::Error> {
    match error {
        AdvanceError::Unknown(answers) | AdvanceError::Unavailable(LoadError::Unavailable(answers)) => Some(answers),
        AdvanceError::Lost { .. } | AdvanceError::Unavailable(LoadError::Damaged) => None,
    }
}

/// True if nothing but a quorum of places was missing.
const fn is_without_quorum(error: &BootError) -> bool {
    match error {
        BootError::Advance(error) | BootError::Creation(CreateError::Advance(error)) => too_few(error).is_some(),
        BootError::Anchor(error) => matches!(error, LoadError::Unavailable(_)),
        _ => false,
    }
}

pub(super) fn boot(error: &BootError, level: AnchorLevel, log_key: Option<&VerifierKey>) -> Failure {
    match (error, log_key) {
        (BootError::Halted { halt, detail }, _) => halted(*halt, detail),
        (error, _) if is_of_tpm(error) => Failure::failed("tpm", chain(error))
            .advise("nothing was overwritten; the TPM that the deployment was made with has to answer"),
        (error, Some(log_key)) if level == AnchorLevel::L4 && is_without_quorum(error) => {
            Failure::failed("witnesses", chain(error)).advise(format!(
                "nothing was overwritten; a quorum of the witnesses has to answer, as server.toml says where under [witnesses]. Start again then, or wait: a start \
                 that follows goes on where this one stood. One that does not know the log is told of it: `pinseal witness trust '{log_key}'`. Where a quorum is lost for good, \
                 `pinseal restore` with other witnesses goes on, with every owner's consent"
            ))
        }
        (error, _) => Failure::failed("boot", chain(error)).advise("nothing was overwritten"),
    }
}

/// True if a TPM is the cause.
fn is_of_tpm(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<TpmError>) {
            return true;
        }
        cause = error.source();
    }
    false
}

pub(super) fn stop_failure(stop: &Stop, level: AnchorLevel) -> Failure {
    match stop {
        Stop::Halted { halt, detail } => halted(*halt, detail),
        Stop::Anchor(_) if level == AnchorLevel::L4 => Failure::failed("witnesses", stop.to_string())
            .advise("no PIN was judged; a quorum of the witnesses has to answer, then it goes on where it stood"),
        Stop::Anchor(_) => Failure::failed("enclave_stopped", stop.to_string()).advise(match level {
            AnchorLevel::L2 => "no PIN was judged; the TPM has to answer, then it goes on where it stood",
            _ => "no PIN was judged; see to the disk of the anchor's file, then it goes on where it stood",
        }),
        Stop::Storage(_) => Failure::failed("enclave_stopped", stop.to_string())
            .advise("see to the disk of the database; what is stored is found out at the next start"),
        stop => Failure::failed("enclave_stopped", stop.to_string()),
    }
}

/// Why the enclave does not go on, for the operator.
pub(super) fn halted(halt: Halt, detail: &str) -> Failure {
    let (code, sentence, advice) = match halt {
        Halt::WrongPassphrase => (
            "wrong_passphrase",
            "the sealing passphrase is wrong; nothing was overwritten",
            "give the passphrase the deployment was made with",
        ),
        Halt::RootDamaged => (
            "root_damaged",
            "the sealed root is truncated or damaged; nothing was overwritten",
            "put root.sealed back from a backup",
        ),
        Halt::RootNewer => (
            "root_newer",
            "the sealed root was written by a newer version; nothing was overwritten",
            "use that version",
        ),
        Halt::RootForeign => (
            "root_foreign",
            "the sealed root belongs to another configuration or deployment; nothing was overwritten",
            "put configuration.cbor and root.sealed of one deployment together",
        ),
        Halt::ConfigurationInvalid => (
            "configuration_invalid",
            "the configuration contradicts itself",
            "put configuration.cbor back from a backup",
        ),
        Halt::StateOlder => (
            "state_older",
            "the anchor holds a newer checkpoint than the database: an older database was put back, and PINs tried since then would be forgotten",
            "put the newest database back; if it is lost for good, `pinseal restore` makes this one the state, with every owner's consent",
        ),
        Halt::StateForked => (
            "state_forked",
            "database and anchor lie on different branches or too far apart",
            "put the newest database back, and with it an anchor's file of the same time; a TPM and witnesses hold their own. If it is lost for good, `pinseal restore` makes this one the state, with every owner's consent",
        ),
        Halt::StateMismatch => (
            "state_mismatch",
            "the records or the log do not add up to their checkpoint: the database is incomplete, was changed, or is of another time than the root",
            "put the database back from a backup of the newest state, with the root.sealed and configuration.cbor that were copied with it",
        ),
        Halt::CheckpointInvalid => (
            "checkpoint_invalid",
            "the database's checkpoint is missing, damaged or of another deployment",
            "put the database back",
        ),
        Halt::AnchorMissing => (
            "anchor_missing",
            "the anchor is missing although the deployment has one",
            "put the anchor's file or disk back, though never one of a backup. Where it is lost for good, or this is a backup that was put in place, `pinseal restore` (at a \
             TPM with `--tpm PLACE`) makes this the state, with every owner's consent",
        ),
        Halt::OrderRefused => (
            "order_refused",
            "the change of the configuration was refused; nothing was changed",
            "see the reason, and order it again with this deployment's passphrase",
        ),
        Halt::Fenced => ("fenced", "another instance has taken over this deployment", "run one instance only"),
        Halt::RolledBack => (
            "state_rolled_back",
            "a client has seen a newer state than this one: an older state was put back",
            "put the newest database and anchor back",
        ),
        Halt::Protocol => {
            ("protocol", "enclave and host do not understand each other", "install both programs from one release")
        }
        _ => ("enclave_halted", "the enclave stopped", "see the logs"),
    };
    let sentence = if detail.is_empty() { sentence.to_owned() } else { format!("{sentence} ({detail})") };
    Failure::failed(code, sentence).advise(advice)
}

/// Every reason that an enclave gives.
#[cfg(test)]
const HALTS: &[Halt] = &[
    Halt::WrongPassphrase,
    Halt::RootDamaged,
    Halt::RootNewer,
    Halt::RootForeign,
    Halt::ConfigurationInvalid,
    Halt::StateOlder,
    Halt::StateForked,
    Halt::StateMismatch,
    Halt::CheckpointInvalid,
    Halt::AnchorMissing,
    Halt::OrderRefused,
    Halt::Fenced,
    Halt::RolledBack,
    Halt::Protocol,
];

/// What they are told as, for docs/errors.md.
#[cfg(test)]
pub(crate) fn table() -> String {
    HALTS.iter().fold(String::from("| code | meaning | what to do |\n|---|---|---|\n"), |table, halt| {
        let Failure { code, sentence, advice, .. } = halted(*halt, "");
        format!("{table}| `{code}` | {sentence} | {} |\n", advice.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_halt_has_a_code_of_its_own() {
        let codes: std::collections::BTreeSet<_> = HALTS.iter().map(|halt| halted(*halt, "").code).collect();
        assert!(codes.len() == HALTS.len() && !codes.contains("enclave_halted"), "{codes:?}");
    }

    #[test]
    fn at_a_tpm_a_fork_is_told_what_can_be_done_about_it() {
        let advice = halted(Halt::StateForked, "").advice.unwrap_or_default();
        for words in ["newest database", "a TPM and witnesses hold their own", "pinseal restore"] {
            assert!(advice.contains(words), "{words:?} is not in {advice:?}");
        }
    }

    #[test]
    fn what_the_anchor_keeps_from_going_on_is_told_by_level() {
        let advice = |level| stop_failure(&Stop::Anchor(String::new()), level).advice.unwrap_or_default();
        for (level, words) in [
            (AnchorLevel::L4, "quorum of the witnesses"),
            (AnchorLevel::L2, "TPM has to answer"),
            (AnchorLevel::L1, "disk"),
        ] {
            assert!(advice(level).contains(words), "{level}: {}", advice(level));
        }
    }
}
