//! The client as a whole: one server, one app, one profile.

use std::sync::Arc;

use pinseal_attestation::verify::Policy;

use crate::api::{Api, AppCredentials, ConnectError, ServerUrl};
use crate::environment::{Environment, System};
use crate::operation::kept::Continuation;
use crate::profile::{PinnedWallet, Profile, ProfileError, ProfileStore, UserName, Vault};

/// What a client is made of.
#[derive(Debug)]
pub struct Configuration {
    /// The server.
    pub server: ServerUrl,
    /// As which app.
    pub app: AppCredentials,
    /// Which evidence it believes. There is no default.
    pub policy: Policy,
    /// Where it keeps its profile.
    pub store: Arc<dyn ProfileStore>,
    /// Clock, randomness, waiting.
    pub environment: Arc<dyn Environment>,
}

impl Configuration {
    /// A client in the real world.
    pub fn new(server: ServerUrl, app: AppCredentials, policy: Policy, store: Arc<dyn ProfileStore>) -> Self {
        Self { server, app, policy, store, environment: Arc::new(System) }
    }
}

/// A client. Cheap to clone; clones share everything but whose they are ([`Client::own`]).
#[derive(Debug, Clone)]
pub struct Client {
    api: Api,
    vault: Vault,
    policy: Arc<Policy>,
    environment: Arc<dyn Environment>,
    continuation: Arc<Continuation>,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn new(configuration: Configuration) -> Result<Self, ConnectError> {
        let Configuration { server, app, policy, store, environment } = configuration;
        let vault = Vault::new(store);
        let api = Api::new(server, app, vault.clone(), Arc::clone(&environment))?;
        Ok(Self { api, vault, policy: Arc::new(policy), environment, continuation: Arc::default() })
    }

    /// A client of whoever is logged in, and of nobody else: where another user logs in on the profile later, it says so
    /// ([`crate::ApiError::UserChanged`]) in place of going on for them. Of nobody in particular while nobody is logged in. What takes several steps
    /// begins with this by itself, and what it gives ([`crate::Attested`], [`crate::PreparedTransaction`], [`crate::SignedTransaction`]) is that user's; a
    /// program that does several things for one person keeps one.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn own(&self) -> Result<Self, ProfileError> {
        if self.api.user().is_some() {
            return Ok(self.clone());
        }
        let session = self.vault.read().await?.session;
        Ok(session.map_or_else(|| self.clone(), |session| self.of(session.user)))
    }

    /// A client of that user alone, logged in or not.
    #[must_use]
    pub fn of(&self, user: UserName) -> Self {
        Self { api: self.api.of(user), ..self.clone() }
    }

    /// As [`Client::of`] where somebody is named.
    pub(crate) fn of_some(&self, user: Option<&UserName>) -> Self {
        user.map_or_else(|| self.clone(), |user| self.of(user.clone()))
    }

    /// The wallet of the user whose client this is, or of whoever is logged in, as this device knows it.
    pub(crate) fn wallet_in<'p>(&self, profile: &'p Profile) -> Option<&'p PinnedWallet> {
        match self.api.user() {
            Some(user) => profile.wallets.get(user),
            None => profile.wallet(),
        }
    }

    /// The host's API: login, sessions, networks, balances, history.
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// The profile as it is now.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub async fn profile(&self) -> Result<Profile, ProfileError> {
        self.vault.read().await
    }

    pub(crate) const fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn continuation(&self) -> &Continuation {
        &self.continuation
    }

    pub(crate) fn environment(&self) -> &dyn Environment {
        &*self.environment
    }
}
