//! AWS Nitro evidence.

mod chain;
mod message;
mod policy;
mod real;
mod vectors;

use pinseal_attestation::forge::{NOW, Plan};
use pinseal_attestation::verify::nitro::{NitroDocument, NitroError, authenticate};
use pinseal_protocol::ids::UnixSeconds;

/// Verifies a document under the root it was made with.
fn check(plan: &mut Plan) -> Result<NitroDocument, NitroError> {
    let root = plan.root();
    authenticate(&plan.document(), &root, UnixSeconds(NOW))
}

/// A bent document with three issuers below the root is refused for just this reason.
#[track_caller]
fn refused(bend: impl FnOnce(&mut Plan), expected: NitroError) {
    let mut plan = Plan::new(3);
    bend(&mut plan);
    assert_eq!(check(&mut plan).unwrap_err(), expected);
}
