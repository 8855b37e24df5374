//! Two writes make one attempt: the charge, and what came of it.

use pinseal_protocol::history::{Detail, LoggedWrite, Step};
use pinseal_protocol::ids::{DeviceId, UnixSeconds};
use pinseal_protocol::request::Method;

use super::HistoryError;

/// One attempt on the wallet's key, or a registration's preparation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Place in the log of its first write.
    pub index: u64,
    /// Version that its first write made.
    pub version: u64,
    /// When it began, by the host's clock.
    pub time: UnixSeconds,
    /// Which device asked.
    pub device: DeviceId,
    /// For what.
    pub method: Method,
    /// What came of it.
    pub result: AttemptResult,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// A wallet was prepared; no PIN was tested.
    Prepared,
    /// The PIN was right.
    Right,
    /// The PIN was wrong.
    Wrong,
    /// The enclave could not decide; the try stayed charged.
    Fault,
    /// A try was charged, and no verdict followed, so none ever left: the service failed or went away in between.
    Unanswered,
    /// A restore by the operators was accepted; no PIN was tested.
    Accepted,
}

/// The attempts of consecutive writes, newest first as they are. If the oldest write is not the wallet's first one, a verdict there has its
/// charge beyond what was asked for, and is left out.
///
/// # Errors
/// [`HistoryError::Contradiction`].
pub(super) fn merge(writes: &[(LoggedWrite, Detail)], from_the_start: bool) -> Result<Vec<Attempt>, HistoryError> {
    let mut attempts = Vec::new();
    let mut rest = writes.iter();
    while let Some((write, detail)) = rest.next() {
        let result = match detail.step {
            Step::Prepared => AttemptResult::Prepared,
            Step::Charged => AttemptResult::Unanswered,
            Step::Right => AttemptResult::Right,
            Step::Wrong => AttemptResult::Wrong,
            Step::Fault => AttemptResult::Fault,
            Step::Accepted => AttemptResult::Accepted,
        };
        if matches!(result, AttemptResult::Prepared | AttemptResult::Unanswered | AttemptResult::Accepted) {
            attempts.push(attempt(write, detail, result));
            continue;
        }
        match rest.next() {
            Some((charge, charged)) if is_charge_of(charged, detail) => {
                attempts.push(attempt(charge, charged, result));
            }
            None if !from_the_start => {}
            _ => return Err(HistoryError::Contradiction { version: write.version.0 }),
        }
    }
    Ok(attempts)
}

fn is_charge_of(charged: &Detail, verdict: &Detail) -> bool {
    charged.step == Step::Charged && (charged.method, charged.device) == (verdict.method, verdict.device)
}

const fn attempt(write: &LoggedWrite, detail: &Detail, result: AttemptResult) -> Attempt {
    Attempt {
        index: write.index,
        version: write.version.0,
        time: detail.time,
        device: detail.device,
        method: detail.method,
        result,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

    use pinseal_protocol::ids::{Hash32, Version};
    use pinseal_protocol::log::SealedDetail;

    use super::*;

    /// Writes of version 1 on, newest first.
    fn writes(steps: &[(Step, u8)]) -> Vec<(LoggedWrite, Detail)> {
        let write = |(version, (step, device)): (u64, &(Step, u8))| {
            let write = LoggedWrite {
                version: Version(version),
                outer: Hash32([0; 32]),
                detail: SealedDetail([0; 96]),
                index: version * 3,
                path: Vec::new(),
            };
            let detail = Detail {
                step: *step,
                method: Method::Sign,
                time: UnixSeconds(version * 10),
                device: DeviceId([*device; 32]),
            };
            (write, detail)
        };
        let mut writes: Vec<_> = (1..).zip(steps).map(write).collect();
        writes.reverse();
        writes
    }

    fn results(steps: &[(Step, u8)], from_the_start: bool) -> Result<Vec<(u64, AttemptResult)>, u64> {
        match merge(&writes(steps), from_the_start) {
            Ok(attempts) => Ok(attempts.iter().map(|attempt| (attempt.version, attempt.result)).collect()),
            Err(HistoryError::Contradiction { version }) => Err(version),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_charge_and_its_verdict_are_one_attempt_and_a_charge_alone_was_never_answered() {
        use AttemptResult as Result;
        use Step::{Accepted, Charged, Fault, Prepared, Right, Wrong};
        let steps = [
            (Prepared, 1),
            (Prepared, 2),
            (Charged, 2),
            (Right, 2),
            (Charged, 1),
            (Charged, 1),
            (Wrong, 1),
            (Charged, 2),
            (Fault, 2),
            (Charged, 3),
            (Accepted, 1),
        ];
        let expected = [
            (11, Result::Accepted),
            (10, Result::Unanswered),
            (8, Result::Fault),
            (6, Result::Wrong),
            (5, Result::Unanswered),
            (3, Result::Right),
            (2, Result::Prepared),
            (1, Result::Prepared),
        ];
        assert_eq!(results(&steps, true), Ok(expected.to_vec()));
        let attempts = merge(&writes(&steps), true).unwrap();
        let wrong = attempts[3];
        assert_eq!((wrong.index, wrong.time, wrong.device), (18, UnixSeconds(60), DeviceId([1; 32])));
    }

    #[test]
    fn a_verdict_without_its_charge_is_a_contradiction_unless_the_charge_was_not_asked_for() {
        use Step::{Charged, Prepared, Right, Wrong};
        for (steps, version) in [
            ([(Right, 1), (Charged, 1), (Right, 1)].as_slice(), 1),
            (&[(Prepared, 1), (Right, 1)], 2),
            (&[(Charged, 2), (Right, 1)], 2),
            (&[(Charged, 1), (Right, 1), (Wrong, 1)], 3),
        ] {
            assert_eq!(results(steps, true), Err(version), "{steps:?}");
        }
        let cut = [(Right, 1), (Charged, 1), (Wrong, 1)];
        assert_eq!(results(&cut, false), Ok(vec![(2, AttemptResult::Wrong)]));
        assert_eq!(
            results(&[(Charged, 2), (Right, 1)], false),
            Err(2),
            "within what was asked for it is one all the same"
        );
        assert_eq!(results(&[], true), Ok(Vec::new()));
    }
}
