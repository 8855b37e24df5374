//! What is known of a wallet from outside: its PINs, its devices, tries charged, wrong PINs answered, and who accepted which restore.
//! Written a second time and more simply than guard and record, over a line of anchored writes. A restore begins another line, which has
//! the writes of the state that was put back.

use std::collections::{BTreeMap, BTreeSet};

use pinseal_protocol::limits::{
    DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, PIN_LIFE_WRONG_MAX, UNENROLLED_LIFE_WRONG_MAX, UNENROLLED_OUTSTANDING_MAX,
};
use pinseal_protocol::request::Method;

use crate::violation::{Invariant, Violation};

/// Number of a device's key.
pub type Key = usize;
/// The request of what nobody asked for.
const NOBODYS: usize = usize::MAX;

/// What a request would change besides tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// A PIN is stored beside the old one.
    NewPin(u8),
    /// The device with this key goes.
    Revoke(Key),
}

/// A count of tries, by who made them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tally {
    enrolled: BTreeMap<Key, u32>,
    unenrolled: u32,
    orphaned: u32,
    life: u32,
    /// In the life of the PIN that waits for confirmation.
    pending_life: u32,
}

impl Tally {
    fn add(&mut self, key: Key, enrolled: bool) {
        if enrolled {
            *self.enrolled.entry(key).or_default() += 1;
        } else {
            self.unenrolled += 1;
        }
    }

    fn of(&self, key: Key) -> u32 {
        self.enrolled.get(&key).copied().unwrap_or(0)
    }

    fn all(&self) -> u32 {
        self.enrolled.values().sum::<u32>() + self.unenrolled + self.orphaned
    }

    fn clear(&mut self) {
        *self = Self { life: self.life, pending_life: self.pending_life, ..Self::default() };
    }

    /// A wrong PIN is settled.
    const fn wrong(&mut self, method: Method) {
        self.life += 1;
        if is_confirmation(method) {
            self.pending_life += 1;
        }
    }

    fn revoke(&mut self, key: Key) {
        self.orphaned += self.enrolled.remove(&key).unwrap_or(0);
    }
}

/// A wallet at one point of its line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The PIN in force.
    pub active: Option<u8>,
    /// The PIN that waits for confirmation.
    pub pending: Option<u8>,
    /// Keys of enrolled devices.
    pub enrolled: BTreeSet<Key>,
    /// The record's version: writes anchored.
    pub version: u64,
    /// Tries taken off and not given back; `life` counts settled wrong ones.
    charged: Tally,
    /// Wrong PINs answered and not given back.
    told: Tally,
    /// The restore that is in force.
    restores: u32,
    /// The restore up to which the owner has shown the PIN; behind `restores` the wallet is closed.
    shown: u32,
    /// The restore that a device accepted last, and whether the one try for it is left.
    accepted: BTreeMap<Key, (u32, bool)>,
    /// Tries charged by strangers and not given back, whatever a restore counts as used up.
    strangers: u32,
    /// An older state was put back, and nobody has cleared the tries since: what strangers tried meanwhile is unknown.
    bars_strangers: bool,
}

impl Standing {
    /// Whether `pin` is the one that a request of this method is measured by.
    pub fn is_right(&self, method: Method, pin: u8) -> bool {
        let by = if is_confirmation(method) { self.pending } else { self.active };
        by == Some(pin)
    }

    /// Tries outstanding in all.
    pub fn outstanding(&self) -> u32 {
        self.charged.all()
    }

    /// Of unenrolled devices.
    pub const fn unenrolled(&self) -> u32 {
        self.charged.unenrolled
    }

    /// Of one enrolled device.
    pub fn of_device(&self, key: Key) -> u32 {
        self.charged.of(key)
    }

    /// Wrong PINs that this PIN may still be answered to this device.
    pub fn life_left(&self, key: Key) -> u32 {
        let most = if self.enrolled.contains(&key) { PIN_LIFE_WRONG_MAX } else { UNENROLLED_LIFE_WRONG_MAX };
        u32::from(most).saturating_sub(self.charged.life)
    }

    /// Tries that this device has left: the least of all caps.
    pub fn left(&self, key: Key) -> u32 {
        let own = if self.enrolled.contains(&key) {
            u32::from(DEVICE_OUTSTANDING_MAX).saturating_sub(self.charged.of(key))
        } else {
            u32::from(UNENROLLED_OUTSTANDING_MAX).saturating_sub(self.charged.unenrolled)
        };
        // The last of ten is kept for an enrolled device that has charged none.
        let kept = u32::from(!(self.enrolled.contains(&key) && self.charged.of(key) == 0));
        let by_consent = if self.is_closed() { u32::from(self.may_try(key)) } else { u32::MAX };
        own.min((u32::from(OUTSTANDING_MAX) - kept).saturating_sub(self.charged.all()))
            .min(self.life_left(key))
            .min(by_consent)
    }

    /// Whether a restore was ordered that the owner has not shown the PIN after.
    pub const fn is_closed(&self) -> bool {
        self.shown < self.restores
    }

    /// Tries that strangers charged and nobody gave back: what the breaker adds up.
    pub const fn strangers(&self) -> u32 {
        self.strangers
    }

    /// The restore that is in force.
    pub const fn restores(&self) -> u32 {
        self.restores
    }

    /// Whether this device has accepted the restore in force, and its one try is left.
    pub fn may_try(&self, key: Key) -> bool {
        self.enrolled.contains(&key) && self.accepted.get(&key) == Some(&(self.restores, true))
    }

    /// Whether this device has accepted the restore in force.
    pub fn has_accepted(&self, key: Key) -> bool {
        self.accepted.get(&key).is_some_and(|(restore, _)| *restore >= self.restores)
    }

    /// Why a PIN of this device may not be tested, if a restore is the reason.
    pub fn forbids(&self, key: Key) -> Option<&'static str> {
        let is_stranger = !self.enrolled.contains(&key);
        if is_stranger && self.bars_strangers {
            return Some("for a stranger, before the owner cleared the tries that a restore forgot");
        }
        if !self.is_closed() || self.may_try(key) {
            return None;
        }
        Some(if self.has_accepted(key) {
            "a second time for one acceptance"
        } else {
            "of a device that has not accepted the restore"
        })
    }

    fn apply(&mut self, event: &Event) {
        let enrolled = self.enrolled.contains(&event.key);
        self.version += u64::from(!matches!(event.kind, Kind::Restored(_)));
        match event.kind {
            Kind::Charged => {
                self.charged.add(event.key, enrolled);
                self.strangers += u32::from(!enrolled);
                if self.is_closed() {
                    self.accepted.insert(event.key, (self.restores, false));
                }
            }
            Kind::Restored(restores) => {
                self.restores = restores;
                self.bars_strangers = true;
            }
            Kind::Accepted if self.has_accepted(event.key) => {}
            Kind::Accepted => {
                self.accepted.insert(event.key, (self.restores, true));
            }
            Kind::Wrong(method) => {
                self.charged.wrong(method);
                if event.told {
                    self.told.add(event.key, enrolled);
                    self.told.wrong(method);
                }
            }
            Kind::Right(method, change) => self.right(event.key, enrolled, method, change),
            Kind::Prepared(pin) => {
                let (version, restores) = (self.version, self.restores);
                let enrolled = BTreeSet::from([event.key]);
                *self = Self { pending: Some(pin), enrolled, version, restores, shown: restores, ..Self::default() };
            }
        }
    }

    fn right(&mut self, key: Key, enrolled: bool, method: Method, change: Change) {
        let was_closed = self.is_closed();
        match (enrolled, method) {
            (true, Method::ChangePinPrepare) => {
                *self.charged.enrolled.entry(key).or_default() -= 1;
            }
            (true, _) => {
                self.charged.enrolled.remove(&key);
                self.told.enrolled.remove(&key);
            }
            (false, _) => {
                self.charged.unenrolled -= 1;
                self.strangers -= 1;
            }
        }
        match (method, change) {
            (Method::RegisterConfirm | Method::ChangePinConfirm, _) => {
                self.active = self.pending.take();
                for tally in [&mut self.charged, &mut self.told] {
                    tally.life = core::mem::take(&mut tally.pending_life);
                }
            }
            (Method::ChangePinPrepare, Change::NewPin(pin)) => {
                self.pending = Some(pin);
                (self.charged.pending_life, self.told.pending_life) = (0, 0);
            }
            (Method::EnrolDevice, _) => {
                self.enrolled.insert(key);
            }
            (Method::RevokeDevice, Change::Revoke(gone)) => {
                self.enrolled.remove(&gone);
                self.accepted.remove(&gone);
                self.charged.revoke(gone);
                self.told.revoke(gone);
            }
            (Method::ClearTries, _) => {
                self.charged.clear();
                self.told.clear();
                self.strangers = 0;
                self.bars_strangers = false;
            }
            _ => {}
        }
        if was_closed {
            self.shown = self.restores;
            if self.bars_strangers {
                self.charged.unenrolled = self.charged.unenrolled.max(UNENROLLED_OUTSTANDING_MAX.into());
            }
        }
    }

    fn check_caps(&self, event: &Event) -> Result<(), Violation> {
        let told = &self.told;
        let is_strangers = event.told && !self.enrolled.contains(&event.key);
        let to_stranger = if is_strangers { told.life } else { 0 };
        let own = told.enrolled.values().copied().max().unwrap_or(0);
        let counts = [
            (own, DEVICE_OUTSTANDING_MAX, "to one enrolled device"),
            (told.unenrolled, UNENROLLED_OUTSTANDING_MAX, "to unenrolled devices"),
            (told.all(), OUTSTANDING_MAX, "outstanding in all"),
            (told.life, PIN_LIFE_WRONG_MAX, "over the life of one PIN"),
            (to_stranger, UNENROLLED_LIFE_WRONG_MAX, "over the life of one PIN, the last to an unenrolled device"),
        ];
        match counts.into_iter().find(|(count, cap, _)| *count > u32::from(*cap)) {
            Some((count, cap, whom)) => {
                Violation::of(Invariant::Caps, format!("{count} wrong PINs answered {whom}, the cap is {cap}"))
            }
            None => Ok(()),
        }
    }
}

/// Whether the PIN that waits is the one that is tested.
const fn is_confirmation(method: Method) -> bool {
    matches!(method, Method::RegisterConfirm | Method::ChangePinConfirm)
}

/// One anchored write.
#[derive(Debug, Clone)]
struct Event {
    request: usize,
    key: Key,
    kind: Kind,
    /// Its verdict has left the enclave.
    told: bool,
    /// The number of the checkpoint that has it.
    sequence: u64,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Charged,
    Wrong(Method),
    Right(Method, Change),
    Prepared(u8),
    /// A device agrees to the restore in force.
    Accepted,
    /// The operators put this state back, as the restore of this number.
    Restored(u32),
}

/// The line of one wallet since the start of a schedule.
#[derive(Debug, Clone, Default)]
pub struct Books {
    start: Standing,
    line: Vec<Event>,
    now: Standing,
}

impl Books {
    /// From here on.
    pub fn starting(start: Standing) -> Self {
        Self { now: start.clone(), start, line: Vec::new() }
    }

    /// How the wallet stands after everything anchored.
    pub const fn now(&self) -> &Standing {
        &self.now
    }

    /// Whether anything was written since the start.
    pub const fn is_touched(&self) -> bool {
        !self.line.is_empty()
    }

    /// The line up to a checkpoint: what a state that is put back has.
    pub fn until(&self, sequence: u64) -> Self {
        let line: Vec<Event> = self.line.iter().filter(|event| event.sequence <= sequence).cloned().collect();
        let mut books = Self { now: self.start.clone(), start: self.start.clone(), line };
        books.line.iter().for_each(|event| books.now.apply(event));
        books
    }

    /// A charge is anchored.
    pub fn charged(&mut self, request: usize, key: Key, sequence: u64) {
        self.write(request, key, Kind::Charged, sequence);
    }

    /// A new wallet is anchored.
    pub fn prepared(&mut self, request: usize, key: Key, pin: u8, sequence: u64) {
        self.write(request, key, Kind::Prepared(pin), sequence);
    }

    /// A device's acceptance is anchored.
    pub fn accepted(&mut self, request: usize, key: Key, sequence: u64) {
        self.write(request, key, Kind::Accepted, sequence);
    }

    /// A restore is anchored.
    pub fn restored(&mut self, restores: u32, sequence: u64) {
        self.write(NOBODYS, 0, Kind::Restored(restores), sequence);
    }

    /// The write after the check is anchored; true if the PIN was right.
    pub fn settled(
        &mut self,
        request: usize,
        key: Key,
        method: Method,
        pin: u8,
        change: Change,
        sequence: u64,
    ) -> bool {
        let right = self.now.is_right(method, pin);
        self.write(request, key, if right { Kind::Right(method, change) } else { Kind::Wrong(method) }, sequence);
        right
    }

    /// A wrong PIN was answered. Its place in the line is where it was anchored, however late the answer came; false if it is not in this
    /// line.
    ///
    /// # Errors
    /// [`Invariant::Caps`].
    pub fn told_wrong(&mut self, request: usize) -> Result<bool, Violation> {
        let is_it = |event: &&mut Event| event.request == request && matches!(event.kind, Kind::Wrong(_));
        let Some(event) = self.line.iter_mut().find(is_it) else { return Ok(false) };
        event.told = true;
        self.recount()?;
        Ok(true)
    }

    /// A wrong PIN was answered, and nothing of it is anchored anywhere.
    ///
    /// # Errors
    /// [`Invariant::Caps`].
    pub fn told_unanchored(&mut self, request: usize, key: Key, method: Method) -> Result<(), Violation> {
        let sequence = self.line.last().map_or(0, |event| event.sequence);
        self.line.push(Event { request, key, kind: Kind::Wrong(method), told: true, sequence });
        self.recount()
    }

    fn recount(&mut self) -> Result<(), Violation> {
        let mut standing = self.start.clone();
        for event in &self.line {
            standing.apply(event);
            standing.check_caps(event)?;
        }
        self.now = standing;
        Ok(())
    }

    fn write(&mut self, request: usize, key: Key, kind: Kind, sequence: u64) {
        let event = Event { request, key, kind, told: false, sequence };
        self.now.apply(&event);
        self.line.push(event);
    }
}
