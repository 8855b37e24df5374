//! The unlock path under valgrind's memcheck: no branch and no memory address depends on a secret.
//!
//! [`operations`] runs whole operations from the charge to the settling write, each that has a PIN tested, with right and wrong PINs,
//! on secrets that are marked as undefined. Memcheck follows the marks and reports where one decides anything. What comes out of an
//! AEAD under a marked key is marked from end to end, its form as well as its secrets; so [`plaintexts`] and [`records`] read what
//! lies in a sealed request and in a record by themselves, with marks on the secrets alone. What is declassified on the way is
//! named at the place (`protocol::constant_time`); what libraries decide by themselves is named in `constant-time.supp`.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::process::{Command, Output};

use minicbor::bytes::ByteVec;
use pinseal_probe::marks::{classify, declassify, is_checked};
use pinseal_protocol::constant_time::sabotage;
use pinseal_protocol::envelope;
use pinseal_protocol::intent::{ChainId, EvmAddress};
use pinseal_protocol::pin::{Argon2Parameters, PinSalt};
use pinseal_protocol::request::Body;
use pinseal_protocol::secret::{SecretBytes, SecretText};
use pinseal_protocol::token::{AccessToken, P256Public};
use zeroize::Zeroizing;

use super::*;
use crate::environment::LockedBytes;

const SUPPRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/constant-time.supp");
/// Told to what is checked: which comparison it runs with.
const VARIANT: &str = "PINSEAL_CONSTANT_TIME_VARIANT";
const EARLY_EXIT: &str = "early exit";
/// Memcheck's exit code for "something was reported".
const REPORTED: i32 = 99;

const RIGHT: [u8; 32] = [0x51; 32];
const WRONG: [u8; 32] = [0x52; 32];
const WALLET: UserIdHash = UserIdHash([1; 32]);
const PARAMETERS: PinParameters = PinParameters { salt: PinSalt([7; 16]), argon2: Argon2Parameters::DEFAULT };

/// Everything drawn and every key locked is secret, but for the log key, which signs public text.
#[derive(Default)]
struct Classified(u8);

impl Environment for Classified {
    fn fill_random(&mut self, out: &mut [u8]) {
        self.0 = self.0.wrapping_add(1);
        out.fill(self.0);
        classify(out);
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        let keys = Box::new(secret);
        for (place, key) in keys.chunks_exact(32).enumerate() {
            if place != LOG_KEY {
                classify(key);
            }
        }
        keys
    }
}

/// Place of K_log among the keys of the root.
const LOG_KEY: usize = 2;

/// As drawn, but public: a wallet is made of it before anything is secret.
struct Public(Classified);

impl Environment for Public {
    fn fill_random(&mut self, out: &mut [u8]) {
        self.0.fill_random(out);
        declassify(out);
    }

    fn fill_second_random(&mut self, out: &mut [u8]) {
        self.fill_random(out);
    }

    fn lock(&mut self, secret: Zeroizing<Vec<u8>>) -> LockedBytes {
        self.0.lock(secret)
    }
}

fn factor(bytes: [u8; 32]) -> PinFactor {
    let factor = PinFactor::new(SecretBytes::take(&mut bytes.clone()));
    classify(factor.expose_secret());
    factor
}

const LAPTOP: DeviceId = DeviceId([2; 32]);
const PHONE: DeviceId = DeviceId([3; 32]);
const STRANGER: DeviceId = DeviceId([4; 32]);

/// A request of a method that has a PIN tested; none of the others.
fn request(method: Method, pin: [u8; 32]) -> Option<Request> {
    let pin = factor(pin);
    Some(match method {
        Method::RegisterConfirm => Request::RegisterConfirm { pin },
        Method::VerifyPin => Request::VerifyPin { pin },
        Method::Sign => Request::Sign { pin, intents: intents() },
        Method::ChangePinPrepare => Request::ChangePinPrepare { pin, new_pin: factor(WRONG) },
        Method::ChangePinConfirm => Request::ChangePinConfirm { pin },
        Method::EnrolDevice => Request::EnrolDevice { pin, label: "tablet".into() },
        Method::RevokeDevice => Request::RevokeDevice { pin, device: PHONE },
        Method::ClearTries => Request::ClearTries { pin },
        Method::RegisterPrepare
        | Method::Status
        | Method::ListAccounts
        | Method::OpenHistory
        | Method::AcceptRestore => return None,
    })
}

/// One intent of each kind.
fn intents() -> Vec<Intent> {
    let (account, chain) = (AccountIndex::new(3).unwrap(), ChainId(1));
    // The example of EIP-155.
    let unsigned = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
    // One member of one type.
    let typed_data = b"\x84\x82\x82\x6cEIP712Domain\x81\x82\x64name\x66string\x82\x61M\x81\x82\x61x\x67uint256\x61M\x81\x61a\x81\x58\x20\
                       ................................";
    vec![
        Intent::EvmTransaction { account, chain, unsigned: hex::decode(unsigned).unwrap().into() },
        Intent::EvmAuthorization { account, chain, address: EvmAddress([9; 20]), nonce: 5 },
        Intent::EvmPersonalMessage { account, message: b"hi".to_vec().into() },
        Intent::EvmTypedData { account, chain, typed_data: typed_data.to_vec().into() },
    ]
}

/// The record of a wallet whose k_u and rho are secret, as a request of that method finds it: one PIN in force, or one that waits, or both.
/// Its seed is secret once it is opened: the key it opens under is.
fn stored(method: Method) -> Record {
    let environment = &mut Public(Classified::default());
    let seed = Seed::generate(WordCount::Twelve, environment).unwrap();
    let accounts = seed.master().unwrap().account_public().to_bytes().to_vec();
    let mut inner = |generation| {
        let right = PinFactor::new(SecretBytes::take(&mut RIGHT.clone()));
        let place = Place { wallet: &WALLET, generation, accounts: &accounts };
        let inner = seed.seal(&right, &place, PARAMETERS, environment);
        classify(inner.factor_key.expose_secret());
        classify(inner.rho.expose_secret());
        inner
    };
    let active = (method != Method::RegisterConfirm).then(|| inner(1));
    let waits = matches!(method, Method::RegisterConfirm | Method::ChangePinConfirm);
    let pending = waits.then(|| Pending { inner: inner(2), since: UnixSeconds(1) });
    let mut guard = Guard::default();
    let devices = [LAPTOP, PHONE].map(|device| {
        guard.enrol();
        Device::new(device, "device".into(), UnixSeconds(1))
    });
    Record {
        subject: Hash32([3; 32]),
        active,
        pending,
        accounts: accounts.into(),
        devices: devices.into(),
        guard,
        restores: 0,
    }
}

/// An operation on such a wallet whose charge is anchored.
fn charged(request: Request) -> Operation {
    let method = request.method();
    let device = if method == Method::EnrolDevice { STRANGER } else { LAPTOP };
    let mut record = stored(method);
    let caller = record.caller(&device);
    assert_eq!(check(&request, &record, caller, UnixSeconds(1)), Ok(()), "{method:?}");
    record.guard.charge(caller, UnixSeconds(1));
    let prepared = prepare(&request, Policy::default()).unwrap();
    let header = Header { wallet: WALLET, version: Version(1), outer: Hash32([4; 32]) };
    let stage = Stage::Charging { prepared, next: PARAMETERS, request };
    Operation { method, wallet: WALLET, device, caller, record, header, strangers: 0, stage }
}

/// What is checked does nothing useful outside valgrind, but passes there too.
fn begin() {
    if std::env::var(VARIANT).is_ok_and(|variant| variant == EARLY_EXIT) {
        sabotage::begin();
    }
}

fn end() {
    eprintln!("all of it ran; secrets were marked: {}", is_checked());
}

#[test]
fn operations() {
    begin();
    let environment = &mut Classified::default();
    let keys = Keys::derive(&[5; 32], environment).unwrap();
    let settings = Settings {
        keys: &keys,
        policy_hash: Hash32([6; 32]),
        policy: Policy::default(),
        deployment: DeploymentId([7; 16]),
        now: UnixSeconds(1),
        ticks: UnixSeconds(1),
        restores: 0,
        gate: Gate::Open,
    };
    for pin in [RIGHT, WRONG] {
        for request in Method::ALL.iter().filter_map(|method| request(*method, pin)) {
            let method = request.method();
            let mut operation = charged(request);
            let write = operation.step(&settings, environment).unwrap();
            // The host gets it.
            declassify(write.outer.as_slice());
            let (outcome, _) = operation.finish(&settings);
            assert_eq!(outcome == Outcome::WrongPin, pin == WRONG, "{method:?}");
            assert_ne!(outcome, Outcome::ServiceFault, "{method:?}");
        }
    }
    end();
}

/// Of a request's plaintext the PIN factors alone are marked.
#[test]
fn plaintexts() {
    begin();
    let prepare = Request::RegisterPrepare { pin: factor(RIGHT), words: 12, label: "laptop".into() };
    for request in Method::ALL.iter().filter_map(|method| request(*method, RIGHT)).chain([prepare]) {
        let method = request.method();
        let access_token = AccessToken::new(SecretText::new("header.claims.signature".into()));
        let body = Body { access_token, device_key: P256Public([4; 65]), receipt: None, request };
        let signed: (ByteVec, ByteVec) = (cbor::to_zeroizing(&body).to_vec().into(), vec![6; 64].into());
        let read = envelope::read_plaintext(&cbor::to_zeroizing(&signed)).unwrap();
        assert_eq!(read.request.method(), method);
    }
    end();
}

/// Of a record's plaintext k_u and rho alone are marked.
#[test]
fn records() {
    begin();
    for method in [Method::RegisterConfirm, Method::VerifyPin, Method::ChangePinConfirm] {
        let record = stored(method);
        let read = record::from_plain(&record::to_plain(&record).unwrap()).unwrap();
        assert_eq!(read.active.is_some(), record.active.is_some());
        assert_eq!(read.pending.is_some(), record.pending.is_some());
    }
    end();
}

fn memcheck(subject: &str, variant: &str) -> Output {
    Command::new("valgrind")
        .args(["--tool=memcheck", "--quiet", "--leak-check=no", "--num-callers=30", "--error-limit=no"])
        .arg(format!("--error-exitcode={REPORTED}"))
        .arg(format!("--suppressions={SUPPRESSIONS}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("operation::constant_time::{subject}"), "--nocapture", "--test-threads=1"])
        .env(VARIANT, variant)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("valgrind is installed by scripts/setup")
}

#[track_caller]
fn assert_nothing_is_reported(subject: &str) {
    let output = memcheck(subject, "constant time");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("secrets were marked: true"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[track_caller]
fn assert_early_exit_is_reported(subject: &str) {
    let output = memcheck(subject, EARLY_EXIT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(REPORTED), "{said}");
    assert!(said.contains("depends on uninitialised value") && said.contains("constant_time::equal"), "{said}");
}

#[test]
fn no_branch_and_no_address_on_the_unlock_path_depends_on_a_secret() {
    assert_nothing_is_reported("operations");
}

#[test]
fn no_branch_and_no_address_depends_on_a_pin_factor_where_a_request_is_read() {
    assert_nothing_is_reported("plaintexts");
}

#[test]
fn no_branch_and_no_address_depends_on_a_key_where_a_record_is_read() {
    assert_nothing_is_reported("records");
}

#[test]
fn a_comparison_that_ends_at_the_first_difference_is_reported() {
    assert_early_exit_is_reported("operations");
    assert_early_exit_is_reported("plaintexts");
}
