//! An operator's file as an app's logo.

use arbitrary::{Arbitrary, Unstructured};
use pinseal_server::{LOGO_BYTES_MAX, Logo};
use png::{BitDepth, ColorType, Encoder};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The chunks that are the picture.
const PICTURE: [&[u8; 4]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"];
const COLORS: [ColorType; 5] =
    [ColorType::Grayscale, ColorType::Rgb, ColorType::Indexed, ColorType::GrayscaleAlpha, ColorType::Rgba];
const DEPTHS: [BitDepth; 5] = [BitDepth::Eight, BitDepth::One, BitDepth::Two, BitDepth::Four, BitDepth::Sixteen];
/// Around the smallest side that is taken.
const SIDE_LEAST: u32 = 30;
const FLIPS_MAX: usize = 4;

/// Pictures for the fuzzer to begin with: one in colours, one with a palette, one that talks and is damaged.
pub(crate) const SEEDS: [&[u8]; 3] = [
    b"\x00\x01\x00\x0a\x0a\x00\x00\x00\x00abcdefgh",
    b"\x00\x02\x01\x02\x02\x06\x02aabbcc\x00\xff\x00\x00abc",
    b"\x00\x04\x00\x20\x20\x00\x00\x01\x01\x28\x00\x20abcdefgh",
];

/// Bytes as a file, or as what a picture is drawn from and what of its file is damaged.
pub fn logo(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let file = if *choice & 1 == 1 { Some(rest.to_vec()) } else { drawn(&mut Unstructured::new(rest)) };
    let Some(Ok(logo)) = file.map(|file| Logo::parse(&file)) else { return };
    let taken = logo.clone().into_bytes();
    assert_eq!(Logo::parse(&taken), Ok(logo), "what is taken is taken again");
    assert!(taken.len() <= LOGO_BYTES_MAX && taken.starts_with(SIGNATURE));
    let number = |at: usize| u32::from_be_bytes(taken[at..at + 4].try_into().unwrap());
    assert_eq!(number(16), number(20), "a square");
    assert!((32..=512).contains(&number(16)));
    let mut at = SIGNATURE.len();
    while at < taken.len() {
        assert!(PICTURE.iter().any(|kind| taken[at + 4..].starts_with(*kind)), "nothing but the picture");
        at += number(at) as usize + 12;
    }
    assert_eq!(at, taken.len());
}

/// None where the encoder takes it for no picture.
fn drawn(input: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let mut byte = || u8::arbitrary(input).ok();
    let (color, depth, width, height) = (byte()?, byte()?, byte()?, byte()?);
    let (palette, transparency) = (usize::from(byte()?), usize::from(byte()?));
    let (palette, transparency) = (input.bytes(palette).ok()?, input.bytes(transparency).ok()?);
    let (talks, flips) = (bool::arbitrary(input).ok()?, usize::from(u8::arbitrary(input).ok()?).min(FLIPS_MAX));
    let flips = (0..flips).map(|_| <(u16, u8)>::arbitrary(input)).collect::<Result<Vec<_>, _>>().ok()?;
    let color = COLORS[usize::from(color) % COLORS.len()];
    let depth = DEPTHS[usize::from(depth) % DEPTHS.len()];
    let side = |byte: u8| SIDE_LEAST + u32::from(byte % 64);
    let (width, height) = (side(width), side(height));

    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette);
    }
    if !transparency.is_empty() {
        encoder.set_trns(transparency);
    }
    if talks {
        encoder.add_text_chunk("Author".into(), "somebody".into()).ok()?;
    }
    let mut writer = encoder.write_header().ok()?;
    let bits = width as usize * color.samples() * depth as usize;
    let drawn = input.bytes(input.len()).ok().filter(|bytes| !bytes.is_empty()).unwrap_or(b"\x00");
    let pixels: Vec<u8> = drawn.iter().copied().cycle().take(bits.div_ceil(8) * height as usize).collect();
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    for (at, flipped) in flips {
        let at = usize::from(at) % file.len();
        file[at] ^= flipped;
    }
    Some(file)
}
