use minicbor::bytes::ByteVec;
use pinseal_client::account::AccountError;
use pinseal_client::intents;
use pinseal_client::operation::OperationError;
use pinseal_client::signed::ResultError;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent, Signed};
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::Request;

use crate::enclave::{Enclave, account_address, account_key, ed25519, sign_intent};
use crate::peer::Peer;
use crate::world::{PIN, logged_in, pin, registered};

const MAIL: &str = r#"{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"chainId","type":"uint256"}],
    "Mail":[{"name":"to","type":"address"},{"name":"text","type":"string"}]},"primaryType":"Mail",
    "domain":{"name":"Post","chainId":31337},
    "message":{"to":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","text":"hello"}}"#;

fn transaction(account: AccountIndex, value: u64) -> Intent {
    use pinseal_chains::evm::Transaction;
    use pinseal_chains::evm::transaction::{DynamicFee, Kind};
    let fees = DynamicFee { max_fee_per_gas: 2_000_000_000, max_priority_fee_per_gas: 1 };
    let transaction = Transaction {
        chain: ChainId(31_337),
        nonce: 0,
        gas_limit: 21_000,
        to: Some(EvmAddress([7; 20])),
        value: alloy_primitives::U256::from(value),
        input: Vec::new(),
        kind: Kind::DynamicFee { fees, access_list: Vec::new() },
    };
    let unsigned = ByteVec::from(transaction.encode_unsigned().unwrap());
    Intent::EvmTransaction { account, chain: ChainId(31_337), unsigned }
}

fn every_kind() -> Vec<Intent> {
    let account = AccountIndex::default();
    vec![
        transaction(AccountIndex::new(2).unwrap(), 1),
        intents::personal_message(account, b"hello"),
        intents::typed_data(account, ChainId(31_337), MAIL).unwrap(),
        Intent::EvmAuthorization { account, chain: ChainId(31_337), address: EvmAddress([6; 20]), nonce: 3 },
    ]
}

#[tokio::test]
async fn every_kind_of_intent_is_signed_and_checked() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    let intents = every_kind();
    let signed = attested.sign(&pin(PIN), &intents).await.unwrap();
    let expected: Vec<_> = intents.iter().map(|intent| sign_intent(intent, &account_key(intent.account()))).collect();
    assert_eq!(signed, expected);
    // Account 2 was not known before; its address was fetched with its statement and pinned first.
    let second = AccountIndex::new(2).unwrap();
    assert_eq!(device.client.account(second).await.unwrap().address, account_address(second));
}

#[tokio::test]
async fn whatever_else_was_signed_is_thrown_away() {
    type Twist = fn(&Enclave, &Request, Outcome) -> Outcome;
    /// Replaces the results of a sign request by what `change` makes of its intents.
    fn results(request: &Request, truth: Outcome, change: impl Fn(&[Intent]) -> Vec<Signed>) -> Outcome {
        match request {
            Request::Sign { intents, .. } => Outcome::Signed(change(intents)),
            _ => truth,
        }
    }
    fn by_another_key(_: &Enclave, request: &Request, truth: Outcome) -> Outcome {
        results(request, truth, |intents| {
            intents.iter().map(|intent| sign_intent(intent, &account_key(AccountIndex::new(9).unwrap()))).collect()
        })
    }
    fn one_less(_: &Enclave, request: &Request, truth: Outcome) -> Outcome {
        results(request, truth, |_| Vec::new())
    }
    fn other_kind(_: &Enclave, request: &Request, truth: Outcome) -> Outcome {
        results(request, truth, |_| vec![Signed::EvmSignature { signature: vec![0; 3].into() }])
    }
    fn other_content(_: &Enclave, request: &Request, truth: Outcome) -> Outcome {
        results(request, truth, |intents| {
            let account = intents[0].account();
            let other = match &intents[0] {
                Intent::EvmTransaction { .. } => transaction(account, 999),
                Intent::EvmAuthorization { chain, nonce, .. } => {
                    Intent::EvmAuthorization { account, chain: *chain, address: EvmAddress([0x66; 20]), nonce: *nonce }
                }
                _ => intents::personal_message(account, b"I owe you everything"),
            };
            vec![sign_intent(&other, &account_key(account))]
        })
    }
    fn other_hash(_: &Enclave, request: &Request, truth: Outcome) -> Outcome {
        results(request, truth.clone(), |_| match &truth {
            Outcome::Signed(signed) => match &signed[0] {
                Signed::EvmTransaction { raw, .. } => {
                    vec![Signed::EvmTransaction { raw: raw.clone(), hash: pinseal_protocol::ids::Hash32([0; 32]) }]
                }
                other => vec![other.clone()],
            },
            _ => Vec::new(),
        })
    }
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    attested.list_accounts(&[AccountIndex::new(2).unwrap()]).await.unwrap();
    for intent in every_kind() {
        // A signature over another message is one of another signer: that is all a signature shows.
        let content = match &intent {
            Intent::EvmTransaction { .. } | Intent::EvmAuthorization { .. } => ResultError::OtherContent,
            _ => ResultError::OtherSigner,
        };
        let mut twists: Vec<(Twist, ResultError)> = vec![
            (by_another_key, ResultError::OtherSigner),
            (one_less, ResultError::Mismatch),
            (other_kind, ResultError::Mismatch),
            (other_content, content),
        ];
        if matches!(intent, Intent::EvmTransaction { .. }) {
            twists.push((other_hash, ResultError::OtherContent));
        }
        for (number, (twist, expected)) in twists.into_iter().enumerate() {
            peer.host().enclave.twist = Some(twist);
            let error = attested.sign(&pin(PIN), core::slice::from_ref(&intent)).await.unwrap_err();
            assert!(
                matches!(&error, OperationError::Result(result) if *result == expected),
                "{intent:?}, twist {number}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_intent_nobody_can_sign_costs_no_try() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    let begins = peer.count("POST /v1/wallet/begin");
    let Intent::EvmTransaction { account, unsigned, .. } = transaction(AccountIndex::default(), 1) else {
        panic!("a transaction")
    };
    let mut trailing = unsigned.to_vec();
    trailing.push(0);
    for intent in [
        Intent::EvmTransaction { account, chain: ChainId(1), unsigned },
        Intent::EvmTransaction { account, chain: ChainId(31_337), unsigned: trailing.into() },
    ] {
        let error = attested.sign(&pin(PIN), &[intent]).await.unwrap_err();
        assert!(matches!(error, OperationError::Intent(_)), "{error:?}");
    }
    assert_eq!(peer.count("POST /v1/wallet/begin"), begins);
}

#[tokio::test]
async fn the_hosts_account_list_is_only_a_cache() {
    let peer = Peer::start().await;
    let device = logged_in(&peer).await;
    // Before an enclave has answered for this user there is nothing to check against, whatever the host shows.
    let first = AccountIndex::default();
    let own = peer.host().enclave.statement(first);
    peer.host().statements = vec![own.clone()];
    assert!(matches!(device.client.accounts().await, Err(AccountError::NoWallet)));

    let attested = device.client.attest().await.unwrap();
    attested.status().await.unwrap();
    let thief = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap();
    // A statement of a seed that a restore has lost: the log key signed it, and no enclave says it any more.
    let lost = {
        let host = peer.host();
        host.enclave.statement_of(first, thief, host.enclave.wallet, &host.enclave.log)
    };
    peer.host().statements = vec![lost];
    assert_eq!(device.client.accounts().await.unwrap(), [], "this device has seen none yet");
    let accounts = attested.accounts().await.unwrap();
    assert_eq!(accounts.iter().map(|account| account.address).collect::<Vec<_>>(), [account_address(first)]);
    peer.host().statements = vec![own.clone()];
    assert_eq!(device.client.accounts().await.unwrap(), accounts);

    let forged = {
        let host = peer.host();
        let enclave = &host.enclave;
        let mut swapped = own.clone();
        let at = swapped.statement.len() - 1;
        let mut bytes = swapped.statement.to_vec();
        bytes[at] ^= 1;
        swapped.statement = bytes.into();
        [
            enclave.statement_of(first, thief, enclave.wallet, &ed25519(77)),
            enclave.statement_of(first, thief, UserIdHash([0xb2; 32]), &enclave.log),
            swapped,
        ]
    };
    for (number, statement) in forged.into_iter().enumerate() {
        peer.host().statements = vec![own.clone(), statement];
        assert!(matches!(device.client.accounts().await, Err(AccountError::Forged)), "{number}");
    }

    // Even the log key cannot move an account that this device has seen.
    let changed = {
        let host = peer.host();
        host.enclave.statement_of(first, thief, host.enclave.wallet, &host.enclave.log)
    };
    peer.host().statements = vec![changed];
    let error = device.client.accounts().await.unwrap_err();
    assert!(matches!(error, AccountError::Changed { shown, .. } if shown == thief), "{error:?}");
    assert_eq!(device.client.account(first).await.unwrap().address, account_address(first));
}

#[tokio::test]
async fn an_address_in_a_reply_is_held_to_the_same() {
    let peer = Peer::start().await;
    let (_device, attested) = registered(&peer).await;
    let ask = [AccountIndex::default()];

    peer.host().enclave.twist = Some(|enclave, _, _| {
        Outcome::Accounts(vec![enclave.statement_of(
            AccountIndex::default(),
            account_address(AccountIndex::new(5).unwrap()),
            enclave.wallet,
            &enclave.log,
        )])
    });
    let error = attested.list_accounts(&ask).await.unwrap_err();
    assert!(matches!(error, OperationError::Account(AccountError::Changed { .. })), "{error:?}");

    peer.host().enclave.twist =
        Some(|enclave, _, _| Outcome::Accounts(vec![enclave.statement(AccountIndex::new(5).unwrap())]));
    let error = attested.list_accounts(&ask).await.unwrap_err();
    assert!(matches!(error, OperationError::Account(AccountError::Other)), "{error:?}");

    peer.host().enclave.twist = Some(|_, _, _| Outcome::Accounts(Vec::new()));
    assert!(attested.list_accounts(&ask).await.is_err());
}
