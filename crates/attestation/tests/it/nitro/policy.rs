//! What makes a genuine document evidence: the image, the manifest, the nonce, the time.

use pinseal_attestation::forge::{NOW, PCRS, Plan, bytes, image, map, text, unsigned};
use pinseal_attestation::verify::nitro::{
    IMAGES_MAX, NitroError, NitroImage, NitroImageError, NitroImages, NitroImagesError, NitroRoot, Pcr, PcrIndex,
};
use pinseal_attestation::verify::{
    DevelopmentMeasurements, DevelopmentMode, Expected, NITRO_TEST_STATEMENT, Policy, Verified, VerifyError, verify,
};
use pinseal_attestation::{Document, EvidenceKind, produce};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Measurement, Nonce, UnixSeconds};

const AGE_SECONDS_MAX: u64 = 300;

fn expected() -> Expected {
    Expected {
        user_data: Hash32([2; 32]),
        nonce: Nonce([3; 32]),
        now: UnixSeconds(NOW),
        age_seconds_max: AGE_SECONDS_MAX,
    }
}

fn policy(image: NitroImage, root: NitroRoot) -> Policy {
    Policy::nitro_under_test_root(NitroImages::new(vec![image]).unwrap(), root)
}

fn judge_at(plan: &mut Plan, image: NitroImage, expected: &Expected) -> Result<Verified, VerifyError> {
    let root = plan.root();
    verify(&cbor::to_vec(&Document::Nitro { cose: plan.document() }), &policy(image, root), expected)
}

fn judge(bend: impl FnOnce(&mut Plan)) -> Result<Verified, VerifyError> {
    let mut plan = Plan::new(2);
    bend(&mut plan);
    judge_at(&mut plan, image(), &expected())
}

fn with_pcrs(pcrs: &[(u64, Vec<u8>)]) -> Result<Verified, VerifyError> {
    let raw = map(&pcrs.iter().map(|(index, value)| (unsigned(*index), bytes(value))).collect::<Vec<_>>());
    judge(|plan| plan.bend = Box::new(move |fields| fields[3] = (text("pcrs"), raw.clone())))
}

#[test]
fn evidence_of_a_trusted_image_for_this_manifest_and_nonce_is_accepted() {
    let verified = judge(|_| ()).unwrap();
    assert_eq!(verified.kind, EvidenceKind::Nitro);
    assert_eq!(verified.measurement, image().measurement());
    assert_eq!(verified.time, UnixSeconds(NOW));
    assert_eq!(verified.statement, NITRO_TEST_STATEMENT);
    assert_eq!(verified.nitro.unwrap().module_id, "i-0123456789abcdef0-enc0123456789abcdef");
}

#[test]
fn each_kind_of_evidence_is_refused_by_the_others_policy() {
    let mut plan = Plan::new(2);
    let root = plan.root();
    let nitro = cbor::to_vec(&Document::Nitro { cose: plan.document() });
    let any = DevelopmentMode::i_understand_this_proves_nothing();
    let development = Policy::development(any, DevelopmentMeasurements::Any);
    assert_eq!(verify(&nitro, &development, &expected()), Err(VerifyError::NitroEvidenceRefused));
    let software = produce::software(image().measurement(), Hash32([2; 32]), Nonce([3; 32]), UnixSeconds(NOW));
    let refused = verify(&software, &policy(image(), root), &expected());
    assert_eq!(refused, Err(VerifyError::SoftwareEvidenceRefused));
    // AWS's own policy does not know the forged root.
    let aws = Policy::nitro(NitroImages::new(vec![image()]).unwrap());
    assert_eq!(verify(&nitro, &aws, &expected()), Err(VerifyError::Nitro(NitroError::RootUnknown)));
}

#[test]
fn the_document_in_its_envelope_has_one_encoding() {
    let mut plan = Plan::new(2);
    let policy = policy(image(), plan.root());
    let cose = plan.document();
    let good = cbor::to_vec(&Document::Nitro { cose: cose.clone() });
    assert!(verify(&good, &policy, &expected()).is_ok());
    // The bare document, trailing bytes, a second field, another kind.
    assert!(matches!(verify(&cose, &policy, &expected()), Err(VerifyError::Document(_))));
    let bent: [Vec<u8>; 3] = [
        [good.as_slice(), &[0]].concat(),
        [&[0x82, 0x01, 0x82], &good[3..], &[0x00]].concat(),
        [&[0x82, 0x02], &good[2..]].concat(),
    ];
    for bad in bent {
        assert!(matches!(verify(&bad, &policy, &expected()), Err(VerifyError::Document(_))));
    }
    for bit in 0..6 * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&bad, &policy, &expected()).is_err(), "bit {bit}");
    }
}

#[test]
fn user_data_is_the_manifests_hash_and_nonce_the_clients() {
    let refuse = |bend: fn(&mut Plan), error: VerifyError| assert_eq!(judge(bend), Err(error));
    refuse(|plan| plan.user_data = None, NitroError::UserDataMissing.into());
    refuse(|plan| plan.nonce = None, NitroError::NonceMissing.into());
    for length in [0, 1, 31, 33, 64] {
        let mut plan = Plan::new(2);
        plan.user_data = Some(vec![2; length]);
        assert_eq!(judge_at(&mut plan, image(), &expected()), Err(VerifyError::UserData), "{length}");
        let mut plan = Plan::new(2);
        plan.nonce = Some(vec![3; length]);
        assert_eq!(judge_at(&mut plan, image(), &expected()), Err(VerifyError::Nonce), "{length}");
    }
    for bit in 0..256 {
        let flip = |mut bytes: [u8; 32]| {
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        let other = Expected { user_data: Hash32(flip([2; 32])), ..expected() };
        assert_eq!(judge_at(&mut Plan::new(0), image(), &other), Err(VerifyError::UserData));
        let other = Expected { nonce: Nonce(flip([3; 32])), ..expected() };
        assert_eq!(judge_at(&mut Plan::new(0), image(), &other), Err(VerifyError::Nonce));
    }
    // Swapped, they are neither.
    let swap = |plan: &mut Plan| core::mem::swap(&mut plan.user_data, &mut plan.nonce);
    refuse(swap, VerifyError::UserData);
}

#[test]
fn age_and_future_have_exact_bounds_and_no_time_overflows() {
    let at = |milliseconds: u64| judge(|plan| plan.milliseconds = milliseconds);
    assert!(at((NOW - AGE_SECONDS_MAX) * 1000).is_ok());
    assert_eq!(at((NOW - AGE_SECONDS_MAX) * 1000 - 1), Err(VerifyError::Stale));
    assert!(at((NOW + 60) * 1000 + 999).is_ok());
    assert_eq!(at((NOW + 61) * 1000), Err(VerifyError::Future));
    assert_eq!(at(1), Err(VerifyError::Stale));
    assert_eq!(at(u64::MAX), Err(VerifyError::Future));
    // Seconds taken for milliseconds.
    assert_eq!(at(NOW), Err(VerifyError::Stale));
}

#[test]
fn registers_0_1_and_2_must_all_match() {
    let good = |index: usize| (index as u64, PCRS[index].to_vec());
    assert!(with_pcrs(&[good(0), good(1), good(2)]).is_ok());
    for (index, register) in PCRS.iter().enumerate() {
        let mandatory = PcrIndex::new(index as u64).unwrap();
        let others: Vec<_> = (0..3).filter(|other| *other != index).map(good).collect();
        assert_eq!(with_pcrs(&others), Err(NitroError::PcrMissing(mandatory).into()));
        let replaced = |value: Vec<u8>| with_pcrs(&[others.clone(), vec![(index as u64, value)]].concat());
        assert_eq!(replaced(vec![0; 48]), Err(NitroError::DebugMode(mandatory).into()));
        assert_eq!(replaced(vec![0; 32]), Err(NitroError::DebugMode(mandatory).into()));
        for length in [32, 64] {
            assert_eq!(replaced(vec![register[0]; length]), Err(VerifyError::Measurement));
        }
        for bit in [0, 191, 383] {
            let mut value = register.to_vec();
            value[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(replaced(value), Err(VerifyError::Measurement));
        }
    }
    // Right values in the wrong registers.
    let permuted = [(0, PCRS[1].to_vec()), (1, PCRS[0].to_vec()), (2, PCRS[2].to_vec())];
    assert_eq!(with_pcrs(&permuted), Err(VerifyError::Measurement));
    assert_eq!(with_pcrs(&[(8, vec![8; 48])]), Err(NitroError::PcrMissing(PcrIndex::MANDATORY[0]).into()));
}

#[test]
fn every_image_in_debug_mode_is_refused() {
    let zeros: Vec<_> = (0..16).map(|index| (index, vec![0; 48])).collect();
    assert_eq!(with_pcrs(&zeros), Err(NitroError::DebugMode(PcrIndex::MANDATORY[0]).into()));
    // And cannot be trusted by mistake.
    for index in 0..3 {
        let mut pcrs = PCRS.map(Pcr::new);
        pcrs[index] = Pcr::new([0; 48]);
        let [pcr0, pcr1, pcr2] = pcrs;
        let zero = NitroImageError::Zero(PcrIndex::new(index as u64).unwrap());
        assert_eq!(NitroImage::new(pcr0, pcr1, pcr2), Err(zero));
    }
}

#[test]
fn further_registers_are_compared_where_the_policy_names_them() {
    let index = |number| PcrIndex::new(number).unwrap();
    let judge = |image: NitroImage| judge_at(&mut Plan::new(2), image, &expected());
    let signed = image().and(index(8), Pcr::new([8; 48])).unwrap();
    let verified = judge(signed.clone()).unwrap();
    assert_eq!(verified.measurement, image().measurement(), "the name is of PCR 0, 1 and 2 alone");
    assert_eq!(judge(image().and(index(8), Pcr::new([9; 48])).unwrap()), Err(VerifyError::Measurement));
    assert_eq!(judge(signed.clone().and(index(3), Pcr::new([1; 48])).unwrap()), Err(VerifyError::Measurement));
    assert_eq!(judge(image().and(index(31), Pcr::new([1; 48])).unwrap()), Err(VerifyError::Measurement));
    assert_eq!(signed.and(index(8), Pcr::new([8; 48])), Err(NitroImageError::Twice(index(8))));
    assert_eq!(image().and(index(1), Pcr::new([1; 48])), Err(NitroImageError::Twice(index(1))));
    assert_eq!(image().and(index(3), Pcr::new([0; 48])), Err(NitroImageError::Zero(index(3))));
}

#[test]
fn one_of_several_images_may_match_whole() {
    let mut plan = Plan::new(2);
    let root = plan.root();
    let document = cbor::to_vec(&Document::Nitro { cose: plan.document() });
    let [pcr0, pcr1, pcr2] = PCRS.map(Pcr::new);
    let other = Pcr::new([0xff; 48]);
    let mixed = |images: Vec<NitroImage>| {
        verify(&document, &Policy::nitro_under_test_root(NitroImages::new(images).unwrap(), root), &expected())
    };
    let image = |a, b, c| NitroImage::new(a, b, c).unwrap();
    assert!(mixed(vec![image(other, other, other), image(pcr0, pcr1, pcr2)]).is_ok());
    // The registers of two images do not make a third.
    let parts = vec![image(pcr0, pcr1, other), image(other, other, pcr2), image(pcr0, other, pcr2)];
    assert_eq!(mixed(parts), Err(VerifyError::Measurement));
    assert_eq!(NitroImages::new(Vec::new()), Err(NitroImagesError::Empty));
    assert!(NitroImages::new(vec![image(pcr0, pcr1, pcr2); IMAGES_MAX]).is_ok());
    assert_eq!(NitroImages::new(vec![image(pcr0, pcr1, pcr2); IMAGES_MAX + 1]), Err(NitroImagesError::TooMany));
}

#[test]
fn a_name_in_pinseals_terms_stands_for_all_three_registers() {
    let [pcr0, pcr1, pcr2] = PCRS.map(Pcr::new);
    let name = |a, b, c| NitroImage::new(a, b, c).unwrap().measurement();
    let names = [name(pcr0, pcr1, pcr2), name(pcr1, pcr0, pcr2), name(pcr0, pcr2, pcr1), name(pcr0, pcr1, pcr1)];
    for (place, name) in names.iter().enumerate() {
        assert!(!names[..place].contains(name));
    }
    // SHA-256 over the label and the three values, each after its length; computed elsewhere.
    assert_eq!(names[0], Measurement::from_hex(GOLDEN).unwrap());
}

/// Of registers a0.., a1.., a2...
const GOLDEN: &str = "3102dc541b454c0757c7d31d522f0458c51c282bed9f26a4e9ac3ee225a163ba";

#[test]
fn register_values_are_read_from_96_hex_digits() {
    let text = "Ab".repeat(48);
    assert_eq!(Pcr::from_hex(&text).unwrap(), Pcr::new([0xab; 48]));
    assert_eq!(Pcr::from_hex(&text).unwrap().to_string(), text.to_lowercase());
    for wrong in ["", "ab", &"ab".repeat(47), &"ab".repeat(49), &"xy".repeat(48), &"é".repeat(48), &"+1".repeat(48)] {
        assert_eq!(Pcr::from_hex(wrong), None, "{wrong}");
    }
    assert_eq!(PcrIndex::new(31).map(PcrIndex::value), Some(31));
    assert_eq!(PcrIndex::new(32), None);
    assert_eq!(PcrIndex::new(256), None);
}
