//! Has AWS-LC keep its keys and states where the rest of the process keeps its secrets.
//!
//! The library would otherwise ask the C library for memory. Its private keys are long-lived, so they belong into the arena.

use core::ffi::{c_char, c_int, c_void};
use std::alloc::{self, Layout};
use std::io;
use std::ptr;

type Allocate = unsafe extern "C" fn(usize, *const c_char, c_int) -> *mut c_void;
type Reallocate = unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);

include!(concat!(env!("OUT_DIR"), "/aws_lc_hooks.rs"));

/// Put before each block: its whole size. As wide as the strictest alignment C asks for.
const HEADER_BYTES: usize = 16;

/// Makes the library allocate through this process's allocator. Call once, before anything else uses the library.
pub(crate) fn use_our_allocator() -> io::Result<()> {
    // SAFETY: the three functions keep the contracts of malloc, realloc and free among each other, and no block of the library is live
    // yet, by the contract above; the library refuses a second call.
    match unsafe { set_memory_functions(allocate, reallocate, free) } {
        1 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EALREADY)),
    }
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(HEADER_BYTES)?, HEADER_BYTES).ok()
}

unsafe extern "C" fn allocate(bytes: usize, _: *const c_char, _: c_int) -> *mut c_void {
    let Some(layout) = layout(bytes) else { return ptr::null_mut() };
    // SAFETY: the layout has at least the header's size; the header lies at the start of the new block.
    unsafe {
        let block = alloc::alloc(layout);
        if block.is_null() {
            return ptr::null_mut();
        }
        block.cast::<usize>().write(bytes);
        block.add(HEADER_BYTES).cast()
    }
}

unsafe extern "C" fn free(block: *mut c_void, _: *const c_char, _: c_int) {
    if block.is_null() {
        return;
    }
    // SAFETY: the library gives back what `allocate` returned, so the header with the block's size lies before it.
    unsafe {
        let block = block.cast::<u8>().sub(HEADER_BYTES);
        if let Some(layout) = layout(block.cast::<usize>().read()) {
            alloc::dealloc(block, layout);
        }
    }
}

unsafe extern "C" fn reallocate(block: *mut c_void, bytes: usize, file: *const c_char, line: c_int) -> *mut c_void {
    // SAFETY: as for `free`; both blocks are as long as what is copied, and the old one is given back only once.
    unsafe {
        let moved = allocate(bytes, file, line);
        if moved.is_null() || block.is_null() {
            return moved;
        }
        let before = block.cast::<u8>().sub(HEADER_BYTES).cast::<usize>().read();
        ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast(), before.min(bytes));
        free(block, file, line);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_contents_when_they_move() {
        // SAFETY: only blocks of these functions, each given back once, written within their sizes.
        unsafe {
            let block = reallocate(ptr::null_mut(), 10, ptr::null(), 0).cast::<u8>();
            assert_eq!(block.addr() % HEADER_BYTES, 0);
            ptr::write_bytes(block, 7, 10);
            let longer = reallocate(block.cast(), 5000, ptr::null(), 0).cast::<u8>();
            assert_eq!(std::slice::from_raw_parts(longer, 10), [7; 10]);
            let shorter = reallocate(longer.cast(), 3, ptr::null(), 0).cast::<u8>();
            assert_eq!(std::slice::from_raw_parts(shorter, 3), [7; 3]);
            free(shorter.cast(), ptr::null(), 0);
            free(ptr::null_mut(), ptr::null(), 0);
            assert!(allocate(usize::MAX, ptr::null(), 0).is_null());
        }
    }
}
