//! Operators: people who have the passphrase, and give orders for what a host shows them.

use core::fmt;
use std::sync::Arc;

use pinseal_enclave::{Environment as _, Passphrase};
use pinseal_fuzzing::harness::base;
use pinseal_fuzzing::harness::host::Disk;
use pinseal_fuzzing::harness::randomness::Randomness;
use pinseal_protocol::configuration::AnchorLevel;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::limits::RESTORES_STEP_MAX;
use pinseal_protocol::order::{ORDER_COST, ORDER_VERSION, Order, SignedOrder, root_hash};
use zeroize::Zeroizing;

use crate::tenure::{Home, Seat, Shape};
use crate::tpm::CHIPS;
use crate::world::World;

/// Salt of every order's key; an operator's program draws one, and nothing depends on it.
const SALT: Hash32 = Hash32([8; 32]);

/// What operators are brought to want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// These witnesses from now on: another quorum, or at L1 the first.
    Witnesses(usize),
    /// This TPM from now on.
    Tpm(usize),
    /// Another key of the token issuer.
    NewIssuer,
    /// That enrolment goes on.
    Resume,
    /// That what they are shown is the state, under the same anchor or another.
    Restore {
        /// What is to vouch for it.
        to: Goal,
        /// The restore's number.
        number: Number,
    },
}

/// Who is to vouch for what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Whoever does now; a TPM from what its index holds now.
    Same,
    /// The witnesses of this quorum.
    Witnesses(usize),
    /// This TPM, as it is now.
    Tpm(usize),
}

/// The number that operators give a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// One more than they are shown.
    Next,
    /// As many as there were: the host showed them one less.
    Again,
    /// More than a step may be.
    Far,
    /// One more than this.
    Above(u32),
}

/// What a host shows operators besides the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The root and the configuration that go with it.
    None,
    /// Another tenure's root.
    Root(usize),
    /// Another tenure's configuration.
    Configuration(usize),
    /// What a TPM's index held so many values ago, or, for none, what none ever held.
    Base(usize),
    /// Nothing: the adversary writes an order itself, without the passphrase.
    Forged,
}

/// An order that was given, or forged.
pub(crate) struct Given {
    pub(crate) signed: SignedOrder,
    pub(crate) content: Order,
    pub(crate) next: Shape,
    /// The database that was shown.
    pub(crate) image: Arc<Disk>,
    /// The tenure whose root was shown.
    pub(crate) tenure: usize,
    pub(crate) is_forged: bool,
    /// Which value each TPM's index held then.
    pub(crate) marks: [usize; CHIPS],
    /// The first checkpoint of the tenure that it made.
    pub(crate) made: Option<Vec<u8>>,
}

impl Wish {
    /// The TPM whose index has to hold something before this can be ordered.
    pub(crate) const fn wants(self) -> Option<usize> {
        match self {
            Self::Tpm(chip) | Self::Restore { to: Goal::Tpm(chip), .. } => Some(chip),
            _ => None,
        }
    }
}

impl World {
    /// The operators order what they wish for what they are shown. Without effect where there is nothing to show.
    pub(crate) fn order(&mut self, wish: Wish, image: Arc<Disk>, lie: Lie) {
        let own = self.tenure_of(&image.note);
        let other = |back: usize| self.rooted().rev().nth(back).unwrap_or(own);
        let (rooted, configured) = match lie {
            Lie::Root(back) => (other(back), own),
            Lie::Configuration(back) => (own, other(back)),
            Lie::None | Lie::Base(_) | Lie::Forged => (own, own),
        };
        let Some(root) = self.tenures[rooted].roots.last() else { return };
        let shape = self.tenures[configured].shape;
        let (next, restores) = self.wanted(wish, shape, image.checkpoint().restores, lie);
        let content = Order {
            resumes: wish == Wish::Resume,
            version: ORDER_VERSION,
            deployment: base::configuration().deployment,
            root: root_hash(root),
            previous: self.configuration(configured).hash(),
            configuration: next.configuration(self.own_level()).hash(),
            checkpoint: image.checkpoint().hash(),
            time: UnixSeconds(self.now),
            restores,
        };
        let is_forged = lie == Lie::Forged;
        if let (Some(restores), false) = (restores, is_forged) {
            // The operators tell the witnesses of the log that begins.
            self.places.iter_mut().for_each(|place| place.trust(restores));
        }
        self.orders.push(Given {
            signed: sign(&content, is_forged),
            content,
            next,
            image,
            tenure: rooted,
            is_forged,
            marks: core::array::from_fn(|chip| self.tpms[chip].mark()),
            made: None,
        });
    }

    /// A TPM as operators see it, to whom a host may lie about what its index holds.
    fn seen(&self, chip: usize, lie: Lie) -> Home {
        let seat = self.tpms[chip].seat();
        let base = match lie {
            Lie::Base(0) => Some(Hash32([9; 32])),
            Lie::Base(back) => self.tpms[chip].value_before(back).or(seat.base),
            _ => seat.base,
        };
        Home::Tpm(Seat { base, ..seat })
    }

    fn wanted(&self, wish: Wish, shape: Shape, restores: u32, lie: Lie) -> (Shape, Option<u32>) {
        match wish {
            Wish::Witnesses(number) => (Shape { home: Home::Witnesses(number), ..shape }, None),
            Wish::Tpm(chip) => (Shape { home: self.seen(chip, lie), ..shape }, None),
            Wish::NewIssuer => (shape.with_new_issuer(), None),
            Wish::Resume => (shape, None),
            Wish::Restore { to, number } => {
                let number = match number {
                    Number::Next => restores + 1,
                    Number::Again => restores.max(1),
                    Number::Far => restores + RESTORES_STEP_MAX + 1,
                    Number::Above(above) => above + 1,
                };
                let home = match (to, shape.home) {
                    (Goal::Same, Home::Tpm(Seat { chip, life, .. })) => match self.seen(chip, lie) {
                        // It is the TPM that the configuration names, whatever else is there now.
                        Home::Tpm(seen) => Home::Tpm(Seat { life, ..seen }),
                        home => home,
                    },
                    (Goal::Same, home) => home,
                    (Goal::Witnesses(number), _) => Home::Witnesses(number),
                    (Goal::Tpm(chip), _) => self.seen(chip, lie),
                };
                (Shape { home, ..shape }, Some(number))
            }
        }
    }

    /// Tenures that a root was given out for, oldest first.
    pub(crate) fn rooted(&self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.tenures.len()).filter(|tenure| !self.tenures[*tenure].roots.is_empty())
    }

    /// The level of a deployment with neither TPM nor witnesses.
    pub(crate) fn own_level(&self) -> AnchorLevel {
        own_level(self.setting.level())
    }
}

/// The level of a deployment that begins at `level`, where it has neither TPM nor witnesses.
pub(crate) const fn own_level(level: AnchorLevel) -> AnchorLevel {
    match level {
        AnchorLevel::L0 => level,
        _ => AnchorLevel::L1,
    }
}

fn sign(content: &Order, is_forged: bool) -> SignedOrder {
    // The harness's stretching looks at the salt alone, so whoever lacks the passphrase has the key of another salt.
    let salt = if is_forged { [9; 32] } else { SALT.0 };
    let passphrase = Passphrase::new(Zeroizing::new(Vec::new()));
    let key = Randomness::new(0).stretch(&passphrase, &salt, &ORDER_COST).expect("the cost is possible");
    content.sign(SALT, &key)
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Witnesses(crate::witnesses::MISTYPED) => f.write_str("mistyped witnesses"),
            Self::Witnesses(number) => write!(f, "the witnesses of quorum {number}"),
            Self::Tpm(chip) => write!(f, "a move into TPM {chip}"),
            Self::Resume => f.write_str("that enrolment goes on"),
            Self::NewIssuer => f.write_str("another key of the token issuer"),
            Self::Restore { to, number } => {
                match number {
                    Number::Next | Number::Above(_) => f.write_str("a restore")?,
                    Number::Again => f.write_str("a restore of the number there was")?,
                    Number::Far => f.write_str("a restore with too high a number")?,
                }
                match to {
                    Goal::Same => Ok(()),
                    Goal::Witnesses(number) => write!(f, " under quorum {number}"),
                    Goal::Tpm(chip) => write!(f, " in TPM {chip}"),
                }
            }
        }
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Root(back) => write!(f, " under another root ({back} back)"),
            Self::Configuration(back) => write!(f, " under another configuration ({back} back)"),
            Self::Base(0) => f.write_str(", shown what the TPM's index never held"),
            Self::Base(back) => write!(f, ", shown what the TPM's index held {back} values ago"),
            Self::Forged => f.write_str(", forged"),
        }
    }
}
