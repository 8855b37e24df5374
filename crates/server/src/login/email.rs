//! The e-mail provider: address and password, verified by mailed codes.
//!
//! No answer and no amount of work tells whether an address has an account: every path hashes one password where a password
//! is given, runs one writing transaction where a code is concerned, and leaves mail to the outbox.

use std::net::IpAddr;

use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::secret::SecretText;
use pinseal_store::accounts::{
    AppId, Code, CodePurpose, EMAIL_ISSUER, MailDue, PasswordReset, SeenDevice, SessionId, SignUp, UserId, Verification,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Credential, LoginError, LoginProvider, VerifiedIdentity, Visitor};
use crate::Boxed;
use crate::carried::carried;
use crate::codes::{CODE_DIGITS_MAX, NoRandomness, code_digits, random_code, random_hex};
use crate::limits::{Who, network};
use crate::lines::Source;
use crate::mail::Letter;
use crate::passwords::{Password, PasswordError};
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Characters of an address (RFC 5321, section 4.5.3.1.3) and of its local part.
const EMAIL_CHARS_MAX: usize = 254;
const LOCAL_CHARS_MAX: usize = 64;
/// One character more than any code has, each of up to four bytes: reserved at once, so that no copy is left behind.
const CODE_BYTES_MAX: usize = (CODE_DIGITS_MAX + 1) * 4;

/// A normalised address: ASCII, lower case, the domain in its ASCII form. Two spellings of one mailbox are one account.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.trim().rsplit_once('@')?;
        let atom = |atom: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
            !atom.is_empty() && atom.bytes().all(fits)
        };
        if local.len() > LOCAL_CHARS_MAX || !local.split('.').all(atom) {
            return None;
        }
        let url::Host::Domain(domain) = url::Host::parse(domain).ok()? else { return None };
        let label =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let email = format!("{}@{}", local.to_ascii_lowercase(), domain.to_ascii_lowercase());
        (domain.split('.').all(label) && email.len() <= EMAIL_CHARS_MAX).then_some(Self(email))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The provider `email`.
pub(crate) struct EmailProvider(pub(crate) AppState);

impl LoginProvider for EmailProvider {
    fn name(&self) -> &'static str {
        "email"
    }

    fn authenticate(
        &self,
        credential: Credential,
        visitor: Visitor,
    ) -> Boxed<'_, Result<VerifiedIdentity, LoginError>> {
        Box::pin(async move {
            let Credential::Password { email, password } = credential;
            let state = &self.0;
            let email = Email::parse(&email).ok_or(LoginError::Refused)?;
            let address = email.0.clone();
            let (row, is_known) = state
                .try_accounts(move |accounts| {
                    Ok((accounts.password(&address)?, accounts.is_device_known(&address, &visitor.device)?))
                })
                .await
                .map_err(|error| LoginError::Fault(Box::new(error)))?;
            let visit = if is_known { Visit::KnownDevice(visitor.device) } else { Visit::Address(visitor.address) };
            let from = visit.source();
            throttle(state, &email, "login", visit).map_err(LoginError::Throttled)?;
            let stored = row.as_ref().filter(|row| row.verified).and_then(|row| row.hash.as_deref());
            let right =
                state.verify_password(from, Password::typed(&password), stored).await.map_err(|error| match error {
                    PasswordError::Full => LoginError::Overloaded,
                    PasswordError::Fault => LoginError::Fault(Box::new(error)),
                })?;
            match row.filter(|_| right) {
                Some(row) => Ok(VerifiedIdentity {
                    issuer: EMAIL_ISSUER.into(),
                    subject: row.subject,
                    email: email.0,
                    password_hash: row.hash,
                }),
                None => Err(LoginError::Refused),
            }
        })
    }
}

/// Starts a sign-up. The caller answers the same whatever happens here.
pub(crate) async fn sign_up(state: &AppState, from: IpAddr, email: &str, password: SecretText) -> Result<(), Problem> {
    let email = Email::parse(email).ok_or(table::EMAIL_INVALID)?;
    let password = Password::chosen(password, &email)?;
    throttled(state, &email, "sign_up", from)?;
    let address = email.0.clone();
    let row = state.accounts(move |accounts| accounts.password(&address)).await?;
    // Under the salt of the sign-up that waits, if one does, equal passwords give equal hashes.
    let like = row.filter(|row| !row.verified).and_then(|row| row.hash);
    let password_hash = state.hash_password(Source::address(from), password, like.as_deref()).await?;
    let code = random_code(CodePurpose::Verify).map_err(|error| Problem::fault(&error))?;
    let mac = state.codes().mac(CodePurpose::Verify, email.as_str(), code.expose_secret());
    let sign_up = SignUp {
        email: email.0.clone(),
        subject: random_hex::<16>().map_err(|error| Problem::fault(&error))?,
        password_hash,
        code: Code { purpose: CodePurpose::Verify, mac, now: state.now() },
    };
    let (state, issued) = (state.clone(), sign_up.code);
    carried(async move {
        let due = state.accounts(move |accounts| accounts.sign_up(sign_up)).await?;
        let letter = match due {
            MailDue::Code => Some(Letter::Verify(code)),
            MailDue::AlreadyRegistered => Some(Letter::AlreadyRegistered),
            MailDue::Nothing => None,
        };
        if let Some(letter) = letter {
            post(&state, Source::address(from), &email, letter, Some(issued));
        }
        state.count_login("sign_up", "accepted");
        Ok(())
    })
    .await
}

/// Mails a further code, if one is due.
pub(crate) async fn send_code(
    state: &AppState,
    from: IpAddr,
    email: &str,
    purpose: CodePurpose,
) -> Result<(), Problem> {
    let email = Email::parse(email).ok_or(table::EMAIL_INVALID)?;
    let step = match purpose {
        CodePurpose::Verify => "resend",
        CodePurpose::Reset => "reset_request",
    };
    throttled(state, &email, step, from)?;
    let code = random_code(purpose).map_err(|error| Problem::fault(&error))?;
    let mac = state.codes().mac(purpose, email.as_str(), code.expose_secret());
    let issued = Code { purpose, mac, now: state.now() };
    let (address, state) = (email.0.clone(), state.clone());
    carried(async move {
        if state.accounts(move |accounts| accounts.issue_code(&address, issued)).await? == MailDue::Code {
            let letter = match purpose {
                CodePurpose::Verify => Letter::Verify(code),
                CodePurpose::Reset => Letter::Reset(code),
            };
            post(&state, Source::address(from), &email, letter, Some(issued));
        }
        Ok(())
    })
    .await
}

/// Puts a mail in the outbox. Should that be full, a code that nobody is mailed is taken back, this one or another one: its address may ask
/// again at once.
fn post(state: &AppState, source: Source, email: &Email, letter: Letter, code: Option<Code>) {
    let Some(lost) = state.outbox().post(source, email.as_str(), letter, code) else { return };
    let state = state.clone();
    // Off the request path, whose time would tell how full the outbox is, and of what.
    drop(tokio::spawn(async move { state.accounts(move |accounts| accounts.take_code_back(lost)).await }));
}

/// Verifies an address; true if a password must still be chosen by a reset.
pub(crate) async fn verify(state: &AppState, from: IpAddr, email: &str, code: &str) -> Result<bool, Problem> {
    let (email, code) = parse_code(email, code, CodePurpose::Verify)?;
    throttled(state, &email, "verify", from)?;
    let mac = state.codes().mac(CodePurpose::Verify, email.as_str(), code.expose_secret());
    let now = state.now();
    let verification = state.accounts(move |accounts| accounts.verify_email(email.as_str(), mac, now)).await?;
    let outcome = if verification == Verification::Refused { "refused" } else { "accepted" };
    state.count_login("verify", outcome);
    match verification {
        Verification::Verified => Ok(false),
        Verification::ResetRequired => Ok(true),
        Verification::Refused => Err(table::CODE_INVALID.into()),
    }
}

/// A password as it is reset: what a mailed code proves.
pub(crate) struct Reset {
    /// Address.
    pub(crate) email: String,
    /// The code, as typed.
    pub(crate) code: SecretText,
    /// The new password.
    pub(crate) password: SecretText,
    /// Where it is done, if that is told, and through which app. Nothing is opened by the name of a device: a login on it proves its key.
    pub(crate) device: Option<(DeviceId, AppId)>,
}

/// Sets a new password and closes every session. Every device is a new one then but the one this is done on.
pub(crate) async fn reset(state: &AppState, from: IpAddr, reset: Reset) -> Result<(), Problem> {
    let (email, code) = parse_code(&reset.email, reset.code.expose_secret(), CodePurpose::Reset)?;
    let password = Password::chosen(reset.password, &email)?;
    throttled(state, &email, "reset", from)?;
    let password_hash = state.hash_password(Source::address(from), password, None).await?;
    let seen = |(device, app)| {
        let (id, user) = (random_hex::<16>()?, random_hex::<16>()?);
        Ok(SeenDevice { device, app, id: SessionId::new(id), fresh_user: UserId::new(user) })
    };
    let reset = PasswordReset {
        email: email.0.clone(),
        code: state.codes().mac(CodePurpose::Reset, email.as_str(), code.expose_secret()),
        password_hash,
        device: reset.device.map(seen).transpose().map_err(|error: NoRandomness| Problem::fault(&error))?,
        now: state.now(),
    };
    let state = state.clone();
    // Whoever hangs up at the right moment would change the password without its owner being told.
    carried(async move {
        let done = state.accounts(move |accounts| accounts.reset_password(reset)).await?;
        state.count_login("reset", if done { "accepted" } else { "refused" });
        if !done {
            return Err(table::CODE_INVALID.into());
        }
        post(&state, Source::owner(email.as_str()), &email, Letter::PasswordChanged, None);
        Ok(())
    })
    .await
}

/// An address and a code's digits; people type spaces into codes.
fn parse_code(email: &str, code: &str, purpose: CodePurpose) -> Result<(Email, SecretText), Problem> {
    let length = code_digits(purpose);
    let email = Email::parse(email).ok_or(table::EMAIL_INVALID)?;
    let mut digits = Zeroizing::new(String::with_capacity(CODE_BYTES_MAX));
    digits.extend(code.chars().filter(|c| !c.is_whitespace()).take(length + 1));
    if digits.len() != length || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(table::CODE_INVALID.into());
    }
    Ok((email, digits.into()))
}

/// Who takes a step of an account.
#[derive(Clone, Copy)]
enum Visit {
    /// Anybody at this address.
    Address(IpAddr),
    /// A device the account was used on before.
    KnownDevice(DeviceId),
}

impl Visit {
    /// Whose line this visitor waits in.
    fn source(self) -> Source {
        match self {
            Self::Address(address) => Source::address(address),
            Self::KnownDevice(device) => Source::Device(device),
        }
    }
}

fn throttled(state: &AppState, email: &Email, step: &str, from: IpAddr) -> Result<(), Problem> {
    throttle(state, email, step, Visit::Address(from))
        .map_err(|seconds| Problem::from(table::RATE_LIMITED).retry_after(seconds))
}

/// Counts a step of this account, known or not, so that strangers keep its owner out neither by their tries nor from another
/// step: each step from each client address counts by itself. A larger bound over all addresses slows down guessers with many of
/// them, and one between over each network leaves most of it to the others; a device of the owner is held up by neither.
fn throttle(state: &AppState, email: &Email, step: &str, visit: Visit) -> Result<(), u64> {
    let account = state.codes().mac(CodePurpose::Verify, email.as_str(), "").address;
    let bucket = |scope: &str| {
        let mut name = Sha256::new();
        // Neither name holds the byte between them.
        name.update(format!("{step}\0{scope}\0"));
        name.update(account.0);
        Who::Account(name.finalize().into())
    };
    let own = |scope: String| state.account_limit().check(bucket(&scope));
    let counted = match visit {
        Visit::KnownDevice(device) => own(format!("device {device}")),
        // The nearer bound first: what it refuses takes nothing from those of more people.
        Visit::Address(address) => own(format!("{:?}", Who::address(address)))
            .and_then(|_| state.account_limit_network().check(bucket(&format!("network {}", network(address)))))
            .and_then(|_| state.account_limit_anywhere().check(bucket("anywhere"))),
    };
    counted.map(|_| ()).map_err(|exceeded| {
        state.count_login("throttle", "refused");
        exceeded.wait_seconds
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::Email;

    #[test]
    fn spellings_of_one_mailbox_are_one_account() {
        let normal = |text: &str| Email::parse(text).map(|email| email.0);
        assert_eq!(normal(" Ada.Lovelace+w@Example.COM ").unwrap(), "ada.lovelace+w@example.com");
        assert_eq!(normal("ada@bücher.example").unwrap(), "ada@xn--bcher-kva.example");
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            ".ada@example.com",
            "a..b@example.com",
            "ada@exa mple.com",
            "ada@127.0.0.1",
            "ada@[::1]",
            "ädä@example.com",
            "a@b@example.com",
            "ada@-.",
            "ada@a..b",
            "ada@example.com\r\nBcc: x@example.com",
        ] {
            assert_eq!(normal(bad), None, "{bad:?}");
        }
        assert_eq!(normal(&format!("{}@example.com", "a".repeat(65))), None);
    }
}
