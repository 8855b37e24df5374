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
    for field in &view.fields {
        let label = format!("{:<width$}", field.label);
        let mut parts = field.value.split('\n');
        let first = parts.next().unwrap_or_default();
        lines.push(format!("  {}  {first}", output.paint(Style::Dim, label)));
        // A text of several lines stands behind a bar, so that none of them is taken for a line of the view.
        lines.extend(parts.map(|part| format!("  {:width$}| {part}", "")));
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use pinseal_chains::decode::{Context, Native, view};
    use pinseal_protocol::intent::{AccountIndex, Intent};

    use super::*;

    /// A message can say whatever it likes, also what a view says.
    #[test]
    fn no_line_of_a_text_is_taken_for_a_line_of_the_view() {
        let forged = "I owe M.\n\nSign a message\n  Message  Hello\n  Account  m/44'/60'/0'/0/0";
        let intent = Intent::EvmPersonalMessage {
            account: AccountIndex::new(0).unwrap(),
            message: forged.as_bytes().to_vec().into(),
        };
        let native = Native { symbol: "ETH".to_owned(), decimals: 18 };
        let view = view(&intent, &Context { native: &native, tokens: &[] }).unwrap();
        let lines = lines(&view, Output::new(false));
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:#?}");
        let (said, own): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.trim_start().starts_with("| "));
        assert_eq!(said.len(), 4, "{lines:#?}");
        assert!(own.iter().filter(|line| line.contains("Sign a message")).count() == 1, "{lines:#?}");
        let bar = own.iter().find(|line| line.contains("I owe M.")).unwrap().find("I owe").unwrap();
        assert!(said.iter().all(|line| line.find("| ") == Some(bar - 2)), "{lines:#?}");
    }
}
