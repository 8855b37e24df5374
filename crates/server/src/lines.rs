//! What waits, in fair lines: whoever floods them waits behind themselves, and loses their own places.
//!
//! Everything that waits has a source, and every source a line. The lines are served in turn, so that nobody waits for more than one of each
//! other source before each of their own. No time, no sockets: what waits, and what it waits for, is the caller's.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use pinseal_protocol::ids::DeviceId;
use sha2::{Digest as _, Sha256};

use crate::limits::network;

/// Where something that waits comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Anybody of a network: an IPv6 site by its /48, or 256 neighbours of IPv4 by their /24. As many addresses one attacker easily has.
    Network(IpAddr),
    /// A device that an account was used on before.
    Device(DeviceId),
    /// The owner of an address, who has to be told something, whoever brought it about.
    Owner([u8; 32]),
}

impl Source {
    /// The network of a client address.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Network(network(address))
    }

    /// The owner of a mail address.
    pub(crate) fn owner(address: &str) -> Self {
        Self::Owner(Sha256::digest(address).into())
    }

    /// True for a source that strangers have as many of as they have networks.
    const fn is_open(self) -> bool {
        matches!(self, Self::Network(_))
    }
}

/// Who waits, at most so many.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    waiting_max: usize,
    /// None is empty.
    lines: HashMap<Source, VecDeque<(u64, T)>>,
    /// The sources that have a line; the first is the next to be served.
    turns: VecDeque<Source>,
    waiting: usize,
    last: u64,
}

/// A newcomer's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined<T> {
    /// Its number, to leave by.
    pub(crate) number: u64,
    /// What lost its place for it.
    pub(crate) lost: Option<T>,
}

impl<T> Lines<T> {
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self { waiting_max, lines: HashMap::new(), turns: VecDeque::new(), waiting: 0, last: 0 }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a newcomer into its source's line. Where as many wait as may, the newest of the longest line loses its place for it, unless that
    /// line would then be the shorter one: a line of equal length yields to an owner or a known device only. The newcomer comes back if
    /// there is no place.
    pub(crate) fn join(&mut self, source: Source, newcomer: T) -> Result<Joined<T>, T> {
        let lost = if self.waiting < self.waiting_max {
            None
        } else {
            match self.yielding(source).and_then(|longest| self.lose(longest)) {
                Some(lost) => Some(lost),
                None => return Err(newcomer),
            }
        };
        self.last += 1;
        let line = self.lines.entry(source).or_default();
        if line.is_empty() {
            self.turns.push_back(source);
        }
        line.push_back((self.last, newcomer));
        self.waiting += 1;
        Ok(Joined { number: self.last, lost })
    }

    /// The next to be served: the oldest of the line whose turn it is.
    pub(crate) fn next(&mut self) -> Option<T> {
        let source = self.turns.pop_front()?;
        let line = self.lines.get_mut(&source)?;
        let (_, next) = line.pop_front()?;
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        Some(next)
    }

    /// Takes somebody out who waits no longer; none if it was served or has lost its place.
    pub(crate) fn leave(&mut self, source: Source, number: u64) -> Option<T> {
        let line = self.lines.get_mut(&source)?;
        let place = line.iter().position(|(waits, _)| *waits == number)?;
        let (_, left) = line.remove(place)?;
        self.shortened(source);
        Some(left)
    }

    /// Takes out what waits in vain; how many that were.
    pub(crate) fn retain(&mut self, stays: impl Fn(&T) -> bool) -> usize {
        let before = self.waiting;
        self.lines.retain(|_, line| {
            line.retain(|(_, item)| stays(item));
            !line.is_empty()
        });
        self.turns.retain(|source| self.lines.contains_key(source));
        self.waiting = self.lines.values().map(VecDeque::len).sum();
        before - self.waiting
    }

    /// The line that has to yield to a newcomer of `source`: the longest, and of several the one that is served last.
    fn yielding(&self, source: Source) -> Option<Source> {
        let rank = |source: &Source| (self.lines.get(source).map_or(0, VecDeque::len), source.is_open());
        let longest = self.turns.iter().max_by_key(|source| rank(source))?;
        let (own, is_open) = rank(&source);
        (rank(longest) > (own + 1, is_open)).then_some(*longest)
    }

    /// Takes the newest out of a line.
    fn lose(&mut self, source: Source) -> Option<T> {
        let (_, lost) = self.lines.get_mut(&source)?.pop_back()?;
        self.shortened(source);
        Some(lost)
    }

    /// After one was taken out of a line.
    fn shortened(&mut self, source: Source) {
        self.waiting -= 1;
        if self.lines.get(&source).is_some_and(VecDeque::is_empty) {
            self.lines.remove(&source);
            self.turns.retain(|other| *other != source);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn from(address: &str) -> Source {
        Source::address(address.parse().unwrap())
    }

    /// Three networks.
    fn networks() -> [Source; 3] {
        ["192.0.2.1", "198.51.100.1", "2001:db8:1::1"].map(from)
    }

    /// Everything that waits, in the order it is served.
    fn served(mut lines: Lines<&'static str>) -> Vec<&'static str> {
        let served: Vec<_> = core::iter::from_fn(|| lines.next()).collect();
        assert!(lines.waiting() == 0 && lines.lines.is_empty() && lines.turns.is_empty());
        served
    }

    #[test]
    fn a_networks_addresses_share_a_line() {
        assert_eq!(from("192.0.2.1"), from("192.0.2.254"));
        assert_eq!(from("192.0.2.1"), from("::ffff:192.0.2.7"));
        assert_ne!(from("192.0.2.1"), from("192.0.3.1"));
        assert_eq!(from("2001:db8:1:2::3"), from("2001:db8:1:ffff::9"));
        assert_ne!(from("2001:db8:1::1"), from("2001:db8:2::1"));
    }

    #[test]
    fn lines_are_served_in_turn() {
        let [flood, other, third] = networks();
        let mut lines = Lines::new(10);
        for item in ["a1", "a2", "a3"] {
            lines.join(flood, item).unwrap();
        }
        lines.join(other, "b1").unwrap();
        lines.join(third, "c1").unwrap();
        lines.join(other, "b2").unwrap();
        assert_eq!(lines.next(), Some("a1"));
        // Whoever comes anew waits for one of each, and not for the whole flood.
        lines.join(flood, "a4").unwrap();
        assert_eq!(served(lines), ["b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    #[test]
    fn when_full_the_longest_line_loses_its_newest_to_a_newcomer_and_never_to_itself() {
        let [flood, other, third] = networks();
        let mut lines = Lines::new(3);
        for item in ["a1", "a2", "a3"] {
            assert_eq!(lines.join(flood, item).unwrap().lost, None);
        }
        assert_eq!(lines.join(flood, "a4"), Err("a4"));
        assert_eq!(lines.join(other, "b1").unwrap().lost, Some("a3"));
        assert_eq!(lines.join(other, "b2"), Err("b2"), "it would only be the other way round");
        assert_eq!(lines.join(third, "c1").unwrap().lost, Some("a2"));
        assert_eq!(lines.join(from("203.0.113.1"), "d1"), Err("d1"), "everybody has one");
        assert_eq!(served(lines), ["a1", "b1", "c1"]);
    }

    #[test]
    fn owners_and_known_devices_find_a_place_among_any_number_of_networks() {
        let [one, two, _] = networks();
        let mut lines = Lines::new(2);
        lines.join(one, "a1").unwrap();
        lines.join(two, "b1").unwrap();
        let device = Source::Device(DeviceId([1; 32]));
        assert_eq!(lines.join(device, "device").unwrap().lost, Some("b1"), "the one that is served last");
        assert_eq!(lines.join(device, "again"), Err("again"), "one place each");
        assert_eq!(lines.join(Source::owner("ada@example.test"), "notice").unwrap().lost, Some("a1"));
        assert_eq!(lines.join(one, "a2"), Err("a2"));
        assert_eq!(served(lines), ["device", "notice"]);
    }

    #[test]
    fn whoever_leaves_makes_room_and_is_not_served() {
        let [one, two, _] = networks();
        let mut lines = Lines::new(2);
        let first = lines.join(one, "a1").unwrap().number;
        let second = lines.join(two, "b1").unwrap().number;
        assert_eq!(lines.leave(one, second), None, "in another line");
        assert_eq!(lines.leave(one, first), Some("a1"));
        assert_eq!(lines.leave(one, first), None);
        lines.join(two, "b2").unwrap();
        assert_eq!(served(lines), ["b1", "b2"]);
    }

    #[test]
    fn what_waits_in_vain_is_taken_out_of_every_line() {
        let [one, two, three] = networks();
        let mut lines = Lines::new(4);
        for (source, item) in [(one, "void"), (two, "a"), (two, "void"), (three, "b")] {
            lines.join(source, item).unwrap();
        }
        assert_eq!(lines.retain(|item| *item != "void"), 2);
        lines.join(one, "c").unwrap();
        lines.join(one, "d").unwrap();
        assert_eq!(served(lines), ["a", "b", "c", "d"]);
    }

    #[test]
    fn nothing_waits_where_nothing_may() {
        let mut lines = Lines::new(0);
        assert_eq!(lines.join(networks()[0], "a1"), Err("a1"));
        assert_eq!(lines.next(), None);
    }
}
