//! Frames and messages.

use pinseal_attestation::{Document, SoftwarePayload};
use pinseal_protocol::cbor;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::frames::Frames;
use pinseal_protocol::history::History;
use pinseal_protocol::intent::{Intent, Signed};
use pinseal_protocol::limits::{BOOT_HEADERS_MAX, FRAME_BYTES_MAX};
use pinseal_protocol::log::{Consistency, Entry, Frontier, Inclusion};
use pinseal_protocol::manifest::Manifest;
use pinseal_protocol::order::Order;
use pinseal_protocol::pin::PinParameters;
use pinseal_protocol::reply::{Reply, SealedReply, Status};
use pinseal_protocol::request::{
    AddressStatement, BeginReply, Body, Request, RequestHeader, SealedRequest, SignedBeginReply, SignedStatement,
};
use pinseal_protocol::wire::{self, Batch, Begun, FromEnclave, Halt, ToEnclave};

use crate::canonical::is_canonical;
use crate::harness::base::{BASE, BOOT_SEED, START};
use crate::harness::host::Host;

/// The host's stream: however it is cut into pieces the same messages come out, and the enclave answers each or halts; what is out
/// of order halts it.
pub fn frame(data: &[u8]) {
    let (whole, end) = messages(data, data.len().max(1));
    let (pieces, piecewise_end) = messages(data, 7);
    let written = encoded(&whole);
    assert!(written == encoded(&pieces) && end == piecewise_end, "pieces do not matter");
    assert!(data.starts_with(&written), "a message has one encoding");

    let mut host = Host::new(BASE.configuration.clone(), BASE.peopled.clone(), START + 60, BOOT_SEED);
    let mut phase = Phase::Waiting;
    for message in whole {
        let may = phase.admits(&message);
        // A message holds secrets and has no `Clone`: the enclave gets another reading of the same bytes.
        let again = cbor::from_slice(&cbor::to_vec(&message)).expect("it was read once");
        let effects = host.enclave.step(again, &mut host.environment);
        for effect in &effects {
            wire::frame(effect).expect("what the enclave says fits into a frame");
        }
        let halted = effects.iter().find_map(|effect| match effect {
            FromEnclave::Halted { halt, .. } => Some(*halt),
            _ => None,
        });
        assert_eq!(host.enclave.is_halted(), halted.is_some() || phase.ends_by(&effects));
        if !may {
            assert_eq!(halted, Some(Halt::Protocol), "out of order: {message:?}");
        }
        phase = phase.after(&message, &effects);
    }
}

fn encoded(messages: &[ToEnclave]) -> Vec<u8> {
    messages.iter().flat_map(|message| wire::frame(message).expect("it came in a frame")).collect()
}

fn messages(data: &[u8], piece: usize) -> (Vec<ToEnclave>, Option<wire::FrameError>) {
    let (mut frames, mut out) = (Frames::default(), Vec::new());
    for piece in data.chunks(piece) {
        let taken = frames.fill(piece.len(), |room| {
            room.copy_from_slice(piece);
            Ok::<_, core::convert::Infallible>(piece.len())
        });
        assert_eq!(taken, Ok(piece.len()));
        loop {
            match frames.message() {
                Ok(Some(message)) => out.push(message),
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
        assert!(frames.waiting() < 4 + FRAME_BYTES_MAX);
    }
    (out, None)
}

/// The table at `pinseal_enclave::Enclave`, written a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// In a TPM, whose index waits to be defined, or to take the genesis.
    Creating(bool),
    Priming,
    /// With a change of the configuration or without.
    Booting(bool),
    RollingForward(bool),
    Anchoring,
    Changing,
    Serving,
    Halted,
}

impl Phase {
    fn admits(self, message: &ToEnclave) -> bool {
        match self {
            Self::Waiting => {
                matches!(message, ToEnclave::Create { .. } | ToEnclave::Boot { .. } | ToEnclave::Prime { .. })
            }
            Self::Creating(is_defined) => match message {
                ToEnclave::Defined { .. } => !is_defined,
                _ => matches!(message, ToEnclave::Committed { batch, .. } if batch.0 == 0),
            },
            Self::Priming => matches!(message, ToEnclave::Defined { .. }),
            Self::Booting(_) => match message {
                ToEnclave::Headers { headers } => headers.len() <= BOOT_HEADERS_MAX,
                _ => matches!(message, ToEnclave::HeadersEnd),
            },
            Self::RollingForward(_) => matches!(message, ToEnclave::Committed { batch, .. } if batch.0 == 0),
            Self::Anchoring | Self::Changing => matches!(message, ToEnclave::Committed { batch, .. } if batch.0 == 1),
            Self::Serving => !matches!(
                message,
                ToEnclave::Create { .. } | ToEnclave::Boot { .. } | ToEnclave::Headers { .. } | ToEnclave::HeadersEnd
            ),
            Self::Halted => false,
        }
    }

    fn ends_by(self, effects: &[FromEnclave]) -> bool {
        match self {
            Self::Waiting | Self::Creating(_) => matches!(effects, [FromEnclave::Created { .. }]),
            Self::Priming => matches!(effects, [FromEnclave::Primed { .. }]),
            Self::RollingForward(true) | Self::Changing => matches!(effects, [FromEnclave::Changed { .. }]),
            _ => false,
        }
    }

    fn after(self, message: &ToEnclave, effects: &[FromEnclave]) -> Self {
        let said = |wanted: fn(&FromEnclave) -> bool| effects.iter().any(wanted);
        if said(|effect| matches!(effect, FromEnclave::Halted { .. })) || self.ends_by(effects) {
            return Self::Halted;
        }
        match (self, message) {
            (Self::Waiting, ToEnclave::Create { .. }) => Self::Creating(false),
            (Self::Waiting, ToEnclave::Prime { .. }) => Self::Priming,
            (Self::Creating(_), ToEnclave::Defined { .. }) => Self::Creating(true),
            (Self::Waiting, ToEnclave::Boot { change, .. }) => Self::Booting(change.is_some()),
            (Self::Booting(changes), ToEnclave::HeadersEnd) => {
                match (said(|effect| matches!(effect, FromEnclave::RollForward { .. })), changes) {
                    (true, changes) => Self::RollingForward(changes),
                    (false, true) => Self::Changing,
                    (false, false) => Self::Anchoring,
                }
            }
            (Self::RollingForward(true), _) => Self::Changing,
            (Self::RollingForward(false), _) => Self::Anchoring,
            (Self::Changing, _) => panic!("a change ends the boot"),
            (Self::Anchoring, _) => {
                assert!(said(|effect| matches!(effect, FromEnclave::Ready { .. })), "the manifest follows its receipt");
                Self::Serving
            }
            (phase, _) => phase,
        }
    }
}

/// Every message: the first byte picks the type. What decodes is in canonical form by a second opinion, and encodes to the same bytes.
pub fn cbor(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    if let Some(reread) = TYPES.get(usize::from(*which)) {
        let _ = reread(bytes);
    }
}

/// Messages by number; each says whether it accepts the bytes.
pub(crate) const TYPES: [fn(&[u8]) -> bool; 29] = [
    reread::<ToEnclave>,
    reread::<FromEnclave>,
    reread::<Batch>,
    reread::<Begun>,
    reread::<RequestHeader>,
    reread::<SealedRequest>,
    reread::<Body>,
    reread::<Request>,
    reread::<BeginReply>,
    reread::<SignedBeginReply>,
    reread::<Reply>,
    reread::<SealedReply>,
    reread::<Status>,
    reread::<Manifest>,
    reread::<Configuration>,
    reread::<Entry>,
    reread::<Frontier>,
    reread::<Consistency>,
    reread::<Intent>,
    reread::<Signed>,
    reread::<AddressStatement>,
    reread::<SignedStatement>,
    reread::<PinParameters>,
    reread::<Document>,
    reread::<SoftwarePayload>,
    reread::<Vec<u64>>,
    reread::<Order>,
    reread::<History>,
    reread::<Inclusion>,
];

fn reread<T>(bytes: &[u8]) -> bool
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()> + core::fmt::Debug,
{
    let Ok(value) = cbor::from_slice::<T>(bytes) else { return false };
    assert!(is_canonical(bytes), "accepted, and not canonical: {bytes:02x?}");
    let again = cbor::to_vec(&value);
    assert_eq!(again, bytes);
    assert_eq!(*cbor::to_zeroizing(&value), bytes);
    assert!(format!("{value:?}").len() < 64 * bytes.len() + 4_096, "a log line stays in proportion");
    true
}
