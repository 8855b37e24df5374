//! Requests that wait for networks' nodes: how many at a time, in all and of one caller.
//!
//! Nodes may be slow, and callers choose what to ask them. So such requests never take every place of those in flight, and none of what they
//! hold (a place, a connection to a node, an answer of some megabytes) goes beyond these bounds, also when their clients hang up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Who;
use crate::problem::{Problem, table};

/// Of one user, or of one address where no user is known: more than a page asks at a time.
const EACH_MAX: usize = 16;
/// Seconds after which a refused caller may ask again.
const RETRY_SECONDS: u64 = 1;

/// The places.
pub(crate) struct NodePlaces {
    all: Arc<Semaphore>,
    taken: Taken,
}

type Taken = Arc<Mutex<HashMap<Who, usize>>>;

impl NodePlaces {
    /// Half of the places in flight, so that login and wallets keep the other half.
    pub(crate) fn new(requests_in_flight_max: usize) -> Self {
        Self { all: Arc::new(Semaphore::new((requests_in_flight_max / 2).max(1))), taken: Taken::default() }
    }

    /// A place for one request of `who`.
    pub(crate) fn take(&self, who: Who) -> Result<NodePlace, Problem> {
        let mut taken = lock(&self.taken);
        let own = taken.get(&who).copied().unwrap_or_default();
        if own >= EACH_MAX {
            return Err(Problem::from(table::RATE_LIMITED).retry_after(RETRY_SECONDS));
        }
        let permit = Arc::clone(&self.all).try_acquire_owned();
        let permit = permit.map_err(|_| Problem::from(table::OVERLOADED).retry_after(RETRY_SECONDS))?;
        taken.insert(who, own + 1);
        Ok(NodePlace { _permit: permit, who, taken: Arc::clone(&self.taken) })
    }
}

// Counts are written whole, so a poisoned lock guards a sound map.
fn lock(taken: &Taken) -> MutexGuard<'_, HashMap<Who, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One place, until it is dropped. Move it into the work that asks, so that it lasts as long as that does.
pub(crate) struct NodePlace {
    _permit: OwnedSemaphorePermit,
    who: Who,
    taken: Taken,
}

impl Drop for NodePlace {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        match taken.get_mut(&self.who) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.who)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_place_comes_back_and_nothing_is_remembered_of_who_had_it() {
        let places = NodePlaces::new(100);
        let (ada, bob) = (Who::user("ada"), Who::user("bob"));
        let mut hers: Vec<NodePlace> = (0..EACH_MAX).map(|_| places.take(ada).unwrap()).collect();
        assert!(places.take(ada).is_err());
        let his = places.take(bob).unwrap();
        hers.pop();
        hers.push(places.take(ada).unwrap());
        assert!(places.take(ada).is_err());
        drop((hers, his));
        assert!(lock(&places.taken).is_empty());
        assert_eq!(places.all.available_permits(), 50);
    }
}
