//! Where a value that was computed from secrets becomes public.
//!
//! The check under valgrind (`enclave::operation::constant_time`) follows secrets through the unlock path and reports every branch and every
//! memory address that depends on one. What may be known, because it leaves anyway, is declassified by name. Each call says why.

#[cfg(feature = "constant-time-check")]
pub use pinseal_probe::marks::declassify;
use subtle::ConstantTimeEq as _;

/// `value` is public from here on. Does nothing but in the check.
#[cfg(not(feature = "constant-time-check"))]
#[inline(always)]
pub const fn declassify<T: ?Sized>(_value: &T) {}

/// Compares two secrets in constant time and makes the verdict, and nothing else, public. Their lengths are public.
///
/// A function of its own in optimised code as well, so that the check names it.
#[inline(never)]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    #[cfg(feature = "constant-time-check")]
    if sabotage::is_wanted() {
        return left == right;
    }
    let verdict = left.ct_eq(right);
    declassify(&verdict);
    verdict.into()
}

/// The check proves with it that it would see a comparison that ends at the first difference.
#[cfg(feature = "constant-time-check")]
pub mod sabotage {
    use core::sync::atomic::{AtomicBool, Ordering};

    static WANTED: AtomicBool = AtomicBool::new(false);

    /// From here on [`super::equal`] is not constant-time.
    pub fn begin() {
        WANTED.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_wanted() -> bool {
        WANTED.load(Ordering::Relaxed)
    }
}
