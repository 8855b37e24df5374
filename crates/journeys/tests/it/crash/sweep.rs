//! Host and enclave die at every named point of every PIN operation, and of a read; the next life finds out.
//!
//! A point is counted from the start of the process, so each life does exactly the same before the operation it dies in: boot,
//! attest, check what the last crash left, prepare. [`Passes`] adds that up.

use std::ops::{Add, RangeInclusive};

use pinseal_client::operation::{Registered, Words};
use pinseal_client::{Address, Attested, OperationError};
use pinseal_protocol::intent::AccountIndex;
use pinseal_protocol::limits::{DEVICE_OUTSTANDING_MAX, PIN_LIFE_WRONG_MAX};
use pinseal_protocol::request::WalletState;

use tokio::task::JoinSet;

use super::deployment::{Deployment, Door, Life, has_lost_its_host};
use super::user::{NEW_PIN, PIN, User, WRONG_PIN, is_wrong_pin, new_pin, pin, runtime, sign, status};

/// How often the points were passed.
#[derive(Debug, Clone, Copy)]
struct Passes {
    begins: u32,
    sealed: u32,
    batches: u32,
    /// Frames from the host to the enclave.
    sends: u32,
}

/// Boot, headers, their end, and the answer to the BOOT entry's batch.
const BOOT: Passes = Passes { begins: 0, sealed: 0, batches: 1, sends: 4 };
const ATTEST: Passes = Passes { begins: 0, sealed: 0, batches: 0, sends: 1 };
/// A checkpoint of its own, in which nobody writes.
const STATUS: Passes = operation(2, 1);
/// Everything that tests a PIN. The enclave asks for the record, hence a second begin.
const TESTS_PIN: Passes = operation(2, 2);
const FIRST_PREPARE: Passes = operation(1, 1);

const fn operation(begins: u32, batches: u32) -> Passes {
    Passes { begins, sealed: 1, batches, sends: begins + 1 + batches }
}

impl Add for Passes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            begins: self.begins + other.begins,
            sealed: self.sealed + other.sealed,
            batches: self.batches + other.batches,
            sends: self.sends + other.sends,
        }
    }
}

/// A crash.
#[derive(Debug, Clone)]
struct Case {
    fault: String,
    /// How many of the operation's batches are on disk then.
    stored: RangeInclusive<u32>,
    /// The reply may have got out.
    answered: bool,
}

/// Every point of `operation` after `before`, its begin left out. Points that are counted by frames or receipts come first: a
/// database that is ahead of its anchor adds one of each to the next boot.
fn cases(before: Passes, operation: Passes) -> Vec<Case> {
    let case = |point: &str, pass: u32, stored: RangeInclusive<u32>| Case {
        fault: format!("{point}:{pass}"),
        stored,
        answered: point == "enclave.after_reply",
    };
    let (sealed, all) = (before.sealed + 1, operation.batches);
    let sent = before.sends + operation.begins + 1;
    let mut cases = vec![case("host.before_enclave_send", sent, 0..=0)];
    for batch in 1..=all {
        cases.push(case("host.before_enclave_send", sent + batch, batch..=batch));
        cases.push(case("enclave.before_committed", before.batches + batch, batch..=batch));
        cases.push(case("enclave.after_committed", before.batches + batch, batch..=batch));
    }
    for batch in 1..=all {
        let pass = before.batches + batch;
        cases.push(case("host.before_commit", pass, batch - 1..=batch - 1));
        cases.push(case("host.after_commit", pass, batch..=batch));
        cases.push(case("host.after_anchor", pass, batch..=batch));
        cases.push(case("enclave.before_commit", pass, batch - 1..=batch - 1));
        // The host has the batch and loses the enclave: it may or may not store it.
        cases.push(case("enclave.after_commit", pass, batch - 1..=batch));
    }
    cases.push(case("enclave.before_sealed", sealed, 0..=0));
    cases.push(case("enclave.after_sealed", sealed, 0..=0));
    cases.push(case("host.before_reply", sealed, all..=all));
    cases.push(case("enclave.before_reply", sealed, all..=all));
    cases.push(case("enclave.after_reply", sealed, all..=all));
    cases
}

/// The points of a begin: nothing is charged, nothing stored.
fn begin_cases(before: Passes) -> Vec<Case> {
    let pass = before.begins + 1;
    let enclave =
        ["before_begin", "after_begin", "before_begun", "after_begun"].map(|point| format!("enclave.{point}:{pass}"));
    let host = format!("host.before_enclave_send:{}", before.sends + 1);
    [host].into_iter().chain(enclave).map(|fault| Case { fault, stored: 0..=0, answered: false }).collect()
}

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dying {
    Read,
    Sign,
    WrongPin,
    ChangePrepare,
    ChangeConfirm,
}

/// One wallet through all crashes.
struct Sweep {
    deployment: Deployment,
    user: User,
    address: Address,
    dying: Dying,
    /// In force.
    current: &'static str,
    /// The other one of the two.
    other: &'static str,
    /// Tries left over the life of the PIN.
    life_left: u8,
}

impl Sweep {
    async fn start(dying: Dying) -> Self {
        let deployment = Deployment::new();
        let life = deployment.start();
        let (user, address) = User::registered(&life.door, "ann@example.org").await;
        life.stop();
        Self { deployment, user, address, dying, current: PIN, other: NEW_PIN, life_left: PIN_LIFE_WRONG_MAX }
    }

    /// What a life passes before the operation it dies in: exactly what [`Sweep::check`] and [`Sweep::prepare`] do.
    fn before(&self) -> Passes {
        let checked = BOOT + ATTEST + STATUS + TESTS_PIN;
        match self.dying {
            Dying::ChangeConfirm => checked + TESTS_PIN + TESTS_PIN,
            Dying::Sign => checked + ATTEST,
            Dying::Read | Dying::WrongPin | Dying::ChangePrepare => checked,
        }
    }

    /// A life that ends at `case`, after a check of what the last crash left.
    async fn die(&mut self, last: Option<&Case>, case: &Case) {
        let mut life = self.deployment.start_with(&case.fault);
        let attested = self.user.attested(&life.door).await;
        self.check(last, &attested).await;
        self.prepare(&attested).await;
        // A client that has signed once signs without a begin; a new one begins.
        let attested = if self.dying == Dying::Sign { self.user.attested(&life.door).await } else { attested };
        let told = self.operate(&attested).await;
        crashed(&mut life, case);
        // A verdict is out only after both writes; and the right PIN is never called wrong.
        let verdict = told.is_ok() || is_wrong_pin(&told);
        assert!(!verdict || case.answered, "{case:?}: {told:?}");
        assert!(!is_wrong_pin(&told) || self.dying == Dying::WrongPin, "{case:?}: {told:?}");
    }

    async fn operate(&self, attested: &Attested) -> Result<(), OperationError> {
        match self.dying {
            Dying::Read => attested.status().await.map(drop),
            Dying::Sign => sign(attested, self.current, b"dies").await.map(|signer| assert_eq!(signer, self.address)),
            Dying::WrongPin => attested.verify_pin(&pin(WRONG_PIN)).await.map(drop),
            Dying::ChangePrepare => {
                attested.change_pin_prepare(&pin(self.current), &new_pin(self.other)).await.map(drop)
            }
            Dying::ChangeConfirm => attested.change_pin_confirm(&pin(self.other)).await.map(drop),
        }
    }

    async fn prepare(&self, attested: &Attested) {
        if self.dying == Dying::ChangeConfirm {
            attested.change_pin_prepare(&pin(self.current), &new_pin(self.other)).await.unwrap();
        }
    }

    /// Tries, PIN in force, key.
    async fn check(&mut self, last: Option<&Case>, attested: &Attested) {
        let seen = status(attested).await;
        assert_eq!(seen.status.state, WalletState::Active, "{last:?}");
        let outstanding = seen.status.outstanding;
        let stored = last.map_or(0..=0, |case| case.stored.clone());
        let expected: Vec<u8> = stored.clone().map(|stored| self.outstanding_after(stored)).collect();
        assert!(expected.contains(&outstanding), "{last:?}: {outstanding} outstanding instead of {expected:?}");
        assert_eq!(seen.tries.left, DEVICE_OUTSTANDING_MAX - outstanding, "{last:?}");

        let is_settled = last.is_some() && *stored.start() == TESTS_PIN.batches;
        let may_be_settled = last.is_some() && *stored.end() == TESTS_PIN.batches;
        match self.dying {
            Dying::ChangePrepare => {
                // Once prepared it stays so; the sweep does not take it back.
                assert!(seen.status.change_pending || !is_settled, "{last:?}");
            }
            // An unsettled confirmation leaves the prepared change as it was.
            Dying::ChangeConfirm if last.is_some() => {
                let changed = !seen.status.change_pending;
                assert!(if changed { may_be_settled } else { !is_settled }, "{last:?}");
                if changed {
                    (self.current, self.other) = (self.other, self.current);
                    self.life_left = PIN_LIFE_WRONG_MAX;
                }
            }
            _ => {}
        }
        // Only a wrong answer that was settled counts over the life of the PIN: of any other charge nobody learnt anything.
        let answered = |stored: u32| u8::from(self.dying == Dying::WrongPin && stored == TESTS_PIN.batches);
        let expected: Vec<u8> = stored.map(|stored| self.life_left - answered(stored)).collect();
        assert!(expected.contains(&seen.tries.life_left), "{last:?}: {:?} instead of {expected:?}", seen.tries);
        self.life_left = seen.tries.life_left;

        if self.dying == Dying::ChangeConfirm {
            let other = attested.verify_pin(&pin(self.other)).await;
            assert!(is_wrong_pin(&other), "{last:?}: two PINs in force: {other:?}");
            self.life_left -= 1;
        }
        assert_eq!(sign(attested, self.current, b"alive").await.unwrap(), self.address, "{last:?}");
    }

    fn outstanding_after(&self, stored: u32) -> u8 {
        match (stored, self.dying) {
            (0, _) | (_, Dying::Read) => 0,
            (1, _) | (_, Dying::WrongPin) => 1,
            _ => 0,
        }
    }

    async fn run(mut self, cases: &[Case]) {
        let mut last: Option<&Case> = None;
        for case in cases {
            self.die(last, case).await;
            last = Some(case);
        }
        let life = self.deployment.start();
        let attested = self.user.attested(&life.door).await;
        self.check(last, &attested).await;
        // A device that has pinned nothing is shown the same address.
        let stranger = self.user.another_device(&life.door).await.attested(&life.door).await;
        assert_eq!(stranger.list_accounts(&[AccountIndex::default()]).await.unwrap()[0].address, self.address);
        life.stop();
    }
}

/// Checks that the process of the point died of it, and that the other one noticed.
fn crashed(life: &mut Life, case: &Case) {
    if case.fault.starts_with("host.") {
        life.host.crashed();
        let code = life.enclave.ended().code();
        assert!(has_lost_its_host(code), "{code:?} {case:?}\n{}", life.enclave.log());
    } else {
        life.enclave.crashed();
        assert_eq!(life.host.ended().code(), Some(1), "{case:?}\n{}", life.host.log());
    }
}

fn sweep(dying: Dying) {
    runtime().block_on(async {
        let sweep = Sweep::start(dying).await;
        let cases = cases(sweep.before(), TESTS_PIN);
        sweep.run(&cases).await;
    });
}

/// Its begin, too.
fn sweep_whole(dying: Dying, operation: Passes) {
    runtime().block_on(async {
        let sweep = Sweep::start(dying).await;
        let mut all = begin_cases(sweep.before());
        all.extend(cases(sweep.before(), operation));
        sweep.run(&all).await;
    });
}

#[test]
fn a_crash_while_somebody_reads_changes_nothing() {
    sweep_whole(Dying::Read, STATUS);
}

#[test]
fn no_crash_while_signing_loses_a_key_or_gives_a_try_away() {
    sweep_whole(Dying::Sign, TESTS_PIN);
}

#[test]
fn no_crash_makes_a_wrong_pin_free_once_its_charge_is_stored() {
    sweep(Dying::WrongPin);
}

#[test]
fn no_crash_while_preparing_a_pin_change_touches_the_pin_in_force() {
    sweep(Dying::ChangePrepare);
}

#[test]
fn every_crash_while_confirming_a_pin_change_leaves_exactly_one_pin_in_force() {
    sweep(Dying::ChangeConfirm);
}

/// A person whose registration dies.
struct Newcomer {
    user: User,
    case: Case,
    told: Option<Registered>,
}

/// One person a case, all signed up and logged in.
async fn newcomers(door: &Door, cases: Vec<Case>) -> Vec<Newcomer> {
    let mut arriving = JoinSet::new();
    for (place, case) in cases.into_iter().enumerate() {
        let door = door.clone();
        arriving.spawn(async move {
            let user = User::sign_up(&door, &format!("newcomer{place}@example.org")).await;
            (place, Newcomer { user, case, told: None })
        });
    }
    let mut newcomers = arriving.join_all().await;
    newcomers.sort_by_key(|(place, _)| *place);
    newcomers.into_iter().map(|(_, newcomer)| newcomer).collect()
}

/// Finishes the registration whatever is left of it; the key that was shown, if one was, must be the key that signs.
async fn finish(door: Door, newcomer: Newcomer, confirms: bool) {
    let Newcomer { user, case, told } = newcomer;
    let attested = user.attested(&door).await;
    let seen = status(&attested).await;
    let expected: Vec<(WalletState, u8)> = case
        .stored
        .clone()
        .map(|stored| match (confirms, stored) {
            (false, 0) => (WalletState::Missing, 0),
            (false, _) | (true, 0) => (WalletState::Prepared, 0),
            (true, 1) => (WalletState::Prepared, 1),
            (true, _) => (WalletState::Active, 0),
        })
        .collect();
    assert!(expected.contains(&(seen.status.state, seen.status.outstanding)), "{case:?}: {seen:?}");
    if seen.status.state == WalletState::Missing {
        attested.register_prepare(&new_pin(PIN), Words::Twelve, "laptop").await.unwrap();
    }
    let address = if seen.status.state == WalletState::Active {
        attested.list_accounts(&[AccountIndex::default()]).await.unwrap()[0].address
    } else {
        attested.register_confirm(&pin(PIN)).await.unwrap().account.address
    };
    if let Some(told) = told {
        assert_eq!(told.account.address, address, "{case:?}");
    }
    assert_eq!(sign(&attested, PIN, b"first").await.unwrap(), address, "{case:?}");
    assert_eq!(status(&attested).await.status.outstanding, 0, "{case:?}");
}

/// Dies in one of the two steps of registration, each time with another person.
fn sweep_registration(confirms: bool) {
    runtime().block_on(async {
        let deployment = Deployment::new();
        let life = deployment.start();
        // Somebody who is there already, so that every boot streams headers.
        let (ann, address) = User::registered(&life.door, "ann@example.org").await;
        let cases = if confirms {
            cases(BOOT + ATTEST + FIRST_PREPARE, TESTS_PIN)
        } else {
            cases(BOOT + ATTEST, FIRST_PREPARE)
        };
        let mut newcomers = newcomers(&life.door, cases).await;
        life.stop();
        for newcomer in &mut newcomers {
            let mut life = deployment.start_with(&newcomer.case.fault);
            let attested = newcomer.user.attested(&life.door).await;
            let prepared = attested.register_prepare(&new_pin(PIN), Words::Twelve, "laptop").await;
            if confirms {
                prepared.unwrap();
                let told = attested.register_confirm(&pin(PIN)).await;
                assert!(told.is_err() || newcomer.case.answered, "{:?}: {told:?}", newcomer.case);
                assert!(!is_wrong_pin(&told), "{:?}", newcomer.case);
                newcomer.told = told.ok();
            } else {
                assert!(prepared.is_err() || newcomer.case.answered, "{:?}", newcomer.case);
            }
            crashed(&mut life, &newcomer.case);
        }
        let life = deployment.start();
        let mut finishing = JoinSet::new();
        for newcomer in newcomers {
            finishing.spawn(finish(life.door.clone(), newcomer, confirms));
        }
        finishing.join_all().await;
        let attested = ann.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"untouched").await.unwrap(), address);
        life.stop();
    });
}

#[test]
fn no_crash_while_preparing_a_registration_leaves_anything_that_cannot_be_finished() {
    sweep_registration(false);
}

#[test]
fn no_crash_while_confirming_a_registration_loses_the_key() {
    sweep_registration(true);
}
