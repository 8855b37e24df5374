//! Requests that wait for networks' nodes: how many at a time, in all and of one caller.
//!
//! Nodes may be slow, and callers choose what to ask them. So such requests never take every place of those in flight, and none of what they
//! hold (a place, a connection to a node, an answer of some megabytes) goes beyond these bounds, also when their clients hang up, or take
//! their answers as slowly as they like: a place lasts until its answer is taken, or until somebody else needs it more.

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
    table: Arc<Mutex<Table>>,
}

/// Who holds places.
#[derive(Default)]
struct Table {
    /// By caller and number, which tells the order of their coming; with the answer, once it is there.
    taken: HashMap<Who, BTreeMap<u64, Option<Answer>>>,
    all: usize,
    last: u64,
}

/// What is left of an answer; none once its place is another's.
type Answer = Arc<Mutex<Option<Bytes>>>;

impl NodePlaces {
    /// Half of the places in flight, so that login and wallets keep the other half.
    pub(crate) fn new(requests_in_flight_max: usize) -> Self {
        Self { all_max: (requests_in_flight_max / 2).max(1), table: Arc::default() }
    }

    /// A place for one request of `who`. Where every place is taken it is that of an answer whose client has not taken it yet: of the caller
    /// with most places, the oldest.
    pub(crate) fn take(&self, who: Who) -> Result<NodePlace, Problem> {
        let mut table = lock(&self.table);
        if table.taken.get(&who).map_or(0, BTreeMap::len) >= EACH_MAX {
            return Err(Problem::from(table::RATE_LIMITED).retry_after(RETRY_SECONDS));
        }
        if table.all >= self.all_max && !table.make_room() {
            return Err(Problem::from(table::OVERLOADED).retry_after(RETRY_SECONDS));
        }
        table.last += 1;
        let number = table.last;
        table.taken.entry(who).or_default().insert(number, None);
        table.all += 1;
        Ok(NodePlace { who, number, table: Arc::clone(&self.table) })
    }
}

impl Table {
    /// Gives up the answer that is most likely nobody's, and its place.
    fn make_room(&mut self) -> bool {
        let oldest = |places: &BTreeMap<u64, Option<Answer>>| {
            let waiting = places.iter().find(|(_, answer)| answer.is_some());
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
        self.all -= usize::from(removed.is_some());
        removed.flatten()
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
        let rest = Arc::new(Mutex::new(Some(Bytes::from(json))));
        if let Some(place) = lock(&self.table).taken.get_mut(&self.who).and_then(|own| own.get_mut(&self.number)) {
            *place = Some(Arc::clone(&rest));
        }
        let mut response = Response::new(Body::new(Placed { rest, _place: self }));
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
        let mut rest = lock(&self.rest);
        Poll::Ready(match rest.as_mut() {
            None => Some(Err(GivenUp)),
            Some(rest) if rest.is_empty() => None,
            Some(rest) => {
                let next = rest.split_to(rest.len().min(STRETCH_BYTES));
                Some(Ok(Frame::data(Bytes::copy_from_slice(&next))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.rest).as_ref().is_some_and(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(lock(&self.rest).as_ref().map_or(0, Bytes::len) as u64)
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
        let mut hers: Vec<NodePlace> = (0..EACH_MAX).map(|_| places.take(ada).unwrap()).collect();
        assert!(places.take(ada).is_err());
        let his = places.take(bob).unwrap();
        hers.pop();
        hers.push(places.take(ada).unwrap());
        assert!(places.take(ada).is_err());
        drop((hers, his));
        assert!(lock(&places.table).taken.is_empty());
        assert_eq!(lock(&places.table).all, 0);
    }

    #[test]
    fn an_answer_holds_its_place_until_the_last_of_it_is_taken() {
        let places = NodePlaces::new(2);
        let mut answer = places.take(Who::user("ada")).unwrap().answer(&"a".repeat(2 * STRETCH_BYTES)).unwrap();
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
        let mut hers = places.take(ada).unwrap().answer(&"a long one").unwrap();
        let mut greedy: Vec<Response> = (0..2).map(|_| places.take(eve).unwrap().answer(&"another").unwrap()).collect();
        let question = places.take(eve).unwrap();
        let newcomer = places.take(bob).unwrap();
        assert!(next(&mut greedy[0]).unwrap().is_err(), "the oldest of three");
        assert!(next(&mut greedy[1]).unwrap().is_ok() && next(&mut hers).unwrap().is_ok());
        // What was given up is not counted twice.
        drop(greedy.remove(0));
        assert_eq!(lock(&places.table).all, 4);
        let others = [places.take(bob).unwrap(), places.take(bob).unwrap()];
        assert!(places.take(bob).is_err(), "nobody is sent away while a node is asked");
        drop((question, newcomer, others, greedy, hers));
        assert_eq!(lock(&places.table).all, 0);
    }
}
