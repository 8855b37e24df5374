//! How many connections each client address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::Who;

type Counts = Arc<Mutex<HashMap<Who, usize>>>;

/// Bounds the connections of one client address, so that no single one takes every place. The table is no longer than there
/// are places.
pub(super) struct Crowd {
    counts: Counts,
    /// None: everybody comes through one proxy.
    each_max: Option<usize>,
}

impl Crowd {
    pub(super) fn new(each_max: Option<usize>) -> Self {
        Self { counts: Counts::default(), each_max }
    }

    /// None if the address has as many connections as it may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let who = Who::address(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(who).or_default();
        if self.each_max.is_some_and(|each_max| *count >= each_max) {
            return None;
        }
        *count += 1;
        Some(Admitted { counts: Arc::clone(&self.counts), who })
    }
}

/// One connection of an address, until it is dropped.
pub(super) struct Admitted {
    counts: Counts,
    who: Who,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.who);
            }
        }
    }
}
