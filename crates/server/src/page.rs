//! The wallet page: files that one origin of its own serves, and nothing else of this server.
//!
//! Which origin a request is for tells its `Host`. The page's has no API, and the API's has no page, so that neither the documentation's
//! scripts nor anything else that is ever added beside the API shares the page's storage.

mod entry;

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256, digest};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pinseal_store::accounts::AppId;
use serde_json::json;

use crate::config::Config;
use crate::problem::{Problem, table};
use crate::state::AppState;
use entry::{Entry, Pages};

/// The document.
const DOCUMENT: &str = "index.html";
/// What the page has to know and no file of it can: made here, not among the files.
const SETTINGS: &str = "settings.json";
/// Where files lie whose names change with their contents.
const HASHED: &str = "assets/";
/// Where those lie that run in a worker. Argon2id is WebAssembly, and compiling it is allowed there alone.
const WORKERS: &str = "assets/worker/";
/// What the document may not do: a page that signs needs none of it.
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), usb=(), serial=(), hid=(), payment=(), \
                           display-capture=(), clipboard-read=()";

/// Which windows keep a hold of each other.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Every file of a build of the page, in memory.
#[derive(Debug, Clone)]
pub struct WalletPage {
    files: BTreeMap<String, File>,
    hash: String,
}

#[derive(Debug, Clone)]
struct File {
    bytes: Bytes,
    /// The same, packed, where that is smaller.
    gzip: Option<Bytes>,
    kind: &'static str,
}

impl WalletPage {
    /// A build of the page, from its files by path; `name.gz` is `name`, packed. `None` if there is no document among them.
    pub fn new(files: impl IntoIterator<Item = (String, Bytes)>) -> Option<Self> {
        let mut all: BTreeMap<String, Bytes> = files.into_iter().collect();
        let names: Vec<String> = all.keys().filter(|name| !name.ends_with(".gz")).cloned().collect();
        let files: BTreeMap<String, File> = names
            .into_iter()
            .filter_map(|name| {
                let (bytes, gzip) = (all.remove(&name)?, all.remove(&format!("{name}.gz")));
                let kind = kind(&name);
                Some((name, File { bytes, gzip, kind }))
            })
            .collect();
        files.contains_key(DOCUMENT).then(|| Self { hash: hash(&files), files })
    }

    /// SHA-256 over `sha256sum`'s lines for every file but the packed ones, in the order of their paths: what a release names.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

fn hash(files: &BTreeMap<String, File>) -> String {
    let mut whole = Context::new(&SHA256);
    for (name, file) in files {
        let line = format!("{}  {name}\n", const_hex::encode(digest(&SHA256, &file.bytes)));
        whole.update(line.as_bytes());
    }
    const_hex::encode(whole.finish())
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The page at its origin.
#[derive(Debug)]
pub(crate) struct Site {
    page: WalletPage,
    origin: String,
    settings: Bytes,
    /// The document's policy but for who may frame it.
    policy: String,
    csp: HeaderValue,
    csp_worker: HeaderValue,
}

impl Site {
    /// `api` is the base URL that the page calls, as the app `app` with its key. `None` if one of them is no URL of ours.
    pub(crate) fn new(page: WalletPage, origin: &str, api: &str, app: (&AppId, &str), config: &Config) -> Option<Self> {
        let settings = json!({
            "server": api, "app_id": app.0.as_str(), "app_key": app.1, "development": config.development,
            "images": config.wallet_images, "tokens": config.tokens,
        });
        let own = "base-uri 'none'; form-action 'none'";
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {api}; worker-src 'self'; \
             require-trusted-types-for 'script'; trusted-types pinseal-worker; {own}"
        );
        let csp = format!("{policy}; frame-ancestors 'none'");
        let csp_worker =
            format!("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; {own}; frame-ancestors 'none'");
        Some(Self {
            page,
            origin: origin.to_owned(),
            settings: settings.to_string().into(),
            policy,
            csp: HeaderValue::from_str(&csp).ok()?,
            csp_worker: HeaderValue::from_str(&csp_worker).ok()?,
        })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn hash(&self) -> &str {
        self.page.hash()
    }

    /// True if the request names this origin's host.
    fn is_addressed(&self, headers: &HeaderMap) -> bool {
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        self.origin.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(named))
    }

    fn answer(&self, state: &AppState, request: &Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Problem::from(table::METHOD_NOT_ALLOWED).into_response();
        }
        let name = match request.uri().path().trim_start_matches('/') {
            "" => DOCUMENT,
            name => name,
        };
        if name == SETTINGS {
            return self.with_headers(name, "application/json", None, self.settings.clone());
        }
        if name == entry::APP {
            let pages = Pages::of(state, request).map(|pages| pages.json().to_string());
            let json = |json: String| self.with_headers(name, "application/json", None, json.into());
            return pages.map_or_else(IntoResponse::into_response, json);
        }
        if name == entry::LOGO {
            let logo = Pages::of(state, request).and_then(|pages| pages.logo(state));
            let png = |logo: Vec<u8>| self.with_headers(name, kind(name), None, logo.into());
            return logo.map_or_else(IntoResponse::into_response, png);
        }
        match Entry::named(name) {
            Some(entry) => self.enter(entry, state, request).unwrap_or_else(IntoResponse::into_response),
            None => self.file(name, request),
        }
    }

    /// The document, open to the app that the query names and to nobody else. A problem is framed by nobody.
    fn enter(&self, entry: Entry, state: &AppState, request: &Request) -> Result<Response, Problem> {
        let pages = Pages::of(state, request)?;
        let mut response = self.file(DOCUMENT, request);
        let headers = response.headers_mut();
        match entry {
            Entry::Frame => {
                let policy = format!("{}; frame-ancestors {}", self.policy, pages.ancestors());
                let policy = HeaderValue::from_str(&policy).map_err(|_| table::APP_UNKNOWN)?;
                headers.insert(header::CONTENT_SECURITY_POLICY, policy);
                // It knows no list of origins; where the policy is understood it counts for nothing.
                headers.remove(header::X_FRAME_OPTIONS);
            }
            // With its own opener policy the window would lose the page that opened it.
            Entry::Popup => drop(headers.insert(OPENER_POLICY, HeaderValue::from_static("unsafe-none"))),
        }
        Ok(response)
    }

    fn file(&self, name: &str, request: &Request) -> Response {
        let Some(file) = self.page.files.get(name) else { return Problem::from(table::NOT_FOUND).into_response() };
        match &file.gzip {
            Some(gzip) if takes_gzip(request.headers()) => {
                self.with_headers(name, file.kind, Some("gzip"), gzip.clone())
            }
            _ => self.with_headers(name, file.kind, None, file.bytes.clone()),
        }
    }

    fn with_headers(&self, name: &str, kind: &'static str, encoding: Option<&'static str>, body: Bytes) -> Response {
        let is_worker = name.starts_with(WORKERS);
        let cache = match name.starts_with(HASHED) {
            true => "public, max-age=31536000, immutable",
            // Asked for each time, so that no document outlives the files it names.
            false => "no-cache",
        };
        let mut response = body.into_response();
        response.extensions_mut().insert(OwnHeaders);
        let headers = response.headers_mut();
        let fixed: [(HeaderName, &'static str); 9] = [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, cache),
            (header::VARY, "accept-encoding"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (OPENER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (HeaderName::from_static("origin-agent-cluster"), "?1"),
            (HeaderName::from_static("permissions-policy"), PERMISSIONS),
            (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, if is_worker { &self.csp_worker } else { &self.csp }.clone());
        response
    }
}

/// On an answer that brings its own content policy and caching.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnHeaders;

/// Named without a weight; whoever refuses it with `q=0` gets it too, and there is no such browser.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|one| one.split(';').next().is_some_and(|name| name.trim() == "gzip"))
}

/// Answers what is for the page's host, and hands on everything else.
pub(crate) async fn by_host(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.site() {
        Some(site) if site.is_addressed(request.headers()) => site.answer(&state, &request),
        _ => next.run(request).await,
    }
}
