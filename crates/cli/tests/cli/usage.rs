//! Wrong use is told apart from failure, and says what to do.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::process::{code, command, run, run_with_secrets, text};

/// The local node's second account.
const BOB: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let scratch = tempfile::tempdir().unwrap();
    for arguments in [
        &["nonsense"][..],
        &["send"],
        &["send", "0x00", "1", "--fee", "turbo"],
        &["up", "--port", "70000"],
        &["accounts", "--count", "17"],
    ] {
        let output = run(scratch.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn without_a_system_the_message_names_what_is_missing() {
    let scratch = tempfile::tempdir().unwrap();
    let output = run(scratch.path(), &["balance"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output).contains("--server"), "{}", text(&output));
    let output = run(scratch.path(), &["dev", "fund"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output).contains("pinseal up"), "{}", text(&output));
}

#[test]
fn files_found_in_the_working_directory_lead_nowhere_but_to_this_machine() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    std::fs::create_dir(here.join("pinseal-data")).unwrap();
    let planted =
        r#"{"server":"https://evil.example","app_id":"a","app_key":"k","development":true,"measurements":[]}"#;
    std::fs::write(here.join("pinseal-data/client.json"), planted).unwrap();
    let output = run(here, &["evidence"]);
    assert!(code(&output) == 2 && text(&output).contains("--server"), "{}", text(&output));
    std::fs::create_dir(here.join(".pinseal")).unwrap();
    std::fs::write(here.join(".pinseal/service.json"), planted).unwrap();
    let output = run(here, &["evidence"]);
    assert!(code(&output) == 2 && text(&output).contains("--profile ./.pinseal"), "{}", text(&output));

    // Nor to this machine, where others may have written them.
    let open = |name: &str, mode| std::fs::set_permissions(here.join(name), Permissions::from_mode(mode)).unwrap();
    let refused = || {
        let output = run(here, &["login", "ada@example.org", "--json"]);
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"]["code"].as_str().unwrap().to_owned()
    };
    let local = planted.replace("https://evil.example", "http://127.0.0.1:9");
    for name in [".pinseal/service.json", "pinseal-data/client.json"] {
        std::fs::write(here.join(name), &local).unwrap();
    }
    assert_eq!(refused(), "unreachable", "they are believed");
    for name in ["pinseal-data/client.json", "pinseal-data", ".pinseal"] {
        open(name, 0o777);
        assert_eq!(refused(), "exposed", "{name}");
        open(name, 0o700);
    }
    assert_eq!(refused(), "unreachable");
}

#[test]
fn errors_are_one_json_value_on_standard_error() {
    let scratch = tempfile::tempdir().unwrap();
    let output = run(scratch.path(), &["balance", "--json"]);
    assert!(output.stdout.is_empty());
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], "usage");
    assert_eq!(error["error"]["exit_code"], 2);
}

#[test]
fn a_command_line_that_is_not_understood_is_json_too() {
    let scratch = tempfile::tempdir().unwrap();
    for arguments in [&["send", "--json"][..], &["--json", "nonsense"], &["balance", "--account", "x", "--json"]] {
        let output = run(scratch.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", text(&output));
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{error}");
        assert!(error["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
    }
    let help = run(scratch.path(), &["send", "--help", "--json"]);
    assert!(code(&help) == 0 && text(&help).contains("Usage:"), "{}", text(&help));
}

#[test]
fn a_stopped_system_is_named_and_how_to_start_it() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    std::fs::create_dir(here.join("elsewhere")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let defaults =
        serde_json::json!({ "server": url, "app_id": "a", "app_key": "k", "development": true, "node": url });
    std::fs::write(here.join("elsewhere/client.json"), defaults.to_string()).unwrap();
    for arguments in [&["status"][..], &["login", "ada@example.org"], &["dev", "fund", BOB]] {
        let output = run(here, &[arguments, &["--data", "elsewhere"]].concat());
        let told = text(&output);
        assert_eq!(code(&output), 6, "{arguments:?}: {told}");
        assert!(told.contains(&format!("at {url} does not answer\n")), "{arguments:?}: {told}");
        assert!(told.contains("pinseal up --data elsewhere`"), "{arguments:?}: {told}");
        assert!(!told.contains("software evidence") && !told.contains("password"), "{arguments:?}: {told}");
    }
}

#[test]
fn a_profile_of_another_deployment_is_not_used_beside_a_system() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    for (directory, file, port, app) in
        [("pinseal-data", "client.json", 9, "new"), (".pinseal", "service.json", 10, "old")]
    {
        std::fs::create_dir(here.join(directory)).unwrap();
        let text =
            format!(r#"{{"server":"http://127.0.0.1:{port}","app_id":"{app}","app_key":"k","development":true}}"#);
        std::fs::write(here.join(directory).join(file), text).unwrap();
    }
    let output = run(here, &["accounts", "--json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((code(&output), error["error"]["code"].as_str()), (1, Some("profile_foreign")), "{error}");
    assert!(error["error"]["advice"].as_str().is_some_and(|advice| advice.contains("remove ./.pinseal")), "{error}");
    let named = run(here, &["accounts", "--json", "--profile", "./other"]);
    assert_eq!(code(&named), 6, "another profile goes to the system found here: {}", text(&named));
}

#[test]
fn what_is_not_an_address_is_said_before_anything_is_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let service = ["--development", "--server", "http://127.0.0.1:9", "--app-id", "a", "--app-key", "k"];
    let output = run(scratch.path(), &[&["login", "ada.example.org"][..], &service].concat());
    assert!(code(&output) == 2 && text(&output).contains("no e-mail address"), "{}", text(&output));
    assert!(!text(&output).contains("software evidence"), "{}", text(&output));
}

#[test]
fn a_short_sealing_passphrase_makes_no_deployment() {
    let scratch = tempfile::tempdir().unwrap();
    let output = run_with_secrets(scratch.path(), &["init", "--passphrase-fd", "3"], "eleven char\n", "");
    assert!(code(&output) == 2 && text(&output).contains("12 or more"), "{}", text(&output));
    assert!(!scratch.path().join("pinseal-data/host/root.sealed").exists());
}

#[test]
fn nothing_is_trusted_without_an_image_or_development() {
    let scratch = tempfile::tempdir().unwrap();
    let service = ["--server", "http://127.0.0.1:9", "--app-id", "a", "--app-key", "k"];
    let measurement = "ab".repeat(32);
    for more in [&[][..], &["--measurement", &measurement]] {
        let output = run(scratch.path(), &[&["evidence"], &service[..], more].concat());
        assert_eq!(code(&output), 7, "{}", text(&output));
        assert!(text(&output).contains("--pcr0") && text(&output).contains("nothing_trusted"), "{}", text(&output));
    }
}

#[test]
fn a_service_that_does_not_answer_is_exit_code_6() {
    let scratch = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("http://127.0.0.1:{port}");
    let output =
        run(scratch.path(), &["evidence", "--development", "--server", &server, "--app-id", "a", "--app-key", "k"]);
    assert_eq!(code(&output), 6, "{}", text(&output));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let scratch = tempfile::tempdir().unwrap();
    let service = ["--development", "--server", "http://127.0.0.1:9", "--app-id", "a", "--app-key", "k"];
    let output = run_with_secrets(
        scratch.path(),
        &[&["login", "a@example.org", "--password-fd", "3"][..], &service].concat(),
        "hunter2-secret\n",
        "",
    );
    assert_eq!(code(&output), 6, "{}", text(&output));
    assert!(!text(&output).contains("hunter2"));
}

#[test]
fn a_mail_servers_password_is_no_argument() {
    let scratch = tempfile::tempdir().unwrap();
    let output = run(scratch.path(), &["up", "--smtp", "smtps://user:hunter2-secret@mail.example"]);
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("PINSEAL_SMTP") && !text(&output).contains("hunter2"), "{}", text(&output));
    assert!(!scratch.path().join("pinseal-data").exists());
}

#[test]
fn up_says_how_to_get_a_missing_node() {
    let scratch = tempfile::tempdir().unwrap();
    let output = command(scratch.path(), &["up"]).env("PINSEAL_ANVIL", "/nonexistent/anvil").output().unwrap();
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("PINSEAL_ANVIL"));
    assert!(!scratch.path().join("pinseal-data").exists(), "nothing is made before everything is there");
}

#[test]
fn a_guarded_program_does_not_start_without_its_parent() {
    let scratch = tempfile::tempdir().unwrap();
    let output = run(scratch.path(), &["guard", "--parent", "1", "--", "/bin/echo", "started"]);
    assert_eq!(code(&output), 1);
    assert!(output.stdout.is_empty());
}
