//! `pinseal sessions`.

use super::connection::{Connection, when};
use super::devices;
use crate::args::ClientArgs;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::trouble;

/// Lists the user's sessions.
///
/// # Errors
/// The server's reason.
pub(crate) async fn list(client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    let sessions = output.progress("listing sessions", connection.api().sessions()).await.map_err(trouble::api)?;
    let items: Vec<_> = sessions
        .iter()
        .map(|session| {
            serde_json::json!({
                "session_id": session.session_id,
                "device": session.device,
                "app_id": session.app_id,
                "created_at": session.created_at,
                "last_used_at": session.last_used_at,
                "current": session.current,
            })
        })
        .collect();
    output.result(&serde_json::json!({ "sessions": items }));
    if output.is_json() {
        return Ok(());
    }
    let app = output.progress("looking up the app", connection.api().app_info()).await.map_err(trouble::api)?;
    let mut rows = vec![["SESSION", "DEVICE", "APP", "SINCE", "LAST USED", ""].map(str::to_owned).to_vec()];
    rows.extend(sessions.iter().map(|session| {
        let device = devices::short(&session.device);
        let here = if session.current { "this one" } else { "" };
        vec![
            session.session_id.clone(),
            device,
            if session.app_id == app.app_id { app.name.clone() } else { session.app_id.clone() },
            when(session.created_at),
            when(session.last_used_at),
            here.to_owned(),
        ]
    }));
    table(&rows).iter().for_each(|line| output.line(line));
    Ok(())
}

/// Ends a session.
///
/// # Errors
/// The server's reason.
pub(crate) async fn revoke(session: String, client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::own(&client, output).await?;
    output.progress("ending the session", connection.api().revoke_session(&session)).await.map_err(trouble::api)?;
    output.result(&serde_json::json!({ "session_id": session, "ended": true }));
    output.line("the session has ended");
    Ok(())
}
