//! Passwords and mailed codes of the e-mail provider.
//!
//! Every path writes one row, whatever is known about the address, so that neither the answer nor the time of the disk tells
//! a stranger whether an address has an account.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::sessions::{self, EMAIL_ISSUER};
use super::{SeenDevice, at, seconds};

/// How long a code is accepted: five minutes.
pub const CODE_SECONDS: u64 = 300;
/// Wrong answers after which a code is dead.
const CODE_TRIES: i64 = 3;
/// At most one mail a minute to one address, so that the system cannot be used to flood a mailbox.
const RESEND_SECONDS: u64 = 60;
/// Codes per address, purpose and day. With three tries each a guesser has 30 chances in a million a day.
const CODES_PER_DAY_MAX: i64 = 10;
const DAY_SECONDS: u64 = 86_400;

/// What a mailed code is for. A code of one purpose is no code of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodePurpose {
    /// Shows that the person who signed up reads the mailbox.
    Verify,
    /// Lets that person set a new password.
    Reset,
}

impl CodePurpose {
    /// Stable name, in the database and in the code's MAC.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }
}

/// A code as it is stored and compared: keyed hashes only.
#[derive(Clone, Copy)]
pub struct CodeMac {
    /// Keyed hash of the normalised address.
    pub address: Hash32,
    /// Keyed hash of purpose, address and digits.
    pub mac: Hash32,
}

/// A code about to be mailed.
#[derive(Clone, Copy)]
pub struct Code {
    /// What it is for.
    pub purpose: CodePurpose,
    /// Its keyed hashes.
    pub mac: CodeMac,
    /// When it was made.
    pub now: UnixSeconds,
}

/// The password row of one address. Not for logs.
#[derive(Clone)]
pub struct PasswordRow {
    /// Subject of the identity under the e-mail provider.
    pub subject: String,
    /// Argon2id string; `None` when only a reset can set one.
    pub hash: Option<String>,
    /// True once a mailed code was given back.
    pub verified: bool,
}

/// A sign-up whose password is already hashed. Not for logs.
#[derive(Clone)]
pub struct SignUp {
    /// Normalised address.
    pub email: String,
    /// Fresh random subject, used if the address is new.
    pub subject: String,
    /// Argon2id string; under the salt of the unverified row where there is one, so that equal passwords compare equal.
    pub password_hash: String,
    /// The code to mail; its purpose is [`CodePurpose::Verify`].
    pub code: Code,
}

/// A new password, already hashed, and the code that was mailed for it. Not for logs.
#[derive(Clone)]
pub struct PasswordReset {
    /// Normalised address.
    pub email: String,
    /// The code; its purpose is [`CodePurpose::Reset`].
    pub code: CodeMac,
    /// Argon2id string.
    pub password_hash: String,
    /// Where it is done, if that is told.
    pub device: Option<SeenDevice>,
    /// Now.
    pub now: UnixSeconds,
}

/// Which mail goes out. The answer to the caller is the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailDue {
    /// The code.
    Code,
    /// A note that this address already has an account.
    AlreadyRegistered,
    /// None: too soon after the last one, or nobody to tell.
    Nothing,
}

/// What became of a verification code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// The address is verified and its password stands.
    Verified,
    /// The address is verified, but sign-ups gave different passwords: only a reset by mail may choose one.
    ResetRequired,
    /// Wrong, expired, used up, or nobody waits for one.
    Refused,
}

/// See [`super::Accounts::password`].
pub(crate) fn password(db: &Connection, email: &str) -> rusqlite::Result<Option<PasswordRow>> {
    db.prepare_cached("SELECT subject, hash, verified_at IS NOT NULL FROM passwords WHERE email = ?1")?
        .query_row([email], |row| Ok(PasswordRow { subject: row.get(0)?, hash: row.get(1)?, verified: row.get(2)? }))
        .optional()
}

/// See [`super::Accounts::sign_up`].
///
/// A further sign-up never replaces the password of an unverified row, not even after its code has died: whoever reads the
/// mailbox could not tell whose code they type next. Another password marks the row contested, and verification then leaves no
/// password at all. Only the sweep of sign-ups nobody verified makes the address new again.
pub(crate) fn sign_up(tx: &Transaction<'_>, sign_up: &SignUp) -> rusqlite::Result<MailDue> {
    let now = sign_up.code.now;
    let row = password(tx, &sign_up.email)?;
    match row {
        None => {
            tx.prepare_cached("INSERT INTO passwords (email, subject, hash, created_at) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![sign_up.email, sign_up.subject, sign_up.password_hash, seconds(now)])?;
        }
        Some(PasswordRow { verified: true, .. }) => {
            let due = if issue(tx, &sign_up.code)? { MailDue::AlreadyRegistered } else { MailDue::Nothing };
            kill_code(tx, &sign_up.code)?;
            return Ok(due);
        }
        Some(PasswordRow { hash, .. }) => {
            let same = hash
                .is_some_and(|hash| verify_slices_are_equal(hash.as_bytes(), sign_up.password_hash.as_bytes()).is_ok());
            tx.prepare_cached("UPDATE passwords SET created_at = ?2, contested = max(contested, ?3) WHERE email = ?1")?
                .execute(params![sign_up.email, seconds(now), !same])?;
        }
    }
    Ok(if issue(tx, &sign_up.code)? { MailDue::Code } else { MailDue::Nothing })
}

/// See [`super::Accounts::issue_code`].
pub(crate) fn issue_code(tx: &Transaction<'_>, email: &str, code: &Code) -> rusqlite::Result<MailDue> {
    let row = password(tx, email)?;
    let wanted = match code.purpose {
        CodePurpose::Verify => row.is_some_and(|row| !row.verified),
        CodePurpose::Reset => row.is_some_and(|row| row.verified),
    };
    let issued = issue(tx, code)?;
    if !wanted {
        kill_code(tx, code)?;
    }
    Ok(if wanted && issued { MailDue::Code } else { MailDue::Nothing })
}

/// See [`super::Accounts::take_code_back`]. One that another code has replaced meanwhile is none any more.
///
/// The mail may be lost long after the code was issued, to a crowd that somebody makes. So a code that was tried meanwhile stays counted:
/// whoever fills the outbox would otherwise have three tries again and again.
pub(crate) fn take_code_back(tx: &Transaction<'_>, code: &Code) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE codes SET tries_left = 0,
             sent_at = CASE WHEN tries_left = ?4 THEN 0 ELSE sent_at END,
             day_count = CASE WHEN tries_left = ?4 THEN max(day_count - 1, 0) ELSE day_count END
         WHERE purpose = ?1 AND address = ?2 AND mac = ?3",
    )?
    .execute(params![code.purpose.as_str(), code.mac.address.0, code.mac.mac.0, CODE_TRIES])?;
    Ok(())
}

/// See [`super::Accounts::verify_email`].
pub(crate) fn verify_email(
    tx: &Transaction<'_>,
    email: &str,
    code: &CodeMac,
    now: UnixSeconds,
) -> rusqlite::Result<Verification> {
    if !spend_code(tx, CodePurpose::Verify, code, now)? {
        return Ok(Verification::Refused);
    }
    let contested: Option<bool> = tx
        .prepare_cached("SELECT contested FROM passwords WHERE email = ?1 AND verified_at IS NULL")?
        .query_row([email], |row| row.get(0))
        .optional()?;
    let Some(contested) = contested else { return Ok(Verification::Refused) };
    tx.prepare_cached(
        "UPDATE passwords SET verified_at = ?2, contested = 0, hash = CASE WHEN ?3 THEN NULL ELSE hash END
         WHERE email = ?1",
    )?
    .execute(params![email, seconds(now), contested])?;
    Ok(if contested { Verification::ResetRequired } else { Verification::Verified })
}

/// See [`super::Accounts::reset_password`].
pub(crate) fn reset_password(tx: &Transaction<'_>, reset: &PasswordReset) -> rusqlite::Result<bool> {
    let PasswordReset { email, code, password_hash, device, now } = reset;
    if !spend_code(tx, CodePurpose::Reset, code, *now)? {
        return Ok(false);
    }
    let Some(row) = password(tx, email)?.filter(|row| row.verified) else { return Ok(false) };
    tx.prepare_cached("UPDATE passwords SET hash = ?2, contested = 0 WHERE email = ?1")?
        .execute(params![email, password_hash])?;
    // The ended ones too: whoever knew the old password may have used it on hundreds of devices, each of which would go on being known and have
    // tries of its own at the new one.
    tx.prepare_cached(
        "DELETE FROM sessions WHERE user_id IN (SELECT user_id FROM identities WHERE subject = ?1 AND issuer = ?2)",
    )?
    .execute(params![row.subject, EMAIL_ISSUER])?;
    // The one in the hands of whoever reads the mailbox stays, or strangers' tries could keep it out right after.
    if let Some(seen) = device {
        sessions::remember(tx, &row.subject, email, seen, *now)?;
    }
    Ok(true)
}

/// Replaces the code of this purpose and address. False, and the old one stands, if the last mail went out less than a
/// minute ago or the day's number is used up.
///
/// What lies in the future was written by a clock that ran ahead, and nobody waits for it: a mail of then is no recent one, and a day of
/// then begins now. Its codes still count, so no clock that is set back gives tries anew.
fn issue(tx: &Transaction<'_>, code: &Code) -> rusqlite::Result<bool> {
    let last: Option<(i64, i64, i64)> = tx
        .prepare_cached("SELECT sent_at, day_started_at, day_count FROM codes WHERE purpose = ?1 AND address = ?2")?
        .query_row(params![code.purpose.as_str(), code.mac.address.0], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (day_started, day_count) = match last {
        Some((_, started, count)) if code.now.0 < at(started).0.saturating_add(DAY_SECONDS) => {
            (at(started).min(code.now), count)
        }
        _ => (code.now, 0),
    };
    let too_soon = last.is_some_and(|(sent, ..)| {
        let minute_end = at(sent).0.saturating_add(RESEND_SECONDS);
        (at(sent).0..minute_end).contains(&code.now.0)
    });
    if too_soon || day_count >= CODES_PER_DAY_MAX {
        // Also where it changes nothing: a refusal costs what an issue does.
        tx.prepare_cached(
            "UPDATE codes SET day_started_at = min(day_started_at, ?3) WHERE purpose = ?1 AND address = ?2",
        )?
        .execute(params![code.purpose.as_str(), code.mac.address.0, seconds(code.now)])?;
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO codes (purpose, address, mac, expires_at, tries_left, sent_at, day_started_at, day_count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (purpose, address) DO UPDATE SET mac = ?3, expires_at = ?4, tries_left = ?5, sent_at = ?6,
             day_started_at = ?7, day_count = ?8",
    )?
    .execute(params![
        code.purpose.as_str(),
        code.mac.address.0,
        code.mac.mac.0,
        seconds(UnixSeconds(code.now.0.saturating_add(CODE_SECONDS))),
        CODE_TRIES,
        seconds(code.now),
        seconds(day_started),
        day_count + 1,
    ])?;
    Ok(true)
}

/// A code nobody was told stays only as the trace that paces further mails. It expires at once, and keeps its tries: none was used, so it can be
/// taken back with the mail it stands for.
fn kill_code(tx: &Transaction<'_>, code: &Code) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE codes SET expires_at = 0 WHERE purpose = ?1 AND address = ?2")?
        .execute(params![code.purpose.as_str(), code.mac.address.0])?;
    Ok(())
}

/// Compares in constant time; a right answer uses the code up, a wrong one takes a try off it. A code that would live for longer than any does
/// is one of a clock that ran ahead, and none.
fn spend_code(tx: &Transaction<'_>, purpose: CodePurpose, code: &CodeMac, now: UnixSeconds) -> rusqlite::Result<bool> {
    equal_work(tx)?;
    let stored: Option<(i64, [u8; 32])> = tx
        .prepare_cached(
            "SELECT tries_left, mac FROM codes WHERE purpose = ?1 AND address = ?2 AND expires_at > ?3
             AND expires_at <= ?4 AND tries_left > 0",
        )?
        .query_row(
            params![
                purpose.as_str(),
                code.address.0,
                seconds(now),
                seconds(UnixSeconds(now.0.saturating_add(CODE_SECONDS)))
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (known, mac) = stored.map_or((false, [0; 32]), |(_, mac)| (true, mac));
    let right = verify_slices_are_equal(&mac, &code.mac.0).is_ok() && known;
    tx.prepare_cached(
        "UPDATE codes SET tries_left = CASE WHEN ?3 THEN 0 ELSE max(tries_left - 1, 0) END
         WHERE purpose = ?1 AND address = ?2",
    )?
    .execute(params![purpose.as_str(), code.address.0, right])?;
    Ok(right)
}

/// A write of its own, so that a transaction that changes nothing still costs what one that does.
fn equal_work(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE equal_work SET writes = writes + 1 WHERE id = 0")?.execute([])?;
    Ok(())
}
