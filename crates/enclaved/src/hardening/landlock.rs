//! No files, no TCP, no signals and no abstract sockets to others, as far as the kernel's Landlock goes.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrV4, SocketFlags, SocketType};

/// The newest version whose rights this file names; an older kernel enforces the part it knows.
const ABI_KNOWN: ABI = ABI::V6;

/// Gives up all access and tries to use it.
pub(super) fn apply_and_probe() -> Result<String, String> {
    let applied = apply().map_err(|error| format!("not applied: {error}"))?;
    for (path, what) in [(c"/", "the root directory"), (c"/proc/self/status", "a file")] {
        match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::ACCESS) => {}
            Err(error) => return Err(format!("opening {what} failed for another reason: {error}")),
            Ok(_) => return Err(format!("{what} can still be opened")),
        }
    }
    let tcp = if tcp_is_denied() { "TCP denied" } else { "TCP left to seccomp (kernel before 6.7)" };
    let scope = match applied {
        RulesetStatus::FullyEnforced => "signals and abstract sockets scoped",
        _ => "signals and abstract sockets left to seccomp (kernel before 6.12)",
    };
    Ok(format!("files denied; {tcp}; {scope}"))
}

/// An empty set of rules over every right there is: nothing is allowed.
fn apply() -> Result<RulesetStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_KNOWN))?
        .handle_access(AccessNet::from_all(ABI_KNOWN))?
        .scope(Scope::from_all(ABI_KNOWN))?
        .create()?
        .restrict_self()
        .map(|status| status.ruleset)
}

/// Tries to bind a TCP port on loopback.
fn tcp_is_denied() -> bool {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let address = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    socket.is_ok_and(|socket| rustix::net::bind(socket, &address) == Err(Errno::ACCESS))
}
