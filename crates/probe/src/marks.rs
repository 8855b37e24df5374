//! Client requests to valgrind's memcheck (memcheck.h), in the manner of ctgrind: a secret is marked as undefined, and memcheck
//! then follows it through every computation and reports each branch and each memory address that depends on it.
//!
//! Outside valgrind, and on other processors than x86-64, all of this does nothing.

/// `VG_USERREQ_TOOL_BASE('M', 'C')`: memcheck's requests count from here.
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const MAKE_MEM_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_MEM_DEFINED: usize = MEMCHECK + 2;
/// Of the core: how deep valgrinds are nested, 0 outside.
const RUNNING_ON_VALGRIND: usize = 0x1001;

/// From here on the bytes of `value` are secret.
pub fn classify<T: ?Sized>(value: &T) {
    request(MAKE_MEM_UNDEFINED, core::ptr::from_ref(value).cast(), size_of_val(value));
}

/// From here on the bytes of `value` are public.
pub fn declassify<T: ?Sized>(value: &T) {
    request(MAKE_MEM_DEFINED, core::ptr::from_ref(value).cast(), size_of_val(value));
}

/// True if marks have an effect.
pub fn is_checked() -> bool {
    request(RUNNING_ON_VALGRIND, core::ptr::null(), 0) != 0
}

#[cfg(target_arch = "x86_64")]
fn request(code: usize, start: *const u8, length: usize) -> usize {
    let arguments = [code, start.addr(), length, 0, 0, 0];
    let mut result = 0_usize;
    // SAFETY: four rotations that add up to one turn of rdi, and an exchange of rbx with itself: nothing changes but the flags.
    // Valgrind recognises the sequence, reads the six words at rax, and puts its answer into rdx. It touches no other memory of
    // ours; the words are read, so they must be in memory, which the clobber that `asm!` implies sees to.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") result,
            options(nostack),
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_: usize, _: *const u8, _: usize) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_change_nothing_outside_valgrind() {
        let value = [7_u8; 32];
        classify(&value);
        declassify(&value);
        assert_eq!(value, [7; 32]);
    }
}
