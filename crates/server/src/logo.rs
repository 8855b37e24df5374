//! An app's logo: the pixels of a PNG, written anew.
//!
//! PNG (W3C, third edition) and nothing else: SVG is a document with scripts, styles and links of its own. What is kept are pixels, palette and
//! transparency, so that nobody's page shows where a designer sat, and no browser reads bytes that came from elsewhere.

use std::io::Cursor;

use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Limits, Transformations};

/// Bytes of a logo, before and after.
pub const LOGO_BYTES_MAX: usize = 64 * 1024;
/// Pixels of a side: as small as is worth showing, and two megabytes in memory at most.
const SIDE_MIN: u32 = 32;
const SIDE_MAX: u32 = 512;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// What the decoder may hold beside the pixels.
const DECODER_BYTES_MAX: usize = 1024 * 1024;

/// Why a logo was not taken. The operator gives another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Some other kind of file.
    #[error("a logo is a PNG")]
    NotPng,
    /// Larger than a page should load, as it is or written anew.
    #[error("a logo has at most {LOGO_BYTES_MAX} bytes")]
    Large,
    /// Too large, too small, or no square.
    #[error("a logo is a square of {SIDE_MIN} to {SIDE_MAX} pixels a side")]
    Size,
    /// Cut off, damaged, or not made as the standard says.
    #[error("the logo's file is damaged")]
    Damaged,
}

/// A logo that a page may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo(Vec<u8>);

impl Logo {
    /// Reads a file, and writes its first picture anew.
    ///
    /// # Errors
    /// [`LogoError`].
    pub fn parse(file: &[u8]) -> Result<Self, LogoError> {
        if file.len() > LOGO_BYTES_MAX {
            return Err(LogoError::Large);
        }
        if !file.starts_with(&SIGNATURE) {
            return Err(LogoError::NotPng);
        }
        let logo = Picture::read(file)?.write()?;
        if logo.len() > LOGO_BYTES_MAX {
            return Err(LogoError::Large);
        }
        Ok(Self(logo))
    }

    /// A PNG.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// What is seen.
struct Picture {
    side: u32,
    color: ColorType,
    depth: BitDepth,
    palette: Option<Vec<u8>>,
    transparency: Option<Vec<u8>>,
    pixels: Vec<u8>,
}

impl Picture {
    fn read(file: &[u8]) -> Result<Self, LogoError> {
        let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: DECODER_BYTES_MAX });
        decoder.set_transformations(Transformations::IDENTITY);
        let header = decoder.read_header_info().map_err(|_| LogoError::Damaged)?;
        let (side, height) = (header.width, header.height);
        if side != height || !(SIDE_MIN..=SIDE_MAX).contains(&side) {
            return Err(LogoError::Size);
        }
        let mut reader = decoder.read_info().map_err(|_| LogoError::Damaged)?;
        let mut pixels = vec![0; reader.output_buffer_size().ok_or(LogoError::Damaged)?];
        reader.next_frame(&mut pixels).map_err(|_| LogoError::Damaged)?;
        reader.finish().map_err(|_| LogoError::Damaged)?;
        let info = reader.info();
        let color = info.color_type;
        // Neither says anything about a picture of another kind, and a browser passes it over.
        let palette = info.palette.as_deref().filter(|_| color == ColorType::Indexed);
        let entries = palette.map_or(0, |palette| palette.len() / 3);
        let transparency = info.trns.as_deref().filter(|trns| match color {
            ColorType::Grayscale => trns.len() == 2,
            ColorType::Rgb => trns.len() == 6,
            ColorType::Indexed => (1..=entries).contains(&trns.len()),
            ColorType::GrayscaleAlpha | ColorType::Rgba => false,
        });
        let (palette, transparency) = (palette.map(<[u8]>::to_vec), transparency.map(<[u8]>::to_vec));
        Ok(Self { side, color, depth: info.bit_depth, palette, transparency, pixels })
    }

    fn write(self) -> Result<Vec<u8>, LogoError> {
        let mut written = Vec::new();
        let mut encoder = Encoder::new(&mut written, self.side, self.side);
        encoder.set_color(self.color);
        encoder.set_depth(self.depth);
        encoder.set_compression(Compression::High);
        if let Some(palette) = self.palette {
            encoder.set_palette(palette);
        }
        if let Some(transparency) = self.transparency {
            encoder.set_trns(transparency);
        }
        // What a decoder has taken and an encoder refuses has parts that do not belong together.
        let mut writer = encoder.write_header().map_err(|_| LogoError::Damaged)?;
        writer.write_image_data(&self.pixels).map_err(|_| LogoError::Damaged)?;
        writer.finish().map_err(|_| LogoError::Damaged)?;
        Ok(written)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics where it fails")]
mod tests {
    use super::*;

    /// A picture of stripes, with what is set by `more`.
    fn picture(side: (u32, u32), color: ColorType, more: impl FnOnce(&mut Encoder<'_, &mut Vec<u8>>)) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, side.0, side.1);
        encoder.set_color(color);
        more(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        let row = usize::try_from(side.0).unwrap() * color.samples();
        let pixels: Vec<u8> = (0..row * usize::try_from(side.1).unwrap()).map(|at| u8::from(at / 7 % 2 == 0)).collect();
        writer.write_image_data(&pixels).unwrap();
        writer.finish().unwrap();
        file
    }

    fn palette(encoder: &mut Encoder<'_, &mut Vec<u8>>) {
        encoder.set_palette(vec![200, 10, 10, 10, 10, 200]);
        encoder.set_trns(vec![0, 255]);
    }

    fn pixels(file: &[u8]) -> (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>) {
        let Picture { pixels, palette, transparency, .. } = Picture::read(file).unwrap();
        (pixels, palette, transparency)
    }

    #[test]
    fn what_is_seen_is_kept_and_nothing_else() {
        for color in [ColorType::Grayscale, ColorType::Rgb, ColorType::GrayscaleAlpha, ColorType::Rgba] {
            let plain = picture((64, 64), color, |_| ());
            let talkative = picture((64, 64), color, |encoder| {
                encoder.add_text_chunk("Author".into(), "Ada".into()).unwrap();
                encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: 1, yppu: 1, unit: png::Unit::Meter }));
            });
            let logo = Logo::parse(&talkative).unwrap().into_bytes();
            assert!(talkative.windows(3).any(|part| part == b"Ada") && !logo.windows(3).any(|part| part == b"Ada"));
            assert_eq!(Logo::parse(&plain).unwrap().into_bytes(), logo);
            assert_eq!(pixels(&logo), pixels(&plain));
            assert_eq!(Logo::parse(&logo).unwrap().into_bytes(), logo, "what is kept is kept as it is");
        }
        let indexed = picture((32, 32), ColorType::Indexed, palette);
        assert_eq!(pixels(&Logo::parse(&indexed).unwrap().into_bytes()), pixels(&indexed));
    }

    #[test]
    fn what_says_nothing_about_the_picture_is_left_out() {
        let stray = picture((32, 32), ColorType::Grayscale, |encoder| {
            encoder.set_palette(vec![1; 6]);
            encoder.set_trns(vec![255]);
        });
        let plain = picture((32, 32), ColorType::Grayscale, |_| ());
        assert_eq!(Logo::parse(&stray), Logo::parse(&plain));
    }

    #[test]
    fn other_files_and_sizes_are_refused() {
        for other in
            [&b""[..], b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"]
        {
            assert_eq!(Logo::parse(other), Err(LogoError::NotPng));
        }
        for side in [(31, 31), (513, 513), (64, 65)] {
            assert_eq!(Logo::parse(&picture(side, ColorType::Rgb, |_| ())), Err(LogoError::Size));
        }
        let mut huge = picture((64, 64), ColorType::Rgb, |_| ());
        huge.resize(LOGO_BYTES_MAX + 1, 0);
        assert_eq!(Logo::parse(&huge), Err(LogoError::Large));
        // Small as it came, and its pixels would not be: a header alone never makes the host fetch memory.
        let mut bomb = picture((64, 64), ColorType::Rgb, |_| ());
        bomb[16..24].copy_from_slice(&[0xff; 8]);
        assert_eq!(Logo::parse(&bomb), Err(LogoError::Damaged));
    }

    #[test]
    fn one_wrong_byte_of_the_picture_is_noticed_and_so_is_every_cut() {
        let good = picture((32, 32), ColorType::Indexed, palette);
        let taken = Logo::parse(&good).unwrap();
        for at in 0..good.len() {
            let mut wrong = good.clone();
            wrong[at] ^= 0x20;
            // A damaged chunk that need not be understood is passed over: the transparency is one.
            let is_other = Logo::parse(&wrong).map_or(true, |logo| logo != taken);
            assert!(is_other, "byte {at}");
            assert!(Logo::parse(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
