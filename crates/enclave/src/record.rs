//! The sealed record of one wallet: outer AEAD under the root, inner AEAD under PIN and root together.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use pinseal_keys::AccountPublic;
use pinseal_protocol::aead::SealingKey;
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{DeviceId, Hash32, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::{DEVICES_MAX, PENDING_SECONDS_MAX};
use pinseal_protocol::pin::PinParameters;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Tries;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::wire::Header;
use zeroize::{Zeroize, Zeroizing};

use crate::environment::{Environment, random};
use crate::guard::{Caller, Guard};
use crate::operation::Settings;
use crate::planted::{self, Defect};
use crate::root::{EPOCH, Keys};

/// Every record's plaintext is padded to this, whatever it holds.
pub const RECORD_BYTES: usize = 3_072;
const OUTER_VERSION: u8 = 1;
const ZEROS: [u8; 64] = [0; 64];

/// The seed sealed under one PIN.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct Inner {
    #[n(0)]
    pub(crate) parameters: PinParameters,
    /// Changes only when the PIN does.
    #[n(1)]
    pub(crate) generation: u64,
    /// k_u: turns S into F.
    #[n(2)]
    pub(crate) factor_key: SecretBytes<32>,
    /// rho: salt of K_u.
    #[n(3)]
    pub(crate) rho: SecretBytes<32>,
    #[n(4)]
    pub(crate) ciphertext: ByteVec,
}

/// A PIN that waits for confirmation.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct Pending {
    #[n(0)]
    pub(crate) inner: Inner,
    /// By the clock of delays.
    #[n(1)]
    pub(crate) since: UnixSeconds,
}

/// One enrolled device; its tries lie in the guard at the same place.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct Device {
    #[n(0)]
    pub(crate) device: DeviceId,
    #[n(1)]
    pub(crate) label: String,
    #[n(2)]
    pub(crate) enrolled: UnixSeconds,
    /// The newest restore it accepted, 0 for none.
    #[n(3)]
    pub(crate) accepted: u32,
    /// It has not yet used the one try that its acceptance gave it.
    #[n(4)]
    pub(crate) may_try: bool,
}

/// One wallet.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct Record {
    /// H(issuer, subject): the wallet is this user's.
    #[n(0)]
    pub(crate) subject: Hash32,
    /// Absent until the first PIN is confirmed.
    #[n(1)]
    pub(crate) active: Option<Inner>,
    /// A PIN that waits for confirmation.
    #[n(2)]
    pub(crate) pending: Option<Pending>,
    /// m/44'/60'/0'/0 in public form: addresses are listed without a PIN.
    #[n(3)]
    pub(crate) accounts: ByteVec,
    #[n(4)]
    pub(crate) devices: Vec<Device>,
    #[n(5)]
    pub(crate) guard: Guard,
    /// The restore up to which this wallet's owner has shown the right PIN. Behind the deployment's the wallet is closed to PINs: how many
    /// were tried since the older state is forgotten.
    #[n(6)]
    pub(crate) restores: u32,
}

impl Record {
    /// True unless an older state was put back since the owner last showed the PIN.
    pub(crate) fn is_open(&self, restores: u32) -> bool {
        self.restores >= restores || planted::is(Defect::RestoreLeavesOpen)
    }

    /// Tries this device has: what the guard says, and at most the one of an acceptance while the wallet is closed by a restore.
    pub(crate) fn tries(&self, device: &DeviceId, settings: &Settings<'_>) -> Tries {
        let tries = self.guard.tries(self.caller(device), settings.ticks);
        if self.is_open(settings.restores) {
            return tries;
        }
        let may_try = |known: &&Device| known.device == *device && known.accepted >= settings.restores && known.may_try;
        let left = u8::from(self.devices.iter().any(|known| may_try(&known)));
        Tries { left: tries.left.min(left), ..tries }
    }

    /// Takes the one try that accepting a restore gave this device; why it has none, otherwise.
    pub(crate) fn take_accepted_try(&mut self, device: &DeviceId, restores: u32) -> Result<(), Refusal> {
        if self.is_open(restores) {
            return Ok(());
        }
        let is_stranger = self.caller(device) == Caller::Unenrolled;
        let known = self.devices.iter_mut().find(|known| known.device == *device && known.accepted >= restores);
        if is_stranger && planted::is(Defect::RestoredOpenForStrangers) {
            return Ok(());
        }
        let known = known.ok_or(Refusal::RestoreNotAccepted)?;
        if !known.may_try && !planted::is(Defect::AcceptanceGivesManyTries) {
            return Err(Refusal::RestoreTried);
        }
        known.may_try = planted::is(Defect::AcceptanceNotCharged);
        Ok(())
    }

    /// This device accepts the restore: once, and again without effect while that is of use.
    pub(crate) fn accept_restore(&mut self, device: &DeviceId, restores: u32) -> Result<(), Refusal> {
        let is_open = self.is_open(restores);
        let known = self.devices.iter_mut().find(|known| known.device == *device).ok_or(Refusal::DeviceNotEnrolled)?;
        if known.accepted < restores || planted::is(Defect::SecondAcceptanceGivesTry) {
            (known.accepted, known.may_try) = (restores, true);
            return Ok(());
        }
        if is_open || known.may_try { Ok(()) } else { Err(Refusal::RestoreTried) }
    }

    /// Who asks, as this record knows devices.
    pub(crate) fn caller(&self, device: &DeviceId) -> Caller {
        self.devices.iter().position(|known| known.device == *device).map_or(Caller::Unenrolled, Caller::Enrolled)
    }

    /// The PIN that waits for confirmation, unless it has waited too long. A first PIN waits for ever: there is no other.
    pub(crate) fn pending_at(&self, ticks: UnixSeconds) -> Option<&Inner> {
        let pending = self.pending.as_ref()?;
        let fresh = ticks.0.saturating_sub(pending.since.0) < PENDING_SECONDS_MAX;
        (self.active.is_none() || fresh).then_some(&pending.inner)
    }

    /// The branch the addresses come from.
    pub(crate) fn account_public(&self) -> Option<AccountPublic> {
        AccountPublic::from_bytes(self.accounts.as_slice().try_into().ok()?)
    }
}

/// H(issuer, subject).
pub(crate) fn subject_hash(issuer: &str, subject: &str) -> Hash32 {
    kdf::hash("pinseal subject v1", &[issuer.as_bytes(), subject.as_bytes()])
}

/// A sealed record as the host keeps it. Every field has a fixed size.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Outer {
    #[n(0)]
    format: u8,
    #[n(1)]
    epoch: u32,
    #[n(2)]
    version: Version,
    #[n(3)]
    random: Hash32,
    #[n(4)]
    previous: Hash32,
    #[n(5)]
    policy: Hash32,
    #[n(6)]
    ciphertext: ByteVec,
}

impl Outer {
    fn info(&self, wallet: &UserIdHash) -> Vec<u8> {
        kdf::hash("pinseal outer key v1", &[&wallet.0, &self.version.0.to_be_bytes()]).0.to_vec()
    }

    fn aad(&self, wallet: &UserIdHash) -> Vec<u8> {
        let parts: [&[u8]; 5] =
            [&wallet.0, &self.version.0.to_be_bytes(), &self.epoch.to_be_bytes(), &self.previous.0, &self.policy.0];
        kdf::hash("pinseal outer aad v1", &parts).0.to_vec()
    }

    fn key(&self, keys: &Keys) -> SealingKey {
        SealingKey::new(kdf::derive(keys.record(self.epoch).expose_secret(), &self.random.0, "pinseal outer v1", &[]))
    }
}

/// A record sealed for storage.
pub(crate) struct Sealed {
    pub(crate) header: Header,
    pub(crate) outer: Vec<u8>,
}

/// Seals `record` as the version after `previous`. `None` if the record outgrew its size or the version its range.
pub(crate) fn seal(
    record: &Record,
    wallet: &UserIdHash,
    previous: Option<&Header>,
    policy: Hash32,
    keys: &Keys,
    environment: &mut dyn Environment,
) -> Option<Sealed> {
    let version = previous.map_or(Version(0), |header| header.version).next()?;
    let plain = to_plain(record)?;
    let mut outer = Outer {
        format: OUTER_VERSION,
        epoch: EPOCH,
        version,
        random: Hash32(random(environment)),
        previous: previous.map_or(Hash32([0; 32]), |header| header.outer),
        policy,
        ciphertext: Vec::new().into(),
    };
    outer.ciphertext = outer.key(keys).seal(&outer.info(wallet), &outer.aad(wallet), &plain).into();
    let bytes = cbor::to_vec(&outer);
    Some(Sealed { header: Header { wallet: *wallet, version, outer: outer_hash(&bytes) }, outer: bytes })
}

/// The record's plaintext. `None` if the record outgrew its size.
pub(crate) fn to_plain(record: &Record) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(RECORD_BYTES));
    // Encoded into reserved memory, so that no reallocation leaves a copy of k_u or rho behind.
    minicbor::encode(record, &mut *plain).ok()?;
    if plain.len() >= RECORD_BYTES {
        return None;
    }
    plain.push(0x80);
    let told = if planted::is(Defect::RecordSizeByVerdict) { usize::from(record.guard.outstanding()) } else { 0 };
    plain.resize(RECORD_BYTES + told, 0);
    Some(plain)
}

/// The record that [`to_plain`] wrote; only a damaged one is none.
pub(crate) fn from_plain(plain: &[u8]) -> Option<Record> {
    // Most of it is padding: that goes by many bytes at a time.
    let blocks = plain.rchunks_exact(ZEROS.len()).take_while(|block| **block == ZEROS).count();
    let (filled, _) = plain.split_at_checked(plain.len().checked_sub(blocks * ZEROS.len())?)?;
    let end = filled.iter().rposition(|byte| *byte != 0)?;
    let (encoded, padding) = filled.split_at(end);
    if padding.first() != Some(&0x80) {
        return None;
    }
    let record: Record = minicbor::decode(encoded).ok()?;
    let fits = record.devices.len() <= DEVICES_MAX && record.guard.fits(record.devices.len());
    fits.then_some(record)
}

/// H(outer).
pub(crate) fn outer_hash(outer: &[u8]) -> Hash32 {
    kdf::hash("pinseal outer hash v1", &[outer])
}

/// Why the bytes that the host handed over do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// An intact-looking record of another version: an old one, or a newer.
    OtherVersion,
    /// Not the record that the header names, or damaged.
    Damaged,
}

/// Opens the outer record that `header` names.
pub(crate) fn open(outer: &[u8], header: &Header, policy: Hash32, keys: &Keys) -> Result<Record, OpenError> {
    if outer_hash(outer) == header.outer || planted::is(Defect::RecordNotBound) {
        return open_named(outer, header, policy, keys).ok_or(OpenError::Damaged);
    }
    let is_other = cbor::from_slice::<Outer>(outer).is_ok_and(|sealed| sealed.version != header.version);
    Err(if is_other { OpenError::OtherVersion } else { OpenError::Damaged })
}

/// Opens an outer record whose hash is the one in `header`.
fn open_named(outer: &[u8], header: &Header, policy: Hash32, keys: &Keys) -> Option<Record> {
    let sealed: Outer = cbor::from_slice(outer).ok()?;
    let named = sealed.version == header.version || planted::is(Defect::RecordNotBound);
    if sealed.format != OUTER_VERSION || !named || sealed.policy != policy {
        return None;
    }
    let wallet = &header.wallet;
    let plain = sealed.key(keys).open(&sealed.info(wallet), &sealed.aad(wallet), &sealed.ciphertext).ok()?;
    from_plain(&plain)
}

impl Device {
    /// Enrolled now; it has accepted nothing.
    pub(crate) const fn new(device: DeviceId, label: String, enrolled: UnixSeconds) -> Self {
        Self { device, label, enrolled, accepted: 0, may_try: false }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.label.zeroize();
    }
}

#[cfg(test)]
mod tests;
