//! `hashStruct` and the digest.

use alloy_primitives::{Keccak256, keccak256};

use super::{DOMAIN, Schema, Type, TypedData, Value};

pub(super) fn digest(data: &TypedData) -> [u8; 32] {
    let hasher = Hasher::new(&data.schema);
    let domain = data.schema.find(DOMAIN).unwrap_or_default();
    let mut out = Keccak256::new();
    out.update([0x19, 0x01]);
    out.update(hasher.hash_struct(domain, &data.domain));
    out.update(hasher.hash_struct(data.primary, &data.message));
    out.finalize().0
}

struct Hasher<'a> {
    schema: &'a Schema,
    /// One per struct type, hashed once however often the type occurs.
    type_hashes: Vec<[u8; 32]>,
}

impl<'a> Hasher<'a> {
    fn new(schema: &'a Schema) -> Self {
        let type_hashes = (0..schema.structs().len()).map(|index| keccak256(encode_type(schema, index)).0).collect();
        Self { schema, type_hashes }
    }

    fn hash_struct(&self, index: usize, values: &[Value]) -> [u8; 32] {
        let mut out = Keccak256::new();
        out.update(self.type_hashes.get(index).copied().unwrap_or_default());
        for (field, value) in self.schema.fields(index).iter().zip(values) {
            out.update(self.word(field.kind(), value));
        }
        out.finalize().0
    }

    /// The 32 bytes by which a value enters its container.
    fn word(&self, kind: &Type, value: &Value) -> [u8; 32] {
        match (kind, value) {
            (Type::Struct(index), Value::Struct(values)) => self.hash_struct(*index, values),
            (Type::Array(element, _), Value::Array(values)) => {
                let mut out = Keccak256::new();
                for value in values {
                    out.update(self.word(element, value));
                }
                out.finalize().0
            }
            (_, Value::Integer(word)) => word.to_be_bytes(),
            (_, Value::Address(address)) => place(address.as_bytes(), 12),
            (_, Value::Bool(value)) => place(&[u8::from(*value)], 31),
            (_, Value::FixedBytes(bytes)) => place(bytes, 0),
            (_, Value::Bytes(bytes)) => keccak256(bytes).0,
            (_, Value::String(text)) => keccak256(text.as_bytes()).0,
            (_, Value::Array(_) | Value::Struct(_)) => unreachable!("values are only ever built along their types"),
        }
    }
}

/// A word of zeros with `bytes` from `start` on.
fn place(bytes: &[u8], start: usize) -> [u8; 32] {
    let mut word = [0; 32];
    for (slot, byte) in word.iter_mut().skip(start).zip(bytes) {
        *slot = *byte;
    }
    word
}

/// The type and then all it refers to, sorted by name.
fn encode_type(schema: &Schema, index: usize) -> String {
    let mut others = schema.reachable(index);
    others.remove(&index);
    let mut out = String::new();
    // The schema is sorted by name, so the order of indices is the order of names.
    for index in core::iter::once(index).chain(others) {
        let Some(declared) = schema.structs().get(index) else { continue };
        out.push_str(declared.name());
        out.push('(');
        for (position, field) in declared.fields().iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            out.push_str(&schema.display(field.kind()).to_string());
            out.push(' ');
            out.push_str(field.name());
        }
        out.push(')');
    }
    out
}
