//! Why the enclave refuses a request. A closed set with fixed wire codes; nothing here was charged.

use minicbor::{Decode, Encode};

/// Declares the enum, its stable public code and the sentence a person is shown.
macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $code:literal, $retry:literal;)+) => {
        /// A request refused before any try was charged.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
        #[cbor(index_only)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])+ #[n($number)] $name,)+
        }

        impl Refusal {
            /// Every refusal, in wire order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Stable public code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// True if the same request, made again from `begin`, may succeed without anybody changing anything.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retry,)+ }
            }

            /// What it means and what the caller does next.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

refusals! {
    /// The bytes are not a request this protocol knows. Update the client.
    Malformed = 0, "request_malformed", false;
    /// The request is sealed to another boot of the enclave. Fetch the evidence again and repeat.
    StaleManifest = 1, "evidence_outdated", true;
    /// The access token does not verify. Log in again.
    TokenInvalid = 2, "token_invalid", false;
    /// The access token has expired. Refresh the session and repeat.
    TokenExpired = 3, "token_expired", true;
    /// The device's signature or its binding to the access token does not verify.
    DeviceInvalid = 4, "device_invalid", false;
    /// The challenge is unknown, expired, for another wallet, device or operation, or the wallet has changed since. Begin again.
    ChallengeInvalid = 5, "challenge_invalid", true;
    /// This device is not enrolled. Enrol it first; it can do nothing else.
    DeviceNotEnrolled = 6, "device_not_enrolled", false;
    /// The wallet has all the devices it can have. Revoke one first.
    DevicesFull = 7, "devices_full", false;
    /// The device is enrolled already.
    DeviceEnrolled = 8, "device_enrolled", false;
    /// No such device.
    DeviceUnknown = 9, "device_unknown", false;
    /// There is no wallet yet. Register first.
    WalletMissing = 10, "wallet_missing", false;
    /// The wallet exists already.
    WalletExists = 11, "wallet_exists", false;
    /// There is nothing to confirm: prepare first.
    NothingPending = 12, "nothing_pending", false;
    /// The stored record is not the wallet's newest: the operator's storage is at fault. No try was lost.
    RecordStale = 13, "record_stale", true;
    /// The stored record is damaged: the operator's storage is at fault. This wallet is closed until it is restored.
    RecordDamaged = 14, "record_damaged", false;
    /// The deployment's state is older than, or forked from, what this device has seen. Nothing is opened.
    StateRolledBack = 15, "state_rolled_back", false;
    /// The host gave no usable proof that its log continues what this device has seen. Nothing is opened.
    ConsistencyMissing = 16, "consistency_missing", true;
    /// Another request for this wallet is under way. Repeat when it is done.
    Busy = 17, "wallet_busy", true;
    /// Too many requests are under way in the enclave. Repeat later.
    Overloaded = 18, "enclave_overloaded", true;
    /// An intent does not parse or contradicts itself. Nothing was signed.
    IntentInvalid = 19, "intent_invalid", false;
    /// The deployment's policy forbids this intent. Nothing was signed.
    PolicyDenied = 20, "policy_denied", false;
    /// All tries of this device, or of all unenrolled devices, are used up. Another enrolled device can clear them with the PIN.
    Locked = 21, "pin_locked", false;
    /// The wallet's outstanding wrong PINs are at their cap for this caller. An enrolled device that gave none may have one try left, and can clear them with the PIN.
    WalletLocked = 22, "wallet_locked", false;
    /// This PIN was answered as wrong so often that this device may not try it any more, or clear tries with it. While an enrolled device has tries left, that one can set a new PIN.
    PinSpent = 23, "pin_spent", false;
    /// Too soon after wrong PINs. Wait for the given number of seconds.
    Delayed = 24, "pin_delayed", true;
    /// What had to be stored and anchored first could not be. Nothing was decided; repeat.
    NotDurable = 25, "not_durable", true;
    /// The wallet's record cannot be written any more.
    RecordExhausted = 26, "record_exhausted", false;
    /// This very request was accepted before: it may have been decided, and a try may be gone. Ask for the status before trying again.
    AlreadyAnswered = 27, "already_answered", false;
    /// The wallet's last enrolled device is not revoked: without one, nobody could clear tries any more.
    LastDevice = 28, "last_device", false;
    /// The operators put an older state back. This device accepts it first; what happened since that state is forgotten.
    StateRestored = 29, "state_restored", false;
    /// The operators put an older state back, and no PIN is tried for this wallet before an enrolled device accepts that.
    RestoreNotAccepted = 30, "restore_not_accepted", false;
    /// The one try after accepting the restore is used up on this device. Another enrolled device may accept it too, or the operators restore once more.
    RestoreTried = 31, "restore_tried", false;
    /// Enrolment is paused for everybody: devices that are not enrolled gave too many wrong PINs in this deployment. Enrolled devices go on as ever; the operators have to resume it.
    EnrolmentPaused = 32, "enrolment_paused", false;
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}
