//! Sealed replies kept for an identical resend, so that a lost reply costs nothing.

use std::collections::{HashMap, VecDeque};

use pinseal_protocol::ids::{Hash32, RequestId, UnixSeconds};
use pinseal_protocol::reply::SealedReply;
use pinseal_protocol::request::SealedRequest;
use pinseal_protocol::{cbor, kdf};

/// Seconds a reply is kept: as long as its challenge lives.
pub(super) const REPLY_SECONDS: u64 = 600;
/// Bytes of replies kept; beyond, the oldest go first.
pub(super) const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a kept reply costs beside its ciphertext.
const OVERHEAD_BYTES: usize = 256;

/// Names a request by its id and H(all of it): whoever changes a bit of it has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Chosen by the client.
    pub request: RequestId,
    /// Hash of the encoded request.
    pub body: Hash32,
}

impl RequestKey {
    /// The key of a request, and its length in bytes.
    pub fn of(request: &SealedRequest) -> (Self, usize) {
        let encoded = cbor::to_vec(request);
        let body = kdf::hash("pinseal resend v1", &[&encoded]);
        (Self { request: request.header.request, body }, encoded.len())
    }
}

/// The replies.
#[derive(Debug, Default)]
pub(super) struct Replies {
    kept: HashMap<RequestKey, SealedReply>,
    by_age: VecDeque<(UnixSeconds, RequestKey)>,
    bytes: usize,
}

impl Replies {
    pub(super) fn find(&self, key: &RequestKey) -> Option<&SealedReply> {
        self.kept.get(key)
    }

    pub(super) fn keep(&mut self, key: RequestKey, reply: SealedReply, now: UnixSeconds) {
        self.bytes += cost(&reply);
        if let Some(old) = self.kept.insert(key, reply) {
            // The age entry of the old one stays and removes this one early, which is only a lost convenience.
            self.bytes -= cost(&old);
        }
        self.by_age.push_back((UnixSeconds(now.0.saturating_add(REPLY_SECONDS)), key));
        while self.bytes > REPLY_BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// Drops what has expired.
    pub(super) fn expire(&mut self, now: UnixSeconds) {
        while self.by_age.front().is_some_and(|(expires, _)| *expires <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((_, key)) = self.by_age.pop_front() else { return };
        if let Some(reply) = self.kept.remove(&key) {
            self.bytes -= cost(&reply);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(reply: &SealedReply) -> usize {
    reply.ciphertext.len() + OVERHEAD_BYTES
}
