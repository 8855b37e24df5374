//! Every error the API can answer, as data: the problems, the documentation and its test are made from it.

use core::fmt::Write as _;

use pinseal_protocol::refusal::Refusal;

/// One error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Stable code.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// True if the same request may succeed later without anybody changing anything.
    pub retryable: bool,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// What the caller does next.
    pub action: &'static str,
}

macro_rules! errors {
    ($($name:ident = $status:literal $code:literal $retry:ident, $meaning:literal, $action:literal;)+) => {
        $(
            #[doc = $meaning]
            pub(crate) const $name: ErrorEntry = ErrorEntry {
                code: $code, status: $status, retryable: errors!(@$retry), meaning: $meaning, action: $action,
            };
        )+

        /// Every error the HTTP layer itself answers. Refusals of the enclave are [`refusal_entry`].
        pub const HTTP_ERRORS: &[ErrorEntry] = &[$($name,)+];
    };
    (@retry) => { true };
    (@final) => { false };
}

errors! {
    INVALID_JSON = 400 "invalid_json" final, "The body is not the JSON this endpoint takes.", "Mend the request; `detail` names the place.";
    INVALID_PARAMETER = 400 "invalid_parameter" final, "A path, query, header or body value has the wrong form.", "Mend the request; `detail` names the value.";
    EMAIL_INVALID = 400 "email_invalid" final, "The e-mail address has no usable form.", "Ask the user for another one.";
    PASSWORD_REJECTED = 400 "password_rejected" final, "A password has 8 to 128 characters, a letter and a digit.", "Ask the user for another one.";
    PASSWORD_COMMON = 400 "password_common" final, "The password is among the first that are guessed, or little more than the e-mail address.", "Ask the user for another one.";
    CODE_INVALID = 400 "code_invalid" final, "The code is wrong, expired, used up or was never sent.", "Ask again; after three wrong answers have a new code sent.";
    IDEMPOTENCY_KEY_INVALID = 400 "idempotency_key_invalid" final, "Idempotency-Key takes 1 to 128 visible ASCII characters.", "Send another key.";
    STATEMENT_INVALID = 400 "statement_invalid" final, "The address statement is not signed by this deployment for this wallet.", "Fetch the accounts from the enclave again.";
    APP_KEY_MISSING = 401 "app_key_missing" final, "X-Pinseal-App-Id or X-Pinseal-App-Key is missing.", "Send both with every request.";
    APP_KEY_INVALID = 401 "app_key_invalid" final, "The app key is unknown, revoked or another app's.", "Use a live key of this app.";
    LOGIN_FAILED = 401 "login_failed" final, "E-mail address and password do not go together, or the address is not verified.", "Ask again, verify the address, or reset the password.";
    TOKEN_MISSING = 401 "token_missing" final, "There is no `Authorization: DPoP` access token.", "Log in.";
    TOKEN_INVALID = 401 "token_invalid" final, "The access token does not verify, or belongs to another app.", "Log in again.";
    TOKEN_EXPIRED = 401 "token_expired" final, "The access token has expired.", "Refresh the session and repeat.";
    SESSION_REVOKED = 401 "session_revoked" final, "The session was logged out or has ended.", "Log in again.";
    USE_DPOP_NONCE = 401 "use_dpop_nonce" retry, "The proof carries no or an old server nonce.", "Repeat with the nonce of the `DPoP-Nonce` header.";
    DPOP_INVALID = 401 "dpop_invalid" final, "The DPoP proof is missing or is not for this request, token or device key.", "Make a fresh proof (RFC 9449).";
    DPOP_REPLAYED = 401 "dpop_replayed" final, "The DPoP proof was used before.", "Make a fresh proof for every request.";
    REFRESH_INVALID = 401 "refresh_invalid" final, "The refresh token is unknown, expired, revoked, or another device's or app's.", "Log in again.";
    REFRESH_REUSED = 401 "refresh_reused" final, "The refresh token was used before; the session is revoked because somebody may hold a copy.", "Log in again.";
    ORIGIN_REFUSED = 403 "origin_refused" final, "The app key is not for the origin this request comes from.", "Use the key of this origin, or register the origin.";
    BUNDLE_REFUSED = 403 "bundle_refused" final, "The app key is for another package or bundle id.", "Send X-Pinseal-Bundle as registered.";
    APP_NOT_REGISTERED = 403 "app_not_registered" final, "The user has a wallet but has not let this app use it.", "Ask the user, then POST /v1/app/register.";
    ACCOUNT_UNKNOWN = 403 "account_unknown" final, "The address is not one of the caller's accounts, as far as the server knows.", "Fetch the address statement from the enclave and POST it to /v1/accounts first.";
    NOT_FOUND = 404 "not_found" final, "There is nothing here.", "Check path and id.";
    APP_UNKNOWN = 404 "app_unknown" final, "There is no such app with pages.", "Check the App ID, and register the origin: `pinseal app`.";
    NETWORK_UNKNOWN = 404 "network_unknown" final, "The deployment does not serve this network.", "Take one of GET /v1/networks.";
    TRANSACTION_UNKNOWN = 404 "transaction_unknown" final, "The system has not sent such a transaction for one of the caller's accounts.", "Check network and hash.";
    RESERVATION_UNKNOWN = 404 "reservation_unknown" final, "The nonce reservation does not exist any more.", "Prepare the transaction again.";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed" final, "The path does not know this method.", "See docs/openapi.json.";
    REQUEST_TIMEOUT = 408 "request_timeout" retry, "The request's body did not arrive in time.", "Repeat.";
    IDEMPOTENCY_KEY_REUSED = 409 "idempotency_key_reused" final, "The idempotency key was used with another body.", "Use a fresh key for a new request.";
    IDEMPOTENCY_IN_PROGRESS = 409 "idempotency_in_progress" retry, "The same request is being worked on.", "Repeat after the given seconds.";
    WALLET_NOT_CREATED = 409 "wallet_not_created" final, "The user has no wallet yet.", "Register one first.";
    WALLET_CONFLICT = 409 "wallet_conflict" final, "The enclave names another wallet than the one this user has.", "Tell the operator: a database of another deployment may have been put in place.";
    TRANSACTIONS_WAITING = 409 "transactions_waiting" final, "Too many transactions of this user wait for finality: 256, or 8 MiB, over all networks and accounts.", "Wait until some are final; the nonce is not used.";
    PAYLOAD_TOO_LARGE = 413 "payload_too_large" final, "The body is longer than the limit.", "Send less.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported_media_type" final, "The body is not `application/json`.", "Set Content-Type.";
    TRANSACTION_REJECTED = 422 "transaction_rejected" final, "The network's node refuses the transaction.", "`detail` says why; prepare it again.";
    FUNDS_INSUFFICIENT = 422 "funds_insufficient" final, "The account does not hold value and fees.", "Fund the account or send less.";
    RPC_REFUSED = 422 "rpc_refused" final, "The network's node refuses the call.", "`detail` says why, in the node's words; `data` is what a contract returned on reverting.";
    RATE_LIMITED = 429 "rate_limited" retry, "Too many requests.", "Wait for the given seconds.";
    INTERNAL = 500 "internal" retry, "The service failed; nothing is known to be wrong with the request.", "Repeat later; tell the operator the trace id.";
    NETWORK_UNAVAILABLE = 502 "network_unavailable" retry, "No node of the network answers.", "Repeat later.";
    OVERLOADED = 503 "overloaded" retry, "Too much work is waiting.", "Wait for the given seconds.";
    OUTCOME_UNKNOWN = 503 "outcome_unknown" retry, "The sealed request was interrupted; it may have been carried out and a try may have been counted.", "Repeat the identical request; if that is refused, look at the wallet's status before anything else.";
    ENCLAVE_UNAVAILABLE = 503 "enclave_unavailable" retry, "The enclave is not serving.", "Repeat later; no try was charged that is not counted already.";
    STORAGE_TOKEN_REFUSED = 403 "storage_token_refused" final, "The storage token or the sealed request is not for this session, wallet and operation, or the token has expired or was used.", "Begin again.";
    TIMEOUT = 504 "timeout" retry, "The request took too long; it may still take effect.", "Repeat the identical request; sealed requests and idempotency keys make that safe.";
}

/// A refusal of the enclave as a problem. Its code is the wire code.
pub const fn refusal_entry(refusal: Refusal) -> ErrorEntry {
    let status = match refusal {
        Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::DeviceInvalid => 401,
        Refusal::DeviceNotEnrolled | Refusal::PolicyDenied | Refusal::PinSpent => 403,
        Refusal::DeviceUnknown | Refusal::WalletMissing => 404,
        Refusal::StaleManifest
        | Refusal::ChallengeInvalid
        | Refusal::DevicesFull
        | Refusal::DeviceEnrolled
        | Refusal::WalletExists
        | Refusal::NothingPending
        | Refusal::AlreadyAnswered
        | Refusal::LastDevice
        | Refusal::StateRolledBack
        | Refusal::Busy => 409,
        Refusal::Locked | Refusal::WalletLocked | Refusal::EnrolmentPaused => 423,
        Refusal::Delayed => 429,
        Refusal::RecordStale
        | Refusal::RecordDamaged
        | Refusal::ConsistencyMissing
        | Refusal::NotDurable
        | Refusal::RecordExhausted
        | Refusal::Overloaded => 503,
        // Malformed bytes and intents; and refusals this version has no better status for.
        _ => 400,
    };
    ErrorEntry {
        code: refusal.code(),
        status,
        retryable: refusal.is_retryable(),
        meaning: refusal.meaning().trim_ascii(),
        action: "",
    }
}

/// The rows as a Markdown table, for docs/errors.md; without the last column where no row has anything to say in it.
pub fn markdown(entries: impl IntoIterator<Item = ErrorEntry>) -> String {
    let entries: Vec<ErrorEntry> = entries.into_iter().collect();
    let actions = entries.iter().any(|entry| !entry.action.is_empty());
    let mut out = String::from("| code | status | retryable | meaning |");
    out.push_str(if actions { " what to do |\n|---|---|---|---|---|\n" } else { "\n|---|---|---|---|\n" });
    for ErrorEntry { code, status, retryable, meaning, action } in entries {
        let retryable = if retryable { "yes" } else { "no" };
        // Writing to a String cannot fail.
        let _ = write!(out, "| `{code}` | {status} | {retryable} | {meaning} |");
        if actions {
            let _ = write!(out, " {action} |");
        }
        out.push('\n');
    }
    out
}
