//! Showing what will be signed, decoded from the very bytes that will be signed.

use std::io::IsTerminal as _;

use pinseal_chains::decode::{Severity, View};

use super::login::confirm;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Output, Style};

/// Shows a view; also in JSON mode on standard error, because nobody should approve what they have not seen.
pub(crate) fn show(view: &View, output: Output) {
    lines(view, output).iter().for_each(|line| output.note(line));
}

/// The lines of a view.
pub(crate) fn lines(view: &View, output: Output) -> Vec<String> {
    let mut lines = vec![output.paint(Style::Bold, &view.title)];
    lines.extend(view.summary.iter().map(|sentence| format!("  {sentence}")));
    let width = view.fields.iter().map(|field| field.label.chars().count()).max().unwrap_or(0);
    lines.extend(view.fields.iter().map(|field| {
        let label = format!("{:<width$}", field.label);
        format!("  {}  {}", output.paint(Style::Dim, label), field.value)
    }));
    lines.extend(view.warnings.iter().map(|warning| match warning.severity {
        Severity::Danger => output.paint(Style::Red, format!("  DANGER: {}", warning.text)),
        Severity::Caution => output.paint(Style::Yellow, format!("  caution: {}", warning.text)),
    }));
    lines
}

/// Asks for approval unless it was given beforehand.
///
/// # Errors
/// Declined, or nobody to ask.
pub(crate) fn approve(yes: bool, output: Output) -> Outcome {
    if yes {
        return Ok(());
    }
    if output.is_json() || !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Declined,
            "not_confirmed",
            "nothing was signed: there is nobody to ask for approval",
        )
        .advise("give --yes to approve beforehand"));
    }
    if confirm("Sign this?", false)? {
        Ok(())
    } else {
        Err(Failure::new(Exit::Declined, "declined", "nothing was signed"))
    }
}
