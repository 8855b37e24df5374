//! A second opinion on canonical CBOR, which knows nothing of types: it walks the bytes and checks each head.

/// How deep a message of ours may nest; the deepest has fewer levels.
const DEPTH_MAX: usize = 64;

/// True if `bytes` are one data item in the deterministic form of docs/PROTOCOL.md: integers, strings, arrays of definite length,
/// booleans and null, every head as short as it can be, and nothing after it.
pub(crate) fn is_canonical(bytes: &[u8]) -> bool {
    let mut walker = Walker { rest: bytes };
    walker.item(0).is_some() && walker.rest.is_empty()
}

struct Walker<'a> {
    rest: &'a [u8],
}

impl Walker<'_> {
    fn item(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (head, rest) = self.rest.split_first()?;
        self.rest = rest;
        let (major, low) = (head >> 5, head & 0x1f);
        if major == 7 {
            // false, true and null; no floats, no other simple values.
            return matches!(low, 20..=22).then_some(());
        }
        let argument = self.argument(low)?;
        match major {
            0 | 1 => Some(()),
            2 => self.skip(argument).map(|_| ()),
            3 => core::str::from_utf8(self.skip(argument)?).ok().map(|_| ()),
            4 => {
                // Each item takes a byte at least.
                (argument <= self.rest.len() as u64).then_some(())?;
                (0..argument).try_for_each(|_| self.item(depth + 1))
            }
            // No maps, no tags.
            _ => None,
        }
    }

    fn argument(&mut self, low: u8) -> Option<u64> {
        let width = match low {
            0..=23 => return Some(u64::from(low)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            // Reserved, or indefinite length.
            _ => return None,
        };
        let bytes = self.skip(width)?;
        let value = bytes.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        let least = [0, 24, 0x100, 0, 0x1_0000, 0, 0, 0, 0x1_0000_0000][usize::try_from(width).ok()?];
        (value >= least).then_some(value)
    }

    fn skip(&mut self, length: u64) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::is_canonical;

    #[test]
    fn only_the_shortest_head_of_a_known_kind_passes() {
        for good in
            [&[0x00_u8][..], &[0x17], &[0x18, 24], &[0x19, 1, 0], &[0x80], &[0x82, 1, 0x41, 9], &[0xf6], &[0x61, b'a']]
        {
            assert!(is_canonical(good), "{good:02x?}");
        }
        for bad in [
            &[][..],
            &[0x18, 23],
            &[0x19, 0, 255],
            &[0x1b, 0, 0, 0, 0, 1, 0, 0, 0],
            &[0x9f, 0xff],
            &[0x5f, 0xff],
            &[0xa0],
            &[0xc0, 0],
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xf7],
            &[0x81],
            &[0x00, 0x00],
            &[0x61, 0xff],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(!is_canonical(bad), "{bad:02x?}");
        }
    }
}
