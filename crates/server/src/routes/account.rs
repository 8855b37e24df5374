//! The user's accounts: a cache of statements the enclave signed. Clients verify them; so does the server before it keeps one.

use axum::Json;
use axum::extract::State;
use minicbor::bytes::ByteVec;
use pinseal_protocol::cbor;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::manifest::{Ed25519Public, Manifest};
use pinseal_protocol::request::{AddressStatement, SignedStatement};
use pinseal_store::accounts::AccountRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::WalletCaller;
use crate::input::{LongBody, ObjectOf, invalid, of_hex};
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Statements in one request; the enclave lists as many at once.
const ITEMS_MAX: usize = pinseal_protocol::limits::ACCOUNTS_MAX;

/// One account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountItem {
    /// CAIP-2 namespace the address is valid in; `eip155` is every EVM network.
    network: String,
    /// Address in its network's form; EVM: 0x and 40 lower-case hex digits.
    address: String,
    /// BIP-32 path.
    path: String,
    /// Canonical CBOR of the enclave's statement, hex.
    statement: String,
    /// Signature over it by K_log, hex.
    signature: String,
}

/// The user's accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountList {
    /// Accounts by network and path.
    items: Vec<AccountItem>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// A statement to keep.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StatementItem {
    /// Canonical CBOR, hex.
    #[schema(pattern = "^([0-9a-f]{2})*$")]
    statement: String,
    /// Signature, hex.
    #[schema(pattern = "^[0-9a-f]{128}$")]
    signature: String,
}

/// Statements to keep.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StatementList {
    /// At most 16.
    #[schema(value_type = Vec<StatementItem>, max_items = 16)]
    items: Vec<ObjectOf<StatementItem>>,
}

/// The user's accounts.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", responses((status = 200, body = AccountList)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    WalletCaller(caller): WalletCaller,
) -> Result<Json<AccountList>, Problem> {
    let user = caller.session.user;
    Ok(Json(listed(state.accounts(move |accounts| accounts.accounts(&user)).await?)))
}

/// Keeps address statements the client got from the enclave, after verifying them.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = StatementList,
    responses((status = 200, body = AccountList)))]
pub(crate) async fn keep(
    State(state): State<AppState>,
    WalletCaller(caller): WalletCaller,
    LongBody(body): LongBody<StatementList>,
) -> Result<Json<AccountList>, Problem> {
    if body.value.items.len() > ITEMS_MAX {
        return Err(invalid("items"));
    }
    let wallet = caller.user(&state)?.wallet.ok_or(table::STATEMENT_INVALID)?;
    let log = log_key(&state).await?;
    let rows = body
        .value
        .items
        .iter()
        .map(|item| row(&state, &log, &wallet, &item.0).ok_or(table::STATEMENT_INVALID.into()))
        .collect::<Result<Vec<AccountRow>, Problem>>()?;
    let user = caller.session.user;
    let kept = state.accounts(move |accounts| {
        accounts.keep_accounts(&user, rows)?;
        accounts.accounts(&user)
    });
    Ok(Json(listed(kept.await?)))
}

/// `K_log`'s public half, from the manifest of the boot that serves.
async fn log_key(state: &AppState) -> Result<Ed25519Public, Problem> {
    let status = state.wallets().status().await?;
    let manifest: Manifest = cbor::from_slice(&status.manifest).map_err(|error| Problem::fault(&error))?;
    Ok(manifest.log)
}

fn row(state: &AppState, log: &Ed25519Public, wallet: &UserIdHash, item: &StatementItem) -> Option<AccountRow> {
    let signed = SignedStatement {
        statement: ByteVec::from(of_hex(&item.statement)?),
        signature: ByteVec::from(of_hex(&item.signature)?),
    };
    let AddressStatement { path, network, address, .. } = signed.verify(log, &state.deployment(), wallet)?;
    Some(AccountRow {
        network,
        path,
        address: format!("0x{}", const_hex::encode(address.as_slice())),
        statement: signed.statement.to_vec(),
        signature: signed.signature.to_vec(),
    })
}

fn listed(rows: Vec<AccountRow>) -> AccountList {
    let items = rows.into_iter().map(|row| AccountItem {
        network: row.network,
        address: row.address,
        path: row.path,
        statement: const_hex::encode(row.statement),
        signature: const_hex::encode(row.signature),
    });
    AccountList { items: items.collect(), next_cursor: None }
}
