//! The view of an EIP-7702 authorization.

use pinseal_protocol::intent::{AccountIndex, EvmAddress};

use super::{View, ViewKind, WarningCode};
use crate::evm::{Authorization, SignedAuthorization, checksum};

const ZERO: EvmAddress = EvmAddress([0; 20]);

pub(super) fn view(authorization: &Authorization, account: AccountIndex) -> View {
    let mut view = View::new(ViewKind::Delegation, "Hand your account over to a contract");
    if authorization.address == ZERO {
        view.title = "Take your account back from a contract".to_owned();
    }
    say(&mut view, "your account", authorization);
    view.field("Network", network(authorization));
    view.account(account);
    view.field("Contract", checksum(&authorization.address));
    view.field("Nonce", authorization.nonce.to_string());
    view
}

/// Adds the authorizations that a transaction carries to its view.
pub(super) fn append(view: &mut View, authorizations: &[SignedAuthorization]) {
    if authorizations.is_empty() {
        return;
    }
    view.kind = ViewKind::Delegation;
    view.title = "Hand accounts over to contracts, and send a transaction".to_owned();
    for (index, signed) in authorizations.iter().enumerate() {
        let authorization = signed.authorization();
        let authority = checksum(signed.authority());
        say(view, &format!("account {authority}"), authorization);
        let text = format!(
            "{authority} runs {} on {}, nonce {}",
            checksum(&authorization.address),
            network(authorization),
            authorization.nonce
        );
        view.field(&format!("Authorization {}", index + 1), text);
    }
}

fn say(view: &mut View, whose: &str, authorization: &Authorization) {
    let contract = checksum(&authorization.address);
    if authorization.address == ZERO {
        view.say(format!("From now on {whose} runs no contract's code."));
    } else {
        view.say(format!("From now on {whose} runs the code of contract {contract}."));
        view.danger(
            WarningCode::Delegation,
            format!("The contract {contract} gets full control of {whose}: it can move everything, now and later."),
        );
    }
    if authorization.is_any_chain() {
        view.danger(WarningCode::AnyChain, "This holds on every chain at once, also on those you never used.");
    }
}

fn network(authorization: &Authorization) -> String {
    if authorization.is_any_chain() { "every chain".to_owned() } else { authorization.chain.to_string() }
}
