//! The README's walk-through and every client command, as a script would run them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Up, code, command, flowed, get, json, rpc, run, run_with_secrets, text};

const PASSWORD: &str = "correct horse 1\n";
const PIN: &str = "482913\n";
const NEW_PIN: &str = "736251\n";
const WRONG_PIN: &str = "193745\n";
const BOB: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

const TYPED_DATA: &str = r#"{
  "types": {
    "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
    "Mail": [{"name": "contents", "type": "string"}]
  },
  "primaryType": "Mail",
  "domain": {"name": "Ether Mail", "chainId": 31337},
  "message": {"contents": "Hello, Bob!"}
}"#;

/// Runs a command with the PIN on descriptor 3.
fn with_pin(directory: &Path, arguments: &[&str], pin: &str) -> std::process::Output {
    run_with_secrets(directory, &[arguments, &["--json", "--pin-fd", "3"]].concat(), pin, NEW_PIN)
}

/// Starts a command that reads its PIN from a pipe nobody writes to, and kills it once it has shown what would be signed.
fn killed_at_the_pin(directory: &Path, arguments: &[&str]) {
    let mut child = command(directory, arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(BOB)), "nothing was shown");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Leaves every transaction that the profiles below `directory` keep as one whose sending nobody answered.
fn doubt(directory: &Path) {
    let mut doubted = 0;
    let mut below = vec![directory.to_owned()];
    while let Some(directory) = below.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                below.push(entry.path());
            } else if entry.file_name() == "trust.json" {
                let mut trust: Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
                for one in trust["outgoing"].as_array_mut().into_iter().flatten() {
                    if one["standing"] == "waiting" {
                        one["known"] = "doubtful".into();
                        doubted += 1;
                    }
                }
                std::fs::write(entry.path(), trust.to_string()).unwrap();
            }
        }
    }
    assert_eq!(doubted, 1);
}

fn error_code(output: &std::process::Output) -> String {
    let error: Value = serde_json::from_slice(
        output.stderr.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{")).unwrap_or_default(),
    )
    .unwrap_or_else(|_| panic!("no JSON error: {}", text(output)));
    error["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn every_client_command_works_without_flags_beside_a_development_system() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let up = Up::start(here);

    assert_eq!(code(&run(here, &["accounts", "--json"])), 5, "nobody is logged in yet");
    let login = ["login", "ada@example.org", "--sign-up", "--json", "--password-fd", "3"];
    let login = json(&run_with_secrets(here, &login, PASSWORD, ""));
    assert_eq!(login["email"], "ada@example.org");
    assert_eq!(login["login_status"], "pin_required");
    let again = ["login", "ada@example.org", "--sign-up", "--json", "--password-fd", "3"];
    let again = run_with_secrets(here, &again, PASSWORD, "");
    // Within a minute of the first mail none is sent, so nobody can tell; the way on is named all the same.
    assert_eq!((code(&again), error_code(&again).as_str()), (6, "mail_missing"), "{}", text(&again));
    assert!(text(&again).contains("login ada@example.org"), "{}", text(&again));
    let wrong = run_with_secrets(here, &["login", "ada@example.org", "--password-fd", "3"], "another 1 horse\n", "");
    assert!(text(&wrong).contains("--reset") && text(&wrong).contains("--sign-up"), "{}", text(&wrong));
    let networks = json(&run(here, &["networks", "--json"]));
    let local = networks["networks"].as_array().unwrap().iter().find(|network| network["network"] == "eip155:31337");
    let local = local.unwrap()["name"].as_str().unwrap().to_owned();

    let wallet = json(&with_pin(here, &["wallet", "create", "--words", "12", "--label", "laptop"], PIN));
    let address = wallet["address"].as_str().unwrap().to_owned();
    assert_eq!(wallet["path"], "m/44'/60'/0'/0/0");
    assert_eq!(error_code(&with_pin(here, &["wallet", "create"], PIN)), "wallet_exists");
    let accounts = json(&run(here, &["accounts", "--count", "2", "--json"]));
    assert_eq!(accounts["accounts"][0]["address"], address.as_str());
    assert_ne!(accounts["accounts"][1]["address"], address.as_str());

    json(&run(here, &["dev", "fund", "--json"]));
    let balance = json(&run(here, &["balance", "--json", "--network", &local]));
    assert_eq!(
        (balance["address"].as_str(), balance["native"]["amount"].as_str()),
        (Some(address.as_str()), Some("10000000000000000000"))
    );

    let dear = with_pin(here, &["send", BOB, "0.25", "--yes", "--max-fee", "0.000000001"], PIN);
    assert!(code(&dear) == 1 && error_code(&dear) == "fee_too_high", "{}", text(&dear));
    let named = with_pin(here, &["send", BOB, "0.25", "--yes", "--network", &local], PIN);
    assert!(code(&named) == 2 && text(&named).contains("--network eip155:31337"), "{}", text(&named));
    let declined = with_pin(here, &["send", BOB, "0.25"], PIN);
    assert_eq!(code(&declined), 8, "without --yes nobody approved: {}", text(&declined));
    let sent = json(&with_pin(here, &["send", BOB, "0.25", "--yes", "--fee", "fast"], PIN));
    assert_eq!((sent["value"].as_str(), sent["to"].as_str()), (Some("250000000000000000"), Some(BOB)));
    assert!(sent["block_number"].is_u64(), "{sent}");
    // A program that is killed while it waits for approval or PIN holds no nonce.
    killed_at_the_pin(here, &["send", BOB, "0.01", "--yes", "--pin-fd", "0"]);
    let next = json(&with_pin(here, &["send", BOB, "0.01", "--yes"], PIN));
    assert_eq!(next["nonce"].as_u64(), sent["nonce"].as_u64().map(|nonce| nonce + 1), "{next}");
    let poor = with_pin(here, &["send", BOB, "1000", "--yes"], PIN);
    assert!(code(&poor) == 1 && error_code(&poor).contains("funds"), "{}", text(&poor));
    let listed = json(&run(here, &["transactions", "--json"]));
    assert_eq!(listed["transactions"][1]["hash"], sent["hash"]);

    let message = json(&with_pin(here, &["sign-message", "hello", "--yes"], PIN));
    assert_eq!(message["signature"].as_str().map(str::len), Some(132));
    std::fs::write(here.join("typed.json"), TYPED_DATA).unwrap();
    let typed = json(&with_pin(here, &["sign-typed-data", "typed.json", "--yes"], PIN));
    assert_eq!(typed["signature"].as_str().map(str::len), Some(132));

    let wrong = with_pin(here, &["pin", "verify"], WRONG_PIN);
    assert_eq!((code(&wrong), error_code(&wrong).as_str()), (3, "wrong_pin"), "{}", text(&wrong));
    let status = text(&run(here, &["status"]));
    assert!(status.lines().all(|line| line.chars().count() <= 80), "a terminal of 80 columns shows it: {status}");
    let status = json(&run(here, &["status", "--json"]));
    assert_eq!(status["wallet"]["tries_left"], 4);
    assert!(status["enclave"]["hardening"].as_array().is_some_and(|measures| !measures.is_empty()), "{status}");
    let same = run_with_secrets(here, &["pin", "change", "--pin-fd", "3", "--new-pin-fd", "4"], NEW_PIN, NEW_PIN);
    assert!(code(&same) == 2 && text(&same).contains("no try was used"), "{}", text(&same));
    json(&with_pin(here, &["pin", "change", "--new-pin-fd", "4"], PIN));
    assert_eq!(code(&with_pin(here, &["pin", "verify"], PIN)), 3, "the old PIN is out of force");
    assert_eq!(json(&with_pin(here, &["devices", "clear"], NEW_PIN))["tries_left"], 5);
    assert_eq!(json(&with_pin(here, &["pin", "verify"], NEW_PIN))["correct"], true);

    // A second device of the same user: it can do nothing before it is enrolled, and it can be revoked.
    let second = ["--profile", "./second"];
    let login = ["login", "ada@example.org", "--password-fd", "3", "--profile", "./second"];
    let login = run_with_secrets(here, &login, PASSWORD, "");
    assert!(code(&login) == 0 && text(&login).contains("devices enrol --profile ./second\n"), "{}", text(&login));
    assert!(flowed(&login).contains("proves nothing about hardware"), "{}", text(&login));
    let told = text(&run(here, &["accounts", "--profile", "./second"]));
    assert!(told.contains("software evidence") && !told.contains("proves nothing"), "{told}");
    let refused = with_pin(here, &[&["sign-message", "hello", "--yes"][..], &second].concat(), NEW_PIN);
    assert_eq!(error_code(&refused), "device_not_enrolled", "{}", text(&refused));
    // Where nobody looks on, the PIN goes to the wallet that is named, and to no other.
    let enrol =
        |to: &[&str]| with_pin(here, &[&["devices", "enrol", "--label", "phone"][..], to, &second].concat(), NEW_PIN);
    let unnamed = enrol(&[]);
    assert!(code(&unnamed) == 2 && text(&unnamed).contains("--address"), "{}", text(&unnamed));
    let other = enrol(&["--address", BOB]);
    assert_eq!((code(&other), error_code(&other).as_str()), (7, "wallet_other"), "{}", text(&other));
    json(&enrol(&["--address", &address]));
    let devices = json(&run(here, &["devices", "list", "--json"]));
    let phone =
        devices["devices"].as_array().unwrap().iter().find(|device| device["label"] == "phone").unwrap()["device"]
            .as_str()
            .unwrap()
            .to_owned();
    json(&with_pin(here, &["devices", "revoke", &phone], NEW_PIN));
    let refused = with_pin(here, &[&["sign-message", "hello", "--yes"][..], &second].concat(), NEW_PIN);
    assert_eq!(error_code(&refused), "device_not_enrolled", "{}", text(&refused));

    let sessions = json(&run(here, &["sessions", "list", "--json"]));
    let other = sessions["sessions"].as_array().unwrap().iter().find(|session| session["current"] == false).unwrap()["session_id"].as_str().unwrap().to_owned();
    json(&run(here, &["sessions", "revoke", &other, "--json"]));
    assert_eq!(code(&run(here, &["sessions", "list", "--json", "--profile", "./second"])), 5);

    // Software evidence needs somebody who asks for it.
    let foreign = [
        "--profile",
        "./third",
        "--data",
        "none",
        "--server",
        up.text("server"),
        "--app-id",
        up.text("app_id"),
        "--app-key",
        up.text("app_key"),
    ];
    let measurement = json(&run(here, &["evidence", "--json"]))["measurement"].as_str().unwrap().to_owned();
    let pcr = "a1".repeat(48);
    let hardware = ["evidence", "--json", "--pcr0", &pcr, "--pcr1", &pcr, "--pcr2", &pcr];
    let refused = run(here, &[&hardware[..], &foreign].concat());
    assert_eq!((code(&refused), error_code(&refused).as_str()), (7, "evidence_refused"), "{}", text(&refused));
    let accepted = run(here, &[&["evidence", "--development", "--measurement", &measurement][..], &foreign].concat());
    assert!(code(&accepted) == 0 && flowed(&accepted).contains("proves nothing about hardware"), "{}", text(&accepted));

    let mails = json(&run(here, &["dev", "mail", "--json"]));
    assert!(mails["mails"].as_array().is_some_and(|mails| !mails.is_empty()));
    json(&run(here, &["logout", "--json"]));
    assert_eq!(code(&run(here, &["sessions", "list", "--json"])), 5);
    assert_eq!(up.end(Signal::TERM), Some(0));
}

/// A token of our own, in EVM code: balances in storage (slot = holder), 6 decimals, symbol TST, and `transfer` without checks.
fn token_code() -> String {
    let bodies = [
        ("70a08231", "5b600435545f5260205ff3"),
        ("313ce567", "5b60065f5260205ff3"),
        ("95d89b41", "5b60205f5260036020526254535460e81b60405260605ff3"),
        ("a9059cbb", "5b602435803354033355600435805482019055600160005260205ff3"),
    ];
    let mut code = "5f3560e01c".to_owned();
    // DUP1 PUSH4 selector EQ PUSH1 target JUMPI for each, then PUSH0 PUSH0 REVERT.
    let mut target = code.len() / 2 + bodies.len() * 10 + 3;
    for (selector, body) in bodies {
        code.push_str(&format!("8063{selector}1460{target:02x}57"));
        target += body.len() / 2;
    }
    code.push_str("5f5ffd");
    bodies.iter().for_each(|(_, body)| code.push_str(body));
    format!("0x{code}")
}

#[test]
fn who_confirms_an_address_that_somebody_else_signed_up_with_too_is_told_to_choose_a_password() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let up = Up::start(here);
    let sign_up = |code: &str, password: &str| {
        let login = ["login", "eve@example.org", "--sign-up", "--json", "--password-fd", "3", "--code-fd", "4"];
        run_with_secrets(here, &login, password, code)
    };
    let stranger = sign_up("000000", "planted horse 1\n");
    assert_eq!(error_code(&stranger), "code_invalid", "{}", text(&stranger));
    let (_, mails) = get(&format!("{}/api/messages?to=eve@example.org&after=0&wait=20", up.text("mailbox")), &[]);
    let mails: Value = serde_json::from_str(&mails).unwrap();
    let contested = sign_up(mails[0]["code"].as_str().unwrap(), PASSWORD);
    assert_eq!(error_code(&contested), "password_unset", "{}", text(&contested));
    assert!(text(&contested).contains("login eve@example.org --reset"), "{}", text(&contested));
}

#[test]
fn a_token_is_sent_with_its_own_decimals_and_shown_decoded() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let up = Up::start(here);
    let login = ["login", "bob@example.org", "--sign-up", "--json", "--password-fd", "3"];
    json(&run_with_secrets(here, &login, PASSWORD, ""));
    let wallet = json(&with_pin(here, &["wallet", "create"], PIN));
    let address = wallet["address"].as_str().unwrap().to_owned();
    json(&run(here, &["dev", "fund", &address, "1", "--json"]));

    let token = format!("0x{}", "70".repeat(20));
    let slot = |holder: &str| format!("0x{}{}", "00".repeat(12), holder.trim_start_matches("0x").to_lowercase());
    rpc(up.text("node"), "anvil_setCode", &serde_json::json!([token, token_code()]));
    let parameters = serde_json::json!([token, slot(&address), format!("0x{:064x}", 2_500_000)]);
    rpc(up.text("node"), "anvil_setStorageAt", &parameters);

    let nothing = run(here, &["balance", "--json", "--token", BOB]);
    assert_eq!(error_code(&nothing), "token_unknown", "{}", text(&nothing));
    let beside = run(here, &["balance", "--json", "--token", &token, "--token", BOB]);
    assert!(error_code(&beside) == "token_unknown" && text(&beside).contains(BOB), "{}", text(&beside));
    let before = json(&run(here, &["balance", "--json", "--token", &token]));
    assert_eq!((&before["tokens"][0]["amount"], &before["tokens"][0]["symbol"]), (&"2500000".into(), &"TST".into()));
    let unattended = with_pin(here, &["send", BOB, "1.25", "--token", &token, "--yes"], PIN);
    assert!(code(&unattended) == 2 && text(&unattended).contains("--decimals"), "{}", text(&unattended));
    let otherwise = ["send", BOB, "1.25", "--token", &token, "--yes", "--decimals", "18"];
    let otherwise = with_pin(here, &otherwise, PIN);
    assert!(code(&otherwise) == 7 && error_code(&otherwise) == "decimals_differ", "{}", text(&otherwise));
    let sent = with_pin(here, &["send", BOB, "1.25", "--token", &token, "--yes", "--decimals", "6"], PIN);
    assert_eq!(json(&sent)["status"].as_str().map(|status| status == "mined" || status == "final"), Some(true));
    let stored = rpc(up.text("node"), "eth_getStorageAt", &serde_json::json!([token, slot(BOB), "latest"]));
    assert_eq!(stored, format!("0x{:064x}", 1_250_000));
    // While no block comes, another transaction can take the place of the one that waits.
    rpc(up.text("node"), "evm_setAutomine", &serde_json::json!([false]));
    let first = json(&with_pin(here, &["send", BOB, "0.1", "--yes", "--no-wait"], PIN));
    let hash = first["hash"].as_str().unwrap().to_owned();
    // The same once more, where nobody looks: a program that failed may just have been started again.
    let repeated = with_pin(here, &["send", BOB, "0.1", "--yes", "--no-wait"], PIN);
    assert_eq!((code(&repeated), error_code(&repeated).as_str()), (1, "payment_unsettled"), "{}", text(&repeated));
    // As after a lost answer: it may be carried out, so none is signed under another nonce before somebody has looked.
    doubt(here);
    let stopped = with_pin(here, &["send", BOB, "0.15", "--yes", "--no-wait"], PIN);
    assert_eq!((code(&stopped), error_code(&stopped).as_str()), (1, "payment_unsettled"), "{}", text(&stopped));
    let shown = text(&stopped);
    let accepted = format!("{hash}:waiting");
    assert!(shown.contains(&format!("--beside {accepted}")) && shown.contains("0.1 ETH"), "{shown}");
    // Accepted as it does not stand, it stops as before.
    let other = ["send", BOB, "0.01", "--yes", "--no-wait", "--beside", &format!("{hash}:unsent")];
    assert_eq!(error_code(&with_pin(here, &other, PIN)), "payment_unsettled");
    let beside = ["send", BOB, "0.01", "--yes", "--no-wait", "--beside", &accepted];
    let beside = with_pin(here, &beside, PIN);
    assert!(text(&beside).contains(r#""notice":{"code":"transaction_signed""#), "{}", text(&beside));
    let beside = json(&beside);
    assert_eq!(beside["nonce"].as_u64(), first["nonce"].as_u64().map(|nonce| nonce + 1));
    let second = with_pin(here, &["send", BOB, "0.2", "--yes", "--no-wait", "--replace", &hash], PIN);
    assert!(text(&second).contains(r#""notice":{"code":"payment_beside""#), "{}", text(&second));
    let second = json(&second);
    assert_eq!(second["nonce"], first["nonce"]);
    rpc(up.text("node"), "evm_setAutomine", &serde_json::json!([true]));
    rpc(up.text("node"), "evm_mine", &serde_json::json!([]));
    let mined =
        |hash: &serde_json::Value| rpc(up.text("node"), "eth_getTransactionReceipt", &serde_json::json!([hash]));
    assert!(mined(&second["hash"]).is_object() && mined(&first["hash"]).is_null());
    // What became of it by the service's word is told when the service has seen it.
    let is_seen = || {
        let listed = json(&run(here, &["transactions", "--json"]));
        let listed = listed["transactions"].as_array().unwrap();
        let second = listed.iter().find(|one| one["hash"] == second["hash"]).unwrap();
        second["status"] == "mined" || second["status"] == "final"
    };
    assert!((0..100).any(|_| is_seen()), "it stays unseen");
    let gone = with_pin(here, &["send", BOB, "0.3", "--yes", "--replace", second["hash"].as_str().unwrap()], PIN);
    assert_eq!((code(&gone), error_code(&gone).as_str()), (1, "not_replaceable"), "{}", text(&gone));
    // The decimals of an approved transfer are remembered.
    json(&with_pin(here, &["send", BOB, "0.25", "--token", &token, "--yes"], PIN));
    let finer = with_pin(here, &["send", BOB, "0.0000001", "--token", &token, "--yes"], PIN);
    assert!(code(&finer) == 2 && text(&finer).contains("0.0000001"), "finer than the token: {}", text(&finer));
    assert_eq!(up.end(Signal::TERM), Some(0));
}
