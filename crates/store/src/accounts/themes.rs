//! How an app looks in the wallet page: its accent colour and its logo. Whether they can be read and shown its registrar has checked.

use core::fmt;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::AppId;

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS app_themes (
    app_id          TEXT PRIMARY KEY REFERENCES apps (app_id),
    accent_light    INTEGER,
    accent_dark     INTEGER,
    logo            BLOB
) STRICT;
";

/// A colour of sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb {
    /// Red, green and blue.
    pub channels: [u8; 3],
}

impl Rgb {
    fn from_number(number: i64) -> Option<Self> {
        let [zero, channels @ ..] = u32::try_from(number).ok()?.to_be_bytes();
        (zero == 0).then_some(Self { channels })
    }

    fn number(self) -> u32 {
        let [red, green, blue] = self.channels;
        u32::from_be_bytes([0, red, green, blue])
    }
}

/// As in CSS: `#1d4ed8`.
impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:06x}", self.number())
    }
}

/// An app's colour in the light and in the dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent {
    /// On light ground.
    pub light: Rgb,
    /// On dark ground.
    pub dark: Rgb,
}

/// How an app looks; what is missing is the wallet's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Theme {
    /// Its colour.
    pub accent: Option<Accent>,
    /// True if it has a logo, which is read by itself.
    pub has_logo: bool,
}

/// What becomes of one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It becomes the wallet's own.
    Remove,
    /// It becomes this.
    Set(T),
}

/// A change of how an app is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThemeChange {
    /// Another name.
    pub name: Option<String>,
    /// The colour.
    pub accent: Change<Accent>,
    /// The logo: PNG.
    pub logo: Change<Vec<u8>>,
}

/// See [`super::Accounts::change_theme`].
pub(crate) fn change(tx: &Transaction<'_>, app: &AppId, change: &ThemeChange) -> rusqlite::Result<bool> {
    let id = app.as_str();
    // The name is what tells whether there is such an app.
    let named = tx
        .prepare_cached("UPDATE apps SET name = coalesce(?2, name) WHERE app_id = ?1")?
        .execute(params![id, change.name])?;
    if named == 0 {
        return Ok(false);
    }
    tx.prepare_cached("INSERT OR IGNORE INTO app_themes (app_id) VALUES (?1)")?.execute([id])?;
    let accent = match &change.accent {
        Change::Keep => None,
        Change::Remove => Some((None, None)),
        Change::Set(Accent { light, dark }) => Some((Some(light.number()), Some(dark.number()))),
    };
    if let Some((light, dark)) = accent {
        tx.prepare_cached("UPDATE app_themes SET accent_light = ?2, accent_dark = ?3 WHERE app_id = ?1")?
            .execute(params![id, light, dark])?;
    }
    let logo = match &change.logo {
        Change::Keep => None,
        Change::Remove => Some(None),
        Change::Set(logo) => Some(Some(logo)),
    };
    if let Some(logo) = logo {
        tx.prepare_cached("UPDATE app_themes SET logo = ?2 WHERE app_id = ?1")?.execute(params![id, logo])?;
    }
    Ok(true)
}

/// How this app looks.
pub(crate) fn of(db: &Connection, app: &AppId) -> rusqlite::Result<Theme> {
    let found = db
        .prepare_cached("SELECT accent_light, accent_dark, logo IS NOT NULL FROM app_themes WHERE app_id = ?1")?
        .query_row([app.as_str()], |row| {
            let colour = |at: usize| row.get::<_, Option<i64>>(at).map(|number| number.and_then(Rgb::from_number));
            let accent = colour(0)?.zip(colour(1)?).map(|(light, dark)| Accent { light, dark });
            Ok(Theme { accent, has_logo: row.get(2)? })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// See [`super::Accounts::app_logo`].
pub(crate) fn logo(db: &Connection, app: &AppId) -> rusqlite::Result<Option<Vec<u8>>> {
    let found = db
        .prepare_cached("SELECT logo FROM app_themes WHERE app_id = ?1")?
        .query_row([app.as_str()], |row| row.get::<_, Option<Vec<u8>>>(0))
        .optional()?;
    Ok(found.flatten())
}
