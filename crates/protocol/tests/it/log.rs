//! The Merkle tree against RFC 6962: reference vectors, a recursion written from the text, and every small pair.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::OnceLock;

use pinseal_protocol::cbor;
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::log::{Consistency, Frontier, Inclusion, empty_root, leaf_hash, node_hash};
use proptest::prelude::*;

use crate::{array, bytes, cases, load};

/// MTH of RFC 6962 section 2.1 over leaf hashes.
fn naive_root(leaves: &[Hash32]) -> Hash32 {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// A log with every complete node kept, as a store keeps it, and the root of every size.
struct Tree {
    nodes: HashMap<(u8, u64), Hash32>,
    leaves: Vec<Hash32>,
    roots: Vec<Hash32>,
}

impl Tree {
    fn new(entries: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut tree = Self { nodes: HashMap::new(), leaves: Vec::new(), roots: vec![empty_root()] };
        let mut frontier = Frontier::default();
        for entry in entries {
            let leaf = leaf_hash(&entry);
            frontier.append(leaf, |node| {
                let twice = tree.nodes.insert((node.level, node.index), node.hash);
                assert!(twice.is_none(), "a node is complete once");
            });
            tree.leaves.push(leaf);
            tree.roots.push(frontier.root());
            assert!(frontier.is_well_formed());
            assert_eq!(frontier.size(), tree.leaves.len() as u64);
        }
        tree
    }

    fn of_size(size: u32) -> Self {
        Self::new((0..size).map(|entry| entry.to_be_bytes().to_vec()))
    }

    fn root(&self, size: u64) -> Hash32 {
        self.roots[usize::try_from(size).unwrap()]
    }

    fn prove(&self, old: u64, new: u64) -> Option<Consistency> {
        let mut node = |level, index| self.nodes.get(&(level, index)).copied().ok_or((level, index));
        Consistency::prove(old, new, &mut node).expect("every node is kept")
    }

    fn include(&self, index: u64, size: u64) -> Option<Inclusion> {
        let mut node = |level, index| self.nodes.get(&(level, index)).copied().ok_or((level, index));
        Inclusion::prove(index, size, &mut node).expect("every node is kept")
    }

    fn leaf(&self, index: u64) -> Hash32 {
        self.leaves[usize::try_from(index).unwrap()]
    }
}

/// SUBPROOF of RFC 6962 section 2.1.2 over leaf hashes.
fn naive_proof(old: usize, leaves: &[Hash32], whole: bool) -> Vec<Hash32> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if old <= left.len() {
        let mut path = naive_proof(old, left, whole);
        path.push(naive_root(right));
        path
    } else {
        let mut path = naive_proof(old - left.len(), right, false);
        path.push(naive_root(left));
        path
    }
}

/// PATH of RFC 6962 section 2.1.1 over leaf hashes.
fn naive_path(index: usize, leaves: &[Hash32]) -> Vec<Hash32> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, other) = if index < left.len() {
        (naive_path(index, left), right)
    } else {
        (naive_path(index - left.len(), right), left)
    };
    path.push(naive_root(other));
    path
}

#[test]
fn reference_roots_and_proofs() {
    let file = load("rfc6962.json");
    assert_eq!(empty_root().0, array(&file, "empty_root"));
    let leaves: Vec<Vec<u8>> =
        cases(&file, "leaves").iter().map(|leaf| hex::decode(leaf.as_str().unwrap()).unwrap()).collect();
    let tree = Tree::new(leaves.into_iter());
    for (size, root) in cases(&file, "roots").iter().enumerate() {
        assert_eq!(tree.roots[size + 1].to_string(), root.as_str().unwrap());
    }
    for case in cases(&file, "consistency") {
        let (old, new) = (case["old_size"].as_u64().unwrap(), case["new_size"].as_u64().unwrap());
        let path =
            case["path"].as_array().unwrap().iter().map(|hash| Hash32::from_hex(hash.as_str().unwrap()).unwrap());
        let proof = Consistency { old_size: old, new_size: new, path: path.collect(), old_root: Some(tree.root(old)) };
        assert!(proof.verifies(&tree.root(old), &tree.root(new)), "{case}");
        assert_eq!(tree.prove(old, new), Some(proof), "{case}");
    }
    for case in cases(&file, "inclusion") {
        let (index, size) = (case["index"].as_u64().unwrap(), case["size"].as_u64().unwrap());
        let path =
            case["path"].as_array().unwrap().iter().map(|hash| Hash32::from_hex(hash.as_str().unwrap()).unwrap());
        let proof = Inclusion { index, size, path: path.collect() };
        assert!(proof.verifies(&tree.leaf(index), &tree.root(size)), "{case}");
        assert_eq!(tree.include(index, size), Some(proof), "{case}");
    }
    assert_eq!(leaf_hash(&[]).0.to_vec(), bytes(&serde_json::json!({ "leaf": file["roots"][0] }), "leaf"));
}

#[test]
fn the_frontier_agrees_with_the_recursion_up_to_300() {
    let tree = Tree::of_size(300);
    for size in 0..=300 {
        assert_eq!(tree.roots[size], naive_root(&tree.leaves[..size]), "{size} leaves");
    }
}

#[test]
fn every_pair_up_to_64_is_proved_and_nothing_else_passes() {
    let tree = Tree::of_size(64);
    let mut other = tree.leaves.clone();
    other[0] = leaf_hash(b"another first leaf");
    for new in 1..=64_u64 {
        let leaves = &tree.leaves[..usize::try_from(new).unwrap()];
        let forked = naive_root(&other[..leaves.len()]);
        for old in 1..=new {
            let proof = tree.prove(old, new).unwrap();
            assert_eq!(proof.path, naive_proof(usize::try_from(old).unwrap(), leaves, true), "{old} {new}");
            let (old_root, new_root) = (tree.root(old), tree.root(new));
            assert!(proof.verifies(&old_root, &new_root), "{old} {new}");

            assert!(!proof.verifies(&old_root, &forked), "{old} {new}: another tree");
            assert!(!proof.verifies(&forked, &new_root), "{old} {new}: another past");
            for at in 0..proof.path.len() {
                let mut changed = proof.clone();
                changed.path[at].0[31] ^= 1;
                assert!(!changed.verifies(&old_root, &new_root), "{old} {new}: hash {at} changed");
                let mut shorter = proof.clone();
                shorter.path.remove(at);
                assert!(!shorter.verifies(&old_root, &new_root), "{old} {new}: hash {at} missing");
            }
            for extra in [old_root, new_root, empty_root()] {
                let mut longer = proof.clone();
                longer.path.push(extra);
                assert!(!longer.verifies(&old_root, &new_root), "{old} {new}: a hash too many");
            }
        }
    }
}

#[test]
fn every_leaf_of_every_tree_up_to_64_is_proved_and_nothing_else_passes() {
    let tree = Tree::of_size(64);
    let stranger = leaf_hash(b"another leaf");
    for size in 1..=64_u64 {
        let leaves = &tree.leaves[..usize::try_from(size).unwrap()];
        let root = tree.root(size);
        for index in 0..size {
            let (leaf, proof) = (tree.leaf(index), tree.include(index, size).unwrap());
            assert_eq!(proof.path, naive_path(usize::try_from(index).unwrap(), leaves), "{index} {size}");
            assert!(proof.verifies(&leaf, &root), "{index} {size}");

            assert!(!proof.verifies(&stranger, &root), "{index} {size}: another leaf");
            assert!(!proof.verifies(&leaf, &stranger), "{index} {size}: another root");
            for other in (0..=size + 1).chain([u64::MAX]).filter(|other| *other != index) {
                let lied = Inclusion { index: other, ..proof.clone() };
                assert!(!lied.verifies(&leaf, &root), "{index} {size}: as {other}");
            }
            // The checkpoint says how large a tree is; of a proof that names another size no other tree's root comes out, and none at all
            // if a path there has another length.
            for other in (0..=64).filter(|other| *other != size) {
                let lied = Inclusion { size: other, ..proof.clone() };
                assert!(!lied.verifies(&leaf, &tree.root(other)), "{index} {size} of {other}");
                let fits = tree.include(index, other).is_some_and(|own| own.path.len() == proof.path.len());
                assert!(fits || !lied.verifies(&leaf, &root), "{index} {size} of {other}: another length");
            }
            for at in 0..proof.path.len() {
                let mut changed = proof.clone();
                changed.path[at].0[31] ^= 1;
                assert!(!changed.verifies(&leaf, &root), "{index} {size}: hash {at} changed");
                let mut shorter = proof.clone();
                shorter.path.remove(at);
                assert!(!shorter.verifies(&leaf, &root), "{index} {size}: hash {at} missing");
            }
            for extra in [leaf, root, empty_root()] {
                let mut longer = proof.clone();
                longer.path.push(extra);
                assert!(!longer.verifies(&leaf, &root), "{index} {size}: a hash too many");
            }
        }
    }
}

#[test]
fn a_leaf_that_is_not_there_is_not_proved() {
    let tree = Tree::of_size(8);
    for (index, size) in [(0, 0), (8, 8), (9, 8), (u64::MAX, 8), (u64::MAX, u64::MAX)] {
        assert_eq!(tree.include(index, size), None, "{index} {size}");
        for root in [tree.root(8), empty_root(), tree.leaf(0)] {
            let proof = Inclusion { index, size, path: Vec::new() };
            assert!(!proof.verifies(&tree.leaf(0), &root), "{index} {size}");
        }
    }
    let mut missing = |level: u8, index: u64| Err::<Hash32, _>((level, index));
    assert_eq!(Inclusion::prove(3, 7, &mut missing), Err((1, 2)));
}

/// A checkpoint, not a proof, says how large a tree is; but a proof whose length does not fit the sizes it names is none.
#[test]
fn a_proof_of_another_length_than_its_sizes_ask_for_is_refused() {
    let tree = Tree::of_size(64);
    for new in 1..=64 {
        for old in 1..=new {
            let proof = tree.prove(old, new).unwrap();
            for other in (old..=64).filter(|other| tree.prove(old, *other).unwrap().path.len() != proof.path.len()) {
                let lied = Consistency { new_size: other, ..proof.clone() };
                assert!(!lied.verifies(&tree.root(old), &tree.root(new)), "{old} {new} as {other}");
            }
        }
    }
}

/// Only the root that the tree really had convicts another one.
#[test]
fn a_root_of_another_history_is_convicted_by_the_provers_own() {
    let (tree, seen) = (Tree::of_size(20), Hash32([9; 32]));
    for new in 1..=20 {
        for old in 1..=new {
            let proof = tree.prove(old, new).unwrap();
            let root = tree.root(new);
            assert!(proof.convicts(&seen, &root), "{old} {new}");
            assert!(!proof.convicts(&tree.root(old), &root), "{old} {new}: the same history");
            for old_root in [None, Some(seen), Some(Hash32([8; 32]))] {
                let lied = Consistency { old_root, ..proof.clone() };
                assert!(!lied.convicts(&seen, &root) && !lied.convicts(&tree.root(old), &root), "{old} {new}");
            }
        }
    }
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let tree = Tree::of_size(8);
    assert_eq!(tree.prove(0, 8), None);
    assert_eq!(tree.prove(9, 8), None);
    let root = tree.root(8);
    for (old_size, new_size) in [(0, 8), (0, 0), (9, 8), (u64::MAX, 8), (u64::MAX, 0)] {
        let proof = Consistency { old_size, new_size, path: Vec::new(), old_root: None };
        assert!(!proof.verifies(&root, &root), "{old_size} {new_size}");
        assert!(!proof.verifies(&empty_root(), &root), "{old_size} {new_size}");
    }
    let equal = |path| Consistency { old_size: 8, new_size: 8, path, old_root: None };
    assert!(equal(Vec::new()).verifies(&root, &root));
    assert!(!equal(Vec::new()).verifies(&root, &tree.root(7)));
    assert!(!equal(vec![root]).verifies(&root, &root), "equal sizes need no hashes");
}

#[test]
fn a_missing_node_is_reported() {
    let mut missing = |level: u8, index: u64| Err::<Hash32, _>((level, index));
    assert_eq!(Consistency::prove(3, 7, &mut missing), Err((0, 2)));
}

/// A frontier off the wire: a wrong count of nodes or a size that would overflow is not well formed, and neither panics.
#[test]
fn a_frontier_from_the_wire_is_checked() {
    let wire = |size: u64, edge: usize| -> Frontier {
        cbor::from_slice(&cbor::to_vec(&(size, vec![Hash32([1; 32]); edge]))).unwrap()
    };
    assert!(wire(0, 0).is_well_formed());
    assert!(wire(5, 2).is_well_formed());
    assert!(wire((1 << 63) - 1, 63).is_well_formed());
    for (size, edge) in [(0, 1), (5, 1), (5, 3), (8, 0), (u64::MAX, 0), (u64::MAX, 64)] {
        let mut frontier = wire(size, edge);
        assert!(!frontier.is_well_formed(), "{size} {edge}");
        let _ = frontier.root();
        if size < u64::MAX {
            frontier.append(Hash32([2; 32]), |_| {});
            let _ = frontier.root();
        }
    }
}

/// Levels of a tree whose leaves are all the same: any size up to 2^63 has a root one can compute.
fn levels() -> &'static [Hash32] {
    static LEVELS: OnceLock<Vec<Hash32>> = OnceLock::new();
    LEVELS.get_or_init(|| {
        core::iter::successors(Some(leaf_hash(b"same")), |hash| Some(node_hash(hash, hash))).take(64).collect()
    })
}

fn same_root(size: u64) -> Hash32 {
    if size.is_power_of_two() {
        return levels()[size.trailing_zeros() as usize];
    }
    let left = 1 << (63 - size.leading_zeros());
    node_hash(&same_root(left), &same_root(size - left))
}

/// No log grows so large, but a proof may name such a size.
#[test]
fn the_longest_proof_of_a_leaf_is_read() {
    let size = (1 << 63) + 1;
    let mut node = |level: u8, _| Ok::<_, Infallible>(levels()[usize::from(level)]);
    let proof = Inclusion::prove(3, size, &mut node).unwrap().unwrap();
    assert_eq!(proof.path.len(), pinseal_protocol::limits::INCLUSION_HASHES_MAX);
    assert!(proof.verifies(&levels()[0], &same_root(size)));
    assert!(!proof.verifies(&levels()[1], &same_root(size)));
}

fn large() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| Tree::of_size(3_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn larger_trees_are_proved((old, new) in (1_u64..=3_000).prop_flat_map(|new| (1..=new, Just(new))), other in 1_u64..=3_000) {
        let proof = large().prove(old, new).unwrap();
        prop_assert!(proof.verifies(&large().root(old), &large().root(new)));
        if other != old {
            prop_assert!(!proof.verifies(&large().root(other), &large().root(new)));
            let lied = Consistency { old_size: other, ..proof.clone() };
            prop_assert!(!lied.verifies(&large().root(other), &large().root(new)));
        }
        if other != new {
            let lied = Consistency { new_size: other, ..proof };
            prop_assert!(!lied.verifies(&large().root(old), &large().root(other)));
        }
    }

    #[test]
    fn trees_of_any_size_are_proved((old, new) in (1_u64..=1 << 63).prop_flat_map(|new| (1..=new, Just(new)))) {
        let mut node = |level: u8, _| Ok::<_, Infallible>(levels()[usize::from(level)]);
        let proof = Consistency::prove(old, new, &mut node).unwrap().unwrap();
        prop_assert!(proof.path.len() <= pinseal_protocol::limits::PROOF_HASHES_MAX);
        prop_assert!(proof.verifies(&same_root(old), &same_root(new)));
        if old < new {
            prop_assert!(!proof.verifies(&same_root(old), &same_root(new - 1)) || same_root(new - 1) == same_root(new));
        }
    }

    #[test]
    fn a_proof_from_the_wire_never_panics(old_size: u64, new_size: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..140)) {
        let proof = Consistency { old_size, new_size, path: path.into_iter().map(Hash32).collect(), old_root: None };
        prop_assert!(!proof.verifies(&Hash32([1; 32]), &Hash32([2; 32])));
    }

    #[test]
    fn leaves_of_trees_of_any_size_are_proved((index, size) in (1_u64..=1 << 63).prop_flat_map(|size| (0..size, Just(size)))) {
        let mut node = |level: u8, _| Ok::<_, Infallible>(levels()[usize::from(level)]);
        let proof = Inclusion::prove(index, size, &mut node).unwrap().unwrap();
        prop_assert!(proof.path.len() <= pinseal_protocol::limits::INCLUSION_HASHES_MAX);
        prop_assert!(proof.verifies(&levels()[0], &same_root(size)));
        prop_assert!(!proof.verifies(&levels()[1], &same_root(size)) || size == 2);
    }

    #[test]
    fn an_inclusion_proof_from_the_wire_never_panics(index: u64, size: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let proof = Inclusion { index, size, path: path.into_iter().map(Hash32).collect() };
        prop_assert!(!proof.verifies(&Hash32([1; 32]), &Hash32([2; 32])));
    }

    #[test]
    fn appending_survives_the_wire(before in 0_u8..200) {
        let frontier = crate::samples::frontier(before);
        let mut again: Frontier = cbor::from_slice(&cbor::to_vec(&frontier)).unwrap();
        again.append(leaf_hash(&[before]), |_| {});
        prop_assert_eq!(again, crate::samples::frontier(before + 1));
    }
}
