//! The JSON of `eth_signTypedData_v4`, read without ever guessing.

mod document;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{U256, hex};

use document::Json;

use super::schema::{Declared, base_name};
use super::value::fits;
use super::{
    DEPTH_MAX, DOMAIN, Field, JSON_LEN_MAX, Problem, Schema, TYPED_DATA_LEN_MAX, Type, TypedData, TypedDataError,
    VALUES_MAX, Value,
};
use crate::evm::address::{AddressError, parse_address};

/// The largest integer up to which every JSON reader agrees (JavaScript's `Number.MAX_SAFE_INTEGER`).
const EXACT_MAX: u64 = (1 << 53) - 1;

pub(super) fn read(text: &str) -> Result<TypedData, TypedDataError> {
    if text.len() > JSON_LEN_MAX {
        return Err(TypedDataError::TooLong);
    }
    let root: Json = serde_json::from_str(text).map_err(|_| TypedDataError::InvalidJson)?;
    let mut reader = Reader { path: Vec::new(), values_left: VALUES_MAX };
    let [types, primary, domain, message] = reader.members(&root, ["types", "primaryType", "domain", "message"])?;
    let primary = reader.within("primaryType", |reader| reader.string(primary))?;
    let declared = reader.within("types", |reader| reader.types(types))?;
    let (schema, primary) = Schema::new(&used(declared, primary), primary)?;
    let domain_type = schema.find(DOMAIN).ok_or(TypedDataError::MissingDomain)?;
    let domain = reader.within("domain", |reader| reader.fields(&schema, schema.fields(domain_type), domain, 1))?;
    let message = reader.within("message", |reader| reader.fields(&schema, schema.fields(primary), message, 1))?;
    let data = TypedData::new(schema, primary, domain, message);
    if data.to_cbor().len() > TYPED_DATA_LEN_MAX { Err(TypedDataError::TooLong) } else { Ok(data) }
}

/// Sorts the types by name and drops those that neither the domain nor the primary type refers to.
fn used(declared: Declared, primary: &str) -> Declared {
    let by_name: BTreeMap<String, Vec<(String, String)>> = declared.into_iter().collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut queue = vec![DOMAIN.to_owned(), primary.to_owned()];
    while let Some(name) = queue.pop() {
        let Some(fields) = by_name.get(&name) else { continue };
        if reached.insert(name) {
            queue.extend(fields.iter().map(|(_, kind)| base_name(kind).to_owned()));
        }
    }
    by_name.into_iter().filter(|(name, _)| reached.contains(name)).collect()
}

/// Walks the document and remembers where it stands.
struct Reader {
    path: Vec<String>,
    values_left: usize,
}

impl Reader {
    fn within<T>(
        &mut self,
        step: &str,
        read: impl FnOnce(&mut Self) -> Result<T, TypedDataError>,
    ) -> Result<T, TypedDataError> {
        self.path.push(step.to_owned());
        let result = read(self);
        self.path.pop();
        result
    }

    fn at(&self, problem: Problem) -> TypedDataError {
        TypedDataError::At { path: self.path.join("."), problem }
    }

    fn object<'j>(&self, json: &'j Json) -> Result<&'j [(String, Json)], TypedDataError> {
        match json {
            Json::Object(members) => Ok(members),
            Json::Null => Err(self.at(Problem::Null)),
            _ => Err(self.at(Problem::WrongKind)),
        }
    }

    fn array<'j>(&self, json: &'j Json) -> Result<&'j [Json], TypedDataError> {
        match json {
            Json::Array(items) => Ok(items),
            Json::Null => Err(self.at(Problem::Null)),
            _ => Err(self.at(Problem::WrongKind)),
        }
    }

    fn string<'j>(&self, json: &'j Json) -> Result<&'j str, TypedDataError> {
        match json {
            Json::String(text) => Ok(text),
            Json::Null => Err(self.at(Problem::Null)),
            _ => Err(self.at(Problem::WrongKind)),
        }
    }

    /// Exactly these members of an object.
    fn members<'j, const N: usize>(
        &mut self,
        json: &'j Json,
        names: [&str; N],
    ) -> Result<[&'j Json; N], TypedDataError> {
        let members = self.object(json)?;
        if let Some((name, _)) = members.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return self.within(name, |reader| Err(reader.at(Problem::Undeclared)));
        }
        let mut out = [&Json::Null; N];
        for (slot, name) in out.iter_mut().zip(names) {
            match members.iter().find(|(candidate, _)| candidate == name) {
                Some((_, value)) => *slot = value,
                None => return self.within(name, |reader| Err(reader.at(Problem::Missing))),
            }
        }
        Ok(out)
    }

    fn types(&mut self, json: &Json) -> Result<Declared, TypedDataError> {
        let mut declared = Declared::new();
        for (name, fields) in self.object(json)? {
            let fields = self.within(name, |reader| {
                let mut out = Vec::new();
                for field in reader.array(fields)? {
                    let [field_name, kind] = reader.members(field, ["name", "type"])?;
                    out.push((reader.string(field_name)?.to_owned(), reader.string(kind)?.to_owned()));
                }
                Ok(out)
            })?;
            declared.push((name.clone(), fields));
        }
        Ok(declared)
    }

    fn fields(
        &mut self,
        schema: &Schema,
        fields: &[Field],
        json: &Json,
        depth: usize,
    ) -> Result<Vec<Value>, TypedDataError> {
        self.count(depth)?;
        let members = self.object(json)?;
        if let Some((name, _)) = members.iter().find(|(name, _)| fields.iter().all(|field| field.name() != name)) {
            return self.within(name, |reader| Err(reader.at(Problem::Undeclared)));
        }
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let value = self.within(field.name(), |reader| {
                let (_, json) =
                    members.iter().find(|(name, _)| name == field.name()).ok_or_else(|| reader.at(Problem::Missing))?;
                reader.value(schema, field.kind(), json, depth + 1)
            })?;
            values.push(value);
        }
        Ok(values)
    }

    fn value(&mut self, schema: &Schema, kind: &Type, json: &Json, depth: usize) -> Result<Value, TypedDataError> {
        if let Type::Struct(index) = kind {
            return Ok(Value::Struct(self.fields(schema, schema.fields(*index), json, depth)?));
        }
        self.count(depth)?;
        match kind {
            Type::Uint(_) | Type::Int(_) => {
                let (negative, word) = self.integer(json)?;
                // The same word is a huge `uint256` and a negative `int256`; the written sign says which one is meant.
                let sign_fits = match kind {
                    Type::Int(_) => negative == word.bit(255),
                    _ => !negative,
                };
                if sign_fits && fits(word, kind) { Ok(Value::Integer(word)) } else { Err(self.at(Problem::OutOfRange)) }
            }
            Type::Address => match parse_address(self.string(json)?) {
                Ok(address) => Ok(Value::Address(address)),
                Err(AddressError::WrongChecksum) => Err(self.at(Problem::WrongChecksum)),
                Err(AddressError::Malformed) => Err(self.at(Problem::NotHex)),
            },
            Type::FixedBytes(len) => {
                let bytes = self.hex(json)?;
                if bytes.len() == usize::from(*len) {
                    Ok(Value::FixedBytes(bytes))
                } else {
                    Err(self.at(Problem::WrongLength))
                }
            }
            Type::Bytes => Ok(Value::Bytes(self.hex(json)?)),
            Type::String => Ok(Value::String(self.string(json)?.to_owned())),
            Type::Bool => match json {
                Json::Bool(value) => Ok(Value::Bool(*value)),
                Json::Null => Err(self.at(Problem::Null)),
                _ => Err(self.at(Problem::WrongKind)),
            },
            Type::Array(element, wanted) => {
                let items = self.array(json)?;
                if wanted.is_some_and(|wanted| u32::try_from(items.len()) != Ok(wanted)) {
                    return Err(self.at(Problem::WrongLength));
                }
                let mut values = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let step = index.to_string();
                    values.push(self.within(&step, |reader| reader.value(schema, element, item, depth + 1))?);
                }
                Ok(Value::Array(values))
            }
            Type::Struct(_) => Err(self.at(Problem::WrongKind)),
        }
    }

    /// Whether an exact integer is negative, and its 256-bit word in two's complement.
    fn integer(&self, json: &Json) -> Result<(bool, U256), TypedDataError> {
        match json {
            Json::Natural(value) if *value <= EXACT_MAX => Ok((false, U256::from(*value))),
            Json::Negative(value) if value.unsigned_abs() <= EXACT_MAX => {
                Ok((true, U256::from(value.unsigned_abs()).wrapping_neg()))
            }
            Json::Natural(_) | Json::Negative(_) | Json::Inexact => Err(self.at(Problem::InexactNumber)),
            Json::String(text) => self.integer_text(text),
            Json::Null => Err(self.at(Problem::Null)),
            _ => Err(self.at(Problem::WrongKind)),
        }
    }

    /// `0x` and hex digits, or plain decimal with neither a leading zero nor a plus.
    fn integer_text(&self, text: &str) -> Result<(bool, U256), TypedDataError> {
        let (radix, negative, digits) = if let Some(digits) = text.strip_prefix("0x") {
            (16, false, digits)
        } else if let Some(digits) = text.strip_prefix('-') {
            (10, true, digits)
        } else {
            (10, false, text)
        };
        let is_digit = |b: u8| if radix == 16 { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        let padded = radix == 10 && digits.starts_with('0') && (digits.len() > 1 || negative);
        if digits.is_empty() || padded || !digits.bytes().all(is_digit) {
            return Err(self.at(Problem::NotAnInteger));
        }
        let magnitude = U256::from_str_radix(digits, radix).map_err(|_| self.at(Problem::OutOfRange))?;
        if negative && magnitude > U256::ONE << 255 {
            return Err(self.at(Problem::OutOfRange));
        }
        Ok((negative, if negative { magnitude.wrapping_neg() } else { magnitude }))
    }

    fn hex(&self, json: &Json) -> Result<Vec<u8>, TypedDataError> {
        let digits = self.string(json)?.strip_prefix("0x").ok_or_else(|| self.at(Problem::NotHex))?;
        // `hex::decode` would take a second prefix off.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.at(Problem::NotHex));
        }
        hex::decode(digits).map_err(|_| self.at(Problem::NotHex))
    }

    fn count(&mut self, depth: usize) -> Result<(), TypedDataError> {
        self.values_left = self.values_left.checked_sub(1).ok_or_else(|| self.at(Problem::TooLarge))?;
        if depth > DEPTH_MAX { Err(self.at(Problem::TooLarge)) } else { Ok(()) }
    }
}
