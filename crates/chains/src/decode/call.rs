//! The view of a known call.

use alloy_primitives::U256;
use pinseal_protocol::intent::{ChainId, EvmAddress};

use super::calldata::Call;
use super::{Context, View, ViewKind, WarningCode, amount};
use crate::evm::checksum;

/// The view of `call` on `contract`, without what all transactions have.
pub(super) fn view(call: &Call, chain: ChainId, contract: &EvmAddress, context: &Context<'_>) -> View {
    let reader = Reader { chain, contract, context };
    match call {
        Call::Transfer { to, amount } => reader.transfer(None, to, *amount),
        Call::TransferFrom { from, to, amount } => reader.transfer(Some(from), to, *amount),
        Call::Approve { spender, amount } => reader.approve(spender, *amount),
        Call::IncreaseAllowance { spender, amount } => reader.increase(spender, *amount),
        Call::DecreaseAllowance { spender, amount } => reader.decrease(spender, *amount),
        Call::Permit { owner, spender, amount, deadline } => reader.permit(owner, spender, *amount, *deadline),
        Call::DaiPermit { holder, spender, expiry, allowed } => {
            let amount = if *allowed { U256::MAX } else { U256::ZERO };
            // An expiry of 0 is none, as in the signature itself.
            let expiry = if expiry.is_zero() { U256::MAX } else { *expiry };
            reader.permit(holder, spender, amount, expiry)
        }
        Call::SafeTransferFrom { from, to, id } => reader.nft(from, to, *id),
        Call::MultiTransferFrom { from, to, items } => reader.multi(from, to, items),
        Call::SetApprovalForAll { operator, approved } => reader.approval_for_all(operator, *approved),
    }
}

/// Warns of recipients from which nothing comes back.
pub(super) fn warn_recipient(view: &mut View, to: &EvmAddress, contract: Option<&EvmAddress>) {
    if to.as_bytes() == &[0; 20] {
        view.danger(WarningCode::LostFunds, "The recipient is the zero address: what is sent there is lost.");
    } else if contract == Some(to) {
        view.danger(
            WarningCode::LostFunds,
            "The recipient is the token's own contract: what is sent there is mostly lost.",
        );
    }
}

/// Warns of an allowance of `amount` for `spender`.
pub(super) fn warn_allowance(view: &mut View, spender: &EvmAddress, amount: U256) {
    let spender = checksum(spender);
    if amount::is_unlimited(amount) {
        let text = format!("No limit: {spender} can take all of this token, now and whatever comes later.");
        view.danger(WarningCode::UnlimitedApproval, text);
    } else if !amount.is_zero() {
        view.caution(WarningCode::Approval, format!("{spender} can take this amount at any time."));
    }
}

struct Reader<'a> {
    chain: ChainId,
    contract: &'a EvmAddress,
    context: &'a Context<'a>,
}

impl Reader<'_> {
    fn is_known(&self) -> bool {
        self.context.token(self.chain, self.contract).is_some()
    }

    fn amount(&self, value: U256) -> String {
        amount::token(value, self.chain, self.contract, self.context)
    }

    fn transfer(&self, from: Option<&EvmAddress>, to: &EvmAddress, value: U256) -> View {
        // `transferFrom` moves an amount of an ERC-20 or the one NFT of that id; only a known token tells which.
        let what = if from.is_some() && !self.is_known() {
            format!("{value} units, or the NFT {value}, of token {}", checksum(self.contract))
        } else {
            self.amount(value)
        };
        let mut view = View::new(ViewKind::TokenTransfer, "Send tokens");
        if self.is_known() {
            view.title = format!("Send {what}");
        }
        view.say(match from {
            Some(from) => format!("Send {what} from {} to {}.", checksum(from), checksum(to)),
            None => format!("Send {what} to {}.", checksum(to)),
        });
        view.field("Token", checksum(self.contract));
        if let Some(from) = from {
            view.field("From", checksum(from));
        }
        view.field("Recipient", checksum(to));
        view.field(if from.is_some() && !self.is_known() { "Amount or id" } else { "Amount" }, what);
        warn_recipient(&mut view, to, Some(self.contract));
        view
    }

    fn approve(&self, spender: &EvmAddress, value: U256) -> View {
        let mut view = self.allowance("Allow spending tokens", spender, value);
        // On a collection (ERC-721) the number is an NFT's, and zero one like any other; only a known token tells which. The zero address is nobody.
        let may_be_nft = !self.is_known() && spender.as_bytes() != &[0; 20];
        if value.is_zero() && may_be_nft {
            view.title = "Take back an allowance, or allow taking an NFT".to_owned();
            view.say(format!(
                "{} may no longer take {}; if that is a collection, it may take the NFT 0.",
                checksum(spender),
                self.token_name()
            ));
            let text = format!("{} can take the NFT 0 at any time, if this is a collection.", checksum(spender));
            view.caution(WarningCode::Approval, text);
        } else if value.is_zero() {
            view.title = "Take back an allowance".to_owned();
            view.say(format!("{} may no longer take {}.", checksum(spender), self.token_name()));
        } else if self.is_known() || value == U256::MAX {
            view.say(format!("Allow {} to take {}.", checksum(spender), self.limit(value)));
        } else {
            view.say(format!("Allow {} to take {}, or the NFT {value}.", checksum(spender), self.limit(value)));
        }
        view
    }

    fn increase(&self, spender: &EvmAddress, value: U256) -> View {
        let mut view = self.allowance("Allow spending more tokens", spender, value);
        view.say(format!("Allow {} to take, on top of what it may already, {}.", checksum(spender), self.limit(value)));
        view
    }

    fn decrease(&self, spender: &EvmAddress, value: U256) -> View {
        let mut view = self.allowance("Lower an allowance", spender, value);
        view.warnings.clear();
        view.say(format!("Lower what {} may take by {}.", checksum(spender), self.amount(value)));
        view
    }

    fn permit(&self, owner: &EvmAddress, spender: &EvmAddress, value: U256, deadline: U256) -> View {
        let mut view = self.allowance("Hand in a permit", spender, value);
        view.say(format!(
            "Hand in a signature by which {} lets {} take {}.",
            checksum(owner),
            checksum(spender),
            self.limit(value)
        ));
        view.field("Owner", checksum(owner));
        view.field("Deadline", amount::deadline(deadline));
        view
    }

    fn allowance(&self, title: &str, spender: &EvmAddress, value: U256) -> View {
        let mut view = View::new(ViewKind::TokenApproval, title);
        view.field("Token", checksum(self.contract));
        view.field("Spender", checksum(spender));
        view.field("Amount", if amount::is_unlimited(value) { "unlimited".to_owned() } else { self.amount(value) });
        warn_allowance(&mut view, spender, value);
        view
    }

    fn limit(&self, value: U256) -> String {
        amount::allowance(value, self.chain, self.contract, self.context)
    }

    fn token_name(&self) -> String {
        match self.context.token(self.chain, self.contract) {
            Some(token) => super::text::escape(&token.symbol),
            None => format!("token {}", checksum(self.contract)),
        }
    }

    fn nft(&self, from: &EvmAddress, to: &EvmAddress, id: U256) -> View {
        let mut view = View::new(ViewKind::NftTransfer, "Send an NFT");
        let collection = checksum(self.contract);
        view.say(format!("Send the NFT {id} of {collection} from {} to {}.", checksum(from), checksum(to)));
        view.field("Collection", collection);
        view.field("From", checksum(from));
        view.field("Recipient", checksum(to));
        view.field("Id", id.to_string());
        warn_recipient(&mut view, to, Some(self.contract));
        view
    }

    fn multi(&self, from: &EvmAddress, to: &EvmAddress, items: &[(U256, U256)]) -> View {
        let mut view = View::new(ViewKind::NftTransfer, "Send collection tokens");
        let collection = checksum(self.contract);
        let what = match items {
            [(id, amount)] => format!("{amount} units of the token {id}"),
            _ => format!("{} kinds of token", items.len()),
        };
        view.say(format!("Send {what} of {collection} from {} to {}.", checksum(from), checksum(to)));
        view.field("Collection", collection);
        view.field("From", checksum(from));
        view.field("Recipient", checksum(to));
        for (id, amount) in items {
            view.field(&format!("Id {id}"), format!("{amount} units"));
        }
        warn_recipient(&mut view, to, Some(self.contract));
        view
    }

    fn approval_for_all(&self, operator: &EvmAddress, approved: bool) -> View {
        let (collection, operator) = (checksum(self.contract), checksum(operator));
        let mut view = View::new(ViewKind::ApprovalForAll, "Allow taking a whole collection");
        if approved {
            view.say(format!("Allow {operator} to take every token you hold in {collection}."));
            view.danger(
                WarningCode::ApprovalForAll,
                format!("{operator} can take every token of this collection, now and whatever comes later."),
            );
        } else {
            view.title = "Take back the allowance for a collection".to_owned();
            view.say(format!("{operator} may no longer take your tokens in {collection}."));
        }
        view.field("Collection", collection);
        view.field("Operator", operator);
        view.field("Approved", approved.to_string());
        view
    }
}
