//! What host and client read: configuration files, nodes' answers, the API's answers, profile files.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_client::profile::PinnedDeployment;
use pinseal_client::transaction::{GAS_PRICE_MAX, TransactionRequest};
use pinseal_client::{Account, Address, Amount, Network};
use pinseal_networks::{Registry, U256, abi, fuzzing as networks};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::request::SignedStatement;
use pinseal_server::Config;
use serde_json::Value;

use crate::harness::base::BASE;

/// Text as the registry of networks: what is accepted has unique names and usable endpoints, and names nothing secret in errors.
pub fn registry(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match Registry::parse(text, "fuzz") {
        Ok(registry) => {
            let mut names: Vec<&str> = Vec::new();
            for network in registry.networks() {
                names.push(network.caip2.as_str());
                names.extend(network.aliases.iter().map(String::as_str));
                assert!(
                    network.chain_id().0 > 0 && network.decimals <= 36 && network.fee_cap >= network.priority_fee_min
                );
                assert_eq!(network.local, network.rpc_urls.is_empty());
                let found = registry.network(network.caip2.as_str()).expect("it is there");
                assert_eq!(found, network);
            }
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "a name means one network");
        }
        Err(error) => assert!(error.to_string().len() < 1_500, "an error is a line"),
    }
}

/// Text as the server's settings: what is accepted, written again, reads as the same, and its mail password is not shown.
pub fn server_config(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(config) = toml::from_str::<Config>(text) else { return };
    let _ = config.deployment_id();
    if config.check().is_ok() {
        let written = toml::to_string(&config).expect("settings can be written");
        let again: Config = toml::from_str(&written).expect("what is written can be read");
        assert_eq!(toml::to_string(&again).as_ref(), Ok(&written));
        assert_eq!(config.issuer_name(), format!("pinseal:{}", config.deployment));
        let url = config.mail.smtp_url.expose_secret();
        if url.len() > 40 {
            assert!(!format!("{config:?}").contains(url), "the URL may carry a password");
        }
    }
}

/// Bytes as a node's answer to request 7, and as the answer of a contract.
pub fn rpc_answer(data: &[u8]) {
    let fee_network = Registry::embedded().expect("a test parses it").network("ethereum").expect("it is there").clone();
    match networks::answer(data, 7) {
        Ok(Ok(result)) => {
            let wide = networks::quantity(&result);
            if let Some(narrow) = networks::quantity_64(&result) {
                assert_eq!(wide, Some(U256::from(narrow)));
            }
            if let (Some(bytes), Value::String(text)) = (networks::bytes(&result), &result) {
                assert_eq!(bytes.len() * 2 + 2, text.len());
                contract(&bytes);
            }
            if let Some(hash) = networks::hash(&result) {
                assert_eq!(networks::bytes(&result).as_deref(), Some(hash.0.as_slice()));
            }
            if let Some(tiers) = networks::fee_tiers(&result, &fee_network) {
                assert!(tiers.slow.max_fee_per_gas <= tiers.normal.max_fee_per_gas);
                assert!(tiers.normal.max_fee_per_gas <= tiers.fast.max_fee_per_gas);
                assert!(tiers.slow.max_priority_fee_per_gas <= tiers.slow.max_fee_per_gas);
            }
            let _ = networks::chain_objects(&result);
        }
        Ok(Err(refusal)) => {
            let text = refusal.to_string();
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.len() < 300, "{text:?}");
        }
        Err(_) => {}
    }
    contract(data);
}

fn contract(reply: &[u8]) {
    if let Some(symbol) = abi::symbol(reply) {
        assert!((1..=abi::SYMBOL_CHARS_MAX).contains(&symbol.chars().count()) && symbol.trim() == symbol);
        assert!(!symbol.chars().any(char::is_control));
    }
    assert!(abi::decimals(reply).is_none_or(|decimals| decimals <= abi::DECIMALS_MAX));
    if let Some(reason) = networks::revert_reason(reply) {
        assert!(reason.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

/// Bytes as an answer of the API. What a host proposes stays within what the person allowed.
pub fn api_answer(data: &[u8]) {
    let _ = pinseal_client::fuzzing::answers(data);
    if let Some(problem) = pinseal_client::fuzzing::problem(400, data) {
        let shown = format!("{problem}{}{}", problem.detail.as_deref().unwrap_or(""), problem.trace_id);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
    let network = Network::evm(ChainId(1));
    let to = Address(EvmAddress([2; 20]));
    let request = TransactionRequest::native(network, AccountIndex::default(), to, Amount(U256::from(5)));
    let from = Account { index: AccountIndex::default(), address: Address(EvmAddress([1; 20])) };
    for gas in [21_000, 500_000] {
        let request = request.clone().gas_at_most(gas);
        let Some(Ok(prepared)) = pinseal_client::fuzzing::prepared(&request, from, data) else { continue };
        let tx = prepared.transaction();
        assert_eq!((tx.chain, tx.to, tx.value), (ChainId(1), Some(to.0), U256::from(5)));
        assert!(tx.gas_limit <= gas && prepared.fee_max().0 <= request.fee_max.0);
        assert!(tx.fee_max() <= U256::from(GAS_PRICE_MAX) * U256::from(tx.gas_limit));
        assert!(!prepared.view().summary.is_empty());
    }
}

/// Bytes as the files of a profile: what is read, written and read again is the same.
pub fn profile(data: &[u8]) {
    if let Some(written) = pinseal_client::fuzzing::trust(data).expect("the machine has randomness") {
        let again = pinseal_client::fuzzing::trust(&written).expect("the machine has randomness");
        assert_eq!(again.as_ref(), Some(&written));
    }
    if let Some(written) = pinseal_client::fuzzing::session(data) {
        assert_eq!(pinseal_client::fuzzing::session(&written).as_ref(), Some(&written));
    }
    values(data);
}

#[derive(Debug, Arbitrary)]
struct Typed<'a> {
    decimals: u8,
    text: &'a str,
}

/// What a person types: amounts, addresses, networks.
fn values(data: &[u8]) {
    let Ok(Typed { decimals, text }) = Typed::arbitrary_take_rest(Unstructured::new(data)) else { return };
    if let Ok(amount) = Amount::from_units(text, decimals) {
        assert_eq!(Amount::from_units(&amount.to_units(decimals), decimals), Ok(amount));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse::<Address>(), Ok(address));
        assert!(text.eq_ignore_ascii_case(&address.to_string()));
    }
    if let Ok(network) = text.parse::<Network>() {
        assert_eq!(network.as_str(), text);
        assert!(network.chain_id().is_none_or(|chain| Network::evm(chain) == network));
    }
}

/// A statement as the client takes it: only about an account, in its one form.
pub(crate) fn statement(statement: &SignedStatement, log: &Ed25519Public) {
    let deployment = BASE.configuration.deployment;
    let pinned = PinnedDeployment { deployment, log: *log };
    let Ok(account) = pinseal_client::fuzzing::statement(statement, &pinned, &BASE.ada) else { return };
    let said = statement.verify(log, &deployment, &BASE.ada).expect("an account is taken from what is signed");
    assert_eq!(said.path, account.index.path());
    assert_eq!((said.network.as_str(), said.address.as_slice()), ("eip155", account.address.0.0.as_slice()));
}
