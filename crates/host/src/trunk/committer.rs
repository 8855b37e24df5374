//! The thread that stores and anchors: each step is durable before the next one is begun.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use pinseal_anchor::Anchor;
use pinseal_protocol::ids::Sequence;
use pinseal_protocol::tpm::Authorisation;
use pinseal_protocol::wire::{Batch, BatchId};
use pinseal_store::clock::Clock;
use pinseal_store::records::{CommitError, Records};
use pinseal_store::vault::WritePermit;

use super::main_loop::{Message, spawn_worker};
use super::status::Board;
use crate::anchoring::{Advance, advance};
use crate::boot::BootError;
use crate::pipeline::{Advanced, Event, Stored};

/// What to write.
pub(super) enum Write {
    Store { batch: Box<Batch>, permits: Vec<WritePermit>, anchored: Sequence },
    Advance { batch: BatchId, previous: Vec<u8>, next: Vec<u8>, authorisation: Option<Authorisation> },
    DropOld { anchored: Sequence },
}

pub(super) fn start(
    records: Records,
    mut anchor: Box<dyn Anchor>,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    messages: Sender<Message>,
) -> Result<(Sender<Write>, JoinHandle<()>), BootError> {
    let (writes, mailbox) = channel::<Write>();
    let thread = spawn_worker("trunk-committer", messages.clone(), move || {
        let mut begun = Instant::now();
        for write in mailbox {
            let event = match write {
                Write::Store { batch, permits, anchored } => {
                    begun = Instant::now();
                    let id = batch.batch;
                    let stored = store(&records, *batch, permits, anchored, &*clock);
                    board.meter.stored(begun.elapsed());
                    Event::Stored { batch: id, stored }
                }
                Write::Advance { batch, previous, next, authorisation } => {
                    let asked = Instant::now();
                    anchor.authorise(authorisation);
                    let advanced = anchored(&mut *anchor, &previous, &next);
                    board.meter.anchored(asked.elapsed());
                    board.batch_took(begun.elapsed());
                    Event::Advanced { batch, advanced }
                }
                Write::DropOld { anchored } => {
                    crate::fault::point("host.before_drop_old");
                    // What stays is dropped with the next batch; a database that has stopped says so there too.
                    let _ = records.drop_superseded(anchored);
                    continue;
                }
            };
            if messages.send(Message::Event(event)).is_err() {
                break;
            }
        }
    })?;
    Ok((writes, thread))
}

fn store(records: &Records, batch: Batch, permits: Vec<WritePermit>, anchored: Sequence, clock: &dyn Clock) -> Stored {
    crate::fault::point("host.before_commit");
    match records.commit(batch, permits, anchored, clock.now()) {
        Ok(()) => {
            crate::fault::point("host.after_commit");
            Stored::Yes
        }
        Err(CommitError::Forbidden | CommitError::NotStored(_)) => Stored::No,
        Err(CommitError::Discontinuous) => Stored::Discontinuous,
        Err(error @ CommitError::Unknown(_)) => Stored::Unknown(chain(&error)),
    }
}

fn anchored(anchor: &mut dyn Anchor, previous: &[u8], next: &[u8]) -> Advanced {
    match advance(anchor, previous, next) {
        Ok(Advance::Done(receipt)) => {
            crate::fault::point("host.after_anchor");
            match anchor.nonce() {
                Ok(nonce) => Advanced::Receipt(receipt, nonce),
                Err(error) => Advanced::Failed(chain(&error)),
            }
        }
        Ok(Advance::Lost(holds)) => Advanced::Lost(holds),
        Err(error) => Advanced::Failed(chain(&error)),
    }
}

/// An error and its sources, for the operator's log.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
