//! The root file: every way it can be wrong has its own answer, and none overwrites anything.

use pinseal_protocol::wire::Halt;
use sha2::{Digest as _, Sha256};

use crate::world::World;

fn boot_with(world: &mut World, root: Vec<u8>) -> Option<Halt> {
    let good = core::mem::replace(&mut world.disk.sealed_root, root);
    world.boot();
    world.disk.sealed_root = good;
    world.halted.as_ref().map(|(halt, _)| *halt)
}

#[test]
fn a_wrong_passphrase_is_told_apart() {
    let mut world = World::new();
    world.boot_under(b"correct horse battery stapl");
    assert_eq!(world.halted.map(|(halt, _)| halt), Some(Halt::WrongPassphrase));
}

#[test]
fn a_truncated_or_damaged_root_is_told_apart() {
    let mut world = World::new();
    let root = world.disk.sealed_root.clone();
    for length in [0, 1, 12, 14, 15, 16, 100, root.len() - 1] {
        assert_eq!(boot_with(&mut world, root[..length].to_vec()), Some(Halt::RootDamaged), "{length} bytes");
    }
    let mut longer = root.clone();
    longer.push(0);
    assert_eq!(boot_with(&mut world, longer), Some(Halt::RootDamaged));
    for position in (0..root.len()).filter(|position| !(13..15).contains(position)) {
        let mut damaged = root.clone();
        damaged[position] ^= 1;
        assert_eq!(boot_with(&mut world, damaged), Some(Halt::RootDamaged), "byte {position}");
    }
    assert_eq!(boot_with(&mut world, vec![0; 5_000]), Some(Halt::RootDamaged));
}

#[test]
fn a_root_of_a_newer_version_is_told_apart() {
    let mut world = World::new();
    let mut newer = world.disk.sealed_root.clone();
    newer[14] = 2;
    assert_eq!(boot_with(&mut world, newer), Some(Halt::RootNewer));
}

#[test]
fn a_root_of_another_deployment_is_told_apart() {
    let mut world = World::new();
    let mut other = World::with_seed(2);
    other.configuration.deployment.0[0] ^= 1;
    let foreign = World::with_seed(3).disk.sealed_root;
    // Same deployment id, another issuer key: another configuration.
    assert_eq!(boot_with(&mut world, foreign), Some(Halt::RootForeign));
}

#[test]
fn a_root_longer_than_any_is_refused_unread() {
    let mut world = World::new();
    // A well-formed file whose ciphertext opens under no key: read, it would be taken for a wrong passphrase.
    let lengthened = |root: &[u8], bytes: usize| {
        let (content, _) = root.split_at(root.len() - 32);
        let (head, ciphertext) = content.split_at(content.len() - 80);
        let (head, length) = head.split_at(head.len() - 2);
        assert_eq!(length, [0x58, 80], "the last field is a byte string of 80");
        let fill = bytes - head.len() - 3 - 32;
        let mut file = [head, &[0x59], &u16::try_from(fill).unwrap().to_be_bytes(), ciphertext].concat();
        file[head.len() + 3] ^= 1;
        file.resize(bytes - 32, 0);
        let checksum = Sha256::digest(&file);
        [file.as_slice(), checksum.as_slice()].concat()
    };
    let root = world.disk.sealed_root.clone();
    assert_eq!(boot_with(&mut world, lengthened(&root, 4_096)), Some(Halt::WrongPassphrase));
    assert_eq!(boot_with(&mut world, lengthened(&root, 4_097)), Some(Halt::RootDamaged));
}
