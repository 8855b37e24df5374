//! Why typed data is refused.

/// Why typed data is refused. The sender is at fault; nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedDataError {
    /// Beyond [`super::TYPED_DATA_LEN_MAX`] or [`super::JSON_LEN_MAX`].
    #[error("typed data too long")]
    TooLong,
    /// Not CBOR of the right shape, or a value that does not fit its declared type.
    #[error("malformed typed data")]
    Malformed,
    /// Another encoding of the same data exists, or bytes trail it.
    #[error("typed data not in canonical form")]
    NotCanonical,
    /// A name is empty, too long, not an identifier, or that of a built-in type.
    #[error("invalid name in the types")]
    InvalidName,
    /// The types are not sorted, or two have one name, or two fields of one type.
    #[error("duplicate or unsorted names in the types")]
    DuplicateName,
    /// A field's type is no built-in type and no declared struct.
    #[error("a field's type is not declared")]
    UndeclaredType,
    /// A struct type that neither domain nor message refers to.
    #[error("a declared type is not used")]
    UnusedType,
    /// A struct that contains itself other than through a dynamic array has no finite value.
    #[error("a type contains itself")]
    RecursiveType,
    /// More types, fields or values, or deeper nesting than the bounds allow.
    #[error("typed data too large or too deep")]
    TooLarge,
    /// `EIP712Domain` is not declared.
    #[error("EIP712Domain is not declared")]
    MissingDomain,
    /// `EIP712Domain` has no field, or one that is not of the standard, by name or by type.
    #[error("EIP712Domain has a field that is not of the standard")]
    InvalidDomain,
    /// The primary type is not declared, or is `EIP712Domain`.
    #[error("the primary type is not a declared message type")]
    InvalidPrimaryType,
    /// Not JSON, or a key appears twice in one object.
    #[error("not JSON, or a key twice in one object")]
    InvalidJson,
    /// What is wrong at one place of a JSON document.
    #[error("{path}: {problem}")]
    At {
        /// Names and indices from the document's root.
        path: String,
        /// What is wrong there.
        problem: Problem,
    },
}

/// What is wrong at one place of a JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A declared field is absent.
    #[error("missing")]
    Missing,
    /// A field that the type does not declare.
    #[error("not declared")]
    Undeclared,
    /// Null, where a value is needed.
    #[error("null is not a value")]
    Null,
    /// Another kind of JSON value than the declared type needs.
    #[error("a value of the wrong kind")]
    WrongKind,
    /// A number with a fraction or an exponent, or beyond 2^53, where readers disagree on the value.
    #[error("a number that is not exact; write it as a string")]
    InexactNumber,
    /// An integer text that is not plain decimal or 0x and hex digits.
    #[error("not an integer")]
    NotAnInteger,
    /// An integer that does not fit its type.
    #[error("out of range of its type")]
    OutOfRange,
    /// Not 0x and an even number of hex digits.
    #[error("not hex")]
    NotHex,
    /// Bytes or an array of another length than the type says.
    #[error("of the wrong length")]
    WrongLength,
    /// An address whose case does not match its checksum.
    #[error("an address that does not match its checksum")]
    WrongChecksum,
    /// Nested too deeply, or too many values.
    #[error("too many values or too deep")]
    TooLarge,
}
