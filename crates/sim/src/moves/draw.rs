//! How schedules are drawn: by theme, mostly what leads somewhere, with one thing wrong.

use super::{Move, Theme};
use crate::anchor::Weather;
use crate::carry::{Claim, Stage};
use crate::operators::{Goal, Lie, Number, Wish};
use crate::owner::Deed;
use crate::pair::Brought;
use crate::people::{Company, What};
use crate::random::Random;
use crate::scene::{DEVICES, NAMES};
use crate::tpm::CHIPS;
use crate::witnesses::MISTYPED;
use crate::world::{INSTANCES, Setting};

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
    Storm,
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
    Owner,
    Pair,
    Forget,
}

impl Theme {
    const fn weights(self) -> &'static [(usize, Kind)] {
        use Kind::{
            Abort, Arrange, Ask, Boot, Brute, Carry, Clock, Finish, Flip, Foreign, Forget, Guess, Hold, Kill, Order,
            Owner, Pair, Replay, Revive, RollBack, Step, Storm, Twice,
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
                (3, Twice),
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
                (3, Revive),
                (2, Boot),
                (5, Guess),
                (3, Brute),
                (1, Replay),
                (1, Abort),
                (2, Forget),
                (1, RollBack),
            ],
            Self::Owner => &[
                (6, Ask),
                (2, Step),
                (2, Finish),
                (3, Guess),
                (1, Brute),
                (3, Boot),
                (5, Foreign),
                (6, Owner),
                (2, Pair),
                (3, RollBack),
            ],
            Self::Mover => &[
                (5, Ask),
                (2, Step),
                (1, Finish),
                (5, Arrange),
                (4, Order),
                (7, Carry),
                (2, Twice),
                (1, Revive),
                (4, Boot),
                (3, Guess),
                (1, Brute),
                (3, Foreign),
                (6, Owner),
                (2, Pair),
                (1, RollBack),
            ],
            Self::Crowd => &[
                (8, Ask),
                (3, Storm),
                (3, Step),
                (3, Finish),
                (4, Guess),
                (1, Brute),
                (5, Abort),
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
            Theme::Forker | Theme::Changer | Theme::Owner | Theme::Mover => true,
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
            Kind::Abort => Self::Abort { at, steps: random.below(if theme == Theme::Crowd { 3 } else { 6 }) as u8 },
            Kind::Foreign => Self::Foreign { at, steps: random.below(6) as u8, back },
            Kind::Guess if theme == Theme::Crowd => Self::Guess { at, who, times: 1 + random.below(2) as u8 },
            Kind::Guess => Self::Guess { at, who, times: 1 + random.below(6) as u8 },
            Kind::Storm => Self::Storm { at, right: random.once_in(3) },
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
                tenure: if matches!(theme, Theme::Changer | Theme::Mover) && random.once_in(3) {
                    1 + random.below(3)
                } else {
                    0
                },
                weather: if random.once_in(4) { weather(random) } else { Weather::Fine },
                steps: if random.once_in(6) { random.below(5) as u8 } else { crate::boot::WHOLE },
            },
            Kind::RollBack if setting.restores_anchor() => Self::RollBack { back: random.below(6) },
            Kind::RollBack => Self::Kill { at },
            Kind::Order => Self::Order {
                wish: wish(random, theme),
                back: if random.once_in(3) { back } else { 0 },
                lie: match random.below(8) {
                    0..=2 if theme == Theme::Mover => Lie::Base(random.below(4)),
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
            Kind::Carry if theme == Theme::Mover => Self::carry_into_a_tpm(random, at, back),
            Kind::Carry => Self::carry(random, at, back),
            Kind::Owner => Self::owner(random, back, theme),
            Kind::Twice => {
                let lie = random.weighted(&[(3, Lie::None), (1, Lie::Root(1)), (1, Lie::Configuration(1))]);
                let lie = if theme == Theme::Mover { Lie::None } else { lie };
                Self::Twice { at, wish: wish(random, theme), lie }
            }
            Kind::Revive => {
                // Whoever has seen what came after.
                let who = random.weighted(&[(2, 0), (2, 1), (1, who)]);
                Self::Revive { at, back: 1 + random.below(2), who, times: 1 + random.below(3) as u8 }
            }
            Kind::Pair => {
                let brought = [Brought::Theirs, Brought::Certified, Brought::OnTop][random.below(3)];
                Self::Pair { first: at, who, brought }
            }
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
            rebased: false,
            stage: match random.below(6) {
                0 => Stage::Ordered,
                1 | 2 => Stage::Logged(random.below(2)),
                _ => Stage::True,
            },
            claim: random.weighted(&[(3, Claim::Asked), (1, Claim::Nothing), (1, Claim::Forged(0))]),
            asks_next: random.once_in(5),
            weather: if random.once_in(3) { Weather::Stale } else { Weather::Fine },
            steps,
            pauses: steps != crate::boot::WHOLE && random.once_in(2),
        }
    }

    /// With one thing wrong at most, beside when the host dies.
    fn carry_into_a_tpm(random: &mut Random, at: usize, back: usize) -> Self {
        let wrong = random.below(12);
        let steps = steps(random);
        Self::Carry {
            at,
            order: random.weighted(&[(6, 0), (2, 1), (1, 2)]),
            image: (wrong == 0).then_some(back),
            tenure: if wrong == 1 { 1 + random.below(3) } else { 0 },
            root: usize::from(wrong == 2),
            rebased: matches!(wrong, 3 | 4),
            stage: match wrong {
                5 => Stage::Logged(random.below(2)),
                6 => Stage::Ordered,
                _ => Stage::True,
            },
            claim: if matches!(wrong, 7..=9) { Claim::Forged(random.below(5)) } else { Claim::Asked },
            asks_next: wrong == 10,
            weather: if wrong == 11 { Weather::Stale } else { Weather::Fine },
            steps,
            pauses: steps != crate::boot::WHOLE && random.once_in(2),
        }
    }

    fn owner(random: &mut Random, back: usize, theme: Theme) -> Self {
        if theme != Theme::Mover {
            return Self::Owner { chip: 0, deed: deed(random, back) };
        }
        let chip = random.below(CHIPS);
        let primed = random.weighted(&[
            (4, Some(Deed::Prime { uses: true })),
            (1, Some(Deed::Prime { uses: false })),
            (1, Some(Deed::Share)),
            (4, None),
        ]);
        Self::Owner { chip, deed: primed.unwrap_or_else(|| deed(random, back)) }
    }
}

/// Steps of a host before it dies, mostly all.
fn steps(random: &mut Random) -> u8 {
    if random.once_in(2) { crate::boot::WHOLE } else { random.below(5) as u8 }
}

fn deed(random: &mut Random, back: usize) -> Deed {
    random.weighted(&[
        (3, Deed::Rebuild { back }),
        (2, Deed::Replay { back }),
        (2, Deed::Replay { back: 0 }),
        (1, Deed::Redefine),
        (1, Deed::Clear),
    ])
}

fn wish(random: &mut Random, theme: Theme) -> Wish {
    if theme == Theme::Mover {
        return moving(random);
    }
    let witnesses = Goal::Witnesses;
    let to = random.weighted(&[(4, Goal::Same), (1, witnesses(0)), (1, witnesses(1)), (2, witnesses(2))]);
    let number = random.weighted(&[(6, Number::Next), (2, Number::Again), (2, Number::Far)]);
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

/// Mostly into a TPM, or a restore in one.
fn moving(random: &mut Random) -> Wish {
    let (chip, quorum) = (random.below(CHIPS), random.below(MISTYPED));
    let to = random.weighted(&[(4, Goal::Same), (4, Goal::Tpm(chip)), (1, Goal::Witnesses(quorum))]);
    let number = random.weighted(&[(8, Number::Next), (1, Number::Again), (1, Number::Far)]);
    random.weighted(&[
        (4, Wish::Tpm(chip)),
        (4, Wish::Restore { to, number }),
        (1, Wish::Witnesses(quorum)),
        (1, Wish::NewIssuer),
    ])
}

fn weather(random: &mut Random) -> Weather {
    random.weighted(&[(4, Weather::Fine), (1, Weather::Unreachable), (1, Weather::LostReply), (1, Weather::Stale)])
}

/// Mostly what makes sense for the device: an owner's, an invented one, or Bob's, whose wallet is not confirmed yet.
fn what(random: &mut Random, who: usize, theme: Theme) -> What {
    let pin = 2 + random.below(3) as u8;
    if matches!(theme, Theme::Forgetter | Theme::Changer | Theme::Mover) && random.once_in(4) {
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
