//! Whether a PIN could be used at all: looked at before anybody is asked for one.

use pinseal_client::operation::WalletStatus;
use pinseal_client::{Attested, OperationError};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::WalletState;

use super::connection::{self, Connection};
use super::devices;
use crate::failure::{Failure, Outcome};
use crate::output::Style;
use crate::trouble;

/// What the PIN is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To make a wallet.
    Create,
    /// To enrol this device.
    Enrol,
    /// For anything an enrolled device does.
    Use,
}

/// Asks the enclave for the wallet's state and refuses what it would refuse after the PIN. Costs no try.
///
/// # Errors
/// The refusal, with what to do about it.
pub(crate) async fn check(connection: &Connection, attested: &Attested, purpose: Purpose) -> Outcome<WalletStatus> {
    let wallet = devices::status(connection, attested).await?;
    if let Some(failure) = refusal(&wallet, purpose) {
        let is_out_of_tries = purpose == Purpose::Use && wallet.status.enrolled && wallet.tries.left == 0;
        return Err(if is_out_of_tries { connection::no_try_left(attested, &wallet).await } else { failure });
    }
    // The host's word, which only saves a PIN from being typed in vain: the enclave decides.
    if purpose == Purpose::Enrol
        && connection
            .api()
            .status()
            .await
            .is_ok_and(|server| server.enrolment.is_some_and(|enrolment| enrolment.paused))
    {
        return Err(trouble::operation(OperationError::Refused { refusal: Refusal::EnrolmentPaused }));
    }
    if wallet.status.state == WalletState::Active
        && let Some(warning) = trouble::life_warning(&wallet)
    {
        connection.output.note(connection.output.paint(Style::Yellow, warning));
    }
    Ok(wallet)
}

fn refusal(wallet: &WalletStatus, purpose: Purpose) -> Option<Failure> {
    let refused = |refusal| Some(trouble::operation(OperationError::Refused { refusal }));
    match (purpose, wallet.status.state, wallet.status.enrolled) {
        (Purpose::Create, WalletState::Active, _) => return refused(Refusal::WalletExists),
        (Purpose::Create, ..) => return None,
        (_, WalletState::Missing | WalletState::Prepared, _) => return refused(Refusal::WalletMissing),
        (Purpose::Enrol, WalletState::Active, true) => return refused(Refusal::DeviceEnrolled),
        (Purpose::Use, WalletState::Active, false) => return refused(Refusal::DeviceNotEnrolled),
        _ => {}
    }
    match (wallet.tries.left, wallet.tries.delay_seconds) {
        (0, _) => Some(trouble::no_try_left(wallet)),
        (_, 0) => None,
        (_, seconds) => Some(trouble::operation(OperationError::Delayed { seconds, tries: wallet.tries })),
    }
}

#[cfg(test)]
mod tests {
    use pinseal_protocol::reply::{Status, Tries};

    use super::*;

    fn wallet(state: WalletState, enrolled: bool, left: u8, delay_seconds: u32) -> WalletStatus {
        let status = Status {
            state,
            enrolled,
            change_pending: false,
            devices: Vec::new(),
            unenrolled_outstanding: 0,
            outstanding: 0,
        };
        WalletStatus { status, tries: Tries { left, life_left: 90, delay_seconds } }
    }

    #[test]
    fn nobody_is_asked_for_a_pin_that_cannot_be_used() {
        let (missing, active) = (WalletState::Missing, WalletState::Active);
        for (purpose, wallet, code) in [
            (Purpose::Create, wallet(active, true, 5, 0), Some("wallet_exists")),
            (Purpose::Create, wallet(missing, false, 0, 0), None),
            (Purpose::Use, wallet(missing, false, 5, 0), Some("wallet_missing")),
            (Purpose::Use, wallet(active, false, 5, 0), Some("device_not_enrolled")),
            (Purpose::Enrol, wallet(active, true, 5, 0), Some("device_enrolled")),
            (Purpose::Enrol, wallet(active, false, 5, 0), None),
            (Purpose::Use, wallet(active, true, 0, 30), Some(Refusal::Locked.code())),
            (Purpose::Use, wallet(active, true, 2, 30), Some(Refusal::Delayed.code())),
            (Purpose::Use, wallet(active, true, 2, 0), None),
        ] {
            assert_eq!(refusal(&wallet, purpose).map(|failure| failure.code).as_deref(), code, "{purpose:?}");
        }
    }
}
