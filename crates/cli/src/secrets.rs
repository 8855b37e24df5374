//! Which types of the program hold a secret; none of them gives it away.

use pinseal_probe::{assert_keeps_secret, assert_never_written};

use crate::commands::connection::Connection;
use crate::data_dir::ClientDefaults;
use crate::profile::{Chosen, Service};
use crate::run_settings::{Created, CreatedApp, HostWord, RunSettings};

// A new secret type is added here, or beside it where it is no matter of the whole program; `journeys` finds the one that is left out.
assert_never_written!(Chosen, Connection);
// What is written into a file of its owner's, or onto a pipe between two of our processes.
assert_keeps_secret!(ClientDefaults, Created, CreatedApp, HostWord, RunSettings, Service);
