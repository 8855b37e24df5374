//! What the log says: the writes to the caller's wallet, and the deployment's own events, each proved.

use axum::Json;
use axum::extract::State;
use pinseal_protocol::limits::HISTORY_WRITES_MAX;
use pinseal_store::records::{Listed, LogPage, LogQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::input::{QueryOf, invalid};
use crate::login::LoginStatus;
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Which entries, and in which tree they are to be proved.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogPageQuery {
    /// Size of a checkpoint the caller holds, such as the one that came with the enclave's last reply: proofs lead to its root.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    size: u64,
    /// 1 to 32; 32 if absent.
    #[param(minimum = 1, maximum = 32)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    cursor: Option<String>,
}

/// One entry of the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogItem {
    /// Place in the log, counted from 0.
    index: u64,
    /// Canonical CBOR of the entry, hex.
    entry: String,
    /// Hashes that lead from it to the root of the tree asked for (RFC 6962, section 2.1.1), hex.
    proof: Vec<String>,
}

/// Entries of the log, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogItems {
    /// The entries.
    items: Vec<LogItem>,
    /// For the next page; null at the end.
    next_cursor: Option<String>,
}

impl LogPageQuery {
    fn read(&self) -> Result<LogQuery, Problem> {
        let count = self.limit.unwrap_or(HISTORY_WRITES_MAX);
        if !(1..=HISTORY_WRITES_MAX).contains(&count) {
            return Err(invalid("limit"));
        }
        let from = self.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| invalid("cursor"))).transpose()?;
        Ok(LogQuery { size: self.size, from, count })
    }
}

impl From<LogPage> for LogItems {
    fn from(page: LogPage) -> Self {
        let item = |Listed { entry, proof }: Listed| LogItem {
            index: proof.index,
            entry: const_hex::encode(entry),
            proof: proof.path.iter().map(ToString::to_string).collect(),
        };
        Self { items: page.items.into_iter().map(item).collect(), next_cursor: page.next.map(|next| next.to_string()) }
    }
}

/// Entries of the writes to the caller's wallet, two for each PIN attempt. Their details open in the enclave, with `open_history`.
#[utoipa::path(get, path = "/v1/wallet/history", tag = "wallet", params(LogPageQuery),
    responses((status = 200, body = LogItems)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<LogPageQuery>,
) -> Result<Json<LogItems>, Problem> {
    let query = query.read()?;
    let session = &caller.session;
    let known = state.read_accounts(|accounts| accounts.user(&session.user, &session.app))?;
    let known = known.ok_or(table::SESSION_REVOKED)?;
    if LoginStatus::of(&known) == LoginStatus::RegisterRequired {
        return Err(table::APP_NOT_REGISTERED.into());
    }
    let wallet = known.wallet.ok_or(table::WALLET_NOT_CREATED)?;
    page(state.wallets().history(wallet, query).await?)
}

/// Entries that are about the deployment itself, such as the enclave's boots.
#[utoipa::path(get, path = "/v1/log/events", tag = "wallet", params(LogPageQuery),
    responses((status = 200, body = LogItems)))]
pub(crate) async fn events(
    State(state): State<AppState>,
    _caller: Caller,
    QueryOf(query): QueryOf<LogPageQuery>,
) -> Result<Json<LogItems>, Problem> {
    page(state.wallets().events(query.read()?).await?)
}

/// A page, if there is a tree of that size and the cursor is one of this list.
fn page(page: Option<LogPage>) -> Result<Json<LogItems>, Problem> {
    page.map(|page| Json(page.into())).ok_or_else(|| invalid("size or cursor"))
}
