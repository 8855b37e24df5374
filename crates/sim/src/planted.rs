//! Defects that must be found, and how long that may take.

use pinseal_enclave::planted::{self as enclave, Defect as InEnclave};
use pinseal_host::planted::{self as host, Defect as InHost};

use crate::campaign::Campaign;
use crate::scene;
use crate::schedule::Failure;
use crate::tpm;
use crate::world::Setting;

/// Where a defect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// In `pinseal-enclave`.
    Enclave(InEnclave),
    /// In `pinseal-host`.
    Host(InHost),
    /// In the TPM: the nonce of a session outlives what is done in it.
    TpmKeepsNonce,
}

use Planted::{Enclave, Host, TpmKeepsNonce};

/// Every defect, and the setting in which it matters.
pub const ALL: &[(Planted, Setting)] = &[
    (Enclave(InEnclave::CheckBeforeCharge), Setting::File),
    (Enclave(InEnclave::WriteOnlyOnFailure), Setting::File),
    (Enclave(InEnclave::ReplyBeforeAnchor), Setting::File),
    (Enclave(InEnclave::AbortTellsVerdict), Setting::File),
    (Enclave(InEnclave::ReadsNotFenced), Setting::File),
    (Enclave(InEnclave::ReadsNotFenced), Setting::Witnesses),
    (Enclave(InEnclave::HistoryOfUnanchored), Setting::File),
    (Enclave(InEnclave::RecordSizeByVerdict), Setting::File),
    (Enclave(InEnclave::RecordNotBound), Setting::File),
    (Enclave(InEnclave::AccumulatorIgnoresVersion), Setting::File),
    (Enclave(InEnclave::AnchorReceiptNotVerified), Setting::File),
    (Enclave(InEnclave::AnchorReceiptNotVerified), Setting::Witnesses),
    (Enclave(InEnclave::MinorityIsEnough), Setting::Witnesses),
    (Enclave(InEnclave::CosignatureOfAnother), Setting::Witnesses),
    (Enclave(InEnclave::ClientReceiptNotVerified), Setting::FileRestored),
    (Enclave(InEnclave::ServesBeforeBootAnchored), Setting::File),
    (Enclave(InEnclave::NotRolledForward), Setting::File),
    (Enclave(InEnclave::SuccessClearsOthers), Setting::File),
    (Enclave(InEnclave::UnenrolledSuccessClears), Setting::File),
    (Enclave(InEnclave::PrepareGivesBack), Setting::File),
    (Enclave(InEnclave::RevokeForgetsTries), Setting::File),
    (Enclave(InEnclave::AbortGivesBack), Setting::File),
    (Enclave(InEnclave::UnenrolledMaySign), Setting::File),
    (Enclave(InEnclave::ChallengeNotBound), Setting::File),
    (Enclave(InEnclave::ChallengeReusable), Setting::File),
    (Enclave(InEnclave::DeviceCapOff), Setting::File),
    (Enclave(InEnclave::UnenrolledCapOff), Setting::File),
    (Enclave(InEnclave::WalletCapOff), Setting::File),
    (Enclave(InEnclave::LifeCapOff), Setting::File),
    (Enclave(InEnclave::WrongPinReseals), Setting::File),
    (Enclave(InEnclave::WrongPinToldAsRight), Setting::File),
    (Enclave(InEnclave::OrderNotVerified), Setting::File),
    (Enclave(InEnclave::OrderOfAnyState), Setting::File),
    (Enclave(InEnclave::OrderOfAnyRoot), Setting::File),
    (Enclave(InEnclave::CheckpointOfAnyTerm), Setting::Witnesses),
    (Enclave(InEnclave::TermFollowsFromOrder), Setting::Witnesses),
    (Enclave(InEnclave::RestoreNumberNotCompared), Setting::File),
    (Enclave(InEnclave::RootBeforeReceipt), Setting::File),
    (Enclave(InEnclave::ChangeJudgedByNewAnchor), Setting::Witnesses),
    (Enclave(InEnclave::NewAnchorNotShown), Setting::Witnesses),
    (Enclave(InEnclave::FinishedWithoutReceipt), Setting::Witnesses),
    (Enclave(InEnclave::RestoreLeavesOpen), Setting::File),
    (Enclave(InEnclave::RestoredOpenForStrangers), Setting::File),
    (Enclave(InEnclave::StrangersNotForgotten), Setting::File),
    (Enclave(InEnclave::AcceptanceGivesManyTries), Setting::File),
    (Enclave(InEnclave::AcceptanceOfAnyRestore), Setting::File),
    (Enclave(InEnclave::SecondAcceptanceGivesTry), Setting::File),
    (Enclave(InEnclave::AcceptanceNotCharged), Setting::File),
    (Enclave(InEnclave::RestoreNotTold), Setting::File),
    (Enclave(InEnclave::LaterRestoreConvictsNobody), Setting::Witnesses),
    (Enclave(InEnclave::SignsForEmptyIndex), Setting::Tpm),
    (Enclave(InEnclave::NonceNotSigned), Setting::Tpm),
    (Enclave(InEnclave::IndexNameNotChecked), Setting::Tpm),
    (Enclave(InEnclave::IndexContentNotChecked), Setting::Tpm),
    (Enclave(InEnclave::AttesterNotChecked), Setting::Tpm),
    (Enclave(InEnclave::AnchorReceiptNotVerified), Setting::Tpm),
    (Enclave(InEnclave::IndexMovedIsEnough), Setting::Tpm),
    (Enclave(InEnclave::IndexTakenAtWord), Setting::Tpm),
    (Enclave(InEnclave::BaseNotCompared), Setting::Tpm),
    (Enclave(InEnclave::BaseNotOrdered), Setting::Tpm),
    (Enclave(InEnclave::WordOfAnyOrder), Setting::Tpm),
    (Enclave(InEnclave::WordOfAnyTpm), Setting::Tpm),
    (Enclave(InEnclave::WordOfAnyIndex), Setting::Tpm),
    (Enclave(InEnclave::PrimeNotDrawn), Setting::Tpm),
    (Enclave(InEnclave::PrimeNotLabelled), Setting::Tpm),
    (Enclave(InEnclave::RootBeforeReceipt), Setting::Tpm),
    (Enclave(InEnclave::FinishedWithoutReceipt), Setting::Tpm),
    (TpmKeepsNonce, Setting::Tpm),
    (Enclave(InEnclave::BreakerOff), Setting::File),
    (Enclave(InEnclave::BreakerOvershoots), Setting::File),
    (Enclave(InEnclave::BreakerStopsEnrolled), Setting::File),
    (Enclave(InEnclave::BreakerTellsVerdict), Setting::File),
    (Enclave(InEnclave::BreakerMovesEarly), Setting::File),
    (Enclave(InEnclave::BreakerForgottenAtBoot), Setting::File),
    (Enclave(InEnclave::BreakerCountsForgotten), Setting::File),
    (Enclave(InEnclave::BreakerResumesUnordered), Setting::File),
    (Host(InHost::TellsBeforeAnchor), Setting::File),
    (Host(InHost::FenceMissing), Setting::File),
    (Host(InHost::AbortsTheUnknown), Setting::File),
    (Host(InHost::AnchorsTheUnstored), Setting::File),
];

/// A defect that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Schedules it took.
    pub schedules: u64,
    /// The schedule that found it.
    pub failure: Failure,
}

impl Planted {
    /// Plants the defect, plays schedules from `seed` on until one breaks a promise, and takes it out again.
    pub fn find(self, setting: Setting, seed: u64, budget: u64) -> Option<Found> {
        self.during(setting, || {
            let summary = Campaign { seed, schedules: budget, setting: Some(setting) }.run(|_| {});
            summary.failure.map(|failure| Found { schedules: summary.schedules, failure })
        })
    }

    /// Plants the defect while `work` is done. The scenes are made before, by sound code, but where their checkpoints would not add up
    /// under the defect.
    pub fn during<T>(self, setting: Setting, work: impl FnOnce() -> T) -> T {
        let _ = scene::all(setting.level());
        match self {
            Enclave(defect) => enclave::plant(Some(defect)),
            Host(defect) => host::plant(Some(defect)),
            TpmKeepsNonce => tpm::plant(true),
        }
        if self.is_in_the_past() {
            scene::remake(setting.level());
        }
        let done = work();
        scene::forget_remade();
        enclave::plant(None);
        host::plant(None);
        tpm::plant(false);
        done
    }

    /// What was made before shows it, too, or would not go with what it makes.
    const fn is_in_the_past(self) -> bool {
        use InEnclave::{AccumulatorIgnoresVersion, CheckpointOfAnyTerm, NonceNotSigned};
        matches!(self, Enclave(AccumulatorIgnoresVersion | CheckpointOfAnyTerm | NonceNotSigned) | TpmKeepsNonce)
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Enclave(defect) => format!("{defect:?}"),
            Host(defect) => format!("host {defect:?}"),
            TpmKeepsNonce => "TpmKeepsNonce".to_owned(),
        }
    }
}
