//! The canonical CBOR form.

use alloy_primitives::U256;
use minicbor::{Decoder, Encoder};
use pinseal_protocol::intent::EvmAddress;

use super::schema::Declared;
use super::value::fits;
use super::{
    DEPTH_MAX, DOMAIN, FIELDS_MAX, Field, Schema, TYPED_DATA_LEN_MAX, TYPES_MAX, Type, TypedData, TypedDataError,
    VALUES_MAX, Value,
};

pub(super) fn read(bytes: &[u8]) -> Result<TypedData, TypedDataError> {
    if bytes.len() > TYPED_DATA_LEN_MAX {
        return Err(TypedDataError::TooLong);
    }
    let mut reader = Reader { decoder: Decoder::new(bytes), values_left: VALUES_MAX };
    if reader.array_len()? != 4 {
        return Err(TypedDataError::Malformed);
    }
    let declared = reader.types()?;
    let primary = reader.decoder.str()?;
    let (schema, primary) = Schema::new(&declared, primary)?;
    let domain = schema.find(DOMAIN).ok_or(TypedDataError::MissingDomain)?;
    let domain = reader.fields(&schema, schema.fields(domain), 1)?;
    let message = reader.fields(&schema, schema.fields(primary), 1)?;
    let data = TypedData::new(schema, primary, domain, message);
    // Refuses trailing bytes, indefinite lengths and long integers alike, as `pinseal_protocol::cbor` does.
    if write(&data) == bytes { Ok(data) } else { Err(TypedDataError::NotCanonical) }
}

pub(super) fn write(data: &TypedData) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let result = Encoder::new(&mut out);
    match write_all(result, data) {
        Ok(()) => out,
        // A `Vec` writer is infallible, and nothing here fails by itself.
        Err(error) => match error.into_write() {
            Some(never) => match never {},
            None => Vec::new(),
        },
    }
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn write_all(mut e: Encoder<&mut Vec<u8>>, data: &TypedData) -> Written {
    e.array(4)?.array(len(data.schema.structs()))?;
    for declared in data.schema.structs() {
        e.array(2)?.str(declared.name())?.array(len(declared.fields()))?;
        for field in declared.fields() {
            e.array(2)?.str(field.name())?.str(&data.schema.display(field.kind()).to_string())?;
        }
    }
    e.str(data.primary_type().name())?;
    write_list(&mut e, &data.domain)?;
    write_list(&mut e, &data.message)
}

fn write_list(e: &mut Encoder<&mut Vec<u8>>, values: &[Value]) -> Written {
    e.array(len(values))?;
    values.iter().try_for_each(|value| write_value(e, value))
}

fn write_value(e: &mut Encoder<&mut Vec<u8>>, value: &Value) -> Written {
    match value {
        Value::Integer(word) => e.bytes(&word.to_be_bytes::<32>())?.ok(),
        Value::Address(address) => e.bytes(address.as_bytes())?.ok(),
        Value::FixedBytes(bytes) | Value::Bytes(bytes) => e.bytes(bytes)?.ok(),
        Value::String(text) => e.str(text)?.ok(),
        Value::Bool(value) => e.bool(*value)?.ok(),
        Value::Array(values) | Value::Struct(values) => write_list(e, values),
    }
}

const fn len<T>(items: &[T]) -> u64 {
    items.len() as u64
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    values_left: usize,
}

impl Reader<'_> {
    /// The length of a definite array.
    fn array_len(&mut self) -> Result<usize, TypedDataError> {
        let len = self.decoder.array()?.ok_or(TypedDataError::NotCanonical)?;
        usize::try_from(len).map_err(|_| TypedDataError::Malformed)
    }

    fn types(&mut self) -> Result<Declared, TypedDataError> {
        let count = self.array_len()?;
        if count > TYPES_MAX {
            return Err(TypedDataError::TooLarge);
        }
        (0..count).map(|_| self.declared_type()).collect()
    }

    fn declared_type(&mut self) -> Result<(String, Vec<(String, String)>), TypedDataError> {
        let name = self.pair_start()?;
        let count = self.array_len()?;
        if count > FIELDS_MAX {
            return Err(TypedDataError::TooLarge);
        }
        let fields = (0..count)
            .map(|_| Ok((self.pair_start()?, self.decoder.str()?.to_owned())))
            .collect::<Result<Vec<_>, TypedDataError>>()?;
        Ok((name, fields))
    }

    /// The text that opens an array of two.
    fn pair_start(&mut self) -> Result<String, TypedDataError> {
        if self.array_len()? != 2 {
            return Err(TypedDataError::Malformed);
        }
        Ok(self.decoder.str()?.to_owned())
    }

    fn fields(&mut self, schema: &Schema, fields: &[Field], depth: usize) -> Result<Vec<Value>, TypedDataError> {
        self.count(depth)?;
        if self.array_len()? != fields.len() {
            return Err(TypedDataError::Malformed);
        }
        fields.iter().map(|field| self.value(schema, field.kind(), depth + 1)).collect()
    }

    fn value(&mut self, schema: &Schema, kind: &Type, depth: usize) -> Result<Value, TypedDataError> {
        match kind {
            Type::Struct(index) => return Ok(Value::Struct(self.fields(schema, schema.fields(*index), depth)?)),
            Type::Array(element, wanted) => {
                self.count(depth)?;
                let len = self.array_len()?;
                if wanted.is_some_and(|wanted| u32::try_from(len) != Ok(wanted)) {
                    return Err(TypedDataError::Malformed);
                }
                let values = (0..len).map(|_| self.value(schema, element, depth + 1));
                return Ok(Value::Array(values.collect::<Result<_, _>>()?));
            }
            _ => self.count(depth)?,
        }
        match kind {
            Type::Uint(_) | Type::Int(_) => {
                let word: [u8; 32] = self.decoder.bytes()?.try_into().map_err(|_| TypedDataError::Malformed)?;
                let word = U256::from_be_bytes(word);
                if fits(word, kind) { Ok(Value::Integer(word)) } else { Err(TypedDataError::Malformed) }
            }
            Type::Address => {
                let address = EvmAddress::from_slice(self.decoder.bytes()?).ok_or(TypedDataError::Malformed)?;
                Ok(Value::Address(address))
            }
            Type::FixedBytes(len) => {
                let bytes = self.decoder.bytes()?;
                if bytes.len() == usize::from(*len) {
                    Ok(Value::FixedBytes(bytes.to_vec()))
                } else {
                    Err(TypedDataError::Malformed)
                }
            }
            Type::Bytes => Ok(Value::Bytes(self.decoder.bytes()?.to_vec())),
            Type::String => Ok(Value::String(self.decoder.str()?.to_owned())),
            Type::Bool => Ok(Value::Bool(self.decoder.bool()?)),
            Type::Array(..) | Type::Struct(_) => Err(TypedDataError::Malformed),
        }
    }

    /// One more value at this depth.
    fn count(&mut self, depth: usize) -> Result<(), TypedDataError> {
        self.values_left = self.values_left.checked_sub(1).ok_or(TypedDataError::TooLarge)?;
        if depth > DEPTH_MAX { Err(TypedDataError::TooLarge) } else { Ok(()) }
    }
}

impl From<minicbor::decode::Error> for TypedDataError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}
