//! What every request shares.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::header;
use axum::http::request::Parts as RequestParts;
use pinseal_protocol::ids::{DeploymentId, UnixSeconds};
use pinseal_store::accounts::{Accounts, AccountsError};
use tokio::sync::{Notify, Semaphore};

use crate::apps::{close_page, register_page};
use crate::auth::Tokens;
use crate::clock::Clock;
use crate::codes::{CodeKey, random};
use crate::config::{Config, ConfigError};
use crate::dpop::DpopGuard;
use crate::issuer::{Issuer, IssuerError};
use crate::limits::{AddressLimit, Limit};
use crate::lines::Source;
use crate::mail::{MailError, Outbox};
use crate::metrics::Metrics;
use crate::networks::Networks;
use crate::nodes::NodePlaces;
use crate::page::{Site, WalletPage};
use crate::passwords::{Password, PasswordError, PasswordPool};
use crate::problem::{Problem, table};
use crate::turns::Turns;
use crate::wallets::Wallets;

/// Refreshes of one session a minute. An access token lives for fifteen; each refresh is a synced transaction on the one writer that
/// also stores batches, so they must not come as often as cheap requests may.
const REFRESHES_PER_MINUTE: u32 = 6;

/// Evidence that the enclave is asked for at once. It has one thread, which users need: strangers ask without a login. As many more wait as
/// may be in flight.
const EVIDENCE_AT_ONCE: usize = 4;

/// Why the server does not start. The operator mends it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// See the source.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See the source.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// See the source.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The system's randomness failed.
    #[error("the system's randomness failed")]
    Randomness,
    /// The database refused the wallet page's app.
    #[error("the wallet page's app could not be registered")]
    Page(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Metrics did not register: a fault of this program.
    #[error("metrics")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the server is built from.
pub struct Parts {
    /// Users, sessions, apps.
    pub accounts: Arc<dyn Accounts>,
    /// The enclave side.
    pub wallets: Arc<dyn Wallets>,
    /// The chain gateway.
    pub networks: Arc<dyn Networks>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A handle on everything a request needs; clones share it.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

struct Shared {
    parts: Parts,
    config: Config,
    deployment: DeploymentId,
    issuer: Issuer,
    bases: OnceLock<Vec<String>>,
    site: OnceLock<Site>,
    tokens: Tokens,
    dpop: DpopGuard,
    codes: CodeKey,
    passwords: PasswordPool,
    outbox: Outbox,
    metrics: Arc<Metrics>,
    address_limit: AddressLimit,
    login_limit: AddressLimit,
    user_limit: Limit,
    refresh_limit: Limit,
    refresh_limit_daily: Limit,
    keyed_limit: Limit,
    writing_limit: Limit,
    body_budget: Arc<Semaphore>,
    account_limit: Limit,
    account_limit_network: Limit,
    account_limit_anywhere: Limit,
    in_flight: Arc<Semaphore>,
    node_places: NodePlaces,
    evidence_turns: Turns,
    stopped: Notify,
    started: Duration,
}

impl AppState {
    /// Builds the state on the current tokio runtime and starts the mail sender.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(config: Config, parts: Parts) -> Result<Self, StartError> {
        config.check()?;
        let deployment = config.deployment_id()?;
        let issuer = Issuer::load(&config.issuer_key_file, deployment)?;
        let metrics = Arc::new(Metrics::new().map_err(|error| StartError::Metrics(Box::new(error)))?);
        let outbox = Outbox::start(&config.mail, config.limits.mails_waiting_max, Arc::clone(&metrics))?;
        let limits = &config.limits;
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        let address_limit = |count| AddressLimit::new(count, minute, &parts.clock);
        let account_limit = |count| Limit::new(count, minute * 15, Arc::clone(&parts.clock));
        let bases = OnceLock::new();
        if !config.public_urls.is_empty() {
            let _ = bases.set(config.public_urls.clone());
        }
        Ok(Self(Arc::new(Shared {
            deployment,
            bases,
            site: OnceLock::new(),
            tokens: Tokens::default(),
            dpop: DpopGuard::new(random().map_err(|_| StartError::Randomness)?),
            codes: CodeKey(issuer.derive("login codes")),
            passwords: PasswordPool::new(
                limits.passwords_at_once,
                limits.passwords_waiting_max,
                metrics.passwords_hashed.clone(),
            ),
            outbox,
            metrics,
            address_limit: address_limit(limits.requests_per_minute),
            login_limit: address_limit(limits.logins_per_minute),
            user_limit: Limit::new(limits.requests_per_user_per_minute, minute, Arc::clone(&parts.clock)),
            refresh_limit: Limit::new(REFRESHES_PER_MINUTE, minute, Arc::clone(&parts.clock)),
            refresh_limit_daily: Limit::new(limits.refreshes_per_session_per_day, day, Arc::clone(&parts.clock)),
            keyed_limit: Limit::new(limits.keyed_requests_per_user_per_day, day, Arc::clone(&parts.clock)),
            writing_limit: Limit::new(limits.writing_operations_per_user_per_day, day, Arc::clone(&parts.clock)),
            body_budget: Arc::new(Semaphore::new(limits.bodies_bytes_max.min(Semaphore::MAX_PERMITS))),
            account_limit: account_limit(limits.logins_per_account_per_quarter),
            account_limit_network: account_limit(limits.logins_per_account_network_per_quarter()),
            account_limit_anywhere: account_limit(limits.logins_per_account_anywhere_per_quarter),
            in_flight: Arc::new(Semaphore::new(limits.requests_in_flight_max)),
            node_places: NodePlaces::new(limits.requests_in_flight_max),
            // Well below the requests in flight: the lines, which are fair, must be full before these are.
            evidence_turns: Turns::new(EVIDENCE_AT_ONCE, (limits.requests_in_flight_max / 4).max(1)),
            stopped: Notify::new(),
            started: parts.clock.steady(),
            issuer,
            config,
            parts,
        })))
    }

    /// Tells the address listened on, for a configuration without public URLs. The first call counts.
    pub(crate) fn listening_on(&self, address: std::net::SocketAddr) {
        let mut hosts = vec![address.ip().to_string(), "localhost".to_owned()];
        if address.ip().is_unspecified() {
            // Nobody connects to this address by its name.
            hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), "::1".to_owned()];
        }
        let bases = hosts.iter().filter_map(|host| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            // As clients write it: without the scheme's own port.
            let url = url::Url::parse(&format!("http://{host}:{}", address.port())).ok()?;
            Some(url.origin().ascii_serialization())
        });
        let _ = self.0.bases.set(bases.collect());
    }

    /// Serves the wallet page to whoever names its host: that of the configuration, or of `origin` where the run has another one.
    /// The origin, if there is any; those it had in earlier runs are allowed no more. Before [`crate::serve`], which is to listen on `address`.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_page(
        &self,
        page: WalletPage,
        origin: Option<String>,
        address: std::net::SocketAddr,
    ) -> Result<Option<String>, StartError> {
        self.listening_on(address);
        let now = self.now();
        let Some(origin) = origin.or_else(|| self.0.config.wallet_url.clone()) else {
            let closed = self.try_accounts(move |accounts| close_page(accounts, now)).await;
            return closed.map(|()| None).map_err(|error| StartError::Page(Box::new(error)));
        };
        let api = self.0.bases.get().and_then(|bases| bases.first()).cloned().unwrap_or_default();
        if self.0.bases.get().is_some_and(|bases| bases.contains(&origin)) {
            return Err(ConfigError::WalletUrl(origin).into());
        }
        let (deployment, bound) = (self.0.deployment, origin.clone());
        let registered = self.try_accounts(move |accounts| register_page(accounts, deployment, &bound, now)).await;
        let (app, key) = registered.map_err(|error| StartError::Page(Box::new(error)))?;
        let site = Site::new(page, &origin, &api, (&app, &key), &self.0.config)
            .ok_or_else(|| ConfigError::PublicUrl(api.clone()))?;
        let _ = self.0.site.set(site);
        Ok(Some(origin))
    }

    /// The wallet page, where one is served.
    pub(crate) fn site(&self) -> Option<&Site> {
        self.0.site.get()
    }

    /// The URL a proof must name (`htu`): the base URL the client used, if it is one of ours, and the path.
    pub(crate) fn target(&self, parts: &RequestParts) -> String {
        let bases = self.0.bases.get().map(Vec::as_slice).unwrap_or_default();
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let named = bases.iter().find(|base| base.split_once("://").is_some_and(|(_, rest)| rest == host));
        let base = named.or(bases.first()).map_or("", String::as_str);
        format!("{base}{}", parts.uri.path())
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.bases.get().is_some_and(|bases| bases.iter().all(|base| base.starts_with("https://")))
    }

    /// Runs a short database read where it is asked for: a row or two by their keys, mostly out of the page cache. The way to the
    /// blocking pool and back would take longer than the read, and every authenticated request makes three of them.
    pub(crate) fn read_accounts<T>(
        &self,
        read: impl FnOnce(&dyn Accounts) -> Result<T, AccountsError>,
    ) -> Result<T, Problem> {
        read(self.0.parts.accounts.as_ref()).map_err(|error| Problem::fault(&AccountsFault::Accounts(error)))
    }

    /// Runs a database call on the blocking pool.
    pub(crate) async fn try_accounts<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Accounts) -> Result<T, AccountsError> + Send + 'static,
    ) -> Result<T, AccountsFault> {
        let accounts = Arc::clone(&self.0.parts.accounts);
        match tokio::task::spawn_blocking(move || work(accounts.as_ref())).await {
            Ok(outcome) => outcome.map_err(|error| {
                if self.0.parts.accounts.is_stopped() {
                    self.0.stopped.notify_one();
                }
                AccountsFault::Accounts(error)
            }),
            Err(error) => Err(AccountsFault::Task(error)),
        }
    }

    /// As [`Self::try_accounts`], with faults as problems.
    pub(crate) async fn accounts<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Accounts) -> Result<T, AccountsError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.try_accounts(work).await.map_err(|error| Problem::fault(&error))
    }

    pub(crate) async fn hash_password(
        &self,
        from: Source,
        password: Password,
        like: Option<&str>,
    ) -> Result<String, Problem> {
        self.timed_password(self.0.passwords.hash(from, password, like)).await.map_err(|error| match error {
            PasswordError::Full => Problem::from(table::OVERLOADED).retry_after(1),
            PasswordError::Fault => Problem::fault(&error),
        })
    }

    pub(crate) async fn verify_password(
        &self,
        from: Source,
        password: Password,
        stored: Option<&str>,
    ) -> Result<bool, PasswordError> {
        self.timed_password(self.0.passwords.verify(from, password, stored)).await
    }

    async fn timed_password<T>(&self, work: impl Future<Output = T>) -> T {
        let started = self.clock().steady();
        let outcome = work.await;
        let took = self.clock().steady().saturating_sub(started);
        self.0.metrics.password_seconds.observe(took.as_secs_f64());
        outcome
    }

    pub(crate) fn count_login(&self, step: &str, outcome: &str) {
        self.0.metrics.logins.with_label_values(&[step, outcome]).inc();
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        self.0.parts.clock.now()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.0.parts.clock.as_ref()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.clock().steady().saturating_sub(self.0.started)
    }

    pub(crate) fn wallets(&self) -> &dyn Wallets {
        self.0.parts.wallets.as_ref()
    }

    pub(crate) fn networks(&self) -> &dyn Networks {
        self.0.parts.networks.as_ref()
    }

    pub(crate) fn deployment(&self) -> DeploymentId {
        self.0.deployment
    }

    pub(crate) fn development(&self) -> bool {
        self.0.config.development
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    pub(crate) fn dpop(&self) -> &DpopGuard {
        &self.0.dpop
    }

    pub(crate) fn codes(&self) -> &CodeKey {
        &self.0.codes
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn password_depth(&self) -> usize {
        self.0.passwords.depth()
    }

    pub(crate) fn address_limit(&self) -> &AddressLimit {
        &self.0.address_limit
    }

    pub(crate) fn login_limit(&self) -> &AddressLimit {
        &self.0.login_limit
    }

    pub(crate) fn user_limit(&self) -> &Limit {
        &self.0.user_limit
    }

    pub(crate) fn refresh_limit(&self) -> &Limit {
        &self.0.refresh_limit
    }

    pub(crate) fn refresh_limit_daily(&self) -> &Limit {
        &self.0.refresh_limit_daily
    }

    pub(crate) fn keyed_limit(&self) -> &Limit {
        &self.0.keyed_limit
    }

    /// Of operations that write, by user.
    pub(crate) fn writing_limit(&self) -> &Limit {
        &self.0.writing_limit
    }

    /// Bytes that bodies may still hold together.
    pub(crate) fn body_budget(&self) -> &Arc<Semaphore> {
        &self.0.body_budget
    }

    pub(crate) fn account_limit(&self) -> &Limit {
        &self.0.account_limit
    }

    pub(crate) fn account_limit_network(&self) -> &Limit {
        &self.0.account_limit_network
    }

    pub(crate) fn account_limit_anywhere(&self) -> &Limit {
        &self.0.account_limit_anywhere
    }

    pub(crate) fn in_flight(&self) -> &Arc<Semaphore> {
        &self.0.in_flight
    }

    pub(crate) fn node_places(&self) -> &NodePlaces {
        &self.0.node_places
    }

    /// Turns at evidence.
    pub(crate) fn evidence_turns(&self) -> &Turns {
        &self.0.evidence_turns
    }

    /// Resolves once the database has stopped for good.
    pub(crate) async fn database_stopped(&self) {
        self.0.stopped.notified().await;
    }

    pub(crate) fn trusted_proxies(&self) -> u8 {
        self.0.config.trusted_proxies
    }

    pub(crate) fn is_metrics_open(&self) -> bool {
        self.0.config.metrics_open
    }

    pub(crate) fn body_time(&self) -> Duration {
        Duration::from_millis(self.0.config.limits.body_milliseconds_max)
    }

    pub(crate) fn request_time(&self) -> Duration {
        Duration::from_millis(self.0.config.limits.request_milliseconds_max)
    }

    pub(crate) fn body_bytes_max(&self) -> usize {
        self.0.config.limits.body_bytes_max
    }

    pub(crate) fn connections_max(&self) -> usize {
        self.0.config.limits.connections_max
    }

    /// None behind a proxy, which makes every connection: how many one client opens is its business then.
    pub(crate) fn connections_per_address_max(&self) -> Option<usize> {
        (self.0.config.trusted_proxies == 0).then_some(self.0.config.limits.connections_per_address_max)
    }

    pub(crate) fn stall_time(&self) -> Duration {
        Duration::from_millis(self.0.config.limits.stall_milliseconds_max)
    }
}

/// The database or its thread failed: a service fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountsFault {
    #[error(transparent)]
    Accounts(AccountsError),
    #[error("a database call ended without an answer")]
    Task(#[source] tokio::task::JoinError),
}
