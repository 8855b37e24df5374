//! Any log's checkpoint (C2SP tlog-checkpoint): three lines that mean something here, and extension lines that do not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinseal_protocol::add_checkpoint::read_size;
use pinseal_protocol::ids::Hash32;

/// What a witness looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) origin: &'a str,
    pub(crate) size: u64,
    pub(crate) root: Hash32,
}

/// Reads a checkpoint's text, final newline included.
pub(crate) fn read(text: &str) -> Option<Head<'_>> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let origin = lines.next().filter(|line| !line.is_empty())?;
    let size = read_size(lines.next()?)?;
    let root = lines.next()?;
    let hash = Hash32::from_slice(&STANDARD.decode(root).ok()?)?;
    let well_formed = STANDARD.encode(hash.0) == root && lines.all(|line| !line.is_empty());
    well_formed.then_some(Head { origin, size, root: hash })
}
