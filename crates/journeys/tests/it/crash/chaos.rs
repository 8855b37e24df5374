//! Real processes under `kill -9` at any instant, on directories put back from earlier copies, while somebody guesses PINs all the time and
//! counts every wrong answer that reaches them.
//!
//! `make chaos MINUTES=n SEED=s`; `make test` plays a few lives. What is drawn follows from the seed; the instants at which the kills
//! fall do not, since processes run as they like.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pinseal_client::Address;
use pinseal_protocol::limits::{DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, UNENROLLED_OUTSTANDING_MAX};
use rustix::process::Signal;

use super::deployment::{Deployment, Door, Life};
use super::user::{PIN, User, WRONG_PIN, is_wrong_pin, pin, runtime, sign};
use super::witnessed::{Stand, trusted};

/// Lives of each level in `make test`.
const SMOKE_LIVES: u32 = 3;
/// Longest time from serving to a kill, in milliseconds: a life begins with guesses, so most kills fall into one.
const KILL_MILLISECONDS_MAX: u64 = 700;
/// Older copies kept.
const COPIES_MAX: usize = 6;
/// Lives after which guessing goes on with new wallets: the old ones are delayed by then.
const LIVES_A_PREY: u32 = 8;

/// SplitMix64: the same draws from the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let bound = u64::try_from(from.len()).unwrap();
        (bound > 0).then(|| &from[usize::try_from(self.below(bound)).unwrap()])
    }
}

/// A wallet whose owner stays away, and whoever guesses its PIN: on the owner's device, and on one that is not enrolled. No receipt is kept, so
/// that nothing but the enclave's own books keeps the count.
struct Prey {
    device: User,
    stranger: User,
    /// Wrong answers that reached either.
    seen: Cell<u8>,
    seen_by_stranger: Cell<u8>,
}

impl Prey {
    async fn new(door: &Door, name: &str) -> Self {
        let (device, _) = User::registered(door, &format!("{name}@example.org")).await;
        let stranger = device.another_device(door).await;
        Self { device, stranger, seen: Cell::new(0), seen_by_stranger: Cell::new(0) }
    }

    /// One guess on each device; what does not come back as a wrong PIN counts for nothing.
    async fn guess(&self, door: &Door) {
        self.device.forget_receipt().await;
        self.stranger.forget_receipt().await;
        if let Ok(attested) = self.device.attest(door).await
            && is_wrong_pin(&attested.verify_pin(&pin(WRONG_PIN)).await)
        {
            self.seen.set(self.seen.get() + 1);
        }
        if let Ok(attested) = self.stranger.attest(door).await
            && is_wrong_pin(&attested.enrol_device(&pin(WRONG_PIN), "stranger").await)
        {
            self.seen_by_stranger.set(self.seen_by_stranger.get() + 1);
        }
    }

    /// The bound, and that no answer's charge was lost, whatever happened.
    async fn check(&self, door: &Door) {
        let (seen, stranger) = (self.seen.get(), self.seen_by_stranger.get());
        assert!(seen <= DEVICE_OUTSTANDING_MAX && stranger <= UNENROLLED_OUTSTANDING_MAX, "{seen} and {stranger}");
        assert!(seen + stranger <= OUTSTANDING_MAX, "{seen} and {stranger}");
        self.device.forget_receipt().await;
        let attested = self.device.attested(door).await;
        let outstanding = attested.status().await.unwrap().status.outstanding;
        assert!(
            outstanding >= seen + stranger,
            "{seen} and {stranger} wrong answers were told, {outstanding} are charged"
        );
    }
}

/// What a campaign did.
#[derive(Default, Debug)]
struct Counts {
    lives: u32,
    wrong: u32,
    signed: u32,
    kills: BTreeMap<&'static str, u32>,
    restores: u32,
    refused: BTreeMap<String, u32>,
}

/// One level: a deployment, and the witnesses it may have.
struct Campaign {
    stand: Result<Stand, Deployment>,
    dice: Dice,
    copies: Vec<BTreeMap<PathBuf, Vec<u8>>>,
    counts: Counts,
}

impl Campaign {
    fn deployment(&self) -> &Deployment {
        match &self.stand {
            Ok(stand) => &stand.deployment,
            Err(deployment) => deployment,
        }
    }

    /// Everything until `goes_on` says stop; then the owner gets in.
    async fn run(&mut self, mut goes_on: impl FnMut(u32) -> bool) {
        let life = self.deployment().start();
        let (owner, address) = User::registered(&life.door, "owner@example.org").await;
        let mut prey = Prey::new(&life.door, "prey0").await;
        life.stop();
        while goes_on(self.counts.lives) {
            self.put_something_back();
            let life = self.start();
            prey.check(&life.door).await;
            if self.counts.lives % LIVES_A_PREY == LIVES_A_PREY - 1 {
                self.counts.wrong += u32::from(prey.seen.get() + prey.seen_by_stranger.get());
                prey = Prey::new(&life.door, &format!("prey{}", self.counts.lives)).await;
            }
            self.storm(life, &owner, address, &prey).await;
            self.counts.lives += 1;
        }
        let life = self.start();
        prey.check(&life.door).await;
        self.counts.wrong += u32::from(prey.seen.get() + prey.seen_by_stranger.get());
        let attested = owner.attested(&life.door).await;
        assert_eq!(sign(&attested, PIN, b"after the storm").await.unwrap(), address, "the owner gets in");
        life.stop();
    }

    /// An older database in half of the lives; at L4 sometimes one witness's files too, always the same one's.
    fn put_something_back(&mut self) {
        let newest = self.deployment().database();
        if self.dice.below(2) == 0
            && let Some(older) = self.dice.pick(&self.copies).cloned()
        {
            self.counts.restores += 1;
            if self.dice.below(2) == 0
                && let Ok(stand) = &mut self.stand
            {
                stand.put_first_witness_back();
            }
            self.deployment().put_back(&older);
            // What is refused is mended as the advice says; what is not is the newest state.
            match self.deployment().try_start(None) {
                Ok(life) => end(life),
                Err(refused) => {
                    assert!(refused.advice.starts_with("put the newest database back"), "{refused:?}");
                    *self.counts.refused.entry(refused.code).or_default() += 1;
                    self.deployment().put_back(&newest);
                }
            }
        }
        if self.copies.len() == COPIES_MAX {
            let gone = usize::try_from(self.dice.below(COPIES_MAX as u64)).unwrap();
            self.copies.remove(gone);
        }
        self.copies.push(self.deployment().database());
        if let Ok(stand) = &mut self.stand
            && self.dice.below(3) == 0
        {
            stand.keep_first_witness();
        }
    }

    /// With every witness back.
    fn start(&mut self) -> Life {
        if let Ok(stand) = &mut self.stand {
            stand.start_all();
        }
        self.deployment().start()
    }

    /// Guesses and signatures until a process is killed, and a little beyond.
    async fn storm(&mut self, life: Life, owner: &User, address: Address, prey: &Prey) {
        let after = Duration::from_millis(self.dice.below(KILL_MILLISECONDS_MAX));
        let whom = self.dice.below(if self.stand.is_ok() { 4 } else { 3 });
        let (is_over, signed) = (Cell::new(false), Cell::new(0));
        let door = life.door.clone();
        let stand = &mut self.stand;
        let kill = async {
            tokio::time::sleep(after).await;
            let name = match whom {
                0 => {
                    life.host.signal(Signal::KILL);
                    "host"
                }
                1 => {
                    life.enclave.signal(Signal::KILL);
                    "enclave"
                }
                2 => {
                    life.enclave.signal(Signal::KILL);
                    life.host.signal(Signal::KILL);
                    "both"
                }
                _ => {
                    stand.as_mut().map(Stand::kill_second_witness).ok();
                    "witness"
                }
            };
            is_over.set(true);
            name
        };
        let work = async {
            while !is_over.get() {
                prey.guess(&door).await;
                let Ok(attested) = owner.attest(&door).await else { continue };
                if let Ok(signer) = sign(&attested, PIN, b"in the storm").await {
                    assert_eq!(signer, address);
                    signed.set(signed.get() + 1);
                }
            }
        };
        let (name, ()) = tokio::join!(kill, work);
        *self.counts.kills.entry(name).or_default() += 1;
        self.counts.signed += signed.get();
        end(life);
    }
}

/// Whatever still runs of it is killed.
fn end(mut life: Life) {
    life.host.signal(Signal::KILL);
    life.enclave.signal(Signal::KILL);
    life.host.ended();
    life.enclave.ended();
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn campaign(level: &str, stand: Result<Stand, Deployment>) {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).unwrap();
    let seed = number("CHAOS_SEED").unwrap_or(u64::from_le_bytes(drawn));
    let minutes = number("CHAOS_MINUTES");
    println!("chaos at {level}: seed {seed}");
    let started = Instant::now();
    let until = minutes.map(|minutes| Duration::from_secs(60 * minutes) / 2);
    let mut campaign = Campaign { stand, dice: Dice(seed), copies: Vec::new(), counts: Counts::default() };
    runtime().block_on(campaign.run(|lives| until.map_or(lives < SMOKE_LIVES, |until| started.elapsed() < until)));
    let mut told = String::new();
    let _ = write!(told, "{:?}", campaign.counts);
    println!("chaos at {level}: seed {seed}, {} s: {told}", started.elapsed().as_secs());
    assert!(campaign.counts.wrong > 0 && campaign.counts.lives > 0, "seed {seed}: nobody was told a wrong PIN: {told}");
}

#[test]
fn no_kill_and_no_older_directory_buys_a_guess_at_l1() {
    campaign("L1", Err(Deployment::new()));
}

#[test]
fn no_kill_and_no_older_directory_buys_a_guess_at_l4() {
    campaign("L4", Ok(trusted()));
}
