//! How often one client address or account may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;

/// Keys a limiter remembers, about 100 bytes each. Beyond them every new key shares one bucket, so that memory stays bounded
/// under a flood of addresses.
const KEYS_MAX: usize = 100_000;
/// How often a full table is searched for keys that may be forgotten: more often, the search itself would be the flood's work.
const SWEEP_SECONDS: u64 = 1;
/// What a whole IPv6 /48 may do, in shares of one address. One site has a /48, with 65,536 addresses in the sense of
/// [`Who::address`], and so as many shares as it likes without this bound.
const SITE_SHARES: u32 = 16;

/// The server's steady clock as the limiter wants it.
#[derive(Clone)]
struct Steady(Arc<dyn Clock>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Duration);

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.into()))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

impl GovernorClock for Steady {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.steady())
    }
}

/// Whom a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// A client address; IPv6 by its /64, which one subscriber has at least.
    Address(IpAddr),
    /// An IPv6 site by its /48.
    Site(Ipv6Addr),
    /// A user, by a hash of the user id.
    User([u8; 32]),
    /// A session, by a hash of its id.
    Session([u8; 32]),
    /// An account, known or not, as [`crate::login::email`] names it.
    Account([u8; 32]),
    /// Everybody beyond [`KEYS_MAX`].
    Others,
}

impl Who {
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(prefix(v6, 64)),
            v4 => v4,
        })
    }

    pub(crate) fn user(id: &str) -> Self {
        Self::User(Sha256::digest(id).into())
    }

    pub(crate) fn session(id: &str) -> Self {
        Self::Session(Sha256::digest(id).into())
    }

    /// The site of an address; none for IPv4.
    fn site(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V6(v6) => Some(Self::Site(prefix(v6, 48))),
            IpAddr::V4(_) => None,
        }
    }
}

/// The network of an address: the site for IPv6, the /24 for IPv4.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(prefix(v6, 48)),
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !(u32::MAX >> 24))),
    }
}

fn prefix(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits))
}

/// What is left after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    reset_seconds: u64,
}

impl Allowance {
    /// `RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(self.reset_seconds));
    }
}

/// Too many; how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) wait_seconds: u64,
    pub(crate) allowance: Allowance,
}

/// One limit: so many requests in so much time, all of which may come at once.
pub(crate) struct Limit {
    governor: RateLimiter<Who, Buckets, Steady, StateInformationMiddleware>,
    clock: Steady,
    limit: u32,
    cell: Duration,
    swept_at: AtomicU64,
}

impl Limit {
    pub(crate) fn new(limit: u32, period: Duration, clock: Arc<dyn Clock>) -> Self {
        let burst = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
        let cell = (period / burst.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(cell).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        let clock = Steady(clock);
        let governor = RateLimiter::new(quota, Buckets::default(), clock.clone());
        Self { governor, clock, limit: burst.get(), cell, swept_at: AtomicU64::new(0) }
    }

    pub(crate) fn check(&self, who: Who) -> Result<Allowance, Exceeded> {
        if self.governor.len() >= KEYS_MAX && self.is_sweep_due() {
            self.governor.retain_recent();
        }
        match self.governor.check_key(&who) {
            Ok(snapshot) => Ok(self.allowance(snapshot.remaining_burst_capacity())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                Err(Exceeded { wait_seconds: ceil_seconds(wait).max(1), allowance: self.allowance(0) })
            }
        }
    }

    /// True for one caller in each [`SWEEP_SECONDS`].
    fn is_sweep_due(&self) -> bool {
        let (now, last) = (self.clock.now().0.as_secs(), self.swept_at.load(Ordering::Relaxed));
        now >= last.saturating_add(SWEEP_SECONDS)
            && self.swept_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn allowance(&self, remaining: u32) -> Allowance {
        let used = self.limit.saturating_sub(remaining);
        Allowance { limit: self.limit, remaining, reset_seconds: ceil_seconds(self.cell.saturating_mul(used)) }
    }
}

/// Limits of client addresses: each has its own, and an IPv6 site has one besides.
pub(crate) struct AddressLimit {
    each: Limit,
    site: Limit,
}

impl AddressLimit {
    pub(crate) fn new(limit: u32, period: Duration, clock: &Arc<dyn Clock>) -> Self {
        Self {
            each: Limit::new(limit, period, Arc::clone(clock)),
            site: Limit::new(limit.saturating_mul(SITE_SHARES), period, Arc::clone(clock)),
        }
    }

    /// The address first: what one address is refused anyway takes nothing from its neighbours.
    pub(crate) fn check(&self, address: IpAddr) -> Result<Allowance, Exceeded> {
        let allowance = self.each.check(Who::address(address))?;
        if let Some(site) = Who::site(address) {
            self.site.check(site)?;
        }
        Ok(allowance)
    }
}

/// The limiter's state: when each key's allowance will be whole again. A key that is in the table keeps its own bucket however
/// full the table is; only new ones share [`Who::Others`].
#[derive(Default)]
struct Buckets(Mutex<HashMap<Who, Nanos>>);

impl Buckets {
    // Entries are written whole, so a poisoned lock guards a sound map.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Who, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Buckets {
    type Key = Who;

    fn measure_and_replace<T, F, E>(&self, who: &Who, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.lock();
        let who = if known.len() < KEYS_MAX || known.contains_key(who) { *who } else { Who::Others };
        let (outcome, whole_at) = decide(known.get(&who).copied())?;
        known.insert(who, whole_at);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Who> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().retain(|_, whole_at| *whole_at > drop_below);
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use pinseal_protocol::ids::UnixSeconds;

    use super::{AddressLimit, KEYS_MAX, Limit, SITE_SHARES, Who};
    use crate::clock::Clock;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> UnixSeconds {
            UnixSeconds(self.0.load(Ordering::Relaxed))
        }

        fn steady(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    fn account(number: usize) -> Who {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Who::Account(name)
    }

    #[test]
    fn a_flood_of_keys_takes_nothing_from_those_who_came_before() {
        let hand = Arc::new(Hand::default());
        let limit = Limit::new(3, Duration::from_secs(300), Arc::clone(&hand) as Arc<dyn Clock>);
        for number in 0..KEYS_MAX + 10 {
            let _ = limit.check(account(number));
        }
        // The newcomers share one bucket, which is empty by now; who was there first has two left.
        assert!(limit.check(account(KEYS_MAX + 11)).is_err());
        assert_eq!(limit.check(account(5)).unwrap().remaining, 1);
        assert_eq!(limit.check(account(5)).unwrap().remaining, 0);
        assert!(limit.check(account(5)).is_err());
        // Once the first ones' buckets are whole again they are forgotten, and there is room.
        hand.0.store(300, Ordering::Relaxed);
        for number in [12, 13] {
            assert_eq!(limit.check(account(KEYS_MAX + number)).unwrap().remaining, 2);
        }
    }

    #[test]
    fn a_full_table_is_searched_at_most_once_a_second() {
        let hand = Arc::new(Hand::default());
        let limit = Limit::new(3, Duration::from_secs(300), Arc::clone(&hand) as Arc<dyn Clock>);
        hand.0.store(1, Ordering::Relaxed);
        assert!(limit.is_sweep_due());
        assert!(!limit.is_sweep_due());
        hand.0.store(2, Ordering::Relaxed);
        assert!(limit.is_sweep_due());
    }

    #[test]
    fn an_ipv6_site_has_a_bound_over_all_its_addresses() {
        let clock: Arc<dyn Clock> = Arc::new(Hand::default());
        let limit = AddressLimit::new(2, Duration::from_secs(60), &clock);
        let subnet = |site: u32, number: u32| format!("2001:db8:{site:x}:{number:x}::1").parse().unwrap();
        // One busy address uses up its own bucket and at most its share of the site's.
        let served = (0..100).filter(|_| limit.check(subnet(1, 0)).is_ok()).count();
        assert_eq!(served, 2);
        let served = (1..1_000).filter(|number| limit.check(subnet(1, *number)).is_ok()).count();
        assert_eq!(u32::try_from(served).unwrap(), 2 * SITE_SHARES - 2);
        assert!(limit.check(subnet(2, 0)).is_ok(), "another site");
        assert!(
            (0..1_000_u32).all(|number| limit.check(std::net::Ipv4Addr::from(0x0a00_0000 + number).into()).is_ok())
        );
    }

    #[test]
    fn a_subscriber_with_many_ipv6_addresses_is_one_client() {
        let who = |text: &str| Who::address(text.parse().unwrap());
        assert_eq!(who("2001:db8:1:2:3::4"), who("2001:db8:1:2:ffff::9"));
        assert_ne!(who("2001:db8:1:2::1"), who("2001:db8:1:3::1"));
        assert_eq!(who("::ffff:192.0.2.7"), who("192.0.2.7"));
        assert_ne!(who("192.0.2.7"), who("192.0.2.8"));
    }
}
