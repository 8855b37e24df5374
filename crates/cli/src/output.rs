//! What a command prints: results on standard output, progress on standard error.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pinseal_protocol::tpm::Tpm;

/// Columns that prose is broken for: those of the narrowest terminal that is usual, and room for an indent.
pub(crate) const WIDTH: usize = 76;

/// How long a step may take before a person is told what is going on.
const QUIET: Duration = Duration::from_millis(700);

/// Style of a piece of text; nothing but weight and the four colours every terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Weight only.
    Bold,
    /// Less important.
    Dim,
    /// Went well.
    Green,
    /// Needs attention.
    Yellow,
    /// Went wrong.
    Red,
    /// Names and addresses.
    Cyan,
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
    live: bool,
    silent: bool,
}

impl Output {
    /// Looks at the terminal once. `NO_COLOR` (any value) and a dumb terminal switch colours off.
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = !plain && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { json, colour, live: !json && std::io::stderr().is_terminal(), silent: false }
    }

    /// The same terminal, without a word to it.
    pub(crate) const fn silenced(self) -> Self {
        Self { json: false, live: false, silent: true, ..self }
    }

    /// True if the result is to be one JSON value.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// True if remarks for people appear on a terminal, where somebody may read them.
    pub(crate) const fn is_seen(self) -> bool {
        self.live
    }

    /// Styled text where the terminal shows it, plain text elsewhere.
    pub(crate) fn paint(self, style: Style, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if !self.colour {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Red => "31",
            Style::Cyan => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// One line for people; nothing in JSON mode.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        if !self.json && !self.silent {
            print_line(text.as_ref());
        }
    }

    /// `label   value` with aligned values.
    pub(crate) fn field(self, label: &str, value: impl AsRef<str>) {
        let label = format!("{label:<12}");
        self.line(format!("  {} {}", self.paint(Style::Dim, label), value.as_ref()));
    }

    /// The result for programs; nothing in text mode.
    pub(crate) fn result(self, value: &serde_json::Value) {
        if self.json {
            print_line(&value.to_string());
        }
    }

    /// A remark for people, beside the result.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.json && !self.silent {
            let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
        }
    }

    /// The same for programs, as one JSON value on a line of standard error; nothing in text mode.
    pub(crate) fn notice(self, code: &str, text: &str) {
        if self.json {
            let notice = serde_json::json!({ "notice": { "code": code, "message": text } });
            let _ = writeln!(std::io::stderr(), "{notice}");
        }
    }

    /// [`Self::note`] for people, [`Self::notice`] for programs.
    pub(crate) fn remark(self, code: &str, text: impl AsRef<str>) {
        self.notice(code, text.as_ref());
        self.note(text);
    }

    /// Awaits `work`; says what is going on if that takes longer than a moment.
    pub(crate) async fn progress<T>(self, label: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(QUIET) => {}
        }
        if !self.live {
            self.note(format!("{label} ..."));
            return work.await;
        }
        let spinner = ProgressBar::new_spinner();
        spinner.set_style(
            ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        spinner.set_message(label.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(120));
        let done = work.await;
        spinner.finish_and_clear();
        done
    }
}

/// A closed pipe (`| head`) is not our failure.
fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Breaks a sentence between words so that no line is longer than `width`, unless a single word is.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Columns padded to their widest cell, two spaces apart.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// A TPM, for programs.
pub(crate) fn tpm(tpm: &Tpm) -> serde_json::Value {
    serde_json::json!({ "attestation_key": tpm.attester.to_string(), "index": tpm.index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible", 4), ["incomprehensible"]);
        assert!(wrapped("", 4).is_empty());
    }

    #[test]
    fn columns_line_up_and_lines_do_not_end_in_spaces() {
        let rows = [vec!["a".to_owned(), "long".to_owned(), "x".to_owned()], vec!["bbb".to_owned(), "s".to_owned()]];
        assert_eq!(table(&rows), ["a    long  x", "bbb  s"]);
    }
}
