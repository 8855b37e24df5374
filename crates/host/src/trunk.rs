//! The thin shell: threads, socket, database and anchor around the [`Pipeline`].
//!
//! | thread | does | ends |
//! |---|---|---|
//! | `trunk` | owns the pipeline, writes to the enclave, answers callers | with the last handle |
//! | `trunk-enclave` | reads frames | with the connection |
//! | `trunk-loader` | reads what is not in memory: records and proofs | with `trunk` |
//! | `trunk-committer` | stores batches and advances the anchor, one after the other | with `trunk` |

mod committer;
mod loader;
mod main_loop;
mod meter;
mod status;

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use pinseal_anchor::Anchor;
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::ids::{Nonce, UserIdHash};
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{Method, SealedRequest};
use pinseal_protocol::token::{AccessToken, StorageToken};
use pinseal_store::clock::Clock;
use pinseal_store::deployment::Deployment;
use pinseal_store::records::Records;
use pinseal_store::vault::Vault;

use crate::boot::{BootError, Durable, Purpose, boot};
use crate::call::{BeginAnswer, CallError, Stop};
use crate::link::Link;
use crate::pause::Pause;
use crate::pipeline::{Ask, Pipeline};
use main_loop::{Done, MainLoop, Message, Workers};
pub use meter::{BatchMetrics, Distribution};
use status::Board;
pub use status::{AnchorState, CommitLatency, TrunkStatus};

/// Calls that may wait for the main loop; it only decides, so a queue this long means that it does not keep up at all.
const ASKS_QUEUED_MAX: usize = 4_096;

/// What a trunk is made of.
pub struct Parts {
    /// Files of the deployment.
    pub deployment: Deployment,
    /// Records and log.
    pub records: Records,
    /// The anchor, of the configured level.
    pub anchor: Box<dyn Anchor>,
    /// Judges storage tokens.
    pub vault: Arc<Vault>,
    /// The deployment's configuration.
    pub configuration: Configuration,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl core::fmt::Debug for Parts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Parts").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

/// A handle on the one enclave; clones are handles on the same one. The last one dropped closes the connection.
#[derive(Clone)]
pub struct Trunk {
    shared: Arc<Shared>,
}

impl core::fmt::Debug for Trunk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let status = self.status();
        f.debug_struct("Trunk").field("ready", &status.ready).field("stopped", &status.stopped).finish_non_exhaustive()
    }
}

struct Shared {
    messages: Mutex<Sender<Message>>,
    queued: Arc<AtomicUsize>,
    board: Arc<Board>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let messages = self.messages.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Already gone is closed too.
        let _ = messages.send(Message::Close);
    }
}

impl Trunk {
    /// Boots the enclave behind `stream` (finishing an interrupted creation first) and serves it. Blocks until the enclave
    /// serves.
    ///
    /// # Errors
    /// [`BootError`].
    pub fn start(stream: UnixStream, parts: Parts) -> Result<Self, BootError> {
        let Parts { deployment, records, mut anchor, vault, configuration, clock } = parts;
        if anchor.level() != configuration.anchor {
            return Err(BootError::AnchorLevel);
        }
        let mut link = Link::new(stream)?;
        let durable = Durable {
            deployment: &deployment,
            records: &records,
            anchor: &mut *anchor,
            clock: &*clock,
            purpose: Purpose::Serve,
        };
        let booted = boot(&mut link, cbor::to_vec(&configuration), durable).inspect_err(|_| link.close())?;
        link.wait_forever()?;
        let now = clock.now();
        vault.recall(records.used_tokens(now)?, now);

        let pipeline = Pipeline::new(Arc::clone(&vault), booted.anchored.clone(), booted.wallets);
        let pipeline = pipeline.paused_since(booted.paused);
        let manifest = cbor::from_slice(&booted.manifest).map_err(|_| BootError::Protocol("no manifest in ready"))?;
        let board = Arc::new(Board::new(booted, &manifest, anchor.cosigned()));
        let (messages, mailbox) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let reader = main_loop::spawn_reader(link.split()?, messages.clone())?;
        let (loads, loader) = loader::start(records.clone(), Arc::clone(&vault), Arc::clone(&clock), messages.clone())?;
        let (writes, committer) =
            committer::start(records.clone(), anchor, Arc::clone(&clock), Arc::clone(&board), messages.clone())?;
        let workers = Workers { records, loads, writes, threads: vec![reader, loader, committer] };
        let main = MainLoop::new(link, pipeline, workers, Arc::clone(&clock), Arc::clone(&board));
        main.spawn(mailbox, Arc::clone(&queued))?;
        Ok(Self { shared: Arc::new(Shared { messages: Mutex::new(messages), queued, board, vault, clock }) })
    }

    /// Begins an operation. `wallet` is the user's, if the caller knows it. Returns at once; `done` runs on the trunk's own
    /// thread and must be short.
    pub fn begin(
        &self,
        access_token: AccessToken,
        method: Method,
        wallet: Option<UserIdHash>,
        done: impl FnOnce(Result<BeginAnswer, CallError>) + Send + 'static,
    ) {
        self.ask(Ask::Begin { access_token, method, wallet }, Done::begun(done));
    }

    /// Hands a sealed request on under its storage token, which must be for `wallet`. As [`Trunk::begin`] otherwise.
    pub fn sealed(
        &self,
        storage_token: &StorageToken,
        wallet: &UserIdHash,
        request: SealedRequest,
        done: impl FnOnce(Result<SealedReply, CallError>) + Send + 'static,
    ) {
        let (text, method) = (storage_token.expose_secret(), request.header.method);
        let token = self.shared.vault.check(text, wallet, method, self.shared.clock.now());
        self.ask(Ask::Sealed { token, request: Box::new(request) }, Done::sealed(done));
    }

    /// Fetches evidence over `nonce`. As [`Trunk::begin`] otherwise.
    pub fn evidence(&self, nonce: Nonce, done: impl FnOnce(Result<Vec<u8>, CallError>) + Send + 'static) {
        self.ask(Ask::Evidence { nonce }, Done::evidence(done));
    }

    /// What there is to know, as of the last event.
    pub fn status(&self) -> TrunkStatus {
        self.shared.board.read(self.shared.queued.load(Ordering::Relaxed))
    }

    /// Calls `notify` once when the trunk stops for good, at once if it has: the process exits then.
    pub fn on_stop(&self, notify: impl FnOnce(Stop) + Send + 'static) {
        self.shared.board.on_stop(Box::new(notify));
    }

    /// Calls `notify` once when enrolment is paused, at once if it is. It runs on the trunk's own thread and must be short.
    pub fn on_pause(&self, notify: impl FnOnce(Pause) + Send + 'static) {
        self.shared.board.on_pause(Box::new(notify));
    }

    /// Ends the trunk for every handle and waits until it holds neither socket nor database nor anchor any more. A batch that
    /// is being stored is finished; whoever waits for an answer is told that the enclave is gone. Not for the trunk's own
    /// thread, so not inside `done` or `notify`.
    pub fn close(&self) {
        let messages = self.shared.messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Already gone is closed too.
        let _ = messages.send(Message::Close);
        drop(messages);
        self.shared.board.wait_closed();
    }

    fn ask(&self, ask: Ask, done: Done) {
        if self.shared.queued.fetch_add(1, Ordering::Relaxed) >= ASKS_QUEUED_MAX {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            return done.call(Err(CallError::Overloaded));
        }
        let sent = self.shared.messages.lock().unwrap_or_else(PoisonError::into_inner).send(Message::Ask(ask, done));
        if let Err(returned) = sent
            && let Message::Ask(_, done) = returned.0
        {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            done.call(Err(CallError::EnclaveGone(None)));
        }
    }
}
