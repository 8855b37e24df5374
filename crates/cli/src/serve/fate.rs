//! What became of an order that failed: said with the reason, so that nobody guesses.

use pinseal_store::deployment::Deployment;
use pinseal_store::records::Records;

use crate::failure::Failure;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is withdrawn: everything is as it was.
    Withdrawn,
    /// It is in the database's log: nothing starts there before it is finished, and every start tries.
    Logged,
    /// Whether it is in the log only the next start finds out.
    Open,
}

impl Fate {
    /// As the files and the log say.
    pub(super) fn of(deployment: &Deployment, records: &Records) -> Self {
        match pinseal_host::ordered(deployment, records) {
            Ok(None) => Self::Withdrawn,
            Ok(Some(ordered)) if ordered.is_logged() => Self::Logged,
            Ok(Some(_)) | Err(_) => Self::Open,
        }
    }

    /// The failure with it: of the restore of that number, or of a change; in the place of an earlier one that was taken out of the log, or not.
    pub(super) fn told(self, failure: Failure, restores: Option<u32>, has_given_up: bool) -> Failure {
        let what = if restores.is_some() { "the restore" } else { "the change" };
        let (sentence, then) = match (self, restores) {
            // Some witness may know of a restore that was given up: the number goes on from there.
            (Self::Withdrawn, Some(number)) if has_given_up => (
                "nothing else was changed".to_owned(),
                format!("then run the same command with `--number {number}` in the place of `--give-up-change`"),
            ),
            (Self::Withdrawn, _) => ("nothing was changed".to_owned(), "then run the same command again".to_owned()),
            (Self::Logged, _) => {
                let undone = match restores {
                    Some(_) if !has_given_up => {
                        " to undo it, as long as the anchor has not taken it and no earlier change was given up for it, put back the database that lay here before, and \
                         the next start drops the order;"
                    }
                    _ => "",
                };
                (
                    format!("{what} is ordered and in this database's log"),
                    format!(
                        "then `pinseal up`, or the same command again, finishes it;{undone} where it can never be finished, `pinseal restore \
                         --give-up-change`, with other witnesses where those are lost, goes on from the state before it, with every owner's consent"
                    ),
                )
            }
            (Self::Open, _) => (
                format!("whether {what} is in the log is not known yet"),
                "nothing is lost: `pinseal up` finishes it or drops it, and `pinseal config show` tells which"
                    .to_owned(),
            ),
        };
        let sentence =
            if has_given_up { format!("the earlier change is out of the log; {sentence}") } else { sentence };
        let advice = match failure.advice.as_deref() {
            Some(advice) => format!("{advice}; {then}"),
            None => then,
        };
        // A reason that says so itself needs no second one.
        let said = failure.sentence.contains(&sentence);
        let sentence = if said { failure.sentence.clone() } else { format!("{}; {sentence}", failure.sentence) };
        Failure { sentence, ..failure }.advise(advice)
    }
}
