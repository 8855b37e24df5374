//! Help texts are committed under docs/cli and compared.

use std::path::{Path, PathBuf};

use crate::process::{code, run, text};

/// Every command a person can call.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["demo"],
    &["up"],
    &["init"],
    &["serve"],
    &["backup"],
    &["restore"],
    &["resume"],
    &["accept-restore"],
    &["config"],
    &["config", "show"],
    &["config", "change"],
    &["witness"],
    &["witness", "init"],
    &["witness", "trust"],
    &["witness", "end"],
    &["witness", "serve"],
    &["witness", "status"],
    &["app"],
    &["app", "create"],
    &["app", "list"],
    &["app", "add"],
    &["app", "theme"],
    &["app", "remove"],
    &["dev"],
    &["dev", "fund"],
    &["dev", "mail"],
    &["login"],
    &["logout"],
    &["wallet"],
    &["wallet", "create"],
    &["accounts"],
    &["networks"],
    &["balance"],
    &["send"],
    &["sign-message"],
    &["sign-typed-data"],
    &["pin"],
    &["pin", "verify"],
    &["pin", "change"],
    &["devices"],
    &["devices", "list"],
    &["devices", "enrol"],
    &["devices", "revoke"],
    &["devices", "clear"],
    &["sessions"],
    &["sessions", "list"],
    &["sessions", "revoke"],
    &["evidence"],
    &["status"],
    &["transactions"],
    &["history"],
];

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli")
}

fn help(command: &[&str]) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let output = run(scratch.path(), &[command, &["--help"]].concat());
    assert_eq!(code(&output), 0, "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_texts_are_the_committed_ones() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differ = Vec::new();
    for command in COMMANDS {
        let name = [&["pinseal"], *command].concat().join("-");
        let path = committed().join(format!("{name}.txt"));
        let shown = help(command);
        if update {
            std::fs::create_dir_all(committed()).unwrap();
            std::fs::write(&path, shown).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&shown) {
            differ.push(name);
        }
    }
    assert!(differ.is_empty(), "help texts changed; look at them and run `make help-texts`: {differ:?}");
}

#[test]
fn no_command_is_missing_from_the_list() {
    for command in COMMANDS {
        let shown = help(command);
        let Some((_, listed)) = shown.split_once("Commands:\n") else { continue };
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            // Continuation lines of a description are indented further.
            let Some(name) =
                line.strip_prefix("  ").and_then(|line| line.split(' ').next()).filter(|name| !name.is_empty())
            else {
                continue;
            };
            let path = [*command, &[name]].concat();
            assert!(COMMANDS.contains(&path.as_slice()), "{path:?} has no committed help text");
        }
    }
}
