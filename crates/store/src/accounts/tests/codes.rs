//! Mailed codes: how often one is mailed, and how often one is tried.

use super::*;

const EMAIL: &str = "ada@example.test";
const MINUTE: u64 = 60;
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
