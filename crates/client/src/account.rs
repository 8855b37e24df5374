//! Accounts: addresses that the log key vouches for, pinned at first sight.

use std::collections::BTreeMap;

use pinseal_chains::evm;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::intent::AccountIndex;
use pinseal_protocol::request::SignedStatement;

use crate::api::ApiError;
use crate::client::Client;
use crate::profile::{PinnedDeployment, PinnedWallet, Profile, ProfileError, UserName};
use crate::values::Address;

/// The namespace of EVM addresses: one address on every EVM network.
const EVM_NAMESPACE: &str = "eip155";

/// One account of the wallet, its address vouched for by the deployment's log key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// n of m/44'/60'/0'/0/n.
    pub index: AccountIndex,
    /// Its address on every EVM network.
    pub address: Address,
}

/// Why an address is not shown.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not vouched for by this deployment's log key for this wallet. Somebody between client and enclave changed it.
    #[error("an address statement is forged")]
    Forged,
    /// Vouched for, but not what was asked for.
    #[error("an address statement is about another account")]
    Other,
    /// The account has another address than this device has seen before. Nothing is sent to or from either until it is explained.
    #[error("account {path} was {pinned} and is now said to be {shown}")]
    Changed {
        /// BIP-44 path.
        path: String,
        /// Seen before.
        pinned: Address,
        /// Shown now.
        shown: Address,
    },
    /// This device has not seen this account yet. List it first.
    #[error("this account is not known on this device yet; list the accounts first")]
    Unknown,
    /// No enclave has answered for this user on this device yet, so there is nothing to check the host's list against. Register,
    /// enrol this device, or list the accounts through the enclave.
    #[error("this device does not know the user's wallet yet")]
    NoWallet,
    /// The host's list could not be fetched.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Client {
    /// Of the wallet's accounts in the host's cache those that this device has seen before. Takes no PIN and does not ask the enclave;
    /// `Attested::accounts` asks it for the others.
    ///
    /// # Errors
    /// [`AccountError`]; one bad entry spoils the list, since it shows that the host lies.
    pub async fn accounts(&self) -> Result<Vec<Account>, AccountError> {
        Ok(self.listed().await?.0)
    }

    /// The host's list, each entry verified: accounts as they are pinned, and the indices of those that are not. A statement names no seed, so one
    /// from before a restore verifies too, and nothing is taken from the cache that the enclave has not said itself.
    pub(crate) async fn listed(&self) -> Result<(Vec<Account>, Vec<AccountIndex>), AccountError> {
        let own = self.own().await?;
        let profile = own.vault().read().await?;
        let user = own.api().user().ok_or(ApiError::NotLoggedIn)?.clone();
        let (Some(pinned), Some(wallet)) = (&profile.deployment, profile.wallets.get(&user)) else {
            return Err(AccountError::NoWallet);
        };
        let PinnedWallet { wallet, addresses } = wallet;
        let statements = own.api().cached_statements().await?;
        let mut accounts =
            statements.iter().map(|statement| verify(statement, pinned, wallet)).collect::<Result<Vec<_>, _>>()?;
        accounts.sort_by_key(|account| account.index);
        accounts.dedup();
        let (mut known, mut unseen) = (Vec::new(), Vec::new());
        for account in accounts {
            match addresses.get(&account.index.path()) {
                Some(_) => known.push(agreeing(addresses, account)?),
                None => unseen.push(account.index),
            }
        }
        unseen.dedup();
        Ok((known, unseen))
    }

    /// An account this device has seen before.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], [`AccountError::Profile`].
    pub async fn account(&self, index: AccountIndex) -> Result<Account, AccountError> {
        self.known(&self.vault().read().await?, index).ok_or(AccountError::Unknown)
    }

    /// The pinned account, if there is one.
    pub(crate) fn known(&self, profile: &Profile, index: AccountIndex) -> Option<Account> {
        let address = *self.wallet_in(profile)?.addresses.get(&index.path())?;
        Some(Account { index, address })
    }

    /// The addresses of the wallet, as far as this device knows them.
    pub(crate) fn addresses_in(&self, profile: &Profile) -> Vec<Address> {
        self.wallet_in(profile).iter().flat_map(|wallet| wallet.addresses.values().copied()).collect()
    }
}

/// The account a statement is about.
pub(crate) fn verify(
    statement: &SignedStatement,
    pinned: &PinnedDeployment,
    wallet: &UserIdHash,
) -> Result<Account, AccountError> {
    let said = statement.verify(&pinned.log, &pinned.deployment, wallet).ok_or(AccountError::Forged)?;
    let index = said
        .path
        .rsplit_once('/')
        .and_then(|(_, last)| AccountIndex::new(last.parse().ok()?))
        .filter(|index| index.path() == said.path);
    let address = evm::address_of_slice(&said.address);
    match (index, address) {
        (Some(index), Some(address)) if said.network == EVM_NAMESPACE => {
            Ok(Account { index, address: Address(address) })
        }
        _ => Err(AccountError::Other),
    }
}

/// Remembers wallet and addresses of `user`; refuses any that differ from what is remembered.
pub(crate) fn pin(
    profile: &mut Profile,
    user: UserName,
    wallet: UserIdHash,
    accounts: &[Account],
) -> Result<(), AccountError> {
    let pinned = profile.wallets.entry(user).or_insert_with(|| PinnedWallet { wallet, addresses: BTreeMap::new() });
    if pinned.wallet != wallet {
        return Err(AccountError::Other);
    }
    for account in accounts {
        let Account { index, address } = agreeing(&pinned.addresses, *account)?;
        pinned.addresses.insert(index.path(), address);
    }
    Ok(())
}

/// The account, unless another address is pinned for it.
fn agreeing(addresses: &BTreeMap<String, Address>, account: Account) -> Result<Account, AccountError> {
    let path = account.index.path();
    match addresses.get(&path) {
        Some(pinned) if *pinned != account.address => {
            Err(AccountError::Changed { path, pinned: *pinned, shown: account.address })
        }
        _ => Ok(account),
    }
}
