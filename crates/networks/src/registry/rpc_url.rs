//! Endpoint URLs, which often carry a key.

use url::{Host, Url};

/// Where a node answers. Debug and Display show scheme, host and port only: user, password, path and query may be keys.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUrl(Url);

/// Why a URL is not used as an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcUrlError {
    /// Not an absolute URL.
    #[error("not a URL")]
    Malformed,
    /// Neither http nor https.
    #[error("an RPC URL is http or https")]
    Scheme,
    /// Over plain http anybody on the way could answer in the node's place.
    #[error("plain http is for loopback only")]
    PlainHttp,
    /// Has a fragment, which is never sent.
    #[error("an RPC URL has no fragment")]
    Fragment,
}

impl RpcUrl {
    /// Reads a URL: https, or http on loopback.
    ///
    /// # Errors
    /// [`RpcUrlError`], which never repeats the URL.
    pub fn parse(text: &str) -> Result<Self, RpcUrlError> {
        let url = Url::parse(text).map_err(|_| RpcUrlError::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(RpcUrlError::PlainHttp),
            _ => return Err(RpcUrlError::Scheme),
        }
        if url.host().is_none() {
            return Err(RpcUrlError::Malformed);
        }
        if url.fragment().is_some() {
            return Err(RpcUrlError::Fragment);
        }
        Ok(Self(url))
    }

    /// The whole URL with its keys, for the request alone.
    pub(crate) const fn expose(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port: fit for logs.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl core::fmt::Debug for RpcUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RpcUrl({})", self.origin())
    }
}

impl core::fmt::Display for RpcUrl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_url_is_never_shown() {
        let url = RpcUrl::parse("https://user:pass@node.example:8443/v3/SECRET?key=SECRET");
        let shown = format!("{url:?}");
        assert_eq!(shown, "Ok(RpcUrl(https://node.example:8443))");
    }

    #[test]
    fn only_https_or_loopback() {
        assert!(RpcUrl::parse("http://127.0.0.1:8545").is_ok());
        assert!(RpcUrl::parse("http://[::1]:8545").is_ok());
        assert!(RpcUrl::parse("http://localhost:8545").is_ok());
        assert_eq!(RpcUrl::parse("http://node.example"), Err(RpcUrlError::PlainHttp));
        assert_eq!(RpcUrl::parse("http://localhost.example"), Err(RpcUrlError::PlainHttp));
        assert_eq!(RpcUrl::parse("ws://127.0.0.1"), Err(RpcUrlError::Scheme));
        assert_eq!(RpcUrl::parse("file:///etc/passwd"), Err(RpcUrlError::Scheme));
        assert_eq!(RpcUrl::parse("node.example"), Err(RpcUrlError::Malformed));
        assert_eq!(RpcUrl::parse("https://node.example/#x"), Err(RpcUrlError::Fragment));
    }
}
