//! The caps under many tries at once: whoever is fastest, the sum is the rule's.

use std::sync::Arc;

use pinseal_protocol::limits::{DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, UNENROLLED_OUTSTANDING_MAX};
use pinseal_protocol::pin::PinFactor;
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Outcome;
use pinseal_protocol::request::{BeginReply, Method, Request};
use pinseal_protocol::secret::SecretBytes;
use tokio::sync::Barrier;

use super::{ANN, HOUR};
use crate::system::device::{Device, PIN};
use crate::system::raw::{factor, wrong_factor};
use crate::system::{App, System};

/// What one of many parallel tries came to.
#[derive(Debug, PartialEq, Eq)]
enum Try {
    Wrong,
    Refused(Refusal),
    /// By the host, before it reached the enclave.
    Turned(String),
}

/// Tries a wrong PIN, and begins again as long as somebody else was faster: each time the wallet has changed meanwhile.
async fn insist(system: &System, device: &Device, enrolled: bool) -> Try {
    let manifest = system.manifest();
    loop {
        let request = |_: &BeginReply| match enrolled {
            true => Request::VerifyPin { pin: wrong_factor() },
            false => Request::EnrolDevice { pin: wrong_factor(), label: "another".into() },
        };
        let method = if enrolled { Method::VerifyPin } else { Method::EnrolDevice };
        let sealed = match device.try_prepare(&manifest, method, request).await {
            Ok(sealed) => sealed,
            Err(answer) => return Try::Turned(answer.code()),
        };
        let answer = device.send(&sealed).await;
        if answer.status != 200 {
            return Try::Turned(answer.code());
        }
        match sealed.outcome(&answer) {
            Outcome::WrongPin => return Try::Wrong,
            Outcome::Refused(Refusal::ChallengeInvalid) => {}
            Outcome::Refused(refusal) => return Try::Refused(refusal),
            other => panic!("{other:?}"),
        }
    }
}

/// A wallet with two enrolled devices and two that are not.
struct Race {
    system: Arc<System>,
    /// The enrolled ones first.
    devices: [Arc<Device>; 4],
    /// Wrong answers by device.
    wrong: [u8; 4],
}

const LAPTOP: usize = 0;
const PHONE: usize = 1;
const ENROLLED: usize = 2;

impl Race {
    async fn start() -> Self {
        let system = Arc::new(System::start().await);
        let app: App = system.app("App");
        let laptop = system.person(&app, ANN).await;
        let phone = system.further_device(&app, ANN).await;
        phone.enrol("phone").await;
        let strangers = [system.further_device(&app, ANN).await, system.further_device(&app, ANN).await];
        let [one, other] = strangers;
        Self { system, devices: [laptop, phone, one, other].map(Arc::new), wrong: [0; 4] }
    }

    /// 64 wrong PINs at once by these devices in turn, again and again after every delay, until two rounds are answered without a
    /// verdict.
    async fn run(&mut self, places: &[usize]) {
        const TASKS: usize = 64;
        let mut rounds_without = 0;
        while rounds_without < 2 {
            // Delays never help: before each round every one of them has passed.
            self.system.clock.pass(HOUR);
            let barrier = Arc::new(Barrier::new(TASKS));
            let task = |place: usize| {
                let (system, device) = (Arc::clone(&self.system), Arc::clone(&self.devices[place]));
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    (place, insist(&system, &device, place < ENROLLED).await)
                })
            };
            let tasks = places.iter().copied().cycle().take(TASKS).map(task).collect::<Vec<_>>();
            let before = self.wrong;
            for task in tasks {
                match task.await.unwrap() {
                    (place, Try::Wrong) => self.wrong[place] += 1,
                    (_, Try::Refused(Refusal::Delayed | Refusal::Locked | Refusal::WalletLocked | Refusal::Busy)) => {}
                    (_, Try::Turned(code)) if code == "wallet_busy" => {}
                    (place, other) => panic!("device {place}: {other:?}"),
                }
            }
            rounds_without = if self.wrong == before { rounds_without + 1 } else { 0 };
            let charged = self.devices[LAPTOP].outstanding().await;
            assert_eq!(charged, self.total(), "every wrong answer is charged, and nothing else");
            assert!(self.total() <= OUTSTANDING_MAX, "{:?}", self.wrong);
            assert!(self.wrong[..ENROLLED].iter().all(|wrong| *wrong <= DEVICE_OUTSTANDING_MAX), "{:?}", self.wrong);
            let unenrolled: u8 = self.wrong[ENROLLED..].iter().sum();
            assert!(unenrolled <= UNENROLLED_OUTSTANDING_MAX, "{:?}", self.wrong);
        }
    }

    fn total(&self) -> u8 {
        self.wrong.iter().sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_parallel_wrong_pins_exactly_the_cap_is_answered_as_wrong() {
    let mut race = Race::start().await;
    // All but the phone: the last try stays.
    race.run(&[LAPTOP, 2, 3]).await;
    assert_eq!(race.total(), OUTSTANDING_MAX - 1, "{:?}", race.wrong);
    // All four: the phone gets it, once.
    race.run(&[LAPTOP, PHONE, 2, 3]).await;
    assert_eq!((race.wrong[PHONE], race.total()), (1, OUTSTANDING_MAX), "{:?}", race.wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_try_is_nobodys_once_every_enrolled_device_has_charged_one() {
    let mut race = Race::start().await;
    for place in [LAPTOP, PHONE] {
        assert_eq!(insist(&race.system, &race.devices[place], true).await, Try::Wrong);
        race.wrong[place] += 1;
    }
    race.run(&[LAPTOP, PHONE, 2, 3]).await;
    assert_eq!(race.total(), OUTSTANDING_MAX - 1, "{:?}", race.wrong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_pins_on_16_wallets_64_at_once_all_succeed() {
    const WALLETS: usize = 16;
    const EACH: usize = 4;
    let system = System::start().await;
    let app = system.app("App");
    let mut people = Vec::new();
    for number in 0..WALLETS {
        people.push(Arc::new(system.person(&app, &format!("person{number:02}@example.org")).await));
    }
    let manifest = Arc::new(system.manifest());
    let barrier = Arc::new(Barrier::new(WALLETS * EACH));
    let mut tasks = Vec::new();
    for person in &people {
        let begin = person.begin(Method::VerifyPin).await.0;
        let right = factor(PIN, &begin.current.unwrap(), &manifest.deployment, &begin.wallet);
        let right = Arc::new(*right.expose_secret());
        for _ in 0..EACH {
            let (person, barrier) = (Arc::clone(person), Arc::clone(&barrier));
            let (manifest, right) = (Arc::clone(&manifest), Arc::clone(&right));
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                // Each of the others can overtake this one once.
                for _ in 0..EACH {
                    let request = |_: &BeginReply| Request::VerifyPin {
                        pin: PinFactor::new(SecretBytes::from_slice(&*right).unwrap()),
                    };
                    let sealed = person.prepare(&manifest, Method::VerifyPin, request).await;
                    match sealed.outcome(&person.send(&sealed).await) {
                        Outcome::Refused(Refusal::ChallengeInvalid) => {}
                        outcome => return outcome,
                    }
                }
                panic!("overtaken more often than there are others")
            }));
        }
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Outcome::PinVerified);
    }
    for person in &people {
        assert_eq!(person.outstanding().await, 0);
    }
}
