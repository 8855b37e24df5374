//! Requests that wait for networks' nodes: how many at a time, in all, for one network and of one caller.
//!
//! Nodes may be slow, and callers choose what to ask them. So such requests never take every place of those in flight, those for one network
//! leave places to the others, and none of what they hold (a place, a connection to a node, an answer of some megabytes) goes beyond these
//! bounds, also when their clients hang up, or take their answers as slowly as they like: a place lasts until its answer is taken, or until
//! somebody else needs it more. What a page or an app asks a node in its own words may take a node as long as it pleases, so such calls have half of
//! the places at most, and money always finds some that they leave.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use crate::limits::Who;
use crate::problem::{Problem, table};
use crate::serve::STRETCH_BYTES;

/// Of one user, or of one address where no user is known: more than a page asks at a time.
const EACH_MAX: usize = 16;
/// Seconds after which a refused caller may ask again.
const RETRY_SECONDS: u64 = 1;

/// The places.
pub(crate) struct NodePlaces {
    all: Bounds,
    /// For one network: what does not answer there must not take the others' places.
    network: Bounds,
    table: Arc<Mutex<Table>>,
}

/// How many places there are.
#[derive(Clone, Copy)]
struct Bounds {
    any: usize,
    /// Of those, for calls.
    calls: usize,
}

impl Bounds {
    fn of(any: usize) -> Self {
        let any = any.max(1);
        Self { any, calls: (any / 2).max(1) }
    }
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A question of ours: fees, balances, what a transaction needs or what became of it.
    Money,
    /// A method with parameters of the caller's choice.
    Call,
    /// What an answer is better with and does without: it takes no place of others, and leaves half of theirs to whoever asks.
    Aside,
}

/// How many places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    any: usize,
    calls: usize,
}

impl Count {
    fn add(&mut self, what: Use) {
        self.any += 1;
        self.calls += usize::from(what == Use::Call);
    }

    fn sub(&mut self, what: Use) {
        self.any -= 1;
        self.calls -= usize::from(what == Use::Call);
    }

    fn is_full(self, bounds: Bounds) -> bool {
        self.any >= bounds.any
    }

    /// For one more of this use, whatever room there is for others.
    fn is_full_of(self, what: Use, bounds: Bounds) -> bool {
        what == Use::Call && self.calls >= bounds.calls
    }
}

/// Who holds places.
#[derive(Default)]
struct Table {
    /// By caller and number, which tells the order of their coming.
    taken: HashMap<Who, BTreeMap<u64, Taken>>,
    all: Count,
    /// None is 0.
    by_network: HashMap<Arc<str>, Count>,
    last: u64,
}

/// One place that is taken.
struct Taken {
    network: Option<Arc<str>>,
    what: Use,
    /// Once it is there.
    answer: Option<Answer>,
}

/// What is left of an answer; none once its place is another's.
type Answer = Arc<Mutex<Option<Bytes>>>;

impl NodePlaces {
    /// Half of the places in flight, so that login and wallets keep the other half.
    pub(crate) fn new(requests_in_flight_max: usize) -> Self {
        let all = Bounds::of(requests_in_flight_max / 2);
        Self { all, network: Bounds::of(all.any / 2), table: Arc::default() }
    }

    /// A place for one request of `who`, for the nodes of a network by its one name; of none, if none is asked. Where every place is taken it
    /// is that of an answer whose client has not taken it yet: of the caller with most places, the oldest.
    pub(crate) fn take(&self, who: Who, network: Option<String>, what: Use) -> Result<NodePlace, Problem> {
        let mut table = lock(&self.table);
        let most = if what == Use::Aside { EACH_MAX / 2 } else { EACH_MAX };
        if table.taken.get(&who).map_or(0, BTreeMap::len) >= most {
            return Err(Problem::from(table::RATE_LIMITED).retry_after(RETRY_SECONDS));
        }
        let network: Option<Arc<str>> = network.map(Arc::from);
        if !self.has_room(&mut table, network.as_ref(), what) {
            return Err(Problem::from(table::OVERLOADED).retry_after(RETRY_SECONDS));
        }
        table.last += 1;
        let number = table.last;
        if let Some(network) = &network {
            table.by_network.entry(Arc::clone(network)).or_default().add(what);
        }
        table.taken.entry(who).or_default().insert(number, Taken { network, what, answer: None });
        table.all.add(what);
        Ok(NodePlace { who, number, table: Arc::clone(&self.table) })
    }

    /// True if there is a place, or one could be made free that counts wherever there is none.
    fn has_room(&self, table: &mut Table, network: Option<&Arc<str>>, what: Use) -> bool {
        let there = network.and_then(|network| table.by_network.get(network)).copied().unwrap_or_default();
        let (no_call, no_call_there) = (table.all.is_full_of(what, self.all), there.is_full_of(what, self.network));
        let (none, none_there) = (table.all.is_full(self.all), there.is_full(self.network));
        if !(none || none_there || no_call || no_call_there) {
            return true;
        }
        if what == Use::Aside {
            return false;
        }
        table.make_room(|taken| {
            let counts_there = taken.network.as_ref() == network || !(none_there || no_call_there);
            let counts_as_call = taken.what == Use::Call || !(no_call || no_call_there);
            counts_there && counts_as_call
        })
    }
}

impl Table {
    /// Of those that may go, gives up the answer that is most likely nobody's, and its place.
    fn make_room(&mut self, may_go: impl Fn(&Taken) -> bool) -> bool {
        let oldest = |places: &BTreeMap<u64, Taken>| {
            let waiting = places.iter().find(|(_, taken)| taken.answer.is_some() && may_go(taken));
            waiting.map(|(number, _)| *number)
        };
        let candidates = self.taken.iter().filter_map(|(who, places)| Some((places.len(), oldest(places)?, *who)));
        let Some((_, number, who)) = candidates.max_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)))
        else {
            return false;
        };
        if let Some(answer) = self.remove(who, number) {
            *lock(&answer) = None;
        }
        true
    }

    /// The place's answer, if it was there.
    fn remove(&mut self, who: Who, number: u64) -> Option<Answer> {
        let places = self.taken.get_mut(&who)?;
        let removed = places.remove(&number);
        if places.is_empty() {
            self.taken.remove(&who);
        }
        let Taken { network, what, answer } = removed?;
        self.all.sub(what);
        if let Some(network) = network
            && let Some(taken) = self.by_network.get_mut(&network)
        {
            taken.sub(what);
            if taken.any == 0 {
                self.by_network.remove(&network);
            }
        }
        answer
    }
}

// Each change is whole before its lock is given back, so a poisoned lock guards something sound.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One place, until it is dropped. Move it into the work that asks, so that it lasts as long as that does, and let it carry the answer.
pub(crate) struct NodePlace {
    who: Who,
    number: u64,
    table: Arc<Mutex<Table>>,
}

impl NodePlace {
    /// The answer as JSON. It holds the place until its client has taken it or is gone.
    pub(crate) fn answer(self, value: &impl Serialize) -> Result<Response, Problem> {
        let json = serde_json::to_vec(value).map_err(|error| Problem::fault(&error))?;
        let left = json.len() as u64;
        let rest = Arc::new(Mutex::new(Some(Bytes::from(json))));
        if let Some(place) = lock(&self.table).taken.get_mut(&self.who).and_then(|own| own.get_mut(&self.number)) {
            place.answer = Some(Arc::clone(&rest));
        }
        let mut response = Response::new(Body::new(Placed { rest, left, _place: self }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

impl Drop for NodePlace {
    fn drop(&mut self) {
        // None if the place was given to somebody else.
        drop(lock(&self.table).remove(self.who, self.number));
    }
}

/// An answer on its way. It is handed out by the stretch, each copied, so that what was handed out and waits in the connection keeps
/// nothing of the rest.
struct Placed {
    rest: Answer,
    /// Its bytes, also once it was given up: what was announced is not an answer of none.
    left: u64,
    _place: NodePlace,
}

/// Somebody else needed the place: the connection is closed, as the answer cannot be completed.
#[derive(Debug, thiserror::Error)]
#[error("the answer was given up")]
struct GivenUp;

impl hyper::body::Body for Placed {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let Self { rest, left, .. } = self.get_mut();
        let mut rest = lock(rest);
        Poll::Ready(match rest.as_mut() {
            None => Some(Err(GivenUp)),
            Some(rest) if rest.is_empty() => None,
            Some(rest) => {
                let next = rest.split_to(rest.len().min(STRETCH_BYTES));
                *left = rest.len() as u64;
                Some(Ok(Frame::data(Bytes::copy_from_slice(&next))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.rest).as_ref().is_some_and(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use hyper::body::Body as _;

    fn next(answer: &mut Response) -> Option<Result<usize, axum::Error>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(answer.body_mut()).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().unwrap().len())),
            Poll::Pending => panic!("it is all there"),
        }
    }

    #[test]
    fn a_place_comes_back_and_nothing_is_remembered_of_who_had_it() {
        let places = NodePlaces::new(100);
        let (ada, bob) = (Who::user("ada"), Who::user("bob"));
        let mut hers: Vec<NodePlace> = (0..EACH_MAX).map(|_| places.take(ada, None, Use::Money).unwrap()).collect();
        assert!(places.take(ada, None, Use::Money).is_err());
        let his = places.take(bob, None, Use::Money).unwrap();
        hers.pop();
        hers.push(places.take(ada, None, Use::Money).unwrap());
        assert!(places.take(ada, None, Use::Money).is_err());
        drop((hers, his));
        assert!(lock(&places.table).taken.is_empty());
        assert_eq!(lock(&places.table).all.any, 0);
    }

    #[test]
    fn an_answer_holds_its_place_until_the_last_of_it_is_taken() {
        let places = NodePlaces::new(2);
        let mut answer =
            places.take(Who::user("ada"), None, Use::Money).unwrap().answer(&"a".repeat(2 * STRETCH_BYTES)).unwrap();
        assert_eq!(answer.body().size_hint().exact(), Some(2 * STRETCH_BYTES as u64 + 2));
        let taken: Vec<usize> = (0..3).map(|_| next(&mut answer).unwrap().unwrap()).collect();
        assert_eq!(taken, [STRETCH_BYTES, STRETCH_BYTES, 2]);
        assert_eq!(lock(&places.table).all.any, 1);
        assert!(answer.body().is_end_stream() && next(&mut answer).is_none());
        drop(answer);
        assert_eq!(lock(&places.table).all.any, 0);
    }

    #[test]
    fn a_newcomer_gets_the_place_of_the_greediests_oldest_answer_and_of_no_question() {
        let places = NodePlaces::new(8);
        let [ada, eve, bob] = ["ada", "eve", "bob"].map(Who::user);
        let mut hers = places.take(ada, None, Use::Money).unwrap().answer(&"a long one").unwrap();
        let mut greedy: Vec<Response> =
            (0..2).map(|_| places.take(eve, None, Use::Money).unwrap().answer(&"another").unwrap()).collect();
        let question = places.take(eve, None, Use::Money).unwrap();
        let newcomer = places.take(bob, None, Use::Money).unwrap();
        assert_eq!(greedy[0].body().size_hint().exact(), Some(9), "not an answer of none");
        assert!(next(&mut greedy[0]).unwrap().is_err(), "the oldest of three");
        assert!(next(&mut greedy[1]).unwrap().is_ok() && next(&mut hers).unwrap().is_ok());
        // What was given up is not counted twice.
        drop(greedy.remove(0));
        assert_eq!(lock(&places.table).all.any, 4);
        let others = [places.take(bob, None, Use::Money).unwrap(), places.take(bob, None, Use::Money).unwrap()];
        assert!(places.take(bob, None, Use::Money).is_err(), "nobody is sent away while a node is asked");
        drop((question, newcomer, others, greedy, hers));
        assert_eq!(lock(&places.table).all.any, 0);
    }

    #[test]
    fn a_network_that_does_not_answer_leaves_half_of_the_places_to_others() {
        let places = NodePlaces::new(16);
        let (ada, bob) = (Who::user("ada"), Who::user("bob"));
        let slow = || Some("eip155:1".to_owned());
        let mut asked: Vec<NodePlace> = (0..4).map(|_| places.take(ada, slow(), Use::Money).unwrap()).collect();
        assert!(places.take(bob, slow(), Use::Money).is_err());
        let others: Vec<NodePlace> =
            (0..3).map(|_| places.take(bob, Some("eip155:10".to_owned()), Use::Money).unwrap()).collect();
        let listed = places.take(bob, None, Use::Money).unwrap();
        assert!(places.take(bob, None, Use::Money).is_err(), "every place is taken");
        // An answer of another network gives its place to none of this one.
        drop(listed);
        let mut elsewhere = places.take(bob, None, Use::Money).unwrap().answer(&"elsewhere").unwrap();
        assert!(places.take(bob, slow(), Use::Money).is_err());
        let mut answered = asked.pop().unwrap().answer(&"there").unwrap();
        let newcomer = places.take(bob, slow(), Use::Money).unwrap();
        assert!(next(&mut answered).unwrap().is_err() && next(&mut elsewhere).unwrap().is_ok());
        drop((asked, others, elsewhere, answered, newcomer));
        let table = lock(&places.table);
        assert!(table.all == Count::default() && table.by_network.is_empty() && table.taken.is_empty());
    }

    #[test]
    fn what_an_answer_does_without_takes_nothing_of_others_and_leaves_the_caller_half() {
        let places = NodePlaces::new(64);
        let (ada, bob) = (Who::user("ada"), Who::user("bob"));
        let on = |chain: u64| Some(format!("eip155:{chain}"));
        let aside: Vec<NodePlace> = (0..8).map(|_| places.take(ada, on(1), Use::Aside).unwrap()).collect();
        assert!(places.take(ada, on(2), Use::Aside).is_err(), "half of sixteen");
        let sent = places.take(ada, on(1), Use::Money).unwrap();
        let mut answers: Vec<_> =
            (0..7).map(|_| places.take(bob, on(1), Use::Money).unwrap().answer(&"there").unwrap()).collect();
        assert!(places.take(bob, on(1), Use::Aside).is_err(), "the network has none left");
        assert!(answers.iter_mut().all(|answer| next(answer).unwrap().is_ok()), "nobody's answer went");
        drop((aside, sent, answers));
        assert_eq!(lock(&places.table).all, Count::default());
    }

    #[test]
    fn calls_leave_half_of_a_networks_places_and_half_of_all_to_money() {
        let places = NodePlaces::new(32);
        let who: Vec<Who> = (0..8).map(|number| Who::user(&number.to_string())).collect();
        let on = |chain: u64| Some(format!("eip155:{chain}"));
        let mut asked: Vec<NodePlace> =
            (0..4).map(|number| places.take(who[number], on(1), Use::Call).unwrap()).collect();
        assert!(places.take(who[4], on(1), Use::Call).is_err(), "half of the network's eight");
        asked.extend((0..4).map(|number| places.take(who[number], on(2), Use::Call).unwrap()));
        assert!(places.take(who[4], on(3), Use::Call).is_err(), "half of all sixteen");
        let sent: Vec<NodePlace> =
            [1, 1, 1, 1, 2, 2, 2, 2].map(|chain| places.take(who[5], on(chain), Use::Money).unwrap()).into();
        assert!(places.take(who[6], on(3), Use::Money).is_err(), "every place is taken");
        drop((asked, sent));
        let table = lock(&places.table);
        assert!(table.all == Count::default() && table.by_network.is_empty() && table.taken.is_empty());
    }

    #[test]
    fn a_call_takes_the_place_of_no_answer_but_a_calls_where_calls_have_none_left() {
        let places = NodePlaces::new(16);
        let [ada, eve] = ["ada", "eve"].map(Who::user);
        let there = || Some("eip155:1".to_owned());
        let mut hers = places.take(ada, there(), Use::Money).unwrap().answer(&"her balance").unwrap();
        let mut called = places.take(eve, there(), Use::Call).unwrap().answer(&"what a call gave").unwrap();
        let asked = places.take(eve, there(), Use::Call).unwrap();
        let newcomer = places.take(ada, there(), Use::Call).unwrap();
        assert!(next(&mut called).unwrap().is_err() && next(&mut hers).unwrap().is_ok());
        assert!(places.take(ada, there(), Use::Call).is_err(), "no call is sent away while a node is asked");
        drop((hers, called, asked, newcomer));
        assert_eq!(lock(&places.table).all, Count::default());
    }
}
