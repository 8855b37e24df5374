//! Which types of the host hold a secret; none of them gives it away, and none shows it.

use pinseal_probe::assert_keeps_secret;
use pinseal_protocol::ids::UserIdHash;
use pinseal_protocol::request::Method;
use pinseal_protocol::secret::SecretText;
use pinseal_protocol::token::AccessToken;

use crate::pipeline::{Action, Ask, Event, Load, Pipeline};

// A new secret type is added here; `journeys` finds the one that is left out. The crate knows no serde.
assert_keeps_secret!(Action, Ask, Event, Load, Pipeline);

const TOKEN: &str = "header.claims.signature";

#[test]
fn debug_shows_nothing() {
    let access_token = || AccessToken::new(SecretText::new(TOKEN.to_owned()));
    let ask = Ask::Begin { access_token: access_token(), method: Method::Sign, wallet: None };
    let load = Load::Begin { access_token: access_token(), wallet: UserIdHash([7; 32]), named_by_enclave: true };
    for shown in [format!("{ask:?} {ask:#?}"), format!("{load:?} {load:#?}")] {
        assert!(shown.contains("access_token: AccessToken(..)"), "{shown}");
        assert!(TOKEN.split('.').all(|part| !shown.contains(part)), "{shown}");
    }
}
