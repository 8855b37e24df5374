//! What has expired goes, once it has really been so long.

use std::time::Duration;

use pinseal_protocol::ids::UnixSeconds;

use crate::state::AppState;

/// How often what has expired is deleted.
const EVERY: Duration = Duration::from_secs(600);

/// Deletes what has expired, for as long as it is awaited.
pub(super) async fn sweep(state: AppState) {
    let mut looks = Looks::default();
    loop {
        if let Some(passed) = looks.look(state.now(), state.clock().steady()) {
            let sweep = || {
                let state = state.clone();
                async move { state.try_accounts(move |accounts| accounts.sweep(passed)).await }
            };
            if let Err(error) = until_clean(sweep).await {
                tracing::warn!(error = %error, "expired rows could not be deleted");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Looks at the two clocks. One look at a wall clock that is ahead for a moment, as at a start before it is set, would delete everybody's
/// session; so a moment has passed for the wall clock only if two looks say so that are [`EVERY`] apart by the steady one.
#[derive(Default)]
struct Looks {
    last: Option<(UnixSeconds, Duration)>,
}

impl Looks {
    /// The latest moment that has passed, if there is one to go by.
    fn look(&mut self, now: UnixSeconds, steady: Duration) -> Option<UnixSeconds> {
        let (then, at) = *self.last.get_or_insert((now, steady));
        if steady.saturating_sub(at) < EVERY {
            return None;
        }
        self.last = Some((now, steady));
        Some(then.min(now))
    }
}

/// Sweeps until nothing is left: each sweep is short and gives the writer back, but all together they keep up with whatever comes in.
async fn until_clean<E, S>(mut sweep: impl FnMut() -> S) -> Result<(), E>
where
    S: Future<Output = Result<usize, E>>,
{
    while sweep().await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    const YEAR: u64 = 365 * 86_400;

    /// Looks a sweep apart by the steady clock, of a wall clock that says this each time.
    fn looks<const N: usize>(wall: [u64; N]) -> [Option<u64>; N] {
        let (mut looks, mut steady) = (Looks::default(), Duration::from_secs(7));
        wall.map(|now| {
            steady += EVERY;
            looks.look(UnixSeconds(now), steady).map(|passed| passed.0)
        })
    }

    #[test]
    fn a_wall_clock_that_is_ahead_for_one_look_deletes_nothing_before_its_time() {
        assert_eq!(looks([1_000, 1_600, 2_200]), [None, Some(1_000), Some(1_600)]);
        assert_eq!(looks([1_000, 1_600 + YEAR, 2_200, 2_800]), [None, Some(1_000), Some(2_200), Some(2_200)]);
    }

    #[test]
    fn the_first_look_after_a_start_deletes_nothing() {
        assert_eq!(looks([1_000 + YEAR, 1_600, 2_200]), [None, Some(1_600), Some(1_600)]);
        assert_eq!(looks([0, 1_600, 2_200]), [None, Some(0), Some(1_600)], "nor does one that was not set yet");
    }

    #[test]
    fn looks_that_follow_each_other_at_once_bear_nothing_out() {
        let mut looks = Looks::default();
        let mut look = |now: u64, steady| looks.look(UnixSeconds(now), steady).map(|passed| passed.0);
        let second = Duration::from_secs(1);
        assert_eq!(look(1_000, 5 * second), None);
        for _ in 0..9 {
            assert_eq!(look(1_000 + YEAR, 4 * second + EVERY), None);
        }
        assert_eq!(look(1_600, 5 * second + EVERY), Some(1_000));
    }

    #[tokio::test]
    async fn what_has_expired_goes_however_much_it_is() {
        let mut left = 2_500;
        let swept = until_clean(|| {
            let some = left.min(1_000);
            left -= some;
            ready(Ok::<_, ()>(some))
        });
        assert_eq!(swept.await, Ok(()));
        assert_eq!(left, 0);
        assert_eq!(until_clean(|| ready(Err("the database failed"))).await, Err("the database failed"));
    }
}
