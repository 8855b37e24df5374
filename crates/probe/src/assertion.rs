//! Compile-time proof of what a type is not.

/// Fails the build if a type implements one of the traits: the call below is then ambiguous.
#[macro_export]
macro_rules! assert_not_implemented {
    ($type:ty: $($bound:path),+ $(,)?) => {$(
        const _: fn() = || {
            trait AmbiguousIfImplemented<Marker> {
                fn probe() {}
            }
            impl<T: ?Sized> AmbiguousIfImplemented<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $bound> AmbiguousIfImplemented<Implemented> for T {}
            let _ = <$type as AmbiguousIfImplemented<_>>::probe;
        };
    )+};
}

/// Fails the build unless each type keeps its secret: it cannot be cloned, copied, displayed, hashed, ordered or compared with
/// `==` (constant-time comparison goes by `subtle::ConstantTimeEq`), and gives its contents away by no conversion.
///
/// `Debug` is allowed, since errors and enums around a secret want it: that it shows nothing is for each crate's tests. So is
/// serialisation, for crates without serde and answers that carry a secret to its owner; see
/// [`assert_never_written`](crate::assert_never_written).
///
/// ```
/// struct Key(Box<[u8; 32]>);
/// pinseal_probe::assert_keeps_secret!(Key);
/// ```
///
/// A key that can be cloned does not compile:
///
/// ```compile_fail
/// #[derive(Clone)]
/// struct Key(Box<[u8; 32]>);
/// pinseal_probe::assert_keeps_secret!(Key);
/// ```
#[macro_export]
macro_rules! assert_keeps_secret {
    ($($type:ty),+ $(,)?) => {$(
        $crate::assert_not_implemented!($type:
            $crate::core::clone::Clone,
            $crate::core::marker::Copy,
            $crate::core::fmt::Display,
            $crate::core::fmt::LowerHex,
            $crate::core::hash::Hash,
            $crate::core::cmp::PartialEq,
            $crate::core::cmp::PartialOrd,
            $crate::core::ops::Deref,
            $crate::core::borrow::Borrow<[u8]>,
            $crate::core::borrow::Borrow<str>,
            $crate::core::convert::AsRef<[u8]>,
            $crate::core::convert::AsRef<str>,
            $crate::core::convert::Into<Vec<u8>>,
            $crate::core::convert::Into<String>,
        );
    )+};
}

/// As [`assert_keeps_secret`](crate::assert_keeps_secret), and serde cannot write the type either.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Token(String);
/// pinseal_probe::assert_never_written!(Token);
/// ```
///
/// A token that serde can write does not compile:
///
/// ```compile_fail
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Token(String);
/// pinseal_probe::assert_never_written!(Token);
/// ```
#[macro_export]
macro_rules! assert_never_written {
    ($($type:ty),+ $(,)?) => {
        $crate::assert_keeps_secret!($($type),+);
        $($crate::assert_not_implemented!($type: serde::Serialize);)+
    };
}
