//! Memory that is locked, left out of dumps, empty in a child, and zeroed when given back: the heap of the enclave's process.
//!
//! Keys, seeds and factors are small and short-lived values made all over the enclave's code. Rather than ask each place to put them
//! somewhere special, the process's allocator serves small blocks from the locked arena and zeroes **every** block that is freed,
//! wherever it came from.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::{ChildEnd, in_child};

/// Size of the arena. With [`super::STACK_BYTES_LOCKED`] it stays under the 8 MiB that an ordinary user may lock.
pub(crate) const ARENA_BYTES: usize = 4 * 1024 * 1024;

/// The arena is handed to size classes in pieces of this size; the largest block it serves.
const SLAB_BYTES: usize = 4096;
const SLABS: usize = ARENA_BYTES / SLAB_BYTES;

/// Smallest block: room for the link of a free list.
const BLOCK_BYTES_MIN: usize = 16;
/// 16, 32, ... 4096.
const CLASSES: usize = 9;

/// Blocks up to this size may use the whole arena. Larger ones may use half of it, so that tables that grow with the number of wallets
/// never drive key-sized blocks out.
const KEY_BYTES_MAX: usize = 256;

/// The process's allocator.
#[derive(Debug)]
pub struct WipingAllocator {
    /// First byte of the arena; 0 until it is activated.
    start: AtomicUsize,
    locked: AtomicBool,
    pool: UnsafeCell<Pool>,
}

// SAFETY: `pool` is only reached through `with_pool`, which holds the spin lock.
unsafe impl Sync for WipingAllocator {}

#[derive(Debug)]
struct Pool {
    slabs_used: usize,
    free: [Option<NonNull<FreeBlock>>; CLASSES],
}

#[derive(Debug)]
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

impl WipingAllocator {
    /// An allocator that wipes what is freed; [`crate::hardening`] gives it the arena.
    pub const fn new() -> Self {
        Self {
            start: AtomicUsize::new(0),
            locked: AtomicBool::new(false),
            pool: UnsafeCell::new(Pool { slabs_used: 0, free: [None; CLASSES] }),
        }
    }

    /// Makes the arena, probes it, and serves small blocks from it from now on. The process must have one thread.
    pub(crate) fn activate(&self) -> io::Result<()> {
        if self.start.load(Ordering::Relaxed) != 0 {
            return Err(io::Error::from_raw_os_error(libc::EALREADY));
        }
        let region = map_locked()?;
        let filled = region.as_ptr();
        // SAFETY: the region is ARENA_BYTES long, ours alone, and not yet handed to anyone.
        unsafe { ptr::write_bytes(filled, 0xa5, ARENA_BYTES) };
        // SAFETY: the same region; a child reads its own copy of it.
        let copy = unsafe { std::slice::from_raw_parts(filled, ARENA_BYTES) };
        let child = in_child(|| i32::from(!copy.chunks(SLAB_BYTES).all(|slab| slab == [0; SLAB_BYTES])))?;
        if child != ChildEnd::Code(0) {
            return Err(io::Error::from_raw_os_error(libc::ENOTSUP));
        }
        // SAFETY: as above.
        unsafe { ptr::write_bytes(filled, 0, ARENA_BYTES) };
        self.start.store(filled.expose_provenance(), Ordering::Release);
        Ok(())
    }

    fn with_pool<T>(&self, work: impl FnOnce(&mut Pool) -> T) -> T {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
        // SAFETY: the flag above is ours, so this is the only reference to the pool; `work` neither allocates nor panics.
        let result = work(unsafe { &mut *self.pool.get() });
        self.locked.store(false, Ordering::Release);
        result
    }

    fn owns(&self, block: *mut u8) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start != 0 && block.addr().wrapping_sub(start) < ARENA_BYTES
    }

    /// A block of the arena, or null if there is no room or no arena. How often there was none is nobody's to know: a right PIN takes other
    /// blocks than a wrong one, and whoever fills the arena could count them.
    fn take(&self, class: usize) -> *mut u8 {
        let start = self.start.load(Ordering::Acquire);
        if start == 0 {
            return ptr::null_mut();
        }
        self.with_pool(|pool| pool.take(class, start))
    }
}

impl Default for WipingAllocator {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    fn take(&mut self, class: usize, start: usize) -> *mut u8 {
        if self.free[class].is_none() {
            self.carve_slab(class, start);
        }
        let Some(block) = self.free[class] else { return ptr::null_mut() };
        // SAFETY: blocks on a free list lie in the arena, are aligned to their class, hold a valid link, and belong to nobody else.
        unsafe {
            self.free[class] = (*block.as_ptr()).next;
            // The link is the only thing in a free block that is not zero.
            block.as_ptr().write(FreeBlock { next: None });
        }
        block.as_ptr().cast()
    }

    fn give_back(&mut self, class: usize, block: *mut u8) {
        let Some(block) = NonNull::new(block.cast::<FreeBlock>()) else { return };
        // SAFETY: the block lies in the arena, is at least BLOCK_BYTES_MIN long and aligned to its class, and its user gave it up.
        unsafe { block.as_ptr().write(FreeBlock { next: self.free[class] }) };
        self.free[class] = Some(block);
    }

    /// Cuts the next unused slab into blocks of this class.
    fn carve_slab(&mut self, class: usize, start: usize) {
        let bytes = BLOCK_BYTES_MIN << class;
        let slabs_allowed = if bytes <= KEY_BYTES_MAX { SLABS } else { SLABS / 2 };
        if self.slabs_used >= slabs_allowed {
            return;
        }
        let slab = start + self.slabs_used * SLAB_BYTES;
        self.slabs_used += 1;
        for block in (slab..slab + SLAB_BYTES).step_by(bytes).rev() {
            self.give_back(class, ptr::with_exposed_provenance_mut(block));
        }
    }
}

/// The size class that holds `layout`, if the arena serves blocks of that size at all.
fn class_of(layout: &Layout) -> Option<usize> {
    let bytes = layout.size().max(layout.align()).max(BLOCK_BYTES_MIN);
    if bytes > SLAB_BYTES {
        return None;
    }
    Some((bytes.next_power_of_two() / BLOCK_BYTES_MIN).ilog2() as usize)
}

/// Zeroes memory in a way the compiler cannot leave out.
///
/// # Safety
/// `start` points to `bytes` writable bytes that nobody reads any more.
unsafe fn wipe(start: *mut u8, bytes: usize) {
    // SAFETY: the contract of this function.
    unsafe { ptr::write_bytes(start, 0, bytes) };
    // SAFETY: no instruction at all; it only tells the compiler that someone may look at the memory.
    unsafe { std::arch::asm!("/* {0} */", in(reg) start, options(nostack, preserves_flags)) };
}

/// New memory that is locked, left out of dumps and empty in children.
fn map_locked() -> io::Result<NonNull<u8>> {
    let flags = MapFlags::PRIVATE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let region =
        unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), ARENA_BYTES, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    // SAFETY: the three calls cover exactly the new mapping, which holds nothing yet.
    unsafe {
        rustix::mm::mlock(region, ARENA_BYTES)?;
        rustix::mm::madvise(region, ARENA_BYTES, Advice::LinuxDontDump)?;
        rustix::mm::madvise(region, ARENA_BYTES, Advice::LinuxWipeOnFork)?;
    }
    NonNull::new(region.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

// SAFETY: blocks come either from `System` or from the arena, which hands out each block once, aligned to a power of two at least as
// large as size and alignment; `owns` tells the two apart when a block comes back with the layout it was asked for with.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = class_of(&layout) {
            let block = self.take(class);
            if !block.is_null() {
                return block;
            }
        }
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = class_of(&layout) {
            // Blocks of the arena are zero whenever nobody uses them.
            let block = self.take(class);
            if !block.is_null() {
                return block;
            }
        }
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up `layout.size()` bytes at `block`.
        unsafe { wipe(block, layout.size()) };
        match class_of(&layout) {
            Some(class) if self.owns(block) => self.with_pool(|pool| pool.give_back(class, block)),
            // SAFETY: not the arena's, so it came from `System` with this layout.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    // `realloc` keeps its default, allocate, copy, free: growing in place through `System` would leave copies behind unwiped.
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use super::*;

    /// A pool over ordinary memory; the locked mapping itself is tested through the process.
    fn allocator() -> WipingAllocator {
        let region = Box::leak(vec![0_u128; ARENA_BYTES / 16 + SLAB_BYTES / 16].into_boxed_slice());
        let start = region.as_mut_ptr().expose_provenance().next_multiple_of(SLAB_BYTES);
        let allocator = WipingAllocator::new();
        allocator.start.store(start, Ordering::Release);
        allocator
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn blocks_are_zero_aligned_disjoint_and_reused() {
        let allocator = allocator();
        let mut taken: Vec<(*mut u8, Layout)> = Vec::new();
        for round in 0..3_usize {
            for size in [1, 8, 16, 17, 32, 33, 100, 255, 256, 257, 1000, 2049, 4096] {
                for align in [1, 8, 16, 64, 4096] {
                    let layout = layout(size + round, align);
                    // SAFETY: sizes are not zero.
                    let block = unsafe { allocator.alloc(layout) };
                    assert_eq!(block.addr() % align, 0);
                    assert_eq!(allocator.owns(block), size + round <= SLAB_BYTES);
                    if allocator.owns(block) {
                        // SAFETY: the block is ours and `layout.size()` long.
                        let bytes = unsafe { std::slice::from_raw_parts_mut(block, layout.size()) };
                        assert!(bytes.iter().all(|byte| *byte == 0), "arena blocks are handed out zeroed");
                        bytes.fill(0x5a);
                    }
                    taken.push((block, layout));
                }
            }
        }
        taken.sort_by_key(|(block, _)| block.addr());
        assert!(taken.windows(2).all(|pair| pair[0].0.addr() + pair[0].1.size() <= pair[1].0.addr()));
        let used = allocator.with_pool(|pool| pool.slabs_used);
        for (block, layout) in &taken {
            // SAFETY: taken above with this layout, given back once.
            unsafe { allocator.dealloc(*block, *layout) };
        }
        for (block, layout) in taken {
            // SAFETY: as above.
            let again = unsafe { allocator.alloc(layout) };
            if allocator.owns(block) {
                // SAFETY: the block is ours and `layout.size()` long.
                assert!(unsafe { std::slice::from_raw_parts(again, layout.size()) }.iter().all(|byte| *byte == 0));
            }
        }
        assert_eq!(allocator.with_pool(|pool| pool.slabs_used), used, "freed blocks are used again");
    }

    #[test]
    fn a_freed_secret_is_gone() {
        let allocator = allocator();
        let layout = layout(64, 1);
        // SAFETY: not zero-sized; written within its size; read after free only as raw memory of the leaked region.
        unsafe {
            let block = allocator.alloc(layout);
            ptr::write_bytes(block, 0x77, 64);
            allocator.dealloc(block, layout);
            let left = std::slice::from_raw_parts(block, 64);
            // An address may hold the byte 0x77 somewhere; no address of a process is eight of them (it ends below 2^47).
            let (link, rest) = left.split_at(size_of::<usize>());
            assert_ne!(link, [0x77; size_of::<usize>()]);
            assert!(rest.iter().all(|byte| *byte == 0), "all but the link is zero");
        }
    }

    #[test]
    fn large_tables_leave_half_of_the_arena_to_keys() {
        let allocator = allocator();
        let table = layout(1024, 8);
        // SAFETY: not zero-sized.
        let served = (0..2 * ARENA_BYTES / 1024).filter(|_| allocator.owns(unsafe { allocator.alloc(table) })).count();
        assert_eq!(served, ARENA_BYTES / 2 / 1024);
        let key = layout(32, 1);
        // SAFETY: not zero-sized.
        let served = (0..ARENA_BYTES / 32).filter(|_| allocator.owns(unsafe { allocator.alloc(key) })).count();
        assert_eq!(served, ARENA_BYTES / 2 / 32);
    }

    #[test]
    fn growing_moves_and_wipes() {
        let allocator = allocator();
        let small = layout(32, 1);
        // SAFETY: sizes are not zero and within the blocks; the old block is read as raw memory of the leaked region.
        unsafe {
            let old = allocator.alloc(small);
            ptr::write_bytes(old, 0x33, 32);
            let new = allocator.realloc(old, small, 48);
            assert_eq!(std::slice::from_raw_parts(new, 32), [0x33; 32]);
            assert!(std::slice::from_raw_parts(old, 32)[size_of::<usize>()..].iter().all(|byte| *byte == 0));
        }
    }
}
