#![allow(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

use super::super::Registry;
use super::*;

const GOOD: &str = r#"
[[network]]
caip2 = "eip155:1"
aliases = ["ethereum"]
name = "Ethereum"
symbol = "ETH"
decimals = 18
rpc_urls = ["https://node.example/KEY"]
explorer = "https://etherscan.io"
finality_blocks = 64
status = "active"
testnet = false
fee_cap_gwei = 10
"#;

fn refusal(text: &str) -> String {
    Registry::parse(text, "test.toml").unwrap_err().to_string()
}

#[test]
fn the_shipped_registry_has_every_promised_network() {
    let registry = Registry::embedded().unwrap();
    for (name, chain) in [
        ("ethereum", 1),
        ("evmeth-sepolia", 11_155_111),
        ("evmpolygon", 137),
        ("klaytn", 8217),
        ("kaia", 8217),
        ("evmbsc", 56),
        ("eip155:31337", 31337),
    ] {
        assert_eq!(registry.network(name).unwrap().chain_id().0, chain, "{name}");
    }
    assert_eq!(registry.networks().iter().filter(|network| network.local).count(), 1);
    assert!(registry.networks().iter().all(|network| network.local || network.rpc_urls.len() >= 2));
    assert_eq!(registry.network("eip155:137").unwrap().priority_fee_min, U256::from(25_000_000_000_u64));
}

#[test]
fn a_further_network_is_one_entry() {
    let registry = Registry::parse(
        &format!("{GOOD}{}", GOOD.replace("eip155:1\"", "eip155:100\"").replace("\"ethereum\"", "\"gnosis\"")),
        "test.toml",
    )
    .unwrap();
    assert_eq!(registry.network("gnosis").unwrap().chain_id().0, 100);
}

#[test]
fn a_bad_entry_is_refused_with_file_line_and_name() {
    let second = GOOD.replace("\"ethereum\"", "\"other\"");
    assert_eq!(
        refusal(&format!("{GOOD}{second}")),
        "test.toml, line 16, network eip155:1: \"eip155:1\" names two networks"
    );
    let alias = GOOD.replace("eip155:1\"", "eip155:2\"");
    assert_eq!(
        refusal(&format!("{GOOD}{alias}")),
        "test.toml, line 17, network eip155:2: \"ethereum\" names two networks"
    );
    assert_eq!(
        refusal(&GOOD.replace("eip155:1\"", "eip155:01\"")),
        "test.toml, line 3, network eip155:01: caip2: not a chain id in canonical decimal form"
    );
    assert_eq!(
        refusal(&GOOD.replace("https://node", "http://node")),
        "test.toml, line 8, network eip155:1: rpc_urls: plain http is for loopback only"
    );
}

#[test]
fn every_other_slip_is_refused_and_no_key_is_repeated() {
    for (from, to, expected) in [
        ("testnet = false", "testnet = false\ncolour = \"red\"", "unknown field `colour`"),
        ("symbol = \"ETH\"\n", "", "missing field `symbol`"),
        ("name = \"Ethereum\"", "name = \"Ethereum\"\nname = \"x\"", "duplicate key"),
        ("decimals = 18", "decimals = 37", "line 7, network eip155:1: decimals: at most 36"),
        ("decimals = 18", "decimals = -1", "invalid value"),
        ("finality_blocks = 64", "finality_blocks = 0", "line 10, network eip155:1: finality_blocks"),
        ("\"active\"", "\"sleeping\"", "unknown variant `sleeping`"),
        ("fee_cap_gwei = 10", "fee_cap_gwei = 0", "fee_cap_gwei"),
        ("https://etherscan.io", "http://etherscan.io", "line 9, network eip155:1: explorer"),
        ("https://etherscan.io", "https://u:p@etherscan.io", "explorer"),
        ("[\"https://node.example/KEY\"]", "[]", "line 8, network eip155:1: rpc_urls: empty for the local chain"),
        (
            "[\"https://node.example/KEY\"]",
            "[\"https://node.example/KEY\", \"https://node.example/KEY\"]",
            "rpc_urls names one endpoint twice",
        ),
        (
            "https://node.example/KEY",
            "ftp://node.example/KEY",
            "line 8, network eip155:1: rpc_urls: an RPC URL is http or https",
        ),
        ("\"ethereum\"", "\"Ethereum\"", "line 4, network eip155:1: aliases"),
        ("\"ethereum\"", "\"eip155:1\"", "aliases"),
        ("[[network]]", "[network]", "invalid type"),
    ] {
        let text = refusal(&GOOD.replace(from, to));
        assert!(text.contains(expected), "{to}: {text}");
        if expected.contains("rpc_urls") {
            assert!(!text.contains("KEY"), "{text}");
        }
    }
    assert!(refusal(&" ".repeat(FILE_LEN_MAX + 1)).contains("longer than"));
}

#[test]
fn the_local_chain_gets_its_url_at_start() {
    let url = RpcUrl::parse("http://127.0.0.1:1").unwrap();
    let registry = Registry::embedded().unwrap().with_rpc_url("local", url.clone()).unwrap();
    assert_eq!(registry.network("eip155:31337").unwrap().rpc_urls, vec![url.clone()]);
    assert!(Registry::embedded().unwrap().with_rpc_url("nowhere", url).is_err());
}

#[test]
fn an_operators_file_takes_the_embedded_ones_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("networks.toml");
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(Registry::from_path(&path).unwrap().networks().len(), 1);
    assert!(matches!(Registry::from_path(&folder.path().join("none")), Err(RegistryError::Unreadable { .. })));
}
