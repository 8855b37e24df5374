//! Whether enclave and host are started again, and when.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;
use crate::up::own_name;

/// First pause before a restart; doubled each time up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause before a restart.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A pair that served this long starts again with the shortest pause.
const STEADY: Duration = Duration::from_secs(60);
/// The time in which restarts are counted, failed ones included. At anchor level L1 every boot can give whoever holds the host's user
/// five guesses a wallet, so how many there may be is for the operator to say, not for a loop.
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

    /// How long to wait before the pair is started again, after one that lived for `lived` ended at `now`.
    ///
    /// # Errors
    /// It is not started again: the reason, for the operator.
    pub(super) fn next(&mut self, end: Option<&Failure>, lived: Duration, now: Instant) -> Result<Duration, Failure> {
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
        if lived > STEADY {
            self.pause = PAUSE_MIN;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn ended() -> Failure {
        Failure::failed("host", "the host ended")
    }

    #[test]
    fn an_end_that_a_restart_would_hide_is_final() {
        for code in ["state_rolled_back", "fenced", "state_older"] {
            let end = Failure::failed(code, "what happened").advise("what to do");
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
    fn the_pause_grows_until_a_pair_has_served_a_minute() {
        let (mut restarts, now) = (Restarts::new(10), Instant::now());
        let mut pause = |lived| restarts.next(None, lived, now).unwrap().as_millis();
        let pauses: Vec<_> = (0..8).map(|_| pause(Duration::ZERO)).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(pause(STEADY + Duration::from_millis(1)), 500);
    }
}
