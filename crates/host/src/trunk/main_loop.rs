//! The thread that owns the pipeline.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinseal_protocol::reply::SealedReply;
use pinseal_store::clock::Clock;
use pinseal_store::records::Records;

use super::committer::Write;
use super::loader::{self, Loads};
use super::status::Board;
use crate::boot::BootError;
use crate::call::{BeginAnswer, CallError, Stop};
use crate::link::Link;
use crate::pipeline::{Action, Answer, Ask, Event, Pipeline, Ticket};

/// How long nothing must happen until there is time for housekeeping; also how late a timeout may be noticed.
const IDLE: Duration = Duration::from_millis(100);

/// Who gets the answer.
enum Callback {
    Begun(Box<dyn FnOnce(Result<BeginAnswer, CallError>) + Send>),
    Sealed(Box<dyn FnOnce(Result<SealedReply, CallError>) + Send>),
    Evidence(Box<dyn FnOnce(Result<Vec<u8>, CallError>) + Send>),
}

/// A caller's callback, called exactly once: if it is dropped unanswered, with "gone".
pub(super) struct Done(Option<Callback>);

impl Done {
    pub(super) fn begun(done: impl FnOnce(Result<BeginAnswer, CallError>) + Send + 'static) -> Self {
        Self(Some(Callback::Begun(Box::new(done))))
    }

    pub(super) fn sealed(done: impl FnOnce(Result<SealedReply, CallError>) + Send + 'static) -> Self {
        Self(Some(Callback::Sealed(Box::new(done))))
    }

    pub(super) fn evidence(done: impl FnOnce(Result<Vec<u8>, CallError>) + Send + 'static) -> Self {
        Self(Some(Callback::Evidence(Box::new(done))))
    }

    /// Answers. The pipeline answers every ask with its own kind; another kind could only be a defect of ours.
    pub(super) fn call(mut self, answer: Result<Answer, CallError>) {
        self.answer(answer);
    }

    fn answer(&mut self, answer: Result<Answer, CallError>) {
        match (self.0.take(), answer) {
            (None, _) => {}
            (Some(Callback::Begun(done)), Ok(Answer::Begun(answer))) => done(Ok(answer)),
            (Some(Callback::Sealed(done)), Ok(Answer::Sealed(answer))) => done(Ok(answer)),
            (Some(Callback::Evidence(done)), Ok(Answer::Evidence(answer))) => done(Ok(answer)),
            (Some(Callback::Begun(done)), answer) => done(Err(failure(answer))),
            (Some(Callback::Sealed(done)), answer) => done(Err(failure(answer))),
            (Some(Callback::Evidence(done)), answer) => done(Err(failure(answer))),
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.answer(Err(CallError::EnclaveGone(None)));
    }
}

fn failure(answer: Result<Answer, CallError>) -> CallError {
    answer.err().unwrap_or(CallError::EnclaveGone(None))
}

/// What the main loop is sent.
pub(super) enum Message {
    Ask(Ask, Done),
    Event(Event),
    /// The last handle is gone.
    Close,
}

/// The other threads: what they work on and are sent, and their ends.
pub(super) struct Workers {
    pub(super) records: Records,
    pub(super) loads: Loads,
    pub(super) writes: Sender<Write>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

/// Says that the trunk is closed, last of all and also while unwinding.
struct Closing(Arc<Board>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// See the module.
pub(super) struct MainLoop {
    link: Link,
    pipeline: Pipeline,
    workers: Workers,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    waiting: HashMap<Ticket, Done>,
    last_ticket: u64,
}

impl MainLoop {
    pub(super) fn new(
        link: Link,
        pipeline: Pipeline,
        workers: Workers,
        clock: Arc<dyn Clock>,
        board: Arc<Board>,
    ) -> Self {
        Self { link, pipeline, workers, clock, board, waiting: HashMap::new(), last_ticket: 0 }
    }

    pub(super) fn spawn(mut self, mailbox: Receiver<Message>, queued: Arc<AtomicUsize>) -> Result<(), BootError> {
        let closing = Closing(Arc::clone(&self.board));
        spawn("trunk", move || {
            let _closing = closing;
            loop {
                let event = match self.next(&mailbox) {
                    Ok(Message::Ask(ask, done)) => {
                        queued.fetch_sub(1, Ordering::Relaxed);
                        Event::Ask { ticket: self.ticket(done), ask }
                    }
                    Ok(Message::Event(event)) => {
                        if let Event::Enclave(frame) = &event {
                            self.board.meter.received(frame);
                        }
                        event
                    }
                    Err(RecvTimeoutError::Timeout) => Event::Idle,
                    Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                };
                self.step(event);
            }
            self.step(Event::Disconnected);
            self.close(mailbox);
        })
        .map(drop)
    }

    /// The next message. What the ones before it gave the enclave to do is sent before there is a wait for one, all at once.
    fn next(&mut self, mailbox: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        match mailbox.try_recv() {
            Err(TryRecvError::Empty) => {
                if self.link.flush().is_err() {
                    self.link.close();
                }
                mailbox.recv_timeout(IDLE)
            }
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Ok(message) => Ok(message),
        }
    }

    /// Waits for the other threads; when this returns, nothing of the trunk holds socket, database or anchor.
    fn close(self, mailbox: Receiver<Message>) {
        let Self { link, pipeline, workers: Workers { records, loads, writes, threads }, .. } = self;
        link.close();
        drop((link, pipeline, records, loads, writes, mailbox));
        for thread in threads {
            // A worker that panicked has ended too.
            let _ = thread.join();
        }
    }

    fn ticket(&mut self, done: Done) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiting.insert(ticket, done);
        ticket
    }

    /// Also takes what its own actions led to at once, one after the other.
    fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let actions = self.pipeline.step(self.clock.now(), event);
            // Before anybody is answered, so that the status a caller reads is not older than its answer.
            self.board.update(&self.pipeline);
            for action in actions {
                events.extend(self.act(action));
            }
        }
    }

    /// Acts; the event, if the action led to one at once.
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Send(frame) => {
                self.board.meter.sent(&frame, Instant::now());
                if self.link.put(&frame).is_err() {
                    // The reader still delivers the enclave's last word, if there is one, and then the end.
                    self.link.close();
                }
            }
            Action::Load { call, load } => match loader::at_once(&self.workers.records, load) {
                // Waking the loader and being woken by it would take longer than the rest.
                Ok(loaded) => return Some(Event::Loaded { call, loaded: Ok(loaded) }),
                // Loader and committer end after this thread, so their mailboxes are open.
                Err(load) => drop(self.workers.loads.send((call, load))),
            },
            Action::Store { batch, permits, anchored } => {
                self.board.meter.committing(&batch, Instant::now());
                drop(self.workers.writes.send(Write::Store { batch: Box::new(batch), permits, anchored }));
            }
            Action::Advance { batch, previous, next, authorisation } => {
                drop(self.workers.writes.send(Write::Advance { batch, previous, next, authorisation }));
            }
            Action::DropOld { anchored } => drop(self.workers.writes.send(Write::DropOld { anchored })),
            Action::Answer { ticket, answer } => {
                if let Some(done) = self.waiting.remove(&ticket) {
                    if matches!(answer, Ok(Answer::Sealed(_))) {
                        crate::fault::point("host.before_reply");
                    }
                    done.call(answer);
                }
            }
            Action::Stop(stop) => self.stop(stop),
        }
        None
    }

    fn stop(&self, stop: Stop) {
        // One connection is one boot: the enclave ends with it.
        self.link.close();
        self.board.stop(stop);
    }
}

/// Reads frames until the connection ends.
pub(super) fn spawn_reader(mut link: Link, messages: Sender<Message>) -> Result<JoinHandle<()>, BootError> {
    spawn_worker("trunk-enclave", messages.clone(), move || {
        loop {
            let event = link.receive().map_or(Event::Disconnected, Event::Enclave);
            let is_last = matches!(event, Event::Disconnected);
            if messages.send(Message::Event(event)).is_err() || is_last {
                break;
            }
        }
    })
}

/// Starts a thread of the trunk. If it panics, which is a defect of ours, the trunk stops instead of waiting for it.
pub(super) fn spawn_worker(
    name: &str,
    messages: Sender<Message>,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, BootError> {
    struct Alarm(Sender<Message>);
    impl Drop for Alarm {
        fn drop(&mut self) {
            if std::thread::panicking() {
                // A main loop that is gone needs no alarm.
                let _ = self.0.send(Message::Event(Event::Disconnected));
            }
        }
    }
    let alarm = Alarm(messages);
    spawn(name, move || {
        let _alarm = alarm;
        run();
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, BootError> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(BootError::Thread)
}
