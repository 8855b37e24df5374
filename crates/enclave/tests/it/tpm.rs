//! Anchor level L2: what an index that the enclave alone writes is worth against a host that drives the TPM as it likes.

use std::cell::RefCell;
use std::rc::Rc;

use pinseal_enclave::Enclave;
use pinseal_protocol::checkpoint::Checkpoint;
use pinseal_protocol::configuration::{AnchorLevel, Configuration, ConfigurationError, SuccessionError};
use pinseal_protocol::ids::Hash32;
use pinseal_protocol::token::P256Public;
use pinseal_protocol::tpm::{
    AttestError, Authorisation, Index, P256Signature, RECEIPT_BYTES_MAX, TpmNonce, certified, join_receipt, join_word,
};
use pinseal_protocol::wire::{BatchId, FromEnclave, Halt, Header, ToEnclave};
use pinseal_software_tpm::{ATTRIBUTES, Fields, Refused, SoftwareTpm};

use crate::world::{Client, Disk, Fate, PASSPHRASE, SharedTpm, World, identity, passphrase};

fn tpm() -> SharedTpm {
    Rc::new(RefCell::new(SoftwareTpm::new()))
}

fn served(tpm: &SharedTpm) -> (World, Client) {
    let mut world = World::with_tpm(1, tpm);
    assert_eq!(world.halted, None);
    let mut client = Client::new("ada");
    client.register(&mut world, "135790");
    (world, client)
}

fn halt(world: &World) -> Option<Halt> {
    world.halted.as_ref().map(|(halt, _)| *halt)
}

/// Boots while the host says that the index holds this.
fn boot_saying(world: &mut World, held: [u8; 32]) {
    let mut message = world.boot_message();
    if let ToEnclave::Boot { anchored, .. } = &mut message {
        *anchored = held.to_vec().into();
    }
    world.boot_with(PASSPHRASE, message);
}

/// What the enclave lets in when it is booted from this disk while the host says that the index holds this.
fn let_in(world: &mut World, disk: &Disk, held: [u8; 32]) -> Vec<(Hash32, Authorisation)> {
    world.disk = disk.clone();
    let mut message = world.boot_message();
    if let ToEnclave::Boot { anchored, .. } = &mut message {
        *anchored = held.to_vec().into();
    }
    world.enclave = Enclave::new(passphrase(PASSPHRASE), identity());
    let headers: Vec<Header> = disk.records.values().map(|(header, _)| *header).collect();
    let mut given = Vec::new();
    let mut messages = vec![ToEnclave::HeadersEnd, ToEnclave::Headers { headers }, message];
    while let Some(message) = messages.pop() {
        for effect in world.tell(message) {
            let (note, authorisation) = match effect {
                FromEnclave::RollForward { checkpoint, authorisation, .. } => (checkpoint, authorisation),
                FromEnclave::Commit(batch) => (batch.checkpoint, batch.authorisation),
                FromEnclave::Halted { .. } => return given,
                _ => continue,
            };
            let hash = Checkpoint::read_unverified(&note).unwrap().hash();
            given.extend(authorisation.map(|authorisation| (hash, authorisation)));
        }
    }
    given
}

#[test]
fn a_deployment_is_made_and_served_and_the_manifest_names_the_tpm() {
    let tpm = tpm();
    let (mut world, mut client) = served(&tpm);
    client.verify(&mut world, "000000");
    client.verify(&mut world, "135790");
    assert_eq!(halt(&world), None);
    assert_eq!(Some(tpm.borrow().value()), world.disk.checkpoint().held_after().map(|held| held.0));
    let manifest = world.manifest();
    assert_eq!((manifest.anchor, manifest.floor), (AnchorLevel::L2, AnchorLevel::L2));
    assert_eq!(manifest.tpm, Some(tpm.borrow().named()));
    world.boot();
    assert_eq!(halt(&world), None);
    client.verify(&mut world, "135790");
}

/// The claim of the level: an older disk, put back together with everything the host ever saw, buys nothing.
#[test]
fn an_older_state_gets_no_receipt_whatever_the_host_says_and_replays() {
    let tpm = tpm();
    let (mut world, mut client) = served(&tpm);
    let (older, mut seen) = (world.disk.clone(), Vec::new());
    for _ in 0..3 {
        client.verify(&mut world, "000000");
        let note = world.disk.note.clone();
        seen.push(tpm.borrow_mut().receipt(&note)[note.len()..].to_vec());
    }
    world.disk = older.clone();
    world.boot();
    assert_eq!(halt(&world), Some(Halt::StateForked), "told at boot, where the host tells the truth");
    let held_then = older.checkpoint();
    for said in [held_then.held_after(), held_then.tpm] {
        for replayed in [None, Some(0), Some(1), Some(2)] {
            world.disk = older.clone();
            if let Some(place) = replayed {
                let old: Vec<u8> = seen[place].clone();
                world.anchor = Some(Box::new(move |note: &[u8]| [note, &old].concat()));
            }
            boot_saying(&mut world, said.unwrap().0);
            assert_eq!(halt(&world), Some(Halt::Fenced), "{said:?}, {replayed:?}");
            assert!(world.manifest.is_none(), "nothing was served");
            world.anchor = None;
        }
    }
}

/// What a counter or a fixed first value would allow: an index defined anew, brought up again one stored checkpoint at a time, each let in as
/// the one that a crash kept from the anchor.
#[test]
fn an_index_defined_anew_stays_empty_though_every_old_disk_is_booted() {
    let tpm = tpm();
    let mut world = World::made_in_tpm(1, &tpm);
    let mut client = Client::new("ada");
    let mut disks = vec![world.disk.clone()];
    world.boot();
    disks.push(world.disk.clone());
    client.register(&mut world, "135790");
    disks.push(world.disk.clone());
    for _ in 0..2 {
        world.fates = vec![Fate::LoseStored];
        client.submit_wrong_pin(&mut world);
        disks.push(world.disk.clone());
        world.boot();
        disks.push(world.disk.clone());
    }
    let writer = let_in(&mut world, &disks[0], disks[0].checkpoint().held_after().unwrap().0)[0].1.writer;
    tpm.borrow_mut().define(&writer, ATTRIBUTES);
    let mut given = 0;
    for disk in &disks {
        let newest = disk.checkpoint();
        for said in [newest.tpm, newest.held_after(), Some(Hash32([0; 32]))] {
            for (value, authorisation) in let_in(&mut world, disk, said.unwrap().0) {
                given += 1;
                assert_eq!(tpm.borrow_mut().extend(&value.0, &authorisation), Err(Refused::Policy));
            }
        }
    }
    assert!(given >= disks.len(), "the enclave did let things in, and none went in here");
    assert_eq!(tpm.borrow().value(), [0; 32]);
    world.disk = disks.last().unwrap().clone();
    world.boot();
    assert_eq!(halt(&world), Some(Halt::AnchorMissing), "an honest host is told what happened");
}

#[test]
fn of_two_live_enclaves_one_goes_on_and_the_other_answers_nothing() {
    let tpm = tpm();
    let (mut first, mut client) = served(&tpm);
    let mut second = World::with_tpm(2, &Rc::new(RefCell::new(SoftwareTpm::new())));
    second.configuration = first.configuration.clone();
    second.tpm = Some(SharedTpm::clone(&tpm));
    second.disk = first.disk.clone();
    second.boot();
    assert_eq!(halt(&second), None, "it continues what the first left");
    client.submit_wrong_pin(&mut first);
    assert_eq!(halt(&first), Some(Halt::Fenced));
    assert!(first.answers.is_empty(), "no verdict left");
    // What the first let in spoilt the index for the second too: nobody can tell a race from a theft, so both stop.
    client.receipt = None;
    second.fates = Vec::new();
    assert_ne!(Some(tpm.borrow().value()), second.disk.checkpoint().held_after().map(|held| held.0));
}

#[test]
fn an_authorisation_lets_one_value_in_once_in_one_session() {
    let tpm = tpm();
    let (mut world, _) = served(&tpm);
    let disk = world.disk.clone();
    let given = let_in(&mut world, &disk, disk.checkpoint().held_after().unwrap().0);
    let [(value, authorisation)] = given.as_slice() else { panic!("{}", given.len()) };
    let mut tpm = tpm.borrow_mut();
    assert_eq!(tpm.extend(&[9; 32], authorisation), Err(Refused::Policy), "another value");
    let stranger = SoftwareTpm::new().named().attester;
    let other = Authorisation { writer: stranger, ..*authorisation };
    assert_eq!(tpm.extend(&value.0, &other), Err(Refused::Policy), "another key");
    assert_eq!(tpm.extend(&value.0, authorisation), Ok(()), "the counter-example");
    tpm.open();
    assert_eq!(tpm.extend(&value.0, authorisation), Err(Refused::Policy), "a second time");
}

#[test]
fn a_cleared_tpm_stops_the_service_for_good() {
    let tpm = tpm();
    let (mut world, mut client) = served(&tpm);
    let held = tpm.borrow().value();
    tpm.borrow_mut().clear();
    client.submit_wrong_pin(&mut world);
    assert_eq!(halt(&world), Some(Halt::Fenced));
    world.boot();
    assert_eq!(halt(&world), Some(Halt::AnchorMissing));
    boot_saying(&mut world, held);
    assert_eq!(halt(&world), Some(Halt::Fenced), "another attestation key is not the configured one");
}

/// Said in the threat model: a TPM whose own state is put back, as a virtual one's is with its machine, forgets.
#[test]
fn a_tpm_that_is_rolled_back_itself_is_beyond_the_level() {
    let tpm = tpm();
    let (mut world, mut client) = served(&tpm);
    let (older, snapshot) = (world.disk.clone(), tpm.borrow().snapshot());
    client.verify(&mut world, "000000");
    world.disk = older;
    tpm.borrow_mut().roll_back(snapshot);
    world.boot();
    assert_eq!(halt(&world), None);
}

#[test]
fn a_crash_anywhere_between_database_and_receipt_is_gone_on_from() {
    for fate in [Fate::LoseUnstored, Fate::LoseStored, Fate::LoseAnchored] {
        let tpm = tpm();
        let (mut world, mut client) = served(&tpm);
        world.fates = vec![fate];
        client.submit_wrong_pin(&mut world);
        assert!(world.crashed);
        world.boot();
        assert_eq!(halt(&world), None, "{fate:?}");
        client.verify(&mut world, "135790");
        assert_eq!(halt(&world), None, "{fate:?}");
    }
}

#[test]
fn a_batch_taken_back_leaves_its_session_to_the_next() {
    let tpm = tpm();
    let (mut world, mut client) = served(&tpm);
    world.fates = vec![Fate::Abort];
    client.submit_wrong_pin(&mut world);
    assert_eq!(halt(&world), None);
    client.verify(&mut world, "135790");
    assert_eq!(halt(&world), None);
}

#[test]
fn a_host_without_a_session_is_told_so() {
    let tpm = tpm();
    let (mut world, _) = served(&tpm);
    let mut message = world.boot_message();
    if let ToEnclave::Boot { nonce, .. } = &mut message {
        *nonce = None;
    }
    world.boot_with(PASSPHRASE, message);
    assert_eq!(halt(&world), Some(Halt::Protocol));
}

/// Without the receipt for the genesis no root leaves, so nothing is ever sealed to an index that somebody else may write.
#[test]
fn no_root_is_made_for_an_index_that_others_may_write() {
    const OWNERWRITE: u32 = 1 << 1;
    const AUTHWRITE: u32 = 1 << 2;
    const ORDERLY: u32 = 1 << 26;
    for extra in [OWNERWRITE, AUTHWRITE, ORDERLY] {
        let tpm = tpm();
        let mut world = World::with_tpm(1, &tpm);
        world.enclave = Enclave::new(passphrase(PASSPHRASE), identity());
        let asked = world.tell(ToEnclave::Create {
            configuration: pinseal_protocol::cbor::to_vec(&world.configuration).into(),
            time: pinseal_protocol::ids::UnixSeconds(1),
        });
        let [FromEnclave::Define { writer }] = asked.as_slice() else { panic!("{asked:?}") };
        tpm.borrow_mut().define(writer, ATTRIBUTES | extra);
        let nonce = tpm.borrow_mut().open();
        let asked = world.tell(ToEnclave::Defined { nonce });
        let [FromEnclave::RollForward { checkpoint, authorisation: Some(authorisation), .. }] = asked.as_slice() else {
            panic!("{asked:?}")
        };
        let hash = Checkpoint::read_unverified(checkpoint).unwrap().hash();
        assert_eq!(tpm.borrow_mut().extend(&hash.0, authorisation), Err(Refused::Policy), "its name is another");
        let receipt = tpm.borrow_mut().receipt(checkpoint).into();
        let said = world.tell(ToEnclave::Committed { batch: BatchId(0), receipt, nonce: None });
        assert!(matches!(said.as_slice(), [FromEnclave::Halted { halt: Halt::Fenced, .. }]), "{said:?}");
    }
}

/// The one authorisation for an index never written is given once.
#[test]
fn a_creation_lets_the_genesis_in_once() {
    let tpm = tpm();
    let mut world = World::with_tpm(1, &tpm);
    world.enclave = Enclave::new(passphrase(PASSPHRASE), identity());
    let configuration = pinseal_protocol::cbor::to_vec(&world.configuration);
    world.tell(ToEnclave::Create { configuration: configuration.into(), time: pinseal_protocol::ids::UnixSeconds(1) });
    let first = world.tell(ToEnclave::Defined { nonce: TpmNonce([1; 32]) });
    assert!(matches!(first.as_slice(), [FromEnclave::RollForward { .. }]));
    let second = world.tell(ToEnclave::Defined { nonce: TpmNonce([2; 32]) });
    assert!(matches!(second.as_slice(), [FromEnclave::Halted { halt: Halt::Protocol, .. }]), "{second:?}");
}

/// What a deployment goes on from is an order's to say; a new one goes on from nothing.
#[test]
fn a_deployment_is_made_with_no_beginning_but_its_genesis() {
    let tpm = tpm();
    let mut world = World::with_tpm(1, &tpm);
    world.enclave = Enclave::new(passphrase(PASSPHRASE), identity());
    let begun = Configuration { base: Some(Hash32(tpm.borrow().value())), ..world.configuration.clone() };
    assert_eq!(begun.check(), Ok(()));
    let configuration = pinseal_protocol::cbor::to_vec(&begun).into();
    let said = world.tell(ToEnclave::Create { configuration, time: pinseal_protocol::ids::UnixSeconds(1) });
    assert!(matches!(said.as_slice(), [FromEnclave::Halted { halt: Halt::ConfigurationInvalid, .. }]), "{said:?}");
}

/// A change of one field.
type Spoil = Box<dyn Fn(&mut Fields)>;

/// Every field, changed and signed by the right key, as a TPM would that keeps to other rules.
#[test]
fn every_field_of_an_attestation_matters() {
    let tpm = tpm();
    let (mut world, _) = served(&tpm);
    let disk = world.disk.clone();
    let writer: P256Public = let_in(&mut world, &disk, disk.checkpoint().held_after().unwrap().0)[0].1.writer;
    let mut tpm = tpm.borrow_mut();
    let (named, good) = (tpm.named(), tpm.attest().unwrap());
    let index = Index::new(named.index, writer);
    let judge = |fields: &Fields, signed: &SoftwareTpm| {
        let attest = fields.encoded();
        certified(&attest, &signed.sign(&attest), &named.attester, &index)
    };
    assert_eq!(judge(&good, &tpm), Ok(disk.checkpoint().held_after().unwrap()), "the counter-example");
    assert_eq!(judge(&good, &SoftwareTpm::new()), Err(AttestError::Signature), "another TPM's key");
    let spoils: Vec<(Spoil, AttestError)> = vec![
        (Box::new(|fields| fields.magic[0] = 0), AttestError::NotGenerated),
        (Box::new(|fields| fields.kind[1] = 0x1c), AttestError::Kind),
        (Box::new(|fields| fields.kind[1] = 0x17), AttestError::Kind),
        (Box::new(|fields| fields.clock[16] = 2), AttestError::Malformed),
        (Box::new(|fields| fields.clock.push(0)), AttestError::Malformed),
        (Box::new(|fields| fields.firmware.truncate(7)), AttestError::Malformed),
        (Box::new(|fields| fields.signer = vec![0; 67]), AttestError::Malformed),
        (Box::new(|fields| fields.extra = vec![0; 67]), AttestError::Malformed),
        (Box::new(|fields| fields.name[33] ^= 1), AttestError::Index),
        (Box::new(|fields| fields.name[1] = 0x0c), AttestError::Index),
        (Box::new(|fields| fields.name.clear()), AttestError::Index),
        (Box::new(|fields| fields.offset[1] = 1), AttestError::Part),
        (Box::new(|fields| fields.content.truncate(31)), AttestError::Part),
        (Box::new(|fields| fields.content.push(0)), AttestError::Part),
    ];
    for (place, (spoil, expected)) in spoils.iter().enumerate() {
        let mut spoilt = good.clone();
        spoil(&mut spoilt);
        assert_eq!(judge(&spoilt, &tpm), Err(*expected), "spoil {place}");
    }
    // And one bit of what was really signed, at every place.
    let (attest, signature) = (good.encoded(), tpm.sign(&good.encoded()));
    for place in 0..attest.len() {
        let mut changed = attest.clone();
        changed[place] ^= 1;
        assert!(certified(&changed, &signature, &named.attester, &index).is_err(), "byte {place}");
        assert!(certified(&attest[..place], &signature, &named.attester, &index).is_err(), "cut at {place}");
    }
    // A receipt is for one note, and holds what follows from it.
    let (note, checkpoint) = (disk.note.clone(), disk.checkpoint());
    let receipt = tpm.receipt(&note);
    assert!(named.vouches(&writer, &note, &checkpoint, &receipt));
    assert!(!named.vouches(&named.attester, &note, &checkpoint, &receipt), "another writer's index");
    let earlier = Checkpoint { tpm: Some(Hash32([7; 32])), ..checkpoint };
    assert!(!named.vouches(&writer, &note, &earlier, &receipt), "another value before it");
    assert!(!named.vouches(&writer, &note[1..], &checkpoint, &receipt));
    assert!(!named.vouches(&writer, &note, &checkpoint, &note));
    assert!(!named.vouches(&writer, &note, &checkpoint, &[receipt, vec![0]].concat()));
}

#[test]
fn receipts_and_words_are_put_together_as_they_are_read_and_no_longer_ones_are() {
    let tpm = tpm();
    let (mut world, _) = served(&tpm);
    let disk = world.disk.clone();
    let writer: P256Public = let_in(&mut world, &disk, disk.checkpoint().held_after().unwrap().0)[0].1.writer;
    let (mut tpm, purpose) = (tpm.borrow_mut(), Hash32([6; 32]));
    let named = tpm.named();
    let split = |whole: &[u8]| {
        let (attest, signature) = whole.split_at(whole.len() - P256Signature::LEN);
        (attest.to_vec(), P256Signature::from_slice(signature).unwrap())
    };
    let word = tpm.word(&purpose.0);
    let (attest, signature) = split(&word);
    assert_eq!(join_word(&attest, &signature), word);
    assert_eq!(named.says(&writer, &purpose, &word), Ok(disk.checkpoint().held_after().unwrap()));

    let receipt = tpm.receipt(&disk.note);
    let (attest, signature) = split(&receipt[disk.note.len()..]);
    assert_eq!(join_receipt(&disk.note, &attest, &signature), receipt);
    let longest = RECEIPT_BYTES_MAX - attest.len() - P256Signature::LEN;
    for (bytes, is_read) in [(longest - 1, true), (longest, true), (longest + 1, false)] {
        let note = vec![b'.'; bytes];
        let receipt = join_receipt(&note, &attest, &signature);
        assert_eq!(named.vouches(&writer, &note, &disk.checkpoint(), &receipt), is_read, "{bytes} bytes of note");
    }
}

#[test]
fn a_tpm_belongs_to_its_level_and_what_a_deployment_goes_on_from_to_a_tpm() {
    let tpm = tpm();
    let world = World::with_tpm(1, &tpm);
    let present = &world.configuration;
    let with = |change: &dyn Fn(&mut Configuration)| {
        let mut next = present.clone();
        change(&mut next);
        next
    };
    assert_eq!(present.check(), Ok(()));
    let refused: [&dyn Fn(&mut Configuration); 5] = [
        &|next| next.tpm = None,
        &|next| (next.anchor, next.floor) = (AnchorLevel::L1, AnchorLevel::L1),
        &|next| next.tpm.as_mut().unwrap().index = 0x017f_ffff,
        &|next| next.tpm.as_mut().unwrap().index = 0x01c0_0000,
        &|next| next.tpm.as_mut().unwrap().attester.0[0] = 2,
    ];
    for change in refused {
        assert_eq!(with(change).check(), Err(ConfigurationError::Tpm));
    }
    let bases: [&dyn Fn(&mut Configuration); 2] = [&|next| next.base = Some(Hash32([0; 32])), &|next| {
        (next.anchor, next.floor, next.tpm) = (AnchorLevel::L1, AnchorLevel::L1, None);
        next.base = Some(Hash32([1; 32]));
    }];
    for change in bases {
        assert_eq!(with(change).check(), Err(ConfigurationError::Base));
    }
    let moved: [&dyn Fn(&mut Configuration); 2] = [&|next| next.tpm.as_mut().unwrap().index += 1, &|next| {
        next.tpm.as_mut().unwrap().attester = SoftwareTpm::new().named().attester
    }];
    for change in moved {
        assert_eq!(present.check_succession(&with(change)), Ok(()), "the operators' to order");
    }
    let lower = with(&|next| (next.anchor, next.floor, next.tpm) = (AnchorLevel::L1, AnchorLevel::L1, None));
    assert_eq!(present.check_succession(&lower), Err(SuccessionError::Floor));
    assert_eq!(lower.check_succession(present), Ok(()));
    let based = with(&|next| next.base = Some(Hash32([1; 32])));
    assert_eq!(present.check_succession(&based), Err(SuccessionError::Base), "a restore's");
}
