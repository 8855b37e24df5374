//! What this profile holds a token's decimals to be. The contract's own word comes by way of the host, which could move the decimal
//! point of what a person approved.

use std::collections::BTreeMap;
use std::path::Path;

use pinseal_client::{Address, Network};

use crate::data_dir;
use crate::failure::{Exit, Failure, Outcome};

/// File inside a profile directory.
const FILE: &str = "tokens.json";

/// Decimals by `network/contract`.
type Tokens = BTreeMap<String, u8>;

/// The decimals kept of an earlier approved transfer.
///
/// # Errors
/// The file is not understood.
pub(crate) fn known(directory: &Path, network: &Network, token: Address) -> Outcome<Option<u8>> {
    Ok(read(directory)?.get(&name(network, token)).copied())
}

/// Keeps the decimals of an approved transfer.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep(directory: &Path, network: &Network, token: Address, decimals: u8) -> Outcome {
    let mut tokens = read(directory)?;
    if tokens.insert(name(network, token), decimals) == Some(decimals) {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(&tokens).unwrap_or_default();
    data_dir::replace(&directory.join(FILE), text.as_bytes())
}

/// The decimals to count in: those somebody vouches for, if the host says the same; the host's alone only where a person looks.
///
/// # Errors
/// Nobody vouches for them and nobody looks, or the host says otherwise.
pub(crate) fn settle(given: Option<u8>, known: Option<u8>, claimed: u8, is_unattended: bool) -> Outcome<u8> {
    match given.or(known) {
        None if is_unattended => Err(Failure::usage("how many decimals has the token?")
            .advise("with --yes nobody looks at the amount: give --decimals N, as the token's issuer states them")),
        Some(held) if held != claimed => Err(Failure::new(
            Exit::NotTrusted,
            "decimals_differ",
            format!("the server says that the token has {claimed} decimals; {held} are held to be right here"),
        )
        .advise("do not send before the issuer has told you which; then give --decimals N")),
        _ => Ok(claimed),
    }
}

fn name(network: &Network, token: Address) -> String {
    format!("{network}/{token}")
}

fn read(directory: &Path) -> Outcome<Tokens> {
    let path = directory.join(FILE);
    let Some(text) = data_dir::read(&path)? else { return Ok(Tokens::new()) };
    serde_json::from_str(&text)
        .map_err(|error| Failure::failed("file", format!("{} is not understood: {error}", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_word_on_decimals_counts_only_where_a_person_looks() {
        assert_eq!(settle(None, None, 6, false).unwrap(), 6);
        assert_eq!(settle(None, None, 6, true).unwrap_err().exit, Exit::Usage);
        for (given, known) in [(Some(6), None), (None, Some(6)), (Some(6), Some(18))] {
            assert_eq!(settle(given, known, 6, true).unwrap(), 6);
            assert_eq!(settle(given, known, 4, false).unwrap_err().code, "decimals_differ");
        }
    }

    #[test]
    fn decimals_are_kept_for_one_contract_on_one_network() {
        let scratch = tempfile::tempdir().unwrap();
        let here = scratch.path();
        let (one, other): (Network, Network) = ("eip155:1".parse().unwrap(), "eip155:137".parse().unwrap());
        let token: Address = format!("0x{}", "70".repeat(20)).parse().unwrap();
        assert_eq!(known(here, &one, token).unwrap(), None);
        keep(here, &one, token, 6).unwrap();
        assert_eq!(known(here, &one, token).unwrap(), Some(6));
        assert_eq!(known(here, &other, token).unwrap(), None);
        std::fs::write(here.join(FILE), "{").unwrap();
        assert!(known(here, &one, token).is_err(), "a damaged file is not an empty one");
    }
}
