//! The client as a whole: one server, one app, one profile.

use std::sync::Arc;

use pinseal_attestation::verify::Policy;

use crate::api::{Api, AppCredentials, ConnectError, ServerUrl};
use crate::environment::{Environment, System};
use crate::operation::kept::Continuation;
use crate::profile::{Profile, ProfileError, ProfileStore, Vault};

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

/// A client. Cheap to clone; clones share everything.
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
