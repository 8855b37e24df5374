//! The people of a soak: most sign and sometimes mistype, some only guess, on a device that is enrolled or on one that is not. Kills do not
//! stop them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::refusal::Refusal;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::statistics::Xorshift;
use crate::system::Target;
use crate::user::{Choice, User, Verdict, attest, is_broken, passes, random};

/// One in so many signatures is tried with a wrong PIN first, while the PIN's life of 100 lasts.
const MISTYPE: usize = 50;
/// Wrong PINs of one person in all: well below the life of a PIN, which no success gives back.
const MISTYPED_MAX: usize = 40;
/// A signer's wrong PINs without a right one between: far from the device's cap, and so that delays are met.
const MISTYPED_IN_A_ROW_MAX: usize = 3;
/// Pause after a failure, which during a restart is the usual answer.
const PAUSE: Duration = Duration::from_millis(250);

/// Requests refused in a sealed reply, before any charge, by code.
pub(crate) type Refusals = BTreeMap<&'static str, u64>;

/// What one person was told.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Tally {
    /// Signatures received and verified.
    pub(crate) signed: u64,
    /// Wrong PINs answered as such.
    pub(crate) wrong: usize,
    /// What those were refused who sign.
    pub(crate) signers_refused: Refusals,
    /// What those were refused who guess.
    pub(crate) guessers_refused: Refusals,
    /// Sent, and no answer came.
    pub(crate) unknown: u64,
    /// Failed before anything was sent.
    pub(crate) failed: u64,
    /// Wrong PINs answered since the last right one.
    outstanding: usize,
    /// The most of these at any time.
    pub(crate) most_outstanding: usize,
    /// The most wrong PINs answered to devices that are not enrolled in one wallet; none of them is ever right.
    pub(crate) most_to_strangers: usize,
    /// The most that were outstanding on one wallet, at most.
    pub(crate) most_on_a_wallet: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.signed += other.signed;
        self.wrong += other.wrong;
        for (sum, refused) in
            [(&mut self.signers_refused, &other.signers_refused), (&mut self.guessers_refused, &other.guessers_refused)]
        {
            refused.iter().for_each(|(code, times)| *sum.entry(code).or_default() += times);
        }
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.most_outstanding = self.most_outstanding.max(other.most_outstanding);
    }

    fn note(&mut self, role: Role, verdict: Verdict) {
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
            Verdict::Refused(refusal) => {
                let refused = if role == Role::Signer { &mut self.signers_refused } else { &mut self.guessers_refused };
                *refused.entry(refusal.code()).or_default() += 1;
            }
        }
    }
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Signs, and mistypes now and then.
    Signer,
    /// Has an enrolled device and guesses.
    Guesser,
    /// Guesses at somebody's wallet on a device that is not enrolled.
    Stranger,
    /// Nothing: strangers guess at the wallet.
    Besieged,
}

impl Role {
    /// True if an honest system may answer so. Who signs is never locked out: [`MISTYPED_IN_A_ROW_MAX`].
    fn may_hear(self, choice: Choice, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Signed => choice == Choice::Right,
            Verdict::WrongPin => choice == Choice::Wrong,
            Verdict::Refused(
                Refusal::Locked | Refusal::WalletLocked | Refusal::PinSpent | Refusal::EnrolmentPaused,
            ) => self != Self::Signer,
            Verdict::Refused(refusal) => passes(refusal),
        }
    }
}

/// Somebody after the soak, with what they hold against the deployment.
pub(crate) struct Witness {
    pub(crate) user: User,
    pub(crate) role: Role,
    /// Record version before the soak's first attempt is not known from outside; the log tells it. Attempts answered, by kind.
    pub(crate) tally: Tally,
    /// When a signature came last.
    pub(crate) signed_at: Option<Instant>,
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
    /// Starts everybody; the signers make `rate` signatures a second together.
    pub(crate) fn start(people: Vec<(User, Role)>, target: &Target, rate: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let signers = people.iter().filter(|(_, role)| *role == Role::Signer).count();
        let pace = Duration::from_secs_f64(signers as f64 / rate);
        let mut running = JoinSet::new();
        for (user, role) in people {
            running.spawn_local(work(user, role, target.clone(), pace, Arc::clone(&stop)));
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
        let told = witnesses.iter().map(|witness| Ok((witness.wallet()?, witness.role, witness.tally.clone())));
        (sum.most_to_strangers, sum.most_on_a_wallet) = most(told.collect::<anyhow::Result<Vec<_>>>()?);
        Ok((witnesses, sum))
    }
}

/// The most that strangers were answered on one wallet, and the most that can have been outstanding on one.
fn most(told: Vec<(UserIdHash, Role, Tally)>) -> (usize, usize) {
    let mut wallets: HashMap<UserIdHash, (usize, usize)> = HashMap::new();
    for (wallet, role, tally) in told {
        let (strangers, enrolled) = wallets.entry(wallet).or_default();
        // Nothing gives a stranger's tries back here.
        if role == Role::Stranger {
            *strangers += tally.wrong;
        } else {
            *enrolled += tally.most_outstanding;
        }
    }
    let strangers = wallets.values().map(|(strangers, _)| *strangers).max();
    let together = wallets.values().map(|(strangers, enrolled)| strangers + enrolled).max();
    (strangers.unwrap_or_default(), together.unwrap_or_default())
}

async fn work(
    user: User,
    role: Role,
    target: Target,
    pace: Duration,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Witness> {
    let mut chance = Xorshift(u64::from_le_bytes(random()?) | 1);
    let mut witness = Witness { user, role, tally: Tally::default(), signed_at: None, receipts: Vec::new() };
    let mut due = tokio::time::Instant::now() + pace.mul_f64(chance.below(1_000) as f64 / 1_000.0);
    while role != Role::Besieged && !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due).await;
        // Who was held up by a restart does not make up for it in one go.
        due = tokio::time::Instant::now().max(due + pace);
        let may_mistype = witness.tally.wrong < MISTYPED_MAX && witness.tally.outstanding < MISTYPED_IN_A_ROW_MAX;
        let mistypes = may_mistype && chance.below(MISTYPE) == 0;
        let choice = if role != Role::Signer || mistypes { Choice::Wrong } else { Choice::Right };
        if !witness.attempt(choice).await? {
            tokio::time::sleep(PAUSE).await;
            match attest(&target).await {
                Ok(boot) => witness.user.believe(boot)?,
                Err(error) => ensure!(!is_broken(&error), "evidence that is not believed: {error:#}"),
            }
        }
    }
    witness.receipts.extend(witness.user.receipt());
    Ok(witness)
}

impl Witness {
    /// The wallet that the person's login leads to.
    pub(crate) fn wallet(&self) -> anyhow::Result<UserIdHash> {
        self.user.wallet().context("a person without a wallet")
    }

    /// True if an answer came.
    ///
    /// # Errors
    /// The answer is none that may be given.
    async fn attempt(&mut self, choice: Choice) -> anyhow::Result<bool> {
        let tried = match self.role {
            Role::Stranger => self.user.enrol_with_wrong_pin().await,
            _ => self.user.sign(choice).await,
        };
        match tried {
            Ok(verdict) => {
                ensure!(
                    self.role.may_hear(choice, verdict),
                    "{:?}, with a PIN that is {choice:?}, was told {verdict:?}",
                    self.role
                );
                self.tally.note(self.role, verdict);
                if verdict == Verdict::Signed {
                    self.signed_at = Some(Instant::now());
                }
                if self.tally.signed.is_multiple_of(KEPT) {
                    self.receipts.extend(self.user.receipt());
                }
                Ok(true)
            }
            Err(error) if is_broken(&error) => Err(error),
            // The usual answer while something starts again.
            Err(_) => {
                if self.user.was_sent() {
                    self.tally.unknown += 1;
                } else {
                    self.tally.failed += 1;
                }
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(wallet: u8, role: Role, wrong: usize) -> (UserIdHash, Role, Tally) {
        let mut tally = Tally::default();
        (0..wrong).for_each(|_| tally.note(role, Verdict::WrongPin));
        (UserIdHash([wallet; 32]), role, tally)
    }

    #[test]
    fn a_right_pin_is_never_wrong_and_who_signs_is_never_locked_out() {
        use Choice::{Right, Wrong};
        let told = [
            (Role::Signer, Right, Verdict::Signed, true),
            (Role::Signer, Wrong, Verdict::Signed, false),
            (Role::Guesser, Wrong, Verdict::Signed, false),
            (Role::Signer, Right, Verdict::WrongPin, false),
            (Role::Signer, Wrong, Verdict::WrongPin, true),
            (Role::Signer, Right, Verdict::Refused(Refusal::Delayed), true),
            (Role::Signer, Right, Verdict::Refused(Refusal::Locked), false),
            (Role::Signer, Right, Verdict::Refused(Refusal::RecordDamaged), false),
            (Role::Signer, Right, Verdict::Refused(Refusal::RecordStale), false),
            (Role::Guesser, Wrong, Verdict::Refused(Refusal::Locked), true),
            (Role::Guesser, Wrong, Verdict::Refused(Refusal::DeviceNotEnrolled), false),
            (Role::Stranger, Wrong, Verdict::Refused(Refusal::DeviceEnrolled), false),
            (Role::Stranger, Wrong, Verdict::Refused(Refusal::StateRolledBack), false),
        ];
        for (role, choice, verdict, may) in told {
            assert_eq!(role.may_hear(choice, verdict), may, "{role:?} {choice:?} {verdict:?}");
        }
    }

    #[test]
    fn what_strangers_are_told_adds_up_over_their_devices_and_with_the_enrolled_one() {
        let people = vec![
            told(1, Role::Besieged, 0),
            told(1, Role::Stranger, 3),
            told(1, Role::Stranger, 2),
            told(2, Role::Guesser, 5),
            told(2, Role::Stranger, 4),
            told(3, Role::Signer, 1),
        ];
        assert_eq!(most(people), (5, 9));
        assert_eq!(most(Vec::new()), (0, 0));
    }
}
