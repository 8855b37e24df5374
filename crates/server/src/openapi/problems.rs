//! Which problems each operation answers: what the layers around it say, what its extractors say, and its own.

use pinseal_protocol::refusal::Refusal;

use crate::problem::table::{self as t, ErrorEntry, refusal_entry};

/// Of everything below `/v1`: app key and origin, limits, faults.
const EVERYWHERE: &[ErrorEntry] = &[
    t::INVALID_PARAMETER,
    t::APP_KEY_MISSING,
    t::APP_KEY_INVALID,
    t::ORIGIN_REFUSED,
    t::BUNDLE_REFUSED,
    t::RATE_LIMITED,
    t::INTERNAL,
    t::OVERLOADED,
    t::TIMEOUT,
];
/// Of what takes a body.
const BODY: &[ErrorEntry] = &[t::INVALID_JSON, t::REQUEST_TIMEOUT, t::PAYLOAD_TOO_LARGE, t::UNSUPPORTED_MEDIA_TYPE];
/// Of what takes an access token.
const TOKEN: &[ErrorEntry] = &[t::TOKEN_MISSING, t::TOKEN_INVALID, t::TOKEN_EXPIRED, t::SESSION_REVOKED];
/// Of what takes a proof.
const PROOF: &[ErrorEntry] = &[t::DPOP_INVALID, t::DPOP_REPLAYED, t::USE_DPOP_NONCE];
/// Of what honours `Idempotency-Key`.
const IDEMPOTENCY: &[ErrorEntry] = &[t::IDEMPOTENCY_KEY_INVALID, t::IDEMPOTENCY_KEY_REUSED, t::IDEMPOTENCY_IN_PROGRESS];
/// Of what asks a network's node.
const NODE: &[ErrorEntry] = &[t::NETWORK_UNKNOWN, t::NETWORK_UNAVAILABLE, t::TRANSACTION_REJECTED];

/// What an operation has besides its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takes {
    pub(super) body: bool,
    pub(super) token: bool,
    pub(super) proof: bool,
    pub(super) idempotency_key: bool,
}

/// Every problem of an operation, by status and in the order of the table within one.
pub(super) fn of(path: &str, method: &str, takes: Takes) -> Vec<ErrorEntry> {
    let mut all = EVERYWHERE.to_vec();
    for (taken, problems) in
        [(takes.body, BODY), (takes.token, TOKEN), (takes.proof, PROOF), (takes.idempotency_key, IDEMPOTENCY)]
    {
        all.extend(problems.iter().filter(|_| taken));
    }
    all.extend(own(path, method));
    all.sort_by_key(|entry| entry.status);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|entry| seen.insert(entry.code));
    all
}

/// What only this operation answers.
fn own(path: &str, method: &str) -> Vec<ErrorEntry> {
    let refusals = || Refusal::ALL.iter().map(|refusal| refusal_entry(*refusal));
    match (method, path) {
        ("post", "/v1/login/email/sign-up") => vec![t::EMAIL_INVALID, t::PASSWORD_REJECTED, t::PASSWORD_COMMON],
        ("post", "/v1/login/email/resend" | "/v1/login/email/reset-request") => vec![t::EMAIL_INVALID],
        ("post", "/v1/login/email/verify") => vec![t::EMAIL_INVALID, t::CODE_INVALID],
        ("post", "/v1/login/email/reset") => {
            vec![t::EMAIL_INVALID, t::CODE_INVALID, t::PASSWORD_REJECTED, t::PASSWORD_COMMON]
        }
        ("post", "/v1/login/email") => vec![t::LOGIN_FAILED],
        ("post", "/v1/session/refresh") => vec![t::REFRESH_INVALID, t::REFRESH_REUSED, t::SESSION_REVOKED],
        ("delete", "/v1/sessions/{id}") => vec![t::NOT_FOUND],
        ("post", "/v1/app/register") => vec![t::WALLET_NOT_CREATED],
        ("get", "/v1/evidence" | "/v1/status") => {
            vec![t::ENCLAVE_UNAVAILABLE, refusal_entry(Refusal::Overloaded)]
        }
        ("get", "/v1/accounts") => vec![t::APP_NOT_REGISTERED],
        ("post", "/v1/accounts") => {
            vec![
                t::APP_NOT_REGISTERED,
                t::STATEMENT_INVALID,
                t::ENCLAVE_UNAVAILABLE,
                refusal_entry(Refusal::Overloaded),
            ]
        }
        ("post", "/v1/wallet/begin") => {
            [t::APP_NOT_REGISTERED, t::WALLET_CONFLICT, t::ENCLAVE_UNAVAILABLE].into_iter().chain(refusals()).collect()
        }
        ("post", "/v1/wallet/sealed") => [t::STORAGE_TOKEN_REFUSED, t::OUTCOME_UNKNOWN, t::ENCLAVE_UNAVAILABLE]
            .into_iter()
            .chain(refusals())
            .collect(),
        ("get", "/v1/wallet/history") => vec![t::APP_NOT_REGISTERED, t::WALLET_NOT_CREATED, t::ENCLAVE_UNAVAILABLE],
        ("get", "/v1/log/events") => vec![t::ENCLAVE_UNAVAILABLE],
        ("get", "/v1/networks/{caip2}/fees" | "/v1/balances") => NODE.to_vec(),
        ("post", "/v1/tx/prepare") => {
            [NODE, &[t::APP_NOT_REGISTERED, t::ACCOUNT_UNKNOWN, t::FUNDS_INSUFFICIENT, t::TRANSACTION_UNKNOWN]].concat()
        }
        ("post", "/v1/tx/broadcast") => {
            let own = [t::APP_NOT_REGISTERED, t::ACCOUNT_UNKNOWN, t::FUNDS_INSUFFICIENT, t::RESERVATION_UNKNOWN];
            [NODE, &own, &[t::TRANSACTIONS_WAITING]].concat()
        }
        ("get", "/v1/tx/{network}/{hash}") => [NODE, &[t::APP_NOT_REGISTERED, t::TRANSACTION_UNKNOWN]].concat(),
        ("get", "/v1/tx") => vec![t::APP_NOT_REGISTERED, t::ACCOUNT_UNKNOWN, t::NETWORK_UNKNOWN],
        ("post", "/v1/networks/{caip2}/rpc") => {
            vec![t::NETWORK_UNKNOWN, t::NETWORK_UNAVAILABLE, t::RPC_REFUSED]
        }
        ("post", "/v1/tx/release") => vec![t::APP_NOT_REGISTERED, t::RESERVATION_UNKNOWN],
        _ => Vec::new(),
    }
}
