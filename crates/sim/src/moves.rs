//! What can happen next. A move names things by place, counted back from the newest, so that it means something after any other
//! moves: a schedule can lose moves and stay a schedule, which is all that shrinking needs.

mod draw;
mod tell;

use crate::anchor::Weather;
use crate::carry::{Claim, Stage};
use crate::operators::{Lie, Wish};
use crate::owner::Deed;
use crate::pair::Brought;
use crate::people::{Company, What};

/// One move of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Somebody asks something of an enclave.
    Ask {
        /// Which instance.
        at: usize,
        /// Which device.
        who: usize,
        /// What.
        what: What,
        /// Whether under the right PIN.
        right: bool,
        /// Whether the host hands the reply on.
        heard: bool,
        /// Whether an hour passes before.
        waits: bool,
        /// Whether the host does all that waits after.
        whole: bool,
    },
    /// Somebody makes a request, and the host keeps it back.
    Hold {
        /// Which instance.
        at: usize,
        /// Which device.
        who: usize,
        /// What.
        what: What,
        /// Whether under the right PIN.
        right: bool,
    },
    /// The host hands in a request that it has, sent before or kept back; with the wrong record, and then with the right one.
    Replay {
        /// Which instance.
        at: usize,
        /// How many requests back.
        back: usize,
        /// The record beside it.
        company: Company,
    },
    /// ... with one bit flipped.
    Flip {
        /// Which instance.
        at: usize,
        /// How many requests back.
        back: usize,
        /// Which bit of its ciphertext.
        bit: usize,
    },
    /// The host does the next things.
    Step {
        /// Which instance.
        at: usize,
        /// Things that are answered as they should.
        steps: u8,
        /// How database or anchor answers the one after them.
        weather: Weather,
    },
    /// The host does everything that waits.
    Finish {
        /// Which instance.
        at: usize,
    },
    /// The host says that the batch was not stored, whether or not.
    Abort {
        /// Which instance.
        at: usize,
        /// Things that the host does before.
        steps: u8,
    },
    /// The host brings another receipt than the one for the batch.
    Foreign {
        /// Which instance.
        at: usize,
        /// Things that the host does before.
        steps: u8,
        /// How many images back it was signed.
        back: usize,
    },
    /// Wrong PINs in a row, every delay waited out.
    Guess {
        /// Which instance.
        at: usize,
        /// Which device.
        who: usize,
        /// How many.
        times: u8,
    },
    /// At every wallet a stranger asks to be enrolled, before the host does anything.
    Storm {
        /// Which instance.
        at: usize,
        /// Whether under the right PINs.
        right: bool,
    },
    /// Wrong PINs in a row, each cut short after so many steps, the process killed and the database put back.
    Brute {
        /// Which instance.
        at: usize,
        /// Which device.
        who: usize,
        /// How many.
        times: u8,
        /// Steps of the host before the kill.
        steps: u8,
        /// How many images back the database is put.
        back: usize,
    },
    /// The host's clock moves.
    Clock {
        /// Which instance.
        at: usize,
        /// By how many seconds.
        by: i64,
    },
    /// A process is killed.
    Kill {
        /// Which instance.
        at: usize,
    },
    /// An enclave is started.
    Boot {
        /// Which instance; what ran there is killed.
        at: usize,
        /// How many images back its database is.
        back: usize,
        /// Whether checkpoint and log are the newest, and the records alone are old.
        mixed: bool,
        /// Whether the real pipeline runs it.
        honest: bool,
        /// Under whose root and configuration: 0 for those that go with the database, or counted back from the newest.
        tenure: usize,
        /// How the anchor answers.
        weather: Weather,
        /// Steps before the host dies.
        steps: u8,
    },
    /// The anchor is put back, and an enclave started on the database that goes with it.
    RollBack {
        /// By how many advances.
        back: usize,
    },
    /// The operators give an order for what the adversary shows them.
    Order {
        /// What they are brought to want.
        wish: Wish,
        /// How many images back the database is that they are shown.
        back: usize,
        /// What else is not true.
        lie: Lie,
    },
    /// The operators stop the host, order something for what they see, and an honest host carries it out.
    Arrange {
        /// Which instance is stopped.
        at: usize,
        /// What they want.
        wish: Wish,
        /// How many images back the database is: what is left of it.
        back: usize,
        /// How the anchor answers.
        weather: Weather,
        /// Steps before the host dies.
        steps: u8,
    },
    /// The adversary carries an order out, whichever and on whatever it likes.
    Carry {
        /// Which instance; what ran there is killed.
        at: usize,
        /// How many orders back.
        order: usize,
        /// How many images back the database is; `None` for the one that was shown.
        image: Option<usize>,
        /// Under whose root: 0 for the one that was shown, or counted back from the newest.
        tenure: usize,
        /// Which root of that tenure, counted back.
        root: usize,
        /// The configuration says that the TPM's index holds what it holds now, whatever was ordered.
        rebased: bool,
        /// Which stage the enclave is told.
        stage: Stage,
        /// What it is shown of the anchor that is to follow.
        claim: Claim,
        /// Whether that anchor is asked for the receipt of the entry, whoever judges.
        asks_next: bool,
        /// How the anchor answers.
        weather: Weather,
        /// Steps before the host dies.
        steps: u8,
        /// It does not die then, and goes on later.
        pauses: bool,
    },
    /// The operators order something, and the adversary carries it out twice: a host that dies once the entry is stored, then another
    /// to the end. Then an enclave is started on the first beginning, under the root of the second.
    Twice {
        /// Which instance; what ran there is killed.
        at: usize,
        /// What they are brought to want.
        wish: Wish,
        /// What is not true of what they are shown.
        lie: Lie,
    },
    /// An enclave is started on the newest database of a tenure that is not in force any more, under its root, and given wrong PINs by a
    /// device that has agreed to the restore since, if there was one.
    Revive {
        /// Which instance; what ran there is killed.
        at: usize,
        /// Which tenure: so many roots before the newest.
        back: usize,
        /// Which device guesses there.
        who: usize,
        /// How many times.
        times: u8,
    },
    /// A TPM's owner does something to it.
    Owner {
        /// Which TPM.
        chip: usize,
        /// What.
        deed: Deed,
    },
    /// Two enclaves are handed one session of a TPM; what the first has goes in, and the second is brought what the TPM answered.
    Pair {
        /// Which instance is first.
        first: usize,
        /// Which device gives a wrong PIN to one that serves.
        who: usize,
        /// What the second is brought.
        brought: Brought,
    },
    /// A device comes without what it has seen.
    Forget {
        /// Which device.
        who: usize,
    },
}

/// A kind of schedule: how often each move comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Users, and a host that dies.
    Honest,
    /// Guesses, cut short.
    Guesser,
    /// Owners' requests are kept and played out.
    Harvester,
    /// Two enclaves on one state.
    Forker,
    /// Old databases.
    Restorer,
    /// The configuration changes.
    Changer,
    /// Operators make older states the state again.
    Forgetter,
    /// Strangers at every wallet.
    Crowd,
    /// The TPM's owner.
    Owner,
    /// Into a TPM, from one to another, out to witnesses, and restores in them.
    Mover,
}
