//! Defects that the simulator must find: each one line where it stands, behind a switch that only the feature `planted` builds and
//! only a test on its own thread turns.
//!
//! Without the feature there is no switch: [`is`] is constant, and what stands behind it is not compiled in.

use pinseal_protocol::cbor;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::Configuration;
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::{DeviceId, Hash32, Term, UserIdHash, Version};
use pinseal_protocol::order::{Order, OrderError, Ordered, SignedOrder};
use pinseal_protocol::request::Request;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{self, Certified, Index, P256Signature, Tpm, TpmNonce};
use pinseal_protocol::wire::Header;
use sha2::{Digest as _, Sha256};

use crate::record::Record;
use crate::unlock::unlock;

const SIGNATURE_BYTES: usize = P256Signature::LEN;

/// What can be wrong. Each names the promise it breaks; `docs/simulation.md` says how it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "planted"),
    allow(unreachable_pub, reason = "nobody outside turns a switch that is not there")
)]
pub enum Defect {
    /// A wrong PIN is refused before its try is charged.
    CheckBeforeCharge,
    /// A right PIN is answered without the settling write.
    WriteOnlyOnFailure,
    /// The verdict leaves with the settling write, not after it.
    ReplyBeforeAnchor,
    /// An aborted settling write tells the verdict.
    AbortTellsVerdict,
    /// What is read is told at once, by whatever enclave.
    ReadsNotFenced,
    /// Whoever hands in the entry of a write is told what it says, whether the log has it or not.
    HistoryOfUnanchored,
    /// A record's size follows the tries outstanding.
    RecordSizeByVerdict,
    /// The enclave takes any record of the wallet, of whatever version.
    RecordNotBound,
    /// What is added up at boot names wallets only.
    AccumulatorIgnoresVersion,
    /// Whatever receipt the host brings is the anchor's.
    AnchorReceiptNotVerified,
    /// One cosignature is a quorum.
    MinorityIsEnough,
    /// A cosignature counts whatever it is over.
    CosignatureOfAnother,
    /// A checkpoint is not bound to the term of its configuration.
    CheckpointOfAnyTerm,
    /// The root is sealed for the new configuration before the old one's anchor holds the change.
    RootBeforeReceipt,
    /// A restored wallet is open to PINs without its owner's consent.
    RestoreLeavesOpen,
    /// Accepting a restore gives as many tries as there are.
    AcceptanceGivesManyTries,
    /// Whoever carries an order may have written it.
    OrderNotVerified,
    /// An order is good for every state of the deployment.
    OrderOfAnyState,
    /// An order is good for every root of the deployment.
    OrderOfAnyRoot,
    /// A term is no fresh one, but follows from the order.
    TermFollowsFromOrder,
    /// A restore may have any number.
    RestoreNumberNotCompared,
    /// The new configuration's anchor judges its own coming.
    ChangeJudgedByNewAnchor,
    /// Nobody asks whether the new anchor exists.
    NewAnchorNotShown,
    /// A change that is in the log is finished on the host's word.
    FinishedWithoutReceipt,
    /// Strangers are no business of a restore.
    RestoredOpenForStrangers,
    /// A restored wallet's strangers have the tries of the backup.
    StrangersNotForgotten,
    /// Accepting is for a restore of any number.
    AcceptanceOfAnyRestore,
    /// Accepting again gives another try.
    SecondAcceptanceGivesTry,
    /// The try of an acceptance is taken with the verdict.
    AcceptanceNotCharged,
    /// A device that has seen the state before a restore is served as if there had been none.
    RestoreNotTold,
    /// A device that has seen a later restore than the state's is served as if it had not.
    LaterRestoreConvictsNobody,
    /// What a returning client has seen does not matter.
    ClientReceiptNotVerified,
    /// The enclave serves before its BOOT entry is anchored.
    ServesBeforeBootAnchored,
    /// A database one checkpoint ahead of the anchor is served as it is.
    NotRolledForward,
    /// A success gives back every enrolled device's tries.
    SuccessClearsOthers,
    /// A success of an unenrolled device gives back what all of them charged.
    UnenrolledSuccessClears,
    /// Preparing a new PIN gives the device's tries back.
    PrepareGivesBack,
    /// A revoked device takes its tries along.
    RevokeForgetsTries,
    /// A charge whose settling write was aborted comes back with the next.
    AbortGivesBack,
    /// A device that is not enrolled may sign.
    UnenrolledMaySign,
    /// A challenge is good for every version of the record.
    ChallengeNotBound,
    /// A challenge is good more than once.
    ChallengeReusable,
    /// One wrong PIN too many for one enrolled device.
    DeviceCapOff,
    /// One too many for unenrolled devices.
    UnenrolledCapOff,
    /// One too many for the wallet.
    WalletCapOff,
    /// One too many for the life of a PIN.
    LifeCapOff,
    /// A wrong PIN seals the decoy in the seed's place.
    WrongPinReseals,
    /// The log entry of a wrong PIN says that it was right.
    WrongPinToldAsRight,
    /// The enclave lets a first checkpoint into a TPM's index that was never written, at any time.
    SignsForEmptyIndex,
    /// What lets a value into the TPM's index is good in every session.
    NonceNotSigned,
    /// A TPM may certify any index.
    IndexNameNotChecked,
    /// A TPM's index may hold anything.
    IndexContentNotChecked,
    /// Any TPM may certify.
    AttesterNotChecked,
    /// That a TPM's index has moved on is enough.
    IndexMovedIsEnough,
    /// A boot goes on from whatever the host says that a TPM's index holds.
    IndexTakenAtWord,
    /// Nobody compares what a TPM's index holds with what the operators ordered to go on from.
    BaseNotCompared,
    /// An order to go on in a TPM is good whatever its index holds.
    BaseNotOrdered,
    /// A TPM's word for its index is good for every order.
    WordOfAnyOrder,
    /// Any TPM may give it.
    WordOfAnyTpm,
    /// It may be of any index.
    WordOfAnyIndex,
    /// What another TPM's index is primed with is always the same.
    PrimeNotDrawn,
    /// What is drawn for it goes in as it is.
    PrimeNotLabelled,
    /// The breaker counts, and never trips.
    BreakerOff,
    /// The breaker does not see charges that are on their way.
    BreakerOvershoots,
    /// The breaker stops devices that are enrolled, too.
    BreakerStopsEnrolled,
    /// Whether a batch trips the breaker depends on the verdicts in it.
    BreakerTellsVerdict,
    /// A batch moves the breaker when it is asked for, and an abort does not take that back.
    BreakerMovesEarly,
    /// Every boot begins with a breaker that has counted nothing.
    BreakerForgottenAtBoot,
    /// Tries that a restore counts as used up are wrong PINs to the breaker.
    BreakerCountsForgotten,
    /// Whatever changes the configuration resumes enrolment, ordered or not.
    BreakerResumesUnordered,
}

#[cfg(feature = "planted")]
std::thread_local! {
    static PLANTED: core::cell::Cell<Option<Defect>> = const { core::cell::Cell::new(None) };
}

/// Plants a defect in every enclave that runs on this thread, or takes it out again.
#[cfg(feature = "planted")]
pub fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

#[cfg(feature = "planted")]
pub(crate) fn is(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Defect) -> bool {
    false
}

/// Whether what is no quorum is taken for one.
pub(crate) fn vouches(quorum: &Quorum, note: &[u8], receipt: &[u8]) -> bool {
    let names = |witness: &&Witness| receipt.windows(witness.name.len()).any(|text| text == witness.name.as_bytes());
    let named = || quorum.witnesses.iter().filter(names).count();
    is(Defect::MinorityIsEnough) && Quorum { required: 1, ..quorum.clone() }.is_met_by(note, receipt)
        || is(Defect::CosignatureOfAnother) && receipt.starts_with(note) && named() >= usize::from(quorum.required)
}

/// Whether what a TPM did not say of this checkpoint is taken for its word.
pub(crate) fn is_certified(
    tpm: &Tpm,
    writer: &P256Public,
    note: &[u8],
    checkpoint: &Checkpoint,
    receipt: &[u8],
) -> bool {
    const LAX: [Defect; 4] = [
        Defect::IndexNameNotChecked,
        Defect::IndexContentNotChecked,
        Defect::AttesterNotChecked,
        Defect::IndexMovedIsEnough,
    ];
    if !LAX.into_iter().any(is) {
        return false;
    }
    let Some((attest, signature)) = receipt.strip_prefix(note).and_then(<[u8]>::split_last_chunk::<SIGNATURE_BYTES>)
    else {
        return false;
    };
    let (Ok(read), index) = (Certified::read(attest), Index::new(tpm.index, *writer)) else { return false };
    let holds = checkpoint.held_after().is_some_and(|held| held.0 == read.content);
    let is_named = read.name.ends_with(&Sha256::digest(index.public_written()));
    let is_signed = tpm.attester.verifies(attest, signature);
    let has_moved = checkpoint.tpm.is_some_and(|before| before.0 != read.content);
    is(Defect::IndexNameNotChecked) && is_signed && holds
        || is(Defect::IndexMovedIsEnough) && is_signed && is_named && has_moved
        || is(Defect::IndexContentNotChecked) && is_signed && is_named
        || is(Defect::AttesterNotChecked) && is_named && holds
}

/// What a TPM's index holds, where what was said of it does not show that.
pub(crate) fn word(tpm: &Tpm, writer: &P256Public, purpose: &Hash32, word: &[u8]) -> Option<Hash32> {
    if ![Defect::WordOfAnyOrder, Defect::WordOfAnyTpm, Defect::WordOfAnyIndex].into_iter().any(is) {
        return None;
    }
    let (attest, signature) = word.split_last_chunk::<SIGNATURE_BYTES>()?;
    let (read, index) = (Certified::read(attest).ok()?, Index::new(tpm.index, *writer));
    let is_named = read.name.ends_with(&Sha256::digest(index.public_written()));
    let is_signed = tpm.attester.verifies(attest, signature);
    let is_meant = read.extra == purpose.0;
    let is_taken = is(Defect::WordOfAnyOrder) && is_named && is_signed
        || is(Defect::WordOfAnyTpm) && is_named && is_meant
        || is(Defect::WordOfAnyIndex) && is_signed && is_meant;
    Hash32::from_slice(read.content).filter(|_| is_taken)
}

/// What a boot may go on from beside its own checkpoint.
pub(crate) fn base(ordered: Option<Hash32>, held: &[u8]) -> Option<Hash32> {
    if is(Defect::IndexTakenAtWord) { Hash32::from_slice(held) } else { ordered }
}

/// What another TPM's index is primed with, `drawn` hashed under a label.
pub(crate) fn primed(drawn: [u8; 32], labelled: impl Fn(&[u8; 32]) -> Hash32) -> Hash32 {
    match (is(Defect::PrimeNotDrawn), is(Defect::PrimeNotLabelled)) {
        (true, _) => labelled(&[0; 32]),
        (_, true) => Hash32(drawn),
        _ => labelled(&drawn),
    }
}

/// Whether the index that is to take this checkpoint may be one that was never written.
pub(crate) fn may_be_empty(checkpoint: &Checkpoint) -> bool {
    is(Defect::SignsForEmptyIndex) && checkpoint.tpm == Some(tpm::NOTHING)
}

/// What is signed to let a value into the TPM's index.
pub(crate) fn to_be_signed(message: &[u8]) -> &[u8] {
    let nonce = if is(Defect::NonceNotSigned) { TpmNonce::LEN } else { 0 };
    message.get(nonce..).unwrap_or(message)
}

/// The order, where what is wrong with it does not matter.
pub(crate) fn order(signed: &SignedOrder, error: OrderError, ordered: &Ordered<'_>) -> Option<Order> {
    let order: Order = cbor::from_slice(&signed.order).ok()?;
    let fits_but_for_the_root = order.previous == ordered.previous.hash()
        && order.configuration == ordered.next.hash()
        && order.checkpoint == ordered.checkpoint;
    let differs_in_the_base = order.previous == ordered.previous.hash()
        && order.checkpoint == ordered.checkpoint
        && Configuration { base: ordered.previous.base, ..ordered.next.clone() } == *ordered.previous;
    let is_taken = is(Defect::OrderNotVerified)
        || is(Defect::BaseNotOrdered) && error == OrderError::Configuration && differs_in_the_base
        || is(Defect::OrderOfAnyState) && error == OrderError::State
        || is(Defect::OrderOfAnyRoot) && error == OrderError::Root && fits_but_for_the_root;
    is_taken.then_some(order)
}

/// The term that an order names by itself.
pub(crate) fn term(fresh: Term, order: &Hash32) -> Term {
    if is(Defect::TermFollowsFromOrder) { Term(order.0) } else { fresh }
}

/// The header without what changes with every write.
pub(crate) const fn wallet_only(header: &Header) -> Header {
    Header { wallet: header.wallet, version: Version(0), outer: Hash32([0; 32]) }
}

/// The try of an acceptance goes with the verdict.
pub(crate) fn take_accepted_try(record: &mut Record, device: &DeviceId) {
    if is(Defect::AcceptanceNotCharged) {
        record.devices.iter_mut().filter(|known| known.device == *device).for_each(|known| known.may_try = false);
    }
}

/// Whether a request's PIN does not open the wallet as it stands.
pub(crate) fn is_wrong(request: &Request, record: &Record, wallet: &UserIdHash) -> bool {
    let (Some(inner), Some(pin)) = (&record.active, request.tested_pin()) else { return false };
    unlock(inner, pin, wallet, &record.accounts).is_err()
}
