//! The open connections: how many, whose, and which one goes when there is no room.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use tokio::sync::Notify;

use crate::limits::Who;

/// [`Seat::since`] while the server works for the connection.
const AT_WORK: u64 = 0;
/// [`Seat::since`] once the connection was told to leave.
const LEAVING: u64 = u64::MAX;

/// Why a new connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its address has as many as it may.
    Address,
    /// Every place is taken, and all of them by connections the server works for.
    Full,
}

impl Refused {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Full => "full",
        }
    }
}

/// Bounds the connections, all together and of one client address, so that no single one takes every place. When every place
/// is taken, a newcomer gets that of a connection the server waits for: of the address with most connections, the one it has
/// waited for longest. So an honest client, who has few and asks at once, is the last to go, however many others idle.
#[derive(Clone)]
pub(super) struct Crowd(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    /// Numbers moments: what began to wait earlier has a lower one.
    moments: AtomicU64,
    all_max: usize,
    /// None: everybody comes through one proxy.
    each_max: Option<usize>,
    /// Follows [`Table::open`].
    gauge: IntGauge,
}

#[derive(Default)]
struct Table {
    by_client: HashMap<Who, BTreeMap<u64, Arc<Seat>>>,
    open: usize,
    last: u64,
}

/// One connection.
struct Seat {
    /// [`AT_WORK`], [`LEAVING`], or the moment since which the server waits for its client.
    since: AtomicU64,
    leave: Notify,
}

impl Crowd {
    pub(super) fn new(all_max: usize, each_max: Option<usize>, gauge: IntGauge) -> Self {
        let (table, moments) = (Mutex::default(), AtomicU64::new(AT_WORK));
        Self(Arc::new(Shared { table, moments, all_max, each_max, gauge }))
    }

    /// A place for a new connection; `true` if another one was told to leave for it.
    pub(super) fn admit(&self, address: IpAddr) -> Result<(Admitted, bool), Refused> {
        let who = Who::address(address);
        let mut guard = self.lock();
        let table = &mut guard.table;
        let taken = table.by_client.get(&who).map_or(0, BTreeMap::len);
        if self.0.each_max.is_some_and(|each_max| taken >= each_max) {
            return Err(Refused::Address);
        }
        let is_full = table.open >= self.0.all_max;
        if is_full && !table.make_room() {
            return Err(Refused::Full);
        }
        table.last += 1;
        let number = table.last;
        let seat = Arc::new(Seat { since: AtomicU64::new(self.0.moment()), leave: Notify::new() });
        table.by_client.entry(who).or_default().insert(number, Arc::clone(&seat));
        table.open += 1;
        Ok((Admitted { crowd: self.clone(), who, number, seat }, is_full))
    }

    /// Tells one connection to leave, if there is one the server waits for.
    pub(super) fn make_room(&self) -> bool {
        self.lock().table.make_room()
    }

    // Every change is one insertion or removal and its count, so a poisoned lock guards a sound table.
    fn lock(&self) -> Counted<'_> {
        Counted { table: self.0.table.lock().unwrap_or_else(PoisonError::into_inner), gauge: &self.0.gauge }
    }
}

/// The table; what it holds is told to the gauge in the end.
struct Counted<'a> {
    table: MutexGuard<'a, Table>,
    gauge: &'a IntGauge,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.gauge.set(i64::try_from(self.table.open).unwrap_or(i64::MAX));
    }
}

impl Shared {
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Table {
    /// Takes a waiting connection's place away and tells it.
    fn make_room(&mut self) -> bool {
        while let Some((who, number, seat, since)) = self.longest_waiting() {
            // It may have begun to ask meanwhile.
            if seat.since.compare_exchange(since, LEAVING, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.remove(who, number);
                seat.leave.notify_one();
                return true;
            }
        }
        false
    }

    /// Of the client with most connections that has a waiting one, the one that waits longest.
    fn longest_waiting(&self) -> Option<(Who, u64, Arc<Seat>, u64)> {
        let oldest = |seats: &BTreeMap<u64, Arc<Seat>>| {
            let waiting = seats.iter().map(|(number, seat)| (seat.since.load(Ordering::Relaxed), *number));
            waiting.filter(|(since, _)| *since != AT_WORK).min()
        };
        let candidates = self.by_client.iter().filter_map(|(who, seats)| Some((seats.len(), oldest(seats)?, *who)));
        let (_, (since, number), who) =
            candidates.max_by(|one, other| one.0.cmp(&other.0).then(other.1.0.cmp(&one.1.0)))?;
        let seat = self.by_client.get(&who)?.get(&number)?;
        Some((who, number, Arc::clone(seat), since))
    }

    fn remove(&mut self, who: Who, number: u64) {
        let Some(seats) = self.by_client.get_mut(&who) else { return };
        if seats.remove(&number).is_some() {
            self.open -= 1;
        }
        if seats.is_empty() {
            self.by_client.remove(&who);
        }
    }
}

/// One connection's place, until it is dropped.
pub(super) struct Admitted {
    crowd: Crowd,
    who: Who,
    number: u64,
    seat: Arc<Seat>,
}

impl Admitted {
    /// Resolves when somebody else needs the place.
    pub(super) async fn told_to_leave(&self) {
        self.seat.leave.notified().await;
    }

    pub(super) fn activity(&self) -> Activity {
        Activity { crowd: Arc::clone(&self.crowd.0), seat: Arc::clone(&self.seat) }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.crowd.lock().table.remove(self.who, self.number);
    }
}

/// Says for whom the server waits.
#[derive(Clone)]
pub(crate) struct Activity {
    crowd: Arc<Shared>,
    seat: Arc<Seat>,
}

impl Activity {
    /// The request is here, and the server works for it.
    pub(crate) fn works(&self) {
        self.change(AT_WORK);
    }

    /// The client's turn: to send a request or the rest of one, or to take an answer.
    pub(crate) fn waits(&self) {
        self.change(self.crowd.moment());
    }

    fn change(&self, to: u64) {
        let stays = |since| (since != LEAVING).then_some(to);
        // Fails for one that is about to leave, which no longer matters.
        let _ = self.seat.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, stays);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn crowd(all_max: usize, each_max: Option<usize>) -> Crowd {
        Crowd::new(all_max, each_max, IntGauge::new("open", "Open.").unwrap())
    }

    fn is_told(admitted: &Admitted) -> bool {
        core::pin::pin!(admitted.told_to_leave()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_newcomer_gets_the_place_of_the_longest_waiting_of_the_greediest() {
        let crowd = crowd(4, Some(3));
        let honest = crowd.admit(address(1)).ok().unwrap().0;
        let greedy: Vec<Admitted> = (0..3).map(|_| crowd.admit(address(2)).ok().unwrap().0).collect();
        assert_eq!(crowd.admit(address(2)).err(), Some(Refused::Address));
        // The second is asked of again, so that it waits less long than the third; the first is at work.
        greedy[0].activity().works();
        greedy[1].activity().works();
        greedy[1].activity().waits();
        let (_newcomer, made_room) = crowd.admit(address(3)).ok().unwrap();
        assert!(made_room);
        assert_eq!(greedy.iter().map(is_told).collect::<Vec<_>>(), [false, false, true]);
        assert!(!is_told(&honest), "it has waited longest of all, but is alone");
        assert_eq!(crowd.0.gauge.get(), 4);
        drop(greedy);
        assert_eq!(crowd.0.gauge.get(), 2, "the one that left is not counted twice");
    }

    #[test]
    fn nobody_at_work_is_sent_away() {
        let crowd = crowd(2, None);
        let both: Vec<Admitted> = (0..2).map(|_| crowd.admit(address(1)).ok().unwrap().0).collect();
        both.iter().for_each(|one| one.activity().works());
        assert_eq!(crowd.admit(address(2)).err(), Some(Refused::Full));
        assert!(!crowd.make_room());
        both[1].activity().waits();
        assert!(crowd.admit(address(2)).is_ok_and(|(_, made_room)| made_room));
        assert_eq!(both.iter().map(is_told).collect::<Vec<_>>(), [false, true]);
        // Told once, it does not come back to work.
        both[1].activity().works();
        assert!(!crowd.make_room(), "the newcomer's place was given back and the first one is at work");
    }
}
