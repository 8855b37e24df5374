//! What an operator sets. The CLI reads it from TOML and environment; every member has a default but the deployment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::secret::SecretText;
use pinseal_protocol::token::P256Public;
use serde::{Deserialize, Serialize, Serializer};

use crate::apps::is_exact_origin;
use crate::wallet_settings::{self, ListedToken, WalletImage, WalletSettingsError};

/// Settings of the HTTP server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Deployment id, 32 hex digits.
    pub deployment: String,
    /// ES256 private key of the token issuer, PKCS#8, readable by the owner only.
    pub issuer_key_file: PathBuf,
    /// Base URLs clients use, without a trailing slash; the first one is the default. Empty: the address listened on, with
    /// its IP and as `localhost`.
    #[serde(default)]
    pub public_urls: Vec<String>,
    /// Origin of the wallet page, like `https://wallet.example.org`: a host of its own, which the same port answers for. Without
    /// one no page is served. One that the page had before is allowed no more from the next start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_url: Option<String>,
    /// How many reverse proxies stand in front: that many last entries of `X-Forwarded-For` are believed.
    #[serde(default)]
    pub trusted_proxies: u8,
    /// True if whoever reaches the port may read `/metrics`. Otherwise only this machine may, without a proxy between: the numbers tell
    /// strangers, request by request, whether an address they name has an account.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub metrics_open: bool,
    /// True while evidence is signed by a development key; clients are told.
    #[serde(default)]
    pub development: bool,
    /// Outgoing mail.
    #[serde(default)]
    pub mail: MailConfig,
    /// Where the witnesses of the sealed configuration answer, by name: URLs without a trailing slash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub witnesses: BTreeMap<String, String>,
    /// Where the TPM of the sealed configuration is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmConfig>,
    /// AWS Nitro images of the enclave that the wallet page trusts. With any it asks for a PIN under one of these and nothing else; without
    /// one it asks for none, unless this is a development service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wallet_images: Vec<WalletImage>,
    /// Tokens that the wallet page shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ListedToken>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// The TPM of a deployment at L2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmConfig {
    /// A device like `/dev/tpmrm0`, or `tcp://127.0.0.1:2321` of a software TPM; empty where every one is under `places`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Least time between two writes of its index, which bears only so many: what comes meanwhile goes in with the next.
    #[serde(default = "default_tpm_interval")]
    pub interval_milliseconds_min: u64,
    /// Where TPMs are that followed the first, by the thumbprint of the key that each attests with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
}

/// At most four writes a second: 345,600 a day where somebody always waits.
const TPM_INTERVAL_MILLISECONDS: u64 = 250;

const fn default_tpm_interval() -> u64 {
    TPM_INTERVAL_MILLISECONDS
}

impl TpmConfig {
    /// That TPM, written as often as usual.
    pub fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), interval_milliseconds_min: TPM_INTERVAL_MILLISECONDS, places: BTreeMap::new() }
    }

    /// Where the TPM is that attests with this key, if the settings say.
    pub fn place_of(&self, attester: &P256Public) -> Option<&str> {
        let named = self.places.get(&attester.thumbprint().to_string()).map(String::as_str);
        named.or(Some(self.place.as_str())).filter(|place| !place.is_empty())
    }
}

/// Outgoing mail.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// Where to.
    #[serde(serialize_with = "SmtpUrl::write")]
    pub smtp_url: SmtpUrl,
    /// Sender.
    pub from: String,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self { smtp_url: "smtp://127.0.0.1:1025".into(), from: "Pinseal <no-reply@localhost>".into() }
    }
}

/// `smtps://` or `smtp://...?tls=required` URL, with user and password if the server asks for them; plain `smtp://` only to this machine. For
/// the password that it may carry the whole of it is a secret.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct SmtpUrl(SecretText);

impl From<String> for SmtpUrl {
    fn from(text: String) -> Self {
        Self(SecretText::new(text))
    }
}

impl From<&str> for SmtpUrl {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl SmtpUrl {
    /// The URL, for the one transport that needs it.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    /// A second copy.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// True if there is a password in it. A text that is no URL is refused elsewhere.
    pub fn has_password(&self) -> bool {
        url::Url::parse(self.expose_secret()).is_ok_and(|url| url.password().is_some())
    }

    /// For `serialize_with`: into the settings of a deployment (a file of mode 0600), and into the pipe on which a supervisor hands them to the
    /// host.
    ///
    /// # Errors
    /// The serializer's.
    pub fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose_secret())
    }

    /// True if mail would leave this machine unencrypted, or would if somebody on the way says that the server cannot encrypt. A
    /// text that is no URL is refused elsewhere.
    fn is_in_clear(&self) -> bool {
        let Ok(url) = url::Url::parse(self.expose_secret()) else { return false };
        let is_local = match url.host() {
            // `smtp` is no special scheme to the URL parser, so an IPv4 address may come as a name.
            Some(url::Host::Domain(name)) => {
                name == "localhost" || name.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
            }
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => true,
        };
        // As the transport reads it: the first `tls` counts.
        let mode = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, mode)| mode);
        url.scheme() == "smtp" && !is_local && mode.as_deref() != Some("required")
    }
}

/// Bounds of the server. The defaults suit one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute from one client address (IPv6: one /64, and sixteen times as many from one /48); as many may come at
    /// once.
    pub requests_per_minute: u32,
    /// Authenticated requests a minute of one user, wherever they come from; as many may come at once.
    pub requests_per_user_per_minute: u32,
    /// Requests with an idempotency key of one user a day: each may leave an answer in the database for that long.
    pub keyed_requests_per_user_per_day: u32,
    /// Operations of one user a day that write to their wallet, counted as they begin. Each leaves some 600 bytes in a log that is never pruned.
    pub writing_operations_per_user_per_day: u32,
    /// Refreshes of one session a day. Each leaves a row for as long as its token lives; a session needs 96.
    pub refreshes_per_session_per_day: u32,
    /// Login, sign-up, verification and reset requests a minute from one client address.
    pub logins_per_minute: u32,
    /// The same, a quarter of an hour, for one account from one client address, each step by itself; also logins of one account
    /// on one device that it was used on before.
    pub logins_per_account_per_quarter: u32,
    /// The same for one account, wherever they come from, a quarter of it from one network (IPv6 /48, IPv4 /24); a device the account was used on
    /// before, or its password was reset on, is not held up by it.
    pub logins_per_account_anywhere_per_quarter: u32,
    /// Open connections. When there are as many, a newcomer gets the place of one the server waits for: of the address with most
    /// connections, the one that has been waited for longest.
    pub connections_max: usize,
    /// Open connections from one client address (IPv6: one /64); more are closed. Not counted behind a trusted proxy.
    pub connections_per_address_max: usize,
    /// Requests worked on at once; more are answered 503.
    pub requests_in_flight_max: usize,
    /// Bytes of a request body of a logged-in user; bodies of others have 16 KiB at most.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are arriving, the first 16 KiB of each left out; more are answered 503.
    pub bodies_bytes_max: usize,
    /// Milliseconds for a request's head and body to arrive.
    pub body_milliseconds_max: u64,
    /// Milliseconds in which a client takes 16 KiB of its answer, or the rest of it; otherwise it is hung up on.
    pub stall_milliseconds_max: u64,
    /// Milliseconds until a request is given up with 504.
    pub request_milliseconds_max: u64,
    /// Passwords hashed at once; each takes 19 MiB and some 20 ms of one core.
    pub passwords_at_once: usize,
    /// Passwords that may wait for a hash, in a line for each known device, IPv6 /48 and IPv4 /24; beyond them the newest of the longest line
    /// is answered 503.
    pub passwords_waiting_max: usize,
    /// Mails that may wait to be sent, in such lines; beyond them the newest of the longest line is dropped and counted.
    pub mails_waiting_max: usize,
}

/// Networks that together may take all the steps of an account that strangers have. One alone would otherwise take nearly all of them, as fast
/// as they come back, and keep the owner's new devices out.
const NETWORKS_PER_ACCOUNT: u32 = 4;

impl Limits {
    /// Steps of one account from one network. Not fewer than one address of it has: neighbours would be held up by a single one.
    pub(crate) fn logins_per_account_network_per_quarter(&self) -> u32 {
        let share = self.logins_per_account_anywhere_per_quarter / NETWORKS_PER_ACCOUNT;
        share.max(self.logins_per_account_per_quarter)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: 600,
            // As for one address: a user who comes from many is one user.
            requests_per_user_per_minute: 600,
            keyed_requests_per_user_per_day: 10_000,
            writing_operations_per_user_per_day: 10_000,
            refreshes_per_session_per_day: 288,
            logins_per_minute: 30,
            logins_per_account_per_quarter: 20,
            logins_per_account_anywhere_per_quarter: 200,
            connections_max: 1_024,
            connections_per_address_max: 128,
            requests_in_flight_max: 256,
            // A sealed request of 256 KiB travels as hex inside JSON.
            body_bytes_max: 640 * 1_024,
            bodies_bytes_max: 64 * 1_024 * 1_024,
            body_milliseconds_max: 10_000,
            stall_milliseconds_max: 10_000,
            // Longer than the trunk waits for the enclave, so that its answer, not this bound, tells the client.
            request_milliseconds_max: 40_000,
            passwords_at_once: 2,
            passwords_waiting_max: 64,
            mails_waiting_max: 256,
        }
    }
}

/// Why a configuration is refused. The operator mends it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not 32 hex digits.
    #[error("deployment is not 32 hex digits")]
    Deployment,
    /// Not `http(s)://host[:port]`.
    #[error("public URL {0:?} is not of the form http(s)://host[:port]")]
    PublicUrl(String),
    /// The page's storage is for the page alone: give it a host of its own.
    #[error("wallet URL {0:?} is one of the public URLs")]
    WalletUrl(String),
    /// Mailed codes open accounts, so they do not travel in the clear: use `smtps://` or `smtp://...?tls=required`.
    #[error("mail.smtp_url is neither encrypted nor on this machine")]
    MailInClear,
    /// See the source.
    #[error(transparent)]
    Wallet(#[from] WalletSettingsError),
    /// A limit of zero would refuse everything.
    #[error("limit {0} must not be zero")]
    Zero(&'static str),
}

impl Config {
    /// A configuration with every default.
    pub fn new(deployment: DeploymentId, issuer_key_file: PathBuf) -> Self {
        Self {
            deployment: deployment.to_string(),
            issuer_key_file,
            public_urls: Vec::new(),
            wallet_url: None,
            trusted_proxies: 0,
            metrics_open: false,
            development: false,
            mail: MailConfig::default(),
            witnesses: BTreeMap::new(),
            tpm: None,
            wallet_images: Vec::new(),
            tokens: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// The deployment id.
    ///
    /// # Errors
    /// [`ConfigError::Deployment`].
    pub fn deployment_id(&self) -> Result<DeploymentId, ConfigError> {
        DeploymentId::from_hex(&self.deployment).ok_or(ConfigError::Deployment)
    }

    /// Name of the token issuer, the access token's `iss`.
    pub fn issuer_name(&self) -> String {
        format!("pinseal:{}", self.deployment)
    }

    /// Checks everything that parses but makes no sense.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.deployment_id()?;
        if let Some(wrong) = self.public_urls.iter().chain(&self.wallet_url).find(|url| !is_origin(url)) {
            return Err(ConfigError::PublicUrl(wrong.clone()));
        }
        if let Some(shared) = self.wallet_url.as_ref().filter(|url| self.public_urls.contains(url)) {
            return Err(ConfigError::WalletUrl(shared.clone()));
        }
        wallet_settings::check(&self.wallet_images, &self.tokens)?;
        if self.mail.smtp_url.is_in_clear() {
            return Err(ConfigError::MailInClear);
        }
        let limits = &self.limits;
        let zero = [
            ("requests_per_minute", u64::from(limits.requests_per_minute)),
            ("requests_per_user_per_minute", u64::from(limits.requests_per_user_per_minute)),
            ("keyed_requests_per_user_per_day", u64::from(limits.keyed_requests_per_user_per_day)),
            ("writing_operations_per_user_per_day", u64::from(limits.writing_operations_per_user_per_day)),
            ("refreshes_per_session_per_day", u64::from(limits.refreshes_per_session_per_day)),
            ("logins_per_minute", u64::from(limits.logins_per_minute)),
            ("logins_per_account_per_quarter", u64::from(limits.logins_per_account_per_quarter)),
            ("logins_per_account_anywhere_per_quarter", u64::from(limits.logins_per_account_anywhere_per_quarter)),
            ("connections_max", limits.connections_max as u64),
            ("connections_per_address_max", limits.connections_per_address_max as u64),
            ("requests_in_flight_max", limits.requests_in_flight_max as u64),
            ("body_bytes_max", limits.body_bytes_max as u64),
            ("body_milliseconds_max", limits.body_milliseconds_max),
            ("stall_milliseconds_max", limits.stall_milliseconds_max),
            ("request_milliseconds_max", limits.request_milliseconds_max),
            ("passwords_at_once", limits.passwords_at_once as u64),
            ("mails_waiting_max", limits.mails_waiting_max as u64),
        ];
        match zero.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }
}

/// True for `http(s)://host[:port]` as browsers write it.
fn is_origin(text: &str) -> bool {
    // One that stands in the page's policy, and is no more than itself there.
    is_exact_origin(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn mail_leaves_the_machine_encrypted_only() {
        let checked = |url: &str| {
            let mut config = Config::new(DeploymentId([1; 16]), PathBuf::from("key"));
            config.mail.smtp_url = url.into();
            config.check()
        };
        for url in [
            "smtp://127.0.0.1:1025",
            "smtp://127.3.2.1",
            "smtp://localhost:25",
            "smtp://[::1]:25",
            "smtps://user:pass@mail.example",
            "smtp://user:pass@mail.example:587?tls=required",
        ] {
            checked(url).unwrap();
        }
        for url in [
            "smtp://mail.example",
            "smtp://user:pass@mail.example:587",
            "smtp://192.0.2.1:25",
            "smtp://[2001:db8::1]",
            "smtp://localhost.example",
            "smtp://127.0.0.1@mail.example",
            "smtp://mail.example?tls=opportunistic",
            "smtp://mail.example?tls=none",
            "smtp://mail.example?tls=opportunistic&tls=required",
        ] {
            assert!(matches!(checked(url), Err(ConfigError::MailInClear)), "{url}");
        }
    }
}
