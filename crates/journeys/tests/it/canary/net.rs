//! Many secrets looked for at once.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::forms::{Form, Kind, forms};
use super::secrets::Secret;

/// A remainder of a secret counts from this many bytes of a form on: freed memory loses its first words to the allocator.
const PIECE_BYTES: usize = 16;
/// A piece begins at every so many bytes, so that every remainder of three such steps holds one.
const STEP_BYTES: usize = 8;
/// A list of decimals needs so many characters to say as much.
const DECIMAL_PIECE_BYTES: usize = 28;
/// Fewest different bytes of a piece: less is met everywhere.
const VARIETY_MIN: usize = 4;

/// What was found: the secret's name and form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Catch {
    pub(super) secret: String,
    pub(super) form: &'static str,
}

/// Searches for every form of many secrets.
pub(super) struct Net {
    automaton: AhoCorasick,
    meshes: Vec<Catch>,
    /// Longest pattern.
    reach: usize,
}

impl Net {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        Self::of_pieces(
            secrets,
            |form| if form.name.starts_with("decimal") { DECIMAL_PIECE_BYTES } else { PIECE_BYTES },
        )
    }

    /// For registers, which hold eight bytes and are too few to hold any by chance.
    pub(super) fn fine(secrets: &[Secret]) -> Self {
        Self::of_pieces(secrets, |_| STEP_BYTES)
    }

    fn of_pieces(secrets: &[Secret], piece: impl Fn(&Form) -> usize) -> Self {
        let (mut patterns, mut meshes) = (Vec::new(), Vec::new());
        for secret in secrets {
            assert!(secret.kind != Kind::Bytes || secret.bytes.len() >= PIECE_BYTES, "{}", secret.name);
            for form in forms(secret.kind, &secret.bytes) {
                let bytes = if secret.kind == Kind::Short { form.bytes.len() } else { piece(&form) };
                for pattern in pieces(&form.bytes, bytes) {
                    if variety(pattern) >= VARIETY_MIN {
                        patterns.push(pattern.to_vec());
                        meshes.push(Catch { secret: secret.name.clone(), form: form.name });
                    }
                }
            }
        }
        let reach = patterns.iter().map(Vec::len).max().unwrap();
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&patterns).unwrap();
        Self { automaton, meshes, reach }
    }

    /// Bytes that the pieces of a stream must overlap by.
    pub(super) const fn overlap(&self) -> usize {
        self.reach - 1
    }

    /// Everything in `bytes`, with the place of its first piece.
    pub(super) fn search(&self, bytes: &[u8]) -> BTreeMap<Catch, usize> {
        let mut caught = BTreeMap::new();
        for found in self.automaton.find_overlapping_iter(bytes) {
            caught.entry(self.meshes[found.pattern().as_usize()].clone()).or_insert(found.start());
        }
        caught
    }
}

fn pieces(form: &[u8], bytes: usize) -> Vec<&[u8]> {
    if form.len() <= bytes {
        return vec![form];
    }
    let last = form.len() - bytes;
    (0..last).step_by(STEP_BYTES).chain([last]).map(|start| &form[start..start + bytes]).collect()
}

fn variety(pattern: &[u8]) -> usize {
    let mut bytes = pattern.to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len()
}

#[test]
fn a_remainder_of_a_secret_is_found_in_every_form() {
    let secrets = [Secret::bytes("key", &(0..32).map(|byte: u8| byte.wrapping_mul(151)).collect::<Vec<_>>())];
    let net = Net::new(&secrets);
    for form in forms(Kind::Bytes, &secrets[0].bytes) {
        // The allocator's own words over its beginning.
        let mut remainder = form.bytes.clone();
        let lost = (remainder.len() / 2).min(16);
        if remainder.len() - lost < PIECE_BYTES + STEP_BYTES {
            continue;
        }
        remainder[..lost].fill(0);
        let place = [b"before ".as_slice(), &remainder, b" after"].concat();
        assert!(net.search(&place).keys().any(|caught| caught.form == form.name), "{}", form.name);
    }
    assert!(net.search(&[0x5a; 4096]).is_empty());
    assert!(net.search(b"nothing of it, neither here nor there").is_empty());
}
