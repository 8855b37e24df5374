//! EIP-712 version 4: typed data.
//!
//! The canonical form is CBOR: the array `[types, primaryType, domain, message]`. `types` is an array of
//! `[name, [[field name, field type], ...]]`, sorted by name bytewise; it holds `EIP712Domain`, the primary type and what
//! they refer to, and nothing else. Values carry no names, their declared type says how to read them:
//!
//! | type | CBOR |
//! |---|---|
//! | `uintN`, `intN` | byte string of 32, big-endian, two's complement; must fit N bits |
//! | `address` | byte string of 20 |
//! | `bytesN` | byte string of N |
//! | `bytes`, `string`, `bool` | byte string, text string, boolean |
//! | `T[]`, `T[n]` | array; of exactly n for `T[n]` |
//! | struct | array of its fields' values in declared order; never null |

mod canonical;
mod error;
mod hash;
#[cfg(feature = "json")]
mod json;
mod schema;
mod value;

use alloy_primitives::U256;
use pinseal_protocol::intent::EvmAddress;

pub use error::{Problem, TypedDataError};
pub use schema::{Field, Schema, StructType, Type};
pub use value::Value;

/// The longest canonical form: beyond every order book's bulk order that was seen, and quick to hash and show.
pub const TYPED_DATA_LEN_MAX: usize = 64 * 1024;
/// The longest JSON that a client reads; its names and hex digits take more room than the canonical form.
pub const JSON_LEN_MAX: usize = 256 * 1024;
/// Most struct types, `EIP712Domain` included.
pub const TYPES_MAX: usize = 64;
/// Most fields of one struct type.
pub const FIELDS_MAX: usize = 64;
/// The longest name of a type or field, and the longest type expression, in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// Most values in domain and message together, containers counted.
pub const VALUES_MAX: usize = 8192;
/// How deep arrays and structs may nest, in values as in type expressions.
pub const DEPTH_MAX: usize = 16;

/// The struct type that names the application.
const DOMAIN: &str = "EIP712Domain";

/// Typed data whose values fit their types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedData {
    schema: Schema,
    /// Index of the primary type in `schema`.
    primary: usize,
    domain: Vec<Value>,
    message: Vec<Value>,
}

/// What the domain says; every field may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain<'a> {
    /// The application's name.
    pub name: Option<&'a str>,
    /// The version of the application's signing scheme.
    pub version: Option<&'a str>,
    /// EIP-155 chain id.
    pub chain_id: Option<U256>,
    /// The contract that checks the signature.
    pub verifying_contract: Option<EvmAddress>,
    /// A disambiguator of last resort.
    pub salt: Option<[u8; 32]>,
}

impl TypedData {
    /// Reads the canonical form.
    ///
    /// # Errors
    /// [`TypedDataError`]; the sender is at fault.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, TypedDataError> {
        canonical::read(bytes)
    }

    /// The canonical form.
    pub fn to_cbor(&self) -> Vec<u8> {
        canonical::write(self)
    }

    /// Reads the JSON of `eth_signTypedData_v4`. Refuses duplicate keys anywhere, fields that are not declared or missing,
    /// numbers that are not exact integers within 2^53, and whatever does not fit its type exactly. Struct types that nothing
    /// refers to are dropped, since they do not enter the digest.
    ///
    /// # Errors
    /// [`TypedDataError`]; says where in the document.
    #[cfg(feature = "json")]
    pub fn from_json(text: &str) -> Result<Self, TypedDataError> {
        json::read(text)
    }

    /// `keccak256(0x1901 || hashStruct(domain) || hashStruct(message))`.
    pub fn digest(&self) -> [u8; 32] {
        hash::digest(self)
    }

    /// The domain's `chainId`, where declared.
    pub fn domain_chain_id(&self) -> Option<U256> {
        self.domain().chain_id
    }

    /// What the domain says.
    pub fn domain(&self) -> Domain<'_> {
        let mut out = Domain::default();
        let Some(domain) = self.schema.find(DOMAIN).and_then(|index| self.schema.structs().get(index)) else {
            return out;
        };
        for (field, value) in domain.fields().iter().zip(&self.domain) {
            match (field.name(), value) {
                ("name", Value::String(text)) => out.name = Some(text),
                ("version", Value::String(text)) => out.version = Some(text),
                ("chainId", Value::Integer(word)) => out.chain_id = Some(*word),
                ("verifyingContract", Value::Address(address)) => out.verifying_contract = Some(*address),
                ("salt", Value::FixedBytes(bytes)) => out.salt = bytes.as_slice().try_into().ok(),
                _ => {}
            }
        }
        out
    }

    /// All types.
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The type of the message.
    pub fn primary_type(&self) -> &StructType {
        self.schema.structs().get(self.primary).expect("the index was found in this schema")
    }

    /// The message's values, in the order of the primary type's fields.
    pub fn message(&self) -> &[Value] {
        &self.message
    }

    fn new(schema: Schema, primary: usize, domain: Vec<Value>, message: Vec<Value>) -> Self {
        Self { schema, primary, domain, message }
    }
}
