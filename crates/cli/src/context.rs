//! What every message of this run may refer to: the flags a person gave, so that a printed command can be copied, and the service.
//!
//! Both are set once, by the command itself, and constant afterwards; before that a message does without.

use std::sync::OnceLock;

use crate::args::ClientArgs;

static FLAGS: OnceLock<Flags> = OnceLock::new();
static SERVICE: OnceLock<Service> = OnceLock::new();

/// Name of the data directory that needs no flag.
const USUAL_DATA: &str = "pinseal-data";

#[derive(Debug)]
struct Flags {
    client: String,
    system: String,
}

/// The service of this run.
#[derive(Debug)]
pub(crate) struct Service {
    /// Base URL.
    pub(crate) server: String,
    /// It is the development system found here.
    pub(crate) is_local: bool,
}

/// Remembers the flags that choose profile and service.
pub(crate) fn note_flags(arguments: &ClientArgs) {
    let mut client = String::new();
    let mut system = String::new();
    if let Some(profile) = &arguments.profile {
        client.push_str(&format!(" --profile {}", quoted(profile)));
    }
    if let Some(server) = &arguments.server {
        client.push_str(&format!(" --server {}", quoted(server)));
    }
    if arguments.data.as_os_str() != USUAL_DATA {
        system = format!(" --data {}", quoted(&arguments.data.display().to_string()));
        client.push_str(&system);
    }
    let _ = FLAGS.set(Flags { client, system });
}

/// Remembers the service.
pub(crate) fn note_service(server: &str, is_local: bool) {
    let _ = SERVICE.set(Service { server: server.to_owned(), is_local });
}

/// The service, once it is known.
pub(crate) fn service() -> Option<&'static Service> {
    SERVICE.get()
}

/// A client command to copy, under the flags of this run.
pub(crate) fn command(rest: &str) -> String {
    let flags = FLAGS.get().map_or("", |flags| &flags.client);
    format!("{} {rest}{flags}", crate::up::own_name())
}

/// A command about the system on this machine, like `up`, to copy.
pub(crate) fn system_command(rest: &str) -> String {
    let flags = FLAGS.get().map_or("", |flags| &flags.system);
    format!("{} {rest}{flags}", crate::up::own_name())
}

/// As a shell reads it back.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_given() {
        assert_eq!(quoted("./second"), "./second");
        assert_eq!(quoted("my profile"), "'my profile'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
