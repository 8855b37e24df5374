//! What the COSE message and its payload must be.

use pinseal_attestation::forge::{
    Fields, KEYS, NOW, PROTECTED, Plan, array, bytes, map, sign1, signature_structure, text, unsigned,
};
use pinseal_attestation::verify::nitro::{
    MODULE_ID_BYTES_MAX, NITRO_DOCUMENT_BYTES_MAX, NitroError, NitroField, PUBLIC_KEY_BYTES_MAX, USER_BYTES_MAX,
    authenticate,
};
use pinseal_protocol::ids::UnixSeconds;

use super::{check, refused};

/// Signs and checks a document with bent fields.
#[track_caller]
fn fields(bend: impl Fn(&mut Fields) + 'static, expected: NitroError) {
    refused(|plan| plan.bend = Box::new(bend), expected);
}

/// Sets a field by its key.
fn set(key: &'static str, value: Vec<u8>) -> impl Fn(&mut Fields) {
    move |fields| fields.iter_mut().find(|(name, _)| *name == text(key)).unwrap().1.clone_from(&value)
}

fn accepts(bend: impl Fn(&mut Fields) + 'static) -> bool {
    let mut plan = Plan::new(3);
    plan.bend = Box::new(bend);
    check(&mut plan).is_ok()
}

#[test]
fn a_correct_document_is_accepted_with_and_without_its_tag() {
    let mut plan = Plan::new(3);
    let root = plan.root();
    let document = plan.document();
    let read = authenticate(&document, &root, UnixSeconds(NOW)).unwrap();
    assert_eq!(read.time(), UnixSeconds(NOW));
    assert_eq!((read.user_data, read.nonce), (Some(vec![2; 32]), Some(vec![3; 32])));
    let tagged = [&[0xd2], document.as_slice()].concat();
    assert!(authenticate(&tagged, &root, UnixSeconds(NOW)).is_ok());
    // Another tag, the tag twice, the tag in two bytes.
    for head in [&[0xd1][..], &[0xd2, 0xd2], &[0xd8, 0x12]] {
        let other = [head, document.as_slice()].concat();
        assert_eq!(authenticate(&other, &root, UnixSeconds(NOW)), Err(NitroError::CoseMalformed), "{head:02x?}");
    }
}

#[test]
fn the_algorithm_is_es384_and_the_header_says_nothing_else() {
    let header = |protected: &[u8], expected: NitroError| {
        refused(|plan| plan.protected = protected.to_vec(), expected);
    };
    // ES256, ES512, EdDSA, RS384, by name, none.
    for algorithm in [&[0x26][..], &[0x38, 0x23], &[0x27], &[0x39, 0x01, 0x01], b"eES384"] {
        header(&[&[0xa1, 0x01], algorithm].concat(), NitroError::Algorithm);
    }
    header(&[0xa0], NitroError::Algorithm);
    header(&[], NitroError::Algorithm);
    // Critical headers, known or not.
    header(&[0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x01], NitroError::CriticalHeader);
    header(&[0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x3a, 0x00, 0x01, 0x11, 0x6f], NitroError::CriticalHeader);
    header(&[0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x61, b'x'], NitroError::CriticalHeader);
    // A label that no registry knows; an empty list.
    header(&[0xa2, 0x01, 0x38, 0x22, 0x02, 0x81, 0x18, 0x63], NitroError::CoseMalformed);
    header(&[0xa2, 0x01, 0x38, 0x22, 0x02, 0x80], NitroError::CoseMalformed);
    // A key id, a content type, an unknown one.
    header(&[0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00], NitroError::ProtectedHeader);
    header(&[0xa2, 0x01, 0x38, 0x22, 0x03, 0x00], NitroError::ProtectedHeader);
    header(&[0xa2, 0x01, 0x38, 0x22, 0x18, 0x63, 0x00], NitroError::ProtectedHeader);
    // The same header in another encoding.
    header(&[0xa1, 0x01, 0x39, 0x00, 0x22], NitroError::ProtectedHeader);
    header(&[0xbf, 0x01, 0x38, 0x22, 0xff], NitroError::ProtectedHeader);
    // The algorithm twice, something after it, not a map.
    header(&[0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22], NitroError::CoseMalformed);
    header(&[0xa1, 0x01, 0x38, 0x22, 0x00], NitroError::CoseNotCanonical);
    header(&[0x80], NitroError::CoseMalformed);
}

#[test]
fn the_unprotected_header_is_empty() {
    let header = |unprotected: &[u8], expected: NitroError| {
        refused(|plan| plan.unprotected = unprotected.to_vec(), expected);
    };
    // The algorithm again, another one, a key id, an unknown one.
    header(&[0xa1, 0x01, 0x38, 0x22], NitroError::UnprotectedHeader);
    header(&[0xa1, 0x01, 0x26], NitroError::UnprotectedHeader);
    header(&[0xa1, 0x04, 0x41, 0x00], NitroError::UnprotectedHeader);
    header(&[0xa1, 0x18, 0x63, 0x00], NitroError::UnprotectedHeader);
    header(&[0xa1, 0x02, 0x81, 0x01], NitroError::CriticalHeader);
    header(&[0xbf, 0xff], NitroError::CoseNotCanonical);
    header(&[0xb8, 0x00], NitroError::CoseNotCanonical);
    header(&[0xf6], NitroError::CoseMalformed);
}

#[test]
fn the_message_is_an_array_of_four_in_shortest_form() {
    let mut plan = Plan::new(3);
    let root = plan.root();
    let payload = plan.payload();
    let signature = KEYS[4].sign_fixed(&signature_structure(PROTECTED, &payload));
    let parts = [bytes(PROTECTED), vec![0xa0], bytes(&payload), bytes(&signature)];
    let read = |document: &[u8]| authenticate(document, &root, UnixSeconds(NOW)).err();
    assert_eq!(read(&array(&parts)), None);
    for length in 0..4 {
        assert_eq!(read(&array(&parts[..length])), Some(NitroError::CoseMalformed));
    }
    assert_eq!(read(&array(&[parts.as_slice(), &[vec![0]]].concat())), Some(NitroError::CoseMalformed));
    let all = parts.concat();
    // Indefinite, and with a longer head.
    assert_eq!(read(&[&[0x9f], all.as_slice(), &[0xff]].concat()), Some(NitroError::CoseNotCanonical));
    assert_eq!(read(&[&[0x98, 4], all.as_slice()].concat()), Some(NitroError::CoseNotCanonical));
    // The payload in chunks.
    let (left, right) = payload.split_at(100);
    let chunks = [&[0x5f], bytes(left).as_slice(), &bytes(right), &[0xff]].concat();
    let chunked = [parts[0].clone(), parts[1].clone(), chunks, parts[3].clone()];
    assert_eq!(read(&array(&chunked)), Some(NitroError::CoseNotCanonical));
    // Detached, empty, not bytes.
    for (payload, expected) in [
        (vec![0xf6], NitroError::PayloadMissing),
        (bytes(&[]), NitroError::PayloadMalformed),
        (text("x"), NitroError::CoseMalformed),
    ] {
        let bent = [parts[0].clone(), parts[1].clone(), payload, parts[3].clone()];
        assert_eq!(read(&array(&bent)), Some(expected));
    }
    assert_eq!(read(&[]), Some(NitroError::CoseMalformed));
}

#[test]
fn the_signature_is_96_bytes_over_exactly_this_message() {
    let mut plan = Plan::new(3);
    let root = plan.root();
    let payload = plan.payload();
    let read = |signature: &[u8]| {
        authenticate(&sign1(PROTECTED, &[0xa0], &bytes(&payload), signature), &root, UnixSeconds(NOW)).err()
    };
    let sign = |message: &[u8]| KEYS[4].sign_fixed(message);
    let good = sign(&signature_structure(PROTECTED, &payload));
    assert_eq!(read(&good), None);
    for length in [0, 64, 95] {
        assert_eq!(read(&good[..length]), Some(NitroError::SignatureLength));
    }
    assert_eq!(read(&[good.as_slice(), &[0]].concat()), Some(NitroError::SignatureLength));
    // r or s of zero, or beyond the group's order.
    for bent in [[&[0; 48], &good[48..]].concat(), [&good[..48], &[0; 48]].concat(), vec![0xff; 96], vec![0; 96]] {
        assert_eq!(read(&bent), Some(NitroError::Signature));
    }
    // Over the bare payload, another context, other external data, another protected header.
    let structure = |context: &str, protected: &[u8], external: &[u8]| {
        array(&[text(context), bytes(protected), bytes(external), bytes(&payload)])
    };
    for message in [
        payload.clone(),
        structure("Signature", PROTECTED, &[]),
        structure("CounterSignature", PROTECTED, &[]),
        structure("Signature1", PROTECTED, &[0]),
        structure("Signature1", &[0xa1, 0x01, 0x26], &[]),
        structure("Signature1", &[], &[]),
    ] {
        assert_eq!(read(&sign(&message)), Some(NitroError::Signature));
    }
}

/// What an attacker without the leaf's key can do to the payload.
#[test]
fn every_field_is_under_the_signature() {
    let other: [(&'static str, Vec<u8>); 8] = [
        ("module_id", text("i-0123456789abcdef0-enc0123456789abcdee")),
        ("timestamp", unsigned(NOW * 1000)),
        (
            "pcrs",
            map(&[(unsigned(0), bytes(&[9; 48])), (unsigned(1), bytes(&[9; 48])), (unsigned(2), bytes(&[9; 48]))]),
        ),
        ("public_key", bytes(&[9])),
        ("user_data", bytes(&[9; 32])),
        ("user_data", vec![0xf6]),
        ("nonce", bytes(&[9; 32])),
        ("nonce", vec![0xf6]),
    ];
    let mut plan = Plan::new(3);
    let root = plan.root();
    let signature = KEYS[4].sign_fixed(&signature_structure(PROTECTED, &plan.payload()));
    for (key, value) in other {
        plan.bend = Box::new(set(key, value));
        let forged = sign1(PROTECTED, &[0xa0], &bytes(&plan.payload()), &signature);
        assert_eq!(authenticate(&forged, &root, UnixSeconds(NOW)), Err(NitroError::Signature), "{key}");
        // It was only the signature: signed again, the same payload is fine.
        assert!(authenticate(&plan.document(), &root, UnixSeconds(NOW)).is_ok(), "{key}");
    }
    // `digest` has one value only; another leaf and another bundle fail in the chain or, of the same keys, at the signature.
    let mut second = Plan::new(3);
    second.certificates[4].serial = vec![0x02, 0x01, 0x55];
    second.certificates[1].serial = vec![0x02, 0x01, 0x56];
    second.root();
    second.built[0] = plan.built[0].clone();
    let forged = sign1(PROTECTED, &[0xa0], &bytes(&second.payload()), &signature);
    assert_eq!(authenticate(&forged, &root, UnixSeconds(NOW)), Err(NitroError::Signature));
}

#[test]
fn mandatory_fields_are_there_and_optional_ones_may_be_null() {
    for (key, field) in [
        ("module_id", NitroField::ModuleId),
        ("digest", NitroField::Digest),
        ("timestamp", NitroField::Timestamp),
        ("pcrs", NitroField::Pcrs),
        ("certificate", NitroField::Certificate),
        ("cabundle", NitroField::CaBundle),
    ] {
        fields(move |fields| fields.retain(|(name, _)| *name != text(key)), NitroError::FieldMissing(field));
        fields(set(key, vec![0xf6]), NitroError::FieldInvalid(field));
        fields(set(key, vec![0xf7]), NitroError::FieldInvalid(field));
    }
    for key in ["public_key", "user_data", "nonce"] {
        assert!(accepts(move |fields| fields.retain(|(name, _)| *name != text(key))), "{key}");
        assert!(accepts(set(key, vec![0xf6])), "{key}");
    }
    // In whatever order.
    assert!(accepts(|fields| fields.reverse()));
}

#[test]
fn unknown_and_repeated_fields_are_refused() {
    fields(|fields| fields.push((text("debug"), vec![0xf5])), NitroError::FieldUnknown);
    fields(|fields| fields.push((text("Nonce"), bytes(&[1]))), NitroError::FieldUnknown);
    fields(|fields| fields.push((unsigned(1), bytes(&[1]))), NitroError::PayloadMalformed);
    fields(|fields| fields.push((bytes(b"x"), bytes(&[1]))), NitroError::PayloadMalformed);
    for place in 0..9 {
        fields(
            move |fields| {
                let again = fields[place].clone();
                fields.push(again);
            },
            NitroError::FieldDuplicate,
        );
    }
    // A null first, a value later.
    fields(
        |fields| {
            let nonce = fields[8].clone();
            set("nonce", vec![0xf6])(fields);
            fields.push(nonce);
        },
        NitroError::FieldDuplicate,
    );
}

/// EC2 instances get such documents under the same root; their registers are the instance's to extend.
#[test]
fn a_nitro_tpm_document_is_no_enclave_document() {
    let rename = |fields: &mut Fields| fields[3].0 = text("nitrotpm_pcrs");
    fields(rename, NitroError::FieldUnknown);
    fields(
        |fields| {
            let tpm = (text("nitrotpm_pcrs"), fields[3].1.clone());
            fields.push(tpm);
        },
        NitroError::FieldUnknown,
    );
}

#[test]
fn the_digest_is_sha384() {
    for other in ["SHA256", "SHA512", "sha384", "SHA384 ", ""] {
        fields(set("digest", text(other)), NitroError::Digest);
    }
    fields(set("digest", bytes(b"SHA384")), NitroError::FieldInvalid(NitroField::Digest));
}

#[test]
fn registers_are_numbered_once_and_of_a_digests_length() {
    const INVALID: NitroError = NitroError::FieldInvalid(NitroField::Pcrs);
    let pcrs = |items: &[(Vec<u8>, Vec<u8>)], expected| fields(set("pcrs", map(items)), expected);
    let good = |index: u64| (unsigned(index), bytes(&[7; 48]));
    for length in [0, 1, 31, 33, 47, 49, 63, 65, 96] {
        pcrs(&[good(0), (unsigned(1), bytes(&vec![7; length]))], INVALID);
    }
    for length in [32, 48, 64] {
        assert!(accepts(set("pcrs", map(&[(unsigned(31), bytes(&vec![7; length]))]))), "{length}");
    }
    pcrs(&[], INVALID);
    pcrs(&[good(32)], INVALID);
    pcrs(&[good(256)], INVALID);
    pcrs(&[good(u64::MAX)], INVALID);
    pcrs(&[(text("0"), bytes(&[7; 48]))], INVALID);
    pcrs(&[(vec![0x20], bytes(&[7; 48]))], INVALID);
    pcrs(&[(unsigned(0), text("seven"))], INVALID);
    pcrs(&[(unsigned(0), vec![0xf6])], INVALID);
    pcrs(&[good(0), good(1), good(0)], NitroError::FieldDuplicate);
    pcrs(&(0..33).map(good).collect::<Vec<_>>(), INVALID);
    assert!(accepts(set("pcrs", map(&(0..32).map(good).collect::<Vec<_>>()))));
    fields(set("pcrs", array(&[bytes(&[7; 48])])), INVALID);
}

#[test]
fn every_field_has_a_type_and_a_bound() {
    let invalid = |key: &'static str, value: Vec<u8>, field| fields(set(key, value), NitroError::FieldInvalid(field));
    invalid("module_id", text(""), NitroField::ModuleId);
    invalid("module_id", text(&"x".repeat(MODULE_ID_BYTES_MAX + 1)), NitroField::ModuleId);
    invalid("module_id", vec![0x61, 0xff], NitroField::ModuleId);
    assert!(accepts(set("module_id", text(&"x".repeat(MODULE_ID_BYTES_MAX)))));
    invalid("timestamp", unsigned(0), NitroField::Timestamp);
    invalid("timestamp", vec![0x20], NitroField::Timestamp);
    invalid("timestamp", vec![0xf9, 0x3c, 0x00], NitroField::Timestamp);
    // A tag and a big number.
    invalid("timestamp", vec![0xc1, 0x01], NitroField::Timestamp);
    invalid("timestamp", vec![0xc2, 0x41, 0x01], NitroField::Timestamp);
    assert!(accepts(set("timestamp", unsigned(u64::MAX))));
    invalid("certificate", text("x"), NitroField::Certificate);
    invalid("cabundle", vec![0x80], NitroField::CaBundle);
    invalid("cabundle", bytes(&[1]), NitroField::CaBundle);
    invalid("cabundle", array(&[text("x")]), NitroField::CaBundle);
    for (key, field, least, most) in [
        ("public_key", NitroField::PublicKey, 1, PUBLIC_KEY_BYTES_MAX),
        ("user_data", NitroField::UserData, 0, USER_BYTES_MAX),
        ("nonce", NitroField::Nonce, 0, USER_BYTES_MAX),
    ] {
        assert!(accepts(set(key, bytes(&vec![1; least]))), "{key}");
        assert!(accepts(set(key, bytes(&vec![1; most]))), "{key}");
        invalid(key, bytes(&vec![1; most + 1]), field);
        invalid(key, text("x"), field);
        invalid(key, vec![0xf4], field);
    }
    invalid("public_key", bytes(&[]), NitroField::PublicKey);
}

#[test]
fn a_signed_payload_has_one_encoding() {
    use NitroError::{PayloadMalformed, PayloadNotCanonical};
    let bent = |bend: fn(Vec<u8>) -> Vec<u8>, expected| refused(|plan| plan.payload = bend, expected);
    bent(|payload| [payload.as_slice(), &[0]].concat(), PayloadNotCanonical);
    bent(|payload| [&[0xb8, 9], &payload[1..]].concat(), PayloadNotCanonical);
    bent(|payload| [&[0xbf], &payload[1..], &[0xff]].concat(), PayloadMalformed);
    bent(|payload| [&[0xd9, 0xd9, 0xf7], payload.as_slice()].concat(), PayloadMalformed);
    bent(|payload| payload[..payload.len() - 1].to_vec(), NitroError::FieldInvalid(NitroField::Nonce));
    // It promises more than there is, or ends before the end.
    bent(|payload| [&[0xaa], &payload[1..]].concat(), PayloadMalformed);
    bent(|payload| [&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &payload[1..]].concat(), PayloadMalformed);
    bent(|payload| [&[0xa8], &payload[1..]].concat(), PayloadNotCanonical);
    bent(|_| array(&[]), PayloadMalformed);
    // Longer heads and chunks inside.
    for (key, value) in [
        ("digest", vec![0x78, 6, b'S', b'H', b'A', b'3', b'8', b'4']),
        ("nonce", [&[0x59, 0, 32], [3; 32].as_slice()].concat()),
        ("user_data", [&[0x5a, 0, 0, 0, 32], [2; 32].as_slice()].concat()),
        ("timestamp", vec![0x19, 0, 1]),
        ("pcrs", [&[0xb8, 1, 0, 0x58, 48], [7; 48].as_slice()].concat()),
        ("pcrs", [&[0xa1, 0x18, 0, 0x58, 48], [7; 48].as_slice()].concat()),
    ] {
        fields(set(key, value), PayloadNotCanonical);
    }
    let chunked = [&[0x5f, 0x58, 32], [3; 32].as_slice(), &[0xff]].concat();
    fields(set("nonce", chunked), NitroError::FieldInvalid(NitroField::Nonce));
    fields(
        set("digest", vec![0x7f, 0x66, b'S', b'H', b'A', b'3', b'8', b'4', 0xff]),
        NitroError::FieldInvalid(NitroField::Digest),
    );
    let open = [&[0xbf, 0, 0x58, 48], [7; 48].as_slice(), &[0xff]].concat();
    fields(set("pcrs", open), NitroError::FieldInvalid(NitroField::Pcrs));
    fields(
        |fields| {
            let closed = fields[5].1.clone();
            fields[5].1 = [&[0x9f], &closed[1..], &[0xff]].concat();
        },
        NitroError::FieldInvalid(NitroField::CaBundle),
    );
}

#[test]
fn nothing_longer_than_the_bound_is_read() {
    let mut plan = Plan::new(3);
    let root = plan.root();
    let read = |length: usize| authenticate(&vec![0x40; length], &root, UnixSeconds(NOW));
    assert_eq!(read(NITRO_DOCUMENT_BYTES_MAX + 1), Err(NitroError::TooLong));
    assert_eq!(read(NITRO_DOCUMENT_BYTES_MAX), Err(NitroError::CoseNotCanonical));
}

/// Promises of length and depth cost nothing.
#[test]
fn hostile_bytes_are_refused_without_harm() {
    let root = Plan::new(0).root();
    let read = |document: &[u8]| authenticate(document, &root, UnixSeconds(NOW));
    for head in [0x9b, 0xbb, 0x5b, 0x7b] {
        assert!(read(&[&[head], [0xff; 8].as_slice()].concat()).is_err());
        assert!(read(&[&[0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, head], [0x7f; 8].as_slice()].concat()).is_err());
    }
    for deep in [0x81, 0x9f, 0xa1, 0xc1, 0xd2] {
        assert!(read(&vec![deep; NITRO_DOCUMENT_BYTES_MAX]).is_err());
    }
    // Deep DER inside a certificate.
    let mut nested = Plan::new(0);
    nested.certificates[1].after = |_| [0x30, 0x80].repeat(512);
    assert!(check(&mut nested).is_err());
    let mut state = 1_u32;
    for _ in 0..20_000 {
        let length = usize::try_from(state % 200).unwrap();
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from(state >> 24).unwrap()
            })
            .collect();
        state = state.wrapping_add(1);
        assert!(read(&noise).is_err());
    }
}
