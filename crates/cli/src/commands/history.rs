//! `pinseal history`.

use std::collections::HashMap;

use pinseal_client::History;
use pinseal_client::history::{Attempt, AttemptResult, Event, EventKind};
use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::request::Method;

use super::connection::{Connection, when};
use super::devices::{self, printable};
use crate::args::HistoryArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style, table};
use crate::{context, trouble};

/// Lists the attempts on the wallet's key, newest first, and the enclave's starts among them.
///
/// # Errors
/// The enclave's or the host's reason; or what the host shows is not the wallet's history.
pub(crate) async fn list(arguments: HistoryArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    let limit = (!arguments.all).then_some(arguments.limit);
    let mut attested = connection.attest().await?;
    let label = "fetching and checking the history";
    let mut shown = output.progress(label, attested.history(limit)).await;
    if shown.as_ref().is_err_and(|error| error.wants_new_evidence()) {
        attested = connection.attest().await?;
        shown = output.progress(label, attested.history(limit)).await;
    }
    let history = shown.map_err(trouble::history)?;
    let status = devices::status(&connection, &attested).await?.status;
    let profile = connection.client.profile().await;
    let own = profile.map_err(|error| Failure::failed("profile", crate::deployment::chain(&error)))?.device.id();
    let labels = status.devices.into_iter().map(|device| (device.device, printable(&device.label))).collect();
    let people = People { own, labels };

    output.result(&json(&history, &people));
    let mut lines = table(&rows(&history, &people)).into_iter();
    if let Some(head) = lines.next() {
        output.line(head);
    }
    for (line, moment) in lines.zip(moments(&history)) {
        output.line(match moment {
            Moment::Attempt(attempt) if attempt.result == AttemptResult::Wrong => output.paint(Style::Red, line),
            Moment::Attempt(attempt) if is_settled(attempt.result) => line,
            Moment::Attempt(_) => output.paint(Style::Yellow, line),
            Moment::Event(_) => output.paint(Style::Dim, line),
        });
    }
    output.line(format!("{} {}", output.paint(Style::Green, "ok"), verdict(&history)));
    Ok(())
}

/// Whose devices are whose.
struct People {
    own: DeviceId,
    labels: HashMap<DeviceId, String>,
}

impl People {
    fn name(&self, device: &DeviceId) -> String {
        self.labels.get(device).cloned().unwrap_or_else(|| devices::short(&device.to_string()))
    }

    /// What a person looks for first: was it this device, or one that is not theirs (any more)?
    fn standing(&self, device: &DeviceId) -> &'static str {
        if *device == self.own {
            "this one"
        } else if self.labels.contains_key(device) {
            ""
        } else {
            "not enrolled"
        }
    }
}

/// One line.
#[derive(Clone, Copy)]
enum Moment<'a> {
    Attempt(&'a Attempt),
    Event(&'a Event),
}

/// Attempts and events as they follow one another in the log, newest first.
fn moments(history: &History) -> Vec<Moment<'_>> {
    let attempts = history.attempts.iter().map(|attempt| (attempt.index, Moment::Attempt(attempt)));
    let events = history.events.iter().map(|event| (event.index, Moment::Event(event)));
    let mut all: Vec<_> = attempts.chain(events).collect();
    all.sort_by_key(|(index, _)| core::cmp::Reverse(*index));
    all.into_iter().map(|(_, moment)| moment).collect()
}

fn rows(history: &History, people: &People) -> Vec<Vec<String>> {
    let mut rows = vec![["WHEN", "WHAT", "RESULT", "DEVICE", ""].map(str::to_owned).to_vec()];
    rows.extend(moments(history).into_iter().map(|moment| match moment {
        Moment::Attempt(attempt) => vec![
            when(attempt.time.0),
            what(attempt.method).to_owned(),
            result(attempt.result).to_owned(),
            people.name(&attempt.device),
            people.standing(&attempt.device).to_owned(),
        ],
        Moment::Event(event) => match event.kind {
            EventKind::Boot { time } => vec![when(time.0), "(the service started)".to_owned()],
            EventKind::Configured { time, .. } => vec![when(time.0), changed(history, event)],
            EventKind::Paused { time } => vec![when(time.0), "(enrolment paused: too many wrong PINs)".to_owned()],
            _ => vec!["-".to_owned(), "(a newer pinseal knows what)".to_owned()],
        },
    }));
    rows
}

/// What an entry of a changed configuration comes to: how many restores there were before says the one before it.
fn changed(history: &History, event: &Event) -> String {
    let restores = |event: &Event| match event.kind {
        EventKind::Configured { restores, .. } => Some(restores),
        _ => None,
    };
    let now = restores(event).unwrap_or(0);
    let before = history.events.iter().filter(|older| older.index < event.index).find_map(restores);
    match before {
        Some(before) if now > before => format!("(restore {now}: the operators put an older state back)"),
        None if now == 1 => "(restore 1: the operators put an older state back)".to_owned(),
        _ if matches!(event.kind, EventKind::Configured { resumed: true, .. }) => {
            "(the operators resumed enrolment)".to_owned()
        }
        _ => "(the configuration was changed)".to_owned(),
    }
}

/// What the PIN was given for.
const fn what(method: Method) -> &'static str {
    match method {
        Method::RegisterPrepare => "create the wallet",
        Method::RegisterConfirm => "confirm its PIN",
        Method::VerifyPin => "check the PIN",
        Method::Sign => "sign",
        Method::ChangePinPrepare => "change the PIN",
        Method::ChangePinConfirm => "confirm the new PIN",
        Method::EnrolDevice => "enrol the device",
        Method::RevokeDevice => "revoke a device",
        Method::ClearTries => "give tries back",
        Method::AcceptRestore => "accept a restore",
        // None of these is ever charged.
        Method::Status | Method::ListAccounts | Method::OpenHistory => "read",
    }
}

const fn result(result: AttemptResult) -> &'static str {
    match result {
        AttemptResult::Prepared => "prepared",
        AttemptResult::Right => "right PIN",
        AttemptResult::Wrong => "WRONG PIN",
        AttemptResult::Fault => "service fault",
        AttemptResult::Unanswered => "never answered",
        AttemptResult::Accepted => "accepted",
    }
}

const fn is_settled(result: AttemptResult) -> bool {
    matches!(result, AttemptResult::Prepared | AttemptResult::Right | AttemptResult::Wrong | AttemptResult::Accepted)
}

/// What was verified, and what was not.
fn verdict(history: &History) -> String {
    let History { checkpoint, writes, proven, .. } = history;
    if history.is_complete {
        format!("{proven} of {writes} writes of this wallet proven in the log of checkpoint {checkpoint}; complete")
    } else {
        format!(
            "the newest {proven} of {writes} writes of this wallet proven in the log of checkpoint {checkpoint}, none left out; the \
             older ones: `{}`",
            context::command("history --all")
        )
    }
}

fn json(history: &History, people: &People) -> serde_json::Value {
    let attempt = |attempt: &Attempt| {
        serde_json::json!({
            "time": attempt.time.0,
            "operation": attempt.method.name(),
            "result": match attempt.result {
                AttemptResult::Prepared => "prepared",
                AttemptResult::Right => "right_pin",
                AttemptResult::Wrong => "wrong_pin",
                AttemptResult::Fault => "service_fault",
                AttemptResult::Unanswered => "never_answered",
                AttemptResult::Accepted => "accepted",
            },
            "device": attempt.device.to_string(),
            "label": people.labels.get(&attempt.device),
            "current": attempt.device == people.own,
            "version": attempt.version,
            "log_index": attempt.index,
        })
    };
    let event = |event: &Event| match event.kind {
        EventKind::Boot { time } => serde_json::json!({ "kind": "boot", "time": time.0, "log_index": event.index }),
        EventKind::Paused { time } => {
            serde_json::json!({ "kind": "enrolment_paused", "time": time.0, "log_index": event.index })
        }
        EventKind::Configured { restores, term, time, resumed } => {
            serde_json::json!({
                "kind": "configured", "term": term.to_string(), "restores": restores, "resumed": resumed, "time": time.0,
                "log_index": event.index,
            })
        }
        _ => serde_json::json!({ "kind": "unknown", "log_index": event.index }),
    };
    serde_json::json!({
        "attempts": history.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "events": history.events.iter().map(event).collect::<Vec<_>>(),
        "writes": history.writes,
        "proven": history.proven,
        "complete": history.is_complete,
        "checkpoint": history.checkpoint,
        "log_entries": history.size,
    })
}
