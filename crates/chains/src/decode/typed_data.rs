//! The view of typed data.

use alloy_primitives::{I256, U256, hex};
use pinseal_protocol::intent::{AccountIndex, ChainId};

use super::{Context, View, ViewKind, WarningCode, permit, text};
use crate::evm::checksum;
use crate::evm::typed_data::{Domain, Field, Schema, Type, TypedData, Value};

pub(super) fn view(data: &TypedData, account: AccountIndex, chosen: ChainId, context: &Context<'_>) -> View {
    let domain = data.domain();
    let mut view = permit::view(data, &domain, chosen, context).unwrap_or_else(|| generic(data, &domain));
    view.account(account);
    view.field("Network", chosen.to_string());
    append_domain(&mut view, &domain);
    view.field("Primary type", data.primary_type().name());
    let mut hidden = [domain.name, domain.version].into_iter().flatten().any(text::has_hidden);
    Walk { view: &mut view, schema: data.schema(), hidden: &mut hidden }.fields(
        "message",
        data.primary_type().fields(),
        data.message(),
    );
    if hidden {
        view.danger(
            WarningCode::HiddenCharacters,
            "A text has characters that do not show or that change the reading direction; they are shown escaped.",
        );
    }
    match domain.chain_id {
        Some(id) if id != U256::from(chosen.0) => {
            let text = format!("The data are for eip155:{id}, not for the chosen network {chosen}.");
            view.danger(WarningCode::ChainMismatch, text);
        }
        Some(_) => {}
        None => view.caution(WarningCode::NoChain, "The data name no chain: the signature may hold on any."),
    }
    view
}

fn generic(data: &TypedData, domain: &Domain<'_>) -> View {
    let mut view = View::new(ViewKind::TypedData, "Sign typed data");
    let name = domain.name.map_or_else(|| "an application without a name".to_owned(), text::escape);
    view.say(format!("Sign a {} for {name}.", data.primary_type().name()));
    if data.primary_type().name().starts_with("Permit") {
        view.caution(WarningCode::Permit, "The name says permit: the signature may let somebody take your tokens.");
    } else {
        // An order of a market, a call that somebody else hands in: a contract takes by them as by a permit.
        view.caution(
            WarningCode::UnknownData,
            "What this signature lets others do is not known: a contract may take tokens by it.",
        );
    }
    view
}

fn append_domain(view: &mut View, domain: &Domain<'_>) {
    if let Some(name) = domain.name {
        view.field("Domain name", text::escape(name));
    }
    if let Some(version) = domain.version {
        view.field("Domain version", text::escape(version));
    }
    if let Some(id) = domain.chain_id {
        view.field("Domain chain", format!("eip155:{id}"));
    }
    if let Some(contract) = &domain.verifying_contract {
        view.field("Domain contract", checksum(contract));
    }
    if let Some(salt) = domain.salt {
        view.field("Domain salt", hex::encode_prefixed(salt));
    }
}

/// One line for every value that has no parts.
struct Walk<'a> {
    view: &'a mut View,
    schema: &'a Schema,
    hidden: &'a mut bool,
}

impl Walk<'_> {
    fn fields(&mut self, path: &str, fields: &[Field], values: &[Value]) {
        if fields.is_empty() {
            self.view.field(path, "{}");
        }
        for (field, value) in fields.iter().zip(values) {
            self.value(&format!("{path}.{}", field.name()), field.kind(), value);
        }
    }

    fn value(&mut self, path: &str, kind: &Type, value: &Value) {
        match (kind, value) {
            (Type::Struct(index), Value::Struct(values)) => {
                let schema = self.schema;
                let fields = schema.structs().get(*index).map_or(&[][..], |declared| declared.fields());
                self.fields(path, fields, values);
            }
            (Type::Array(element, _), Value::Array(values)) => {
                if values.is_empty() {
                    self.view.field(path, "[]");
                }
                for (index, value) in values.iter().enumerate() {
                    self.value(&format!("{path}[{index}]"), element, value);
                }
            }
            (Type::Int(_), Value::Integer(word)) => self.view.field(path, I256::from_raw(*word).to_string()),
            (_, Value::Integer(word)) => self.view.field(path, word.to_string()),
            (_, Value::Address(address)) => self.view.field(path, checksum(address)),
            (_, Value::Bytes(bytes) | Value::FixedBytes(bytes)) => self.view.field(path, hex::encode_prefixed(bytes)),
            (_, Value::String(content)) => {
                *self.hidden |= text::has_hidden(content);
                self.view.field(path, text::escape(content));
            }
            (_, Value::Bool(value)) => self.view.field(path, value.to_string()),
            (_, Value::Array(_) | Value::Struct(_)) => unreachable!("values are only ever built along their types"),
        }
    }
}
