//! The unlock path under valgrind's memcheck: no branch and no memory address depends on a secret.
//!
//! [`subject`] runs whole operations from the charge to the settling write, with right and wrong PINs, on secrets that are marked
//! as undefined. Memcheck follows the marks and reports where one decides anything. What is declassified on the way is named at
//! the place (`protocol::constant_time`); what libraries decide by themselves is named in `constant-time.supp`.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::process::{Command, Output};

use pinseal_probe::marks::{classify, declassify, is_checked};
use pinseal_protocol::constant_time::sabotage;
use pinseal_protocol::intent::ChainId;
use pinseal_protocol::pin::{Argon2Parameters, PinSalt};
use pinseal_protocol::secret::SecretBytes;
use zeroize::Zeroizing;

use super::*;
use crate::environment::LockedBytes;

const SUPPRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/constant-time.supp");
/// Told to the subject: which comparison it runs with.
const VARIANT: &str = "PINSEAL_CONSTANT_TIME_VARIANT";
/// Memcheck's exit code for "something was reported".
const REPORTED: i32 = 99;

const RIGHT: [u8; 32] = [0x51; 32];
const WRONG: [u8; 32] = [0x52; 32];
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

/// A charged operation on a wallet whose k_u and rho are secret. Its seed is secret once it is opened: the key it opens under is.
fn charged(request: Request) -> Operation {
    let (wallet, device) = (UserIdHash([1; 32]), DeviceId([2; 32]));
    let environment = &mut Public(Classified::default());
    let seed = Seed::generate(WordCount::Twelve, environment).unwrap();
    let accounts = seed.master().unwrap().account_public().to_bytes().to_vec();
    let place = Place { wallet: &wallet, generation: 1, accounts: &accounts };
    let right = PinFactor::new(SecretBytes::take(&mut RIGHT.clone()));
    let inner = seed.seal(&right, &place, PARAMETERS, environment);
    classify(inner.factor_key.expose_secret());
    classify(inner.rho.expose_secret());
    let mut guard = Guard::default();
    guard.enrol();
    guard.charge(Caller::Enrolled(0), UnixSeconds(1));
    let record = Record {
        subject: Hash32([3; 32]),
        active: Some(inner),
        pending: None,
        accounts: accounts.into(),
        devices: vec![Device::new(device, "laptop".into(), UnixSeconds(1))],
        guard,
        restores: 0,
    };
    let prepared = prepare(&request, Policy::default()).unwrap();
    let header = Header { wallet, version: Version(1), outer: Hash32([4; 32]) };
    let stage = Stage::Charging { prepared, next: PARAMETERS, request };
    let method = match &stage {
        Stage::Charging { request, .. } => request.method(),
        Stage::Settling { .. } => Method::Status,
    };
    Operation { method, wallet, device, caller: Caller::Enrolled(0), record, header, strangers: 0, stage }
}

fn intents() -> Vec<Intent> {
    let account = AccountIndex::new(3).unwrap();
    let address = pinseal_protocol::intent::EvmAddress([9; 20]);
    vec![
        Intent::EvmPersonalMessage { account, message: b"hi".to_vec().into() },
        Intent::EvmAuthorization { account, chain: ChainId(1), address, nonce: 5 },
    ]
}

/// What is checked. Does nothing useful outside valgrind, but passes there too.
#[test]
fn subject() {
    if std::env::var(VARIANT).is_ok_and(|variant| variant == "early exit") {
        sabotage::begin();
    }
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
        let requests = [
            Request::VerifyPin { pin: factor(pin) },
            Request::Sign { pin: factor(pin), intents: intents() },
            Request::ChangePinPrepare { pin: factor(pin), new_pin: factor(WRONG) },
            Request::ClearTries { pin: factor(pin) },
        ];
        for request in requests {
            let method = request.method();
            let mut operation = charged(request);
            let write = operation.step(&settings, environment).unwrap();
            // The host gets it.
            declassify(write.record.unwrap().1.as_slice());
            let (outcome, _) = operation.finish(&settings);
            assert_eq!(outcome == Outcome::WrongPin, pin == WRONG, "{method:?}");
            assert_ne!(outcome, Outcome::ServiceFault, "{method:?}");
        }
    }
    eprintln!("every operation ran; secrets were marked: {}", is_checked());
}

fn memcheck(variant: &str) -> Output {
    Command::new("valgrind")
        .args(["--tool=memcheck", "--quiet", "--leak-check=no", "--num-callers=30", "--error-limit=no"])
        .arg(format!("--error-exitcode={REPORTED}"))
        .arg(format!("--suppressions={SUPPRESSIONS}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", concat!("operation::constant_time", "::subject"), "--nocapture", "--test-threads=1"])
        .env(VARIANT, variant)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("valgrind is installed by scripts/setup")
}

#[test]
fn no_branch_and_no_address_on_the_unlock_path_depends_on_a_secret() {
    let output = memcheck("constant time");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("secrets were marked: true"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_comparison_that_ends_at_the_first_difference_is_reported() {
    let output = memcheck("early exit");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(REPORTED), "{said}");
    assert!(said.contains("depends on uninitialised value") && said.contains("constant_time::equal"), "{said}");
}
