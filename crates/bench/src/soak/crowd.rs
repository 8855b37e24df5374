//! The people of a soak: most sign and sometimes mistype, some only guess. Kills do not stop them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::statistics::Xorshift;
use crate::system::Target;
use crate::user::{Choice, User, Verdict, attest, random};

/// One in so many signatures is tried with a wrong PIN first, while the PIN's life of 100 lasts.
const MISTYPE: usize = 50;
/// Wrong PINs of one person in all: well below the life of a PIN, which no success gives back.
const MISTYPED_MAX: usize = 40;
/// Pause after a failure, which during a restart is the usual answer.
const PAUSE: Duration = Duration::from_millis(250);

/// What one person was told.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Tally {
    /// Signatures received and verified.
    pub(crate) signed: u64,
    /// Wrong PINs answered as such.
    pub(crate) wrong: usize,
    /// Refused in a sealed reply, before any charge.
    pub(crate) refused: u64,
    /// Sent, and no answer came.
    pub(crate) unknown: u64,
    /// Failed before anything was sent.
    pub(crate) failed: u64,
    /// Wrong PINs answered since the last right one.
    outstanding: usize,
    /// The most of these at any time.
    pub(crate) most_outstanding: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.signed += other.signed;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.most_outstanding = self.most_outstanding.max(other.most_outstanding);
    }

    fn note(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Signed => {
                self.signed += 1;
                self.outstanding = 0;
            }
            Verdict::WrongPin => {
                self.wrong += 1;
                self.outstanding += 1;
                self.most_outstanding = self.most_outstanding.max(self.outstanding);
            }
            Verdict::Refused(_) => self.refused += 1,
        }
    }
}

/// Somebody after the soak, with what they hold against the deployment.
pub(crate) struct Witness {
    pub(crate) user: User,
    /// Record version before the soak's first attempt is not known from outside; the log tells it. Attempts answered, by kind.
    pub(crate) tally: Tally,
    /// Size and root of receipts along the way, one in so many, and the last.
    pub(crate) receipts: Vec<Vec<u8>>,
}

/// Everybody, at work.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    running: JoinSet<anyhow::Result<Witness>>,
}

/// One in so many receipts is kept to be judged.
const KEPT: u64 = 64;

impl Crowd {
    /// Starts everybody: the last `guessers` only guess, the others make `rate` signatures a second together.
    pub(crate) fn start(users: Vec<User>, target: Target, guessers: usize, rate: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let honest = users.len().saturating_sub(guessers);
        let pace = Duration::from_secs_f64(honest as f64 / rate);
        let mut running = JoinSet::new();
        for (index, user) in users.into_iter().enumerate() {
            let (stop, target) = (Arc::clone(&stop), target.clone());
            running.spawn_local(work(user, target, index >= honest, pace, stop));
        }
        Self { stop, running }
    }

    /// Lets everybody finish.
    pub(crate) async fn stop(mut self) -> anyhow::Result<(Vec<Witness>, Tally)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut witnesses, mut sum) = (Vec::new(), Tally::default());
        while let Some(ended) = self.running.join_next().await {
            let witness = ended.context("a person panicked")??;
            sum.add(&witness.tally);
            witnesses.push(witness);
        }
        Ok((witnesses, sum))
    }
}

async fn work(
    user: User,
    target: Target,
    guesses: bool,
    pace: Duration,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Witness> {
    let mut chance = Xorshift(u64::from_le_bytes(random()?) | 1);
    let mut witness = Witness { user, tally: Tally::default(), receipts: Vec::new() };
    let mut due = tokio::time::Instant::now() + pace.mul_f64(chance.below(1_000) as f64 / 1_000.0);
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due).await;
        // Who was held up by a restart does not make up for it in one go.
        due = tokio::time::Instant::now().max(due + pace);
        let mistypes = witness.tally.wrong < MISTYPED_MAX && chance.below(MISTYPE) == 0;
        let choice = if guesses || mistypes { Choice::Wrong } else { Choice::Right };
        if witness.attempt(choice).await.is_err() {
            tokio::time::sleep(PAUSE).await;
            if let Ok(boot) = attest(&target).await {
                witness.user.believe(boot);
            }
        }
    }
    witness.receipts.extend(witness.user.receipt());
    Ok(witness)
}

impl Witness {
    async fn attempt(&mut self, choice: Choice) -> anyhow::Result<()> {
        match self.user.sign(choice).await {
            Ok(verdict) => {
                anyhow::ensure!(choice == Choice::Right || verdict != Verdict::Signed, "a wrong PIN signed");
                self.tally.note(verdict);
                if self.tally.signed.is_multiple_of(KEPT) {
                    self.receipts.extend(self.user.receipt());
                }
                Ok(())
            }
            Err(error) => {
                if self.user.was_sent() {
                    self.tally.unknown += 1;
                } else {
                    self.tally.failed += 1;
                }
                Err(error)
            }
        }
    }
}
