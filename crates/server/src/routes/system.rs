//! Health, metrics and status.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Problem, ProblemBody};
use crate::state::AppState;
use crate::wallets::{EnclaveStatus, EnrolmentStatus};

/// The process runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always true.
    ok: bool,
}

/// Whether the deployment can serve wallets.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// True if database and enclave serve.
    ready: bool,
    /// Anchor level in use, `L0`, `L1` or `L4`; null while the enclave is away.
    anchor_level: Option<String>,
    /// Where freshness is kept; null while the enclave is away.
    anchor: Option<AnchorBody>,
    /// Whether devices are enrolled; null while the enclave is away.
    enrolment: Option<EnrolmentBody>,
    /// Sequence of the newest anchored checkpoint.
    checkpoint_sequence: Option<u64>,
    /// The enclave; null while it is away.
    enclave: Option<EnclaveBody>,
}

/// The enclave, probed.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnclaveBody {
    /// Hash of the enclave image, hex.
    measurement: String,
    /// Hardening measures.
    hardening: Vec<MeasureBody>,
}

/// Where freshness is kept. Clients read level, floor and witnesses in the enclave's manifest; here the host repeats them.
#[derive(Serialize, ToSchema)]
pub(crate) struct AnchorBody {
    /// Level in use: `L0`, `L1`, `L2` or `L4`.
    level: String,
    /// Level below which the deployment never runs.
    floor: String,
    /// The witnesses; null below `L4`.
    witnesses: Option<WitnessesBody>,
    /// The TPM; null but at `L2`.
    tpm: Option<TpmBody>,
    /// Seconds since the newest checkpoint was anchored.
    age_seconds: u64,
    /// How often the operators made an older state the state again. A device that has seen fewer is asked to accept that.
    restores: u32,
}

/// Enrolment of devices. It pauses for everybody when too many wrong PINs came from devices that are not enrolled, until the operators
/// resume it; enrolled devices are not concerned.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentBody {
    /// True while no device is enrolled.
    paused: bool,
    /// Place of the log entry that says so; null while it is not paused.
    since_log_entry: Option<u64>,
    /// Unix seconds; null while it is not paused.
    since: Option<u64>,
    /// Attempts turned away since, in this boot of the enclave.
    refused: u64,
}

/// The TPM of a deployment.
#[derive(Serialize, ToSchema)]
pub(crate) struct TpmBody {
    /// The key it attests with: an uncompressed P-256 point, hex.
    attestation_key: String,
    /// Handle of its index.
    index: u32,
}

/// The witnesses of a deployment.
#[derive(Serialize, ToSchema)]
pub(crate) struct WitnessesBody {
    /// k: so many have to cosign every checkpoint.
    required: u8,
    /// n.
    all: usize,
    /// Their names.
    names: Vec<String>,
    /// Of them, those that cosigned the checkpoint they were last asked to.
    cosigned: usize,
}

/// One hardening measure.
#[derive(Serialize, ToSchema)]
pub(crate) struct MeasureBody {
    /// Name.
    measure: String,
    /// The probe found it in force.
    active: bool,
    /// What the probe saw.
    detail: String,
}

/// A checkpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckpointBody {
    /// Number.
    sequence: u64,
    /// Log entries.
    size: u64,
    /// Log root, hex.
    root: String,
}

/// State of the deployment, without secrets.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    /// Release.
    version: &'static str,
    /// Since the start.
    uptime_seconds: u64,
    /// Anchor level in use.
    anchor_level: String,
    /// Where freshness is kept.
    anchor: AnchorBody,
    /// Newest anchored checkpoint.
    checkpoint: Option<CheckpointBody>,
    /// Wallets.
    wallets: u64,
    /// Whether devices are enrolled.
    enrolment: EnrolmentBody,
    /// The enclave.
    enclave: EnclaveBody,
    /// True while evidence proves nothing about hardware.
    development: bool,
    /// The wallet page; null where none is served.
    wallet_page: Option<WalletPageBody>,
}

/// The wallet page that is served.
#[derive(Serialize, ToSchema)]
pub(crate) struct WalletPageBody {
    /// Its origin.
    url: String,
    /// Hash of its files, hex; a release names the same.
    sha256: String,
}

fn enclave_body(status: &EnclaveStatus) -> EnclaveBody {
    let hardening = status.hardening.iter().map(|measure| MeasureBody {
        measure: measure.name.clone(),
        active: measure.active,
        detail: measure.detail.clone(),
    });
    EnclaveBody { measurement: status.measurement.clone(), hardening: hardening.collect() }
}

fn enrolment_body(status: &EnclaveStatus) -> EnrolmentBody {
    let EnrolmentStatus { paused, refused } = status.enrolment;
    let (since_log_entry, since) = paused.unzip();
    EnrolmentBody { paused: paused.is_some(), since_log_entry, since, refused }
}

fn anchor_body(status: &EnclaveStatus) -> AnchorBody {
    let anchor = &status.anchor;
    let witnesses = anchor.witnesses.as_ref().map(|witnesses| WitnessesBody {
        required: witnesses.required,
        all: witnesses.names.len(),
        names: witnesses.names.clone(),
        cosigned: witnesses.cosigned,
    });
    let tpm = anchor.tpm.as_ref();
    AnchorBody {
        level: anchor.level.clone(),
        floor: anchor.floor.clone(),
        witnesses,
        tpm: tpm.map(|tpm| TpmBody { attestation_key: tpm.attestation_key.clone(), index: tpm.index }),
        age_seconds: anchor.age_seconds,
        restores: anchor.restores,
    }
}

/// Says that the process runs.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { ok: true })
}

/// Says whether database and enclave serve; 503 if not.
#[utoipa::path(get, path = "/readyz", tag = "system",
    responses((status = 200, body = Readiness), (status = 503, description = "Not ready.", body = Readiness)))]
pub(crate) async fn readyz(State(state): State<AppState>) -> Response {
    // Any read will do.
    let database = state.try_accounts(|accounts| accounts.is_web_origin("")).await.is_ok();
    let enclave = state.wallets().status().await.ok();
    let ready = database && enclave.as_ref().is_some_and(|status| status.ready);
    let body = Readiness {
        ready,
        anchor_level: enclave.as_ref().map(|status| status.anchor.level.clone()),
        anchor: enclave.as_ref().map(anchor_body),
        enrolment: enclave.as_ref().map(enrolment_body),
        checkpoint_sequence: enclave
            .as_ref()
            .and_then(|status| status.checkpoint.as_ref().map(|(sequence, ..)| *sequence)),
        enclave: enclave.as_ref().map(enclave_body),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// Metrics for Prometheus, for this machine, or for whoever reaches the port if `metrics_open` says so. Counts only; but a count that
/// moves with a request tells what became of it.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain"),
        (status = 404, description = "Asked from elsewhere.", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn metrics(State(state): State<AppState>) -> Result<Response, Problem> {
    state.metrics().password_queue.set(i64::try_from(state.password_depth()).unwrap_or(i64::MAX));
    let text = state.metrics().render(&state.wallets().metrics()).map_err(|error| Problem::fault(&error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// State of the deployment, without secrets.
#[utoipa::path(get, path = "/v1/status", tag = "system", responses((status = 200, body = Status)))]
pub(crate) async fn status(State(state): State<AppState>) -> Result<Json<Status>, Problem> {
    let status = state.wallets().status().await?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.uptime().as_secs(),
        enclave: enclave_body(&status),
        anchor: anchor_body(&status),
        enrolment: enrolment_body(&status),
        anchor_level: status.anchor.level,
        checkpoint: status.checkpoint.map(|(sequence, size, root)| CheckpointBody { sequence, size, root }),
        wallets: status.wallets,
        development: state.development(),
        wallet_page: state
            .site()
            .map(|site| WalletPageBody { url: site.origin().to_owned(), sha256: site.hash().to_owned() }),
    }))
}
