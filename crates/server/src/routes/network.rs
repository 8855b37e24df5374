//! Networks, balances and transactions.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Caller, WalletCaller};
use crate::edge::ClientAddress;
use crate::idempotency;
use crate::input::{Body, LongBody, PathOf, QueryOf, Values, invalid};
use crate::limits::Who;
use crate::networks::{BalancesBody, FeesBody, NetworkBody, PrepareCall, PreparedBody, Room, TxBody, TxPageBody};
use crate::nodes::{NodePlace, Use};
use crate::problem::{Problem, table};
use crate::state::AppState;

/// Tokens in one balance request; each costs the network's nodes three questions, and the caller one request of its rate.
const TOKENS_MAX: usize = 16;
/// Transactions in one page, and how many where the caller does not say.
const PAGE_MAX: usize = 100;
const PAGE_DEFAULT: usize = 20;

pub(super) fn endpoints() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(fees))
        .routes(routes!(balances))
        .routes(routes!(prepare))
        .routes(routes!(broadcast))
        .routes(routes!(transaction))
        .routes(routes!(history))
        .routes(routes!(release))
        .routes(routes!(rpc))
}

/// Networks served.
#[derive(Serialize, ToSchema)]
pub(crate) struct NetworkList {
    /// Networks.
    items: Vec<NetworkBody>,
    /// Always null: the list is whole.
    next_cursor: Option<String>,
}

/// Whose balances.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; `token` may be repeated, so it is read by hand")]
pub(crate) struct BalancesQuery {
    /// CAIP-2 id.
    network: String,
    /// Address.
    address: String,
    /// Token contract; repeatable, at most 16. Each counts as a further request of the rate limit.
    #[param(max_items = 16)]
    token: Option<Vec<String>>,
}

/// A transaction to prepare.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PrepareRequest {
    /// CAIP-2 id.
    network: String,
    /// Sender: one of the user's accounts, see `POST /v1/accounts`.
    from: String,
    /// Recipient; absent for a contract creation.
    to: Option<String>,
    /// Base units, decimal.
    #[schema(pattern = "^[0-9]{1,78}$")]
    value: String,
    /// Call data, 0x-hex.
    #[schema(pattern = "^0x([0-9a-fA-F]{2})*$")]
    data: Option<String>,
    /// To replace a transaction.
    nonce: Option<u64>,
    /// False for somebody who looks first: the nonce is not reserved, so that no transaction waits for one that is never signed. Prepare
    /// again, with true or nothing here, when it is about to be signed.
    reserve: Option<bool>,
}

/// A signed transaction.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BroadcastRequest {
    /// CAIP-2 id.
    network: String,
    /// 0x-hex; signed by one of the user's accounts.
    #[schema(pattern = "^0x([0-9a-fA-F]{2})*$")]
    raw: String,
}

/// Which transactions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// CAIP-2 id; absent for all.
    network: Option<String>,
    /// Address.
    address: String,
    /// 1 to 100; 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A reservation to give back.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ReleaseRequest {
    /// From `tx/prepare`.
    reservation_id: String,
}

/// A call that reads.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RpcRequest {
    /// A JSON-RPC method that only reads.
    method: String,
    /// Its parameters, as the node takes them: at most 8,192 values, nested ones counted.
    #[schema(value_type = Vec<serde_json::Value>)]
    params: Values,
}

/// What a node answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct RpcBody {
    /// The node's result, untouched.
    result: serde_json::Value,
}

/// Networks served.
#[utoipa::path(get, path = "/v1/networks", tag = "networks", responses((status = 200, body = NetworkList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<NetworkList>, Problem> {
    Ok(Json(NetworkList { items: state.networks().list().await?, next_cursor: None }))
}

/// Fees now.
#[utoipa::path(get, path = "/v1/networks/{caip2}/fees", tag = "networks",
    params(("caip2" = String, Path, description = "CAIP-2 id.")), responses((status = 200, body = FeesBody)))]
pub(crate) async fn fees(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    PathOf(network): PathOf<String>,
) -> Result<Response, Problem> {
    let place = state.node_places().take(Who::address(from.0), state.networks().caip2(&network), Use::Money)?;
    place.answer(&state.networks().fees(network).await?)
}

/// Balances of one address, read from the network.
#[utoipa::path(get, path = "/v1/balances", tag = "networks", params(BalancesQuery),
    responses((status = 200, body = BalancesBody)))]
pub(crate) async fn balances(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (mut network, mut address, mut tokens) = (None, None, Vec::new());
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "network" => network = Some(value.into_owned()),
            "address" => address = Some(value.into_owned()),
            "token" => tokens.push(value.into_owned()),
            _ => {}
        }
    }
    if tokens.len() > TOKENS_MAX {
        return Err(invalid("token"));
    }
    let network = network.ok_or_else(|| invalid("network"))?;
    let address = address.ok_or_else(|| invalid("address"))?;
    for _ in &tokens {
        let counted = state.address_limit().check(from.0);
        counted.map_err(|exceeded| Problem::from(table::RATE_LIMITED).retry_after(exceeded.wait_seconds))?;
    }
    let place = place(&state, &caller, &network, Use::Money)?;
    place.answer(&state.networks().balances(network, address, tokens).await?)
}

/// Estimates gas and fees and reserves the nonce, unless the caller only looks.
#[utoipa::path(post, path = "/v1/tx/prepare", tag = "networks", request_body = PrepareRequest,
    responses((status = 200, body = PreparedBody)))]
pub(crate) async fn prepare(
    State(state): State<AppState>,
    WalletCaller(caller): WalletCaller,
    headers: HeaderMap,
    LongBody(body): LongBody<PrepareRequest>,
) -> Result<Response, Problem> {
    let PrepareRequest { network, from, to, value, data, nonce, reserve } = body.value;
    owned(&state, &caller, &from).await?;
    let (shared, place) = (state.clone(), place(&state, &caller, &network, Use::Money)?);
    let call = PrepareCall { network, from, to, value, data, nonce, reserve: reserve.unwrap_or(true) };
    idempotency::once(&state, &caller, "/v1/tx/prepare", &headers, body.hash, async move {
        // The answer is short, and kept for a repeat: nobody may take its place away.
        let _place = place;
        Ok(Json(shared.networks().prepare(call).await?))
    })
    .await
}

/// Sends a signed transaction.
#[utoipa::path(post, path = "/v1/tx/broadcast", tag = "networks", request_body = BroadcastRequest,
    responses((status = 200, body = TxBody)))]
pub(crate) async fn broadcast(
    State(state): State<AppState>,
    WalletCaller(caller): WalletCaller,
    headers: HeaderMap,
    LongBody(body): LongBody<BroadcastRequest>,
) -> Result<Response, Problem> {
    let BroadcastRequest { network, raw } = body.value;
    let sender = state.networks().sender(&network, &raw)?;
    owned(&state, &caller, &sender).await?;
    let place = place(&state, &caller, &network, Use::Money)?;
    let (shared, user) = (state.clone(), caller.session.user.clone());
    idempotency::once(&state, &caller, "/v1/tx/broadcast", &headers, body.hash, async move {
        let _place = place;
        Ok(Json(shared.networks().broadcast(network, raw, user).await?))
    })
    .await
}

/// One transaction the system sent for one of the caller's accounts, followed to finality.
#[utoipa::path(get, path = "/v1/tx/{network}/{hash}", tag = "networks",
    params(("network" = String, Path, description = "CAIP-2 id."), ("hash" = String, Path, description = "0x-hex.")),
    responses((status = 200, body = TxBody)))]
pub(crate) async fn transaction(
    State(state): State<AppState>,
    WalletCaller(caller): WalletCaller,
    PathOf((network, hash)): PathOf<(String, String)>,
) -> Result<Response, Problem> {
    let place = place(&state, &caller, &network, Use::Money)?;
    // Another user's is answered as one that is not there, and no node is asked for it, whose time would tell.
    let own = addresses(&state, &caller).await?;
    place.answer(&state.networks().transaction(network, hash, own).await?)
}

/// Transactions the system sent for one of the caller's accounts, newest first.
#[utoipa::path(get, path = "/v1/tx", tag = "networks", params(HistoryQuery), responses((status = 200, body = TxPageBody)))]
pub(crate) async fn history(
    State(state): State<AppState>,
    WalletCaller(caller): WalletCaller,
    QueryOf(query): QueryOf<HistoryQuery>,
) -> Result<Json<TxPageBody>, Problem> {
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(invalid("limit"));
    }
    owned(&state, &caller, &query.address).await?;
    // Out of the database: it needs no place, and a short page holds none.
    let room = CallersRoom { state: &state, caller: &caller };
    Ok(Json(state.networks().history(query.network, query.address, limit, query.cursor, &room).await?))
}

/// The places a caller may have.
struct CallersRoom<'a> {
    state: &'a AppState,
    caller: &'a Caller,
}

impl Room for CallersRoom<'_> {
    fn place(&self, network: &str) -> Option<Box<dyn Send>> {
        let place = place(self.state, self.caller, network, Use::Aside).ok()?;
        Some(Box::new(place))
    }
}

/// Gives a reserved nonce back, for a transaction that will not be signed.
#[utoipa::path(post, path = "/v1/tx/release", tag = "networks", request_body = ReleaseRequest,
    responses((status = 204, description = "Given back.")))]
pub(crate) async fn release(
    State(state): State<AppState>,
    _caller: WalletCaller,
    body: Body<ReleaseRequest>,
) -> Result<StatusCode, Problem> {
    state.networks().release(body.value.reservation_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Calls a method of the network's nodes that only reads.
#[utoipa::path(post, path = "/v1/networks/{caip2}/rpc", tag = "networks", request_body = RpcRequest,
    params(("caip2" = String, Path, description = "CAIP-2 id.")), responses((status = 200, body = RpcBody)))]
pub(crate) async fn rpc(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(network): PathOf<String>,
    LongBody(body): LongBody<RpcRequest>,
) -> Result<Response, Problem> {
    let RpcRequest { method, params: Values(params) } = body.value;
    let place = place(&state, &caller, &network, Use::Call)?;
    place.answer(&RpcBody { result: state.networks().call(network, method, params.into()).await? })
}

/// Nonces are reserved for, and transactions sent from, the caller's own accounts only: otherwise anybody with a login could
/// block a stranger's nonces. What was sent is listed to its sender only: it says what never reached a block, too.
async fn owned(state: &AppState, caller: &Caller, address: &str) -> Result<(), Problem> {
    if is_owned(state, caller, address).await? { Ok(()) } else { Err(table::ACCOUNT_UNKNOWN.into()) }
}

async fn is_owned(state: &AppState, caller: &Caller, address: &str) -> Result<bool, Problem> {
    Ok(addresses(state, caller).await?.iter().any(|own| own.eq_ignore_ascii_case(address)))
}

async fn addresses(state: &AppState, caller: &Caller) -> Result<Vec<String>, Problem> {
    let user = caller.session.user.clone();
    let accounts = state.accounts(move |accounts| accounts.accounts(&user)).await?;
    Ok(accounts.into_iter().map(|account| account.address).collect())
}

/// A place among the requests that wait for this network's nodes; of none, where there is no such network.
fn place(state: &AppState, caller: &Caller, network: &str, what: Use) -> Result<NodePlace, Problem> {
    state.node_places().take(Who::user(caller.session.user.as_str()), state.networks().caip2(network), what)
}
