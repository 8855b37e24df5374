//! Typed data by which somebody may take tokens: EIP-2612, DAI, ERC-4494, Permit2 and EIP-3009.

use alloy_primitives::U256;
use pinseal_protocol::intent::{ChainId, EvmAddress};

use super::call::warn_allowance;
use super::{Context, View, ViewKind, WarningCode, amount};
use crate::evm::checksum;
use crate::evm::typed_data::{Domain, Schema, Type, TypedData, Value};

/// The view of a permit, or `None` for anything else.
pub(super) fn view(data: &TypedData, domain: &Domain<'_>, chain: ChainId, context: &Context<'_>) -> Option<View> {
    let schema = data.schema();
    let index = schema.find(data.primary_type().name())?;
    let message = Node { schema, index, values: data.message() };
    let reader = Reader { domain, chain, context };
    match data.primary_type().name() {
        "Permit" => reader.erc20(&message).or_else(|| reader.dai(&message)).or_else(|| reader.erc4494(&message)),
        "PermitSingle" | "PermitBatch" => reader.permit2(&message, "details", "sigDeadline"),
        "PermitTransferFrom"
        | "PermitBatchTransferFrom"
        | "PermitWitnessTransferFrom"
        | "PermitBatchWitnessTransferFrom" => reader.permit2(&message, "permitted", "deadline"),
        "TransferWithAuthorization" | "ReceiveWithAuthorization" => reader.erc3009(&message),
        _ => None,
    }
}

struct Reader<'a> {
    domain: &'a Domain<'a>,
    chain: ChainId,
    context: &'a Context<'a>,
}

impl Reader<'_> {
    /// EIP-2612: `Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)`.
    fn erc20(&self, message: &Node<'_>) -> Option<View> {
        let (spender, value) = (message.address("spender")?, message.integer("value")?);
        message.address("owner")?;
        let deadline = message.integer("deadline")?;
        Some(self.single(&self.domain.verifying_contract?, &spender, value, deadline))
    }

    /// DAI: `Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)`; an expiry of 0 is none.
    fn dai(&self, message: &Node<'_>) -> Option<View> {
        let (spender, allowed) = (message.address("spender")?, message.bool("allowed")?);
        message.address("holder")?;
        let expiry = message.integer("expiry")?;
        let expiry = if expiry.is_zero() { U256::MAX } else { expiry };
        let value = if allowed { U256::MAX } else { U256::ZERO };
        Some(self.single(&self.domain.verifying_contract?, &spender, value, expiry))
    }

    /// ERC-4494: `Permit(address spender,uint256 tokenId,uint256 nonce,uint256 deadline)`.
    fn erc4494(&self, message: &Node<'_>) -> Option<View> {
        let (spender, id) = (message.address("spender")?, message.integer("tokenId")?);
        let contract = checksum(&self.domain.verifying_contract?);
        let mut view = start();
        view.say(format!("Allow {} to take the NFT {id} of {contract}.", checksum(&spender)));
        append_deadline(&mut view, message.integer("deadline")?);
        warn(&mut view);
        Some(view)
    }

    /// Permit2, allowance and signature transfers, one or several tokens.
    fn permit2(&self, message: &Node<'_>, items: &str, deadline: &str) -> Option<View> {
        let spender = message.address("spender")?;
        let deadline = message.integer(deadline)?;
        let mut view = start();
        for item in message.nodes(items)? {
            let (token, value) = (item.address("token")?, item.integer("amount")?);
            self.say_allowance(&mut view, &token, &spender, value);
            if let Some(expiration) = item.integer("expiration") {
                view.say(format!("The allowance holds {}.", amount::until(expiration)));
            }
        }
        append_deadline(&mut view, deadline);
        warn(&mut view);
        Some(view)
    }

    /// EIP-3009: a transfer that anybody, or the recipient, may hand in.
    fn erc3009(&self, message: &Node<'_>) -> Option<View> {
        let (from, to) = (message.address("from")?, message.address("to")?);
        let value = message.integer("value")?;
        let deadline = message.integer("validBefore")?;
        let mut view = start();
        view.title = "Send tokens by signature".to_owned();
        let value = amount::token(value, self.chain, &self.domain.verifying_contract?, self.context);
        view.say(format!("Send {value} from {} to {}.", checksum(&from), checksum(&to)));
        append_deadline(&mut view, deadline);
        warn(&mut view);
        Some(view)
    }

    fn single(&self, token: &EvmAddress, spender: &EvmAddress, value: U256, deadline: U256) -> View {
        let mut view = start();
        self.say_allowance(&mut view, token, spender, value);
        append_deadline(&mut view, deadline);
        warn(&mut view);
        view
    }

    fn say_allowance(&self, view: &mut View, token: &EvmAddress, spender: &EvmAddress, value: U256) {
        let limit = amount::allowance(value, self.chain, token, self.context);
        view.say(format!("Allow {} to take {limit}.", checksum(spender)));
        warn_allowance(view, spender, value);
    }
}

fn start() -> View {
    View::new(ViewKind::Permit, "Allow spending tokens by signature")
}

fn append_deadline(view: &mut View, deadline: U256) {
    view.say(format!("The signature can be handed in {}.", amount::until(deadline)));
}

fn warn(view: &mut View) {
    view.danger(
        WarningCode::Permit,
        "Nothing more is asked: whoever holds this signature can use it without a transaction of yours.",
    );
}

/// A struct value with its type.
struct Node<'a> {
    schema: &'a Schema,
    index: usize,
    values: &'a [Value],
}

impl<'a> Node<'a> {
    fn get(&self, name: &str) -> Option<(&'a Type, &'a Value)> {
        let fields = self.schema.structs().get(self.index)?.fields();
        let position = fields.iter().position(|field| field.name() == name)?;
        Some((fields.get(position)?.kind(), self.values.get(position)?))
    }

    fn address(&self, name: &str) -> Option<EvmAddress> {
        match self.get(name)? {
            (_, Value::Address(address)) => Some(*address),
            _ => None,
        }
    }

    /// An unsigned integer.
    fn integer(&self, name: &str) -> Option<U256> {
        match self.get(name)? {
            (Type::Uint(_), Value::Integer(word)) => Some(*word),
            _ => None,
        }
    }

    fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            (_, Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// A struct, or an array of structs, as a list.
    fn nodes(&self, name: &str) -> Option<Vec<Self>> {
        let node = |kind: &'a Type, value: &'a Value| match (kind, value) {
            (Type::Struct(index), Value::Struct(values)) => Some(Self { schema: self.schema, index: *index, values }),
            _ => None,
        };
        match self.get(name)? {
            (Type::Array(element, _), Value::Array(values)) => {
                values.iter().map(|value| node(element, value)).collect()
            }
            (kind, value) => node(kind, value).map(|node| vec![node]),
        }
    }
}
