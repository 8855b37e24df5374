//! L4: what counts is what k witnesses cosigned, whatever the host says.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::cosignature::{Quorum, Witness, cosign};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, VerifierKey, read_note};
use pinseal_protocol::wire::Halt;

use crate::world::{Client, Fate, World};

/// A witness's key; what it cosigns, the test decides.
pub(crate) struct Cosigner {
    pair: Ed25519KeyPair,
    pub(crate) key: VerifierKey,
}

impl Cosigner {
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = VerifierKey::new(name, KeyKind::Cosignature, public(&pair)).unwrap();
        Self { pair, key }
    }

    pub(crate) fn line(&self, note: &[u8]) -> String {
        self.line_at(1_800_000_000, note)
    }

    fn line_at(&self, time: u64, note: &[u8]) -> String {
        let (text, _) = read_note(note).unwrap();
        let sign = |message: &[u8]| self.pair.sign(message).as_ref().try_into().unwrap();
        cosign(&self.key, time, text.as_bytes(), sign).to_string()
    }
}

fn public(pair: &Ed25519KeyPair) -> Ed25519Public {
    Ed25519Public::from_slice(pair.public_key().as_ref()).unwrap()
}

fn five() -> [Cosigner; 5] {
    [1, 2, 3, 4, 5].map(|number| Cosigner::new(&format!("witness.test/w{number}"), number))
}

/// Sealed to 3 of 5; not booted yet.
pub(crate) fn sealed_to_three_of_five() -> World {
    let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    World::with_configuration(1, issuer, |configuration| {
        let witnesses = five().iter().map(|one| Witness::from_verifier_key(&one.key).unwrap()).collect();
        configuration.anchor = AnchorLevel::L4;
        configuration.floor = AnchorLevel::L4;
        configuration.witnesses = Some(Quorum { required: 3, witnesses });
    })
}

/// The receipt that these witnesses make.
pub(crate) fn by(whom: &'static [usize]) -> impl FnMut(&[u8]) -> Vec<u8> {
    move |note| {
        let witnesses = five();
        let lines: String = whom.iter().map(|place| witnesses[*place].line(note)).collect();
        [note, lines.as_bytes()].concat()
    }
}

fn served() -> World {
    let mut world = sealed_to_three_of_five();
    world.anchor = Some(Box::new(by(&[0, 2, 4])));
    world.boot();
    assert_eq!(world.halted, None);
    world
}

fn halted_with(receipt: impl FnMut(&[u8]) -> Vec<u8> + 'static) -> Option<Halt> {
    let mut world = sealed_to_three_of_five();
    world.anchor = Some(Box::new(receipt));
    world.boot();
    assert!(world.manifest.is_none() || world.halted.is_none());
    world.halted.map(|(halt, _)| halt)
}

#[test]
fn a_quorum_of_any_witnesses_serves_and_the_manifest_names_them() {
    let mut world = served();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    for quorum in [&[0_usize, 1, 2][..], &[2, 3, 4], &[4, 1, 0], &[0, 1, 2, 3, 4]] {
        world.anchor = Some(Box::new(by(quorum)));
        client.verify(&mut world, "135790");
        assert_eq!(world.halted, None, "{quorum:?}");
    }
    let manifest = world.manifest();
    assert_eq!((manifest.anchor, manifest.floor), (AnchorLevel::L4, AnchorLevel::L4));
    assert_eq!(manifest.witnesses, world.configuration.witnesses);
}

#[test]
fn what_is_not_a_quorum_over_this_very_checkpoint_is_no_receipt() {
    assert_eq!(halted_with(by(&[0, 2, 4])), None, "the counter-example");
    assert_eq!(halted_with(<[u8]>::to_vec), Some(Halt::Fenced), "the host's word alone");
    assert_eq!(halted_with(by(&[])), Some(Halt::Fenced));
    assert_eq!(halted_with(by(&[0, 3])), Some(Halt::Fenced), "one too few");
    assert_eq!(halted_with(by(&[0, 3, 3, 3])), Some(Halt::Fenced), "one witness counts once");
    let strangers = |note: &[u8]| {
        let lines: String = (20..25).map(|seed| Cosigner::new("witness.test/w1", seed).line(note)).collect();
        [note, lines.as_bytes()].concat()
    };
    assert_eq!(halted_with(strangers), Some(Halt::Fenced), "right names, other keys");
    let renamed = |note: &[u8]| {
        let lines: String = (1..=5).map(|seed| Cosigner::new("another/name", seed).line(note)).collect();
        [note, lines.as_bytes()].concat()
    };
    assert_eq!(halted_with(renamed), Some(Halt::Fenced), "right keys, other names");
    let spoilt = |note: &[u8]| {
        let mut forged = by(&[0, 1, 2])(note);
        let line = five()[3].line("another text\n\n\u{2014} a YWJjZGU=\n".as_bytes());
        forged.extend_from_slice(line.as_bytes());
        forged
    };
    assert_eq!(halted_with(spoilt), Some(Halt::Fenced), "a witness's line that does not verify spoils the receipt");
    let timeless = |note: &[u8]| {
        let lines: String = five().iter().map(|one| one.line_at(0, note)).collect();
        [note, lines.as_bytes()].concat()
    };
    assert_eq!(halted_with(timeless), Some(Halt::Fenced), "a cosignature states a time");
    let other_note = |note: &[u8]| {
        let mut changed = note.to_vec();
        changed[40] ^= 1;
        [changed.as_slice(), by(&[0, 1, 2])(note).strip_prefix(note).unwrap()].concat()
    };
    assert_eq!(halted_with(other_note), Some(Halt::Fenced), "cosignatures beside another note");
}

/// Every byte of a receipt matters: after any change fewer than a quorum stand, or the note is another one.
#[test]
fn a_receipt_of_exactly_k_survives_no_change_of_a_bit() {
    let note = sealed_to_three_of_five().disk.note;
    let quorum = sealed_to_three_of_five().configuration.witnesses.unwrap();
    let receipt = by(&[0, 2, 4])(&note);
    assert!(quorum.is_met_by(&note, &receipt));
    for place in 0..receipt.len() {
        for bit in 0..8 {
            let mut changed = receipt.clone();
            changed[place] ^= 1 << bit;
            assert!(!quorum.is_met_by(&note, &changed), "byte {place}, bit {bit}");
        }
        assert!(!quorum.is_met_by(&note, &receipt[..place]), "cut at {place}");
    }
}

/// The claim of the level: an older disk, put back together with everything the host ever saw, buys nothing.
#[test]
fn cosignatures_of_an_earlier_life_do_not_serve_a_later_one() {
    let mut world = served();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    let (older, mut seen) = (world.disk.clone(), Vec::new());
    for _ in 0..3 {
        client.verify(&mut world, "000000");
        seen.push(world.disk.anchored.clone());
    }
    // Put back: the same state, the same root. The BOOT entry's nonce is fresh, so its checkpoint was never cosigned.
    world.disk = older;
    let replayed: Vec<Vec<u8>> = seen.iter().map(|note| by(&[0, 1, 2, 3, 4])(note)).collect();
    for receipt in replayed {
        let again = receipt.clone();
        world.anchor = Some(Box::new(move |_: &[u8]| again.clone()));
        world.boot();
        assert_eq!(world.halted.as_ref().map(|(halt, _)| *halt), Some(Halt::Fenced));
        assert!(world.manifest.is_none(), "nothing was served");
    }
}

/// Between charge and check there is nobody but the witnesses: without them a wrong PIN is never answered.
#[test]
fn a_charge_that_only_a_minority_saw_is_never_checked() {
    let mut world = served();
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    world.anchor = Some(Box::new(by(&[1, 3])));
    client.submit_wrong_pin(&mut world);
    assert_eq!(world.halted.as_ref().map(|(halt, _)| *halt), Some(Halt::Fenced));
    assert!(world.answers.is_empty(), "no verdict left");
}

#[test]
fn a_database_one_ahead_is_rolled_forward_by_a_quorum_only() {
    for (whom, expected) in [(&[0_usize, 1, 2][..], None), (&[0, 1], Some(Halt::Fenced))] {
        let mut world = served();
        let mut client = Client::new("ada");
        client.register(&mut world, "135790");
        world.fates = vec![Fate::LoseStored];
        client.submit_wrong_pin(&mut world);
        assert!(world.crashed);
        world.anchor = Some(Box::new(by(whom)));
        world.boot();
        assert_eq!(world.halted.as_ref().map(|(halt, _)| *halt), expected);
    }
}

#[test]
fn a_configuration_without_a_majority_seals_nothing() {
    let witness = |number: u8| Witness::from_verifier_key(&Cosigner::new(&format!("w{number}"), number).key).unwrap();
    let check = |required: u8, witnesses: Vec<Witness>| Quorum { required, witnesses }.check();
    let all: Vec<Witness> = (1..=4).map(witness).collect();
    assert!(check(3, all.clone()).is_ok() && check(4, all.clone()).is_ok() && check(1, all[..1].to_vec()).is_ok());
    for required in [0, 1, 2, 5, 255] {
        assert!(check(required, all.clone()).is_err(), "{required} of 4");
    }
    assert!(check(1, Vec::new()).is_err());
    let doubled = vec![witness(1), Witness { name: "w2".into(), ..witness(1) }];
    assert!(check(2, doubled).is_err(), "one key under two names");
    assert!(check(2, vec![witness(2), witness(1)]).is_err(), "one order, one encoding");
    let namesake = vec![witness(1), Witness { name: "w1".into(), ..witness(2) }];
    assert!(check(2, namesake).is_err(), "one name for two keys");
    assert!(check(2, vec![witness(1), Witness { name: "w 2".into(), ..witness(2) }]).is_err());
    let crowd: Vec<Witness> = (10..27).map(witness).collect();
    assert!(check(17, crowd).is_err());
    for (required, n, tolerance) in [(1, 1, 1), (2, 3, 1), (3, 4, 2), (4, 4, 4)] {
        let quorum = Quorum { required, witnesses: all[..n].to_vec() };
        assert_eq!(quorum.tolerance(), tolerance, "so many must lie where {required} of {n} are asked");
    }
}
