//! `pinseal resume`: the operators let devices be enrolled again, after the circuit breaker has stopped that for everybody.

use pinseal_protocol::limits::UNENROLLED_OUTSTANDING_MAX;
use serde_json::json;

use super::config::{self, Wanted};
use super::connection::when;
use crate::args::{ConfigChangeArgs, ResumeArgs};
use crate::change::{Described, Question};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::up;

/// Resumes enrolment, or finishes an order that was interrupted.
///
/// # Errors
/// It is not paused, refused, or it cannot be anchored.
pub(crate) async fn resume(arguments: ResumeArgs, output: Output) -> Outcome {
    let arguments = ConfigChangeArgs::from(arguments);
    let order = |described: &Described| order(described, &arguments, output);
    let resumed = up::change(&arguments, output, Question::default(), order).await?.now;
    if let Some((entry, time)) = resumed.paused {
        return Err(Failure::failed(
            "enrolment_paused",
            format!(
                "a change that was interrupted is finished; enrolment is still paused, since log entry {entry} of {}",
                when(time)
            ),
        )
        .advise("run the command again"));
    }
    let breaker = resumed.configuration.breaker;
    output.line(format!("enrolment goes on: it is in the log, and {breaker} more wrong PINs are borne from here"));
    output.line(up::next(&arguments.data, &arguments.pair));
    output.note(config::COPY_TOGETHER);
    output.result(&json!({ "paused": false, "breaker": breaker, "data": arguments.data }));
    Ok(())
}

/// What is ordered, shown to the operators and agreed to.
fn order(described: &Described, arguments: &ConfigChangeArgs, output: Output) -> Outcome<Wanted> {
    let Some((entry, time)) = described.paused else {
        return Err(Failure::new(Exit::Failure, "not_paused", "enrolment is not paused; nothing was changed"));
    };
    if !output.is_json() {
        told(described, entry, time, output);
    }
    config::agree(arguments.yes, "Resume enrolment?", output)?;
    Ok(Wanted { next: described.configuration.clone(), restores: None, resumes: true })
}

fn told(described: &Described, entry: u64, time: u64, output: Output) {
    let breaker = described.configuration.breaker;
    output.field("paused", output.paint(Style::Red, format!("since log entry {entry}, of {}", when(time))));
    output.field("breaker", format!("{breaker} wrong PINs of devices that are not enrolled"));
    output.field(
        "log",
        format!("{} entries, {} since then", described.newest.size, described.newest.size.saturating_sub(entry)),
    );
    let text = format!(
        "Somebody with many logins, or who can mint them, tried PINs at many wallets: {UNENROLLED_OUTSTANDING_MAX} at each at most. Look first where \
         those logins came from; how many attempts were turned away since, `pinseal_enrolments_refused_total` in /metrics told while the \
         service ran. From here on {breaker} more wrong PINs are borne before enrolment pauses again. Owners give their wallets' tries back \
         with `pinseal devices clear`."
    );
    wrapped(&text, WIDTH).iter().for_each(|line| output.line(line));
}
