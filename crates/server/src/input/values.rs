//! JSON that is handed on as it is: a bounded number of values, because values take far more memory than the text they are read from. An
//! object of one member takes eight bytes of text and some 700 of memory.

use core::cell::Cell;
use core::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values of one list, nested ones counted: several times what a call with a large state override or access list has.
const VALUES_MAX: usize = 8_192;
/// What a list with more is told.
pub(super) const TOO_MANY: &str = "too many values";

/// A list of values of any kind.
#[derive(Debug)]
pub(crate) struct Values(pub(crate) Vec<Value>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Vec<Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<Value>, A::Error> {
                One(&Cell::new(VALUES_MAX)).list(list)
            }
        }

        deserializer.deserialize_seq(List).map(Self)
    }
}

/// One value, and how many there may still be.
#[derive(Clone, Copy)]
struct One<'a>(&'a Cell<usize>);

impl One<'_> {
    fn list<'de, A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Value>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values)
    }
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.set(self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom(TOO_MANY))?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Value, A::Error> {
        self.list(list).map(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            members.insert(name, object.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn values_are_read_as_they_are() {
        let text = r#"[null, true, -1, 18446744073709551615, 1.5, "0x\u00e4", [], [[1]], {}, {"a": {"b": [2]}}]"#;
        let Values(read) = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Array(read), serde_json::from_str::<Value>(text).unwrap());
        for wrong in ["{}", "null", "1", "[1", "[01]"] {
            assert!(serde_json::from_str::<Values>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nested_values_count_whatever_they_are_nested_in() {
        let fits = |text: &str| serde_json::from_str::<Values>(text).is_ok();
        let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        assert!(fits(&list("0", VALUES_MAX)) && !fits(&list("0", VALUES_MAX + 1)));
        assert!(fits(&list(r#"{"":0}"#, VALUES_MAX / 2)) && !fits(&list(r#"{"":0}"#, VALUES_MAX / 2 + 1)));
        assert!(fits(&list("[[]]", VALUES_MAX / 2)) && !fits(&list("[[]]", VALUES_MAX / 2 + 1)));
    }
}
