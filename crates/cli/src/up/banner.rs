//! What a person sees once the system serves.

use super::{Ready, programs};
use crate::data_dir::DataDir;
use crate::output::{Output, Style};

/// E-mail address in the printed commands; `example.org` is nobody's.
const SOMEBODY: &str = "ada@example.org";

pub(super) fn print(output: Output, data: &DataDir, ready: &Ready) {
    let defaults = &ready.defaults;
    output.result(&serde_json::json!({
        "ready": true,
        "data": data.root(),
        "created": ready.is_new,
        "server": defaults.server,
        "wallet": ready.settings.wallet,
        "docs": format!("{}/docs", defaults.server),
        "mailbox": defaults.mailbox,
        "node": defaults.node,
        "app_id": defaults.app_id,
        "app_key": defaults.app_key.expose_secret(),
        "pids": ready.pids,
    }));
    output.line("");
    output.line(output.paint(Style::Green, "Pinseal is running."));
    if ready.is_new {
        output.line("There was no deployment: a new one was made, which nobody has a wallet in.");
    }
    let none = if crate::serve::page::is_built() { "none: --wallet-url" } else { "none: not built into this program" };
    output.field("wallet page", ready.settings.wallet.as_deref().unwrap_or(none));
    output.field("wallet API", &defaults.server);
    output.field("API docs", format!("{}/docs", defaults.server));
    output.field("mailbox", defaults.mailbox.as_deref().unwrap_or("none: mail is sent through your server"));
    output.field("EVM node", defaults.node.as_deref().unwrap_or("none"));
    output.field("data", data.root().display().to_string());
    if defaults.app_id.is_empty() {
        output.line("");
        output.line(format!(
            "Register an app: {} app create --name NAME --server --data {}",
            programs::own_name(),
            data.root().display()
        ));
        output.line("");
        output.line(output.paint(Style::Dim, "Ctrl-C stops it."));
        return;
    }
    output.field("App ID", &defaults.app_id);
    output.field("App Key", defaults.app_key.expose_secret());
    output.line("");
    output.line(
        output.paint(Style::Yellow, "Development: evidence is software evidence and proves nothing about hardware."),
    );
    output.line("");
    output.line("Try it in another terminal:");
    let own = programs::own_name();
    let data_flag = data_flag(data);
    let third = if defaults.node.is_some() { "dev fund" } else { "accounts" };
    for command in [format!("login {SOMEBODY}"), "wallet create".to_owned(), third.to_owned()] {
        output.line(format!("  {}", output.paint(Style::Cyan, format!("{own} {command}{data_flag}"))));
    }
    output.line("");
    output.line("Or ask the API:");
    output.line(format!("  curl -H 'X-Pinseal-App-Id: {}' \\", defaults.app_id));
    output.line(format!("       -H 'X-Pinseal-App-Key: {}' \\", defaults.app_key.expose_secret()));
    output.line(format!("       {}/v1/app/info", defaults.server));
    output.line("");
    output.line(output.paint(Style::Dim, "Ctrl-C stops it."));
}

/// The commands find `./pinseal-data` by themselves; another directory must be named.
fn data_flag(data: &DataDir) -> String {
    let usual = std::path::absolute("pinseal-data").ok();
    if usual.as_deref() == Some(data.root()) { String::new() } else { format!(" --data {}", data.root().display()) }
}
