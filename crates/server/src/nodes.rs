//! Requests that wait for networks' nodes: how many at a time, in all, for one network and of one caller.
//!
//! Nodes may be slow, and callers choose what to ask them. So such requests never take every place of those in flight, those for one network
//! leave places to the others, and none of what they hold (a place, a connection to a node, an answer of some megabytes) goes beyond these
//! bounds, also when their clients hang up, or take their answers as slowly as they like: a place lasts until its answer is taken, or until
//! somebody else needs it more.

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
    all_max: usize,
    /// For one network: what does not answer there must not take the others' places.
    network_max: usize,
    table: Arc<Mutex<Table>>,
}

/// Who holds places.
#[derive(Default)]
struct Table {
    /// By caller and number, which tells the order of their coming.
    taken: HashMap<Who, BTreeMap<u64, Taken>>,
    all: usize,
    /// None is 0.
    by_network: HashMap<Arc<str>, usize>,
    last: u64,
}

/// One place that is taken.
struct Taken {
    network: Option<Arc<str>>,
    /// Once it is there.
    answer: Option<Answer>,
}

/// What is left of an answer; none once its place is another's.
type Answer = Arc<Mutex<Option<Bytes>>>;

impl NodePlaces {
    /// Half of the places in flight, so that login and wallets keep the other half.
    pub(crate) fn new(requests_in_flight_max: usize) -> Self {
        let all_max = (requests_in_flight_max / 2).max(1);
        Self { all_max, network_max: (all_max / 2).max(1), table: Arc::default() }
    }

    /// A place for one request of `who`, for the nodes of a network by its one name; of none, if none is asked. Where every place is taken it
    /// is that of an answer whose client has not taken it yet: of the caller with most places, the oldest.
    pub(crate) fn take(&self, who: Who, network: Option<String>) -> Result<NodePlace, Problem> {
        let mut table = lock(&self.table);
        if table.taken.get(&who).map_or(0, BTreeMap::len) >= EACH_MAX {
            return Err(Problem::from(table::RATE_LIMITED).retry_after(RETRY_SECONDS));
        }
        let network: Option<Arc<str>> = network.map(Arc::from);
        let is_full_there =
            |network: &Arc<str>| table.by_network.get(network).is_some_and(|taken| *taken >= self.network_max);
        let has_room = match network.as_ref().filter(|network| is_full_there(network)) {
            Some(network) => table.make_room(|taken| taken.network.as_ref() == Some(network)),
            None => table.all < self.all_max || table.make_room(|_| true),
        };
        if !has_room {
            return Err(Problem::from(table::OVERLOADED).retry_after(RETRY_SECONDS));
        }
        table.last += 1;
        let number = table.last;
        if let Some(network) = &network {
            *table.by_network.entry(Arc::clone(network)).or_default() += 1;
        }
        table.taken.entry(who).or_default().insert(number, Taken { network, answer: None });
        table.all += 1;
        Ok(NodePlace { who, number, table: Arc::clone(&self.table) })
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
        let Taken { network, answer } = removed?;
        self.all -= 1;
        if let Some(network) = network
            && let Some(taken) = self.by_network.get_mut(&network)
        {
            *taken -= 1;
            if *taken == 0 {
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
        let mut hers: Vec<NodePlace> = (0..EACH_MAX).map(|_| places.take(ada, None).unwrap()).collect();
        assert!(places.take(ada, None).is_err());
        let his = places.take(bob, None).unwrap();
        hers.pop();
        hers.push(places.take(ada, None).unwrap());
        assert!(places.take(ada, None).is_err());
        drop((hers, his));
        assert!(lock(&places.table).taken.is_empty());
        assert_eq!(lock(&places.table).all, 0);
    }

    #[test]
    fn an_answer_holds_its_place_until_the_last_of_it_is_taken() {
        let places = NodePlaces::new(2);
        let mut answer = places.take(Who::user("ada"), None).unwrap().answer(&"a".repeat(2 * STRETCH_BYTES)).unwrap();
        assert_eq!(answer.body().size_hint().exact(), Some(2 * STRETCH_BYTES as u64 + 2));
        let taken: Vec<usize> = (0..3).map(|_| next(&mut answer).unwrap().unwrap()).collect();
        assert_eq!(taken, [STRETCH_BYTES, STRETCH_BYTES, 2]);
        assert_eq!(lock(&places.table).all, 1);
        assert!(answer.body().is_end_stream() && next(&mut answer).is_none());
        drop(answer);
        assert_eq!(lock(&places.table).all, 0);
    }

    #[test]
    fn a_newcomer_gets_the_place_of_the_greediests_oldest_answer_and_of_no_question() {
        let places = NodePlaces::new(8);
        let [ada, eve, bob] = ["ada", "eve", "bob"].map(Who::user);
        let mut hers = places.take(ada, None).unwrap().answer(&"a long one").unwrap();
        let mut greedy: Vec<Response> =
            (0..2).map(|_| places.take(eve, None).unwrap().answer(&"another").unwrap()).collect();
        let question = places.take(eve, None).unwrap();
        let newcomer = places.take(bob, None).unwrap();
        assert_eq!(greedy[0].body().size_hint().exact(), Some(9), "not an answer of none");
        assert!(next(&mut greedy[0]).unwrap().is_err(), "the oldest of three");
        assert!(next(&mut greedy[1]).unwrap().is_ok() && next(&mut hers).unwrap().is_ok());
        // What was given up is not counted twice.
        drop(greedy.remove(0));
        assert_eq!(lock(&places.table).all, 4);
        let others = [places.take(bob, None).unwrap(), places.take(bob, None).unwrap()];
        assert!(places.take(bob, None).is_err(), "nobody is sent away while a node is asked");
        drop((question, newcomer, others, greedy, hers));
        assert_eq!(lock(&places.table).all, 0);
    }

    #[test]
    fn a_network_that_does_not_answer_leaves_half_of_the_places_to_others() {
        let places = NodePlaces::new(16);
        let (ada, bob) = (Who::user("ada"), Who::user("bob"));
        let slow = || Some("eip155:1".to_owned());
        let mut asked: Vec<NodePlace> = (0..4).map(|_| places.take(ada, slow()).unwrap()).collect();
        assert!(places.take(bob, slow()).is_err());
        let others: Vec<NodePlace> = (0..3).map(|_| places.take(bob, Some("eip155:10".to_owned())).unwrap()).collect();
        let listed = places.take(bob, None).unwrap();
        assert!(places.take(bob, None).is_err(), "every place is taken");
        // An answer of another network gives its place to none of this one.
        drop(listed);
        let mut elsewhere = places.take(bob, None).unwrap().answer(&"elsewhere").unwrap();
        assert!(places.take(bob, slow()).is_err());
        let mut answered = asked.pop().unwrap().answer(&"there").unwrap();
        let newcomer = places.take(bob, slow()).unwrap();
        assert!(next(&mut answered).unwrap().is_err() && next(&mut elsewhere).unwrap().is_ok());
        drop((asked, others, elsewhere, answered, newcomer));
        let table = lock(&places.table);
        assert!(table.all == 0 && table.by_network.is_empty() && table.taken.is_empty());
    }
}
