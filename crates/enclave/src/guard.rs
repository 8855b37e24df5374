//! The PIN guard: pure accounting of charged tries. Knows no PIN and no key.
//!
//! Invariants, whatever the order of calls: outstanding tries never exceed the caps of `protocol::limits`; a try is charged
//! before its PIN is checked; a success gives back only what the same device charged; only a confirmed clear gives back the
//! rest; nothing but a confirmed new PIN lowers `life_wrong` below the number of wrong answers given.

use core::num::NonZeroU8;

use minicbor::{Decode, Encode};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::limits::{
    CLEAR_LIFE_WRONG_MAX, DELAYS, DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, PIN_LIFE_WRONG_MAX,
    UNENROLLED_LIFE_WRONG_MAX, UNENROLLED_OUTSTANDING_MAX,
};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::reply::Tries;

use crate::planted::{self, Defect};

/// Who asks, as the guard sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The enrolled device at this place of the record.
    Enrolled(usize),
    /// Any device that is not enrolled.
    Unenrolled,
}

/// A delay as a remaining duration: a clock that jumps can end it early but never make it longer than it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
struct Delay {
    /// At `since`.
    #[n(0)]
    remaining_seconds: u32,
    #[n(1)]
    since: UnixSeconds,
}

impl Delay {
    fn at(&self, now: UnixSeconds) -> u32 {
        let elapsed = u32::try_from(now.0.saturating_sub(self.since.0)).unwrap_or(u32::MAX);
        self.remaining_seconds.saturating_sub(elapsed)
    }
}

/// Tries outstanding on one wallet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
pub struct Guard {
    /// One counter an enrolled device, in the record's order.
    #[n(0)]
    enrolled: Vec<u8>,
    #[n(1)]
    unenrolled: u8,
    /// Charged by devices that were revoked since.
    #[n(2)]
    orphaned: u8,
    /// Charged over the life of the PIN, successes taken off again.
    #[n(3)]
    life_wrong: u8,
    #[n(4)]
    enrolled_delay: Delay,
    #[n(5)]
    unenrolled_delay: Delay,
    /// A try was charged and its answer not written yet.
    #[n(6)]
    open: bool,
    /// Wrong answers the PIN that waits for its confirmation was given; absent is none.
    #[n(7)]
    pending_wrong: Option<NonZeroU8>,
    /// Of `unenrolled`, those that count as used up because an older state was put back, and that nobody was seen to charge; absent is none.
    #[n(8)]
    forgotten: Option<NonZeroU8>,
}

impl Guard {
    /// True if the counters fit `devices` enrolled devices.
    pub fn fits(&self, devices: usize) -> bool {
        self.enrolled.len() == devices
    }

    /// A new device, with no try charged.
    pub fn enrol(&mut self) {
        self.enrolled.push(0);
    }

    /// A device goes; its outstanding tries stay charged to the wallet.
    pub fn revoke(&mut self, device: usize) {
        if device < self.enrolled.len() {
            let tries = self.enrolled.remove(device);
            self.orphaned =
                self.orphaned.saturating_add(if planted::is(Defect::RevokeForgetsTries) { 0 } else { tries });
        }
    }

    /// Outstanding tries of one device.
    pub fn device_outstanding(&self, device: usize) -> u8 {
        self.enrolled.get(device).copied().unwrap_or(DEVICE_OUTSTANDING_MAX)
    }

    /// Outstanding tries of all unenrolled devices.
    pub const fn unenrolled_outstanding(&self) -> u8 {
        self.unenrolled
    }

    /// Of those, the ones that were charged here: what the breaker adds up over all wallets.
    pub fn strangers(&self) -> u8 {
        let forgotten = if planted::is(Defect::BreakerCountsForgotten) { None } else { self.forgotten };
        self.unenrolled.saturating_sub(forgotten.map_or(0, NonZeroU8::get))
    }

    /// All outstanding tries.
    pub fn outstanding(&self) -> u8 {
        self.enrolled.iter().fold(self.unenrolled.saturating_add(self.orphaned), |sum, one| sum.saturating_add(*one))
    }

    /// What the caller has left.
    pub fn tries(&self, caller: Caller, now: UnixSeconds) -> Tries {
        let own = match caller {
            Caller::Enrolled(device) => DEVICE_OUTSTANDING_MAX.saturating_sub(self.device_outstanding(device)),
            Caller::Unenrolled => UNENROLLED_OUTSTANDING_MAX.saturating_sub(self.unenrolled),
        };
        let life_left = life_max(caller).saturating_sub(self.life());
        let left = own.min(self.room(caller)).min(life_left);
        Tries { left, life_left, delay_seconds: self.delay(caller).at(now) }
    }

    /// Whether the caller may have a PIN checked now.
    ///
    /// # Errors
    /// [`Refusal::PinSpent`], [`Refusal::Locked`], [`Refusal::WalletLocked`] or [`Refusal::Delayed`]; nothing was charged.
    pub fn admit(&self, caller: Caller, now: UnixSeconds) -> Result<(), Refusal> {
        if self.life() >= life_max(caller) + u8::from(planted::is(Defect::LifeCapOff)) {
            return Err(Refusal::PinSpent);
        }
        let own_is_spent = match caller {
            Caller::Enrolled(device) => {
                self.device_outstanding(device) >= DEVICE_OUTSTANDING_MAX + u8::from(planted::is(Defect::DeviceCapOff))
            }
            Caller::Unenrolled => {
                self.unenrolled >= UNENROLLED_OUTSTANDING_MAX + u8::from(planted::is(Defect::UnenrolledCapOff))
            }
        };
        if own_is_spent {
            return Err(Refusal::Locked);
        }
        if self.room(caller) == 0 {
            return Err(Refusal::WalletLocked);
        }
        if self.delay(caller).at(now) > 0 {
            return Err(Refusal::Delayed);
        }
        Ok(())
    }

    /// Takes a try off. Only after [`Guard::admit`] on the same state.
    pub fn charge(&mut self, caller: Caller, now: UnixSeconds) {
        if planted::is(Defect::AbortGivesBack) && self.open {
            self.refund(caller);
        }
        self.life_wrong = self.life().saturating_add(1);
        self.open = true;
        match caller {
            Caller::Enrolled(device) => {
                if let Some(count) = self.enrolled.get_mut(device) {
                    *count = count.saturating_add(1);
                }
                let class = self.enrolled.iter().fold(self.orphaned, |sum, one| sum.saturating_add(*one));
                self.enrolled_delay = delay_after(class, now);
            }
            Caller::Unenrolled => {
                self.unenrolled = self.unenrolled.saturating_add(1);
                self.unenrolled_delay = delay_after(self.unenrolled, now);
            }
        }
    }

    /// The charged PIN was wrong: the try stays charged.
    pub const fn fail(&mut self) {
        self.open = false;
    }

    /// As [`Guard::fail`], where the PIN that waits for its confirmation was asked for: the answer counts in its life too.
    pub fn fail_pending(&mut self) {
        self.fail();
        self.pending_wrong = Some(self.pending_wrong.map_or(NonZeroU8::MIN, |count| count.saturating_add(1)));
    }

    /// A PIN begins to wait for its confirmation.
    pub const fn begin_pending(&mut self) {
        self.pending_wrong = None;
    }

    /// The charged PIN was right: takes this one try back. The delay was over when the try was admitted, so it is over now.
    pub fn refund(&mut self, caller: Caller) {
        self.open = false;
        self.life_wrong = self.life_wrong.saturating_sub(1);
        match caller {
            Caller::Enrolled(device) => {
                if let Some(count) = self.enrolled.get_mut(device) {
                    *count = count.saturating_sub(1);
                }
                self.enrolled_delay = Delay::default();
            }
            Caller::Unenrolled => {
                self.unenrolled = self.unenrolled.saturating_sub(1);
                self.unenrolled_delay = Delay::default();
            }
        }
    }

    /// As [`Guard::refund`], and gives back everything else this device charged. An unenrolled caller gets back the one try only,
    /// since nobody knows who charged the others.
    pub fn succeed(&mut self, caller: Caller) {
        self.refund(caller);
        if let Caller::Enrolled(device) = caller
            && let Some(count) = self.enrolled.get_mut(device)
        {
            *count = 0;
        }
        if planted::is(Defect::SuccessClearsOthers) {
            self.enrolled.fill(0);
        }
        if planted::is(Defect::UnenrolledSuccessClears) && caller == Caller::Unenrolled {
            self.unenrolled = 0;
        }
    }

    /// True while a clear may still give tries back. Near the end of a PIN's life it would only buy wrong answers: the caps on
    /// outstanding tries keep the rest for whoever sets a new PIN.
    pub const fn may_clear(&self) -> bool {
        self.life() <= CLEAR_LIFE_WRONG_MAX
    }

    /// An older state was put back: how often strangers had tried since, nobody knows, so they have none left until a clear.
    pub fn forget(&mut self) {
        if let Some(rest) = NonZeroU8::new(UNENROLLED_OUTSTANDING_MAX.saturating_sub(self.unenrolled)) {
            self.unenrolled = UNENROLLED_OUTSTANDING_MAX;
            self.forgotten = Some(self.forgotten.map_or(rest, |before| before.saturating_add(rest.get())));
        }
    }

    /// An enrolled device confirmed the clear with the right PIN: every outstanding try comes back.
    pub fn clear(&mut self) {
        self.enrolled.fill(0);
        self.unenrolled = 0;
        self.forgotten = None;
        self.orphaned = 0;
        self.enrolled_delay = Delay::default();
        self.unenrolled_delay = Delay::default();
    }

    /// The PIN that waited is confirmed and in force: its life goes on with what it was answered as wrong before.
    pub fn renew_pin(&mut self) {
        self.life_wrong = self.pending_wrong.take().map_or(0, NonZeroU8::get);
    }

    /// Wrong answers this PIN was given. A charge that was never settled (a crash, a full disk) is not one: its answer never left. It
    /// stays outstanding all the same.
    const fn life(&self) -> u8 {
        self.life_wrong.saturating_sub(if self.open { 1 } else { 0 })
    }

    /// Tries the whole wallet still allows this caller. The last one is kept for an enrolled device that has charged none: a thief of
    /// the login and of one device cannot close the wallet to the owner's other devices.
    fn room(&self, caller: Caller) -> u8 {
        let kept = match caller {
            Caller::Enrolled(device) if self.device_outstanding(device) == 0 => 0,
            _ => 1,
        };
        let room = if planted::is(Defect::WalletCapOff) { OUTSTANDING_MAX + 1 } else { OUTSTANDING_MAX };
        (room - kept).saturating_sub(self.outstanding())
    }

    const fn delay(&self, caller: Caller) -> &Delay {
        match caller {
            Caller::Enrolled(_) => &self.enrolled_delay,
            Caller::Unenrolled => &self.unenrolled_delay,
        }
    }
}

/// Wrong answers over a PIN's life after which this caller may not try it any more.
const fn life_max(caller: Caller) -> u8 {
    match caller {
        Caller::Enrolled(_) => PIN_LIFE_WRONG_MAX,
        Caller::Unenrolled => UNENROLLED_LIFE_WRONG_MAX,
    }
}

/// The delay that `outstanding` tries of one class cause.
fn delay_after(outstanding: u8, now: UnixSeconds) -> Delay {
    let remaining_seconds = DELAYS.iter().find(|(count, _)| outstanding >= *count).map_or(0, |(_, seconds)| *seconds);
    Delay { remaining_seconds, since: now }
}

#[cfg(test)]
mod tests;
