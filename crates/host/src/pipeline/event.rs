//! What goes in and what comes out.

use pinseal_protocol::ids::{Nonce, Sequence, UserIdHash};
use pinseal_protocol::log::Consistency;
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::{Method, SealedRequest};
use pinseal_protocol::token::AccessToken;
use pinseal_protocol::tpm::{Authorisation, TpmNonce};
use pinseal_protocol::wire::{Batch, BatchId, CallId, FromEnclave, ToEnclave};
use pinseal_store::vault::{Checked, Grant, VaultError, WritePermit};

use crate::call::{BeginAnswer, CallError, Stop};

/// Names a caller; chosen by the shell, answered exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a caller asks.
#[derive(Debug)]
pub enum Ask {
    /// Begin an operation.
    Begin {
        /// Access token.
        access_token: AccessToken,
        /// Operation.
        method: Method,
        /// The user's wallet, if the caller believes to know it: saves a round to the enclave.
        wallet: Option<UserIdHash>,
    },
    /// A sealed request.
    Sealed {
        /// Its storage token. An identical resend is answered whatever became of the token meanwhile.
        token: Result<Checked, VaultError>,
        /// The request.
        request: Box<SealedRequest>,
    },
    /// Evidence over a nonce.
    Evidence {
        /// Chosen by the client.
        nonce: Nonce,
    },
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Begin`].
    Begun(BeginAnswer),
    /// To [`Ask::Sealed`].
    Sealed(SealedReply),
    /// To [`Ask::Evidence`].
    Evidence(Vec<u8>),
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A caller asks.
    Ask {
        /// Who.
        ticket: Ticket,
        /// What.
        ask: Ask,
    },
    /// A [`Action::Load`] is done.
    Loaded {
        /// Call.
        call: CallId,
        /// What was read.
        loaded: Result<Loaded, LoadFailure>,
    },
    /// A frame of the enclave.
    Enclave(FromEnclave),
    /// A [`Action::Store`] is done.
    Stored {
        /// Batch.
        batch: BatchId,
        /// What became of it.
        stored: Stored,
    },
    /// A [`Action::Advance`] is done.
    Advanced {
        /// Batch.
        batch: BatchId,
        /// What became of it.
        advanced: Advanced,
    },
    /// The enclave closed the connection, or it failed.
    Disconnected,
    /// Nothing else happened for a while: time passes, and there is room for housekeeping.
    Idle,
}

/// What was read for a call.
#[derive(Debug)]
pub struct Loaded {
    /// The grant of a sealed call, back from the read.
    pub grant: Option<Grant>,
    /// The wallet's record, if there is one.
    pub outer: Option<Vec<u8>>,
    /// The proof, if one was asked for and can be given.
    pub consistency: Option<Consistency>,
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadFailure {
    /// The access token does not open the record.
    Token(VaultError),
    /// The record belongs to another user.
    Foreign,
    /// The database failed.
    Storage,
}

/// What to read for a call.
#[derive(Debug)]
pub enum Load {
    /// The record for a begin.
    Begin {
        /// Access token.
        access_token: AccessToken,
        /// Wallet.
        wallet: UserIdHash,
        /// The enclave named the wallet; otherwise the caller guessed it, and nothing is remembered or refused for it.
        named_by_enclave: bool,
    },
    /// The record for a sealed call.
    Sealed {
        /// Whose record; comes back in [`Loaded`].
        grant: Grant,
        /// (older size, newer size) of a consistency proof.
        proof: Option<(u64, u64)>,
    },
}

/// What became of the transaction of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// On disk.
    Yes,
    /// Certainly not stored.
    No,
    /// Enclave and database disagree, so nothing was stored.
    Discontinuous,
    /// Unknown; the text is for the operator.
    Unknown(String),
}

/// What became of the advance of the anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    /// The anchor's receipt; and at L2 of the session in which the next advance is to be authorised.
    Receipt(Vec<u8>, Option<TpmNonce>),
    /// Another instance was faster; what the anchor holds.
    Lost(Vec<u8>),
    /// Not advanced, or unknown; the text is for the operator.
    Failed(String),
}

/// Something to do.
#[derive(Debug)]
pub enum Action {
    /// Send a frame to the enclave.
    Send(ToEnclave),
    /// Read for a call, then [`Event::Loaded`].
    Load {
        /// Call.
        call: CallId,
        /// What.
        load: Load,
    },
    /// Store a batch in one transaction, then [`Event::Stored`].
    Store {
        /// Batch.
        batch: Batch,
        /// One for each record, in order.
        permits: Vec<WritePermit>,
        /// What batches up to here superseded is dropped on the way.
        anchored: Sequence,
    },
    /// Advance the anchor, then [`Event::Advanced`].
    Advance {
        /// Batch.
        batch: BatchId,
        /// What the anchor holds.
        previous: Vec<u8>,
        /// What it is to hold.
        next: Vec<u8>,
        /// What the enclave authorises that with, at L2.
        authorisation: Option<Authorisation>,
    },
    /// Drop what batches up to here superseded.
    DropOld {
        /// Newest anchored checkpoint.
        anchored: Sequence,
    },
    /// Answer a caller.
    Answer {
        /// Who.
        ticket: Ticket,
        /// What.
        answer: Result<Answer, CallError>,
    },
    /// Close the connection; nothing but refusals follows.
    Stop(Stop),
}
