//! `pinseal app`: an operator's work on the data directory, not over HTTP.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pinseal_client::SecretText;
use pinseal_protocol::ids::UnixSeconds;
use pinseal_server::{
    AppError, LOGO_BYTES_MAX, Logo, accent, change_theme, create_app, create_key, parse_colour, revoke_origin,
};
use pinseal_store::Sqlite;
use pinseal_store::accounts::{Accent, Accounts, AppId, Change, Platform, Theme};

use crate::args::{AppAddArgs, AppCreateArgs, AppKeyArgs, AppListArgs, AppLookArgs, AppRemoveArgs, AppThemeArgs};
use crate::data_dir::DataDir;
use crate::deployment::{self, chain};
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
    let (accent, logo) = look(&arguments.look)?;
    let database = open(&arguments.data)?;
    let (app_id, keys) = register(&database, &arguments.name, &platforms)?;
    change_theme(&database, &AppId::new(app_id.as_str()), None, accent, logo).map_err(refused)?;
    shown(&app_id, Some(&arguments.name), &platforms, &keys, output);
    Ok(())
}

/// Changes how an app is shown.
///
/// # Errors
/// A colour or a logo is refused, there is no such app, or nothing is to be changed.
pub(crate) fn theme(arguments: &AppThemeArgs, output: Output) -> Outcome {
    let (mut accent, mut logo) = look(&arguments.look)?;
    if arguments.no_accent {
        accent = Change::Remove;
    }
    if arguments.no_logo {
        logo = Change::Remove;
    }
    if arguments.name.is_none() && accent == Change::Keep && logo == Change::Keep {
        return Err(Failure::usage("nothing is to be changed").advise("give --name, --accent or --logo"));
    }
    let database = open(&arguments.data)?;
    let app = AppId::new(arguments.app.as_str());
    change_theme(&database, &app, arguments.name.clone(), accent, logo).map_err(refused)?;
    let shown = database.registered_app(&app).map_err(|error| refused(error.into()))?;
    let shown = shown.ok_or_else(|| refused(AppError::Unknown))?;
    output.field("App ID", app.as_str());
    output.field("Name", &shown.app.name);
    output.field("Theme", words(&shown.theme));
    let mut result = serde_json::json!({ "app_id": app.as_str(), "name": shown.app.name });
    result["theme"] = told(&shown.theme);
    output.result(&result);
    Ok(())
}

/// Colour and logo as they were given, read and checked.
fn look(arguments: &AppLookArgs) -> Outcome<(Change<Accent>, Change<Logo>)> {
    let wrong = |error: pinseal_server::ThemeError| Failure::usage(error.to_string());
    let dark = arguments.accent_dark.as_deref().map(parse_colour).transpose().map_err(wrong)?;
    let chosen = match &arguments.accent {
        Some(light) => Change::Set(accent(parse_colour(light).map_err(wrong)?, dark).map_err(wrong)?),
        None => Change::Keep,
    };
    let logo = match &arguments.logo {
        Some(path) => Change::Set(read_logo(path)?),
        None => Change::Keep,
    };
    Ok((chosen, logo))
}

fn read_logo(path: &Path) -> Outcome<Logo> {
    let unreadable = |error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let mut file = Vec::new();
    // One byte more than a logo has, so that one that is too large is told from one that fits.
    let bytes_max = u64::try_from(LOGO_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).map_err(unreadable)?.take(bytes_max).read_to_end(&mut file).map_err(unreadable)?;
    Logo::parse(&file).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn words(theme: &Theme) -> String {
    let colour = match theme.accent {
        Some(accent) => format!("{} in the light, {} in the dark", accent.light, accent.dark),
        None => "the wallet's own colour".to_owned(),
    };
    format!("{colour}, {}", if theme.has_logo { "a logo" } else { "no logo" })
}

fn told(theme: &Theme) -> serde_json::Value {
    let accent = theme
        .accent
        .map(|accent| serde_json::json!({ "light": accent.light.to_string(), "dark": accent.dark.to_string() }));
    serde_json::json!({ "accent": accent, "logo": theme.has_logo })
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
        let (bound, theme) = bound.map(|app| (app.platforms, app.theme)).unwrap_or_default();
        output.field(app.id.as_str(), &app.name);
        for platform in &bound {
            output.field("", format!("{}: {}", platform.name(), reach(platform)));
        }
        if theme != Theme::default() {
            output.field("", words(&theme));
        }
        let bound: Vec<_> = bound.iter().map(described).collect();
        let mut item = serde_json::json!({ "app_id": app.id.as_str(), "name": app.name, "keys": bound });
        item["theme"] = told(&theme);
        items.push(item);
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
    open_database(&deployment::made(&DataDir::at(data))?)
}

fn shown(app_id: &str, name: Option<&str>, platforms: &[Platform], keys: &[SecretText], output: Output) {
    let described = |(platform, key): (&Platform, &SecretText)| {
        let mut item = described(platform);
        item["app_key"] = key.expose_secret().into();
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
        output.field("App Key", format!("{}  {bound}", key.expose_secret()));
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

fn register(database: &dyn Accounts, name: &str, platforms: &[Platform]) -> Outcome<(String, Vec<SecretText>)> {
    let app = create_app(database, name, now()).map_err(refused)?;
    let keys = keys(database, &app.app_id, platforms)?;
    Ok((app.app_id.to_string(), keys))
}

fn keys(database: &dyn Accounts, app: &AppId, platforms: &[Platform]) -> Outcome<Vec<SecretText>> {
    let key = |platform: &Platform| {
        let created = create_key(database, app, platform.clone(), now()).map_err(refused)?;
        Ok(created.app_key)
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
