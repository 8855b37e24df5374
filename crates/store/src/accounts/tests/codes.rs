//! Mailed codes: how often one is mailed, and how often one is tried.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const EMAIL: &str = "ada@example.test";
const MINUTE: u64 = 60;
const LIFE: u64 = 300;
const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

fn mac(number: u16) -> CodeMac {
    let mut mac = [0; 32];
    mac[..2].copy_from_slice(&number.to_be_bytes());
    CodeMac { address: Hash32([1; 32]), mac: Hash32(mac) }
}

/// What the codes that reset one address's password do.
struct Codes {
    _directory: tempfile::TempDir,
    db: Sqlite,
    issued: u16,
}

impl Codes {
    /// No code has that number.
    const WRONG: u16 = u16::MAX;

    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let db = Sqlite::open(&directory.path().join("pinseal.db")).unwrap();
        let code = Code { purpose: CodePurpose::Verify, mac: mac(0), now: UnixSeconds(1) };
        let sign_up = SignUp { email: EMAIL.into(), subject: "ada".into(), password_hash: "hash".into(), code };
        assert_eq!(db.sign_up(sign_up).unwrap(), MailDue::Code);
        assert_eq!(db.verify_email(EMAIL, mac(0), UnixSeconds(1)).unwrap(), Verification::Verified);
        Self { _directory: directory, db, issued: 0 }
    }

    fn code(number: u16, now: u64) -> Code {
        Code { purpose: CodePurpose::Reset, mac: mac(number), now: UnixSeconds(now) }
    }

    /// True if one more is issued, which has the next number.
    fn issue(&mut self, now: u64) -> bool {
        let due = self.db.issue_code(EMAIL, Self::code(self.issued + 1, now)).unwrap();
        self.issued += u16::from(due == MailDue::Code);
        due == MailDue::Code
    }

    /// The mail of that one found no place.
    fn lose(&self, number: u16) {
        self.db.take_code_back(Self::code(number, 0)).unwrap();
    }

    /// True if it opens.
    fn answer(&self, number: u16, now: u64) -> bool {
        let (email, password_hash) = (EMAIL.into(), "other".into());
        let reset = PasswordReset { email, code: mac(number), password_hash, device: None, now: UnixSeconds(now) };
        self.db.reset_password(reset).unwrap()
    }
}

#[test]
fn a_clock_that_ran_ahead_holds_up_no_code_and_gives_no_tries_anew() {
    let mut codes = Codes::new();
    for number in 0..10 {
        assert!(codes.issue(YEAR + MINUTE * number));
    }
    assert!(!codes.answer(10, 1_000), "one that would live for a year");
    assert!(!codes.issue(1_000), "the day's ten are used up, and the day is this one");
    assert!(!codes.issue(1_000 + DAY - 1));
    assert!(codes.issue(1_000 + DAY));
    // Of the minute nobody waits for the end of another one.
    let mut codes = Codes::new();
    assert!(codes.issue(YEAR) && !codes.issue(YEAR + MINUTE - 1));
    assert!(codes.issue(1_000) && codes.answer(2, 1_000));
}

#[test]
fn a_code_that_was_mailed_to_nobody_takes_neither_minute_nor_day_and_opens_nothing() {
    let mut codes = Codes::new();
    assert!(codes.issue(1_000));
    for number in 1..30 {
        codes.lose(number);
        assert!(!codes.answer(number, 1_000));
        assert!(codes.issue(1_000), "{number}");
    }
    assert!(!codes.issue(1_000));
}

/// It is posted in the place of a code, to an address that has an account.
#[test]
fn a_note_that_was_mailed_to_nobody_takes_neither_minute_nor_day() {
    let codes = Codes::new();
    let sign_up = |number: u16| {
        let code = Code { purpose: CodePurpose::Verify, mac: mac(number), now: UnixSeconds(1_000) };
        let sign_up = SignUp { email: EMAIL.into(), subject: "eve".into(), password_hash: "planted".into(), code };
        (codes.db.sign_up(sign_up).unwrap(), code)
    };
    for number in 1..30 {
        let (due, code) = sign_up(number);
        assert_eq!(due, MailDue::AlreadyRegistered, "{number}");
        codes.db.take_code_back(code).unwrap();
    }
    assert_eq!(sign_up(30).0, MailDue::AlreadyRegistered);
    assert_eq!(sign_up(31).0, MailDue::Nothing);
}

#[derive(Debug, Clone)]
enum Step {
    Issue,
    /// The newest code's mail finds no place, or once more.
    Lose,
    /// One of the codes' before.
    LoseOlder(Index),
    Guess,
    Answer,
    Wait(u64),
    /// The clock is so far ahead from now on.
    Clock(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Issue),
        3 => Just(Step::Lose),
        1 => any::<Index>().prop_map(Step::LoseOlder),
        5 => Just(Step::Guess),
        1 => Just(Step::Answer),
        3 => prop_oneof![Just(MINUTE), 1..LIFE + 9, DAY / 4..DAY + 9].prop_map(Step::Wait),
        1 => prop_oneof![Just(0), Just(0), 1..LIFE, Just(DAY), Just(YEAR)].prop_map(Step::Clock),
    ]
}

/// What must be true of the codes of one address, whatever happens to them.
#[derive(Default)]
struct Model {
    time: u64,
    ahead: u64,
    /// When the newest code was issued, and its tries that are left.
    newest: Option<(u64, u32)>,
    mailed: Option<u64>,
    day: Option<u64>,
    issued: u32,
    tries: u32,
}

impl Model {
    fn now(&self) -> u64 {
        self.time + self.ahead
    }

    fn issue(&mut self) -> bool {
        let now = self.now();
        self.day = self.day.map(|day| day.min(now));
        let is_new_day = self.day.is_none_or(|day| now >= day + DAY);
        let too_soon = self.mailed.is_some_and(|mailed| (mailed..mailed + MINUTE).contains(&now));
        if too_soon || (!is_new_day && self.issued == 10) {
            return false;
        }
        if is_new_day {
            (self.day, self.issued, self.tries) = (Some(now), 0, 0);
        }
        self.issued += 1;
        (self.newest, self.mailed) = (Some((now, 3)), Some(now));
        true
    }

    /// What was not tried counts for nothing.
    fn lose(&mut self) {
        if let Some((_, left)) = &mut self.newest {
            if *left == 3 {
                self.mailed = None;
                self.issued -= 1;
            }
            *left = 0;
        }
    }

    /// True if there is a code to be tried.
    fn spend(&mut self, is_right: bool) -> bool {
        let now = self.now();
        let Some((issued, left)) = &mut self.newest else { return false };
        let is_live = *left > 0 && (*issued..*issued + LIFE).contains(&now);
        *left = if is_live && is_right { 0 } else { left.saturating_sub(1) };
        self.tries += u32::from(is_live);
        is_live
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_address_has_thirty_tries_a_day_in_any_order_of_events(steps in prop::collection::vec(step(), 1..100)) {
        let (mut codes, mut model) = (Codes::new(), Model { time: 1_000, ..Model::default() });
        for step in steps {
            match step {
                Step::Issue => assert_eq!(codes.issue(model.now()), model.issue()),
                Step::Lose => {
                    codes.lose(codes.issued);
                    model.lose();
                }
                Step::LoseOlder(which) if codes.issued > 1 => {
                    codes.lose(1 + u16::try_from(which.index(usize::from(codes.issued) - 1)).unwrap());
                }
                Step::LoseOlder(_) => {}
                Step::Guess => {
                    assert!(!codes.answer(Codes::WRONG, model.now()));
                    model.spend(false);
                }
                Step::Answer => assert_eq!(codes.answer(codes.issued, model.now()), model.spend(true)),
                Step::Wait(seconds) => model.time += seconds,
                Step::Clock(ahead) => model.ahead = ahead,
            }
            assert!(model.tries <= 30, "{}", model.tries);
        }
    }
}
