//! The log: one JSON object per line on standard error, made of fixed words and numbers.

use std::fmt::Write as _;
use std::panic::PanicHookInfo;

/// A value in a log line. `Text` is for words of this program, never for input.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// A count, a length, a code.
    Number(u64),
    /// A name or sentence made here.
    Text(&'a str),
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The normal course.
    Info,
    /// Works, but the operator should know.
    Warn,
    /// The process ends.
    Error,
}

/// Writes one line. A log that cannot be written stops nothing.
pub fn write(level: Level, event: &'static str, fields: &[(&'static str, Field<'_>)]) {
    let line = line(level, event, fields);
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stderr(), rest)) {
            Ok(written @ 1..) => rest = rest.get(written..).unwrap_or(&[]),
            _ => return,
        }
    }
}

/// Makes a panic end the process at once, with its place in the log and without its message, which might quote a value.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map_or(("unknown", 0), |place| (place.file(), place.line()));
        write(Level::Error, "panic", &[("file", Field::Text(place.0)), ("line", Field::Number(place.1.into()))]);
        std::process::abort();
    }));
}

fn line(level: Level, event: &str, fields: &[(&str, Field<'_>)]) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = format!(r#"{{"level":"{level}","process":"enclaved","event":"#);
    quote(&mut line, event);
    for (name, value) in fields {
        line.push(',');
        quote(&mut line, name);
        line.push(':');
        match value {
            Field::Number(number) => line.push_str(&number.to_string()),
            Field::Text(text) => quote(&mut line, text),
        }
    }
    line.push_str("}\n");
    line
}

/// A JSON string (RFC 8259, section 7).
fn quote(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            control if control.is_control() => {
                // Writing to a string does not fail; a control character is below U+10000.
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let fields = [("bytes", Field::Number(7)), ("text", Field::Text("a \"b\" \\ \n c"))];
        assert_eq!(
            line(Level::Warn, "frame", &fields),
            "{\"level\":\"warn\",\"process\":\"enclaved\",\"event\":\"frame\",\"bytes\":7,\"text\":\"a \\\"b\\\" \\\\ \\u000a c\"}\n"
        );
    }
}
