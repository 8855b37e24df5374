//! Seeds that are text: settings, answers, profiles.

use pinseal_protocol::ids::DeploymentId;
use pinseal_server::Config;

const ANSWERS: [&str; 9] = [
    r#"{"jsonrpc":"2.0","id":7,"result":"0x5208"}"#,
    r#"{"jsonrpc":"2.0","id":7,"result":null}"#,
    r#"{"jsonrpc":"2.0","id":7,"result":"0x1111111111111111111111111111111111111111111111111111111111111111"}"#,
    r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"nonce too low"}}"#,
    r#"{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"execution reverted","data":"0x08c379a0"}}"#,
    r#"{"jsonrpc":"2.0","id":7,"result":{"baseFeePerGas":["0x1","0x2","0x64"],"gasUsedRatio":[0.5,0],"reward":[["0x1","0x5","0x9"],["0x0","0x0","0x0"]]}}"#,
    r#"{"jsonrpc":"2.0","id":7,"result":{"transactionHash":"0x1111111111111111111111111111111111111111111111111111111111111111","blockHash":"0x1111111111111111111111111111111111111111111111111111111111111111","blockNumber":"0x1","status":"0x1","gasUsed":"0x5208"}}"#,
    r#"{"jsonrpc":"2.0","id":7,"result":{"hash":"0x1111111111111111111111111111111111111111111111111111111111111111"}}"#,
    r#"{"jsonrpc":"2.0","id":7,"result":"0x00000000000000000000000000000000000000000000000000000000000000200000000000000000000000000000000000000000000000000000000000000004555344430000000000000000000000000000000000000000000000000000000000"}"#,
];

const API: [&str; 11] = [
    r#"{"items":[{"index":7,"entry":"8201","proof":["00","01"]}],"next_cursor":"6"}"#,
    r#"{"network":"eip155:1","nonce":4,"gas_limit":21000,"balance":"2000000000000000000","reservation_id":"r1","expires_at":5,"fees":{"slow":{"max_fee_per_gas":"3000000000","max_priority_fee_per_gas":"1000000000"},"normal":{"max_fee_per_gas":"3000000000","max_priority_fee_per_gas":"1000000000"},"base_fee":"1000000000"}}"#,
    r#"{"network":"eip155:1","nonce":4,"gas_limit":21000,"reservation_id":"r1","fees":{"legacy_gas_price":"7"}}"#,
    r#"{"code":"rate_limited","title":"Slow down","detail":"later","retryable":true,"trace_id":"t","retry_after_seconds":7}"#,
    r#"{"document":"00","manifest":"01"}"#,
    r#"{"user_id":"u","access_token":"a","access_expires_at":1,"refresh_token":"r","session_id":"s","login_status":"complete"}"#,
    r#"{"items":[{"session_id":"s","device":"d","created_at":1,"last_used_at":2,"current":true,"app_id":"a"}]}"#,
    r#"{"items":[{"statement":"00","signature":"01"}]}"#,
    r#"{"network":"eip155:1","address":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","native":{"amount":"1","symbol":"ETH","decimals":18},"tokens":[]}"#,
    r#"{"items":[{"network":"eip155:1","hash":"0x11","from":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","to":null,"value":"1","nonce":0,"status":"pending","confirmations":0,"submitted_at":1}],"next_cursor":null}"#,
    r#"{"version":"0.1.0","uptime_seconds":1,"anchor_level":"L1","wallets":0,"enclave":{"measurement":"00"},"development":true}"#,
];

const PROFILES: [&str; 4] = [
    r#"{"version":1,"deployment":{"id":"01010101010101010101010101010101","log_key":"0202020202020202020202020202020202020202020202020202020202020202"},"wallets":{"ann@example.org":{"wallet":"0303030303030303030303030303030303030303030303030303030303030303","addresses":{"m/44'/60'/0'/0/0":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}}},"receipt":{"note":"0405","size":6,"root":"0707070707070707070707070707070707070707070707070707070707070707","manifest":"0808080808080808080808080808080808080808080808080808080808080808"}}"#,
    r#"{"version":1,"deployment":null,"wallets":{},"receipt":null,"outgoing":[{"network":"eip155:1","from":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","nonce":7,"hash":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","to":null,"value":"13","input":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","summary":"Sends 1 ETH.","signed_at":12,"standing":"waiting","known":"awaited"}]}"#,
    r#"{"version":1,"deployment":null,"wallets":{},"receipt":null,"outgoing":[{"network":"eip155:1","from":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","nonce":7,"hash":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","to":null,"value":"13","input":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b","summary":"Sends 1 ETH.","signed_at":12,"standing":"waiting","known":"told","accepted":true}]}"#,
    r#"{"version":1,"user":"ann@example.org","user_id":"u","session_id":"s","access_token":"a","access_expires":1,"refresh_token":"r"}"#,
];

const REGISTRY: &str = include_str!("../../../../networks.toml");

pub(super) fn add(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for text in ANSWERS {
        add("rpc_answer", text.into());
    }
    for text in API {
        add("api_answer", text.into());
    }
    for text in PROFILES {
        add("profile", text.into());
    }
    for text in ["\u{12}1.5", "\u{0}0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "\u{0}eip155:31337"] {
        add("profile", text.into());
    }
    add("registry", REGISTRY.into());
    for entry in REGISTRY.split_inclusive("\n\n") {
        add("registry", entry.into());
    }
    for bytes in crate::targets::logo::SEEDS {
        add("logo", bytes.to_vec());
    }
    let config = Config::new(DeploymentId([7; 16]), "issuer.p8".into());
    add("server_config", toml::to_string(&config).expect("settings can be written").into());
    let short = "deployment = \"07070707070707070707070707070707\"\nissuer_key_file = \"k\"\n";
    add("server_config", short.into());
    add(
        "server_config",
        format!("{short}[mail]\nsmtp_url = \"smtps://user:password@mail.example.org\"\nfrom = \"x\"\n").into(),
    );
}
