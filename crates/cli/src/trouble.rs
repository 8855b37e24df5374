//! What a person is told about each way a request can fail.

mod payments;

use pinseal_attestation::verify::VerifyError;
use pinseal_attestation::verify::nitro::{CertificateError, NitroError};
use pinseal_client::account::AccountError;
use pinseal_client::api::TokenProblem;
use pinseal_client::evidence::EvidenceError;
use pinseal_client::history::HistoryError;
use pinseal_client::operation::WalletStatus;
use pinseal_client::receipt::ReceiptError;
use pinseal_client::{Address, ApiError, LockKind, OperationError, ProblemError};
use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::limits::{
    DEVICE_OUTSTANDING_MAX, DEVICES_MAX, LIFE_WARNING, OUTSTANDING_MAX, UNENROLLED_OUTSTANDING_MAX,
};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Tries;

use crate::context;
use crate::deployment::chain;
use crate::failure::{Exit, Failure};

pub(crate) use payments::{broadcast, described, interrupted, not_mined_yet, standing, transaction, unsettled, wait};

/// The enclave was started again between two steps of a command, with something else to protect a PIN.
pub(crate) fn protection_changed() -> Failure {
    Failure::new(
        Exit::NotTrusted,
        "protection_changed",
        "the service was started again while this command ran, and what protects a PIN there was changed; no PIN was given to what runs now",
    )
    .advise(format!("see what protects it now: `{}`. If that is what you want, repeat the command", context::command("status")))
}

/// The host's API.
pub(crate) fn api(error: ApiError) -> Failure {
    match error {
        ApiError::Problem(problem) => self::problem(&problem),
        ApiError::SessionEnded(problem) => Failure::new(Exit::NotLoggedIn, "session_ended", "the session has ended")
            .advise(format!("log in again: `{}`", context::command("login EMAIL")))
            .traced(Some(problem.trace_id)),
        ApiError::NotLoggedIn => Failure::new(Exit::NotLoggedIn, "not_logged_in", "nobody is logged in here")
            .advise(format!("log in: `{}`", context::command("login EMAIL"))),
        ApiError::UserChanged => {
            Failure::new(Exit::NotLoggedIn, "user_changed", "another user logged in here while this command ran")
                .advise(format!(
                    "see who is logged in: `{}`; log in again and repeat the command",
                    context::command("status")
                ))
        }
        ApiError::Transport(source) => unreachable(source),
        ApiError::Misreported(_) => distrust("transaction_refused", chain(&error)),
        ApiError::Profile(_) => Failure::failed("profile", chain(&error))
            .advise("see the files in the profile directory, or use another one with --profile"),
        error => Failure::new(Exit::Service, "service_answer", chain(&error)).advise(
            "the service or something in front of it is at fault, or client and server are of different versions",
        ),
    }
}

/// A token that could not be read.
pub(crate) fn token(contract: Address, problem: TokenProblem) -> Failure {
    match problem {
        TokenProblem::NotAToken => {
            Failure::failed("token_unknown", format!("there is no token contract at {contract} on this network"))
                .advise(format!("check address and network: `{}`", context::command("networks")))
        }
        TokenProblem::Unavailable => {
            let text = format!("no node of the network answers about the token {contract}");
            Failure::new(Exit::Service, "network_unavailable", text).advise("repeat later")
        }
    }
}

/// No answer. Where nothing listens at the development system's own address, that it does not run is all there is to say.
fn unreachable(source: reqwest::Error) -> Failure {
    let service = context::service();
    let name = service.map_or_else(|| "the service".to_owned(), |service| format!("the service at {}", service.server));
    if source.is_connect() && service.is_some_and(|service| service.is_local) {
        return Failure::new(Exit::Service, "unreachable", format!("{name} does not answer"))
            .advise(format!("start it with `{}`", context::system_command("up")));
    }
    let advice = if source.is_connect() {
        "check the address (--server) and that the service runs; nothing was sent"
    } else {
        "check the address (--server) and that the service runs; it is unknown whether the last request arrived"
    };
    Failure::new(Exit::Service, "unreachable", format!("{name} does not answer: {}", chain(&source.without_url())))
        .advise(advice)
}

/// Unauthorised for another reason than a missing session.
const NOT_SESSION: &[&str] = &["login_failed", "app_key_missing", "app_key_invalid"];

fn problem(problem: &ProblemError) -> Failure {
    let exit = match problem.status {
        401 if !NOT_SESSION.contains(&problem.code.as_str()) => Exit::NotLoggedIn,
        429 | 500.. => Exit::Service,
        _ => Exit::Failure,
    };
    let sentence = match &problem.detail {
        Some(detail) if !detail.is_empty() => format!("{} ({detail})", lower_first(&problem.title)),
        _ => lower_first(&problem.title),
    };
    let failure = Failure::new(exit, &problem.code, sentence).traced(Some(problem.trace_id.clone()));
    match (problem.retry_after_seconds, problem.retryable) {
        (Some(seconds), _) => failure.advise(format!("try again in {seconds} s")),
        (None, true) => failure.advise("try again"),
        (None, false) => failure,
    }
}

/// A sealed operation.
pub(crate) fn operation(error: OperationError) -> Failure {
    match error {
        OperationError::WrongPin { tries } => {
            Failure::new(Exit::WrongPin, "wrong_pin", format!("wrong PIN; {}", tries_left(tries)))
                .advise(after_wrong(tries))
        }
        OperationError::Locked { kind, .. } => locked(kind),
        OperationError::Delayed { seconds, tries } => Failure::new(
            Exit::Locked,
            Refusal::Delayed.code(),
            format!("too soon after wrong PINs; {}", tries_left(tries)),
        )
        .advise(format!("wait {seconds} s, then try again; this attempt cost nothing")),
        OperationError::Refused { refusal } => refused(refusal),
        OperationError::ServiceFault { tries } => Failure::new(
            Exit::Service,
            "service_fault",
            format!("the service failed after the try was counted; the PIN was not judged ({})", tries_left(tries)),
        )
        .advise("try again; the try comes back with your next success"),
        OperationError::Outdated => {
            Failure::new(Exit::Failure, "client_outdated", "this program is too old for the service")
                .advise("update it")
        }
        OperationError::Receipt(error) => receipt(error),
        OperationError::StateRolledBack => distrust(
            Refusal::StateRolledBack.code(),
            "the deployment's state was rolled back; the enclave found out and has stopped".to_owned(),
        )
        .advise("do not enter your PIN; ask the operator what was restored, and when"),
        OperationError::Api(error) => api(error),
        OperationError::ReplyLost(error) => {
            let inner = api(error);
            Failure {
                sentence: format!("no reply came, the outcome is unknown ({})", inner.sentence),
                code: "reply_lost".to_owned(),
                ..inner
            }
            .advise(format!("look at `{}`: a try may have been counted", context::command("status")))
        }
        OperationError::Account(error) => account(error),
        error @ (OperationError::Begin(_)
        | OperationError::WalletChanged
        | OperationError::Envelope(_)
        | OperationError::Result(_)
        | OperationError::Unexpected) => distrust("answer_refused", chain(&error)),
        OperationError::Profile(error) => Failure::failed("profile", chain(&error)),
        error => Failure::failed("operation", chain(&error)),
    }
}

/// How many tries are left, in words.
pub(crate) fn tries_left(tries: Tries) -> String {
    match tries.left {
        0 => "no try is left".to_owned(),
        1 => "1 try is left".to_owned(),
        left => format!("{left} tries are left"),
    }
}

fn after_wrong(tries: Tries) -> String {
    match (tries.left, tries.delay_seconds) {
        (0, _) => see_status(),
        (_, 0) => "try again".to_owned(),
        (_, seconds) => format!("the next try is possible in {seconds} s"),
    }
}

/// The enclave's verdict where nothing more is known about the wallet.
fn locked(kind: LockKind) -> Failure {
    let (code, advice) = match kind {
        LockKind::Device => (Refusal::Locked.code(), see_status()),
        LockKind::Wallet => (Refusal::WalletLocked.code(), see_status()),
        LockKind::PinSpent => (Refusal::PinSpent.code(), NEW_PIN.to_owned()),
    };
    Failure::new(Exit::Locked, code, kind.to_string()).advise(advice)
}

/// Where the wallet's state could not be asked for.
fn see_status() -> String {
    format!("`{}` says what gives tries back", context::command("status"))
}

/// Where no device and no login can give tries back.
const NO_WAY_BACK: &str = "no device can give tries back any more, and other ways to recover a wallet do not exist yet";

/// Where only a new PIN opens the path again.
const NEW_PIN: &str =
    "on an enrolled device that has tries left run `pinseal pin change`; a new PIN has tries of its own";

/// Told with everything that takes a PIN, once its life nears its end.
pub(crate) fn life_warning(wallet: &WalletStatus) -> Option<String> {
    let left = wallet.tries.life_left;
    let end =
        if wallet.status.enrolled { "the wallet is closed for good" } else { "no further device can be enrolled" };
    (left <= LIFE_WARNING).then(|| {
        format!(
            "warning: this PIN can be answered as wrong {left} more times in its life; after that {end}. Set a new one with `pinseal pin \
             change` on an enrolled device."
        )
    })
}

/// What to do once the one try is used up that accepting a restore gave this device.
const ACCEPT_ELSEWHERE: &str = "on another enrolled device run `pinseal accept-restore` and give the PIN there, which opens the wallet for all of them; or ask the operators to \
     order the same restore once more (`pinseal restore`), which gives every device that accepts it one more try";

/// True if a wallet that is closed by a restore has no try for this device, where its own count leaves it some: it accepted, and mistyped.
pub(crate) fn is_restore_tried(wallet: &WalletStatus, own: &DeviceId) -> bool {
    let (status, tries) = (&wallet.status, wallet.tries);
    let counted = status.devices.iter().find(|device| device.device == *own).map(|device| device.outstanding);
    tries.left == 0
        && tries.life_left > 0
        && counted.is_some_and(|outstanding| has_tries(outstanding, status.outstanding))
}

/// True if an enrolled device with so many tries outstanding has some left, of a wallet with so many. The last one of a wallet is kept for a device
/// that has used none.
const fn has_tries(outstanding: u8, of_wallet: u8) -> bool {
    outstanding == 0 && of_wallet < OUTSTANDING_MAX
        || outstanding < DEVICE_OUTSTANDING_MAX && of_wallet + 1 < OUTSTANDING_MAX
}

/// The one try after a restore is used up on this device.
pub(crate) fn restore_tried() -> Failure {
    refused(Refusal::RestoreTried)
}

/// No try is left for this device: what really gives some back, as far as its wallet's state tells.
pub(crate) fn no_try_left(wallet: &WalletStatus) -> Failure {
    let (status, tries) = (&wallet.status, wallet.tries);
    if tries.life_left == 0 {
        let spent = locked(LockKind::PinSpent);
        return if status.enrolled { spent.advise(NO_WAY_BACK) } else { spent };
    }
    let is_wallet_closed = status.outstanding >= OUTSTANDING_MAX;
    let can_clear = |outstanding: u8| has_tries(outstanding, status.outstanding);
    // An unenrolled device is not told of the others; then one of them is all there is to hope for.
    let by_other_device = !status.enrolled || status.devices.iter().any(|device| can_clear(device.outstanding));
    let by_enrolling = status.enrolled
        && status.devices.len() < DEVICES_MAX
        && status.unenrolled_outstanding < UNENROLLED_OUTSTANDING_MAX
        && status.outstanding + 1 < OUTSTANDING_MAX;
    let (kind, code) = if is_wallet_closed {
        (LockKind::Wallet, Refusal::WalletLocked.code())
    } else {
        (LockKind::Device, Refusal::Locked.code())
    };
    let sentence = match kind {
        LockKind::Wallet => "no try is left for this wallet",
        _ if status.enrolled => "no try is left on this device",
        _ => "no try is left for devices that are not enrolled",
    };
    Failure::new(Exit::Locked, code, sentence).advise(ways_back(
        by_other_device,
        by_enrolling,
        // The delay of devices that are not enrolled is none of those that are.
        if status.enrolled { tries.delay_seconds } else { 0 },
    ))
}

/// The ways to get tries back that are open. Enrolled devices wait together, so the clearing one waits as long as this one would.
fn ways_back(by_other_device: bool, by_enrolling: bool, wait_seconds: u32) -> String {
    let first = if wait_seconds > 0 { format!("wait {wait_seconds} s, then ") } else { String::new() };
    let clear = "on another enrolled device run `pinseal devices clear`";
    let enrol = "log in on another device or with another --profile, run `pinseal devices enrol` there with the right PIN, and \
                 then `pinseal devices clear`";
    match (by_other_device, by_enrolling) {
        (true, true) => format!("{first}{clear}; or {enrol}"),
        (true, false) => format!("{first}{clear}"),
        (false, true) => format!("{first}{enrol}"),
        (false, false) => NO_WAY_BACK.to_owned(),
    }
}

fn refused(refusal: Refusal) -> Failure {
    let exit = match refusal {
        Refusal::TokenInvalid | Refusal::TokenExpired => Exit::NotLoggedIn,
        Refusal::RecordStale
        | Refusal::RecordDamaged
        | Refusal::Busy
        | Refusal::Overloaded
        | Refusal::NotDurable
        | Refusal::ConsistencyMissing => Exit::Service,
        Refusal::StateRolledBack | Refusal::StaleManifest | Refusal::StateRestored | Refusal::RestoreNotAccepted => {
            Exit::NotTrusted
        }
        Refusal::Locked
        | Refusal::WalletLocked
        | Refusal::PinSpent
        | Refusal::Delayed
        | Refusal::EnrolmentPaused
        | Refusal::RestoreTried => Exit::Locked,
        _ => Exit::Failure,
    };
    let failure = Failure::new(exit, refusal.code(), lower_first(refusal.meaning().trim()));
    match refusal {
        Refusal::DeviceNotEnrolled => failure.advise(format!("run `{}`", context::command("devices enrol"))),
        Refusal::WalletMissing => failure.advise(format!("run `{}`", context::command("wallet create"))),
        Refusal::StateRestored | Refusal::RestoreNotAccepted => {
            failure.advise(format!("if the operators announced it, run `{}`", context::command("accept-restore")))
        }
        Refusal::RestoreTried => failure.advise(ACCEPT_ELSEWHERE),
        Refusal::EnrolmentPaused => failure
            .advise("no try was used; use a device that is enrolled, or try again when the operators have resumed it"),
        Refusal::WalletExists => failure.advise(format!("see `{}`", context::command("status"))),
        _ if refusal.is_retryable() => failure.advise("try again; no try was used"),
        _ => failure,
    }
}

/// Evidence.
pub(crate) fn evidence(error: EvidenceError) -> Failure {
    match error {
        EvidenceError::Api(error) => api(error),
        EvidenceError::Receipt(error) => receipt(error),
        EvidenceError::Profile(error) => Failure::failed("profile", chain(&error)),
        error @ (EvidenceError::DeploymentChanged { .. }
        | EvidenceError::LogKeyChanged
        | EvidenceError::FloorLowered { .. }) => distrust("deployment_changed", chain(&error)).advise(
            "if the operator really started anew, use a new profile (--profile); otherwise do not enter your PIN",
        ),
        error @ EvidenceError::Version(_) => {
            Failure::failed("client_outdated", chain(&error)).advise("update this program")
        }
        error @ EvidenceError::Evidence(VerifyError::NitroEvidenceRefused) => {
            distrust("evidence_refused", chain(&error)).advise("give --pcr0, --pcr1 and --pcr2 from the release notes")
        }
        error => distrust("evidence_refused", chain(&error)),
    }
}

/// A document in a file. Its failed check is the code.
pub(crate) fn document(error: VerifyError, checked_now: bool) -> Failure {
    let is_of_its_time = matches!(
        error,
        VerifyError::Stale | VerifyError::Nitro(NitroError::Certificate { reason: CertificateError::Expired, .. })
    );
    let failure = Failure::new(Exit::NotTrusted, error.code(), chain(&error));
    match error {
        _ if is_of_its_time && checked_now => {
            failure.advise("to see whether it was good when it was made, give that moment with --at SECONDS")
        }
        VerifyError::SoftwareEvidenceRefused => {
            failure.advise("only AWS Nitro documents are checked in files; software evidence proves nothing")
        }
        _ => failure.advise("do not trust what the document is about"),
    }
}

/// A history that is not to be shown as one.
pub(crate) fn history(error: HistoryError) -> Failure {
    match error {
        HistoryError::Operation(error) => operation(error),
        HistoryError::Api(error) => api(error),
        error => distrust(error.code(), chain(&error)).advise(
            "the service hides or changes what happened to your key: do not rely on what it shows, keep this profile, and tell the operator",
        ),
    }
}

/// An address.
pub(crate) fn account(error: AccountError) -> Failure {
    match error {
        AccountError::Api(error) => api(error),
        AccountError::Unknown | AccountError::NoWallet => {
            Failure::failed("account_unknown", chain(&error)).advise(format!("run `{}`", context::command("accounts")))
        }
        AccountError::Profile(error) => Failure::failed("profile", chain(&error)),
        error => distrust("address_refused", chain(&error)),
    }
}

/// What this device found out by itself. It tells nobody: the person has to.
fn receipt(error: ReceiptError) -> Failure {
    if matches!(error, ReceiptError::Restored { .. }) {
        return Failure::new(Exit::NotTrusted, Refusal::StateRestored.code(), chain(&error)).advise(format!(
            "if the operators announced it, run `{}`; if you doubt it, ask them first",
            context::command("accept-restore")
        ));
    }
    distrust(Refusal::StateRolledBack.code(), chain(&error)).advise(
        "do not enter your PIN: wrong PINs that were counted since may be forgotten. Only this device knows of it, and the service goes on \
         for others: tell the operator, with the numbers above, and keep this profile, whose receipt is the proof",
    )
}

fn distrust(code: &str, sentence: String) -> Failure {
    Failure::new(Exit::NotTrusted, code, sentence).advise("do not enter your PIN here; tell the operator")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let second_is_lower = text.chars().nth(1).is_none_or(|c| !c.is_uppercase());
    match chars.next() {
        Some(first) if second_is_lower => {
            first.to_lowercase().chain(chars).collect::<String>().trim_end_matches('.').to_owned()
        }
        _ => text.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_pin_and_a_service_fault_are_told_apart() {
        let tries = Tries { left: 4, life_left: 99, delay_seconds: 0 };
        let wrong = operation(OperationError::WrongPin { tries });
        assert_eq!((wrong.exit, wrong.code.as_str()), (Exit::WrongPin, "wrong_pin"));
        assert!(wrong.sentence.contains("4 tries are left"));
        let fault = operation(OperationError::ServiceFault { tries });
        assert_eq!(fault.exit, Exit::Service);
        assert!(!fault.sentence.contains("wrong"));
    }

    #[test]
    fn who_is_turned_away_by_a_pause_hears_what_happened_and_who_ends_it() {
        let paused = operation(OperationError::Refused { refusal: Refusal::EnrolmentPaused });
        assert_eq!((paused.exit, paused.code.as_str()), (Exit::Locked, "enrolment_paused"));
        for words in ["paused for everybody", "too many wrong PINs", "operators have to resume"] {
            assert!(paused.sentence.contains(words), "{words:?} is not in {paused:?}");
        }
        assert!(paused.advice.unwrap_or_default().contains("no try was used"));
    }

    #[test]
    fn who_alone_knows_of_a_rollback_is_told_to_tell_the_operator() {
        let alone = evidence(EvidenceError::Receipt(ReceiptError::RolledBack { held: 9, shown: 7 }));
        assert_eq!((alone.exit, alone.code.as_str()), (Exit::NotTrusted, "state_rolled_back"));
        assert!(alone.sentence.contains("7 log entries") && alone.sentence.contains('9'), "{alone:?}");
        let advice = alone.advice.unwrap_or_default();
        for words in ["do not enter your PIN", "tell the operator", "goes on for others", "keep this profile"] {
            assert!(advice.contains(words), "{words:?} is not in {advice:?}");
        }
        let found = operation(OperationError::StateRolledBack);
        assert_eq!((found.exit, found.code.as_str()), (Exit::NotTrusted, "state_rolled_back"));
        assert!(found.sentence.contains("has stopped"), "{found:?}");
    }

    #[test]
    fn who_has_no_try_left_is_told_what_really_gives_some_back() {
        use pinseal_protocol::ids::{DeviceId, UnixSeconds};
        use pinseal_protocol::reply::{DeviceInfo, Status};
        use pinseal_protocol::request::WalletState;
        let device = |number, outstanding| DeviceInfo {
            device: DeviceId([number; 32]),
            label: String::new(),
            enrolled: UnixSeconds(0),
            outstanding,
        };
        let advice = |devices: Vec<DeviceInfo>, unenrolled: u8| {
            let outstanding = devices.iter().map(|device| device.outstanding).sum::<u8>() + unenrolled;
            let status = Status {
                state: WalletState::Active,
                enrolled: true,
                change_pending: false,
                devices,
                unenrolled_outstanding: unenrolled,
                outstanding,
            };
            let tries = Tries { left: 0, life_left: 95, delay_seconds: 30 };
            no_try_left(&WalletStatus { status, tries }).advice.unwrap_or_default()
        };
        let alone = advice(vec![device(1, 5)], 0);
        assert!(alone.starts_with("wait 30 s, then "), "{alone}");
        assert!(alone.contains("devices enrol") && !alone.contains("another enrolled device"), "{alone}");
        let two = advice(vec![device(1, 5), device(2, 0)], 0);
        assert!(two.contains("another enrolled device") && two.contains("devices enrol"), "{two}");
        assert_eq!(advice(vec![device(1, 5)], 5), NO_WAY_BACK);
        let unused = advice(vec![device(1, 5), device(2, 0)], 4);
        assert!(unused.contains("another enrolled device") && !unused.contains("devices enrol"), "{unused}");
    }

    #[test]
    fn who_mistyped_the_one_try_of_a_restore_is_told_what_gives_another() {
        use pinseal_protocol::ids::UnixSeconds;
        use pinseal_protocol::reply::{DeviceInfo, Status};
        use pinseal_protocol::request::WalletState;
        let own = DeviceId([1; 32]);
        let wallet = |left, outstanding, of_wallet| {
            let device = DeviceInfo { device: own, label: String::new(), enrolled: UnixSeconds(0), outstanding };
            let status = Status {
                state: WalletState::Active,
                enrolled: true,
                change_pending: false,
                devices: vec![device],
                unenrolled_outstanding: 5,
                outstanding: of_wallet,
            };
            WalletStatus { status, tries: Tries { left, life_left: 95, delay_seconds: 0 } }
        };
        assert!(is_restore_tried(&wallet(0, 1, 6), &own));
        // A try is left; the device's own are used up; so are the wallet's; and another device.
        for (wallet, device) in [(wallet(1, 0, 5), own), (wallet(0, 5, 5), own), (wallet(0, 1, 9), own)] {
            assert!(!is_restore_tried(&wallet, &device), "{wallet:?}");
        }
        assert!(!is_restore_tried(&wallet(0, 1, 6), &DeviceId([2; 32])));
        let failure = restore_tried();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Locked, "restore_tried"));
        let advice = failure.advice.unwrap_or_default();
        for words in ["another enrolled device", "accept-restore", "operators"] {
            assert!(advice.contains(words) && !advice.contains("devices clear"), "{words:?} is not in {advice:?}");
        }
    }

    #[test]
    fn who_may_not_try_a_spent_pin_is_promised_no_recovery_that_does_not_exist() {
        use pinseal_protocol::reply::Status;
        use pinseal_protocol::request::WalletState;
        let advice = |enrolled| {
            let status = Status {
                state: WalletState::Active,
                enrolled,
                change_pending: false,
                devices: Vec::new(),
                unenrolled_outstanding: 0,
                outstanding: 0,
            };
            let failure =
                no_try_left(&WalletStatus { status, tries: Tries { left: 0, life_left: 0, delay_seconds: 0 } });
            assert_eq!(failure.code, Refusal::PinSpent.code());
            failure.advice.unwrap_or_default()
        };
        assert!(advice(true).contains("do not exist yet"), "{}", advice(true));
        assert!(advice(false).contains("pin change") && !advice(false).contains("recover"), "{}", advice(false));
    }

    #[test]
    fn a_pin_near_the_end_of_its_life_is_warned_of() {
        use pinseal_protocol::reply::Status;
        use pinseal_protocol::request::WalletState;
        let warning = |life_left, enrolled| {
            let status = Status {
                state: WalletState::Active,
                enrolled,
                change_pending: false,
                devices: Vec::new(),
                unenrolled_outstanding: 0,
                outstanding: 0,
            };
            life_warning(&WalletStatus { status, tries: Tries { left: 5, life_left, delay_seconds: 0 } })
        };
        assert_eq!(warning(31, true), None);
        for (enrolled, end) in [(true, "closed for good"), (false, "enrolled")] {
            let text = warning(30, enrolled).unwrap_or_default();
            for words in ["30 more times", "pin change", end] {
                assert!(text.contains(words), "{words:?} is not in {text:?}");
            }
        }
    }

    #[test]
    fn every_refusal_has_its_own_code_and_a_sentence() {
        for refusal in Refusal::ALL {
            let failure = refused(*refusal);
            assert_eq!(failure.code, refusal.code());
            assert!(failure.sentence.len() > 10, "{refusal}");
        }
    }
}
