//! A TPM's structures: public areas as the standard lays them out, and attestations, of which there is one reading or none.

use pinseal_protocol::tpm::{Certified, INDEX_FIRST, Index, PublicArea, policy};
use proptest::prelude::*;

use crate::p256;

/// A TPMS_ATTEST of TPM2_NV_Certify with these variable fields.
fn attest(signer: &[u8], extra: &[u8], name: &[u8], content: &[u8]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let clock = [&[0; 16][..], &[1]].concat();
    [
        &[0xff, 0x54, 0x43, 0x47, 0x80, 0x14][..],
        &sized(signer),
        &sized(extra),
        &clock,
        &[0; 8],
        &sized(name),
        &[0, 0],
        &sized(content),
    ]
    .concat()
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=66)
}

/// TPMT_PUBLIC and TPMS_NV_PUBLIC of TPM 2.0 part 2, field by field.
#[test]
fn a_writers_key_and_its_index_have_the_public_areas_of_the_standard() {
    let (_, writer) = p256("device");
    let (x, y) = writer.as_bytes()[1..].split_at(32);
    let key: [&[u8]; 13] = [
        &[0, 0x23],
        &[0, 0x0b],
        &[0, 4, 0, 0x40],
        &[0, 0],
        &[0, 0x10],
        &[0, 0x18],
        &[0, 0x0b],
        &[0, 3],
        &[0, 0x10],
        &[0, 32],
        x,
        &[0, 32],
        y,
    ];
    assert_eq!(PublicArea::of_writer(&writer).as_bytes(), key.concat());
    let index = Index::new(INDEX_FIRST + 7, writer);
    assert_eq!(index.handle(), INDEX_FIRST + 7);
    let area = |attributes: &[u8]| {
        let fields: [&[u8]; 6] = [&[1, 0x80, 0, 7], &[0, 0x0b], attributes, &[0, 32], &policy(&writer).0, &[0, 32]];
        fields.concat()
    };
    assert_eq!(index.public(), area(&[2, 4, 0, 0x48]));
    assert_eq!(index.public_written(), area(&[0x22, 4, 0, 0x48]));
}

proptest! {
    #[test]
    fn every_field_of_an_attestation_is_read_where_it_stands(signer in field(), extra in field(), name in field(), content in field()) {
        let encoded = attest(&signer, &extra, &name, &content);
        let read = Certified::read(&encoded).unwrap();
        prop_assert_eq!((read.name, read.offset, read.content), (&name[..], 0, &content[..]));
        for cut in 0..encoded.len() {
            prop_assert!(Certified::read(&encoded[..cut]).is_err());
        }
        prop_assert!(Certified::read(&[&encoded[..], &[0]].concat()).is_err());
    }

    #[test]
    fn reading_an_attestation_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..300, byte: u8) {
        let _ = Certified::read(&bytes);
        let mut changed = attest(&[0; 34], &[], &[1; 34], &[2; 32]);
        let at = at % changed.len();
        changed.splice(at..=at, bytes.into_iter().take(4).chain([byte]));
        let _ = Certified::read(&changed);
    }
}
