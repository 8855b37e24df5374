//! A Nitro PKI and documents of a test's own, built from raw DER and CBOR so that every field can be bent. Tests and fuzz targets forge
//! with the same code; no program has it, nor anything that would trust what it makes.

use std::sync::LazyLock;

use aws_lc_rs::agreement::{ECDH_P384, PrivateKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use minicbor::Encoder;

use crate::verify::nitro::{NitroImage, NitroRoot, Pcr};

/// The moment at which an unbent document is good.
pub const NOW: u64 = 1_800_000_000;
/// Registers of the forged image.
pub const PCRS: [[u8; 48]; 3] = [[0xa0; 48], [0xa1; 48], [0xa2; 48]];
/// ecdsa-with-SHA384.
pub const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
pub const PROTECTED: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// A P-384 key that signs certificates (DER) and documents (fixed length).
pub struct Key {
    der: EcdsaKeyPair,
    fixed: EcdsaKeyPair,
}

impl Key {
    /// The key with this number: always the same, so that an input that fails once fails always.
    fn fixed(number: u8) -> Self {
        let mut scalar = [0x22; 48];
        scalar[47] = number;
        let public = PrivateKey::from_private_key(&ECDH_P384, &scalar).unwrap().compute_public_key().unwrap();
        let pair = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, public.as_ref()).unwrap()
        };
        Self { der: pair(&ECDSA_P384_SHA384_ASN1_SIGNING), fixed: pair(&ECDSA_P384_SHA384_FIXED_SIGNING) }
    }

    pub fn public(&self) -> &[u8] {
        self.der.public_key().as_ref()
    }

    fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        self.der.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    pub fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        self.fixed.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// One key per place in the chain, and a stranger's.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| (0..=8).map(Key::fixed).collect());
pub const STRANGER: usize = 8;

pub struct Ext {
    pub oid: Vec<u8>,
    /// Raw, so that a default can be spelled out.
    pub critical: Vec<u8>,
    pub value: Vec<u8>,
}

impl Ext {
    pub fn new(oid: &[u8], critical: bool, value: Vec<u8>) -> Self {
        let critical = if critical { tlv(0x01, &[0xff]) } else { Vec::new() };
        Self { oid: oid.to_vec(), critical, value }
    }
}

/// A certificate before it is signed; every part is raw DER.
pub struct Certificate {
    pub version: Vec<u8>,
    pub serial: Vec<u8>,
    pub inner_algorithm: Vec<u8>,
    pub outer_algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub subject: Vec<u8>,
    pub key_info: Vec<u8>,
    pub unique_ids: Vec<u8>,
    pub extensions: Vec<Ext>,
    pub signer: usize,
    /// Bends the content of the signature's bit string.
    pub signature: fn(Vec<u8>) -> Vec<u8>,
    /// Bends the finished certificate.
    pub after: fn(Vec<u8>) -> Vec<u8>,
}

impl Certificate {
    fn new(place: usize, last: usize) -> Self {
        let signer = place.saturating_sub(1);
        let path_length = (place > 0 && place < last).then(|| u8::try_from(last - 1 - place).unwrap());
        let (constraints, usage) = if place == last {
            (basic_constraints(false, None), 0xc0)
        } else {
            (basic_constraints(true, path_length), 0x86)
        };
        let unused = if usage == 0xc0 { 6 } else { 1 };
        Self {
            version: tlv(0xa0, &tlv(0x02, &[2])),
            serial: tlv(0x02, &[0x10, u8::try_from(place).unwrap()]),
            inner_algorithm: sequence(&[&tlv(0x06, ECDSA_SHA384)]),
            outer_algorithm: sequence(&[&tlv(0x06, ECDSA_SHA384)]),
            issuer: name(signer),
            not_before: time(NOW - 3600),
            not_after: time(NOW + 3600),
            subject: name(place),
            key_info: key_info(P384, KEYS[place].public()),
            unique_ids: Vec::new(),
            extensions: vec![
                Ext::new(BASIC_CONSTRAINTS, true, constraints),
                Ext::new(KEY_USAGE, place != last, tlv(0x03, &[unused, usage])),
                Ext::new(&[0x55, 0x1d, 0x0e], false, tlv(0x04, &[u8::try_from(place).unwrap(); 20])),
            ],
            signer,
            signature: |bits| bits,
            after: |der| der,
        }
    }

    pub fn constraints(&mut self, critical: bool, value: Vec<u8>) {
        self.extensions[0] = Ext::new(BASIC_CONSTRAINTS, critical, value);
    }

    /// Bits from digitalSignature (0x80) down, with how many are unused.
    pub fn usage(&mut self, unused: u8, bits: u8) {
        self.extensions[1] = Ext::new(KEY_USAGE, true, tlv(0x03, &[unused, bits]));
    }

    fn build(&self) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|ext| sequence(&[&tlv(0x06, &ext.oid), &ext.critical, &tlv(0x04, &ext.value)]))
            .collect();
        let extensions = if extensions.is_empty() { Vec::new() } else { tlv(0xa3, &tlv(0x30, &extensions.concat())) };
        let body = sequence(&[
            &self.version,
            &self.serial,
            &self.inner_algorithm,
            &self.issuer,
            &sequence(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.key_info,
            &self.unique_ids,
            &extensions,
        ]);
        let signature = (self.signature)([&[0], KEYS[self.signer].sign_der(&body).as_slice()].concat());
        (self.after)(sequence(&[&body, &self.outer_algorithm, &tlv(0x03, &signature)]))
    }
}

/// Of a map: raw keys and raw values.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A document before it is made; everything can be bent.
pub struct Plan {
    pub certificates: Vec<Certificate>,
    /// Certificates as they go into the document, root first, leaf last; filled by [`Plan::build`] where empty.
    pub built: Vec<Vec<u8>>,
    /// Replaces how the payload's fields are made: raw key, raw value.
    pub bend: Box<dyn Fn(&mut Fields)>,
    /// Bends the payload's bytes before they are signed.
    pub payload: fn(Vec<u8>) -> Vec<u8>,
    pub protected: Vec<u8>,
    pub unprotected: Vec<u8>,
    pub signer: usize,
    pub user_data: Option<Vec<u8>>,
    pub nonce: Option<Vec<u8>>,
    pub milliseconds: u64,
}

impl Plan {
    /// Root, `issuers` below it, leaf.
    pub fn new(issuers: usize) -> Self {
        let last = issuers + 1;
        Self {
            certificates: (0..=last).map(|place| Certificate::new(place, last)).collect(),
            built: Vec::new(),
            bend: Box::new(|_| ()),
            payload: |payload| payload,
            protected: PROTECTED.to_vec(),
            unprotected: vec![0xa0],
            signer: last,
            user_data: Some(vec![2; 32]),
            nonce: Some(vec![3; 32]),
            milliseconds: NOW * 1000 + 999,
        }
    }

    pub fn build(&mut self) {
        if self.built.is_empty() {
            self.built = self.certificates.iter().map(Certificate::build).collect();
        }
    }

    /// The root to trust: the first certificate, whatever it is.
    pub fn root(&mut self) -> NitroRoot {
        self.build();
        NitroRoot::made_for_a_test(digest(&SHA256, &self.built[0]).as_ref().try_into().unwrap())
    }

    pub fn document(&mut self) -> Vec<u8> {
        let payload = self.payload();
        let signature = KEYS[self.signer].sign_fixed(&signature_structure(&self.protected, &payload));
        sign1(&self.protected, &self.unprotected, &bytes(&payload), &signature)
    }

    pub fn payload(&mut self) -> Vec<u8> {
        self.build();
        let (leaf, issuers) = self.built.split_last().unwrap();
        let optional = |value: &Option<Vec<u8>>| value.as_ref().map_or(vec![0xf6], |value| bytes(value));
        let mut pcrs =
            vec![(unsigned(0), bytes(&PCRS[0])), (unsigned(1), bytes(&PCRS[1])), (unsigned(2), bytes(&PCRS[2]))];
        pcrs.extend((3..16).map(|index| (unsigned(index), bytes(&[if index == 8 { 8 } else { 0 }; 48]))));
        let mut fields = vec![
            (text("module_id"), text("i-0123456789abcdef0-enc0123456789abcdef")),
            (text("digest"), text("SHA384")),
            (text("timestamp"), unsigned(self.milliseconds)),
            (text("pcrs"), map(&pcrs)),
            (text("certificate"), bytes(leaf)),
            (text("cabundle"), array(&issuers.iter().map(|der| bytes(der)).collect::<Vec<_>>())),
            (text("public_key"), vec![0xf6]),
            (text("user_data"), optional(&self.user_data)),
            (text("nonce"), optional(&self.nonce)),
        ];
        (self.bend)(&mut fields);
        (self.payload)(map(&fields))
    }
}

/// The image every unbent document names.
pub fn image() -> NitroImage {
    let [pcr0, pcr1, pcr2] = PCRS.map(Pcr::new);
    NitroImage::new(pcr0, pcr1, pcr2).unwrap()
}

// COSE and CBOR.

/// RFC 9052, section 4.4, written out.
pub fn signature_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    array(&[text("Signature1"), bytes(protected), bytes(&[]), bytes(payload)])
}

pub fn sign1(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    array(&[bytes(protected), unprotected.to_vec(), payload.to_vec(), bytes(signature)])
}

fn encoded(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out));
    out
}

pub fn text(value: &str) -> Vec<u8> {
    encoded(|e| _ = e.str(value).unwrap())
}

pub fn bytes(value: &[u8]) -> Vec<u8> {
    encoded(|e| _ = e.bytes(value).unwrap())
}

pub fn unsigned(value: u64) -> Vec<u8> {
    encoded(|e| _ = e.u64(value).unwrap())
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [encoded(|e| _ = e.array(items.len() as u64).unwrap()), items.concat()].concat()
}

pub fn map(items: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = encoded(|e| _ = e.map(items.len() as u64).unwrap());
    items.iter().for_each(|(key, value)| out.extend([key.as_slice(), value].concat()));
    out
}

// DER.

pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..128 => vec![tag, u8::try_from(length).unwrap()],
        128..256 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xff).unwrap()],
    };
    [head, content.to_vec()].concat()
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub fn basic_constraints(ca: bool, path_length: Option<u8>) -> Vec<u8> {
    let ca = if ca { tlv(0x01, &[0xff]) } else { Vec::new() };
    sequence(&[&ca, &path_length.map(|length| tlv(0x02, &[length])).unwrap_or_default()])
}

pub fn key_info(curve: &[u8], point: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&tlv(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), &tlv(0x06, curve)]);
    sequence(&[&algorithm, &tlv(0x03, &[&[0], point].concat())])
}

/// One common name.
pub fn name(place: usize) -> Vec<u8> {
    let attribute = sequence(&[&tlv(0x06, &[0x55, 0x04, 0x03]), &tlv(0x0c, format!("link {place}").as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

/// UTCTime.
pub fn time(unix_seconds: u64) -> Vec<u8> {
    let (mut days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{:02}{month:02}{:02}{hour:02}{minute:02}{second:02}Z", year % 100, days + 1);
    tlv(0x17, text.as_bytes())
}
