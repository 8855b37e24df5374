//! What the enclave answers, inside the sealed reply.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::history::History;
use crate::ids::{DeviceId, Hash32, RequestId, UnixSeconds, UserIdHash};
use crate::intent::Signed;
use crate::pin::PinParameters;
use crate::refusal::Refusal;
use crate::request::{BeginError, BeginReply, Method, SignedStatement, WalletState};

/// Tries left, as this device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
pub struct Tries {
    /// Wrong PINs this caller may still give before its path closes: the least of all caps that hold for it.
    #[n(0)]
    pub left: u8,
    /// Wrong PINs left over the life of this PIN, for this caller: none are left to unenrolled devices before enrolled ones.
    #[n(1)]
    pub life_left: u8,
    /// Seconds until the next try.
    #[n(2)]
    pub delay_seconds: u32,
}

/// A device as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceInfo {
    /// Thumbprint.
    #[n(0)]
    pub device: DeviceId,
    /// Name.
    #[n(1)]
    pub label: String,
    /// When it was enrolled.
    #[n(2)]
    pub enrolled: UnixSeconds,
    /// Wrong PINs outstanding.
    #[n(3)]
    pub outstanding: u8,
}

/// Answer to `status`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Status {
    /// State of the wallet.
    #[n(0)]
    pub state: WalletState,
    /// Whether the asking device is enrolled.
    #[n(1)]
    pub enrolled: bool,
    /// A PIN change waits for confirmation.
    #[n(2)]
    pub change_pending: bool,
    /// Enrolled devices; empty for an unenrolled one.
    #[n(3)]
    pub devices: Vec<DeviceInfo>,
    /// Wrong PINs outstanding from unenrolled devices.
    #[n(4)]
    pub unenrolled_outstanding: u8,
    /// Wrong PINs outstanding in all.
    #[n(5)]
    pub outstanding: u8,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Outcome {
    /// Refused before any try was charged.
    #[n(0)]
    Refused(#[n(0)] Refusal),
    /// The PIN is wrong; the try is gone.
    #[n(1)]
    WrongPin,
    /// `register_prepare` or `change_pin_prepare` stored the PIN; confirm it.
    #[n(2)]
    Prepared,
    /// The wallet is ready; its first address.
    #[n(3)]
    Registered(#[n(0)] SignedStatement),
    /// The PIN is right.
    #[n(4)]
    PinVerified,
    /// One result an intent, in order.
    #[n(5)]
    Signed(#[n(0)] Vec<Signed>),
    /// The new PIN is in force.
    #[n(6)]
    PinChanged,
    /// This device is enrolled.
    #[n(7)]
    DeviceEnrolled,
    /// The device is revoked.
    #[n(8)]
    DeviceRevoked,
    /// Outstanding tries are given back.
    #[n(9)]
    TriesCleared,
    /// Status.
    #[n(10)]
    Status(#[n(0)] Status),
    /// Addresses, in the order asked for.
    #[n(11)]
    Accounts(#[n(0)] Vec<SignedStatement>),
    /// The enclave failed after the charge; the try stays charged. A service fault, not a wrong PIN.
    #[n(12)]
    ServiceFault,
    /// What the entries asked for say.
    #[n(13)]
    History(#[n(0)] History),
    /// The restore is accepted: this device has one try.
    #[n(14)]
    RestoreAccepted,
}

/// What a further request of the same device and method is sealed under, without another `begin`. It needs no signature of the boot
/// key: it travels under the key of the reply, which only the enclave that opened the request can derive.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Next {
    /// As [`BeginReply::challenge`], for the version the record has after this operation.
    #[n(0)]
    pub challenge: ByteVec,
    /// State of the wallet.
    #[n(1)]
    pub state: WalletState,
    /// Whether this device is enrolled.
    #[n(2)]
    pub enrolled: bool,
    /// Parameters of the PIN in force.
    #[n(3)]
    pub current: Option<PinParameters>,
    /// Parameters of the PIN that waits for confirmation.
    #[n(4)]
    pub pending: Option<PinParameters>,
    /// Parameters for a PIN set in that operation.
    #[n(5)]
    pub next: PinParameters,
}

impl Next {
    /// More than one takes: a challenge and three sets of parameters.
    pub const BYTES_MAX: usize = 256;

    /// The begin reply it stands for: `manifest`, `device` and `method` are those of the request whose reply carried it, under whose
    /// key it was sealed, `wallet` the one that request was for.
    ///
    /// # Errors
    /// [`BeginError::Parameters`], as for a begin reply.
    pub fn into_begin(
        self,
        manifest: Hash32,
        wallet: UserIdHash,
        device: DeviceId,
        method: Method,
        time: UnixSeconds,
    ) -> Result<BeginReply, BeginError> {
        let Self { challenge, state, enrolled, current, pending, next } = self;
        let begin =
            BeginReply { manifest, wallet, device, method, challenge, state, enrolled, current, pending, next, time };
        begin.check_parameters()?;
        Ok(begin)
    }
}

/// Plaintext of a sealed reply, before padding.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Reply {
    /// The request answered.
    #[n(0)]
    pub request: RequestId,
    /// The enclave's (host-told) time.
    #[n(1)]
    pub time: UnixSeconds,
    /// Tries left; absent where there is no wallet.
    #[n(2)]
    pub tries: Option<Tries>,
    /// The newest anchored signed checkpoint; the client keeps it and presents it next time.
    #[n(3)]
    pub receipt: ByteVec,
    /// What came of it.
    #[n(4)]
    pub outcome: Outcome,
    /// What the next request is sealed under: with every answer that followed a charge, right PIN or wrong, where
    /// [`Method::continues`]; never with a refusal.
    #[n(5)]
    pub next: Option<Next>,
}

/// A sealed reply as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SealedReply {
    /// The request answered.
    #[n(0)]
    pub request: RequestId,
    /// Padded [`Reply`], keyed from the request's HPKE exporter.
    #[n(1)]
    pub ciphertext: ByteVec,
}
