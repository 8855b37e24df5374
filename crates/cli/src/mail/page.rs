//! The mailbox over HTTP: a page for people, JSON for programs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::mailbox::{Mail, Mailbox};
use crate::failure::{Failure, Outcome};

/// Longest wait of one request.
const WAIT_SECONDS_MAX: u64 = 60;

/// Serves the mailbox.
///
/// # Errors
/// The listening socket fails.
pub(super) async fn serve(listener: TcpListener, mailbox: Arc<Mailbox>) -> Outcome {
    let router = Router::new()
        .route("/", get(page))
        .route("/api/messages", get(messages))
        .layer(axum::middleware::from_fn(loopback_only))
        .with_state(mailbox);
    axum::serve(listener, router)
        .await
        .map_err(|error| Failure::failed("mailbox", format!("the mailbox page stopped: {error}")))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    to: Option<String>,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait: u64,
}

async fn messages(State(mailbox): State<Arc<Mailbox>>, Query(wanted): Query<Wanted>) -> Json<Vec<Mail>> {
    let patience = Duration::from_secs(wanted.wait.min(WAIT_SECONDS_MAX));
    Json(mailbox.wait(wanted.to.as_deref(), wanted.after, patience).await)
}

async fn page(State(mailbox): State<Arc<Mailbox>>) -> Html<String> {
    Html(render(&mailbox.list(None, 0)))
}

/// A page of another site must not read codes through a name that resolves to loopback (DNS rebinding).
async fn loopback_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost" | "[::1]") {
        return (StatusCode::MISDIRECTED_REQUEST, "this mailbox answers on 127.0.0.1 only\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

fn render(mails: &[Mail]) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <meta name=viewport content='width=device-width'><title>Pinseal mailbox</title>\
         <style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}\
         article{border:1px solid #8888;border-radius:.5rem;padding:.75rem 1rem;margin:1rem 0}\
         h2{font-size:1rem;margin:0}p{margin:.1rem 0;opacity:.7;font-size:.875rem}\
         pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:.5rem 0 0}b{font-size:1.5rem;letter-spacing:.1em}</style>\
         <h1>Mailbox</h1><p>Every mail this development system sends ends here. Newest first.</p>",
    );
    if mails.is_empty() {
        out.push_str("<article>No mail yet.</article>");
    }
    for mail in mails.iter().rev() {
        let _ = write!(
            out,
            "<article><h2>{}</h2><p>to {} · #{}</p>",
            escape(&mail.subject),
            escape(&mail.to.join(", ")),
            mail.id
        );
        if let Some(code) = &mail.code {
            let _ = write!(out, "<b>{}</b>", escape(code));
        }
        let _ = write!(out, "<pre>{}</pre></article>", escape(&mail.text));
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_cannot_write_markup() {
        let mail = Mail {
            id: 1,
            received_at: 0,
            from: String::new(),
            to: vec!["\"><script>@x".to_owned()],
            subject: "<script>".to_owned(),
            text: "</pre><script>".to_owned(),
            code: None,
        };
        let page = render(&[mail]);
        assert!(!page.contains("<script"), "{page}");
    }
}
