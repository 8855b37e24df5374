//! Properties of every encoding: what is written is read back, and bytes off the wire never panic.

use pinseal_protocol::cbor;
use pinseal_protocol::configuration::{AnchorLevel, Configuration, ConfigurationError, Issuer, Policy};
use pinseal_protocol::history::LoggedWrite;
use pinseal_protocol::ids::{DeploymentId, DeviceId, Hash32, Nonce, RequestId, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::intent::{AccountIndex, ChainId, EvmAddress, Intent, Signed};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::{
    ACCOUNTS_MAX, BREAKER_MAX, BREAKER_MIN, CHALLENGES_OPEN_MAX, FRAME_BYTES_MAX, HISTORY_WRITES_MAX,
    IN_FLIGHT_BYTES_MAX, INCLUSION_HASHES_MAX, INTENTS_MAX, ISSUERS_MAX, LABEL_BYTES_MAX, REQUEST_BYTES_MAX,
};
use pinseal_protocol::log::{Entry, SealedDetail};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::pin::{Argon2Parameters, MEMORY_KIB_MAX, MEMORY_KIB_MIN, PinFactor};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::{DeviceInfo, Next, Outcome, Reply, Status, Tries};
use pinseal_protocol::request::{Method, Request, WalletState, is_label};
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::wire::{self, FrameError, FromEnclave, ToEnclave};
use proptest::prelude::*;

use crate::samples::{self, Sample, all};

fn blob(max: usize) -> impl Strategy<Value = minicbor::bytes::ByteVec> {
    prop::collection::vec(any::<u8>(), 0..max).prop_map(Into::into)
}

fn pin() -> impl Strategy<Value = PinFactor> {
    any::<[u8; 32]>().prop_map(|mut bytes| PinFactor::new(SecretBytes::take(&mut bytes)))
}

fn account() -> impl Strategy<Value = AccountIndex> {
    (0..AccountIndex::END).prop_map(|index| AccountIndex::new(index).unwrap())
}

fn intent() -> impl Strategy<Value = Intent> {
    prop_oneof![
        (account(), any::<u64>(), blob(300)).prop_map(|(account, chain, unsigned)| Intent::EvmTransaction {
            account,
            chain: ChainId(chain),
            unsigned
        }),
        (account(), any::<u64>(), any::<[u8; 20]>(), any::<u64>()).prop_map(|(account, chain, address, nonce)| {
            Intent::EvmAuthorization { account, chain: ChainId(chain), address: EvmAddress(address), nonce }
        }),
        (account(), blob(300)).prop_map(|(account, message)| Intent::EvmPersonalMessage { account, message }),
        (account(), any::<u64>(), blob(300)).prop_map(|(account, chain, typed_data)| Intent::EvmTypedData {
            account,
            chain: ChainId(chain),
            typed_data
        }),
    ]
}

fn label() -> impl Strategy<Value = String> {
    "[a-zA-Z \u{e4}\u{6c34}]{1,10}"
}

fn logged_write() -> impl Strategy<Value = LoggedWrite> {
    let path = prop::collection::vec(any::<[u8; 32]>().prop_map(Hash32), 0..5);
    (any::<u64>(), any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>(), path).prop_map(
        |(version, outer, third, index, path)| LoggedWrite {
            version: Version(version),
            outer: Hash32(outer),
            detail: SealedDetail::from_slice(&third.repeat(3)).unwrap(),
            index,
            path,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (pin(), any::<bool>(), label()).prop_map(|(pin, long, label)| Request::RegisterPrepare {
            pin,
            words: if long { 24 } else { 12 },
            label
        }),
        pin().prop_map(|pin| Request::VerifyPin { pin }),
        (pin(), prop::collection::vec(intent(), 1..=INTENTS_MAX))
            .prop_map(|(pin, intents)| Request::Sign { pin, intents }),
        (pin(), pin()).prop_map(|(pin, new_pin)| Request::ChangePinPrepare { pin, new_pin }),
        (pin(), any::<[u8; 32]>()).prop_map(|(pin, device)| Request::RevokeDevice { pin, device: DeviceId(device) }),
        prop::collection::vec(account(), 1..=ACCOUNTS_MAX).prop_map(|accounts| Request::ListAccounts { accounts }),
        prop::collection::vec(logged_write(), 0..=HISTORY_WRITES_MAX)
            .prop_map(|writes| Request::OpenHistory { writes }),
        any::<u32>().prop_map(|restores| Request::AcceptRestore { restores }),
    ]
}

fn signed() -> impl Strategy<Value = Signed> {
    prop_oneof![
        (blob(300), any::<[u8; 32]>()).prop_map(|(raw, hash)| Signed::EvmTransaction { raw, hash: Hash32(hash) }),
        blob(66).prop_map(|signature| Signed::EvmSignature { signature }),
        blob(120).prop_map(|tuple| Signed::EvmAuthorization { tuple }),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    let device =
        (any::<[u8; 32]>(), label(), any::<u64>(), any::<u8>()).prop_map(|(device, label, enrolled, outstanding)| {
            DeviceInfo { device: DeviceId(device), label, enrolled: UnixSeconds(enrolled), outstanding }
        });
    (any::<bool>(), any::<bool>(), prop::collection::vec(device, 0..8), any::<u8>(), any::<u8>()).prop_map(
        |(enrolled, change_pending, devices, unenrolled_outstanding, outstanding)| Status {
            state: WalletState::Active,
            enrolled,
            change_pending,
            devices,
            unenrolled_outstanding,
            outstanding,
        },
    )
}

fn next() -> impl Strategy<Value = Next> {
    (blob(56), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(challenge, enrolled, current, pending)| Next {
        challenge,
        state: WalletState::Active,
        enrolled,
        current: current.then(|| samples::parameters(1)),
        pending: pending.then(|| samples::parameters(2)),
        next: samples::parameters(3),
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let outcome = prop_oneof![
        prop::sample::select(Refusal::ALL).prop_map(Outcome::Refused),
        Just(Outcome::WrongPin),
        prop::collection::vec(signed(), 0..INTENTS_MAX).prop_map(Outcome::Signed),
        status().prop_map(Outcome::Status),
    ];
    let tries = (any::<u8>(), any::<u8>(), any::<u32>()).prop_map(|(left, life_left, delay_seconds)| Tries {
        left,
        life_left,
        delay_seconds,
    });
    (any::<[u8; 16]>(), any::<u64>(), prop::option::of(tries), blob(500), outcome, prop::option::of(next())).prop_map(
        |(request, time, tries, receipt, outcome, next)| Reply {
            request: RequestId(request),
            time: UnixSeconds(time),
            tries,
            receipt,
            outcome,
            next,
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        (any::<[u8; 32]>(), any::<u64>(), any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 96)).prop_map(
            |(wallet, version, outer, detail)| Entry::Record {
                wallet: UserIdHash(wallet),
                version: Version(version),
                outer: Hash32(outer),
                detail: SealedDetail::from_slice(&detail).unwrap(),
            }
        ),
        (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(nonce, keys, time)| Entry::Boot {
            nonce: Nonce(nonce),
            keys: Hash32(keys),
            configuration: Hash32(nonce),
            time: UnixSeconds(time),
        }),
        any::<u64>().prop_map(|time| Entry::Tripped { time: UnixSeconds(time) }),
        any::<[u8; 32]>().prop_map(|nonce| Entry::Read { nonce: Nonce(nonce) }),
    ]
}

/// Samples are costly to build: once a thread.
fn with_samples<T>(run: impl FnOnce(&[Sample]) -> T) -> T {
    thread_local!(static SAMPLES: Vec<Sample> = all());
    SAMPLES.with(|samples| run(samples))
}

proptest! {
    #[test]
    fn requests_read_back(request in request()) {
        prop_assert!(request.is_within_bounds());
        let encoded = cbor::to_vec(&request);
        prop_assert_eq!(&*cbor::to_zeroizing(&request), &encoded);
        prop_assert_eq!(cbor::to_vec(&cbor::from_slice::<Request>(&encoded).unwrap()), encoded);
    }

    #[test]
    fn replies_read_back(reply in reply()) {
        prop_assert_eq!(cbor::from_slice::<Reply>(&cbor::to_vec(&reply)).unwrap(), reply);
    }

    #[test]
    fn entries_read_back_and_each_kind_has_one_size(entry in entry()) {
        let encoded = cbor::to_vec(&entry);
        prop_assert_eq!(cbor::from_slice::<Entry>(&encoded).unwrap(), entry.clone());
        if matches!(entry, Entry::Record { .. }) {
            let sample = with_samples(|all| all.iter().find(|sample| sample.name == "entry/record").unwrap().bytes.len());
            prop_assert_eq!(encoded.len(), sample);
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        with_samples(|all| for sample in all {
            let _ = (sample.reparse)(&bytes);
        });
        let _ = wire::parse::<ToEnclave>(&bytes);
        let _ = wire::parse::<FromEnclave>(&bytes);
    }

    /// Nearly right messages reach deeper: a few bytes of a good one replaced, removed or put in.
    #[test]
    fn damaged_messages_are_parsed_without_a_panic(
        which: prop::sample::Index,
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..10), 0_usize..10), 1..4),
    ) {
        with_samples(|all| {
            let sample = which.get(all);
            let mut bytes = sample.bytes.clone();
            for (at, put, taken) in edits {
                let at = at.index(bytes.len() + 1);
                let end = (at + taken).min(bytes.len());
                bytes.splice(at..end, put);
            }
            for sample in all {
                let meant = (sample.reparse)(&bytes);
                prop_assert!(meant != Ok(true) || bytes == sample.bytes, "{}: a second encoding", sample.name);
            }
            Ok(())
        })?;
    }

    #[test]
    fn part_lists_do_not_collide(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..5), at: prop::sample::Index) {
        let slices = |parts: &[Vec<u8>]| parts.iter().map(Vec::as_slice).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let hash = |parts: &[Vec<u8>]| kdf::hash("label", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut split = slices(&parts);
        split.insert(at.index(parts.len() + 1), Vec::new());
        prop_assert_ne!(hash(&split), hash(&parts), "an empty part counts");
        if let Some((last, rest)) = parts.split_last() && let Some((before, rest)) = rest.split_last() && !last.is_empty() {
            let joined = [rest, &[[before.as_slice(), last].concat()]].concat();
            prop_assert_ne!(hash(&joined), hash(&parts), "where a part ends counts");
        }
    }
}

/// A message that announces more than it brings is refused at once and takes no memory for what it announces.
#[test]
fn announced_lengths_are_not_believed() {
    for head in [0x5b_u8, 0x7b, 0x9b, 0xbb] {
        let huge = [&[head][..], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
        with_samples(|all| {
            for sample in all {
                assert!((sample.reparse)(&huge).is_err(), "{}", sample.name);
                for at in 0..sample.bytes.len() {
                    let spliced = [&sample.bytes[..at], &huge].concat();
                    // Where the message would have ended anyway, the nine bytes may lie inside a string and announce nothing.
                    let whole = spliced.len() == sample.bytes.len();
                    assert!(whole || (sample.reparse)(&spliced).is_err(), "{} at {at}", sample.name);
                }
            }
        });
    }
}

/// Nested lists, maps and tags where nothing of the kind belongs: no recursion to exhaust.
#[test]
fn deep_nesting_is_refused() {
    for byte in [0x81_u8, 0x9f, 0xa1, 0xbf, 0xc1] {
        let deep = vec![byte; 1 << 18];
        // As an unknown further element, which a decoder may have to skip.
        let element = [&[0x9f, 0x00][..], &deep].concat();
        for bytes in [deep, element] {
            assert!(wire::parse::<ToEnclave>(&bytes).is_err());
            assert!(wire::parse::<FromEnclave>(&bytes).is_err());
            assert!(cbor::from_slice::<Request>(&bytes).is_err());
            assert!(cbor::from_slice::<Reply>(&bytes).is_err());
            assert!(cbor::from_slice::<Entry>(&bytes).is_err());
            assert!(cbor::from_slice::<Policy>(&bytes).is_err());
        }
    }
}

#[test]
fn frames_announce_their_length() {
    let message = ToEnclave::HeadersEnd;
    let frame = wire::frame(&message).unwrap();
    let (prefix, body) = frame.split_first_chunk::<4>().unwrap();
    assert_eq!(wire::frame_length(*prefix), Ok(body.len()));
    assert!(matches!(wire::parse(body), Ok(ToEnclave::HeadersEnd)));
    assert_eq!(wire::parse::<ToEnclave>(&[]).unwrap_err(), FrameError::Malformed);
    assert_eq!(wire::parse::<FromEnclave>(body), Err(FrameError::Malformed));

    let prefix = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    assert_eq!(wire::frame_length(prefix(0)), Err(FrameError::Length));
    assert_eq!(wire::frame_length(prefix(FRAME_BYTES_MAX)), Ok(FRAME_BYTES_MAX));
    assert_eq!(wire::frame_length(prefix(FRAME_BYTES_MAX + 1)), Err(FrameError::Length));
    assert_eq!(wire::frame_length([0xff; 4]), Err(FrameError::Length));

    let created = |root: usize| FromEnclave::Created {
        sealed_root: vec![0; root].into(),
        genesis: Vec::new().into(),
        log: Ed25519Public([0; 32]),
    };
    let overhead = cbor::to_vec(&created(100_000)).len() - 100_000;
    assert_eq!(wire::frame(&created(FRAME_BYTES_MAX - overhead)).unwrap().len(), 4 + FRAME_BYTES_MAX);
    assert_eq!(wire::frame(&created(FRAME_BYTES_MAX - overhead + 1)), Err(FrameError::Length));
}

#[test]
fn requests_beyond_their_bounds_are_seen() {
    let index = |value: u32| cbor::from_slice::<AccountIndex>(&cbor::to_vec(&value)).unwrap();
    assert!(index(999).is_valid() && !index(1_000).is_valid() && !index(u32::MAX).is_valid());
    assert_eq!(AccountIndex::new(1_000), None);
    let message = |account| Intent::EvmPersonalMessage { account, message: Vec::new().into() };
    let sign = |intents| Request::Sign { pin: samples::pin(1), intents };
    let list = |accounts| Request::ListAccounts { accounts };
    let history = |count| Request::OpenHistory { writes: vec![samples::logged_write(1); count] };
    let proved = |hashes| Request::OpenHistory {
        writes: vec![LoggedWrite { path: vec![Hash32([0; 32]); hashes], ..samples::logged_write(1) }],
    };
    let prepare = |words, label: &str| Request::RegisterPrepare { pin: samples::pin(1), words, label: label.into() };
    let enrol = |label: &str| Request::EnrolDevice { pin: samples::pin(1), label: label.into() };
    let long = "x".repeat(LABEL_BYTES_MAX + 1);

    for within in [
        sign((0..INTENTS_MAX).map(|_| message(index(0))).collect()),
        list(vec![index(0); ACCOUNTS_MAX]),
        history(0),
        history(HISTORY_WRITES_MAX),
        proved(INCLUSION_HASHES_MAX),
        prepare(12, "phone"),
        prepare(24, &long[1..]),
        enrol("\u{1f4f1}"),
    ] {
        assert!(within.is_within_bounds(), "{within:?}");
    }
    for beyond in [
        sign(Vec::new()),
        sign((0..=INTENTS_MAX).map(|_| message(index(0))).collect()),
        sign(vec![message(index(1_000))]),
        list(Vec::new()),
        list(vec![index(0); ACCOUNTS_MAX + 1]),
        list(vec![index(0), index(1_000)]),
        history(HISTORY_WRITES_MAX + 1),
        proved(INCLUSION_HASHES_MAX + 1),
        prepare(15, "phone"),
        prepare(0, "phone"),
        prepare(12, ""),
        enrol(&long),
        enrol("line\nbreak"),
        enrol("null\0"),
    ] {
        assert!(!beyond.is_within_bounds(), "{beyond:?}");
    }
    assert!(!is_label("\u{7f}") && !is_label("\u{85}"), "control characters of every kind");
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let good = samples::configuration();
    assert_eq!(good.check(), Ok(()));
    let with = |change: fn(&mut Configuration)| {
        let mut changed = good.clone();
        change(&mut changed);
        assert_ne!(changed.hash(), good.hash(), "every field is hashed");
        changed.check()
    };
    assert_eq!(with(|c| c.breaker += 1), Ok(()));
    assert_eq!(with(|c| c.version = 2), Err(ConfigurationError::Version));
    assert_eq!(with(|c| c.issuers.clear()), Err(ConfigurationError::Issuers));
    assert_eq!(with(|c| c.issuers = vec![c.issuers[0].clone(); ISSUERS_MAX + 1]), Err(ConfigurationError::Issuers));
    let many = |count: usize| {
        let mut changed = good.clone();
        let issuer = changed.issuers[0].clone();
        let named = |number| Issuer { audience: format!("app {number}"), ..issuer.clone() };
        changed.issuers = (0..count).map(named).collect();
        changed.check()
    };
    assert_eq!((many(1), many(ISSUERS_MAX)), (Ok(()), Ok(())));
    assert_eq!(many(ISSUERS_MAX + 1), Err(ConfigurationError::Issuers));
    assert_eq!(with(|c| c.issuers.push(c.issuers[0].clone())), Err(ConfigurationError::Issuers), "named twice");
    assert_eq!(with(|c| c.issuers[0].issuer.clear()), Err(ConfigurationError::Issuers));
    assert_eq!(with(|c| c.issuers[0].audience.clear()), Err(ConfigurationError::Issuers));
    assert_eq!(with(|c| (c.anchor, c.floor) = (AnchorLevel::L0, AnchorLevel::L1)), Err(ConfigurationError::Floor));
    assert_eq!(with(|c| c.argon2 = Argon2Parameters { passes: 1, ..c.argon2 }), Err(ConfigurationError::Argon2));
    let tripping_at = |breaker| Configuration { breaker, ..good.clone() }.check();
    for breaker in [0, BREAKER_MIN - 1, BREAKER_MAX + 1, u32::MAX] {
        assert_eq!(tripping_at(breaker), Err(ConfigurationError::Breaker), "{breaker}");
    }
    assert_eq!((tripping_at(BREAKER_MIN), tripping_at(BREAKER_MAX)), (Ok(()), Ok(())));
    assert_eq!(with(|c| c.deployment = DeploymentId([0; 16])), Ok(()));
    assert_eq!(with(|c| c.policy = Policy::default()), Ok(()));
}

/// Written out, so that a slip in a product of powers of two is seen.
#[test]
fn the_bounds_are_those_the_documents_tell() {
    assert_eq!((FRAME_BYTES_MAX, REQUEST_BYTES_MAX, IN_FLIGHT_BYTES_MAX), (4_194_304, 262_144, 33_554_432));
    assert_eq!(CHALLENGES_OPEN_MAX, 1_048_576);
    assert_eq!((MEMORY_KIB_MIN, MEMORY_KIB_MAX, Argon2Parameters::DEFAULT.memory_kib), (19_456, 1_048_576, 65_536));
}

#[test]
fn levels_chains_and_refusals_are_shown_by_their_names() {
    let levels: Vec<String> = AnchorLevel::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(levels, ["L0", "L1", "L2", "L4"]);
    assert_eq!(ChainId(11_155_111).to_string(), "eip155:11155111");
    assert!(Refusal::ALL.iter().all(|refusal| refusal.to_string() == refusal.code()));
}

/// Charge and settle, or the one write that prepares a wallet, or none.
#[test]
fn every_method_writes_as_often_as_the_protocol_says() {
    for method in Method::ALL.iter().copied() {
        let writes = match method {
            Method::Status | Method::ListAccounts | Method::OpenHistory => 0,
            Method::RegisterPrepare | Method::AcceptRestore => 1,
            _ => 2,
        };
        assert_eq!(method.writes(), writes, "{method:?}");
    }
}

#[test]
fn versions_end_where_they_cannot_grow() {
    assert_eq!(Version(1).next(), Some(Version(2)));
    assert_eq!(Version(u64::MAX).next(), None);
}

#[test]
fn hex_is_of_exact_length_and_one_meaning() {
    let id = DeploymentId([0xab; 16]);
    assert_eq!(DeploymentId::from_hex(&id.to_string()), Some(id));
    assert_eq!(DeploymentId::from_hex(&id.to_string().to_uppercase()), Some(id));
    for bad in ["", "ab", "+bababababababababababababababababab", "\u{e4}bababababababababababababababab"] {
        assert_eq!(DeploymentId::from_hex(bad), None, "{bad}");
    }
    let mut text = id.to_string();
    text.replace_range(0..2, "g0");
    assert_eq!(DeploymentId::from_hex(&text), None);
    text.push('0');
    assert_eq!(DeploymentId::from_hex(&text), None);
}
