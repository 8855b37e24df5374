//! Where the programs lie that the supervisor starts.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Where npm puts the local EVM node, inside a checkout.
#[cfg(target_arch = "x86_64")]
const ANVIL_IN_CHECKOUT: &str = "peers/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
/// Where npm puts the local EVM node, inside a checkout.
#[cfg(not(target_arch = "x86_64"))]
const ANVIL_IN_CHECKOUT: &str = "peers/node_modules/@foundry-rs/anvil-linux-arm64/bin/anvil";
/// Names the node's program file.
const ANVIL_VARIABLE: &str = "PINSEAL_ANVIL";
/// Directories above the program file that are searched for a checkout: target/debug/deps is three down.
const CHECKOUT_DEPTH: usize = 5;

/// This program.
///
/// # Errors
/// The kernel does not say.
pub(super) fn own() -> Outcome<PathBuf> {
    std::env::current_exe()
        .map_err(|error| Failure::failed("program", format!("cannot find the own program file: {error}")))
}

/// The enclave's program: it is installed beside this one.
///
/// # Errors
/// It is not there.
pub(super) fn enclaved() -> Outcome<PathBuf> {
    let beside = own()?.with_file_name("pinseal-enclaved");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::failed("program_missing", format!("{} is missing", beside.display()))
        .advise("build both programs: `cargo build --locked -p pinseal-cli -p pinseal-enclaved`"))
}

/// The local EVM node.
///
/// # Errors
/// It is nowhere.
pub(super) fn anvil() -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os(ANVIL_VARIABLE) {
        let named = PathBuf::from(named);
        return if named.is_file() {
            Ok(named)
        } else {
            Err(Failure::usage(format!("{ANVIL_VARIABLE} names {}, which is no file", named.display())))
        };
    }
    let mut places = vec![PathBuf::from(ANVIL_IN_CHECKOUT)];
    if let Ok(own) = std::env::current_exe() {
        places.extend(own.ancestors().skip(1).take(CHECKOUT_DEPTH).map(|directory| directory.join(ANVIL_IN_CHECKOUT)));
    }
    if let Some(path) = std::env::var_os("PATH") {
        places.extend(std::env::split_paths(&path).map(|directory| directory.join("anvil")));
    }
    let found = places
        .iter()
        .find(|place| place.is_file())
        .map(|place| std::path::absolute(place).unwrap_or_else(|_| place.clone()));
    found.ok_or_else(|| {
        Failure::failed("node_missing", "the local EVM node (anvil) is not installed")
            .advise(format!("in a checkout run `make setup`; elsewhere install anvil and put it on PATH or name it in {ANVIL_VARIABLE}; or start with --no-dev-node"))
    })
}

/// How the person called this program, for commands to copy.
pub(crate) fn own_name() -> String {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let plain = |path: &Path| {
        path.to_str().filter(|text| !text.is_empty() && !text.contains([' ', '\'', '"', '\\', '$'])).map(str::to_owned)
    };
    plain(&called).unwrap_or_else(|| "pinseal".to_owned())
}
