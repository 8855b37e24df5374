//! Checkpoints as the line of entries that leads to them: two are the same note exactly if they are the same line.

use core::fmt;

/// Entries one line may have: what fits into 128 bits.
pub const ENTRIES_MAX: u32 = 32;
/// Boots that can be told apart by their nonce.
pub const BOOTS_MAX: u8 = 12;

const BITS: u32 = 4;
const CHARGE: u8 = 13;
const RIGHT: u8 = 14;
const WRONG: u8 = 15;

/// What one batch appends to the log. With one wallet a batch is one write.
///
/// Nothing but a BOOT entry's nonce tells two equal lines apart. The code has more: every record is sealed under fresh randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entry {
    /// BOOT, with the nonce of that boot.
    Boot(u8),
    /// A try is taken off.
    Charge,
    /// Settled: the PIN was right (true) or wrong.
    Settle(bool),
}

/// A signed checkpoint: the entries since the genesis, four bits each, the newest one lowest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checkpoint(u128);

impl Checkpoint {
    /// The empty log; every anchor holds it at first.
    pub const GENESIS: Self = Self(0);

    /// The checkpoint one entry on.
    ///
    /// # Panics
    /// If the line would have more than [`ENTRIES_MAX`] entries.
    #[must_use]
    pub fn then(self, entry: Entry) -> Self {
        assert!(self.size() < ENTRIES_MAX, "a line of {ENTRIES_MAX} entries is full");
        let code = match entry {
            Entry::Boot(nonce) => 1 + nonce % BOOTS_MAX,
            Entry::Charge => CHARGE,
            Entry::Settle(true) => RIGHT,
            Entry::Settle(false) => WRONG,
        };
        Self(self.0 << BITS | u128::from(code))
    }

    /// The one before it; the genesis is its own.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0 >> BITS)
    }

    /// Entries.
    pub const fn size(self) -> u32 {
        (u128::BITS - self.0.leading_zeros()).div_ceil(BITS)
    }

    /// True if `older` lies on this line; every checkpoint continues itself.
    pub const fn continues(self, older: Self) -> bool {
        match self.size().checked_sub(older.size()) {
            Some(0) => self.0 == older.0,
            Some(newer) if newer * BITS < u128::BITS => self.0 >> (newer * BITS) == older.0,
            Some(_) => older.0 == 0,
            None => false,
        }
    }

    /// The newest checkpoint on both lines.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        let size = if self.size() < other.size() { self.size() } else { other.size() };
        let (here, there) = (self.up_to(size), other.up_to(size));
        let differ = (u128::BITS - (here.0 ^ there.0).leading_zeros()).div_ceil(BITS);
        here.up_to(size - differ)
    }

    /// What its line held at that size.
    const fn up_to(self, size: u32) -> Self {
        match self.0.checked_shr((self.size() - size) * BITS) {
            Some(line) => Self(line),
            None => Self::GENESIS,
        }
    }

    /// The entries after `base`, oldest first, each as a number; BOOT entries are those up to [`BOOTS_MAX`].
    pub(crate) fn since(self, base: Self) -> impl Iterator<Item = u8> {
        let newer = self.size().saturating_sub(base.size());
        (0..newer).rev().map(move |place| code_at(self.0, place))
    }

    /// Charges on the line.
    pub fn charges(self) -> u8 {
        self.newest_first().fold(0, |sum, code| sum + u8::from(code == CHARGE))
    }

    /// Tries outstanding in the record that the line determines: charges since the last success, settled or not.
    pub fn outstanding(self) -> u8 {
        let since = self.newest_first().take_while(|code| *code != RIGHT);
        since.fold(0, |sum, code| sum + u8::from(code == CHARGE))
    }

    fn newest_first(self) -> impl Iterator<Item = u8> {
        (0..self.size()).map(move |place| code_at(self.0, place))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "four bits of it")]
const fn code_at(line: u128, place: u32) -> u8 {
    (line >> (place * BITS)) as u8 & 0b1111
}

/// `genesis`, or the entries in order: `boot-1 charge wrong`.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("genesis");
        }
        for place in (0..self.size()).rev() {
            match code_at(self.0, place) {
                CHARGE => f.write_str("charge")?,
                RIGHT => f.write_str("right")?,
                WRONG => f.write_str("wrong")?,
                boot => write!(f, "boot-{boot}")?,
            }
            if place > 0 {
                f.write_str(" ")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
