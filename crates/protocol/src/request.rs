//! What a client asks the enclave: begin, the sealed request, and what lies inside it.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::cbor;
use crate::history::LoggedWrite;
use crate::ids::{DeploymentId, DeviceId, Hash32, RequestId, UnixSeconds, UserIdHash};
use crate::intent::{AccountIndex, Intent};
use crate::limits::{ACCOUNTS_MAX, HISTORY_WRITES_MAX, INCLUSION_HASHES_MAX, INTENTS_MAX, LABEL_BYTES_MAX};
use crate::manifest::{Ed25519Public, HpkePublic};
use crate::pin::{PinFactor, PinParameters};
use crate::token::{AccessToken, P256Public};

/// The only format this version writes and reads.
pub const REQUEST_VERSION: u8 = 1;

/// HPKE suite (RFC 9180): on the wire so that another can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Suite {
    /// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode.
    #[n(1)]
    X25519Aes256Gcm,
}

/// The operation, in clear so that host and log can name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Method {
    /// Make a wallet under a PIN; not usable until confirmed.
    #[n(0)]
    RegisterPrepare,
    /// Confirm the PIN and get the first address.
    #[n(1)]
    RegisterConfirm,
    /// Check the PIN and do nothing else.
    #[n(2)]
    VerifyPin,
    /// Sign 1 to [`INTENTS_MAX`] intents.
    #[n(3)]
    Sign,
    /// Store a new PIN beside the old one.
    #[n(4)]
    ChangePinPrepare,
    /// Confirm the new PIN; the old one ends.
    #[n(5)]
    ChangePinConfirm,
    /// Enrol this device.
    #[n(6)]
    EnrolDevice,
    /// Revoke a device.
    #[n(7)]
    RevokeDevice,
    /// Give back every outstanding try.
    #[n(8)]
    ClearTries,
    /// Read tries, devices and state. Takes no PIN, writes nothing.
    #[n(9)]
    Status,
    /// Read addresses with their statements. Takes no PIN, writes nothing.
    #[n(10)]
    ListAccounts,
    /// Read what entries of the log say of this wallet. Takes no PIN, writes nothing.
    #[n(11)]
    OpenHistory,
    /// Accept that the operators put an older state back. Takes no PIN; opens the way for one.
    #[n(12)]
    AcceptRestore,
}

impl Method {
    /// Every method.
    pub const ALL: &'static [Self] = &[
        Self::RegisterPrepare,
        Self::RegisterConfirm,
        Self::VerifyPin,
        Self::Sign,
        Self::ChangePinPrepare,
        Self::ChangePinConfirm,
        Self::EnrolDevice,
        Self::RevokeDevice,
        Self::ClearTries,
        Self::Status,
        Self::ListAccounts,
        Self::OpenHistory,
        Self::AcceptRestore,
    ];

    /// Name in API, tokens and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegisterPrepare => "register_prepare",
            Self::RegisterConfirm => "register_confirm",
            Self::VerifyPin => "verify_pin",
            Self::Sign => "sign",
            Self::ChangePinPrepare => "change_pin_prepare",
            Self::ChangePinConfirm => "change_pin_confirm",
            Self::EnrolDevice => "enrol_device",
            Self::RevokeDevice => "revoke_device",
            Self::ClearTries => "clear_tries",
            Self::Status => "status",
            Self::ListAccounts => "list_accounts",
            Self::OpenHistory => "open_history",
            Self::AcceptRestore => "accept_restore",
        }
    }

    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name() == name)
    }

    /// How many record writes, and as many log entries, a request of this method makes, whatever its outcome.
    pub const fn writes(self) -> u8 {
        match self {
            Self::RegisterPrepare | Self::AcceptRestore => 1,
            Self::Status | Self::ListAccounts | Self::OpenHistory => 0,
            _ => 2,
        }
    }

    /// True if the sealed reply carries the challenge for the next request of this method. Signing is what people do again and again.
    pub const fn continues(self) -> bool {
        matches!(self, Self::Sign)
    }
}

/// State of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum WalletState {
    /// None yet.
    #[n(0)]
    Missing,
    /// Registered, first PIN not confirmed.
    #[n(1)]
    Prepared,
    /// In use.
    #[n(2)]
    Active,
}

/// Answer to `begin`, signed by the boot key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BeginReply {
    /// H(manifest) of the boot that answers.
    #[n(0)]
    pub manifest: Hash32,
    /// The caller's wallet.
    #[n(1)]
    pub wallet: UserIdHash,
    /// The device the challenge is bound to.
    #[n(2)]
    pub device: DeviceId,
    /// The operation it is bound to.
    #[n(3)]
    pub method: Method,
    /// Goes back in the sealed request and is consumed at the charge. Opaque, but for [`crate::challenge::version`].
    #[n(4)]
    pub challenge: ByteVec,
    /// State of the wallet.
    #[n(5)]
    pub state: WalletState,
    /// Whether this device is enrolled.
    #[n(6)]
    pub enrolled: bool,
    /// Parameters of the PIN in force.
    #[n(7)]
    pub current: Option<PinParameters>,
    /// Parameters of the PIN that waits for confirmation.
    #[n(8)]
    pub pending: Option<PinParameters>,
    /// Parameters for a PIN set in this operation.
    #[n(9)]
    pub next: PinParameters,
    /// The enclave's (host-told) time.
    #[n(10)]
    pub time: UnixSeconds,
}

/// [`BeginReply`] under the boot key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedBeginReply {
    /// Encoded [`BeginReply`].
    #[n(0)]
    pub reply: ByteVec,
    /// Ed25519 over [`BeginReply::signed_bytes`].
    #[n(1)]
    pub signature: ByteVec,
}

impl BeginReply {
    /// What the boot key signs.
    pub fn signed_bytes(encoded: &[u8]) -> Vec<u8> {
        let mut out = b"pinseal begin v1\0".to_vec();
        out.extend_from_slice(encoded);
        out
    }

    /// That no PIN factor is computed below the floor or beyond the ceiling, whoever asks.
    ///
    /// # Errors
    /// [`BeginError::Parameters`].
    pub(crate) fn check_parameters(&self) -> Result<(), BeginError> {
        let all = [self.current, self.pending, Some(self.next)];
        let acceptable = all.into_iter().flatten().all(|parameters| parameters.argon2.is_acceptable());
        if acceptable { Ok(()) } else { Err(BeginError::Parameters) }
    }
}

impl SignedBeginReply {
    /// Verifies the signature and that the answer is for this boot, device and method.
    ///
    /// # Errors
    /// [`BeginError`].
    pub fn verify(
        &self,
        boot: &Ed25519Public,
        manifest: &Hash32,
        device: &DeviceId,
        method: Method,
    ) -> Result<BeginReply, BeginError> {
        if !boot.verifies(&BeginReply::signed_bytes(&self.reply), &self.signature) {
            return Err(BeginError::Signature);
        }
        let reply: BeginReply = cbor::from_slice(&self.reply).map_err(|_| BeginError::Malformed)?;
        if reply.manifest != *manifest {
            return Err(BeginError::OtherBoot);
        }
        if reply.device != *device || reply.method != method {
            return Err(BeginError::Malformed);
        }
        reply.check_parameters()?;
        Ok(reply)
    }
}

/// Why a client does not believe a begin reply; it never computes a PIN factor from one it does not believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// Not signed by the attested boot key: somebody between client and enclave changed it.
    #[error("begin reply is not signed by the attested enclave")]
    Signature,
    /// Signed, but by another boot than the evidence shows: fetch the evidence again.
    #[error("begin reply is of another boot")]
    OtherBoot,
    /// For another device or operation.
    #[error("begin reply is for another device or operation")]
    Malformed,
    /// Argon2 parameters below the floor or beyond the ceiling.
    #[error("begin reply asks for unacceptable Argon2 parameters")]
    Parameters,
}

/// A sealed request as it travels; everything but `enc` and `ciphertext` is associated data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SealedRequest {
    /// The part the host may read.
    #[n(0)]
    pub header: RequestHeader,
    /// Encapsulated key.
    #[n(1)]
    pub enc: HpkePublic,
    /// Sealed [`Body`] and device signature.
    #[n(2)]
    pub ciphertext: ByteVec,
}

/// Associated data of a sealed request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RequestHeader {
    /// [`REQUEST_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Cipher suite.
    #[n(1)]
    pub suite: Suite,
    /// H(manifest) it is sealed to.
    #[n(2)]
    pub manifest: Hash32,
    /// Operation.
    #[n(3)]
    pub method: Method,
    /// Random.
    #[n(4)]
    pub request: RequestId,
    /// From [`BeginReply::challenge`].
    #[n(5)]
    pub challenge: ByteVec,
    /// H(access token).
    #[n(6)]
    pub token: Hash32,
    /// Device.
    #[n(7)]
    pub device: DeviceId,
    /// Size of the newest checkpoint this device holds, 0 for none: the host proves that its log continues it.
    #[n(8)]
    pub receipt_size: u64,
}

/// Plaintext of a sealed request, without the device signature.
#[derive(Encode, Decode)]
#[cbor(array)]
pub struct Body {
    /// Access token; its hash is in the header.
    #[n(0)]
    pub access_token: AccessToken,
    /// The device's public key; its thumbprint is in the header and in the token.
    #[n(1)]
    pub device_key: P256Public,
    /// The newest signed checkpoint this device holds; its size is in the header.
    #[n(2)]
    pub receipt: Option<ByteVec>,
    /// What is asked.
    #[n(3)]
    pub request: Request,
}

impl core::fmt::Debug for Body {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { access_token: _, device_key, receipt: _, request } = self;
        f.debug_struct("Body").field("device_key", device_key).field("request", request).finish_non_exhaustive()
    }
}

/// What is asked. PIN factors zero themselves when dropped.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
pub enum Request {
    /// [`Method::RegisterPrepare`].
    #[n(0)]
    RegisterPrepare {
        /// From [`BeginReply::next`].
        #[n(0)]
        pin: PinFactor,
        /// 12 or 24.
        #[n(1)]
        words: u8,
        /// Name of this device.
        #[n(2)]
        label: String,
    },
    /// [`Method::RegisterConfirm`].
    #[n(1)]
    RegisterConfirm {
        /// From [`BeginReply::pending`].
        #[n(0)]
        pin: PinFactor,
    },
    /// [`Method::VerifyPin`].
    #[n(2)]
    VerifyPin {
        /// From [`BeginReply::current`].
        #[n(0)]
        pin: PinFactor,
    },
    /// [`Method::Sign`].
    #[n(3)]
    Sign {
        /// From [`BeginReply::current`].
        #[n(0)]
        pin: PinFactor,
        /// 1 to [`INTENTS_MAX`].
        #[n(1)]
        intents: Vec<Intent>,
    },
    /// [`Method::ChangePinPrepare`].
    #[n(4)]
    ChangePinPrepare {
        /// From [`BeginReply::current`].
        #[n(0)]
        pin: PinFactor,
        /// From [`BeginReply::next`].
        #[n(1)]
        new_pin: PinFactor,
    },
    /// [`Method::ChangePinConfirm`].
    #[n(5)]
    ChangePinConfirm {
        /// From [`BeginReply::pending`].
        #[n(0)]
        pin: PinFactor,
    },
    /// [`Method::EnrolDevice`].
    #[n(6)]
    EnrolDevice {
        /// From [`BeginReply::current`].
        #[n(0)]
        pin: PinFactor,
        /// Name of this device.
        #[n(1)]
        label: String,
    },
    /// [`Method::RevokeDevice`].
    #[n(7)]
    RevokeDevice {
        /// From [`BeginReply::current`].
        #[n(0)]
        pin: PinFactor,
        /// The device that is to go.
        #[n(1)]
        device: DeviceId,
    },
    /// [`Method::ClearTries`].
    #[n(8)]
    ClearTries {
        /// From [`BeginReply::current`].
        #[n(0)]
        pin: PinFactor,
    },
    /// [`Method::Status`].
    #[n(9)]
    Status,
    /// [`Method::ListAccounts`].
    #[n(10)]
    ListAccounts {
        /// 1 to [`ACCOUNTS_MAX`] indices.
        #[n(0)]
        accounts: Vec<AccountIndex>,
    },
    /// [`Method::OpenHistory`].
    #[n(11)]
    OpenHistory {
        /// Up to [`HISTORY_WRITES_MAX`] entries of the caller's wallet, proved in the log of the receipt in [`Body::receipt`]; none to learn
        /// the newest version alone.
        #[n(0)]
        writes: Vec<LoggedWrite>,
    },
    /// [`Method::AcceptRestore`].
    #[n(12)]
    AcceptRestore {
        /// The restore that is accepted, by its number.
        #[n(0)]
        restores: u32,
    },
}

impl Request {
    /// The method this is a request of.
    pub const fn method(&self) -> Method {
        match self {
            Self::RegisterPrepare { .. } => Method::RegisterPrepare,
            Self::RegisterConfirm { .. } => Method::RegisterConfirm,
            Self::VerifyPin { .. } => Method::VerifyPin,
            Self::Sign { .. } => Method::Sign,
            Self::ChangePinPrepare { .. } => Method::ChangePinPrepare,
            Self::ChangePinConfirm { .. } => Method::ChangePinConfirm,
            Self::EnrolDevice { .. } => Method::EnrolDevice,
            Self::RevokeDevice { .. } => Method::RevokeDevice,
            Self::ClearTries { .. } => Method::ClearTries,
            Self::Status => Method::Status,
            Self::ListAccounts { .. } => Method::ListAccounts,
            Self::OpenHistory { .. } => Method::OpenHistory,
            Self::AcceptRestore { .. } => Method::AcceptRestore,
        }
    }

    /// The PIN factor that is tested, if one is.
    pub const fn tested_pin(&self) -> Option<&PinFactor> {
        match self {
            Self::RegisterConfirm { pin }
            | Self::VerifyPin { pin }
            | Self::Sign { pin, .. }
            | Self::ChangePinPrepare { pin, .. }
            | Self::ChangePinConfirm { pin }
            | Self::EnrolDevice { pin, .. }
            | Self::RevokeDevice { pin, .. }
            | Self::ClearTries { pin } => Some(pin),
            Self::RegisterPrepare { .. }
            | Self::Status
            | Self::ListAccounts { .. }
            | Self::OpenHistory { .. }
            | Self::AcceptRestore { .. } => None,
        }
    }

    /// True if every count and length is within its bound.
    pub fn is_within_bounds(&self) -> bool {
        match self {
            Self::RegisterPrepare { words, label, .. } => matches!(words, 12 | 24) && is_label(label),
            Self::EnrolDevice { label, .. } => is_label(label),
            Self::Sign { intents, .. } => {
                (1..=INTENTS_MAX).contains(&intents.len()) && intents.iter().all(|intent| intent.account().is_valid())
            }
            Self::ListAccounts { accounts } => {
                (1..=ACCOUNTS_MAX).contains(&accounts.len()) && accounts.iter().all(|account| account.is_valid())
            }
            Self::OpenHistory { writes } => {
                writes.len() <= HISTORY_WRITES_MAX
                    && writes.iter().all(|write| write.path.len() <= INCLUSION_HASHES_MAX)
            }
            _ => true,
        }
    }
}

/// A device label: 1 to [`LABEL_BYTES_MAX`] bytes of UTF-8 without control characters.
pub fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len()) && !label.chars().any(char::is_control)
}

/// The transcript a device signs: everything that decides what happens.
pub fn device_transcript(enc: &HpkePublic, header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = b"pinseal device v1\0".to_vec();
    out.extend_from_slice(&enc.0);
    out.extend_from_slice(&(header.len() as u64).to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    out
}

/// A signed claim of K_log that an address belongs to a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AddressStatement {
    /// Deployment.
    #[n(0)]
    pub deployment: DeploymentId,
    /// Wallet.
    #[n(1)]
    pub wallet: UserIdHash,
    /// BIP-44 path.
    #[n(2)]
    pub path: String,
    /// CAIP-2 namespace the address is valid in (`eip155`: the same address on every EVM network).
    #[n(3)]
    pub network: String,
    /// The address bytes.
    #[n(4)]
    pub address: ByteVec,
}

/// [`AddressStatement`] under K_log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedStatement {
    /// Encoded [`AddressStatement`].
    #[n(0)]
    pub statement: ByteVec,
    /// Ed25519 over [`AddressStatement::signed_bytes`].
    #[n(1)]
    pub signature: ByteVec,
}

impl AddressStatement {
    /// What K_log signs.
    pub fn signed_bytes(encoded: &[u8]) -> Vec<u8> {
        let mut out = b"pinseal address v1\0".to_vec();
        out.extend_from_slice(encoded);
        out
    }
}

impl SignedStatement {
    /// The statement, if `log` signed it for this deployment and wallet; otherwise `None`, and the address is not shown.
    pub fn verify(
        &self,
        log: &Ed25519Public,
        deployment: &DeploymentId,
        wallet: &UserIdHash,
    ) -> Option<AddressStatement> {
        if !log.verifies(&AddressStatement::signed_bytes(&self.statement), &self.signature) {
            return None;
        }
        let statement: AddressStatement = cbor::from_slice(&self.statement).ok()?;
        (statement.deployment == *deployment && statement.wallet == *wallet).then_some(statement)
    }
}
