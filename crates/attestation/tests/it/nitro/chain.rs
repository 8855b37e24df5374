//! What the certificate chain must be.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use pinseal_attestation::forge::{
    BASIC_CONSTRAINTS, Certificate, ECDSA_SHA384, Ext, KEY_USAGE, KEYS, NOW, P384, Plan, STRANGER, basic_constraints,
    key_info, name, sequence, time, tlv,
};
use pinseal_attestation::verify::nitro::{
    CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, CertificateError, NitroError, NitroField, NitroRoot, authenticate,
};
use pinseal_protocol::ids::UnixSeconds;

use super::{check, refused};

/// Places in [`refused`]'s chain.
const PLACES: std::ops::RangeInclusive<usize> = 0..=4;
const LEAF: usize = 4;

fn wrong(place: usize, reason: CertificateError) -> NitroError {
    NitroError::Certificate { place: u8::try_from(place).unwrap(), reason }
}

/// Bending the certificate at each of `places` gives `reason` there.
#[track_caller]
fn refused_at(places: impl IntoIterator<Item = usize>, bend: impl Fn(&mut Certificate), reason: CertificateError) {
    for place in places {
        refused(|plan| bend(&mut plan.certificates[place]), wrong(place, reason));
    }
}

#[test]
fn a_chain_of_every_length_within_the_bound_is_accepted() {
    for issuers in 0..=CERTIFICATES_MAX - 2 {
        check(&mut Plan::new(issuers)).unwrap();
    }
}

#[test]
fn every_link_must_be_valid_now() {
    for place in PLACES {
        let span = |from: u64, to: u64| {
            let mut plan = Plan::new(3);
            plan.certificates[place].not_before = time(from);
            plan.certificates[place].not_after = time(to);
            check(&mut plan)
        };
        assert!(span(NOW + 60, NOW + 70).is_ok());
        assert_eq!(span(NOW + 61, NOW + 70).unwrap_err(), wrong(place, CertificateError::NotYetValid));
        assert!(span(NOW - 10, NOW).is_ok());
        assert_eq!(span(NOW - 10, NOW - 1).unwrap_err(), wrong(place, CertificateError::Expired));
    }
}

#[test]
fn another_root_is_refused_before_anything_of_it_is_read() {
    let mut plan = Plan::new(3);
    let document = plan.document();
    assert_eq!(authenticate(&document, &NitroRoot::AWS_G1, UnixSeconds(NOW)), Err(NitroError::RootUnknown));
    // The same name and key, another serial number.
    let root = plan.root();
    let mut other = Plan::new(3);
    other.certificates[0].serial = tlv(0x02, &[0x11]);
    assert_eq!(authenticate(&other.document(), &root, UnixSeconds(NOW)), Err(NitroError::RootUnknown));
    // A stranger's chain behind the real root.
    let mut spliced = Plan::new(3);
    spliced.certificates[1].signer = STRANGER;
    spliced.build();
    spliced.built[0] = plan.built[0].clone();
    assert_eq!(check(&mut spliced).unwrap_err(), wrong(1, CertificateError::Signature));
}

#[test]
fn the_order_is_root_to_leaf_and_nothing_else() {
    let swapped = |left: usize, right: usize| {
        move |plan: &mut Plan| {
            plan.build();
            plan.built.swap(left, right);
        }
    };
    for (left, right) in [(1, 2), (2, 3)] {
        refused(swapped(left, right), wrong(left, CertificateError::Issuer));
    }
    let root = Plan::new(3).root();
    let mut reversed = Plan::new(3);
    reversed.build();
    reversed.built[..LEAF].reverse();
    assert_eq!(authenticate(&reversed.document(), &root, UnixSeconds(NOW)), Err(NitroError::RootUnknown));
    refused(swapped(3, LEAF), wrong(3, CertificateError::Issuer));
}

#[test]
fn a_truncated_or_lengthened_chain_is_refused() {
    for place in 1..LEAF {
        refused(
            |plan| {
                plan.build();
                plan.built.remove(place);
            },
            wrong(place, CertificateError::Issuer),
        );
    }
    // Without the root, without the leaf, with only one of them.
    let mut plan = Plan::new(3);
    let root = plan.root();
    let refuse = |built: Vec<Vec<u8>>, expected: NitroError| {
        let mut cut = Plan::new(3);
        cut.built = built;
        assert_eq!(authenticate(&cut.document(), &root, UnixSeconds(NOW)), Err(expected));
    };
    refuse(plan.built[1..].to_vec(), NitroError::RootUnknown);
    refuse(plan.built[..LEAF].to_vec(), wrong(3, CertificateError::BasicConstraints));
    refuse(vec![plan.built[0].clone()], NitroError::FieldInvalid(NitroField::CaBundle));
    // An issuer twice, another one again, the leaf among the issuers, the root at the end. The first issuers allow no longer path.
    for (place, extra, reason) in [
        (2, 1, wrong(1, CertificateError::PathLength)),
        (3, 1, wrong(1, CertificateError::PathLength)),
        (LEAF, LEAF, wrong(1, CertificateError::PathLength)),
        (LEAF, 0, wrong(1, CertificateError::PathLength)),
        // Every link fits where the root, which allows any path, comes twice.
        (1, 0, wrong(1, CertificateError::SelfIssued)),
    ] {
        let mut longer = plan.built.clone();
        longer.insert(place, plan.built[extra].clone());
        refuse(longer, reason);
    }
    // Issuers that allow any path do not make an extra certificate fit.
    for (place, extra, reason) in [
        (2, 1, CertificateError::Issuer),
        (3, 1, CertificateError::Issuer),
        (LEAF, LEAF, CertificateError::BasicConstraints),
        (LEAF, 0, CertificateError::SelfIssued),
    ] {
        let mut loose = Plan::new(3);
        (1..LEAF).for_each(|place| loose.certificates[place].constraints(true, basic_constraints(true, None)));
        loose.build();
        loose.built.insert(place, loose.built[extra].clone());
        assert_eq!(check(&mut loose).unwrap_err(), wrong(place, reason));
    }
}

#[test]
fn nothing_below_the_root_issues_itself() {
    for place in 1..=LEAF {
        let itself = |plan: &mut Plan| {
            plan.certificates[place].subject = name(place - 1);
            if place < LEAF {
                plan.certificates[place + 1].issuer = name(place - 1);
            }
        };
        refused(itself, wrong(place, CertificateError::SelfIssued));
    }
}

#[test]
fn more_certificates_than_the_bound_are_refused() {
    refused(
        |plan| {
            plan.build();
            let filler = plan.built[1].clone();
            plan.built.splice(1..1, std::iter::repeat_n(filler, CERTIFICATES_MAX - 4));
            assert_eq!(plan.built.len(), CERTIFICATES_MAX + 1);
        },
        NitroError::FieldInvalid(NitroField::CaBundle),
    );
}

#[test]
fn basic_constraints_say_who_issues() {
    use CertificateError::BasicConstraints;
    // Issuers: there, critical, CA.
    refused_at(0..LEAF, |cert| drop(cert.extensions.remove(0)), BasicConstraints);
    refused_at(0..LEAF, |cert| cert.constraints(true, basic_constraints(false, None)), BasicConstraints);
    refused_at(0..LEAF, |cert| cert.constraints(false, basic_constraints(true, None)), BasicConstraints);
    // The leaf: there, not CA, no path length.
    refused_at([LEAF], |cert| drop(cert.extensions.remove(0)), BasicConstraints);
    refused_at([LEAF], |cert| cert.constraints(true, basic_constraints(true, None)), BasicConstraints);
    refused_at([LEAF], |cert| cert.constraints(true, basic_constraints(false, Some(0))), BasicConstraints);
}

#[test]
fn a_path_is_no_longer_than_each_issuer_allows() {
    for (place, below) in [(0, 3), (1, 2), (2, 1), (3, 0)] {
        let limit = |most: u8| {
            let mut plan = Plan::new(3);
            plan.certificates[place].constraints(true, basic_constraints(true, Some(most)));
            check(&mut plan)
        };
        assert!(limit(below).is_ok() && limit(below + 1).is_ok());
        if below > 0 {
            assert_eq!(limit(below - 1).unwrap_err(), wrong(place, CertificateError::PathLength));
        }
    }
    // Two bytes are more than any path, and no reason to read less carefully.
    let long = sequence(&[&tlv(0x01, &[0xff]), &tlv(0x02, &[0x01, 0x00])]);
    refused_at([1], |cert| cert.constraints(true, long.clone()), CertificateError::Malformed);
}

#[test]
fn key_usage_says_what_a_key_may_sign() {
    use CertificateError::KeyUsage;
    refused_at(PLACES, |cert| drop(cert.extensions.remove(1)), KeyUsage);
    // Everything but certificates; only revocation lists.
    refused_at(0..LEAF, |cert| cert.usage(1, 0x82), KeyUsage);
    refused_at(0..LEAF, |cert| cert.usage(7, 0x80), KeyUsage);
    // Certificates; certificates too; everything but data.
    refused_at([LEAF], |cert| cert.usage(2, 0x04), KeyUsage);
    refused_at([LEAF], |cert| cert.usage(2, 0x84), KeyUsage);
    refused_at([LEAF], |cert| cert.usage(6, 0x40), KeyUsage);
}

#[test]
fn an_unknown_critical_extension_is_refused_and_another_is_not() {
    let unknown = |critical| Ext::new(&[0x55, 0x1d, 0x1e], critical, tlv(0x30, &[]));
    refused_at(PLACES, |cert| cert.extensions.push(unknown(true)), CertificateError::CriticalExtension);
    let mut plan = Plan::new(3);
    plan.certificates.iter_mut().for_each(|cert| cert.extensions.push(unknown(false)));
    check(&mut plan).unwrap();
}

#[test]
fn an_extension_is_there_once() {
    let repeat = |oid: &'static [u8], value: Vec<u8>| {
        move |cert: &mut Certificate| cert.extensions.push(Ext::new(oid, true, value.clone()))
    };
    let constraints = basic_constraints(true, None);
    refused_at(PLACES, repeat(BASIC_CONSTRAINTS, constraints), CertificateError::DuplicateExtension);
    refused_at(PLACES, repeat(KEY_USAGE, tlv(0x03, &[1, 0x86])), CertificateError::DuplicateExtension);
    refused_at(PLACES, repeat(&[0x55, 0x1d, 0x0e], vec![4, 0]), CertificateError::DuplicateExtension);
}

#[test]
fn only_version_3_and_no_unique_ids() {
    refused_at(PLACES, |cert| cert.version = tlv(0xa0, &tlv(0x02, &[1])), CertificateError::Version);
    // Version 1 is written by leaving it out.
    refused_at(PLACES, |cert| cert.version = Vec::new(), CertificateError::Version);
    refused_at(PLACES, |cert| cert.version = tlv(0xa0, &tlv(0x02, &[3])), CertificateError::Malformed);
    for tag in [0x81, 0x82] {
        refused_at(PLACES, |cert| cert.unique_ids = tlv(tag, &[0, 1]), CertificateError::Malformed);
    }
}

#[test]
fn certificates_are_signed_with_ecdsa_and_sha384() {
    let algorithm = |oid: &[u8], parameters: &[u8]| sequence(&[&tlv(0x06, oid), parameters]);
    let others = [
        // ECDSA with SHA-256, RSA with SHA-384, and the right one with parameters.
        algorithm(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], &[]),
        algorithm(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], &[5, 0]),
        algorithm(ECDSA_SHA384, &[5, 0]),
    ];
    for other in others {
        let both = |cert: &mut Certificate| {
            cert.inner_algorithm.clone_from(&other);
            cert.outer_algorithm.clone_from(&other);
        };
        refused_at(PLACES, both, CertificateError::Algorithm);
        // The outer field is under no signature; it must say the same as the inner one.
        refused_at(PLACES, |cert| cert.outer_algorithm.clone_from(&other), CertificateError::Algorithm);
        refused_at(PLACES, |cert| cert.inner_algorithm.clone_from(&other), CertificateError::Algorithm);
    }
}

#[test]
fn keys_are_uncompressed_points_of_p384() {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let p256 = p256.public_key().as_der().unwrap().as_ref().to_vec();
    let point = KEYS[1].public().to_vec();
    let compressed = [&[2 + (point[96] & 1)], &point[1..49]].concat();
    let hybrid = [&[6 + (point[96] & 1)], &point[1..]].concat();
    let infos = [
        p256,
        key_info(P384, &compressed),
        key_info(P384, &hybrid),
        key_info(P384, &[0]),
        key_info(P384, &[point.as_slice(), &[0]].concat()),
        // A point of P-384 said to lie on P-521.
        key_info(&[0x2b, 0x81, 0x04, 0x00, 0x23], &point),
    ];
    for info in infos {
        refused_at(PLACES, |cert| cert.key_info.clone_from(&info), CertificateError::Key);
    }
    // A point off the curve verifies nothing, neither the next certificate nor the document.
    let mut off = point.clone();
    off[96] ^= 1;
    for place in PLACES {
        let next = if place == LEAF { NitroError::Signature } else { wrong(place + 1, CertificateError::Signature) };
        refused(|plan| plan.certificates[place].key_info = key_info(P384, &off), next);
    }
}

#[test]
fn names_chain_and_signatures_fit() {
    refused_at(1..=LEAF, |cert| cert.issuer = name(9), CertificateError::Issuer);
    refused_at(1..=LEAF, |cert| cert.signer = STRANGER, CertificateError::Signature);
    // Signed by itself, or by a certificate that is in the chain but not before it.
    for place in 2..=LEAF {
        refused(|plan| plan.certificates[place].signer = place, wrong(place, CertificateError::Signature));
        refused(|plan| plan.certificates[place].signer = place - 2, wrong(place, CertificateError::Signature));
    }
    // The same name in another string type is another name.
    let printable = |cert: &mut Certificate| {
        let tag = cert.issuer.iter().position(|byte| *byte == 0x0c).unwrap();
        cert.issuer[tag] = 0x13;
    };
    refused_at(1..=LEAF, printable, CertificateError::Issuer);
}

/// The document itself is signed by the leaf, not by anybody above it.
#[test]
fn only_the_leaf_signs_documents() {
    for signer in [0, 1, 2, 3, STRANGER] {
        refused(|plan| plan.signer = signer, NitroError::Signature);
    }
}

#[test]
fn certificates_are_der_and_nothing_around_it() {
    use CertificateError::{Malformed, NotCanonical};
    refused_at(PLACES, |cert| cert.after = |der| [der.as_slice(), &[0]].concat(), Malformed);
    refused_at(PLACES, |cert| cert.after = |der| der[..der.len() - 1].to_vec(), Malformed);
    // A length in more bytes than it needs, and one of indefinite form.
    let long = |der: Vec<u8>| [&[0x30, 0x83, 0x00, der[2], der[3]], &der[4..]].concat();
    let indefinite = |der: Vec<u8>| [&[0x30, 0x80], &der[4..], &[0, 0]].concat();
    refused_at(PLACES, |cert| cert.after = long, Malformed);
    refused_at(PLACES, |cert| cert.after = indefinite, Malformed);
    // True as another byte than 0xff, and a default spelled out.
    refused_at(PLACES, |cert| cert.extensions[0].critical = tlv(0x01, &[0x01]), Malformed);
    refused_at(PLACES, |cert| cert.extensions[2].critical = tlv(0x01, &[0x00]), NotCanonical);
    refused_at([LEAF], |cert| cert.constraints(true, sequence(&[&tlv(0x01, &[0])])), NotCanonical);
    // A bit string whose unused bits are set, or which ends in zeros although its bits have names.
    refused_at([LEAF], |cert| cert.usage(6, 0xc1), NotCanonical);
    refused_at([LEAF], |cert| cert.usage(0, 0xc0), NotCanonical);
    // Before 2050 times are written with two digits for the year.
    let general = |at: u64| tlv(0x18, &[b"20", &time(at)[2..]].concat());
    refused_at(PLACES, |cert| cert.not_before = general(NOW - 3600), NotCanonical);
    refused_at(PLACES, |cert| cert.not_after = tlv(0x17, b"2701010000Z"), Malformed);
    refused_at(PLACES, |cert| cert.serial = tlv(0x02, &[0x00, 0x10]), Malformed);
}

/// The pinned root's own signature proves nothing and is not looked at.
#[test]
fn a_signature_in_a_certificate_is_der_too() {
    let links = 1..=LEAF;
    let refused_at = |bend: fn(Vec<u8>) -> Vec<u8>, reason| {
        refused_at(links.clone(), |cert| cert.signature = bend, reason);
    };
    // Unused bits, then around the sequence of two integers: a byte after it, a longer length, a zero before r, nothing.
    refused_at(|bits| [&[1], &bits[1..]].concat(), CertificateError::Malformed);
    refused_at(|bits| [bits.as_slice(), &[0]].concat(), CertificateError::Signature);
    refused_at(|bits| [&[0, 0x30, 0x81], &bits[2..]].concat(), CertificateError::Signature);
    refused_at(
        |bits| [&[0, 0x30, bits[2] + 1, 0x02, bits[4] + 1, 0], &bits[5..]].concat(),
        CertificateError::Signature,
    );
    refused_at(|_| vec![0], CertificateError::Signature);
    refused_at(|_| vec![0, 0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00], CertificateError::Signature);
}

#[test]
fn an_oversized_or_empty_certificate_is_refused() {
    let pad = |cert: &mut Certificate| {
        cert.extensions.push(Ext::new(&[0x55, 0x1d, 0x1f], false, vec![0; CERTIFICATE_BYTES_MAX]));
    };
    refused(|plan| pad(&mut plan.certificates[1]), NitroError::FieldInvalid(NitroField::CaBundle));
    refused(|plan| pad(&mut plan.certificates[LEAF]), NitroError::FieldInvalid(NitroField::Certificate));
    refused(|plan| plan.certificates[1].after = |_| Vec::new(), NitroError::FieldInvalid(NitroField::CaBundle));
    refused(|plan| plan.certificates[LEAF].after = |_| Vec::new(), NitroError::FieldInvalid(NitroField::Certificate));
}

/// Certificates lie inside the signed payload, so a flipped bit in a document never gets as far as this: here the leaf's holder signs
/// over the bent chain.
#[test]
fn every_flipped_bit_of_a_certificate_is_refused_even_in_a_signed_document() {
    let mut plan = Plan::new(1);
    let root = plan.root();
    let good = plan.built.clone();
    assert!(authenticate(&plan.document(), &root, UnixSeconds(NOW)).is_ok());
    for place in 0..good.len() {
        for bit in 0..good[place].len() * 8 {
            plan.built = good.clone();
            plan.built[place][bit / 8] ^= 1 << (bit % 8);
            let refused = authenticate(&plan.document(), &root, UnixSeconds(NOW));
            assert!(refused.is_err(), "certificate {place}, byte {}, bit {}", bit / 8, bit % 8);
        }
    }
}
