//! `pinseal app`: an operator's work on the data directory, not over HTTP.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pinseal_protocol::ids::UnixSeconds;
use pinseal_server::{AppError, create_app, create_key, revoke_origin};
use pinseal_store::Sqlite;
use pinseal_store::accounts::{Accounts, AppId, Platform};

use crate::args::{AppAddArgs, AppCreateArgs, AppKeyArgs, AppListArgs, AppRemoveArgs};
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
    let platforms = platforms(&arguments.keys)?;
    let database = open(&arguments.data)?;
    let (app_id, keys) = register(&database, &arguments.name, &platforms)?;
    shown(&app_id, Some(&arguments.name), &platforms, &keys, output);
    Ok(())
}

/// Makes further keys of an app.
///
/// # Errors
/// As [`create`], or there is no such app.
pub(crate) fn add(arguments: &AppAddArgs, output: Output) -> Outcome {
    let platforms = platforms(&arguments.keys)?;
    let database = open(&arguments.data)?;
    let keys = keys(&database, &AppId::new(arguments.app.as_str()), &platforms)?;
    shown(&arguments.app, None, &platforms, &keys, output);
    Ok(())
}

/// Lists the apps and what their keys are bound to. Keys themselves are not kept.
///
/// # Errors
/// There is no deployment, or its database fails.
pub(crate) fn list(arguments: &AppListArgs, output: Output) -> Outcome {
    let database = open(&arguments.data)?;
    let mut items = Vec::new();
    for app in database.apps().map_err(|error| refused(error.into()))? {
        let bound = database.registered_app(&app.id).map_err(|error| refused(error.into()))?;
        let bound = bound.map(|app| app.platforms).unwrap_or_default();
        output.field(app.id.as_str(), &app.name);
        for platform in &bound {
            output.field("", format!("{}: {}", platform.name(), reach(platform)));
        }
        let bound: Vec<_> = bound.iter().map(described).collect();
        items.push(serde_json::json!({ "app_id": app.id.as_str(), "name": app.name, "keys": bound }));
    }
    output.result(&serde_json::json!({ "items": items }));
    Ok(())
}

/// Takes origins away from an app.
///
/// # Errors
/// There is no such app, or it has no such origin; those named before are gone then.
pub(crate) fn remove(arguments: &AppRemoveArgs, output: Output) -> Outcome {
    let database = open(&arguments.data)?;
    let app = AppId::new(arguments.app.as_str());
    for origin in &arguments.origin {
        if revoke_origin(&database, &app, origin, now()).map_err(refused)? == 0 {
            return Err(Failure::usage(format!("the app has no origin {origin}")).advise("see `pinseal app list`"));
        }
        output.field("Removed", origin);
    }
    output.result(&serde_json::json!({ "app_id": arguments.app, "removed": arguments.origin }));
    Ok(())
}

fn open(data: &Path) -> Outcome<Sqlite> {
    let data = DataDir::at(data);
    if !crate::deployment::exists(&data) {
        return Err(Failure::usage(format!("{} holds no deployment", data.root().display()))
            .advise("make one with `pinseal init`, or start with `pinseal up`"));
    }
    open_database(&HostDir::at(&data.host()))
}

fn shown(app_id: &str, name: Option<&str>, platforms: &[Platform], keys: &[String], output: Output) {
    let described = |(platform, key): (&Platform, &String)| {
        let mut item = described(platform);
        item["app_key"] = key.as_str().into();
        item
    };
    let items: Vec<_> = platforms.iter().zip(keys).map(described).collect();
    let mut result = serde_json::json!({ "app_id": app_id, "keys": items });
    if let Some(name) = name {
        result["name"] = name.into();
    }
    output.result(&result);
    output.field("App ID", app_id);
    for (platform, key) in platforms.iter().zip(keys) {
        let bound = output.paint(Style::Dim, format!("{}: {}", platform.name(), reach(platform)));
        output.field("App Key", format!("{key}  {bound}"));
    }
    output.note("The keys are shown this once; only their hashes are stored.");
}

fn described(platform: &Platform) -> serde_json::Value {
    serde_json::json!({ "platform": platform.name(), "bound_to": platform.bound_to() })
}

fn reach(platform: &Platform) -> &str {
    if platform.bound_to().is_empty() { "back ends and command lines" } else { platform.bound_to() }
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
    let app = create_app(database, name, now()).map_err(refused)?;
    let keys = keys(database, &app.app_id, platforms)?;
    Ok((app.app_id.to_string(), keys))
}

fn keys(database: &dyn Accounts, app: &AppId, platforms: &[Platform]) -> Outcome<Vec<String>> {
    let key = |platform: &Platform| {
        let created = create_key(database, app, platform.clone(), now()).map_err(refused)?;
        Ok(created.app_key.expose_secret().to_owned())
    };
    platforms.iter().map(key).collect()
}

fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn refused(error: AppError) -> Failure {
    match error {
        AppError::Randomness | AppError::Accounts(_) => Failure::failed("app", chain(&error)),
        error => Failure::usage(error.to_string()),
    }
}

fn platforms(arguments: &AppKeyArgs) -> Outcome<Vec<Platform>> {
    let mut platforms: Vec<Platform> = arguments.origin.iter().cloned().map(Platform::Web).collect();
    platforms.extend(arguments.android.iter().cloned().map(Platform::Android));
    platforms.extend(arguments.ios.iter().cloned().map(Platform::Ios));
    platforms.extend(arguments.server.then_some(Platform::Server));
    if platforms.is_empty() {
        return Err(Failure::usage("an app without a key cannot be used")
            .advise("give --server, --origin, --android or --ios, as many as you need"));
    }
    Ok(platforms)
}
