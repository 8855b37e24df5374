//! File descriptors: there are enough for everything else before clients get theirs.

use pinseal_server::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, Outcome};

/// For all but clients' connections: database, anchor, enclave, mail, nodes of networks, and connections about to close. An anchor
/// that cannot be opened would stop the host.
const RESERVED: u64 = 256;
/// With fewer connections than these nobody is served well.
const CONNECTIONS_MIN: u64 = 16;

/// Asks the system for as many descriptors as the connections need, up to what the operator allows this process; has fewer
/// connections where that is less.
///
/// # Errors
/// Hardly any connection would be left.
pub(super) fn fit(limits: &mut Limits) -> Outcome {
    let wanted = (limits.connections_max as u64).saturating_add(RESERVED);
    let has = getrlimit(Resource::Nofile);
    let allowed = has.maximum.unwrap_or(u64::MAX).min(wanted);
    if has.current.is_some_and(|current| current < allowed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: has.maximum }).map_err(|error| {
            Failure::failed("descriptors", format!("cannot ask for {allowed} descriptors: {error}"))
        })?;
    }
    if allowed >= wanted {
        return Ok(());
    }
    let left = allowed.saturating_sub(RESERVED);
    if left < CONNECTIONS_MIN {
        let sentence = format!("this process may open {allowed} files, and needs {RESERVED} and some for its clients");
        return Err(Failure::failed("descriptors", sentence).advise("raise the limit, see `ulimit -n`"));
    }
    tracing::warn!(
        allowed,
        connections_max = left,
        "fewer connections than configured: too few open files are allowed"
    );
    limits.connections_max = usize::try_from(left).unwrap_or(limits.connections_max);
    Ok(())
}
