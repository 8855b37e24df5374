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

use crate::tenure::Shape;
use crate::world::World;

/// Salt of every order's key; an operator's program draws one, and nothing depends on it.
const SALT: Hash32 = Hash32([8; 32]);

/// What operators are brought to want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// These witnesses from now on: another quorum, or at L1 the first.
    Witnesses(usize),
    /// Another key of the token issuer.
    NewIssuer,
    /// That enrolment goes on.
    Resume,
    /// That what they are shown is the state, under the same witnesses or others.
    Restore {
        /// The quorum that is to vouch for it; `None`: whoever does now.
        to: Option<usize>,
        /// The restore's number.
        number: Number,
    },
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
    /// The first checkpoint of the tenure that it made.
    pub(crate) made: Option<Vec<u8>>,
}

impl World {
    /// The operators order what they wish for what they are shown. Without effect where there is nothing to show.
    pub(crate) fn order(&mut self, wish: Wish, image: Arc<Disk>, lie: Lie) {
        let own = self.tenure_of(&image.note);
        let other = |back: usize| self.rooted().rev().nth(back).unwrap_or(own);
        let (rooted, configured) = match lie {
            Lie::Root(back) => (other(back), own),
            Lie::Configuration(back) => (own, other(back)),
            Lie::None | Lie::Forged => (own, own),
        };
        let Some(root) = self.tenures[rooted].roots.last() else { return };
        let shape = self.tenures[configured].shape;
        let (next, restores) = self.wanted(wish, shape, image.checkpoint().restores);
        let content = Order {
            resumes: wish == Wish::Resume,
            version: ORDER_VERSION,
            deployment: base::configuration().deployment,
            root: root_hash(root),
            previous: shape.configuration(self.own_level()).hash(),
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
            made: None,
        });
    }

    fn wanted(&self, wish: Wish, shape: Shape, restores: u32) -> (Shape, Option<u32>) {
        match wish {
            Wish::Witnesses(number) => (Shape { quorum: Some(number), ..shape }, None),
            Wish::NewIssuer => (shape.with_new_issuer(), None),
            Wish::Resume => (shape, None),
            Wish::Restore { to, number } => {
                let number = match number {
                    Number::Next => restores + 1,
                    Number::Again => restores.max(1),
                    Number::Far => restores + RESTORES_STEP_MAX + 1,
                    Number::Above(above) => above + 1,
                };
                (Shape { quorum: to.or(shape.quorum), ..shape }, Some(number))
            }
        }
    }

    /// Tenures that a root was given out for, oldest first.
    pub(crate) fn rooted(&self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.tenures.len()).filter(|tenure| !self.tenures[*tenure].roots.is_empty())
    }

    /// The level of a deployment without witnesses.
    pub(crate) fn own_level(&self) -> AnchorLevel {
        own_level(self.setting.level())
    }
}

/// The level of a deployment that begins at `level`, where it has no witnesses.
pub(crate) const fn own_level(level: AnchorLevel) -> AnchorLevel {
    match level {
        AnchorLevel::L0 | AnchorLevel::L2 => level,
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
            Self::Resume => f.write_str("that enrolment goes on"),
            Self::NewIssuer => f.write_str("another key of the token issuer"),
            Self::Restore { to, number } => {
                match number {
                    Number::Next | Number::Above(_) => f.write_str("a restore")?,
                    Number::Again => f.write_str("a restore of the number there was")?,
                    Number::Far => f.write_str("a restore with too high a number")?,
                }
                to.map_or(Ok(()), |number| write!(f, " under quorum {number}"))
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
            Self::Forged => f.write_str(", forged"),
        }
    }
}
