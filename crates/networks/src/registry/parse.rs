//! The registry file, read strictly: what is doubtful is refused with its place.

use std::collections::BTreeMap;
use std::io::Read;

use alloy_primitives::U256;
use serde::Deserialize;
use toml::Spanned;

use super::{Caip2, Caip2Error, Network, NetworkStatus, RpcUrl, RpcUrlError};

/// Longest registry file: some hundred times the embedded one.
const FILE_LEN_MAX: usize = 512 * 1024;
/// Most networks; every known EVM network fits.
const NETWORKS_MAX: usize = 4_096;
/// Most endpoints per network: failover tries each.
const RPC_URLS_MAX: usize = 8;
/// Most aliases per network.
const ALIASES_MAX: usize = 16;
/// Longest name, symbol or alias people are shown.
const LABEL_LEN_MAX: usize = 64;
/// Longest message of the TOML parser that is repeated.
const MESSAGE_LEN_MAX: usize = 300;
/// Most decimals: 10^36 still fits 256 bits many times over.
const DECIMALS_MAX: u8 = 36;
/// Deepest finality: a day of the slowest known network.
const FINALITY_BLOCKS_MAX: u64 = 100_000;
/// Wei per gwei.
const GWEI: u64 = 1_000_000_000;

/// Why a registry is refused. The operator corrects the file; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file could not be read.
    #[error("{path}: cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Longer than any registry is.
    #[error("{path}: longer than {FILE_LEN_MAX} bytes")]
    TooLong {
        /// The file.
        path: String,
    },
    /// Not TOML, an unknown or missing key, or a value of the wrong type.
    #[error("{path}, line {line}: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// Where, counted from 1.
        line: usize,
        /// What, without the line itself: it may hold a key.
        message: String,
    },
    /// An entry that cannot be used.
    #[error("{path}, line {line}, network {entry}: {fault}")]
    Entry {
        /// The file.
        path: String,
        /// Line of the value at fault, counted from 1.
        line: usize,
        /// The entry's CAIP-2 id as written.
        entry: String,
        /// What is wrong with it.
        fault: EntryError,
    },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The id.
    #[error("caip2: {0}")]
    Caip2(Caip2Error),
    /// An endpoint; the URL itself is not repeated, since it may carry a key.
    #[error("rpc_urls: {0}")]
    RpcUrl(RpcUrlError),
    /// An id or alias that an earlier entry has.
    #[error("\"{0}\" names two networks")]
    Duplicate(String),
    /// The same endpoint twice.
    #[error("rpc_urls names one endpoint twice")]
    DuplicateUrl,
    /// Any other value out of its range.
    #[error("{key}: {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl From<Caip2Error> for EntryError {
    fn from(error: Caip2Error) -> Self {
        Self::Caip2(error)
    }
}

impl From<RpcUrlError> for EntryError {
    fn from(error: RpcUrlError) -> Self {
        Self::RpcUrl(error)
    }
}

impl RegistryError {
    pub(super) fn unreadable(path: &str, source: std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    network: Vec<RawNetwork>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    caip2: Spanned<String>,
    aliases: Vec<Spanned<String>>,
    name: Spanned<String>,
    symbol: Spanned<String>,
    decimals: Spanned<u8>,
    rpc_urls: Spanned<Vec<Spanned<String>>>,
    explorer: Option<Spanned<String>>,
    finality_blocks: Spanned<u64>,
    status: RawStatus,
    testnet: bool,
    priority_fee_min_wei: Option<u64>,
    fee_cap_gwei: Spanned<u32>,
    #[serde(default)]
    local: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawStatus {
    Active,
    Retired,
}

/// Reads a file no longer than [`FILE_LEN_MAX`].
pub(super) fn read_bounded(file: std::fs::File, path: &str) -> Result<String, RegistryError> {
    let mut text = String::new();
    let limit = u64::try_from(FILE_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(|error| RegistryError::unreadable(path, error))?;
    Ok(text)
}

/// Every network of a registry text.
pub(super) fn registry(text: &str, path: &str) -> Result<Vec<Network>, RegistryError> {
    if text.len() > FILE_LEN_MAX {
        return Err(RegistryError::TooLong { path: path.to_owned() });
    }
    let file: RawFile = toml::from_str(text).map_err(|error| syntax(&error, text, path))?;

    let mut names = BTreeMap::new();
    let mut networks = Vec::new();
    for raw in file.network {
        let entry = raw.caip2.get_ref().clone();
        let network = network(raw, &mut names).and_then(|network| {
            if networks.len() < NETWORKS_MAX { Ok(network) } else { Err(value(0, "network", "too many entries")) }
        });
        networks.push(network.map_err(|Fault { offset, fault }| RegistryError::Entry {
            path: path.to_owned(),
            line: line_of(text, offset),
            entry: label(&entry),
            fault,
        })?);
    }
    Ok(networks)
}

/// What is wrong, and the byte at which it starts.
struct Fault {
    offset: usize,
    fault: EntryError,
}

/// The parser's message without what it quotes from the file.
fn syntax(error: &toml::de::Error, text: &str, path: &str) -> RegistryError {
    let message = if error.message().contains("://") { "value of the wrong type" } else { error.message() };
    RegistryError::Syntax {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        message: message.chars().take(MESSAGE_LEN_MAX).collect(),
    }
}

fn value(offset: usize, key: &'static str, expected: &'static str) -> Fault {
    Fault { offset, fault: EntryError::Value { key, expected } }
}

fn network(raw: RawNetwork, names: &mut BTreeMap<String, ()>) -> Result<Network, Fault> {
    let caip2 = at(&raw.caip2, Caip2::parse)?;
    unique(&raw.caip2, names)?;
    if raw.aliases.len() > ALIASES_MAX {
        return Err(value(raw.caip2.span().start, "aliases", "at most 16 names"));
    }
    for alias in &raw.aliases {
        let text = alias.get_ref();
        let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if text.is_empty() || text.len() > LABEL_LEN_MAX || !plain {
            return Err(value(alias.span().start, "aliases", "1 to 64 of a-z, 0-9 and -"));
        }
        unique(alias, names)?;
    }
    if !is_label(raw.name.get_ref()) {
        return Err(value(raw.name.span().start, "name", "1 to 64 printable characters"));
    }
    if !is_label(raw.symbol.get_ref()) {
        return Err(value(raw.symbol.span().start, "symbol", "1 to 64 printable characters"));
    }
    if *raw.decimals.get_ref() > DECIMALS_MAX {
        return Err(value(raw.decimals.span().start, "decimals", "at most 36"));
    }
    if !(1..=FINALITY_BLOCKS_MAX).contains(raw.finality_blocks.get_ref()) {
        return Err(value(raw.finality_blocks.span().start, "finality_blocks", "1 to 100000"));
    }
    let priority_fee_min = U256::from(raw.priority_fee_min_wei.unwrap_or_default());
    let fee_cap = U256::from(*raw.fee_cap_gwei.get_ref()) * U256::from(GWEI);
    if fee_cap.is_zero() || fee_cap < priority_fee_min {
        return Err(value(raw.fee_cap_gwei.span().start, "fee_cap_gwei", "positive and at least priority_fee_min_wei"));
    }
    Ok(Network {
        rpc_urls: rpc_urls(&raw.rpc_urls, raw.local)?,
        explorer: raw.explorer.as_ref().map(explorer).transpose()?,
        caip2,
        aliases: raw.aliases.into_iter().map(Spanned::into_inner).collect(),
        name: raw.name.into_inner(),
        symbol: raw.symbol.into_inner(),
        decimals: raw.decimals.into_inner(),
        finality_blocks: raw.finality_blocks.into_inner(),
        status: match raw.status {
            RawStatus::Active => NetworkStatus::Active,
            RawStatus::Retired => NetworkStatus::Retired,
        },
        testnet: raw.testnet,
        priority_fee_min,
        fee_cap,
        local: raw.local,
    })
}

fn at<T, E: Into<EntryError>>(text: &Spanned<String>, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, Fault> {
    parse(text.get_ref()).map_err(|source| Fault { offset: text.span().start, fault: source.into() })
}

fn unique(name: &Spanned<String>, names: &mut BTreeMap<String, ()>) -> Result<(), Fault> {
    match names.insert(name.get_ref().clone(), ()) {
        None => Ok(()),
        Some(()) => Err(Fault { offset: name.span().start, fault: EntryError::Duplicate(label(name.get_ref())) }),
    }
}

fn rpc_urls(raw: &Spanned<Vec<Spanned<String>>>, local: bool) -> Result<Vec<RpcUrl>, Fault> {
    let count = raw.get_ref().len();
    if local != (count == 0) {
        return Err(value(raw.span().start, "rpc_urls", "empty for the local chain, and for no other"));
    }
    if count > RPC_URLS_MAX {
        return Err(value(raw.span().start, "rpc_urls", "at most 8 endpoints"));
    }
    let mut urls = Vec::with_capacity(count);
    for text in raw.get_ref() {
        let url = at(text, RpcUrl::parse)?;
        if urls.contains(&url) {
            return Err(Fault { offset: text.span().start, fault: EntryError::DuplicateUrl });
        }
        urls.push(url);
    }
    Ok(urls)
}

fn explorer(text: &Spanned<String>) -> Result<String, Fault> {
    let refused = || value(text.span().start, "explorer", "an https URL without credentials, query or trailing slash");
    let url = url::Url::parse(text.get_ref()).map_err(|_| refused())?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && !text.get_ref().ends_with('/');
    if plain { Ok(text.get_ref().clone()) } else { Err(refused()) }
}

fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LABEL_LEN_MAX && text.bytes().all(|c| (0x20..0x7f).contains(&c))
}

/// A written name, cut so that an error stays one line.
fn label(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LABEL_LEN_MAX).collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
