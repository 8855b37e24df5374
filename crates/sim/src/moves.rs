//! What can happen next. A move names things by place, counted back from the newest, so that it means something after any other
//! moves: a schedule can lose moves and stay a schedule, which is all that shrinking needs.

use core::fmt;

use crate::anchor::Weather;
use crate::carry::{Claim, Stage};
use crate::operators::{Lie, Number, Wish};
use crate::people::{Company, What};
use crate::random::Random;
use crate::scene::{DEVICES, NAMES};
use crate::witnesses::MISTYPED;
use crate::world::{INSTANCES, Setting};

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
    },
    /// An enclave is started on the newest database of a tenure that is not in force any more, under its root, and given wrong PINs.
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
}

/// A draw of what to do next.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ask,
    Hold,
    Replay,
    Flip,
    Step,
    Finish,
    Abort,
    Foreign,
    Guess,
    Brute,
    Clock,
    Kill,
    Boot,
    RollBack,
    Order,
    Arrange,
    Carry,
    Twice,
    Revive,
    Forget,
}

impl Theme {
    const fn weights(self) -> &'static [(usize, Kind)] {
        use Kind::{
            Abort, Arrange, Ask, Boot, Brute, Carry, Clock, Finish, Flip, Foreign, Forget, Guess, Hold, Kill, Order,
            Replay, Revive, RollBack, Step, Twice,
        };
        match self {
            Self::Honest => &[
                (16, Ask),
                (16, Step),
                (6, Finish),
                (4, Replay),
                (2, Guess),
                (2, Kill),
                (4, Boot),
                (2, Clock),
                (1, Arrange),
            ],
            Self::Guesser => &[
                (6, Ask),
                (4, Step),
                (2, Finish),
                (4, Abort),
                (5, Guess),
                (3, Brute),
                (2, Foreign),
                (1, Replay),
                (1, Clock),
                (1, Boot),
                (1, RollBack),
            ],
            Self::Harvester => &[
                (2, Ask),
                (5, Hold),
                (9, Replay),
                (2, Guess),
                (3, Finish),
                (1, Step),
                (1, Clock),
                (1, Flip),
                (1, Abort),
            ],
            Self::Forker => &[
                (5, Ask),
                (7, Step),
                (3, Finish),
                (4, Boot),
                (1, Kill),
                (2, Guess),
                (3, Foreign),
                (1, Abort),
                (1, Replay),
                (1, Hold),
                (1, RollBack),
            ],
            Self::Restorer => &[
                (4, Ask),
                (2, Step),
                (2, Finish),
                (5, Boot),
                (2, Guess),
                (2, Brute),
                (2, Replay),
                (1, Kill),
                (3, RollBack),
            ],
            Self::Changer => &[
                (4, Ask),
                (2, Step),
                (2, Finish),
                (2, Arrange),
                (4, Order),
                (7, Carry),
                (1, Twice),
                (1, Revive),
                (5, Boot),
                (1, Guess),
                (1, Foreign),
                (1, Kill),
                (1, Clock),
                (1, RollBack),
            ],
            Self::Forgetter => &[
                (6, Ask),
                (1, Step),
                (2, Finish),
                (4, Arrange),
                (2, Order),
                (3, Carry),
                (2, Revive),
                (2, Boot),
                (5, Guess),
                (2, Brute),
                (1, Replay),
                (1, Abort),
                (2, Forget),
                (1, RollBack),
            ],
            Self::Crowd => &[
                (8, Ask),
                (3, Step),
                (3, Finish),
                (4, Guess),
                (1, Brute),
                (3, Abort),
                (2, Boot),
                (1, Kill),
                (2, Arrange),
                (1, Order),
                (1, Carry),
                (1, RollBack),
            ],
        }
    }
}

/// Who acts, how often: owners mostly, since what they do gives tries back.
const WHO: [(usize, usize); DEVICES] = [(8, 0), (6, 1), (4, 2), (2, 3), (2, 4), (2, 5), (1, 6), (1, 7), (0, 8)];
/// ... where strangers come in a crowd.
const CROWD: [(usize, usize); DEVICES] = [(2, 0), (1, 1), (4, 2), (2, 3), (2, 4), (1, 5), (4, 6), (1, 7), (1, 8)];

/// Moves in one schedule, at most.
const MOVES_MAX: usize = 12;

impl Move {
    /// A schedule of this theme.
    pub fn draw_schedule(random: &mut Random, theme: Theme, setting: Setting) -> Vec<Self> {
        let count = 2 + random.below(MOVES_MAX - 1);
        (0..count).map(|_| Self::draw(random, theme, setting)).collect()
    }

    fn draw(random: &mut Random, theme: Theme, setting: Setting) -> Self {
        let kind = random.weighted(theme.weights());
        let forks = match theme {
            Theme::Forker | Theme::Changer => true,
            // Started twice by mistake.
            Theme::Honest => matches!(kind, Kind::Boot),
            _ => false,
        };
        let at = if forks { random.below(INSTANCES) } else { 0 };
        let who = random.weighted(if theme == Theme::Crowd { &CROWD } else { &WHO });
        let back = random.below(8);
        match kind {
            Kind::Ask => {
                let (right, heard) = (!random.once_in(3), !random.once_in(4));
                let (waits, whole) = (random.once_in(3), random.once_in(if theme == Theme::Crowd { 4 } else { 2 }));
                Self::Ask { at, who, what: what(random, who, theme), right, heard, waits, whole }
            }
            Kind::Hold => Self::Hold { at, who, what: what(random, who, theme), right: !random.once_in(4) },
            Kind::Replay => {
                let company =
                    random.weighted(&[(3, Company::Newest), (1, Company::Older(back)), (1, Company::Nothing)]);
                Self::Replay { at, back: random.weighted(&[(4, 0), (2, 1), (1, 2), (1, 3)]), company }
            }
            Kind::Flip => Self::Flip { at, back: random.below(3), bit: random.below(1 << 12) },
            Kind::Step => Self::Step { at, steps: random.below(9) as u8, weather: weather(random) },
            Kind::Finish => Self::Finish { at },
            Kind::Abort => Self::Abort { at, steps: random.below(6) as u8 },
            Kind::Foreign => Self::Foreign { at, steps: random.below(6) as u8, back },
            Kind::Guess if theme == Theme::Crowd => Self::Guess { at, who, times: 1 + random.below(2) as u8 },
            Kind::Guess => Self::Guess { at, who, times: 1 + random.below(6) as u8 },
            Kind::Brute => {
                let (times, steps) = (1 + random.below(4) as u8, random.below(8) as u8);
                Self::Brute { at, who, times, steps, back: random.below(4) }
            }
            Kind::Clock => Self::Clock { at, by: random.weighted(&[(3, 60), (3, 3_600), (1, 86_400), (3, -3_600)]) },
            Kind::Kill => Self::Kill { at },
            Kind::Boot => Self::Boot {
                at,
                back: if random.once_in(3) { back } else { 0 },
                mixed: random.once_in(5),
                honest: theme == Theme::Honest || random.once_in(3),
                tenure: if theme == Theme::Changer && random.once_in(3) { 1 + random.below(3) } else { 0 },
                weather: if random.once_in(4) { weather(random) } else { Weather::Fine },
                steps: if random.once_in(6) { random.below(5) as u8 } else { crate::boot::WHOLE },
            },
            Kind::RollBack if setting.restores_anchor() => Self::RollBack { back: random.below(6) },
            Kind::RollBack => Self::Kill { at },
            Kind::Order => Self::Order {
                wish: wish(random, theme),
                back: if random.once_in(3) { back } else { 0 },
                lie: match random.below(8) {
                    0 | 1 => Lie::Root(random.below(3)),
                    2 => Lie::Configuration(random.below(3)),
                    3 => Lie::Forged,
                    _ => Lie::None,
                },
            },
            Kind::Arrange => {
                let wish = wish(random, theme);
                let is_lost = matches!(wish, Wish::Restore { .. });
                Self::Arrange {
                    at,
                    wish,
                    back: if is_lost { back } else { 0 },
                    weather: if random.once_in(4) { weather(random) } else { Weather::Fine },
                    steps: steps(random),
                }
            }
            Kind::Carry => Self::carry(random, at, back),
            Kind::Twice => Self::Twice { at, wish: wish(random, theme) },
            Kind::Revive => Self::Revive { at, back: 1 + random.below(2), who, times: 1 + random.below(3) as u8 },
            Kind::Forget => Self::Forget { who },
        }
    }

    /// Mostly what leads somewhere, with one thing wrong.
    fn carry(random: &mut Random, at: usize, back: usize) -> Self {
        let steps = steps(random);
        Self::Carry {
            at,
            order: random.weighted(&[(5, 0), (2, 1), (1, 2)]),
            image: if random.once_in(3) { Some(if random.once_in(2) { 0 } else { back }) } else { None },
            tenure: if random.once_in(3) { 1 + random.below(3) } else { 0 },
            root: usize::from(random.once_in(6)),
            stage: match random.below(6) {
                0 => Stage::Ordered,
                1 | 2 => Stage::Logged(random.below(2)),
                _ => Stage::True,
            },
            claim: random.weighted(&[(3, Claim::Asked), (1, Claim::Nothing), (1, Claim::Forged)]),
            asks_next: random.once_in(5),
            weather: if random.once_in(3) { Weather::Stale } else { Weather::Fine },
            steps,
            pauses: steps != crate::boot::WHOLE && random.once_in(2),
        }
    }
}

/// Steps of a host before it dies, mostly all.
fn steps(random: &mut Random) -> u8 {
    if random.once_in(2) { crate::boot::WHOLE } else { random.below(5) as u8 }
}

fn wish(random: &mut Random, theme: Theme) -> Wish {
    let to = random.weighted(&[(4, None), (1, Some(0)), (1, Some(1)), (2, Some(2))]);
    let number = random.weighted(&[(8, Number::Next), (2, Number::Again), (1, Number::Far)]);
    let restore = Wish::Restore { to, number };
    let change = random.weighted(&[
        (3, Wish::Witnesses(0)),
        (3, Wish::Witnesses(1)),
        (3, Wish::Witnesses(2)),
        (2, Wish::NewIssuer),
        (if theme == Theme::Crowd { 12 } else { 1 }, Wish::Resume),
        (2, Wish::Witnesses(MISTYPED)),
    ]);
    let restores = match theme {
        Theme::Forgetter => !random.once_in(6),
        _ => random.once_in(4),
    };
    if restores { restore } else { change }
}

fn weather(random: &mut Random) -> Weather {
    random.weighted(&[(6, Weather::Fine), (1, Weather::Unreachable), (1, Weather::LostReply), (1, Weather::Stale)])
}

/// Mostly what makes sense for the device: an owner's, an invented one, or Bob's, whose wallet is not confirmed yet.
fn what(random: &mut Random, who: usize, theme: Theme) -> What {
    let pin = 2 + random.below(3) as u8;
    if matches!(theme, Theme::Forgetter | Theme::Changer) && random.once_in(4) {
        return What::Accept(u8::from(random.once_in(4)));
    }
    let device = random.weighted(&WHO);
    let owner = [
        (6, What::Verify),
        (4, What::Sign),
        (1, What::Enrol),
        (4, What::Revoke(device)),
        (4, What::Clear),
        (3, What::ChangePrepare(pin)),
        (3, What::ChangeConfirm),
        (2, What::Status),
        (1, What::Register(pin)),
    ];
    let stranger = [(9, What::Enrol), (2, What::Sign), (2, What::Verify), (1, What::Clear), (1, What::Status)];
    let bob = [(4, What::Confirm), (2, What::Register(pin)), (2, What::Verify), (1, What::Sign), (1, What::Status)];
    match NAMES[who] {
        "Bob's laptop" | "Cyd's laptop" => random.weighted(&bob),
        "Ada's laptop" | "Ada's phone" => random.weighted(&owner),
        _ => random.weighted(&stranger),
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pin = |right: &bool| if *right { "the right PIN" } else { "a wrong PIN" };
        match self {
            Self::Ask { at, who, what, right, heard, waits, whole } => {
                let later = if *waits { "an hour later, " } else { "" };
                let whole = if *whole { ", and the host carries it through" } else { "" };
                let lost = if *heard { "" } else { "; the host drops the reply" };
                write!(f, "{later}{} asks enclave {at} to {what} under {}{whole}{lost}", NAMES[*who], pin(right))
            }
            Self::Hold { at, who, what, right } => {
                write!(f, "{} asks enclave {at} to {what} under {}; the host keeps it", NAMES[*who], pin(right))
            }
            Self::Replay { at, back, company } => {
                let beside = match company {
                    Company::Newest => "the newest record".to_owned(),
                    Company::Older(back) => format!("a record {back} writes old, then the newest"),
                    Company::Nothing => "no record, then the newest".to_owned(),
                };
                write!(f, "the host hands enclave {at} the request {back} before the last, with {beside}")
            }
            Self::Flip { at, back, bit } => {
                write!(f, "the host hands enclave {at} the request {back} before the last, bit {bit} flipped")
            }
            Self::Step { at, steps, weather: Weather::Fine } => write!(f, "host {at} does {} things", steps + 1),
            Self::Step { at, steps, weather } => {
                write!(f, "host {at} does {} things, and the last is answered {weather:?}", steps + 1)
            }
            Self::Finish { at } => write!(f, "host {at} does all that waits"),
            Self::Abort { at, steps } => {
                write!(f, "host {at} does {steps} things, and says to the enclave that the batch was not stored")
            }
            Self::Foreign { at, steps, back } => {
                write!(f, "host {at} does {steps} things, and brings the enclave a receipt {back} writes old")
            }
            Self::Guess { at, who, times } => {
                write!(f, "{} gives enclave {at} {times} wrong PINs, each delay waited out", NAMES[*who])
            }
            Self::Brute { at, who, times, steps, back } => write!(
                f,
                "{times} x: {} gives enclave {at} a wrong PIN, host killed after {steps} steps, database put back by {back}",
                NAMES[*who]
            ),
            Self::Clock { at, by } => write!(f, "the clock of host {at} moves by {by} s"),
            Self::Kill { at } => write!(f, "enclave {at} and its host are killed"),
            Self::Boot { at, back, mixed, honest, tenure, weather, steps } => {
                let host = if *honest { "an honest host" } else { "the adversary" };
                write!(f, "{host} starts enclave {at} on ")?;
                match (mixed, back) {
                    (true, _) => write!(f, "records {back} writes old under the newest checkpoint")?,
                    (false, 0) => write!(f, "the newest database")?,
                    (false, _) => write!(f, "a database {back} writes old")?,
                }
                if *tenure > 0 {
                    write!(f, " under the root {tenure} back")?;
                }
                if *weather != Weather::Fine {
                    write!(f, ", the anchor answers {weather:?}")?;
                }
                if *steps != crate::boot::WHOLE {
                    write!(f, ", and dies after {steps} steps")?;
                }
                Ok(())
            }
            Self::RollBack { back } => write!(f, "the anchor is put back by {}, and the database with it", back + 1),
            Self::Order { wish, back, lie } => {
                write!(f, "operators order {wish} for a database {back} writes old{lie}")
            }
            Self::Arrange { at, wish, back, weather, steps } => {
                write!(
                    f,
                    "host {at} is stopped, operators order {wish} for a database {back} writes old, and it is carried out"
                )?;
                write_end(f, *weather, *steps, false)
            }
            Self::Carry { at, order, image, tenure, root, stage, claim, asks_next, weather, steps, pauses } => {
                write!(f, "host {at} carries the order {order} before the last out on ")?;
                match image {
                    None => write!(f, "the database of the order")?,
                    Some(back) => write!(f, "a database {back} writes old")?,
                }
                if (*tenure, *root) != (0, 0) {
                    write!(f, " under the root {tenure} back ({root})")?;
                }
                match stage {
                    Stage::True => {}
                    Stage::Ordered => write!(f, ", as if nothing were logged")?,
                    Stage::Logged(back) => write!(f, ", as if the term {back} before the last were logged")?,
                }
                match claim {
                    Claim::Asked => {}
                    Claim::Nothing => write!(f, ", without the new anchor's word")?,
                    Claim::Forged => write!(f, ", the new anchor's word made up")?,
                }
                if *asks_next {
                    write!(f, ", the new anchor asked for the receipt")?;
                }
                write_end(f, *weather, *steps, *pauses)
            }
            Self::Twice { at, wish } => write!(
                f,
                "operators order {wish}; host {at} dies once that is stored, another carries it out, and the adversary starts the first under the second's root"
            ),
            Self::Revive { at, back, who, times } => write!(
                f,
                "the adversary starts enclave {at} on the newest database of the root {back} before the newest, and {} gives it {times} wrong PINs",
                NAMES[*who]
            ),
            Self::Forget { who } => write!(f, "{} comes without what it has seen", NAMES[*who]),
        }
    }
}

fn write_end(f: &mut fmt::Formatter<'_>, weather: Weather, steps: u8, pauses: bool) -> fmt::Result {
    if weather != Weather::Fine {
        write!(f, ", the anchor answers {weather:?}")?;
    }
    match steps {
        crate::boot::WHOLE => Ok(()),
        _ if pauses => write!(f, ", and waits after {steps} steps"),
        _ => write!(f, ", and dies after {steps} steps"),
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify => f.write_str("verify the PIN"),
            Self::Sign => f.write_str("sign"),
            Self::Enrol => f.write_str("enrol the device"),
            Self::Revoke(gone) => write!(f, "revoke {}", NAMES[*gone]),
            Self::Clear => f.write_str("clear tries"),
            Self::ChangePrepare(pin) => write!(f, "prepare PIN {pin}"),
            Self::ChangeConfirm => f.write_str("confirm the new PIN"),
            Self::Status => f.write_str("tell the status"),
            Self::History => f.write_str("tell the history"),
            Self::Accept(0) => f.write_str("accept the restore"),
            Self::Accept(ahead) => write!(f, "accept a restore {ahead} later"),
            Self::Register(pin) => write!(f, "register under PIN {pin}"),
            Self::Confirm => f.write_str("confirm the registration"),
        }
    }
}
