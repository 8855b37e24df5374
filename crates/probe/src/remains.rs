//! What a piece of work leaves behind in freed memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::ptr;

/// Names the number of a freed block whose owner is to be shown: the test runs again with it and prints a backtrace there.
const BLOCK_VARIABLE: &str = "PINSEAL_PROBE_BLOCK";
/// Secrets are searched for in pieces of this size, so that one whose block was used again in part is found too.
const PIECE_BYTES: usize = 8;

/// The system's allocator, which also hands every freed block of a thread that records to its [`Remains`]. Growing a block moves
/// it, always, since the system may do the same at any time, and new blocks are zero.
#[derive(Debug, Default)]
pub struct RecordingAllocator;

thread_local! {
    static RECORDER: Cell<Option<*mut Remains>> = const { Cell::new(None) };
}

// SAFETY: every block comes from `System` and goes back to it with its own layout.
unsafe impl GlobalAlloc for RecordingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that a block shows only what its own user wrote, and not what a test freed before.
        // SAFETY: the caller's contract is the one of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // What the recorder frees itself is not recorded.
        if let Some(recorder) = RECORDER.try_with(Cell::take).ok().flatten() {
            // SAFETY: the recorder outlives the recording (`Remains::during`), and taking it out made this the only use of it; the
            // block is still allocated with this layout.
            unsafe { (*recorder).bury(block, layout.size()) };
            let _ = RECORDER.try_with(|cell| cell.set(Some(recorder)));
        }
        // SAFETY: the caller's contract is the one of `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is a valid one for this alignment; both blocks are at least as long as what is
        // copied; the old one is given back once.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// The contents of every block that was freed while it recorded, as somebody who reads the memory later would find them.
#[derive(Debug, Default)]
pub struct Remains {
    bytes: Vec<u8>,
    /// Where each block ends in `bytes`.
    ends: Vec<usize>,
    traced: Option<usize>,
}

impl Remains {
    /// Nothing yet. The test binary's global allocator must be a [`RecordingAllocator`].
    pub fn new() -> Self {
        let traced = std::env::var(BLOCK_VARIABLE).ok().and_then(|number| number.parse().ok());
        Self { bytes: Vec::new(), ends: Vec::new(), traced }
    }

    /// Does the work and keeps what this thread frees meanwhile.
    pub fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        struct Stop;
        impl Drop for Stop {
            fn drop(&mut self) {
                RECORDER.with(Cell::take);
            }
        }
        RECORDER.with(|recorder| recorder.set(Some(ptr::from_mut(self))));
        // Also when the work panics: nobody records into a dead recorder.
        let _stop = Stop;
        work()
    }

    /// Blocks freed so far.
    pub fn blocks(&self) -> usize {
        self.ends.len()
    }

    /// Every secret of which a piece was left, with the number and size of one block that held it.
    pub fn found<'a>(&self, secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
        let block = |place: usize| self.ends.partition_point(|end| *end <= place);
        let size = |block: usize| self.ends[block] - block.checked_sub(1).map_or(0, |before| self.ends[before]);
        let shown = |(name, place): (&str, usize)| {
            let block = block(place);
            format!("{name} in block {block} of {} bytes", size(block))
        };
        search(&self.bytes, secrets).into_iter().map(shown).collect()
    }

    /// # Safety
    /// `block` is allocated and at least `size` bytes long.
    unsafe fn bury(&mut self, block: *const u8, size: usize) {
        if self.traced == Some(self.ends.len()) {
            eprintln!("block {} of {size} bytes:\n{}", self.ends.len(), std::backtrace::Backtrace::force_capture());
        }
        // SAFETY: the block is as long by the contract, and zero where nobody wrote.
        let left = unsafe { core::slice::from_raw_parts(block, size) };
        // An erased block is counted and not kept.
        if left.iter().any(|byte| *byte != 0) {
            self.bytes.extend_from_slice(left);
        }
        self.ends.push(self.bytes.len());
    }
}

/// Every secret of which a piece lies in `bytes`, with the place of the first piece.
pub fn search<'a>(bytes: &[u8], secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<(&'a str, usize)> {
    let mut pieces: HashMap<[u8; PIECE_BYTES], &str> = HashMap::new();
    let mut filter = vec![false; 1 << 16];
    for (name, secret) in secrets {
        assert!(secret.len() >= PIECE_BYTES, "{name} is too short to be searched for");
        for piece in secret.chunks_exact(PIECE_BYTES) {
            let piece: [u8; PIECE_BYTES] = piece.try_into().expect("chunks of this size");
            // A piece of zeros is everywhere.
            if piece != [0; PIECE_BYTES] {
                pieces.insert(piece, name);
                filter[usize::from(u16::from_le_bytes([piece[0], piece[1]]))] = true;
            }
        }
    }
    let mut found: Vec<(&str, usize)> = Vec::new();
    for (place, window) in bytes.windows(PIECE_BYTES).enumerate() {
        if !filter[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
            continue;
        }
        if let Some(name) = pieces.get(window)
            && found.iter().all(|(known, _)| known != name)
        {
            found.push((name, place));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: RecordingAllocator = RecordingAllocator;

    const SECRET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

    fn found(work: impl FnOnce()) -> Vec<String> {
        let mut remains = Remains::new();
        remains.during(work);
        remains.found([("secret", SECRET.as_slice())])
    }

    #[test]
    fn a_block_freed_with_a_secret_in_it_is_found() {
        assert_eq!(found(|| drop(SECRET.to_vec())), ["secret in block 0 of 32 bytes"]);
    }

    #[test]
    fn so_is_a_part_of_it() {
        assert_eq!(found(|| drop(SECRET[8..16].to_vec())).len(), 1);
        let mut padded = vec![0; 100];
        padded[51..75].copy_from_slice(&SECRET[8..]);
        assert_eq!(found(move || drop(padded)).len(), 1);
    }

    #[test]
    fn growing_a_block_leaves_a_copy() {
        let mut grown = Vec::with_capacity(32);
        assert_eq!(
            found(|| {
                grown.extend_from_slice(SECRET);
                grown.push(0);
            })
            .len(),
            1
        );
    }

    #[test]
    fn a_block_that_was_erased_or_is_still_held_is_not_found() {
        let mut kept = Vec::new();
        let erased = || {
            kept = SECRET.to_vec();
            let mut block = SECRET.to_vec();
            block.fill(0);
            std::hint::black_box(&mut block);
        };
        assert!(found(erased).is_empty());
        assert_eq!(kept, SECRET);
    }

    #[test]
    fn what_another_thread_frees_is_not_recorded() {
        let secret = SECRET.to_vec();
        assert!(found(|| std::thread::spawn(|| drop(secret)).join().unwrap_or(())).is_empty());
    }
}
