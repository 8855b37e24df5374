//! What a person is told about a transaction: before it is signed, on its way, and beside those that may be carried out yet.

use pinseal_client::intents::EVM_NATIVE_DECIMALS;
use pinseal_client::transaction::{TransactionError, WaitError};
use pinseal_client::{ApiError, Known, Outgoing, Standing};
use pinseal_protocol::ids::Hash32;

use super::{account, api, distrust};
use crate::commands::connection::when;
use crate::context;
use crate::deployment::chain;
use crate::failure::{Exit, Failure};

/// What to do where a second try may pay twice.
const SENT_ALREADY: &str =
    "do not send again before you have looked for that hash in a block explorer: what the server lists proves nothing";

/// What to do where a server says that it is not sent.
const NONCE_FREED: &str = "look for that hash in a block explorer before you pay again. An honest server gives its nonce to the next one, so that \
                           one of the two can be carried out; otherwise nothing is signed";

/// A transaction before it is signed, or its broadcast.
pub(crate) fn transaction(error: TransactionError) -> Failure {
    match error {
        TransactionError::Api(error) => api(error),
        TransactionError::Account(error) => account(error),
        error @ TransactionError::Unreasonable(_) => distrust("transaction_refused", chain(&error)),
        error @ TransactionError::OtherTransaction => {
            Failure::new(Exit::NotTrusted, "sent_not_followed", chain(&error)).advise(SENT_ALREADY)
        }
        error @ TransactionError::OutcomeUnknown { .. } => {
            Failure::new(Exit::Service, "outcome_unknown", chain(&error)).advise(SENT_ALREADY)
        }
        error @ TransactionError::GasTooHigh { gas_limit, .. } => Failure::failed("gas_too_high", chain(&error))
            .advise(format!("if the recipient is a contract, allow it with --gas-limit {gas_limit}")),
        TransactionError::FeeTooHigh { fee, allowed } => Failure::failed(
            "fee_too_high",
            format!(
                "the fee may become {}; at most {} of the network's coin are allowed",
                fee.to_units(EVM_NATIVE_DECIMALS),
                allowed.to_units(EVM_NATIVE_DECIMALS)
            ),
        )
        .advise("wait for a quieter network, choose --fee slow, or allow more with --max-fee"),
        TransactionError::Unsettled(entries) => unsettled(&entries),
        error @ TransactionError::TooManyUnsettled => Failure::failed("payments_unsettled_max", chain(&error))
            .advise(
                "wait until some are, on whichever network and account they were signed for, or name one that you were told of with --beside. What \
                 replaces one of them (--replace HASH), or sends 0 to yourself, has some places more",
            ),
        TransactionError::Profile(error) => Failure::failed("profile", chain(&error))
            .advise("mend the files of the profile; it holds what you signed and may be carried out yet, so do not take another"),
        error @ TransactionError::NonceTaken(_) => {
            Failure::failed("nonce_taken", chain(&error)).advise("send it again: it was signed, and not sent")
        }
        error @ TransactionError::NotReplaceable(_) => Failure::failed("not_replaceable", chain(&error)).advise(format!(
            "see what became of it: `{}`. Of one that was not sent an honest server gives the nonce to the next one, without --replace",
            context::command("transactions")
        )),
        error => Failure::failed("transaction", chain(&error)),
    }
}

/// Something signed earlier may be carried out beside what was asked for, or was. Some may be, and others were: what is said of all is true of each.
pub(crate) fn unsettled(entries: &[Outgoing]) -> Failure {
    let list = entries.iter().map(standing).collect::<Vec<_>>().join("; ");
    let flag = |entry: &Outgoing| format!(" --beside 0x{}:{}", entry.hash, entry.standing.name());
    let flags = entries.iter().map(flag).collect::<String>();
    Failure::failed(
        "payment_unsettled",
        format!("you signed this earlier: {list}. The new one would go beside it, and you could pay twice; the new one was not sent"),
    )
    .advise(format!("look in a block explorer.{} To pay beside it all the same:{flags}", ways_out(entries)))
}

/// What can be done about them, by where they stand.
fn ways_out(entries: &[Outgoing]) -> String {
    let stands = |wanted: &[Standing]| entries.iter().any(|entry| wanted.contains(&entry.standing));
    let ways = [
        (
            &[Standing::Mined, Standing::Final, Standing::Reverted][..],
            " What was carried out, and you meant once, do not pay again.",
        ),
        (
            &[Standing::Unsent, Standing::Waiting],
            " What is not found there can be sent at any time all the same, until a block holds another transaction of that account with its \
             nonce. A program that was sending it may be at it still.",
        ),
        (&[Standing::Waiting], " What waits can be replaced: --replace HASH."),
        (
            &[Standing::Unsent],
            " Of what does not wait an honest server gives the nonce to the next one: send 0 to yourself, from the same account on the \
             same network, and see that it takes its place.",
        ),
    ];
    ways.into_iter().filter(|(wanted, _)| stands(wanted)).map(|(_, way)| way).collect()
}

/// A transaction that this device signed, and where it stands.
pub(crate) fn standing(entry: &Outgoing) -> String {
    let said = match (entry.standing, entry.known) {
        (Standing::Unsent, Known::Doubtful) => "not sent, as far as this device knows",
        (Standing::Unsent, _) => "not sent, the server says",
        (Standing::Waiting, Known::Doubtful) => "waiting, the server says now",
        (Standing::Waiting, _) => "waiting",
        (Standing::Mined | Standing::Final, Known::Awaited) => {
            "carried out, the server says, which you were not told yet"
        }
        (Standing::Mined | Standing::Final, _) => "carried out, the server says now",
        (Standing::Reverted, _) => "reverted, the server says",
    };
    format!("{} ({said})", described(entry))
}

/// A transaction that this device signed.
pub(crate) fn described(entry: &Outgoing) -> String {
    let Outgoing { summary, hash, nonce, from, network, signed_at, .. } = entry;
    format!("{summary} Transaction 0x{hash}, nonce {nonce} of {from} on {network}, signed {}", when(signed_at.0))
}

/// A signed transaction that was to be sent. What the server says of it is no code of ours: whoever reads one thing and repeats may pay twice.
pub(crate) fn broadcast(error: TransactionError, hash: Hash32) -> Failure {
    match error {
        TransactionError::Api(error) => {
            let is_said = error.code().is_some() || matches!(error, ApiError::Status(_));
            let inner = api(error);
            let fate = if is_said { "the server says that it did not send it" } else { "the server was not given it" };
            let sentence = format!("transaction 0x{hash} was signed, and {fate} ({})", inner.sentence);
            Failure::new(inner.exit, "broadcast_refused", sentence).traced(inner.trace_id).advise(NONCE_FREED)
        }
        error => transaction(error),
    }
}

/// A transaction on its way. No code of the server's, here either.
pub(crate) fn wait(error: WaitError, hash: Hash32) -> Failure {
    match error {
        WaitError::Api(error) => {
            // What a server says of its refusal may read like an end of the transaction.
            let is_refused = error.code().is_some();
            let inner = api(error);
            let why = if is_refused { "the server refuses to say what became of it" } else { &inner.sentence };
            let sentence = format!("transaction 0x{hash} was sent, and cannot be followed ({why})");
            Failure::new(inner.exit, "sent_not_followed", sentence).traced(inner.trace_id).advise(SENT_ALREADY)
        }
        WaitError::NotYet(seen) => {
            Failure::failed("not_mined_yet", format!("transaction {} is not mined yet", seen.hash)).advise(SENT_ALREADY)
        }
        WaitError::Gone(seen) => {
            Failure::failed("transaction_gone", format!("transaction {} was dropped or replaced", seen.hash))
                .advise(format!("so the server says: {NONCE_FREED}"))
        }
        WaitError::Failed(seen) => Failure::failed(
            "transaction_failed",
            format!("transaction {} was mined but reverted; its fee is paid", seen.hash),
        )
        .advise("so the server says: look for that hash in a block explorer before you pay again"),
        WaitError::Other => Failure::new(
            Exit::NotTrusted,
            "sent_not_followed",
            format!("transaction 0x{hash} was sent, and the server reports another one in its place"),
        )
        .advise(SENT_ALREADY),
    }
}

/// A transaction that was sent and is in no block so far.
pub(crate) fn not_mined_yet(hash: Hash32, nonce: u64, seconds: u64) -> Failure {
    Failure::failed(
        "not_mined_yet",
        format!("transaction 0x{hash} (nonce {nonce}) is in no block after {seconds} seconds"),
    )
    .advise(SENT_ALREADY)
}

/// Told to stop once a transaction was signed.
pub(crate) fn interrupted(hash: Hash32, fate: &str) -> Failure {
    Failure::failed("interrupted", format!("interrupted; transaction 0x{hash}: {fate}")).advise(SENT_ALREADY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_client::outgoing::Content;
    use pinseal_protocol::ids::UnixSeconds;

    use super::*;

    fn entry(byte: u8, standing: Standing, known: Known) -> Outgoing {
        Outgoing {
            network: "eip155:1".parse().unwrap(),
            from: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap(),
            nonce: u64::from(byte),
            hash: Hash32([byte; 32]),
            content: Content::new(None, "1".parse().unwrap(), b""),
            summary: "Sends 1 ETH.".into(),
            signed_at: UnixSeconds(1),
            standing,
            known,
            stays_accepted: false,
        }
    }

    #[test]
    fn what_is_said_of_several_is_true_of_each() {
        let done = entry(1, Standing::Mined, Known::Doubtful);
        let open = entry(2, Standing::Unsent, Known::Doubtful);
        let said = |entries: &[Outgoing]| {
            let failure = unsettled(entries);
            (failure.sentence, failure.advice.unwrap())
        };
        for entries in [[done.clone(), open.clone()], [open.clone(), done.clone()]] {
            let (sentence, advice) = said(&entries);
            assert!(entries.iter().all(|entry| sentence.contains(&standing(entry))), "{sentence}");
            assert!(sentence.contains("(carried out,") && sentence.contains("(not sent,"), "{sentence}");
            assert!(
                sentence.ends_with("the new one was not sent") && !sentence.contains("nothing was sent"),
                "{sentence}"
            );
            assert!(advice.contains("What was carried out,") && advice.contains("What is not found there"), "{advice}");
            assert!(
                advice.contains(&format!("0x{}:mined", done.hash))
                    && advice.contains(&format!("0x{}:unsent", open.hash))
            );
        }
        assert!(!said(&[done]).1.contains("can be sent") && !said(&[open]).1.contains("carried out"));
    }

    #[test]
    fn nobody_is_told_to_repeat_a_transaction_that_may_have_been_sent() {
        let hash = Hash32([0xab; 32]);
        let unknown = |error| broadcast(TransactionError::OutcomeUnknown { hash, error }, hash);
        // That this device could not go on says nothing of what the server had.
        let unknown = [unknown(ApiError::Status(504)), unknown(ApiError::NotLoggedIn)];
        assert!(unknown.iter().all(|failure| failure.code == "outcome_unknown"));
        for failure in unknown.into_iter().chain([wait(WaitError::Api(ApiError::Status(504)), hash)]) {
            assert!(failure.sentence.contains(&format!("0x{hash}")), "{failure:?}");
            assert_eq!(failure.advice.as_deref(), Some(SENT_ALREADY));
            assert_eq!(failure.exit, Exit::Service);
        }
    }
}
