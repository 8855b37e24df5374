//! Every committed corpus through its target, and some thousand cheap mutations of it: what the fuzzer once found stays found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinseal_fuzzing::{TARGETS, Target};

/// Mutated inputs tried per target, at most, and how long they may take. The bound in time keeps slow machines' test runs short; the
/// committed inputs themselves are always all tried. `REPLAY_SECONDS` tries for so long instead, without coverage and on stable.
const MUTATIONS: u32 = 3_000;
const MUTATING: Duration = Duration::from_millis(900);
/// Largest input and largest corpus that may be committed.
const INPUT_BYTES_MAX: usize = 64 * 1024;
const CORPUS_FILES_MAX: usize = 500;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = corpora().join(target.name);
    let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    assert!(!paths.is_empty() && paths.len() <= CORPUS_FILES_MAX, "{}: {} files", target.name, paths.len());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target);
    for input in &corpus {
        assert!(input.len() <= INPUT_BYTES_MAX);
        (target.run)(input);
    }
    let longer = std::env::var("REPLAY_SECONDS").ok().map(|seconds| seconds.parse::<u64>().unwrap());
    let (mutations, mutating) =
        longer.map_or((MUTATIONS, MUTATING), |seconds| (u32::MAX, Duration::from_secs(seconds)));
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ longer.unwrap_or(0));
    let started = Instant::now();
    let mut tried = 0;
    while tried < mutations && started.elapsed() < mutating {
        let input = mutated(&corpus, &mut random);
        let failure = std::panic::catch_unwind(|| (target.run)(&input));
        assert!(failure.is_ok(), "{name} fails on {}", hex::encode(&input));
        tried += 1;
    }
    println!("{name}: {} inputs, {tried} mutations", corpus.len());
}

/// An input with one to four changes, or cut and joined with another.
fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut out = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let place = random.below(out.len() + 1);
        match random.below(6) {
            0 | 1 if place < out.len() => out[place] ^= 1 << random.below(8),
            2 if place < out.len() => out[place] = random.byte(),
            3 => out.insert(place, random.byte()),
            4 if place < out.len() => drop(out.remove(place)),
            5 => {
                let other = &corpus[random.below(corpus.len())];
                out.truncate(place);
                out.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => {}
        }
    }
    out
}

/// SplitMix64: the same mutations every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

macro_rules! replays {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

replays! {
    frame cbor sealed_request record log_entry consistency checkpoint cosignature witness_request tpm_attestation tpm_answer root_file configuration transaction transaction_fields
    authorization typed_data personal_message access_token conversation typed_data_json display sealed_reply begin_reply evidence nitro_chain
    dpop http_request registry server_config logo witness_answer anchor_file rpc_answer api_answer profile
}

#[test]
fn every_target_is_replayed_and_has_a_binary_and_a_corpus_and_nothing_else_does() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names, REPLAYED.iter().map(|name| (*name).to_owned()).collect());
    let folders = fs::read_dir(corpora()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names, folders.collect(), "fuzz/corpus");
    let binaries = fs::read_dir(corpora().join("../fuzz_targets")).unwrap();
    let binaries = binaries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    // `any` is the one that takes every target's name.
    let binaries: BTreeSet<String> = binaries.filter(|name| name != "any").collect();
    assert_eq!(names, binaries, "fuzz/fuzz_targets");
    let manifest = fs::read_to_string(corpora().join("../Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} in fuzz/Cargo.toml");
    }
}
