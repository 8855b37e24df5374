//! Which server, and as which app.

use core::fmt;
use core::str::FromStr;

use url::{Host, Url};

use pinseal_protocol::secret::SecretText;

/// The server's base URL: `https`, or `http` on this very machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Not a URL of the form `https://host[:port][/path]`.
    #[error("not a server URL")]
    Form,
    /// Plain HTTP to another machine would show passwords and tokens to everybody between. Use `https`.
    #[error("plain http is accepted only for this machine (localhost); use https")]
    Plain,
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let mut url = Url::parse(text).map_err(|_| ServerUrlError::Form)?;
        let bare =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        if !bare {
            return Err(ServerUrlError::Form);
        }
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_loopback(&host) => {}
            ("http", Some(_)) => return Err(ServerUrlError::Plain),
            _ => return Err(ServerUrlError::Form),
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl ServerUrl {
    /// True for `http`.
    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The URL of a path given as segments, each escaped where necessary.
    pub(super) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// What an app shows with every call.
#[derive(Debug)]
pub struct AppCredentials {
    /// App ID.
    pub id: String,
    /// App Key of the platform.
    pub key: SecretText,
    /// What kind of key it is.
    pub platform: Platform,
}

impl AppCredentials {
    /// A second copy, key included.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { id: self.id.clone(), key: self.key.duplicate(), platform: self.platform.clone() }
    }
}

/// What an App Key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// A key for programs without a page or bundle: the CLI, back ends.
    Server,
    /// An android or ios key, bound to this package or bundle id.
    Bundle(String),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use super::*;

    #[test]
    fn secrets_travel_over_tls_or_not_beyond_this_machine() {
        for good in [
            "https://wallet.example.org",
            "https://example.org/w/",
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            good.parse::<ServerUrl>().unwrap();
        }
        for plain in ["http://example.org", "http://192.168.0.7:8080", "http://localhost.example.org"] {
            assert_eq!(plain.parse::<ServerUrl>().unwrap_err(), ServerUrlError::Plain, "{plain}");
        }
        for bad in
            ["ftp://example.org", "https://u:p@example.org", "https://example.org/?a=b", "example.org", "file:///etc"]
        {
            assert_eq!(bad.parse::<ServerUrl>().unwrap_err(), ServerUrlError::Form, "{bad}");
        }
    }

    #[test]
    fn segments_cannot_leave_their_place() {
        let server: ServerUrl = "https://example.org/w/".parse().unwrap();
        let url = server.join(&["v1", "sessions", "../../x?y#z"]);
        assert_eq!(url.as_str(), "https://example.org/w/v1/sessions/..%2F..%2Fx%3Fy%23z");
        assert_eq!(server.join(&["v1", "tx", "eip155:1"]).as_str(), "https://example.org/w/v1/tx/eip155:1");
        assert_eq!(server.to_string(), "https://example.org/w");
    }
}
