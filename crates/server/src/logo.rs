//! An app's logo: a PNG, taken apart and put together again from the parts that are the picture.
//!
//! PNG (W3C, third edition) and nothing else: SVG is a document with scripts, links and styles of its own. What is not needed to draw the picture
//! (texts, places, times, profiles, further frames) is left out, so that nobody's page shows where a designer sat. The compressed pixels are left as they
//! are: whatever they hold, the header bounds what a browser makes of them.

/// Bytes of a logo, before and after.
pub const LOGO_BYTES_MAX: usize = 64 * 1024;
/// Pixels of a side: as small as is worth showing, and a megabyte in memory at most.
const SIDE_MIN: u32 = 32;
const SIDE_MAX: u32 = 512;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// Length, type and checksum around a chunk's data.
const CHUNK_FRAME: usize = 12;

/// Why a logo was not taken. The operator gives another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Some other kind of file.
    #[error("a logo is a PNG")]
    NotPng,
    /// Larger than a page should load.
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
    /// Reads a file, and keeps what is the picture.
    ///
    /// # Errors
    /// [`LogoError`].
    pub fn parse(file: &[u8]) -> Result<Self, LogoError> {
        if file.len() > LOGO_BYTES_MAX {
            return Err(LogoError::Large);
        }
        let mut rest = file.strip_prefix(&SIGNATURE).ok_or(LogoError::NotPng)?;
        let mut picture = Picture::default();
        let mut kept = SIGNATURE.to_vec();
        while picture.stage != Stage::Ended {
            let (chunk, after) = Chunk::read(rest).ok_or(LogoError::Damaged)?;
            if picture.takes(chunk.kind, chunk.data)? {
                kept.extend_from_slice(chunk.whole);
            }
            rest = after;
        }
        if rest.is_empty() { Ok(Self(kept)) } else { Err(LogoError::Damaged) }
    }

    /// A PNG.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The first chunk, its checksum right, and what comes after.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, _) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (whole, after) = bytes.split_at_checked(length.checked_add(CHUNK_FRAME)?)?;
        let (summed, sum) = whole.get(4..)?.split_last_chunk::<4>()?;
        let (kind, data) = summed.split_first_chunk::<4>()?;
        let is_right = kind.iter().all(u8::is_ascii_alphabetic) && u32::from_be_bytes(*sum) == crc32(summed);
        is_right.then_some((Self { kind: *kind, data, whole }, after))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Start,
    Header,
    Palette,
    Transparency,
    Pixels,
    AfterPixels,
    Ended,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Picture {
    stage: Stage,
    /// Of the header: 0 grey, 2 colours, 3 palette, 4 grey with alpha, 6 colours with alpha.
    colour_type: u8,
    bit_depth: u8,
    palette_entries: usize,
}

impl Picture {
    /// True if the chunk is part of the picture, which may stand here; false for what is left out.
    fn takes(&mut self, kind: [u8; 4], data: &[u8]) -> Result<bool, LogoError> {
        let stage = match &kind {
            b"IHDR" if self.stage == Stage::Start => self.header(data)?,
            _ if self.stage == Stage::Start => return Err(LogoError::Damaged),
            b"PLTE" if self.stage == Stage::Header => self.palette(data)?,
            b"tRNS" if self.stage < Stage::Transparency => self.transparency(data)?,
            b"IDAT" if self.stage <= Stage::Pixels && (self.colour_type != 3 || self.palette_entries > 0) => {
                Stage::Pixels
            }
            b"IEND" if matches!(self.stage, Stage::Pixels | Stage::AfterPixels) && data.is_empty() => Stage::Ended,
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND" => return Err(LogoError::Damaged),
            // A chunk that must be understood is none that this standard has; every other one is no part of the picture.
            [first, ..] if first.is_ascii_uppercase() => return Err(LogoError::Damaged),
            _ => {
                // Pixels stand together.
                if self.stage == Stage::Pixels {
                    self.stage = Stage::AfterPixels;
                }
                return Ok(false);
            }
        };
        self.stage = stage;
        Ok(true)
    }

    fn header(&mut self, data: &[u8]) -> Result<Stage, LogoError> {
        let (width, rest) = data.split_first_chunk::<4>().ok_or(LogoError::Damaged)?;
        let (height, rest) = rest.split_first_chunk::<4>().ok_or(LogoError::Damaged)?;
        let &[bit_depth, colour_type, 0, 0, 0 | 1] = rest else { return Err(LogoError::Damaged) };
        let depths: &[u8] = match colour_type {
            0 => &[1, 2, 4, 8, 16],
            3 => &[1, 2, 4, 8],
            2 | 4 | 6 => &[8, 16],
            _ => return Err(LogoError::Damaged),
        };
        if !depths.contains(&bit_depth) {
            return Err(LogoError::Damaged);
        }
        if width != height || !(SIDE_MIN..=SIDE_MAX).contains(&u32::from_be_bytes(*width)) {
            return Err(LogoError::Size);
        }
        (self.colour_type, self.bit_depth) = (colour_type, bit_depth);
        Ok(Stage::Header)
    }

    fn palette(&mut self, data: &[u8]) -> Result<Stage, LogoError> {
        let entries = data.len() / 3;
        let most = if self.colour_type == 3 { 1_usize << self.bit_depth } else { 256 };
        let fits = data.len().is_multiple_of(3) && (1..=most).contains(&entries) && !matches!(self.colour_type, 0 | 4);
        self.palette_entries = entries;
        if fits { Ok(Stage::Palette) } else { Err(LogoError::Damaged) }
    }

    fn transparency(&self, data: &[u8]) -> Result<Stage, LogoError> {
        let fits = match self.colour_type {
            0 => data.len() == 2,
            2 => data.len() == 6,
            3 => (1..=self.palette_entries).contains(&data.len()),
            _ => false,
        };
        if fits { Ok(Stage::Transparency) } else { Err(LogoError::Damaged) }
    }
}

/// CRC-32 as PNG has it (ISO 3309). At most [`LOGO_BYTES_MAX`] bytes, once, so that no table is worth it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics where it fails")]
mod tests {
    use super::*;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut summed = kind.to_vec();
        summed.extend_from_slice(data);
        let mut whole = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        whole.extend_from_slice(&summed);
        whole.extend_from_slice(&crc32(&summed).to_be_bytes());
        whole
    }

    fn header(width: u32, height: u32, more: [u8; 5]) -> Vec<u8> {
        chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &more].concat())
    }

    fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
        [SIGNATURE.to_vec(), chunks.concat()].concat()
    }

    const COLOURS: [u8; 5] = [8, 6, 0, 0, 0];
    const PALETTE: [u8; 5] = [1, 3, 0, 0, 1];

    fn pixels() -> Vec<u8> {
        chunk(b"IDAT", b"pixels")
    }

    fn end() -> Vec<u8> {
        chunk(b"IEND", b"")
    }

    #[test]
    fn a_checksum_is_that_of_the_standard() {
        // Every PNG ends with these bytes.
        assert_eq!(end(), [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
    }

    #[test]
    fn what_is_no_part_of_the_picture_is_left_out() {
        let plain = png(&[header(64, 64, COLOURS), pixels(), pixels(), end()]);
        assert_eq!(Logo::parse(&plain), Ok(Logo(plain.clone())));
        let talkative = png(&[
            header(64, 64, COLOURS),
            chunk(b"tEXt", b"Author\0Ada"),
            chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
            pixels(),
            pixels(),
            chunk(b"eXIf", b"where"),
            end(),
        ]);
        assert_eq!(Logo::parse(&talkative), Ok(Logo(plain)));
        let indexed = png(&[header(32, 32, PALETTE), chunk(b"PLTE", &[1; 6]), chunk(b"tRNS", &[0]), pixels(), end()]);
        assert_eq!(Logo::parse(&indexed), Ok(Logo(indexed.clone())));
    }

    #[test]
    fn other_files_sizes_and_orders_are_refused() {
        let refused = |chunks: &[Vec<u8>]| Logo::parse(&png(chunks)).unwrap_err();
        for other in
            [&b""[..], b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"]
        {
            assert_eq!(Logo::parse(other), Err(LogoError::NotPng));
        }
        for (width, height) in [(31, 31), (513, 513), (64, 65), (0, 0), (u32::MAX, u32::MAX)] {
            assert_eq!(refused(&[header(width, height, COLOURS), pixels(), end()]), LogoError::Size);
        }
        let damaged: [&[Vec<u8>]; 14] = [
            &[],
            &[header(64, 64, COLOURS), end()],
            &[header(64, 64, COLOURS), pixels()],
            &[pixels(), header(64, 64, COLOURS), end()],
            &[chunk(b"tEXt", b"a\0b"), header(64, 64, COLOURS), pixels(), end()],
            &[header(64, 64, COLOURS), header(64, 64, COLOURS), pixels(), end()],
            &[header(64, 64, COLOURS), pixels(), chunk(b"tEXt", b"a\0b"), pixels(), end()],
            &[header(64, 64, COLOURS), pixels(), end(), end()],
            &[header(64, 64, COLOURS), chunk(b"HACK", b""), pixels(), end()],
            &[header(64, 64, COLOURS), chunk(b"tRNS", &[0; 6]), pixels(), end()],
            &[header(64, 64, PALETTE), pixels(), end()],
            &[header(64, 64, PALETTE), chunk(b"PLTE", &[1; 9]), pixels(), end()],
            &[header(64, 64, [3, 6, 0, 0, 0]), pixels(), end()],
            &[header(64, 64, [8, 6, 0, 0, 2]), pixels(), end()],
        ];
        for (number, chunks) in damaged.into_iter().enumerate() {
            assert_eq!(refused(chunks), LogoError::Damaged, "{number}");
        }
        let huge = png(&[header(64, 64, COLOURS), chunk(b"IDAT", &vec![0; LOGO_BYTES_MAX]), end()]);
        assert_eq!(Logo::parse(&huge), Err(LogoError::Large));
    }

    #[test]
    fn one_wrong_byte_anywhere_is_noticed_and_so_is_every_cut() {
        let good = png(&[header(32, 32, PALETTE), chunk(b"PLTE", &[1; 6]), pixels(), end()]);
        for at in 0..good.len() {
            let mut wrong = good.clone();
            wrong[at] ^= 0x20;
            assert!(Logo::parse(&wrong).is_err(), "byte {at}");
            assert!(Logo::parse(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
