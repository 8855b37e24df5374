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

#[test]
fn debug_shows_nothing() {
    use clap::Parser as _;

    let (key, password) = ("pk_server_zilpzalp", "mauersegler4711");
    let url = format!("smtps://user:{password}@mail.example");
    for line in [["pinseal", "up", "--smtp", &url], ["pinseal", "status", "--app-key", key]] {
        let shown = format!("{:?}", crate::args::Arguments::try_parse_from(line).map_err(|error| error.to_string()));
        assert!(shown.starts_with("Ok("), "{shown}");
        assert!(!shown.contains(key) && !shown.contains(password), "{shown}");
    }
    let settings = format!("{{\"smtp\":\"{url}\",\"node\":null}}");
    let settings: RunSettings = serde_json::from_str(&settings).expect("as a supervisor writes them");
    assert!(settings.to_text().contains(password));
    let app = CreatedApp { app_id: "app".to_owned(), app_key: pinseal_client::SecretText::new(key.to_owned()) };
    let word = HostWord::Created(Created { deployment: "00".to_owned(), app: Some(app), log_key: None });
    assert!(!format!("{word:?}").contains(key), "{word:?}");
}
