//! The way to the enclave: evidence, begin, sealed.

use axum::extract::State;
use axum::{Extension, Json};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Nonce, UserIdHash};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{BeginReply, Method, SealedRequest, WalletState};
use pinseal_protocol::secret::SecretText;
use pinseal_protocol::token::{StorageToken, token_hash};
use pinseal_store::accounts::Session;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Caller, SealedCaller};
use crate::carried::carried;
use crate::edge::ClientAddress;
use crate::input::{Body, LongBody, QueryOf, invalid, of_hex};
use crate::limits::{Exceeded, Who};
use crate::lines::Source;
use crate::login::LoginStatus;
use crate::output::{shown, shown_if_any};
use crate::problem::Problem;
use crate::problem::table::{self, refusal_entry};
use crate::state::AppState;
use crate::wallets::{BeginCall, SealedCall, WalletsError};

/// Freshness of the evidence.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EvidenceQuery {
    /// 32 random bytes, hex.
    #[param(pattern = "^[0-9a-f]{64}$")]
    nonce: String,
}

/// Evidence, and the manifest it covers.
#[derive(Serialize, ToSchema)]
pub(crate) struct EvidenceBody {
    /// Attestation document over H(manifest) and the nonce, hex.
    document: String,
    /// Canonical CBOR of the manifest, hex.
    manifest: String,
}

/// The operation to begin.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BeginRequest {
    /// `register_prepare`, `register_confirm`, `verify_pin`, `sign`, `change_pin_prepare`, `change_pin_confirm`,
    /// `enrol_device`, `revoke_device`, `clear_tries`, `status`, `list_accounts` or `open_history`.
    #[schema(pattern = "^[a-z_]{4,18}$")]
    method: String,
}

/// A challenge for one operation.
#[derive(Serialize, ToSchema)]
pub(crate) struct BeginBody {
    /// Canonical CBOR of the reply signed by the boot key, hex.
    begin: String,
    /// Lets the host touch one wallet's record for one operation; five minutes.
    #[schema(value_type = String)]
    #[serde(serialize_with = "shown")]
    storage_token: SecretText,
}

/// A sealed request.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SealedBody {
    /// From `begin`.
    #[schema(value_type = String)]
    storage_token: SecretText,
    /// Canonical CBOR of the sealed request, hex.
    #[schema(pattern = "^([0-9a-f]{2})*$")]
    request: String,
}

/// A sealed reply.
#[derive(Serialize, ToSchema)]
pub(crate) struct SealedAnswer {
    /// Canonical CBOR of the sealed reply, hex.
    reply: String,
    /// For one more request of the same method, sealed under the challenge that the reply carries: it needs no `begin`. Five minutes.
    /// After `sign` only, and not beyond the user's rate.
    #[schema(value_type = Option<String>, nullable = false)]
    #[serde(serialize_with = "shown_if_any", skip_serializing_if = "Option::is_none")]
    storage_token: Option<SecretText>,
}

impl From<WalletsError> for Problem {
    fn from(error: WalletsError) -> Self {
        match error {
            WalletsError::Refused(refusal) => refusal_entry(refusal).into(),
            WalletsError::StorageToken => table::STORAGE_TOKEN_REFUSED.into(),
            WalletsError::Timeout => table::TIMEOUT.into(),
            WalletsError::Interrupted(source) => {
                tracing::warn!(trace_id = %crate::problem::trace_id(), cause = %source, "a sealed request was interrupted");
                Self::from(table::OUTCOME_UNKNOWN).retry_after(1)
            }
            WalletsError::Unavailable(source) => {
                tracing::warn!(trace_id = %crate::problem::trace_id(), cause = %source, "the enclave is not serving");
                Self::from(table::ENCLAVE_UNAVAILABLE).retry_after(1)
            }
            WalletsError::Fault(source) => Self::fault(source.as_ref()),
        }
    }
}

/// Evidence over the caller's nonce. Verify it before a PIN is asked for.
#[utoipa::path(get, path = "/v1/evidence", tag = "wallet", params(EvidenceQuery),
    responses((status = 200, body = EvidenceBody)))]
pub(crate) async fn evidence(
    State(state): State<AppState>,
    Extension(from): Extension<ClientAddress>,
    QueryOf(query): QueryOf<EvidenceQuery>,
) -> Result<Json<EvidenceBody>, Problem> {
    let nonce = Nonce::from_hex(&query.nonce).ok_or_else(|| invalid("nonce"))?;
    let turn = state.evidence_turns().take(Source::address(from.0)).await;
    let turn = turn.map_err(|_| Problem::from(table::OVERLOADED).retry_after(1))?;
    // To its end: the enclave makes it also for those who hung up.
    let evidence = carried(async move {
        let _turn = turn;
        Ok(state.wallets().evidence(nonce, state.now()).await?)
    })
    .await?;
    Ok(Json(EvidenceBody {
        document: const_hex::encode(evidence.document),
        manifest: const_hex::encode(evidence.manifest),
    }))
}

/// Begins one operation of the user's wallet.
#[utoipa::path(post, path = "/v1/wallet/begin", tag = "wallet", request_body = BeginRequest,
    responses((status = 200, body = BeginBody)))]
pub(crate) async fn begin(
    State(state): State<AppState>,
    caller: Caller,
    body: Body<BeginRequest>,
) -> Result<Json<BeginBody>, Problem> {
    let method = Method::from_name(&body.value.method).ok_or_else(|| invalid("method"))?;
    let (session, now) = (&caller.session, state.now());
    let known = state.read_accounts(|accounts| accounts.user(&session.user, &session.app))?;
    let known = known.ok_or(table::SESSION_REVOKED)?;
    if LoginStatus::of(&known) == LoginStatus::RegisterRequired && method != Method::Status {
        return Err(table::APP_NOT_REGISTERED.into());
    }
    count_write(&state, session, method)
        .map_err(|exceeded| Problem::from(table::RATE_LIMITED).retry_after(exceeded.wait_seconds))?;
    let call = BeginCall { access_token: caller.access_token.duplicate(), method, wallet: known.wallet, now };
    let begun = state.wallets().begin(call).await?;
    if known.wallet != Some(begun.wallet) {
        let (user, wallet) = (caller.session.user.clone(), begun.wallet);
        if !state.accounts(move |accounts| accounts.bind_wallet(&user, wallet)).await? {
            return Err(table::WALLET_CONFLICT.into());
        }
    }
    if !known.wallet_exists {
        note_if_active(&state, &caller.session, &begun.reply.reply).await?;
    }
    let storage_token = state.issuer().storage(&begun.wallet, method, now).map_err(|error| Problem::fault(&error))?;
    Ok(Json(BeginBody { begin: const_hex::encode(cbor::to_vec(&begun.reply)), storage_token }))
}

/// Hands a sealed request to the enclave. Takes the access token without a proof: the device's signature lies inside.
///
/// An identical resend within ten minutes gets the identical reply, and a storage token of its own.
#[utoipa::path(post, path = "/v1/wallet/sealed", tag = "wallet", request_body = SealedBody,
    responses((status = 200, body = SealedAnswer)))]
pub(crate) async fn sealed(
    State(state): State<AppState>,
    SealedCaller(caller): SealedCaller,
    LongBody(body): LongBody<SealedBody>,
) -> Result<Json<SealedAnswer>, Problem> {
    let malformed = || Problem::from(refusal_entry(Refusal::Malformed));
    let SealedBody { request: text, storage_token } = body.value;
    let bytes = of_hex(&text).ok_or_else(malformed)?;
    let request: SealedRequest = cbor::from_slice(&bytes).map_err(|_| malformed())?;
    // Long ones are held once while they wait.
    drop((text, bytes));
    let method = request.header.method;
    let now = state.now();
    // The enclave would refuse it, too; but what is not this session's uses up no token, and no stranger's record even travels.
    let header = &request.header;
    if header.token != token_hash(caller.access_token.expose_secret()) || header.device != caller.session.device {
        return Err(Problem::from(table::STORAGE_TOKEN_REFUSED).detail("the sealed request is another session's"));
    }
    let session = &caller.session;
    let known = state.read_accounts(|accounts| accounts.user(&session.user, &session.app))?;
    let known = known.ok_or(table::SESSION_REVOKED)?;
    // A storage token for any other wallet is refused by the record store.
    let wallet = known.wallet.ok_or(table::STORAGE_TOKEN_REFUSED)?;
    let registered = LoginStatus::of(&known) != LoginStatus::RegisterRequired;
    let call = SealedCall { storage_token: StorageToken::new(storage_token), wallet, request, now };
    let reply = match method {
        Method::RegisterConfirm => {
            let (access_token, wallet) = (caller.access_token.duplicate(), None);
            let then = BeginCall { access_token, method: Method::Status, wallet, now };
            // To its end: whichever app began next would be taken for the one that the wallet was made through.
            carried(confirm(state.clone(), caller.session.clone(), call, then)).await?
        }
        _ => state.wallets().sealed(call).await?,
    };
    let storage_token = if registered { next_storage_token(&state, &caller, &wallet, method)? } else { None };
    Ok(Json(SealedAnswer { reply: const_hex::encode(cbor::to_vec(&reply)), storage_token }))
}

/// Hands the request in that ends a registration. The reply is sealed, so the host asks whether there is a wallet now. Should this fail, the
/// next begin tells.
async fn confirm(state: AppState, session: Session, call: SealedCall, then: BeginCall) -> Result<SealedReply, Problem> {
    let reply = state.wallets().sealed(call).await?;
    if let Ok(begun) = state.wallets().begin(then).await {
        note_if_active(&state, &session, &begun.reply.reply).await?;
    }
    Ok(reply)
}

/// What a `begin` for the next request of this method would give. The enclave answered sealed, so the device's signature was checked, and
/// whoever called holds the key or hands on what its holder sealed. Counted like a `begin`; whoever has used up the rate is not refused
/// here, after the request was carried out, but at the `begin` that is needed then.
fn next_storage_token(
    state: &AppState,
    caller: &Caller,
    wallet: &UserIdHash,
    method: Method,
) -> Result<Option<SecretText>, Problem> {
    let session = &caller.session;
    if !method.continues()
        || state.user_limit().check(Who::user(session.user.as_str())).is_err()
        || count_write(state, session, method).is_err()
    {
        return Ok(None);
    }
    let token = state.issuer().storage(wallet, method, state.now());
    token.map(Some).map_err(|error| Problem::fault(&error))
}

/// Counts an operation for its user's day, if it is of those that write.
fn count_write(state: &AppState, session: &Session, method: Method) -> Result<(), Exceeded> {
    match method.writes() {
        0 => Ok(()),
        _ => state.writing_limit().check(Who::user(session.user.as_str())).map(|_| ()),
    }
}

/// Once the enclave says that the wallet is in use, the app it was made through may use it.
async fn note_if_active(state: &AppState, session: &Session, begin_reply: &[u8]) -> Result<(), Problem> {
    let active = cbor::from_slice::<BeginReply>(begin_reply).is_ok_and(|reply| reply.state == WalletState::Active);
    if active {
        let (user, app, now) = (session.user.clone(), session.app.clone(), state.now());
        state.accounts(move |accounts| accounts.wallet_registered(&user, &app, now)).await?;
    }
    Ok(())
}
