//! What is signed: transactions, authorizations, messages, typed data, and what a person is shown of them.

mod oracle;

use alloy_primitives::U256;
use arbitrary::{Arbitrary, Result, Unstructured};
use pinseal_chains::decode::{Context, Native, Token, view};
use pinseal_chains::evm::transaction::{AccessListItem, DynamicFee, Kind, SignedTransaction};
use pinseal_chains::evm::{
    Authorization, EvmPolicy, RecoverableSig, SignedAuthorization, Transaction, TypedData, personal_message_digest,
    prepare,
};
use pinseal_protocol::cbor;
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

use crate::inputs;

/// Bytes as an unsigned payload and as a signed transaction: one encoding a value, and alloy reads the same.
pub fn transaction(data: &[u8]) {
    if let Ok(tx) = Transaction::parse_unsigned(data) {
        unsigned(&tx, data);
    }
    if let Ok(signed) = SignedTransaction::parse(data) {
        let tx = signed.transaction();
        assert_eq!(tx.assemble(signed.signature()), (data.to_vec(), *signed.hash()));
        oracle::reads_signed(&signed, data);
        unsigned(tx, &tx.encode_unsigned().expect("what is parsed can be written"));
    }
}

fn unsigned(tx: &Transaction, payload: &[u8]) {
    assert_eq!(tx.encode_unsigned().as_deref(), Ok(payload), "one encoding a value");
    assert_eq!(tx.digest(), alloy_primitives::keccak256(payload).0);
    oracle::encodes_unsigned(tx, payload);
    let signature = sign([1; 32], tx.digest());
    let (raw, hash) = tx.assemble(&signature);
    let signed = SignedTransaction::parse(&raw).expect("what is signed can be read");
    assert_eq!((signed.transaction(), signed.hash()), (tx, &hash));
    assert!(raw.len() <= payload.len() + pinseal_chains::evm::transaction::SIGNATURE_LEN_MAX);
}

/// Fields of every form (legacy with EIP-155, 2930, 1559, 7702): what can be written is read back as the same.
pub fn transaction_fields(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(tx) = fields(&mut u) else { return };
    let Ok(payload) = tx.encode_unsigned() else {
        return;
    };
    assert_eq!(Transaction::parse_unsigned(&payload).as_ref(), Ok(&tx));
    unsigned(&tx, &payload);
}

fn fields(u: &mut Unstructured<'_>) -> Result<Transaction> {
    let word = |u: &mut Unstructured<'_>| {
        Ok::<_, arbitrary::Error>(U256::from_be_bytes(u.arbitrary::<[u8; 32]>()?) >> u.int_in_range(0..=255_usize)?)
    };
    let small =
        |u: &mut Unstructured<'_>| Ok::<_, arbitrary::Error>(u.arbitrary::<u64>()? >> u.int_in_range(0..=63_u32)?);
    let price =
        |u: &mut Unstructured<'_>| Ok::<_, arbitrary::Error>(u.arbitrary::<u128>()? >> u.int_in_range(0..=127_u32)?);
    let form = u.int_in_range(0..=3)?;
    let chain = ChainId(small(u)?);
    let nonce = small(u)?;
    let gas_limit = small(u)?;
    let to = if u.ratio(7, 8)? { Some(EvmAddress(u.arbitrary()?)) } else { None };
    let value = word(u)?;
    let (first, second) = (price(u)?, price(u)?);
    let fees = DynamicFee { max_fee_per_gas: first.max(second), max_priority_fee_per_gas: first.min(second) };
    let access_list = if form == 0 { Vec::new() } else { items(u)? };
    let kind = match form {
        0 => Kind::Legacy { gas_price: first },
        1 => Kind::AccessList { gas_price: first, access_list },
        2 => Kind::DynamicFee { fees, access_list },
        _ => {
            let count = u.int_in_range(0..=3)?;
            let authorizations = (0..count)
                .map(|_| {
                    let authorization = Authorization {
                        chain: ChainId(small(u)?),
                        address: EvmAddress(u.arbitrary()?),
                        nonce: small(u)?,
                    };
                    Ok(SignedAuthorization::new(authorization, sign(u.arbitrary()?, authorization.digest())))
                })
                .collect::<Result<Vec<_>>>()?;
            Kind::SetCode { fees, access_list, authorizations: authorizations.into_iter().flatten().collect() }
        }
    };
    let input = u.take_rest_slice();
    Ok(Transaction { chain, nonce, gas_limit, to, value, input, kind })
}

fn items(u: &mut Unstructured<'_>) -> Result<Vec<AccessListItem>> {
    (0..u.int_in_range(0..=3)?)
        .map(|_| {
            let address = EvmAddress(u.arbitrary()?);
            let keys = (0..u.int_in_range(0..=3)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
            Ok(AccessListItem { address, storage_keys: keys })
        })
        .collect()
}

/// What is left, without giving the reader away.
trait Rest {
    fn take_rest_slice(&mut self) -> Vec<u8>;
}

impl Rest for Unstructured<'_> {
    fn take_rest_slice(&mut self) -> Vec<u8> {
        let length = self.len();
        self.bytes(length).unwrap_or(&[]).to_vec()
    }
}

/// Any 32 bytes made a key in range.
fn sign(mut key: [u8; 32], digest: [u8; 32]) -> RecoverableSig {
    key[0] &= 0x7f;
    key[31] |= 1;
    let key = SecretKey::from_secret_bytes(key).expect("in range");
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest), &key);
    let (id, compact) = signature.serialize_compact();
    RecoverableSig::from_compact(&compact, id.to_u8()).expect("the library signs canonically")
}

/// Bytes as a signed EIP-7702 tuple: one encoding a value, and alloy reads the same.
pub fn authorization(data: &[u8]) {
    let Ok(signed) = SignedAuthorization::from_tuple(data) else { return };
    assert_eq!(signed.to_tuple(), data);
    oracle::reads_authorization(&signed, data);
    let said = *signed.authorization();
    assert_eq!(SignedAuthorization::new(said, *signed.signature()), Ok(signed));
}

/// Bytes as typed data in canonical form.
pub fn typed_data(data: &[u8]) {
    let Ok(read) = TypedData::from_cbor(data) else { return };
    assert_eq!(read.to_cbor(), data, "one encoding a value");
    assert_eq!(read.digest(), TypedData::from_cbor(data).expect("again").digest());
    assert!(crate::canonical::is_canonical(data));
    let chain = ChainId(read.domain_chain_id().and_then(|id| u64::try_from(id).ok()).unwrap_or(1));
    show(&Intent::EvmTypedData { account: AccountIndex::default(), chain, typed_data: data.to_vec().into() });
}

/// Text as the JSON an app hands over: what is accepted has a canonical form with the same digest, and alloy hashes the JSON to the
/// same.
pub fn typed_data_json(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(read) = TypedData::from_json(text) else { return };
    let canonical = read.to_cbor();
    let again = TypedData::from_cbor(&canonical).expect("what is written can be read");
    assert_eq!((again.digest(), &again), (read.digest(), &read));
    oracle::hashes_typed_data(&read, text);
}

/// Bytes as a message.
pub fn personal_message(data: &[u8]) {
    let oracle = alloy_primitives::eip191_hash_message(data).0;
    assert_eq!(personal_message_digest(data), oracle);
    show(&Intent::EvmPersonalMessage { account: AccountIndex::default(), message: data.to_vec().into() });
}

/// Any intent, as a person is shown it: what can be signed can be shown, and nothing shown can move a cursor or hide text. Calldata is
/// known calls with changes.
pub fn display(data: &[u8]) {
    if let Ok(intent) = cbor::from_slice::<Intent>(data) {
        show(&intent);
    }
    let mut u = Unstructured::new(data);
    let Ok(calls) = u.ratio(1, 2) else { return };
    let intent = if calls { call(&mut u) } else { inputs::intent(&mut u) };
    if let Ok(intent) = intent {
        show(&intent);
    }
}

#[derive(Debug, Arbitrary)]
struct CallInput<'a> {
    selector: u8,
    contract: [u8; 20],
    known: bool,
    value: u64,
    words: Vec<[u8; 32]>,
    tail: &'a [u8],
}

/// Selectors that the decoder knows (ERC-20, ERC-721, ERC-1155, multicalls), so that the fuzzer need not find them.
const SELECTORS: [[u8; 4]; 10] = [
    [0xa9, 0x05, 0x9c, 0xbb],
    [0x23, 0xb8, 0x72, 0xdd],
    [0x09, 0x5e, 0xa7, 0xb3],
    [0x39, 0x50, 0x93, 0x51],
    [0xa2, 0x2c, 0xb4, 0x65],
    [0x42, 0x84, 0x2e, 0x0e],
    [0xb8, 0x8d, 0x4f, 0xde],
    [0xf2, 0x42, 0x43, 0x2a],
    [0x2e, 0xb2, 0xc2, 0xd6],
    [0xd5, 0x05, 0xac, 0xcf],
];

fn call(u: &mut Unstructured<'_>) -> Result<Intent> {
    let call = CallInput::arbitrary(u)?;
    let mut input = SELECTORS.get(usize::from(call.selector)).map_or_else(Vec::new, |known| known.to_vec());
    input.extend(call.words.concat());
    input.extend_from_slice(call.tail);
    let to = if call.known { TOKEN } else { EvmAddress(call.contract) };
    let tx = Transaction {
        chain: ChainId(1),
        nonce: 0,
        gas_limit: 100_000,
        to: Some(to),
        value: U256::from(call.value),
        input,
        kind: Kind::Legacy { gas_price: 1 },
    };
    let unsigned = tx.encode_unsigned().map_err(|_| arbitrary::Error::IncorrectFormat)?;
    Ok(Intent::EvmTransaction { account: AccountIndex::default(), chain: ChainId(1), unsigned: unsigned.into() })
}

const TOKEN: EvmAddress = EvmAddress([0x44; 20]);

fn show(intent: &Intent) {
    let native = Native { symbol: "ETH".to_owned(), decimals: 18 };
    let token = Token { chain: ChainId(1), address: TOKEN, symbol: "USDC".to_owned(), decimals: 6 };
    let context = Context { native: &native, tokens: core::slice::from_ref(&token) };
    let shown = view(intent, &context);
    if prepare(intent, EvmPolicy { allow_any_chain_authorization: true }).is_ok() {
        assert!(shown.is_ok(), "what is signed can be shown");
    }
    let Ok(shown) = shown else { return };
    assert_eq!(view(intent, &context).as_ref(), Ok(&shown), "the same view every time");
    let texts = shown
        .summary
        .iter()
        .chain(shown.fields.iter().flat_map(|field| [&field.label, &field.value]))
        .chain(shown.warnings.iter().map(|warning| &warning.text))
        .chain([&shown.title]);
    for text in texts {
        let hides = |c: char| {
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!text.chars().any(|c| c != '\n' && hides(c)), "shown as it stands: {text:?}");
    }
}
