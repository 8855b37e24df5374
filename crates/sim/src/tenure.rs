//! What a deployment may be sealed to, and every root that was ever given out for it.

use std::sync::{Arc, LazyLock};

use pinseal_fuzzing::harness::{base, keys};
use pinseal_protocol::configuration::{AnchorLevel, Configuration};
use pinseal_protocol::ids::{Hash32, Term};
use pinseal_protocol::limits::BREAKER_MIN;
use pinseal_protocol::token::P256Public;

use crate::anchor::OWN;
use crate::tpm;
use crate::witnesses::{QUORUMS, quorum};

/// Numbers of the keys that the token issuer has one after the other.
const ISSUER_KEYS: [usize; 2] = [0, 7];

/// What of a configuration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Whose witnesses anchor; `None`: the deployment by itself.
    pub(crate) quorum: Option<usize>,
    /// Which key the token issuer has.
    pub(crate) issuer: usize,
    /// Strangers' tries are borne until few are outstanding.
    pub(crate) is_low: bool,
}

impl Shape {
    /// How a deployment of this level begins.
    pub(crate) fn first(level: AnchorLevel, is_low: bool) -> Self {
        Self { quorum: (level == AnchorLevel::L4).then_some(0), issuer: 0, is_low }
    }

    /// With the token issuer's other key.
    pub(crate) const fn with_new_issuer(self) -> Self {
        Self { issuer: (self.issuer + 1) % ISSUER_KEYS.len(), ..self }
    }

    /// Where it anchors.
    pub(crate) fn place(self) -> usize {
        self.quorum.map_or(OWN, |number| number + 1)
    }

    /// The number of the issuer's key.
    pub(crate) const fn issuer_key(self) -> usize {
        ISSUER_KEYS[self.issuer]
    }

    /// The configuration, where a deployment by itself is of the level `own`.
    pub(crate) fn configuration(self, own: AnchorLevel) -> &'static Arc<Configuration> {
        static MADE: LazyLock<Vec<Arc<Configuration>>> = LazyLock::new(|| {
            let quorums = (0..QUORUMS.len()).map(|number| (AnchorLevel::L4, Some(number)));
            let own = [AnchorLevel::L0, AnchorLevel::L1, AnchorLevel::L2].map(|level| (level, None));
            let kinds = own.into_iter().chain(quorums);
            let issuers = |kind| (0..ISSUER_KEYS.len()).map(move |issuer| (kind, issuer));
            let made = kinds.flat_map(issuers).map(|((level, quorum), issuer)| make(level, quorum, issuer));
            made.flat_map(|made| [made.clone(), Configuration { breaker: BREAKER_MIN, ..made }]).map(Arc::new).collect()
        });
        let kind = match (self.quorum, own) {
            (Some(number), _) => 3 + number,
            (None, AnchorLevel::L0) => 0,
            (None, AnchorLevel::L2) => 2,
            (None, _) => 1,
        };
        &MADE[(kind * ISSUER_KEYS.len() + self.issuer) * 2 + usize::from(self.is_low)]
    }
}

fn make(level: AnchorLevel, number: Option<usize>, issuer: usize) -> Configuration {
    let mut made =
        Configuration { anchor: level, floor: level, witnesses: number.map(quorum), ..base::configuration() };
    made.tpm = (level == AnchorLevel::L2).then(tpm::named);
    made.issuers[0].key = P256Public::of(keys::key(ISSUER_KEYS[issuer]));
    made
}

/// A configuration in force since one change, and the roots that the enclave sealed for it.
pub(crate) struct Tenure {
    pub(crate) shape: Shape,
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
