//! The command line as a person uses it beside the system.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::Value;

use super::memory::{self, may_read_anything};
use super::net::Net;
use super::opened::Root;
use super::secrets::{Secret, opaque, p256, token};
use super::trawl;
use super::whole::{PASSPHRASE, Whole, text};

const EMAIL: &str = "finch@example.org";
const PASSWORD: &str = "Hoch\"almspitze\\33 blaue Meise";
const PIN: &str = "61957430";
const WRONG_PIN: &str = "61957431";
/// The profiles of a first and of a second device.
const PROFILES: [&str; 2] = [".pinseal", "./second"];
/// The exit code for a wrong PIN.
const WRONG_PIN_CODE: i32 = 3;
/// A held request fails the test when it does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the commands knew, and what they may keep.
pub(super) struct Finch {
    /// Must be nowhere.
    pub(super) never: Vec<Secret>,
    /// The host sees them for a moment.
    pub(super) passing: Vec<Secret>,
    /// The one file each may be in.
    pub(super) kept: Vec<(Secret, PathBuf)>,
    /// Where each token was handed to its owner.
    pub(super) issued: Vec<(Secret, &'static str)>,
}

/// Runs a command with its secret on a descriptor.
fn run(whole: &Whole, arguments: &[&str], secret: &str) -> Output {
    whole.client(&[arguments, &["3"]].concat(), secret).env("RUST_LOG", "trace").output().unwrap()
}

/// Signs up, makes a wallet and signs, mistypes, has a second device for a while, with every secret on a descriptor.
pub(super) fn live(whole: &Whole) -> Finch {
    let mut said = Vec::new();
    let mut run = |arguments: &[&str], secret: &str, code: i32| {
        let output = run(whole, arguments, secret);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        said.push(output);
    };
    run(&["login", EMAIL, "--sign-up", "--password-fd"], PASSWORD, 0);
    run(&["wallet", "create", "--pin-fd"], PIN, 0);
    run(&["pin", "verify", "--pin-fd"], PIN, 0);
    run(&["login", EMAIL, "--profile", PROFILES[1], "--password-fd"], PASSWORD, 0);
    let address = first_address(whole);
    let enrol = ["devices", "enrol", "--label", "second", "--profile", PROFILES[1], "--address", &address, "--pin-fd"];
    run(&enrol, PIN, 0);
    run(&["devices", "revoke", &second_device(whole), "--pin-fd"], PIN, 0);
    run(&["pin", "verify", "--pin-fd"], WRONG_PIN, WRONG_PIN_CODE);
    run(&["devices", "clear", "--pin-fd"], PIN, 0);
    let finch = Finch::read(whole);
    said.push(sign_while_watched(whole, &finch));
    finch.assert_silent(&said);
    finch.assert_private(whole);
    finch
}

/// What `devices enrol` is told.
fn first_address(whole: &Whole) -> String {
    let listed = whole.client(&["accounts", "--json"], "").output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|_| panic!("{}", text(&listed)));
    listed["accounts"][0]["address"].as_str().unwrap().to_owned()
}

/// What `devices revoke` is told.
fn second_device(whole: &Whole) -> String {
    let listed = whole.client(&["devices", "list", "--json"], "").output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|_| panic!("{}", text(&listed)));
    let second = listed["devices"].as_array().unwrap().iter().find(|device| device["label"] == "second");
    second.unwrap_or_else(|| panic!("{listed}"))["device"].as_str().unwrap().to_owned()
}

/// Accepts what the operators restored, and signs.
pub(super) fn accept_restore(whole: &Whole, finch: &Finch) {
    let mut said = Vec::new();
    for (arguments, secret) in
        [(vec!["accept-restore", "--yes"], ""), (vec!["sign-message", "tweet", "--yes", "--pin-fd", "3"], PIN)]
    {
        let output = whole.client(&arguments, secret).env("RUST_LOG", "trace").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        said.push(output);
    }
    finch.assert_silent(&said);
}

/// Signs; while the sealed request is on its way, looks at what the program shows of itself and holds.
fn sign_while_watched(whole: &Whole, finch: &Finch) -> Output {
    let held = whole.recorder.hold("/v1/wallet/sealed");
    let mut command = whole.client(&["sign-message", "tweet", "--yes", "--pin-fd", "3"], PIN);
    command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    held.came.recv_timeout(PATIENCE).expect("a sealed request is sent");

    let all = Net::new(&[finch.never.clone(), finch.passing.clone()].concat());
    assert!(super::core::has_no_room(child.id()) || !may_read_anything(), "the client has room for a core image");
    assert_eq!(trawl::surroundings(child.id(), &all), [], "command line or environment of the client");
    let holds = memory::search(child.id(), &Net::new(&finch.never));
    let holds: BTreeSet<_> = holds.iter().map(|found| found.catch.secret.as_str()).collect();
    // The factor is sealed and gone; the key of the device has signed and signs the next call.
    assert!(holds.is_subset(&BTreeSet::from(["PIN", "device key of the command line"])), "{holds:?}");
    held.pass.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    output
}

impl Finch {
    /// Reads the profiles, and what the system has of the wallet.
    fn read(whole: &Whole) -> Self {
        let root = Root::open(&whole.host_directory(), PASSPHRASE.as_bytes());
        let mut never = root.wallet(&whole.database(), PIN);
        never.extend([Secret::short("PIN", PIN), Secret::short("wrong PIN", WRONG_PIN)]);
        let mut passing = vec![Secret::text("password of the command line", PASSWORD)];
        let mut kept = Vec::new();
        for profile in PROFILES.map(|profile| whole.directory().join(profile.trim_start_matches("./"))) {
            let key = std::fs::read(profile.join("device.p8")).unwrap();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key).unwrap();
            let session: Value = serde_json::from_slice(&std::fs::read(profile.join("session.json")).unwrap()).unwrap();
            let device = p256("device key of the command line", &key);
            let mut tokens = token("access token of the command line", session["access_token"].as_str().unwrap());
            tokens.extend(opaque("refresh token of the command line", session["refresh_token"].as_str().unwrap()));
            kept.push((device.clone(), profile.join("device.p8")));
            kept.extend(tokens.iter().map(|token| (token.clone(), profile.join("session.json"))));
            never.push(device);
            passing.extend(tokens);
        }
        let issued = passing[1..].iter().map(|token| (token.clone(), "POST /v1/login/email")).collect();
        Self { never, passing, kept, issued }
    }

    /// Nothing that the commands printed holds a secret.
    fn assert_silent(&self, said: &[Output]) {
        let net = Net::new(&[self.never.clone(), self.passing.clone()].concat());
        for output in said {
            let told: Vec<_> = [&output.stdout, &output.stderr].map(|stream| net.search(stream)).into();
            assert!(told.iter().all(|told| told.is_empty()), "{told:?}: {}", text(output));
        }
    }

    /// What is kept is where it may be, and its owner alone can read it.
    fn assert_private(&self, whole: &Whole) {
        for (secret, path) in &self.kept {
            let content = std::fs::read(path).unwrap();
            let raw = Net::new(core::slice::from_ref(secret)).search(&content);
            assert!(!raw.is_empty(), "{} is not in {}", secret.name, path.display());
        }
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        for profile in PROFILES.map(|profile| whole.directory().join(profile)) {
            assert_eq!(mode(&profile), 0o700);
            trawl::visit(&profile, &mut |path, _| assert_eq!(mode(path), 0o600, "{}", path.display()));
        }
    }

    /// True if the file is the one that may hold this secret.
    pub(super) fn may_keep(&self, secret: &str, path: &std::path::Path) -> bool {
        self.kept.iter().any(|(kept, place)| kept.name == secret && place == path)
    }
}
