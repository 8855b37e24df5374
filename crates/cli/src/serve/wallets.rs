//! The server's wallet seam over the host's trunk.

use pinseal_host::{AnchorState, CallError, Distribution, Trunk};
use pinseal_protocol::ids::{Nonce, UnixSeconds, UserIdHash};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::SealedReply;
use pinseal_server::{
    AnchorStatus, BeginCall, Begun, Boxed, EnclaveStatus, EnrolmentStatus, Evidence, Sample, SealedCall, TpmStatus,
    Value, Wallets, WalletsError, WitnessesStatus,
};
use pinseal_store::records::{LogPage, LogQuery, ReadError, Records};
use tokio::sync::oneshot;

/// The one enclave, for the API, and the log it writes.
#[derive(Debug)]
pub(super) struct EnclaveWallets {
    pub(super) trunk: Trunk,
    pub(super) records: Records,
}

impl EnclaveWallets {
    /// Reads the log, as far as it is anchored: what is stored beyond that, nobody was told yet.
    async fn read_log<T: Send + 'static>(
        &self,
        size: u64,
        read: impl FnOnce(&Records) -> Result<Option<T>, ReadError> + Send + 'static,
    ) -> Result<Option<T>, WalletsError> {
        if size > self.trunk.status().checkpoint.size {
            return Ok(None);
        }
        let records = self.records.clone();
        let done = tokio::task::spawn_blocking(move || read(&records)).await;
        done.map_err(|error| WalletsError::Fault(Box::new(error)))?
            .map_err(|error| WalletsError::Fault(Box::new(error)))
    }
}

/// Makes the trunk's callback a future. A trunk that ends drops the callback unanswered.
fn answer<T: Send + 'static>()
-> (impl FnOnce(Result<T, CallError>) + Send + 'static, impl Future<Output = Result<T, CallError>> + Send) {
    let (sender, receiver) = oneshot::channel::<Result<T, CallError>>();
    // A caller that went away needs no answer.
    let done = move |result| drop(sender.send(result));
    let wait = async move { receiver.await.unwrap_or(Err(CallError::EnclaveGone(None))) };
    (done, wait)
}

fn refusal(error: CallError) -> WalletsError {
    match error {
        CallError::Refused(refusal) => WalletsError::Refused(refusal),
        CallError::StorageToken(_) => WalletsError::StorageToken,
        CallError::Overloaded => WalletsError::Refused(Refusal::Overloaded),
        CallError::Timeout => WalletsError::Timeout,
        CallError::Storage => WalletsError::Fault(Box::new(error)),
        error => WalletsError::Unavailable(Box::new(error)),
    }
}

/// As [`refusal`], for a request that may have reached the enclave: whatever ended it may have come after the charge.
fn sealed_refusal(error: CallError) -> WalletsError {
    match error {
        CallError::EnclaveGone(_) | CallError::Storage => WalletsError::Interrupted(Box::new(error)),
        error => refusal(error),
    }
}

impl Wallets for EnclaveWallets {
    fn begin(&self, call: BeginCall) -> Boxed<'_, Result<Begun, WalletsError>> {
        let (done, wait) = answer();
        // Which wallet is the user's, the enclave says; it asks for the record by itself.
        self.trunk.begin(call.access_token, call.method, None, done);
        Box::pin(async move {
            let begun = wait.await.map_err(refusal)?;
            Ok(Begun { wallet: begun.wallet, reply: begun.reply })
        })
    }

    fn sealed(&self, call: SealedCall) -> Boxed<'_, Result<SealedReply, WalletsError>> {
        let (done, wait) = answer();
        self.trunk.sealed(&call.storage_token, &call.wallet, call.request, done);
        Box::pin(async move { wait.await.map_err(sealed_refusal) })
    }

    fn evidence(&self, nonce: Nonce, _: UnixSeconds) -> Boxed<'_, Result<Evidence, WalletsError>> {
        let (done, wait) = answer();
        self.trunk.evidence(nonce, done);
        Box::pin(async move {
            let document = wait.await.map_err(refusal)?;
            Ok(Evidence { document, manifest: self.trunk.status().manifest })
        })
    }

    fn status(&self) -> Boxed<'_, Result<EnclaveStatus, WalletsError>> {
        let status = self.trunk.status();
        let checkpoint = &status.checkpoint;
        let shown = EnclaveStatus {
            ready: status.ready,
            manifest: status.manifest,
            anchor: anchor(&status.anchor, checkpoint.restores),
            checkpoint: Some((checkpoint.sequence.0, checkpoint.size, checkpoint.root.to_string())),
            wallets: status.wallets,
            enrolment: EnrolmentStatus {
                paused: status.paused.map(|pause| (pause.index, pause.time.0)),
                refused: status.turned_away,
            },
            measurement: status.hello.measurement.to_string(),
            hardening: status.hello.hardening,
        };
        Box::pin(std::future::ready(Ok(shown)))
    }

    fn history(&self, wallet: UserIdHash, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        Box::pin(self.read_log(query.size, move |records| records.history(&wallet, query)))
    }

    fn events(&self, query: LogQuery) -> Boxed<'_, Result<Option<LogPage>, WalletsError>> {
        Box::pin(self.read_log(query.size, move |records| records.events(query)))
    }

    fn metrics(&self) -> Vec<Sample> {
        let status = self.trunk.status();
        let sample = |name: &str, help: &str, value: f64| Sample {
            name: format!("pinseal_enclave_{name}"),
            help: help.to_owned(),
            value: Value::Gauge(value),
        };
        let latency = status.commit_latency;
        let measured = status.batch_metrics;
        let spread = |name: &str, help: &str, measured: &Distribution| Sample {
            name: format!("pinseal_batch_{name}"),
            help: help.to_owned(),
            value: Value::Histogram { buckets: measured.buckets(), sum: measured.sum(), count: measured.count() },
        };
        vec![
            Sample {
                name: "pinseal_batches_total".into(),
                help: "Batches stored and anchored since boot.".into(),
                value: Value::Counter(number(status.batches)),
            },
            spread("records", "Records written by one batch; 256 at most.", &measured.records),
            spread(
                "wait_seconds",
                "Time a write waits for its batch, the enclave's own work included: at most one batch of others.",
                &measured.wait,
            ),
            spread("store_seconds", "Time to store one batch in the database.", &measured.store),
            spread("anchor_seconds", "Time to anchor one batch.", &measured.anchor),
            sample("anchor_age_seconds", "Since the newest checkpoint was anchored.", status.anchor.age.as_secs_f64()),
            sample(
                "witnesses_cosigned",
                "Witnesses that cosigned the checkpoint they were last asked to.",
                number(status.anchor.cosigned as u64),
            ),
            sample("ready", "1 while the enclave serves.", if status.ready { 1.0 } else { 0.0 }),
            sample(
                "enrolment_paused",
                "1 while enrolment is paused by too many wrong PINs of devices that are not enrolled.",
                if status.paused.is_some() { 1.0 } else { 0.0 },
            ),
            Sample {
                name: "pinseal_enrolments_refused_total".into(),
                help: "Enrolments turned away while enrolment was paused, since boot.".into(),
                value: Value::Counter(number(status.turned_away)),
            },
            sample("wallets", "Wallets in the deployment.", number(status.wallets)),
            sample("log_entries", "Entries of the anchored log.", number(status.checkpoint.size)),
            sample("batches", "Batches anchored since boot.", number(status.batches)),
            sample("calls_queued", "Calls that wait for the host's trunk.", number(status.queued as u64)),
            sample("commit_seconds_last", "Time to store and anchor the last batch.", latency.last.as_secs_f64()),
            sample(
                "commit_seconds_longest",
                "Time to store and anchor the slowest batch.",
                latency.longest.as_secs_f64(),
            ),
        ]
    }
}

fn anchor(state: &AnchorState, restores: u32) -> AnchorStatus {
    AnchorStatus {
        level: state.level.to_string(),
        floor: state.floor.to_string(),
        witnesses: state.witnesses.as_ref().map(|quorum| WitnessesStatus {
            required: quorum.required,
            names: quorum.witnesses.iter().map(|witness| witness.name.clone()).collect(),
            cosigned: state.cosigned,
        }),
        tpm: state.tpm.as_ref().map(|tpm| TpmStatus { attestation_key: tpm.attester.to_string(), index: tpm.index }),
        age_seconds: state.age.as_secs(),
        restores,
    }
}

/// Exact up to 2^53, which no gauge here reaches.
#[allow(clippy::cast_precision_loss, reason = "gauges are approximate by nature")]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_came_before_the_charge_is_called_so() {
        assert!(matches!(refusal(CallError::EnclaveGone(None)), WalletsError::Unavailable(_)));
        assert!(matches!(refusal(CallError::Storage), WalletsError::Fault(_)));
        assert!(matches!(sealed_refusal(CallError::EnclaveGone(None)), WalletsError::Interrupted(_)));
        assert!(matches!(sealed_refusal(CallError::Storage), WalletsError::Interrupted(_)));
        assert!(matches!(sealed_refusal(CallError::Timeout), WalletsError::Timeout));
        assert!(matches!(sealed_refusal(CallError::NotReady), WalletsError::Unavailable(_)));
        assert!(matches!(sealed_refusal(CallError::Overloaded), WalletsError::Refused(Refusal::Overloaded)));
    }
}
