//! One fixed value of everything that travels or lies in storage.

use std::fmt::Debug;

use minicbor::{Decode, Encode};
use pinseal_protocol::cbor::{self, CborError};
use pinseal_protocol::challenge::CHALLENGE_BYTES;
use pinseal_protocol::checkpoint::{Checkpoint, SealedBreaker};
use pinseal_protocol::configuration::{AnchorLevel, CONFIGURATION_VERSION, Configuration, Issuer, Policy};
use pinseal_protocol::history::{Detail, History, LoggedWrite, OpenedWrite, Step};
use pinseal_protocol::ids::{
    DeploymentId, DeviceId, Hash32, Measurement, Nonce, RequestId, Sequence, Term, UnixSeconds, UserIdHash, Version,
};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent, Signed};
use pinseal_protocol::limits::BREAKER_DEFAULT;
use pinseal_protocol::log::{Consistency, Entry, Frontier, Inclusion, Node, SealedDetail, leaf_hash};
use pinseal_protocol::manifest::{Ed25519Public, HpkePublic, MANIFEST_VERSION, Manifest};
use pinseal_protocol::order::{ORDER_VERSION, Order, SignedOrder};
use pinseal_protocol::pin::{Argon2Parameters, PinFactor, PinParameters, PinSalt};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{DeviceInfo, Next, Outcome, Reply, SealedReply, Status, Tries};
use pinseal_protocol::request::{
    AddressStatement, BeginReply, Body, Method, REQUEST_VERSION, Request, RequestHeader, SealedRequest,
    SignedBeginReply, SignedStatement, Suite, WalletState,
};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::AccessToken;
use pinseal_protocol::tpm::{Authorisation, P256Signature, Tpm, TpmNonce};
use pinseal_protocol::wire::{
    Batch, BatchId, Begun, CallId, Change, ChangeStage, FromEnclave, Halt, Header, Measure, RecordWrite, ToEnclave,
    WIRE_VERSION,
};

/// Tells whether bytes decode to the sample's value.
type Reparse = Box<dyn Fn(&[u8]) -> Result<bool, CborError>>;

pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) reparse: Reparse,
}

fn sample<T>(name: &str, value: T) -> Sample
where
    T: Encode<()> + for<'b> Decode<'b, ()> + Debug + 'static,
{
    let bytes = cbor::to_vec(&value);
    let reserved = cbor::to_zeroizing(&value);
    assert_eq!(bytes, *reserved, "{name}: both encoders agree");
    assert_eq!(reserved.capacity(), reserved.len(), "{name}: the buffer never grew, so no copy was left behind");
    // One value, one encoding: what encodes to the same bytes is the same. Types with a secret in them have no `==`.
    let own = bytes.clone();
    let reparse = Box::new(move |bytes: &[u8]| cbor::from_slice::<T>(bytes).map(|again| cbor::to_vec(&again) == own));
    Sample { name: name.into(), bytes, reparse }
}

pub(crate) const fn deployment() -> DeploymentId {
    DeploymentId([0xd0; 16])
}

pub(crate) const fn wallet() -> UserIdHash {
    UserIdHash([0x0a; 32])
}

pub(crate) const fn device() -> DeviceId {
    DeviceId([0xde; 32])
}

pub(crate) const fn manifest_hash() -> Hash32 {
    Hash32([0x3a; 32])
}

const REQUEST: RequestId = RequestId([0x1d; 16]);
const TIME: UnixSeconds = UnixSeconds(1_767_225_600);
const NOTE: &[u8] = b"a signed note";

pub(crate) fn pin(byte: u8) -> PinFactor {
    PinFactor::new(SecretBytes::take(&mut [byte; 32]))
}

fn account(index: u32) -> AccountIndex {
    AccountIndex::new(index).unwrap()
}

pub(crate) const fn parameters(byte: u8) -> PinParameters {
    PinParameters { salt: PinSalt([byte; 16]), argon2: Argon2Parameters::DEFAULT }
}

pub(crate) fn configuration() -> Configuration {
    let issuer = Issuer {
        issuer: "https://login.example".into(),
        audience: deployment().to_string(),
        key: crate::p256("issuer").1,
    };
    Configuration {
        version: CONFIGURATION_VERSION,
        deployment: deployment(),
        issuers: vec![issuer],
        anchor: AnchorLevel::L1,
        floor: AnchorLevel::L0,
        policy: Policy { any_chain_authorization: true },
        argon2: Argon2Parameters::DEFAULT,
        witnesses: None,
        breaker: BREAKER_DEFAULT,
        tpm: None,
        base: None,
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        deployment: deployment(),
        hpke: HpkePublic([0x4b; 32]),
        boot: Ed25519Public([0xb0; 32]),
        log: Ed25519Public([0x10; 32]),
        configuration: configuration().hash(),
        anchor: AnchorLevel::L1,
        floor: AnchorLevel::L0,
        checkpoint: NOTE.to_vec().into(),
        witnesses: None,
        tpm: None,
    }
}

pub(crate) fn tpm() -> Tpm {
    Tpm { attester: crate::p256("issuer").1, index: 0x0180_1234 }
}

fn authorisation() -> Authorisation {
    Authorisation { writer: crate::p256("device").1, signature: P256Signature([0x51; 64]) }
}

pub(crate) fn begin_reply() -> BeginReply {
    BeginReply {
        manifest: manifest_hash(),
        wallet: wallet(),
        device: device(),
        method: Method::ChangePinConfirm,
        challenge: vec![0xc4; 48].into(),
        state: WalletState::Active,
        enrolled: true,
        current: Some(parameters(1)),
        pending: None,
        next: parameters(3),
        time: TIME,
    }
}

pub(crate) fn header(method: Method) -> RequestHeader {
    RequestHeader {
        version: REQUEST_VERSION,
        suite: Suite::X25519Aes256Gcm,
        manifest: manifest_hash(),
        method,
        request: REQUEST,
        challenge: vec![0xc4; 48].into(),
        token: Hash32([0x70; 32]),
        device: device(),
        receipt_size: 300,
    }
}

fn token(compact: &str) -> AccessToken {
    AccessToken::from(compact.to_owned())
}

pub(crate) fn body(request: Request) -> Body {
    Body {
        access_token: token("header.claims.signature"),
        device_key: crate::p256("device").1,
        receipt: Some(NOTE.to_vec().into()),
        request,
    }
}

pub(crate) fn intents() -> Vec<Intent> {
    vec![
        Intent::EvmTransaction { account: account(0), chain: ChainId(1), unsigned: vec![2, 0xc0].into() },
        Intent::EvmAuthorization {
            account: account(23),
            chain: ChainId(8_217),
            address: EvmAddress([0xad; 20]),
            nonce: u64::MAX,
        },
        Intent::EvmPersonalMessage { account: account(24), message: b"hello".to_vec().into() },
        Intent::EvmTypedData { account: account(999), chain: ChainId(31_337), typed_data: vec![0x80].into() },
    ]
}

/// One request of every method, in the order of [`Method::ALL`].
pub(crate) fn requests() -> Vec<Request> {
    vec![
        Request::RegisterPrepare { pin: pin(1), words: 24, label: "Grace's phone \u{2713}".into() },
        Request::RegisterConfirm { pin: pin(2) },
        Request::VerifyPin { pin: pin(3) },
        Request::Sign { pin: pin(4), intents: intents() },
        Request::ChangePinPrepare { pin: pin(5), new_pin: pin(6) },
        Request::ChangePinConfirm { pin: pin(7) },
        Request::EnrolDevice { pin: pin(8), label: "laptop".into() },
        Request::RevokeDevice { pin: pin(9), device: DeviceId([0xee; 32]) },
        Request::ClearTries { pin: pin(10) },
        Request::Status,
        Request::ListAccounts { accounts: vec![account(0), account(1), account(500)] },
        Request::OpenHistory { writes: vec![logged_write(1), logged_write(u64::MAX)] },
        Request::AcceptRestore { restores: 3 },
    ]
}

pub(crate) fn logged_write(version: u64) -> LoggedWrite {
    LoggedWrite {
        version: Version(version),
        outer: Hash32([0x0f; 32]),
        detail: SealedDetail([0x5d; 96]),
        index: version,
        path: vec![Hash32([0x21; 32]), Hash32([0x22; 32])],
    }
}

pub(crate) const fn detail() -> Detail {
    Detail { step: Step::Wrong, method: Method::OpenHistory, time: TIME, device: device() }
}

pub(crate) fn statement() -> AddressStatement {
    AddressStatement {
        deployment: deployment(),
        wallet: wallet(),
        path: account(0).path(),
        network: "eip155".into(),
        address: vec![0xad; 20].into(),
    }
}

fn signed_statement() -> SignedStatement {
    SignedStatement { statement: cbor::to_vec(&statement()).into(), signature: vec![0x51; 64].into() }
}

fn signed() -> Vec<Signed> {
    vec![
        Signed::EvmTransaction { raw: vec![2, 0xc1, 0x80].into(), hash: Hash32([0x7a; 32]) },
        Signed::EvmSignature { signature: vec![0x1b; 65].into() },
        Signed::EvmAuthorization { tuple: vec![0xc0].into() },
    ]
}

pub(crate) fn outcomes() -> Vec<(&'static str, Outcome)> {
    let status = Status {
        state: WalletState::Prepared,
        enrolled: false,
        change_pending: true,
        devices: vec![DeviceInfo { device: device(), label: "phone".into(), enrolled: TIME, outstanding: 2 }],
        unenrolled_outstanding: 1,
        outstanding: 3,
    };
    let writes = vec![OpenedWrite::Opened(detail()), OpenedWrite::NotOpened];
    let history = History { current: Version(258), writes };
    vec![
        ("refused", Outcome::Refused(Refusal::Delayed)),
        ("wrong_pin", Outcome::WrongPin),
        ("prepared", Outcome::Prepared),
        ("registered", Outcome::Registered(signed_statement())),
        ("pin_verified", Outcome::PinVerified),
        ("signed", Outcome::Signed(signed())),
        ("pin_changed", Outcome::PinChanged),
        ("device_enrolled", Outcome::DeviceEnrolled),
        ("device_revoked", Outcome::DeviceRevoked),
        ("tries_cleared", Outcome::TriesCleared),
        ("status", Outcome::Status(status)),
        ("accounts", Outcome::Accounts(vec![signed_statement()])),
        ("service_fault", Outcome::ServiceFault),
        ("history", Outcome::History(history)),
        ("restore_accepted", Outcome::RestoreAccepted),
    ]
}

pub(crate) fn reply(outcome: Outcome) -> Reply {
    Reply {
        request: REQUEST,
        time: TIME,
        tries: Some(Tries { left: 4, life_left: 99, delay_seconds: 60 }),
        receipt: NOTE.to_vec().into(),
        outcome,
        next: None,
    }
}

pub(crate) fn next() -> Next {
    Next {
        challenge: vec![0xc4; CHALLENGE_BYTES].into(),
        state: WalletState::Active,
        enrolled: true,
        current: Some(parameters(1)),
        pending: None,
        next: parameters(3),
    }
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint {
        deployment: deployment(),
        restores: 0,
        size: 5,
        root: frontier(5).root(),
        sequence: Sequence(2),
        previous: Hash32([0x97; 32]),
        time: TIME,
        state: Hash32([0x5a; 32]),
        breaker: SealedBreaker([0xb4; SealedBreaker::LEN]),
        tpm: None,
    }
}

pub(crate) fn frontier(leaves: u8) -> Frontier {
    let mut frontier = Frontier::default();
    for leaf in 0..leaves {
        frontier.append(leaf_hash(&[leaf]), |_| {});
    }
    frontier
}

fn sealed_request() -> SealedRequest {
    SealedRequest { header: header(Method::Sign), enc: HpkePublic([0xec; 32]), ciphertext: vec![0xcc; 40].into() }
}

fn consistency() -> Consistency {
    Consistency { old_size: 2, new_size: 5, path: vec![Hash32([1; 32]), Hash32([2; 32])], old_root: None }
}

fn inclusion() -> Inclusion {
    Inclusion { index: 2, size: 5, path: vec![Hash32([1; 32]), Hash32([2; 32]), Hash32([3; 32])] }
}

fn wire_header() -> Header {
    Header { wallet: wallet(), version: Version(258), outer: Hash32([0x0f; 32]) }
}

const TERM: Term = Term([0x7e; 32]);

fn order() -> Order {
    Order {
        version: ORDER_VERSION,
        deployment: deployment(),
        root: Hash32([0x60; 32]),
        previous: Hash32([0xce; 32]),
        configuration: Hash32([0xcf; 32]),
        checkpoint: Hash32([0xc0; 32]),
        time: TIME,
        restores: None,
        resumes: false,
    }
}

fn boot_to_change(stage: ChangeStage) -> ToEnclave {
    let order = SignedOrder { order: cbor::to_vec(&order()).into(), salt: Hash32([0x5a; 32]), mac: Hash32([0x3a; 32]) };
    ToEnclave::Boot {
        configuration: vec![0x80].into(),
        sealed_root: vec![0x60; 9].into(),
        checkpoint: NOTE.to_vec().into(),
        frontier: frontier(5),
        anchored: NOTE.to_vec().into(),
        time: TIME,
        change: Some(Change { configuration: vec![0x81].into(), order, stage }),
        nonce: None,
    }
}

fn to_enclave() -> Vec<(&'static str, ToEnclave)> {
    let call = CallId(70_000);
    vec![
        ("create", ToEnclave::Create { configuration: cbor::to_vec(&configuration()).into(), time: TIME }),
        (
            "boot",
            ToEnclave::Boot {
                configuration: vec![0x80].into(),
                sealed_root: vec![0x60; 9].into(),
                checkpoint: NOTE.to_vec().into(),
                frontier: frontier(5),
                anchored: Vec::new().into(),
                time: TIME,
                change: None,
                nonce: None,
            },
        ),
        ("boot_to_change", boot_to_change(ChangeStage::Ordered { receipt: NOTE.to_vec().into() })),
        ("boot_to_finish_change", boot_to_change(ChangeStage::Logged { term: TERM })),
        ("headers", ToEnclave::Headers { headers: vec![wire_header(); 2] }),
        ("headers_end", ToEnclave::HeadersEnd),
        (
            "begin",
            ToEnclave::Begin {
                call,
                time: TIME,
                access_token: token("header.claims.signature"),
                method: Method::Sign,
                outer: Some(vec![0x0e; 5].into()),
            },
        ),
        (
            "begin_without_record",
            ToEnclave::Begin {
                call,
                time: TIME,
                access_token: token("t"),
                method: Method::RegisterPrepare,
                outer: None,
            },
        ),
        (
            "sealed",
            ToEnclave::Sealed {
                call,
                time: TIME,
                request: sealed_request(),
                outer: Some(vec![0x0e; 5].into()),
                consistency: Some(consistency()),
            },
        ),
        (
            "sealed_without_record",
            ToEnclave::Sealed {
                call,
                time: TIME,
                request: sealed_request(),
                outer: None,
                consistency: Some(consistency()),
            },
        ),
        (
            "sealed_alone",
            ToEnclave::Sealed { call, time: TIME, request: sealed_request(), outer: None, consistency: None },
        ),
        ("committed", ToEnclave::Committed { batch: BatchId(1), receipt: NOTE.to_vec().into(), nonce: None }),
        (
            "committed_by_tpm",
            ToEnclave::Committed {
                batch: BatchId(1),
                receipt: NOTE.to_vec().into(),
                nonce: Some(TpmNonce([0x21; 32])),
            },
        ),
        ("defined", ToEnclave::Defined { nonce: TpmNonce([0x21; 32]) }),
        (
            "prime",
            ToEnclave::Prime { configuration: vec![0xc0; 7].into(), sealed_root: vec![0x50; 9].into(), tpm: tpm() },
        ),
        ("aborted", ToEnclave::Aborted { batch: BatchId(2) }),
        ("evidence", ToEnclave::Evidence { call, nonce: Nonce([0x42; 32]), time: TIME }),
    ]
}

fn record_write() -> RecordWrite {
    RecordWrite {
        call: CallId(3),
        wallet: wallet(),
        version: Version(2),
        hash: Hash32([0x0f; 32]),
        outer: vec![0x0e; 5].into(),
    }
}

fn batch() -> Batch {
    Batch {
        batch: BatchId(7),
        previous: NOTE.to_vec().into(),
        checkpoint: NOTE.to_vec().into(),
        frontier: frontier(6),
        records: vec![record_write()],
        entries: vec![cbor::to_vec(&record_entry()).into()],
        authorisation: None,
    }
}

fn record_entry() -> Entry {
    Entry::Record { wallet: wallet(), version: Version(2), outer: Hash32([0x0f; 32]), detail: SealedDetail([0x5d; 96]) }
}

fn from_enclave() -> Vec<(&'static str, FromEnclave)> {
    let call = CallId(70_000);
    let measure = Measure { name: "seccomp".into(), active: true, detail: "fork refused".into() };
    let begun = |begun| FromEnclave::Begun { call, begun };
    vec![
        (
            "hello",
            FromEnclave::Hello {
                version: WIRE_VERSION,
                measurement: Measurement([0x3e; 32]),
                release: "0.1.0".into(),
                hardening: vec![measure],
            },
        ),
        (
            "created",
            FromEnclave::Created {
                sealed_root: vec![0x60; 9].into(),
                genesis: NOTE.to_vec().into(),
                log: Ed25519Public([0x10; 32]),
            },
        ),
        (
            "roll_forward",
            FromEnclave::RollForward {
                previous: NOTE.to_vec().into(),
                checkpoint: NOTE.to_vec().into(),
                authorisation: None,
            },
        ),
        (
            "roll_forward_in_tpm",
            FromEnclave::RollForward {
                previous: vec![0x77; 32].into(),
                checkpoint: NOTE.to_vec().into(),
                authorisation: Some(authorisation()),
            },
        ),
        ("define", FromEnclave::Define { writer: crate::p256("device").1 }),
        ("primed", FromEnclave::Primed { value: Hash32([0x9d; 32]), authorisation: authorisation() }),
        ("commit", FromEnclave::Commit(batch())),
        ("ready", FromEnclave::Ready { manifest: cbor::to_vec(&manifest()).into(), wallets: 12 }),
        ("begun_reply", begun(Begun::Reply(wallet(), signed_begin()))),
        ("begun_needs_record", begun(Begun::NeedsRecord(wallet()))),
        ("begun_refused", begun(Begun::Refused(Refusal::TokenExpired))),
        ("replied", FromEnclave::Replied { call, reply: sealed_reply() }),
        ("refused", FromEnclave::Refused { call, refusal: Refusal::StaleManifest }),
        ("evidence", FromEnclave::Evidence { call, document: vec![0xe0; 12].into() }),
        ("changed", FromEnclave::Changed { sealed_root: vec![0x61; 9].into() }),
        ("halted", FromEnclave::Halted { halt: Halt::StateOlder, detail: "checkpoint 3 of 9".into() }),
    ]
}

fn signed_begin() -> SignedBeginReply {
    SignedBeginReply { reply: cbor::to_vec(&begin_reply()).into(), signature: vec![0x51; 64].into() }
}

fn sealed_reply() -> SealedReply {
    SealedReply { request: REQUEST, ciphertext: vec![0xcc; 300].into() }
}

/// Every sample.
pub(crate) fn all() -> Vec<Sample> {
    let mut out = vec![
        sample("configuration", configuration()),
        sample(
            "configuration/tpm",
            Configuration { anchor: AnchorLevel::L2, floor: AnchorLevel::L2, tpm: Some(tpm()), ..configuration() },
        ),
        sample(
            "configuration/base",
            Configuration {
                anchor: AnchorLevel::L2,
                floor: AnchorLevel::L2,
                tpm: Some(tpm()),
                base: Some(Hash32([0xba; 32])),
                ..configuration()
            },
        ),
        sample("manifest", manifest()),
        sample(
            "manifest/tpm",
            Manifest { anchor: AnchorLevel::L2, floor: AnchorLevel::L2, tpm: Some(tpm()), ..manifest() },
        ),
        sample("pin_parameters", parameters(1)),
        sample("begin_reply", begin_reply()),
        sample("begin_reply/register", BeginReply { current: None, pending: Some(parameters(2)), ..begin_reply() }),
        sample("signed_begin_reply", signed_begin()),
        sample("request_header", header(Method::Sign)),
        sample("sealed_request", sealed_request()),
        sample("body", body(Request::VerifyPin { pin: pin(3) })),
        sample("body/without_receipt", Body { receipt: None, ..body(Request::Status) }),
        sample("address_statement", statement()),
        sample("signed_statement", signed_statement()),
        sample("reply", reply(Outcome::PinVerified)),
        sample("reply/without_wallet", Reply { tries: None, ..reply(Outcome::Refused(Refusal::WalletMissing)) }),
        sample("reply/with_next", Reply { next: Some(next()), ..reply(Outcome::Signed(signed())) }),
        sample(
            "reply/with_longest_next",
            Reply { next: Some(Next { pending: Some(parameters(2)), ..next() }), ..reply(Outcome::WrongPin) },
        ),
        sample("sealed_reply", sealed_reply()),
        sample("entry/record", record_entry()),
        sample(
            "entry/boot",
            Entry::Boot {
                nonce: Nonce([0x42; 32]),
                keys: Hash32([0x6b; 32]),
                configuration: Hash32([0xcf; 32]),
                time: TIME,
            },
        ),
        sample(
            "entry/configured",
            Entry::Configured {
                term: TERM,
                configuration: Hash32([0xcf; 32]),
                previous: Hash32([0xce; 32]),
                order: Hash32([0x0d; 32]),
                time: TIME,
                restores: 0,
                resumed: false,
            },
        ),
        sample("entry/tripped", Entry::Tripped { time: TIME }),
        sample("entry/read", Entry::Read { nonce: Nonce([0x42; 32]) }),
        sample("order", order()),
        sample("order/restore", Order { restores: Some(2), ..order() }),
        sample("order/resume", Order { resumes: true, ..order() }),
        sample("frontier/empty", Frontier::default()),
        sample("frontier/five", frontier(5)),
        sample("node", Node { level: 3, index: 300, hash: Hash32([0x4e; 32]) }),
        sample("consistency", consistency()),
        sample("consistency/old_root", Consistency { old_root: Some(Hash32([3; 32])), ..consistency() }),
        sample("inclusion", inclusion()),
        sample("logged_write", logged_write(258)),
        sample("header", wire_header()),
        sample("record_write", record_write()),
        sample("batch", batch()),
        sample("batch/tpm", Batch { authorisation: Some(authorisation()), ..batch() }),
    ];
    for request in requests() {
        out.push(sample(&format!("request/{}", request.method().name()), request));
    }
    for (intent, name) in intents().into_iter().zip(["transaction", "authorization", "personal_message", "typed_data"])
    {
        out.push(sample(&format!("intent/evm_{name}"), intent));
    }
    for (signed, name) in signed().into_iter().zip(["transaction", "signature", "authorization"]) {
        out.push(sample(&format!("signed/evm_{name}"), signed));
    }
    for (name, outcome) in outcomes() {
        out.push(sample(&format!("outcome/{name}"), outcome));
    }
    for (name, message) in to_enclave() {
        out.push(sample(&format!("to_enclave/{name}"), message));
    }
    for (name, message) in from_enclave() {
        out.push(sample(&format!("from_enclave/{name}"), message));
    }
    out
}
