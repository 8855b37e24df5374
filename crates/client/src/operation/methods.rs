//! The operations by name.

use std::collections::{BTreeMap, BTreeSet};

use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::intent::{AccountIndex, Intent, Signed};
use pinseal_protocol::limits::{ACCOUNTS_MAX, INTENTS_MAX};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{Outcome, Status, Tries};
use pinseal_protocol::request::SignedStatement;

use super::{Answer, Ask, OperationError};
use crate::account::{self, Account, AccountError};
use crate::evidence::Attested;
use crate::pin::{NewPin, Pin};
use crate::profile::Profile;
use crate::receipt;
use crate::signed::{self, ResultError};
use crate::values::Address;

/// Length of a wallet's recovery phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Words {
    /// 128 bits.
    #[default]
    Twelve,
    /// 256 bits.
    TwentyFour,
}

impl Words {
    const fn count(self) -> u8 {
        match self {
            Self::Twelve => 12,
            Self::TwentyFour => 24,
        }
    }
}

/// A wallet just registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its first account.
    pub account: Account,
    /// Tries left.
    pub tries: Tries,
}

/// Answer to [`Attested::status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletStatus {
    /// State, devices, outstanding tries.
    pub status: Status,
    /// Tries left for this device.
    pub tries: Tries,
}

/// What accepting a restore came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// The enclave took it down: this device has one try, and the right PIN opens the wallet as it was.
    Device(Tries),
    /// There is no wallet of this user's in the restored state that this device is enrolled in: it only forgets what it had seen.
    Here,
}

impl Attested {
    /// Accepts, on the owner's word, that the operators put an older state back: what happened since is forgotten, tries among it. Ask them
    /// first; it cannot be taken back.
    ///
    /// # Errors
    /// [`OperationError`]; with [`Refusal::RestoreTried`] this device has used its one try already.
    pub async fn accept_restore(&self) -> Result<Acceptance, OperationError> {
        let answer = match self.run(&Ask::AcceptRestore { restores: self.restores() }).await {
            Err(OperationError::Refused { refusal: Refusal::WalletMissing | Refusal::DeviceNotEnrolled }) => {
                let boot = receipt::read(&self.manifest().checkpoint, self.manifest_hash(), &self.deployment())?;
                // What is pinned stays: a wallet that is gone is no reason to take another one for it.
                let keep = move |profile: &mut Profile| {
                    receipt::keep_restored(profile, boot);
                    Ok::<_, OperationError>(())
                };
                self.client().vault().update(keep).await?;
                return Ok(Acceptance::Here);
            }
            answered => answered?,
        };
        match answer.outcome {
            Outcome::RestoreAccepted => Ok(Acceptance::Device(answer.tries)),
            _ => Err(OperationError::Unexpected),
        }
    }

    /// Makes a wallet under a PIN; usable once [`Attested::register_confirm`] has seen the PIN again. `label` names this device.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn register_prepare(&self, pin: &NewPin, words: Words, label: &str) -> Result<(), OperationError> {
        let ask = Ask::RegisterPrepare { pin, words: words.count(), label };
        match self.run(&ask).await?.outcome {
            Outcome::Prepared => Ok(()),
            _ => Err(OperationError::Unexpected),
        }
    }

    /// Confirms the PIN, as the person typed it the second time, and gives the first account.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn register_confirm(&self, pin: &Pin) -> Result<Registered, OperationError> {
        let answer = self.run(&Ask::RegisterConfirm { pin }).await?;
        let Outcome::Registered(statement) = &answer.outcome else {
            return Err(OperationError::Unexpected);
        };
        let first = [AccountIndex::default()];
        let accounts = self.accept(&answer, core::slice::from_ref(statement), &first).await?;
        match accounts.as_slice() {
            [account] => Ok(Registered { account: *account, tries: answer.tries }),
            _ => Err(OperationError::Unexpected),
        }
    }

    /// Both steps with one PIN, for callers that compared two entries themselves.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn register(&self, pin: &NewPin, words: Words, label: &str) -> Result<Registered, OperationError> {
        self.register_prepare(pin, words, label).await?;
        self.register_confirm(pin.as_pin()).await
    }

    /// Checks the PIN and does nothing else.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn verify_pin(&self, pin: &Pin) -> Result<Tries, OperationError> {
        self.expect(&Ask::VerifyPin { pin }, &Outcome::PinVerified).await
    }

    /// Signs 1 to [`INTENTS_MAX`] intents on one PIN entry. Every result is checked against its intent and the account's pinned
    /// address before it is handed out.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn sign(&self, pin: &Pin, intents: &[Intent]) -> Result<Vec<Signed>, OperationError> {
        if !(1..=INTENTS_MAX).contains(&intents.len()) {
            return Err(OperationError::OutOfBounds);
        }
        intents.iter().try_for_each(signed::check_intent)?;
        let addresses = self.signers(intents).await?;
        let answer = self.run(&Ask::Sign { pin, intents }).await?;
        let Outcome::Signed(results) = answer.outcome else {
            return Err(OperationError::Unexpected);
        };
        if results.len() != intents.len() {
            return Err(ResultError::Mismatch.into());
        }
        for (intent, result) in intents.iter().zip(&results) {
            let address = addresses.get(&intent.account()).ok_or(AccountError::Unknown)?;
            signed::verify(intent, result, *address)?;
        }
        Ok(results)
    }

    /// Stores a new PIN beside the old one; in force once [`Attested::change_pin_confirm`] has seen it again.
    ///
    /// # Errors
    /// [`OperationError`]; a wrong PIN is the old one.
    pub async fn change_pin_prepare(&self, pin: &Pin, new_pin: &NewPin) -> Result<Tries, OperationError> {
        self.expect(&Ask::ChangePinPrepare { pin, new_pin }, &Outcome::Prepared).await
    }

    /// Puts the new PIN in force, as the person typed it the second time.
    ///
    /// # Errors
    /// [`OperationError`]; a wrong PIN is the new one, and it counts like any other.
    pub async fn change_pin_confirm(&self, new_pin: &Pin) -> Result<Tries, OperationError> {
        self.expect(&Ask::ChangePinConfirm { pin: new_pin }, &Outcome::PinChanged).await
    }

    /// Both steps with one new PIN, for callers that compared two entries themselves.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn change_pin(&self, pin: &Pin, new_pin: &NewPin) -> Result<Tries, OperationError> {
        self.change_pin_prepare(pin, new_pin).await?;
        self.change_pin_confirm(new_pin.as_pin()).await
    }

    /// Enrols this device, under a name its owner will recognise.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn enrol_device(&self, pin: &Pin, label: &str) -> Result<Tries, OperationError> {
        self.expect(&Ask::EnrolDevice { pin, label }, &Outcome::DeviceEnrolled).await
    }

    /// Revokes a device.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn revoke_device(&self, pin: &Pin, device: DeviceId) -> Result<Tries, OperationError> {
        self.expect(&Ask::RevokeDevice { pin, device }, &Outcome::DeviceRevoked).await
    }

    /// Gives back every outstanding try of every device.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn clear_tries(&self, pin: &Pin) -> Result<Tries, OperationError> {
        self.expect(&Ask::ClearTries { pin }, &Outcome::TriesCleared).await
    }

    /// Reads state, devices and tries. Takes no PIN.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn status(&self) -> Result<WalletStatus, OperationError> {
        let answer = self.run(&Ask::Status).await?;
        match answer.outcome {
            Outcome::Status(status) => Ok(WalletStatus { status, tries: answer.tries }),
            _ => Err(OperationError::Unexpected),
        }
    }

    /// Asks the enclave for 1 to [`ACCOUNTS_MAX`] accounts, and pins them. Takes no PIN.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn list_accounts(&self, accounts: &[AccountIndex]) -> Result<Vec<Account>, OperationError> {
        if !(1..=ACCOUNTS_MAX).contains(&accounts.len()) {
            return Err(OperationError::OutOfBounds);
        }
        let answer = self.run(&Ask::ListAccounts { accounts }).await?;
        match &answer.outcome {
            Outcome::Accounts(statements) => self.accept(&answer, statements, accounts).await,
            _ => Err(OperationError::Unexpected),
        }
    }

    /// The wallet's accounts: those of the host's list that this device has seen, and from the enclave those that it has not. Takes no PIN.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn accounts(&self) -> Result<Vec<Account>, OperationError> {
        let (mut accounts, unseen) = self.client().listed().await?;
        for some in unseen.chunks(ACCOUNTS_MAX) {
            accounts.extend(self.list_accounts(some).await?);
        }
        accounts.sort_by_key(|account| account.index);
        Ok(accounts)
    }

    async fn expect(&self, ask: &Ask<'_>, outcome: &Outcome) -> Result<Tries, OperationError> {
        let answer = self.run(ask).await?;
        if answer.outcome == *outcome { Ok(answer.tries) } else { Err(OperationError::Unexpected) }
    }

    /// The pinned addresses of every account that signs; the enclave is asked for those this device has not seen.
    async fn signers(&self, intents: &[Intent]) -> Result<BTreeMap<AccountIndex, Address>, OperationError> {
        let profile = self.client().profile().await?;
        let mut known = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for index in intents.iter().map(Intent::account) {
            match self.client().known(&profile, index) {
                Some(account) => {
                    known.insert(index, account.address);
                }
                None => {
                    missing.insert(index);
                }
            }
        }
        if !missing.is_empty() {
            let missing: Vec<_> = missing.into_iter().collect();
            let listed = self.list_accounts(&missing).await?;
            known.extend(listed.into_iter().map(|account| (account.index, account.address)));
        }
        Ok(known)
    }

    /// Verifies statements against what was asked, pins the addresses and hands the statements to the host's cache.
    async fn accept(
        &self,
        answer: &Answer,
        statements: &[SignedStatement],
        asked: &[AccountIndex],
    ) -> Result<Vec<Account>, OperationError> {
        let deployment = self.deployment();
        let accounts = statements
            .iter()
            .map(|statement| account::verify(statement, &deployment, &answer.wallet))
            .collect::<Result<Vec<_>, _>>()?;
        if !accounts.iter().map(|account| &account.index).eq(asked) {
            return Err(AccountError::Other.into());
        }
        let (user, wallet, listed) = (answer.user.clone(), answer.wallet, accounts.clone());
        self.client().vault().update(move |profile| account::pin(profile, user, wallet, &listed)).await?;
        // Only a cache for the next device or app; the accounts are good without it.
        let _ = self.client().api().cache_statements(statements).await;
        Ok(accounts)
    }
}
