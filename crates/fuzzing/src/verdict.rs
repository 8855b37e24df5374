//! What an outcome must be, told from outside.

use pinseal_chains::evm::transaction::SignedTransaction;
use pinseal_chains::evm::{EvmPolicy, RecoverableSig, SignedAuthorization, prepare};
use pinseal_protocol::history::{History, LoggedWrite, OpenedWrite};
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::intent::{Intent, Signed};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::Request;

use crate::harness::host::{Disk, Tally};

/// Checks an outcome against what was asked, whether the PIN was the right one, and what was written.
pub(crate) fn check(asked: &Request, right: bool, outcome: &Outcome, tally: Tally) {
    let writes = asked.method().writes();
    match outcome {
        _ if tally.aborted > 0 => {
            let not_durable = Outcome::Refused(Refusal::NotDurable);
            let expected = if tally.committed == 0 { not_durable } else { Outcome::ServiceFault };
            assert_eq!(*outcome, expected, "an aborted batch shows no verdict");
            return;
        }
        Outcome::Refused(_) => assert_eq!(tally.committed, 0, "a refusal writes nothing"),
        Outcome::Status(_) | Outcome::Accounts(_) | Outcome::History(_) => {
            assert_eq!((tally.committed, writes), (0, 0));
            assert!(tally.is_fenced, "what is read leaves with a checkpoint made after the question");
        }
        _ => assert_eq!(tally.committed, writes, "{asked:?} writes {writes} times whatever comes of it"),
    }
    match (asked, outcome) {
        (_, Outcome::Refused(_)) => {}
        (_, Outcome::WrongPin) => assert!(!right && asked.tested_pin().is_some(), "the right PIN was called wrong"),
        (Request::RegisterPrepare { .. }, Outcome::Prepared)
        | (Request::Status, Outcome::Status(_))
        | (Request::ListAccounts { .. }, Outcome::Accounts(_))
        | (Request::OpenHistory { .. }, Outcome::History(_)) => {}
        (Request::RegisterConfirm { .. }, Outcome::Registered(_))
        | (Request::VerifyPin { .. }, Outcome::PinVerified)
        | (Request::Sign { .. }, Outcome::Signed(_))
        | (Request::ChangePinPrepare { .. }, Outcome::Prepared)
        | (Request::ChangePinConfirm { .. }, Outcome::PinChanged)
        | (Request::EnrolDevice { .. }, Outcome::DeviceEnrolled)
        | (Request::RevokeDevice { .. }, Outcome::DeviceRevoked)
        | (Request::ClearTries { .. }, Outcome::TriesCleared) => assert!(right, "a wrong PIN was called right"),
        (asked, outcome) => panic!("{asked:?} became {outcome:?}"),
    }
}

/// What is in the log of the caller's own wallet, as it was with `seen` entries, opens, and nothing else does.
pub(crate) fn history(asked: &[LoggedWrite], history: &History, wallet: &UserIdHash, disk: &Disk, seen: u64) {
    assert_eq!(asked.len(), history.writes.len());
    assert_eq!(Some(history.current), disk.records.get(wallet).map(|(header, _)| header.version));
    for (write, opened) in asked.iter().zip(&history.writes) {
        let is_own = disk.writes(seen).any(|(owner, logged)| owner == *wallet && logged == *write);
        let is_proved = is_own && write.index < seen;
        assert_eq!(is_proved, matches!(opened, OpenedWrite::Opened(_)), "{write:?}: {opened:?}");
    }
}

/// Every signature is over its intent and by its account.
pub(crate) fn signatures(intents: &[Intent], signed: &[Signed], addresses: &[[u8; 20]]) {
    assert_eq!(intents.len(), signed.len());
    for (intent, signed) in intents.iter().zip(signed) {
        let prepared = prepare(intent, EvmPolicy::default()).expect("only what the policy allows is signed");
        let signer = match (intent, signed) {
            (Intent::EvmTransaction { unsigned, .. }, Signed::EvmTransaction { raw, hash }) => {
                let read = SignedTransaction::parse(raw).expect("what is signed can be sent");
                assert_eq!(read.transaction().encode_unsigned().as_deref(), Ok(unsigned.as_slice()));
                assert_eq!(read.hash(), hash);
                *read.sender()
            }
            (Intent::EvmAuthorization { chain, address, nonce, .. }, Signed::EvmAuthorization { tuple }) => {
                let read = SignedAuthorization::from_tuple(tuple).expect("what is signed can be sent");
                let said = read.authorization();
                assert_eq!((said.chain, said.address, said.nonce), (*chain, *address, *nonce));
                *read.authority()
            }
            (_, Signed::EvmSignature { signature }) => {
                let bytes = signature.as_slice().try_into().expect("65 bytes");
                let signature = RecoverableSig::from_bytes(bytes).expect("a signature in canonical form");
                signature.recover_address(&prepared.digest()).expect("it recovers")
            }
            other => panic!("another kind of result: {other:?}"),
        };
        if let Some(address) = usize::try_from(intent.account().value()).ok().and_then(|index| addresses.get(index)) {
            assert_eq!(&signer.0, address, "signed by the account");
        }
    }
}
