//! What is asked, before the PIN has become a factor.

use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{DeploymentId, DeviceId};
use pinseal_protocol::intent::{AccountIndex, Intent};
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::{BeginReply, Method, Request, WalletState};

use super::OperationError;
use crate::pin::{NewPin, Pin};
use crate::profile::Receipt;

/// One operation with the PINs it takes.
#[derive(Debug)]
pub(crate) enum Ask<'a> {
    RegisterPrepare {
        pin: &'a NewPin,
        words: u8,
        label: &'a str,
    },
    RegisterConfirm {
        pin: &'a Pin,
    },
    VerifyPin {
        pin: &'a Pin,
    },
    Sign {
        pin: &'a Pin,
        intents: &'a [Intent],
    },
    ChangePinPrepare {
        pin: &'a Pin,
        new_pin: &'a NewPin,
    },
    ChangePinConfirm {
        pin: &'a Pin,
    },
    EnrolDevice {
        pin: &'a Pin,
        label: &'a str,
    },
    RevokeDevice {
        pin: &'a Pin,
        device: DeviceId,
    },
    ClearTries {
        pin: &'a Pin,
    },
    Status,
    ListAccounts {
        accounts: &'a [AccountIndex],
    },
    /// `seen`: the receipt that the writes were proved against, none for no writes.
    OpenHistory {
        writes: &'a [LoggedWrite],
        seen: Option<&'a Receipt>,
    },
    AcceptRestore {
        restores: u32,
    },
}

impl Ask<'_> {
    pub(crate) const fn method(&self) -> Method {
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

    /// The receipt to present: the newest that is held, unless what is asked says something of another.
    pub(crate) fn presented<'r>(&'r self, held: Option<&'r Receipt>) -> Option<&'r Receipt> {
        match self {
            Self::OpenHistory { seen: Some(seen), .. } => Some(seen),
            _ => held,
        }
    }

    /// Computes the PIN factors under the parameters of a believed begin reply. What the signed reply already excludes is refused
    /// here, without the wait.
    pub(crate) async fn request(
        &self,
        begin: &BeginReply,
        deployment: &DeploymentId,
    ) -> Result<Request, OperationError> {
        let refused = |refusal| OperationError::Refused { refusal };
        let current = || begin.current.ok_or_else(|| refused(Refusal::WalletMissing));
        let pending = || begin.pending.ok_or_else(|| refused(Refusal::NothingPending));
        let factor = async |pin: &Pin, parameters: PinParameters| -> Result<PinFactor, OperationError> {
            pin.factor(&parameters, deployment, &begin.wallet).await.ok_or(OperationError::PinFactor)
        };
        Ok(match self {
            Self::RegisterPrepare { pin, words, label } => {
                if begin.state == WalletState::Active {
                    return Err(refused(Refusal::WalletExists));
                }
                let pin = factor(pin.as_pin(), begin.next).await?;
                Request::RegisterPrepare { pin, words: *words, label: (*label).to_owned() }
            }
            Self::RegisterConfirm { pin } => Request::RegisterConfirm { pin: factor(pin, pending()?).await? },
            Self::VerifyPin { pin } => Request::VerifyPin { pin: factor(pin, current()?).await? },
            Self::Sign { pin, intents } => {
                Request::Sign { pin: factor(pin, current()?).await?, intents: intents.to_vec() }
            }
            Self::ChangePinPrepare { pin, new_pin } => Request::ChangePinPrepare {
                pin: factor(pin, current()?).await?,
                new_pin: factor(new_pin.as_pin(), begin.next).await?,
            },
            Self::ChangePinConfirm { pin } => Request::ChangePinConfirm { pin: factor(pin, pending()?).await? },
            Self::EnrolDevice { pin, label } => {
                Request::EnrolDevice { pin: factor(pin, current()?).await?, label: (*label).to_owned() }
            }
            Self::RevokeDevice { pin, device } => {
                Request::RevokeDevice { pin: factor(pin, current()?).await?, device: *device }
            }
            Self::ClearTries { pin } => Request::ClearTries { pin: factor(pin, current()?).await? },
            Self::Status => Request::Status,
            Self::ListAccounts { accounts } => Request::ListAccounts { accounts: accounts.to_vec() },
            Self::OpenHistory { writes, .. } => Request::OpenHistory { writes: writes.to_vec() },
            Self::AcceptRestore { restores } => Request::AcceptRestore { restores: *restores },
        })
    }
}
