//! Which types of the client hold a secret; none of them gives it away.

use pinseal_probe::assert_never_written;
use pinseal_protocol::secret::SecretText;

use crate::api::{AppCredentials, BeginResponse, SealedResponse, SessionResponse};
use crate::client::Configuration;
use crate::operation::kept::{Continuation, Kept};
use crate::pin::{NewPin, Pin};
use crate::profile::{Locked, Profile, Session};

// A new secret type is added here; `journeys` finds the one that is left out. `DeviceKey` is a handle: its clones share one key.
assert_never_written!(
    AppCredentials,
    BeginResponse,
    Configuration,
    Continuation,
    Kept,
    Locked,
    NewPin,
    Pin,
    Profile,
    SealedResponse,
    SecretText,
    Session,
    SessionResponse,
);
