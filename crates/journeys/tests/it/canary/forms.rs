//! How a secret could be written: as it is, and in every encoding that a program, a library or a log could give it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What kind of thing a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Random bytes: a key, a factor, a seed.
    Bytes,
    /// Text: a password, a phrase, a token.
    Text,
    /// A few characters: a PIN, a mailed code. Counts as a whole only.
    Short,
}

/// One way of writing a secret.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Every form of `secret`.
pub(super) fn forms(kind: Kind, secret: &[u8]) -> Vec<Form> {
    let mut all = Vec::new();
    let mut add = |name, bytes: Vec<u8>| all.push(Form { name, bytes });
    add("as it is", secret.to_vec());
    add("hex", hex::encode(secret).into_bytes());
    add("upper-case hex", hex::encode_upper(secret).into_bytes());
    for lead in 0..3 {
        add("base64", base64_at(&STANDARD_NO_PAD, secret, lead));
        add("base64url", base64_at(&URL_SAFE_NO_PAD, secret, lead));
    }
    add("decimal list", decimals(secret, ","));
    add("decimal list with spaces", decimals(secret, ", "));
    add("UTF-16 of hex", utf16(&hex::encode(secret)));
    match kind {
        Kind::Bytes => words(secret, &mut add),
        Kind::Text | Kind::Short => text(secret, &mut add),
    }
    if secret.iter().all(u8::is_ascii_digit) {
        add("values of the digits", secret.iter().map(|digit| digit - b'0').collect());
    }
    all.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    all.dedup_by(|a, b| a.bytes == b.bytes);
    all
}

/// Keys as the words of a library's numbers and hash states.
fn words(secret: &[u8], add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let swapped = |size: usize| secret.chunks(size).flat_map(|word| word.iter().rev().copied()).collect::<Vec<u8>>();
    // Also libsecp256k1's scalars: four words of 64 bits, the least significant first.
    add("reversed", secret.iter().rev().copied().collect());
    add("words of 4 bytes, swapped", swapped(4));
    add("words of 8 bytes, swapped", swapped(8));
    // What HMAC makes of a key before it hashes it.
    add("HMAC inner pad", secret.iter().map(|byte| byte ^ 0x36).collect());
    add("HMAC outer pad", secret.iter().map(|byte| byte ^ 0x5c).collect());
    add("HMAC inner pad, swapped words", swapped(4).iter().map(|byte| byte ^ 0x36).collect());
    add("HMAC outer pad, swapped words", swapped(4).iter().map(|byte| byte ^ 0x5c).collect());
    if let Ok(key) = <&[u8; 32]>::try_from(secret) {
        // Field elements, and the numbers of the modular inverse.
        add("limbs of 52 bits", limbs(key, 52));
        add("limbs of 62 bits", limbs(key, 62));
        add("decimal number", decimal_number(key).into_bytes());
    }
}

fn text(secret: &[u8], add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let text = core::str::from_utf8(secret).unwrap();
    add("UTF-16", utf16(text));
    let quoted = serde_json::to_string(text).unwrap();
    add("JSON", quoted.as_bytes()[1..quoted.len() - 1].to_vec());
    add("Rust debug", text.escape_debug().to_string().into_bytes());
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let percent = secret.iter().flat_map(|byte| match plain(byte) {
        true => vec![*byte],
        false => format!("%{byte:02X}").into_bytes(),
    });
    add("percent-encoded", percent.collect());
    add("reversed", secret.iter().rev().copied().collect());
}

/// The characters of base64 that `secret` alone decides when `lead` bytes precede it.
fn base64_at(engine: &impl base64::Engine, secret: &[u8], lead: usize) -> Vec<u8> {
    let encoded = engine.encode([&[0].repeat(lead), secret].concat());
    let (first, end) = ((lead * 8).div_ceil(6), (lead + secret.len()) * 8 / 6);
    encoded.as_bytes()[first..end].to_vec()
}

fn decimals(secret: &[u8], between: &str) -> Vec<u8> {
    secret.iter().map(u8::to_string).collect::<Vec<_>>().join(between).into_bytes()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A 256-bit number as 64-bit words of `bits` bits each, the least significant first.
fn limbs(key: &[u8; 32], bits: usize) -> Vec<u8> {
    let bit =
        |place: usize| key.get(31_usize.wrapping_sub(place / 8)).map_or(0, |byte| u64::from(byte >> (place % 8) & 1));
    let limb = |first: usize| (0..bits).fold(0, |word, place| word | bit(first + place) << place);
    (0..256).step_by(bits).flat_map(|first| limb(first).to_le_bytes()).collect()
}

fn decimal_number(key: &[u8; 32]) -> String {
    let (mut number, mut digits) = (key.to_vec(), Vec::new());
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u16;
        for byte in &mut number {
            let value = rest << 8 | u16::from(*byte);
            *byte = u8::try_from(value / 10).unwrap();
            rest = value % 10;
        }
        digits.push(char::from(b'0' + u8::try_from(rest).unwrap()));
    }
    digits.iter().rev().collect()
}

#[test]
fn a_form_is_what_the_encoder_makes_of_it() {
    let of = |kind, secret: &[u8], name| {
        let found: Vec<_> = forms(kind, secret).into_iter().filter(|form| form.name == name).collect();
        assert!(!found.is_empty(), "{name}");
        found.into_iter().map(|form| form.bytes).collect::<Vec<_>>()
    };
    let key: Vec<u8> = (1..=32).map(|byte: u8| byte.wrapping_mul(37)).collect();
    // Wherever it stands in a longer text.
    for lead in 0..3 {
        for (name, text) in [
            ("base64", STANDARD_NO_PAD.encode([&[7].repeat(lead), key.as_slice(), b"xyz"].concat())),
            ("base64url", URL_SAFE_NO_PAD.encode([&[7].repeat(lead), key.as_slice(), b"xyz"].concat())),
        ] {
            let contained = |form: &Vec<u8>| text.as_bytes().windows(form.len()).any(|window| window == form);
            assert!(of(Kind::Bytes, &key, name).iter().any(contained), "{name} after {lead}");
        }
    }
    let mut one = [0; 32];
    (one[31], one[24]) = (0x39, 0x30);
    assert_eq!(of(Kind::Bytes, &one, "decimal number"), [(0x39_u64 + (0x30_u64 << 56)).to_string().into_bytes()]);
    let limb = |word: u64| word.to_le_bytes();
    assert_eq!(of(Kind::Bytes, &one, "limbs of 52 bits")[0][..16], [limb(0x39), limb(0x30 << 4)].concat());
    assert_eq!(of(Kind::Text, b"a\"\\ b", "JSON"), [b"a\\\"\\\\ b"]);
    assert_eq!(of(Kind::Text, b"a\"\\ b", "percent-encoded"), [b"a%22%5C%20b"]);
    assert_eq!(of(Kind::Short, b"12", "UTF-16"), [b"1\x002\x00"]);
}
