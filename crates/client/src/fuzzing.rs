//! The readers of a host's answers and of profile files, opened to the fuzz targets.

use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::request::SignedStatement;
use serde::de::DeserializeOwned;

use crate::account::{self, Account, AccountError};
use crate::api::{
    AccountEntry, AppInfo, AppRegisterResponse, Balances, BeginResponse, EvidenceResponse, Items, LogItem, Me, Page,
    PrepareResponse, ProblemError, SealedResponse, ServerStatus, SessionInfo, SessionResponse, Transaction, text,
};
use crate::client::Client;
use crate::profile::{self, PinnedDeployment, Profile, ProfileError};
use crate::transaction::{PreparedTransaction, TransactionError, TransactionRequest};

/// Which of the API's answers `body` reads as, by place in the list.
pub fn answers(body: &[u8]) -> Vec<bool> {
    fn reads<T: DeserializeOwned>(body: &[u8]) -> bool {
        text::read::<T>(body).is_ok()
    }
    vec![
        reads::<AppInfo>(body),
        reads::<EvidenceResponse>(body),
        reads::<SessionResponse>(body),
        reads::<Items<SessionInfo>>(body),
        reads::<Me>(body),
        reads::<AppRegisterResponse>(body),
        reads::<BeginResponse>(body),
        reads::<SealedResponse>(body),
        reads::<Items<AccountEntry>>(body),
        reads::<Balances>(body),
        reads::<PrepareResponse>(body),
        reads::<Transaction>(body),
        reads::<Page<Transaction>>(body),
        reads::<ServerStatus>(body),
        reads::<Page<LogItem>>(body),
    ]
}

/// A problem document.
pub fn problem(status: u16, body: &[u8]) -> Option<ProblemError> {
    ProblemError::read(status, body)
}

/// What becomes of an answer to `prepare`; `None` if it is none.
pub fn prepared(
    request: &TransactionRequest,
    from: Account,
    answer: &[u8],
) -> Option<Result<PreparedTransaction, TransactionError>> {
    Client::build_from(request, from, answer)
}

/// The account of a statement.
///
/// # Errors
/// [`AccountError`].
pub fn statement(
    statement: &SignedStatement,
    pinned: &PinnedDeployment,
    wallet: &UserIdHash,
) -> Result<Account, AccountError> {
    account::verify(statement, pinned, wallet)
}

/// `trust.json`, read and written again; `None` if it is refused.
///
/// # Errors
/// [`ProfileError`] if the machine has no randomness.
pub fn trust(bytes: &[u8]) -> Result<Option<Vec<u8>>, ProfileError> {
    Ok(profile::rewrite_trust(bytes, Profile::new()?))
}

/// `session.json`, read and written again; `None` if it is refused.
pub fn session(bytes: &[u8]) -> Option<Vec<u8>> {
    profile::rewrite_session(bytes)
}
