//! Foreign text made safe to show.

/// Escapes what does not show or changes how the rest is read, and the backslash, so that no two texts look alike for it.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_hidden(character) => out.push_str(&format!("\\u{{{:x}}}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out
}

/// As [`escape`], with line breaks kept, for text of several lines.
pub(super) fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// Whether a character other than a line break or a tab is hidden.
pub(super) fn has_hidden(text: &str) -> bool {
    text.chars().any(|character| !matches!(character, '\n' | '\r' | '\t') && is_hidden(character))
}

/// Control characters, zero-width and direction characters, line and paragraph separators, tags, fillers and
/// non-characters. A fixed list, so that every implementation has the same one.
const fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(escape("pay\u{202e}evil"), "pay\\u{202e}evil");
        assert_eq!(escape("a\0b\u{200b}c\u{2066}d"), "a\\u{0}b\\u{200b}c\\u{2066}d");
        assert_eq!(escape("two\nlines\tand\rmore"), "two\\nlines\\tand\\rmore");
        assert_eq!(escape_lines("two\nlines\r"), "two\nlines\\r");
    }

    #[test]
    fn an_escape_cannot_be_forged() {
        assert_ne!(escape("\\u{202e}"), escape("\u{202e}"));
        assert_ne!(escape("\\n"), escape("\n"));
    }

    #[test]
    fn ordinary_text_of_any_script_stays() {
        let text = "Grüße, 안녕, مرحبا, שלום, 🎉";
        assert_eq!(escape(text), text);
        assert!(!has_hidden(text));
    }
}
