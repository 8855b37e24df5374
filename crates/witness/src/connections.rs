//! The open connections: how many, of one address and in all, and which one goes where there is no room.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections, in all; each may hold one body.
const ALL_MAX: usize = 1_024;
/// Connections of one address; IPv6 by its /64, which one subscriber has at least. A proxy on this machine has no such bound: everybody comes
/// through it.
const EACH_MAX: usize = 64;

/// Bounds the connections. Where there is no room for a newcomer, the one goes that has neither come nor asked for longest: who connects and asks at
/// once is the last to go, however many others sit there with half a request.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Mutex<Table>>);

struct Table {
    all_max: usize,
    each_max: usize,
    /// By the moment it last came or asked, the earliest first.
    seats: BTreeMap<u64, Seat>,
    counts: HashMap<IpAddr, usize>,
    moment: u64,
}

struct Seat {
    address: IpAddr,
    leave: Arc<Notify>,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new(ALL_MAX, EACH_MAX)
    }
}

impl Connections {
    fn new(all_max: usize, each_max: usize) -> Self {
        let table = Table { all_max, each_max, seats: BTreeMap::new(), counts: HashMap::new(), moment: 0 };
        Self(Arc::new(Mutex::new(table)))
    }

    /// A place for a newcomer; who has to leave for it is told.
    pub(crate) fn admit(&self, address: IpAddr) -> Connection {
        let address = network(address);
        let mut table = self.lock();
        let is_many = !address.is_loopback() && table.count(address) >= table.each_max;
        if is_many {
            table.make_room(|seat| seat.address == address);
        } else if table.seats.len() >= table.all_max {
            table.make_room(|_| true);
        }
        let leave = Arc::new(Notify::new());
        *table.counts.entry(address).or_default() += 1;
        let moment = table.sit(Seat { address, leave: Arc::clone(&leave) });
        Connection { connections: self.clone(), moment: Mutex::new(moment), leave }
    }

    // Every change is whole when the lock is given back, so a poisoned one guards a sound table.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&self, address: IpAddr) -> usize {
        self.counts.get(&address).copied().unwrap_or_default()
    }

    fn sit(&mut self, seat: Seat) -> u64 {
        self.moment += 1;
        self.seats.insert(self.moment, seat);
        self.moment
    }

    fn make_room(&mut self, may_go: impl Fn(&Seat) -> bool) {
        let first = self.seats.iter().find(|(_, seat)| may_go(seat)).map(|(moment, _)| *moment);
        if let Some(seat) = first.and_then(|moment| self.remove(moment)) {
            seat.leave.notify_one();
        }
    }

    fn remove(&mut self, moment: u64) -> Option<Seat> {
        let seat = self.seats.remove(&moment)?;
        if let Some(count) = self.counts.get_mut(&seat.address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&seat.address);
            }
        }
        Some(seat)
    }
}

/// One connection's place, until it is dropped.
pub(crate) struct Connection {
    connections: Connections,
    /// Where it sits, if it has not been told to leave.
    moment: Mutex<u64>,
    leave: Arc<Notify>,
}

impl Connection {
    /// It asks, or was answered.
    pub(crate) fn stirs(&self) {
        let mut table = self.connections.lock();
        let mut moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = table.seats.remove(&moment) {
            *moment = table.sit(seat);
        }
    }

    /// Resolves when somebody else needs the place.
    pub(crate) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let moment = *self.moment.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.connections.lock().remove(moment);
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 64))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn is_told(connection: &Connection) -> bool {
        core::pin::pin!(connection.told_to_leave()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn of(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn for_a_newcomer_the_one_leaves_that_was_silent_for_longest() {
        let connections = Connections::new(3, 2);
        let seats: Vec<Connection> = (1..4).map(|last| connections.admit(of(last))).collect();
        seats[0].stirs();
        let newcomer = connections.admit(of(4));
        assert_eq!(seats.iter().map(is_told).collect::<Vec<_>>(), [false, true, false]);
        // Told once, it does not come back, and its place is given back once.
        seats[1].stirs();
        drop(seats);
        assert_eq!(connections.lock().seats.len(), 1);
        drop(newcomer);
        assert!(connections.lock().counts.is_empty());
    }

    #[test]
    fn an_address_with_many_makes_room_for_itself_and_a_proxy_here_may_have_all() {
        let connections = Connections::new(8, 2);
        let stranger = connections.admit(of(1));
        let crowd: Vec<Connection> = (0..3).map(|_| connections.admit(of(2))).collect();
        assert_eq!(crowd.iter().map(is_told).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_told(&stranger), "it was silent for longest of all");
        let proxied: Vec<Connection> = (0..5).map(|_| connections.admit(IpAddr::from([127, 0, 0, 1]))).collect();
        assert!(!proxied.iter().any(is_told));
        let subscriber = |host| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let same: Vec<Connection> = (1..4).map(|host| connections.admit(subscriber(host))).collect();
        assert!(is_told(&same[0]), "one /64 is one address");
    }
}
