//! Dependency arrows point one way, and the enclave's tree stays what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, Target};

/// Crates in order: each may depend only on crates before it.
const ORDER: [&str; 23] = [
    "probe",
    "protocol",
    "chains",
    "keys",
    "attestation",
    "enclave",
    "undumped",
    "enclaved",
    "witness",
    "anchor",
    "store",
    "host",
    "networks",
    "client",
    "server",
    "cli",
    "mailbox",
    "swtpm",
    "bench",
    "fuzzing",
    "software-tpm",
    "sim",
    "model",
];

/// Crates that stand outside the order: nothing that is released depends on them.
const TESTS_ONLY: [&str; 2] = ["journeys", "probe"];

/// Nothing at or below the enclave's process may pull these.
const FORBIDDEN_IN_ENCLAVE: [&str; 15] = [
    "tokio",
    "hyper",
    "reqwest",
    "axum",
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "tower",
    "rustls",
    "mio",
    "async-std",
    "openssl",
    // Verifiers of evidence belong to clients.
    "coset",
    "ciborium",
    "x509-cert",
];

/// The enclave's whole tree, outside crates only. It grows by review: change this number with the reason in the commit.
const ENCLAVE_TREE_MAX: usize = 54;

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .other_options([
            "--locked".to_owned(),
            "--offline".to_owned(),
            "--filter-platform".to_owned(),
            "x86_64-unknown-linux-gnu".to_owned(),
        ])
        .exec()
        .unwrap()
}

#[test]
fn crates_depend_only_upwards() {
    let metadata = metadata();
    let place: BTreeMap<&str, usize> = ORDER.iter().enumerate().map(|(place, name)| (*name, place)).collect();
    let mut checked = 0;
    for package in metadata.workspace_packages() {
        let name = package.name.strip_prefix("pinseal-").unwrap();
        if TESTS_ONLY.contains(&name) {
            continue;
        }
        let own = *place.get(name).unwrap_or_else(|| panic!("{name} has no place in the order"));
        for dependency in &package.dependencies {
            let Some(other) = dependency.name.strip_prefix("pinseal-") else { continue };
            // Tests may look anywhere: the real enclave is a better peer than a scripted one.
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            if other == "probe" {
                assert!(dependency.optional && name == "protocol", "{name} links the instruments of tests");
                continue;
            }
            assert!(place[other] < own, "{name} depends on {other}, which stands below it");
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} arrows checked");
}

/// Every crate linked into a package, by name: with the features of this package alone, as it is built for release.
fn tree(root: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--edges",
            "normal,no-proc-macro",
        ])
        .args(["--package", root])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let tree: BTreeSet<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(tree.contains(root) && tree.len() > 5, "{tree:?}");
    tree
}

#[test]
fn nothing_at_or_below_enclaved_pulls_a_runtime_network_or_database() {
    let tree = tree("pinseal-enclaved");
    for name in FORBIDDEN_IN_ENCLAVE {
        assert!(!tree.contains(name), "the enclave pulls {name}");
    }
    for own in ["pinseal-server", "pinseal-store", "pinseal-host", "pinseal-client", "pinseal-networks"] {
        assert!(!tree.contains(own), "the enclave pulls {own}");
    }
    let outside = tree.iter().filter(|name| !name.starts_with("pinseal-")).count();
    assert!(outside <= ENCLAVE_TREE_MAX, "{outside} crates: {tree:?}");
}

/// A root made for a test can be trusted only where a test or a fuzz target says so.
#[test]
fn no_program_can_trust_a_test_root() {
    let metadata = metadata();
    let mut tests = 0;
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.name == "pinseal-attestation") {
            let can = dependency.features.iter().any(|feature| feature == "test-root");
            let may = dependency.kind == DependencyKind::Development || package.name == "pinseal-fuzzing";
            assert!(!can || may, "{}", package.name);
            tests += usize::from(can);
        }
        let leads = |(name, enables): (&String, &Vec<String>)| {
            name != "test-root" && enables.iter().any(|enabled| enabled.contains("test-root"))
        };
        assert!(!package.features.iter().any(leads), "a feature of {} leads to test-root", package.name);
    }
    assert!(tests > 0, "no test trusts a root of its own");
    let program = |package: &&Package| package.targets.iter().any(Target::is_bin);
    let programs: BTreeSet<&str> =
        metadata.workspace_packages().into_iter().filter(program).map(|it| it.name.as_str()).collect();
    // What runs the targets, and the simulator, which borrows their harness, know nobody's evidence but their own.
    let able: BTreeSet<&str> =
        programs.iter().copied().filter(|root| has_feature(root, "pinseal-attestation", "test-root")).collect();
    assert_eq!(able, BTreeSet::from(["pinseal-fuzzing", "pinseal-sim"]), "of {programs:?}");
}

/// What a crate's `fuzzing` feature opens is for the targets alone, and the enclave's crates have no such feature.
#[test]
fn nothing_but_the_fuzz_targets_opens_private_parsers() {
    let metadata = metadata();
    let mut opened = BTreeSet::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            if dependency.features.iter().any(|feature| feature == "fuzzing") {
                assert_eq!(package.name.as_str(), "pinseal-fuzzing", "opens {}", dependency.name);
                opened.insert(dependency.name.as_str());
            }
        }
        assert!(!package.features.iter().any(|(_, enabled)| enabled.iter().any(|one| one.ends_with("/fuzzing"))));
    }
    assert_eq!(opened, BTreeSet::from(["pinseal-anchor", "pinseal-client", "pinseal-networks"]));
}

/// Every crate that runs in the host's or the user's process, the `pinseal` program itself included.
const OUTSIDE_THE_ENCLAVE: [&str; 7] = [
    "pinseal-anchor",
    "pinseal-store",
    "pinseal-host",
    "pinseal-networks",
    "pinseal-client",
    "pinseal-server",
    "pinseal-cli",
];

#[test]
fn the_host_cannot_name_a_private_key() {
    assert!(tree("pinseal-enclave").contains("pinseal-keys"), "where they are named");
    for root in OUTSIDE_THE_ENCLAVE {
        assert!(!tree(root).contains("pinseal-keys"), "{root} pulls the secret types");
    }
}

/// Features that a release must not carry: aborts for crash tests, filler wallets for measurements, marks for valgrind, and defects
/// for the simulator to find.
const NEVER_RELEASED: [&str; 4] = ["fault-points", "populate", "constant-time-check", "planted"];

/// This project's crates in a package's tree, each with the features that it has there.
fn features(root: &str) -> Vec<(String, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} features={f}"])
        .args(["--edges", "normal", "--package", root])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let own = text.lines().filter(|line| line.starts_with("pinseal-")).map(|line| {
        let features = line.split_once("features=").map_or("", |(_, features)| features);
        let name = line.split(' ').next().unwrap_or_default();
        (name.to_owned(), features.split([',', ' ']).map(str::to_owned).collect())
    });
    own.collect()
}

/// True if a package, built by itself, has another in it with that feature.
fn has_feature(root: &str, name: &str, feature: &str) -> bool {
    features(root).iter().any(|(there, features)| there == name && features.contains(feature))
}

#[test]
fn what_is_released_neither_aborts_on_demand_nor_makes_up_wallets() {
    for root in ["pinseal-enclaved", "pinseal-cli"] {
        let own = features(root);
        let evidence = own.iter().find(|(name, _)| name == "pinseal-attestation").map(|(_, features)| features);
        assert!(own.len() > 5 && evidence.is_some_and(|on| on.contains("produce") || on.contains("verify")), "{own:?}");
        for ((name, features), feature) in own.iter().flat_map(|one| NEVER_RELEASED.map(|feature| (one, feature))) {
            assert!(!features.contains(feature), "{root} carries {feature} of {name}");
        }
    }
}

#[test]
fn nothing_released_links_the_instruments_of_tests() {
    for root in ["pinseal-enclaved", "pinseal-cli"] {
        assert!(!tree(root).contains("pinseal-probe"), "{root} pulls an allocator that keeps what is freed");
        assert!(!tree(root).contains("pinseal-sim"), "{root} pulls the simulator");
        assert!(!tree(root).contains("stateright"), "{root} pulls the model checker");
    }
}
