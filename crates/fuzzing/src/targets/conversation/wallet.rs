//! What is known of a wallet from outside: its PINs, its devices, and wrong answers given. An upper bound, written a second time and
//! more simply than the guard.

use std::collections::{BTreeMap, BTreeSet};

use pinseal_protocol::limits::{
    DEVICE_OUTSTANDING_MAX, OUTSTANDING_MAX, PIN_LIFE_WRONG_MAX, UNENROLLED_OUTSTANDING_MAX,
};
use pinseal_protocol::request::Method;

/// One wallet in one history.
#[derive(Debug, Clone, Default)]
pub(super) struct Wallet {
    pub(super) active: Option<u8>,
    pub(super) pending: Option<u8>,
    /// Keys of enrolled devices.
    pub(super) enrolled: BTreeSet<usize>,
    /// Wrong answers outstanding, by key of an enrolled device.
    wrong: BTreeMap<usize, u32>,
    wrong_unenrolled: u32,
    /// By devices that went.
    wrong_orphaned: u32,
    wrong_in_life: u32,
}

impl Wallet {
    /// A wallet that no wrong PIN was given to.
    pub(super) fn new(active: Option<u8>, pending: Option<u8>, enrolled: &[usize]) -> Self {
        Self { active, pending, enrolled: enrolled.iter().copied().collect(), ..Self::default() }
    }

    /// Whether `pin` is the one that a request of this method is measured by.
    pub(super) fn is_right(&self, method: Method, pin: u8) -> bool {
        let by = match method {
            Method::RegisterConfirm | Method::ChangePinConfirm => self.pending,
            _ => self.active,
        };
        by == Some(pin)
    }

    /// A wrong PIN was answered.
    pub(super) fn count_wrong(&mut self, key: usize) {
        if self.enrolled.contains(&key) {
            *self.wrong.entry(key).or_default() += 1;
        } else {
            self.wrong_unenrolled += 1;
        }
        self.wrong_in_life += 1;
        let own = self.wrong.get(&key).copied().unwrap_or(0);
        assert!(own <= u32::from(DEVICE_OUTSTANDING_MAX), "{own} wrong PINs of one device");
        let unenrolled = self.wrong_unenrolled;
        assert!(unenrolled <= u32::from(UNENROLLED_OUTSTANDING_MAX), "{unenrolled} wrong PINs of unenrolled devices");
        let all = self.wrong.values().sum::<u32>() + unenrolled + self.wrong_orphaned;
        assert!(all <= u32::from(OUTSTANDING_MAX), "{all} wrong PINs of one wallet");
        assert!(self.wrong_in_life <= u32::from(PIN_LIFE_WRONG_MAX));
    }

    /// The last write of a request under the right PIN is stored.
    pub(super) fn done(&mut self, method: Method, key: usize, change: Change) {
        if method != Method::ChangePinPrepare && self.enrolled.contains(&key) {
            self.wrong.remove(&key);
        }
        match (method, change) {
            (Method::RegisterPrepare, Change::NewPin(pin)) => {
                *self = Self::new(None, Some(pin), &[key]);
            }
            (Method::RegisterConfirm | Method::ChangePinConfirm, _) => {
                self.active = self.pending.take();
                self.wrong_in_life = 0;
            }
            (Method::ChangePinPrepare, Change::NewPin(pin)) => self.pending = Some(pin),
            (Method::EnrolDevice, _) => {
                self.enrolled.insert(key);
            }
            (Method::RevokeDevice, Change::Revoke(gone)) => {
                self.enrolled.remove(&gone);
                self.wrong_orphaned += self.wrong.remove(&gone).unwrap_or(0);
            }
            (Method::ClearTries, _) => {
                self.wrong.clear();
                (self.wrong_unenrolled, self.wrong_orphaned) = (0, 0);
            }
            _ => {}
        }
    }
}

/// What a request would change besides tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    NewPin(u8),
    Revoke(usize),
}
