//! A document that AWS signed.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use pinseal_attestation::Document;
use pinseal_attestation::verify::nitro::{
    CertificateError, NitroDocument, NitroError, NitroImage, NitroImages, NitroRoot, Pcr, PcrIndex, authenticate,
};
use pinseal_attestation::verify::{Expected, Policy, VerifyError, verify};
use pinseal_protocol::cbor;
use pinseal_protocol::ids::{Hash32, Nonce, UnixSeconds};

/// Three seconds after the leaf was made.
pub(super) const TIME: u64 = 1_736_179_625;
/// The leaf's life: from these seconds on, and to those.
const LEAF: (u64, u64) = (1_736_179_622, 1_736_190_425);
const LEAF_PLACE: u8 = 4;

const PCR0: &str = "8bb159f202bb95d6d4d98e0e103918246cea734f1d57cd263e4fd56075ed53f6fa8c68854817a32749a241e11874c26b";
const PCR1: &str = "3b4a7e1b5f13c5a1000b3ed32ef8995ee13e9876329f9bc72650b918329ef9cf4e2e4d1e1e37375dab0ba56ba0974d03";
const PCR2: &str = "f4e86b12ad3df5f9fea962ff706c23ee190b463740a32f1a679a3cd1070a7731ddd83328fe3db5e8143ea94344b6fb95";

pub(super) fn bytes() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/attestation/nitro/aws-eu-central-1.cose");
    std::fs::read(path).unwrap()
}

fn at(document: &[u8], now: u64) -> Result<NitroDocument, NitroError> {
    authenticate(document, &NitroRoot::AWS_G1, UnixSeconds(now))
}

fn images() -> NitroImages {
    let [pcr0, pcr1, pcr2] = [PCR0, PCR1, PCR2].map(|hex| Pcr::from_hex(hex).unwrap());
    NitroImages::new(vec![NitroImage::new(pcr0, pcr1, pcr2).unwrap()]).unwrap()
}

#[test]
fn the_document_is_genuine_and_says_what_it_says() {
    let document = at(&bytes(), TIME).unwrap();
    assert_eq!(document.module_id, "i-0bee92034f3d60691-enc01943c5eaab3ad6a");
    assert_eq!(document.time_milliseconds, 1_736_179_625_472);
    assert_eq!(document.time(), UnixSeconds(TIME));
    assert_eq!(document.pcrs.len(), 16);
    assert_eq!(document.pcr(PcrIndex::new(15).unwrap()), Some([0; 48].as_slice()));
    assert_eq!(document.public_key.as_ref().map(Vec::len), Some(294));
    assert_eq!((&document.user_data, &document.nonce), (&None, &None));
    assert!(images().find(&document).is_ok());
}

#[test]
fn without_nonce_and_user_data_it_is_evidence_for_nobody() {
    let cose = bytes();
    let expected = Expected {
        user_data: Hash32([0; 32]),
        nonce: Nonce([0; 32]),
        now: UnixSeconds(TIME),
        age_seconds_max: u64::MAX,
    };
    let error = verify(&cbor::to_vec(&Document::Nitro { cose }), &Policy::nitro(images()), &expected).unwrap_err();
    assert_eq!(error, VerifyError::Nitro(NitroError::UserDataMissing));
}

#[test]
fn the_pinned_hash_is_that_of_the_roots_der() {
    let certificate = bytes();
    // Where the bundle begins: key, array of four, 533 bytes.
    let head = [b"hcabundle".as_slice(), &[0x84, 0x59, 0x02, 0x15]].concat();
    let place = certificate.windows(head.len()).position(|window| window == head).unwrap() + head.len();
    let root: [u8; 32] = digest(&SHA256, &certificate[place..place + 533]).as_ref().try_into().unwrap();
    assert_eq!(hex(&root), "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
    assert!(authenticate(&certificate, &NitroRoot::made_for_a_test(root), UnixSeconds(TIME)).is_ok());
    for bit in 0..256 {
        let mut other = root;
        other[bit / 8] ^= 1 << (bit % 8);
        let refused = authenticate(&certificate, &NitroRoot::made_for_a_test(other), UnixSeconds(TIME));
        assert_eq!(refused, Err(NitroError::RootUnknown));
    }
}

#[test]
fn it_is_good_for_the_leafs_life_and_not_a_second_longer() {
    let document = bytes();
    let leaf = |reason| Err(NitroError::Certificate { place: LEAF_PLACE, reason });
    // A minute of difference between clocks is tolerated at the beginning, nothing at the end.
    assert!(at(&document, LEAF.0 - 60).is_ok());
    assert_eq!(at(&document, LEAF.0 - 61), leaf(CertificateError::NotYetValid));
    assert!(at(&document, LEAF.1).is_ok());
    assert_eq!(at(&document, LEAF.1 + 1), leaf(CertificateError::Expired));
    for (now, place, reason) in [
        (0, 0, CertificateError::NotYetValid),
        (u64::MAX, 0, CertificateError::Expired),
        // After the leaf, the instance's, the zone's and the region's certificate expire one by one.
        (1_736_265_131, 3, CertificateError::Expired),
        (1_736_623_217, 2, CertificateError::Expired),
        (1_737_515_554, 1, CertificateError::Expired),
        (2_519_044_086, 0, CertificateError::Expired),
    ] {
        assert_eq!(at(&document, now), Err(NitroError::Certificate { place, reason }), "{now}");
    }
}

#[test]
fn every_truncation_and_trailing_byte_is_refused() {
    let document = bytes();
    for length in 0..document.len() {
        assert_eq!(at(&document[..length], TIME), Err(NitroError::CoseMalformed), "{length}");
    }
    for tail in 0..=u8::MAX {
        let longer = [document.as_slice(), &[tail]].concat();
        assert_eq!(at(&longer, TIME), Err(NitroError::CoseNotCanonical), "{tail}");
    }
}

/// One bit of every byte: the same one, so that a test a bit flips them all, side by side.
fn refuses_flips_of(bit: usize) {
    let good = bytes();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 1 << bit;
        match at(&bad, TIME) {
            Err(error) => *reasons.entry(error.code()).or_default() += 1,
            Ok(_) => panic!("bit {bit} of byte {byte}"),
        }
    }
    println!("bit {bit} of {} bytes: {reasons:?}", good.len());
    assert_eq!(good.len(), 4_781);
    // The flips went as deep as they could: into certificates' signatures and the document's own.
    assert!(reasons["certificate_signature"] > good.len() / 4 && reasons["signature_wrong"] > good.len() / 10);
}

macro_rules! flipped_bits {
    ($($name:ident $bit:literal)+) => {
        $(
            #[test]
            fn $name() {
                refuses_flips_of($bit);
            }
        )+

        #[test]
        fn every_bit_is_flipped() {
            assert_eq!([$($bit),+], [0, 1, 2, 3, 4, 5, 6, 7]);
        }
    };
}

flipped_bits! {
    every_flipped_bit_0_is_refused 0
    every_flipped_bit_1_is_refused 1
    every_flipped_bit_2_is_refused 2
    every_flipped_bit_3_is_refused 3
    every_flipped_bit_4_is_refused 4
    every_flipped_bit_5_is_refused 5
    every_flipped_bit_6_is_refused 6
    every_flipped_bit_7_is_refused 7
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
