//! The declared types.

use core::fmt;
use std::collections::BTreeSet;

use super::{DEPTH_MAX, DOMAIN, FIELDS_MAX, NAME_LEN_MAX, TYPES_MAX, TypedDataError, VALUES_MAX};

/// All struct types of one document, sorted by name bytewise; each is reachable from the domain or the primary type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(Vec<StructType>);

/// One struct type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructType {
    name: String,
    fields: Vec<Field>,
}

/// One field of a struct type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: String,
    kind: Type,
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `uintN`: N is a multiple of 8 from 8 to 256.
    Uint(u16),
    /// `intN`, likewise.
    Int(u16),
    /// `address`.
    Address,
    /// `bytesN`: N from 1 to 32.
    FixedBytes(u8),
    /// `bytes`.
    Bytes,
    /// `string`.
    String,
    /// `bool`.
    Bool,
    /// `T[]` or, with a length, `T[n]`.
    Array(Box<Self>, Option<u32>),
    /// The struct type at this index of the [`Schema`].
    Struct(usize),
}

/// Types as they are written: `(name, [(field name, field type)])`.
pub(super) type Declared = Vec<(String, Vec<(String, String)>)>;

impl StructType {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its fields, in declared order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl Field {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    pub const fn kind(&self) -> &Type {
        &self.kind
    }
}

impl Schema {
    /// Checks the declared types, sorted by name, and finds the primary one.
    pub(super) fn new(declared: &Declared, primary: &str) -> Result<(Self, usize), TypedDataError> {
        if declared.len() > TYPES_MAX {
            return Err(TypedDataError::TooLarge);
        }
        for (name, fields) in declared {
            check_struct_name(name)?;
            if fields.len() > FIELDS_MAX {
                return Err(TypedDataError::TooLarge);
            }
            let mut seen = BTreeSet::new();
            for (field, _) in fields {
                check_identifier(field)?;
                if !seen.insert(field) {
                    return Err(TypedDataError::DuplicateName);
                }
            }
        }
        if !declared.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(TypedDataError::DuplicateName);
        }
        let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
        let mut structs = Vec::with_capacity(declared.len());
        for (name, fields) in declared {
            let fields = fields
                .iter()
                .map(|(field, text)| Ok(Field { name: field.clone(), kind: Type::parse(text, &names)? }))
                .collect::<Result<Vec<_>, TypedDataError>>()?;
            structs.push(StructType { name: name.clone(), fields });
        }
        let schema = Self(structs);
        let domain = schema.find(DOMAIN).ok_or(TypedDataError::MissingDomain)?;
        schema.check_domain(domain)?;
        let primary =
            schema.find(primary).filter(|index| *index != domain).ok_or(TypedDataError::InvalidPrimaryType)?;
        let mut reached = schema.reachable(primary);
        schema.check_colons(primary, reached.len())?;
        reached.append(&mut schema.reachable(domain));
        if reached.len() != schema.0.len() {
            return Err(TypedDataError::UnusedType);
        }
        schema.check_finite()?;
        Ok((schema, primary))
    }

    /// All struct types, sorted by name.
    pub fn structs(&self) -> &[StructType] {
        &self.0
    }

    /// Where the struct type of this name stands.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|candidate| candidate.name.as_str().cmp(name)).ok()
    }

    pub(super) fn fields(&self, index: usize) -> &[Field] {
        self.0.get(index).map_or(&[], StructType::fields)
    }

    /// The struct type at `start` and all it refers to, directly or not.
    pub(super) fn reachable(&self, start: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([start]);
        let mut queue = vec![start];
        while let Some(index) = queue.pop() {
            for next in self.fields(index).iter().filter_map(|field| field.kind.struct_index()) {
                if found.insert(next) {
                    queue.push(next);
                }
            }
        }
        found
    }

    /// How a type is written.
    pub fn display<'a>(&'a self, kind: &'a Type) -> impl fmt::Display + 'a {
        TypeText { schema: self, kind }
    }

    /// Names and types of the standard, each once, in any order: contracts exist that hash them in another than the listed one.
    fn check_domain(&self, domain: usize) -> Result<(), TypedDataError> {
        let is_standard = |field: &Field| {
            matches!(
                (field.name.as_str(), &field.kind),
                ("name" | "version", Type::String)
                    | ("chainId", Type::Uint(256))
                    | ("verifyingContract", Type::Address)
                    | ("salt", Type::FixedBytes(32))
            )
        };
        let fields = self.fields(domain);
        if !fields.is_empty() && fields.iter().all(is_standard) { Ok(()) } else { Err(TypedDataError::InvalidDomain) }
    }

    /// A large exchange names its types `Exchange:Action`. Implementations agree on such a name only where it is the primary
    /// type's and that type is built of built-in types alone.
    fn check_colons(&self, primary: usize, reached: usize) -> Result<(), TypedDataError> {
        let alone = |index: usize| index == primary && reached == 1;
        let mut named = self.0.iter().enumerate().filter(|(_, declared)| declared.name.contains(':'));
        if named.all(|(index, _)| alone(index)) { Ok(()) } else { Err(TypedDataError::InvalidName) }
    }

    /// Refuses types that contain themselves by value: no document could hold one.
    fn check_finite(&self) -> Result<(), TypedDataError> {
        // Repeatedly settle the types all of whose by-value members are settled; what remains contains itself.
        let mut settled = BTreeSet::new();
        for _ in 0..self.0.len() {
            let before = settled.len();
            for (index, candidate) in self.0.iter().enumerate() {
                let mut by_value = candidate.fields.iter().filter_map(|field| field.kind.by_value());
                if by_value.all(|inner| settled.contains(&inner)) {
                    settled.insert(index);
                }
            }
            if settled.len() == before {
                break;
            }
        }
        if settled.len() == self.0.len() { Ok(()) } else { Err(TypedDataError::RecursiveType) }
    }
}

impl Type {
    fn parse(text: &str, names: &[&str]) -> Result<Self, TypedDataError> {
        if text.len() > NAME_LEN_MAX {
            return Err(TypedDataError::InvalidName);
        }
        let (base, mut suffix) = text.split_at(text.find('[').unwrap_or(text.len()));
        let mut kind = match Self::builtin(base) {
            Some(kind) => kind,
            None => Self::Struct(names.binary_search(&base).map_err(|_| TypedDataError::UndeclaredType)?),
        };
        let mut depth = 0;
        while let Some(rest) = suffix.strip_prefix('[') {
            depth += 1;
            if depth > DEPTH_MAX {
                return Err(TypedDataError::TooLarge);
            }
            let (len, rest) = rest.split_once(']').ok_or(TypedDataError::InvalidName)?;
            let len = if len.is_empty() { None } else { Some(array_len(len)?) };
            kind = Self::Array(Box::new(kind), len);
            suffix = rest;
        }
        if suffix.is_empty() { Ok(kind) } else { Err(TypedDataError::InvalidName) }
    }

    fn builtin(text: &str) -> Option<Self> {
        let bits = |digits: &str| {
            let bits = small_number(digits)?;
            (bits % 8 == 0 && (8..=256).contains(&bits)).then_some(bits)
        };
        match text {
            "address" => Some(Self::Address),
            "bool" => Some(Self::Bool),
            "string" => Some(Self::String),
            "bytes" => Some(Self::Bytes),
            _ => {
                if let Some(digits) = text.strip_prefix("uint") {
                    bits(digits).map(Self::Uint)
                } else if let Some(digits) = text.strip_prefix("int") {
                    bits(digits).map(Self::Int)
                } else {
                    let len = u8::try_from(small_number(text.strip_prefix("bytes")?)?).ok()?;
                    (1..=32).contains(&len).then_some(Self::FixedBytes(len))
                }
            }
        }
    }

    /// The struct type it is or has as its elements.
    fn struct_index(&self) -> Option<usize> {
        match self {
            Self::Struct(index) => Some(*index),
            Self::Array(element, _) => element.struct_index(),
            _ => None,
        }
    }

    /// The struct type of which every value of this type holds at least one.
    fn by_value(&self) -> Option<usize> {
        match self {
            Self::Struct(index) => Some(*index),
            Self::Array(element, Some(_)) => element.by_value(),
            _ => None,
        }
    }
}

struct TypeText<'a> {
    schema: &'a Schema,
    kind: &'a Type,
}

impl fmt::Display for TypeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Type::Uint(bits) => write!(f, "uint{bits}"),
            Type::Int(bits) => write!(f, "int{bits}"),
            Type::Address => f.write_str("address"),
            Type::FixedBytes(len) => write!(f, "bytes{len}"),
            Type::Bytes => f.write_str("bytes"),
            Type::String => f.write_str("string"),
            Type::Bool => f.write_str("bool"),
            Type::Array(element, len) => {
                Self { schema: self.schema, kind: element }.fmt(f)?;
                match len {
                    Some(len) => write!(f, "[{len}]"),
                    None => f.write_str("[]"),
                }
            }
            Type::Struct(index) => f.write_str(self.schema.0.get(*index).map_or("", StructType::name)),
        }
    }
}

/// The struct type's name that a type expression starts with.
#[cfg(feature = "json")]
pub(super) fn base_name(text: &str) -> &str {
    text.split_at(text.find('[').unwrap_or(text.len())).0
}

fn array_len(text: &str) -> Result<u32, TypedDataError> {
    let len = small_number(text).ok_or(TypedDataError::InvalidName)?;
    if len == 0 {
        return Err(TypedDataError::InvalidName);
    }
    if usize::from(len) > VALUES_MAX { Err(TypedDataError::TooLarge) } else { Ok(u32::from(len)) }
}

/// A decimal number in its only spelling.
fn small_number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A field's name.
fn check_identifier(name: &str) -> Result<(), TypedDataError> {
    let is_start = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b'$';
    let is_inner = |b: &u8| is_start(*b) || b.is_ascii_digit();
    match name.as_bytes() {
        [first, rest @ ..] if name.len() <= NAME_LEN_MAX && is_start(*first) && rest.iter().all(is_inner) => Ok(()),
        _ => Err(TypedDataError::InvalidName),
    }
}

/// A struct type's name. No dollar: implementations disagree on what such a type refers to.
fn check_struct_name(name: &str) -> Result<(), TypedDataError> {
    if name.len() > NAME_LEN_MAX || name.contains('$') {
        return Err(TypedDataError::InvalidName);
    }
    name.split(':').try_for_each(check_identifier)?;
    // Everything that looks like a built-in type is reserved, `uint`, `int7` and `bytes33` included.
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let reserved = ["address", "bool", "string", "function", "bytes", "uint", "int", "fixed", "ufixed"];
    if reserved.contains(&stem) { Err(TypedDataError::InvalidName) } else { Ok(()) }
}
