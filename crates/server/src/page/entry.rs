//! Where an app's pages reach the wallet page: in a frame on their own site, or in a window of its own.
//!
//! Who may frame it, and whom it may answer, are the origins that the operator registered for the app, exactly. They are read at each
//! request, so that an origin that was taken away is refused at once.

use axum::http::Request;
use pinseal_store::accounts::{AppId, Platform, Theme};
use serde_json::{Value, json};

use crate::apps::{PAGE_APP, is_exact_origin};
use crate::problem::{Problem, table};
use crate::state::AppState;

/// What the page reads about the app it was opened for.
pub(super) const APP: &str = "app.json";
/// The app's logo, if it has one.
pub(super) const LOGO: &str = "logo.png";
/// Characters of an App ID that is looked up.
const APP_ID_CHARS_MAX: usize = 64;

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// In a frame over an app's page, on the app's own site.
    Frame,
    /// In a window that an app's page opened.
    Popup,
}

impl Entry {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "frame" => Some(Self::Frame),
            "popup" => Some(Self::Popup),
            _ => None,
        }
    }
}

/// An app and its pages' origins; at least one.
#[derive(Debug)]
pub(super) struct Pages {
    id: AppId,
    name: String,
    origins: Vec<String>,
    theme: Theme,
}

impl Pages {
    /// Those of the app that the query names.
    pub(super) fn of<B>(state: &AppState, request: &Request<B>) -> Result<Self, Problem> {
        let id = named(request.uri().query()).ok_or(table::APP_UNKNOWN)?;
        let found = state.read_accounts(|accounts| accounts.registered_app(&id))?.ok_or(table::APP_UNKNOWN)?;
        let web = found.platforms.into_iter().filter_map(|platform| match platform {
            // What is no origin would be something else to the policy: a wildcard, or a directive of its own.
            Platform::Web(origin) if is_exact_origin(&origin) => Some(origin),
            _ => None,
        });
        let origins: Vec<String> = web.collect();
        // The wallet page itself is an app to the API, and nobody's to be opened for.
        if origins.is_empty() || id.as_str() == PAGE_APP {
            return Err(table::APP_UNKNOWN.into());
        }
        Ok(Self { id, name: found.app.name, origins, theme: found.theme })
    }

    /// The sources of `frame-ancestors`.
    pub(super) fn ancestors(&self) -> String {
        self.origins.join(" ")
    }

    pub(super) fn json(&self) -> Value {
        let mut told = json!({ "app_id": self.id.as_str(), "name": self.name, "origins": self.origins });
        if let Some(accent) = self.theme.accent {
            told["accent"] = json!({ "light": accent.light.to_string(), "dark": accent.dark.to_string() });
        }
        if self.theme.has_logo {
            told["logo"] = format!("/{LOGO}?app={}", self.id.as_str()).into();
        }
        told
    }

    /// The app's logo, PNG.
    pub(super) fn logo(&self, state: &AppState) -> Result<Vec<u8>, Problem> {
        let logo = state.read_accounts(|accounts| accounts.app_logo(&self.id))?;
        logo.ok_or_else(|| table::NOT_FOUND.into())
    }
}

/// The app of `app=ID`, which is all that the query may say.
fn named(query: Option<&str>) -> Option<AppId> {
    let id = query?.strip_prefix("app=")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (!id.is_empty() && id.len() <= APP_ID_CHARS_MAX && id.bytes().all(fits)).then(|| AppId::new(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_app_and_nothing_else() {
        assert_eq!(named(Some("app=app_0a-Z")), Some(AppId::new("app_0a-Z")));
        let long = format!("app={}", "a".repeat(APP_ID_CHARS_MAX + 1));
        for query in
            ["", "app", "app=", "app=a&app=b", "app=a&x=1", "x=1&app=a", "app=%61", "app=a;b", "app=a b", &long]
        {
            assert_eq!(named(Some(query)), None, "{query}");
        }
        assert_eq!(named(None), None);
    }
}
