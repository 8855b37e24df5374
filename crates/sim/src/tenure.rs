//! What a deployment may be sealed to, and every root that was ever given out for it.

use std::sync::{Arc, LazyLock};

use pinseal_fuzzing::harness::{base, keys};
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::ids::{Hash32, Term};
use pinseal_protocol::limits::BREAKER_MIN;
use pinseal_protocol::token::P256Public;

use crate::anchor::{OWN, TPMS};
use crate::tpm;
use crate::witnesses::{QUORUMS, quorum};

/// Numbers of the keys that the token issuer has one after the other.
const ISSUER_KEYS: [usize; 2] = [0, 7];

/// A TPM as a configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Which TPM.
    pub(crate) chip: usize,
    /// How often it had been cleared: since each time it attests with another key.
    pub(crate) life: usize,
    /// What its index held when the operators ordered to go on there; `None` for a deployment made in it.
    pub(crate) base: Option<Hash32>,
}

/// Where a deployment is anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// By itself: in memory, or in a file.
    Own,
    /// In a TPM.
    Tpm(Seat),
    /// By the witnesses of this quorum.
    Witnesses(usize),
}

/// What of a configuration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Where it anchors.
    pub(crate) home: Home,
    /// Which key the token issuer has.
    pub(crate) issuer: usize,
    /// Strangers' tries are borne until few are outstanding.
    pub(crate) is_low: bool,
}

impl Shape {
    /// How a deployment of this level begins.
    pub(crate) const fn first(level: AnchorLevel, is_low: bool) -> Self {
        let home = match level {
            AnchorLevel::L4 => Home::Witnesses(0),
            AnchorLevel::L2 => Home::Tpm(Seat { chip: 0, life: 0, base: None }),
            _ => Home::Own,
        };
        Self { home, issuer: 0, is_low }
    }

    /// With the token issuer's other key.
    pub(crate) const fn with_new_issuer(self) -> Self {
        Self { issuer: (self.issuer + 1) % ISSUER_KEYS.len(), ..self }
    }

    /// Where it anchors.
    pub(crate) const fn place(self) -> usize {
        match self.home {
            Home::Own => OWN,
            Home::Witnesses(number) => number + 1,
            Home::Tpm(seat) => TPMS + seat.chip,
        }
    }

    /// The TPM it anchors in.
    pub(crate) const fn seat(self) -> Option<Seat> {
        match self.home {
            Home::Tpm(seat) => Some(seat),
            _ => None,
        }
    }

    /// Whether it anchors in the very TPM that `other` does.
    pub(crate) fn has_tpm_of(self, other: Self) -> bool {
        let tpm = |shape: Self| shape.seat().map(|seat| (seat.chip, seat.life));
        tpm(self).is_some() && tpm(self) == tpm(other)
    }

    /// The number of the issuer's key.
    pub(crate) const fn issuer_key(self) -> usize {
        ISSUER_KEYS[self.issuer]
    }

    /// The configuration, where a deployment by itself is of the level `own`.
    pub(crate) fn configuration(self, own: AnchorLevel) -> Arc<Configuration> {
        static MADE: LazyLock<Vec<Arc<Configuration>>> = LazyLock::new(|| {
            let quorums = (0..QUORUMS.len()).map(|number| (AnchorLevel::L4, Some(number)));
            let own = [AnchorLevel::L0, AnchorLevel::L1].map(|level| (level, None));
            let kinds = own.into_iter().chain(quorums);
            let issuers = |kind| (0..ISSUER_KEYS.len()).map(move |issuer| (kind, issuer));
            let made = kinds.flat_map(issuers).map(|((level, quorum), issuer)| make(level, quorum, issuer));
            made.flat_map(|made| [made.clone(), Configuration { breaker: BREAKER_MIN, ..made }]).map(Arc::new).collect()
        });
        let kind = match (self.home, own) {
            (Home::Witnesses(number), _) => 2 + number,
            (Home::Own, AnchorLevel::L0) => 0,
            (Home::Own | Home::Tpm(_), _) => 1,
        };
        let made = &MADE[(kind * ISSUER_KEYS.len() + self.issuer) * 2 + usize::from(self.is_low)];
        let Some(Seat { chip, life, base }) = self.seat() else { return Arc::clone(made) };
        Arc::new(Configuration {
            anchor: AnchorLevel::L2,
            floor: AnchorLevel::L2,
            tpm: Some(tpm::named(chip, life)),
            base,
            ..Configuration::clone(made)
        })
    }
}

fn make(level: AnchorLevel, number: Option<usize>, issuer: usize) -> Configuration {
    let mut made =
        Configuration { anchor: level, floor: level, witnesses: number.map(quorum), ..base::configuration() };
    made.issuers[0].key = P256Public::of(keys::key(ISSUER_KEYS[issuer]));
    made
}

/// A configuration in force since one change, and the roots that the enclave sealed for it.
pub(crate) struct Tenure {
    pub(crate) shape: Shape,
    /// What the shape comes to.
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) restores: u32,
    /// Absent of the first: nobody was told it.
    pub(crate) term: Option<Term>,
    /// As they were given out; finishing a change twice seals it twice.
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) born: Option<Born>,
}

/// How a tenure came to be.
pub(crate) struct Born {
    /// Its first checkpoint.
    pub(crate) note: Vec<u8>,
    /// The tenure it follows.
    pub(crate) from: usize,
    /// Names the order.
    pub(crate) order: Hash32,
    /// Where its first checkpoint is to be anchored.
    pub(crate) judge: usize,
}
