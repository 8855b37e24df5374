//! `pinseal app`: an operator's work on the data directory, not over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use pinseal_protocol::ids::UnixSeconds;
use pinseal_server::{AppError, create_app, create_key};
use pinseal_store::Sqlite;
use pinseal_store::accounts::{Accounts, Platform};

use crate::args::AppCreateArgs;
use crate::data_dir::DataDir;
use crate::deployment::{HostDir, chain};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style};
use crate::run_settings::CreatedApp;
use crate::serve::open_database;

/// Registers an app; may run beside a serving host, which sees the app at once.
///
/// # Errors
/// Arguments are refused, or there is no deployment.
pub(crate) fn create(arguments: &AppCreateArgs, output: Output) -> Outcome {
    let data = DataDir::at(&arguments.data);
    if !crate::deployment::exists(&data) {
        return Err(Failure::usage(format!("{} holds no deployment", data.root().display()))
            .advise("make one with `pinseal init`, or start with `pinseal up`"));
    }
    let platforms = platforms(arguments);
    if platforms.is_empty() {
        return Err(Failure::usage("an app without a key cannot be used")
            .advise("give --server, --origin, --android or --ios, as many as you need"));
    }
    let database = open_database(&HostDir::at(&data.host()))?;
    let (app_id, keys) = register(&database, &arguments.name, &platforms)?;
    let shown = |(platform, key): (&Platform, &String)| serde_json::json!({ "platform": platform.name(), "bound_to": platform.bound_to(), "app_key": key });
    output.result(&serde_json::json!({ "app_id": app_id, "name": arguments.name, "keys": platforms.iter().zip(&keys).map(shown).collect::<Vec<_>>() }));
    output.field("App ID", &app_id);
    for (platform, key) in platforms.iter().zip(&keys) {
        let bound = if platform.bound_to().is_empty() { "back ends and command lines" } else { platform.bound_to() };
        output
            .field("App Key", format!("{key}  {}", output.paint(Style::Dim, format!("{}: {bound}", platform.name()))));
    }
    output.note("The keys are shown this once; only their hashes are stored.");
    Ok(())
}

/// The app that `pinseal up` needs for its own commands.
///
/// # Errors
/// The database refuses.
pub(crate) fn register_local(database: &Sqlite, name: &str) -> Outcome<CreatedApp> {
    let (app_id, keys) = register(database, name, &[Platform::Server])?;
    let app_key = keys.into_iter().next().ok_or_else(|| Failure::failed("app", "no app key was made"))?;
    Ok(CreatedApp { app_id, app_key })
}

fn register(database: &dyn Accounts, name: &str, platforms: &[Platform]) -> Outcome<(String, Vec<String>)> {
    let now = UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    let refused = |error: AppError| match error {
        AppError::Name | AppError::Origin | AppError::Bundle => Failure::usage(error.to_string()),
        error => Failure::failed("app", chain(&error)),
    };
    let app = create_app(database, name, now).map_err(refused)?;
    let key = |platform: &Platform| {
        create_key(database, &app.app_id, platform.clone(), now)
            .map(|created| created.app_key.expose_secret().to_owned())
    };
    let keys = platforms.iter().map(key).collect::<Result<Vec<_>, _>>().map_err(refused)?;
    Ok((app.app_id.to_string(), keys))
}

fn platforms(arguments: &AppCreateArgs) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = arguments.origin.iter().cloned().map(Platform::Web).collect();
    platforms.extend(arguments.android.iter().cloned().map(Platform::Android));
    platforms.extend(arguments.ios.iter().cloned().map(Platform::Ios));
    platforms.extend(arguments.server.then_some(Platform::Server));
    platforms
}
