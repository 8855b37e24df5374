//! An operator's file as an app's logo.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_server::{LOGO_BYTES_MAX, Logo};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const KINDS: [&[u8; 4]; 8] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"tEXt", b"acTL", b"HACK"];
/// Those that are the picture.
const PICTURE: usize = 5;
const CHUNKS_MAX: usize = 16;

/// Chunks for the fuzzer to begin with: a picture in colours, one with a palette, one that talks.
pub(crate) const SEEDS: [&[u8]; 3] = [
    b"\x00\x00\x0d\x00\x00\x00\x40\x00\x00\x00\x40\x08\x06\x00\x00\x00\x03\x03abc\x04\x00",
    b"\x00\x00\x0d\x00\x00\x00\x20\x00\x00\x00\x20\x01\x03\x00\x00\x01\x01\x06aabbcc\x02\x01\x00\x03\x03abc\x04\x00",
    b"\x00\x00\x0d\x00\x00\x00\x40\x00\x00\x00\x40\x08\x06\x00\x00\x00\x05\x03a\x00b\x03\x03abc\x03\x01d\x05\x03a\x00b\x04\x00",
];

/// Bytes as a file, or as chunks: kind, length, data, one after the other.
pub fn logo(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let file = if *choice & 1 == 1 { rest.to_vec() } else { file(rest) };
    let Ok(logo) = Logo::parse(&file) else { return };
    let taken = logo.clone().into_bytes();
    assert_eq!(Logo::parse(&taken), Ok(logo), "what is taken is taken again");
    assert!(taken.len() <= file.len() && taken.len() <= LOGO_BYTES_MAX && taken.starts_with(SIGNATURE));
    let side = |at: usize| u32::from_be_bytes(taken[at..at + 4].try_into().unwrap());
    assert_eq!(side(16), side(20), "a square");
    assert!((32..=512).contains(&side(16)));
    let mut at = SIGNATURE.len();
    while at < taken.len() {
        let length = side(at) as usize;
        assert!(KINDS[..PICTURE].iter().any(|kind| taken[at + 4..].starts_with(*kind)), "nothing but the picture");
        at += length + 12;
    }
    assert_eq!(at, taken.len());
}

fn file(data: &[u8]) -> Vec<u8> {
    let mut input = Unstructured::new(data);
    let mut file = SIGNATURE.to_vec();
    for _ in 0..CHUNKS_MAX {
        let (Ok(kind), Ok(length)) = (u8::arbitrary(&mut input), u8::arbitrary(&mut input)) else { break };
        if input.is_empty() && length > 0 {
            break;
        }
        let length = usize::from(length).min(input.len());
        let mut summed = KINDS[usize::from(kind) % KINDS.len()].to_vec();
        summed.extend_from_slice(input.bytes(length).unwrap_or_default());
        file.extend_from_slice(&(length as u32).to_be_bytes());
        file.extend_from_slice(&summed);
        file.extend_from_slice(&crc32(&summed).to_be_bytes());
        if input.is_empty() {
            break;
        }
    }
    file
}

/// CRC-32 of ISO 3309, a second time.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}
