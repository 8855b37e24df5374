//! The view of a transaction.

use alloy_primitives::{hex, keccak256};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress};

use super::calldata::{self, Calldata};
use super::{Context, View, ViewKind, WarningCode, amount, authorization, call};
use crate::evm::{Transaction, checksum};

/// How much of the calldata is shown; the rest is stood for by its hash.
const INPUT_SHOWN_MAX: usize = 256;

pub(super) fn view(tx: &Transaction, account: AccountIndex, chosen: ChainId, context: &Context<'_>) -> View {
    let mut view = match &tx.to {
        None => creation(tx, context),
        Some(to) => match calldata::parse(&tx.input) {
            Calldata::Empty => transfer(tx, to, context),
            Calldata::Known(known, extra) => {
                let mut view = call::view(&known, tx.chain, to, context);
                warn_value(&mut view, tx, context);
                if extra > 0 {
                    let text = format!("{extra} bytes follow the arguments; the contract may or may not read them.");
                    view.caution(WarningCode::ExtraCalldata, text);
                }
                view
            }
            Calldata::Malformed(signature) => {
                let mut view = unknown(tx, to, context);
                view.danger(
                    WarningCode::MalformedCall,
                    format!("The call looks like {signature} but is not encoded as one."),
                );
                view
            }
            Calldata::Unknown(selector) => {
                let mut view = unknown(tx, to, context);
                let text = match selector {
                    Some(selector) => format!("What the call {} does is not known.", hex::encode_prefixed(selector)),
                    None => "What these bytes do is not known.".to_owned(),
                };
                view.caution(WarningCode::UnknownCall, text);
                view
            }
        },
    };
    authorization::append(&mut view, tx.authorizations());
    if tx.chain != chosen {
        let text = format!("The transaction is for {}, not for the chosen network {chosen}.", tx.chain);
        view.danger(WarningCode::ChainMismatch, text);
    }
    append_fields(&mut view, tx, account, context);
    view
}

fn transfer(tx: &Transaction, to: &EvmAddress, context: &Context<'_>) -> View {
    let value = amount::native(tx.value, context.native);
    let mut view = View::new(ViewKind::ValueTransfer, &format!("Send {value}"));
    view.say(format!("Send {value} to {}.", checksum(to)));
    call::warn_recipient(&mut view, to, None);
    view
}

fn creation(tx: &Transaction, context: &Context<'_>) -> View {
    let mut view = View::new(ViewKind::ContractCreation, "Create a contract");
    view.say(format!("Create a contract from {} bytes of code.", tx.input.len()));
    view.caution(WarningCode::ContractCreation, "There is no recipient: this makes a new contract.");
    warn_value(&mut view, tx, context);
    view
}

fn unknown(tx: &Transaction, to: &EvmAddress, context: &Context<'_>) -> View {
    let mut view = View::new(ViewKind::ContractCall, "Call a contract");
    view.say(format!("Call the contract {}.", checksum(to)));
    warn_value(&mut view, tx, context);
    view
}

fn warn_value(view: &mut View, tx: &Transaction, context: &Context<'_>) {
    if !tx.value.is_zero() {
        let value = amount::native(tx.value, context.native);
        view.caution(WarningCode::ValueWithCall, format!("The call also sends {value}."));
    }
}

/// Also for known calls: some have parts that the words leave out.
fn append_input(view: &mut View, tx: &Transaction) {
    if tx.input.is_empty() {
        return;
    }
    if tx.input.len() <= INPUT_SHOWN_MAX {
        view.field("Data", hex::encode_prefixed(&tx.input));
    } else {
        let shown = tx.input.get(..INPUT_SHOWN_MAX).unwrap_or_default();
        view.field("Data", format!("{}... ({} bytes)", hex::encode_prefixed(shown), tx.input.len()));
        view.field("Data hash", hex::encode_prefixed(keccak256(&tx.input)));
    }
}

fn append_fields(view: &mut View, tx: &Transaction, account: AccountIndex, context: &Context<'_>) {
    view.field("Network", tx.chain.to_string());
    view.account(account);
    view.field("To", tx.to.as_ref().map_or_else(|| "new contract".to_owned(), checksum));
    view.field("Value", amount::native(tx.value, context.native));
    view.field("Maximum fee", amount::native(tx.fee_max(), context.native));
    view.field("Gas limit", tx.gas_limit.to_string());
    view.field("Nonce", tx.nonce.to_string());
    if !tx.access_list().is_empty() {
        view.field("Access list", format!("{} addresses", tx.access_list().len()));
    }
    append_input(view, tx);
}
