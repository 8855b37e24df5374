//! Whether enclave and host are started again, and when.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;
use crate::up::own_name;
use crate::up::pair::Ended;

/// First pause before a restart; doubled each time up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest pause while a quorum of witnesses is waited for: such starts are not counted, and each stretches the passphrase anew.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// A pair that served this long starts again with the shortest pause.
const STEADY: Duration = Duration::from_secs(60);
/// The time in which restarts are counted, failed ones included. At anchor level L1 every boot can give whoever holds the host's user
/// five guesses a wallet, so how many there may be is for the operator to say, not for a loop. Where the enclave itself says that it gave none, and
/// witnesses are missing, nobody is asked: else whoever keeps those from answering for some minutes would end the service for good.
const WINDOW: Duration = Duration::from_secs(3_600);

/// Ends that a restart does not mend, and may hide: the operator must look first.
const FINAL: &[&str] = &[
    "state_rolled_back",
    "fenced",
    "state_older",
    "state_forked",
    "state_mismatch",
    "checkpoint_invalid",
    "anchor_missing",
];

/// The restarts of one run of the supervisor.
#[derive(Debug)]
pub(super) struct Restarts {
    recent: VecDeque<Instant>,
    max: usize,
    pause: Duration,
}

impl Restarts {
    /// At most `max` an hour.
    pub(super) const fn new(max: usize) -> Self {
        Self { recent: VecDeque::new(), max, pause: PAUSE_MIN }
    }

    /// How long to wait before the pair is started again, after one that lived for `lived` ended at `now`, or a start failed.
    ///
    /// # Errors
    /// It is not started again: the reason, for the operator.
    pub(super) fn next(&mut self, ended: Option<&Ended>, lived: Duration, now: Instant) -> Result<Duration, Failure> {
        if lived > STEADY {
            self.pause = PAUSE_MIN;
        }
        if ended.is_some_and(Ended::waits_for_witnesses) {
            return Ok(self.pause(WAIT_MAX));
        }
        let end = ended.map(|ended| &ended.failure);
        if let Some(end) = end.filter(|end| FINAL.contains(&end.code.as_str())) {
            return Err(Failure {
                sentence: format!("{}; enclave and host are not started again", end.sentence),
                ..end.clone()
            });
        }
        while self.recent.front().is_some_and(|then| now.duration_since(*then) >= WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.max {
            let last = end.map_or_else(String::new, |end| format!("; the last time: {}", end.sentence));
            return Err(Failure::failed(
                "restarts_used_up",
                format!("enclave and host were started again {} times within an hour{last}", self.max),
            )
            .advise(format!(
                "find out in the logs who or what ends them, then run `{} up` again; at anchor level L1 each start can give guesses to \
                 somebody who holds the host's user",
                own_name()
            )));
        }
        self.recent.push_back(now);
        Ok(self.pause(PAUSE_MAX))
    }

    fn pause(&mut self, max: Duration) -> Duration {
        let pause = self.pause.min(max);
        self.pause = (pause * 2).min(max);
        pause
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn ended() -> Ended {
        Ended { failure: Failure::failed("host", "the host ended"), is_untried: true }
    }

    /// `is_untried`: as the enclave says.
    fn without_witnesses(is_untried: bool) -> Ended {
        Ended { failure: Failure::failed("witnesses", "2 of 3 cosignatures"), is_untried }
    }

    #[test]
    fn an_end_that_a_restart_would_hide_is_final() {
        for code in ["state_rolled_back", "fenced", "state_older"] {
            let failure = Failure::failed(code, "what happened").advise("what to do");
            let end = Ended { failure, is_untried: true };
            let last = Restarts::new(10).next(Some(&end), STEADY, Instant::now()).unwrap_err();
            assert_eq!((last.code.as_str(), last.advice.as_deref()), (code, Some("what to do")));
            assert!(last.sentence.contains("what happened") && last.sentence.contains("not started again"), "{last:?}");
        }
    }

    #[test]
    fn after_ten_restarts_in_an_hour_the_operator_is_asked() {
        let (mut restarts, mut now) = (Restarts::new(10), Instant::now());
        let first = now;
        for _ in 0..10 {
            restarts.next(Some(&ended()), Duration::ZERO, now).unwrap();
            now += PAUSE_MAX;
        }
        let refused = restarts.next(Some(&ended()), Duration::ZERO, now).unwrap_err();
        assert_eq!(refused.code, "restarts_used_up");
        assert!(refused.sentence.contains("the host ended"), "{refused:?}");
        // An hour after the first of them there is room for one more.
        restarts.next(None, Duration::ZERO, first + WINDOW).unwrap();
        restarts.next(None, Duration::ZERO, first + WINDOW).unwrap_err();
    }

    #[test]
    fn a_quorum_is_waited_for_as_long_as_it_takes_and_uses_no_restart_up() {
        let (mut restarts, mut now) = (Restarts::new(2), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..500 {
            let pause = restarts.next(Some(&without_witnesses(true)), Duration::ZERO, now).unwrap();
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses[..10], [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000]);
        assert_eq!(pauses[499], 120_000);
        for _ in 0..2 {
            assert!(restarts.next(Some(&ended()), Duration::ZERO, now).unwrap() <= PAUSE_MAX);
        }
        assert_eq!(restarts.next(Some(&ended()), Duration::ZERO, now).unwrap_err().code, "restarts_used_up");
    }

    #[test]
    fn a_host_that_says_witnesses_are_missing_is_counted_where_the_enclave_served_on_its_word() {
        let (mut restarts, now) = (Restarts::new(2), Instant::now());
        for _ in 0..2 {
            restarts.next(Some(&without_witnesses(false)), Duration::ZERO, now).unwrap();
        }
        let refused = restarts.next(Some(&without_witnesses(false)), Duration::ZERO, now).unwrap_err();
        assert_eq!(refused.code, "restarts_used_up");
    }

    #[test]
    fn the_pause_grows_until_a_pair_has_served_a_minute() {
        let (mut restarts, now) = (Restarts::new(10), Instant::now());
        let mut pause = |lived| restarts.next(None, lived, now).unwrap().as_millis();
        let pauses: Vec<_> = (0..8).map(|_| pause(Duration::ZERO)).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(pause(STEADY + Duration::from_millis(1)), 500);
    }
}
