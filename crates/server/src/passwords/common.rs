//! Passwords that are guessed first.
//!
//! The list is Django's (`django/contrib/auth/common-passwords.txt.gz` of 5.2.19, BSD-3-Clause, see `common.LICENSE`), of the twenty thousand most
//! common ones those that a password's form lets pass.

use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::PASSWORD_CHARS;

/// In lower case, sorted.
static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

/// Bytes of a character in lower case: up to three characters of up to four each. Reserved at once, so that no copy is left behind.
const LOWER_BYTES_MAX: usize = 12;
/// Characters of a local part from which on a password must do without it: shorter ones are parts of words.
const LOCAL_CHARS_MIN: usize = 4;

/// True if a guesser tries `password` first: it is common, in whatever case and with whatever sign at its end; or so much of it is the address, or
/// what stands before the address's `@`, that the rest alone would be too short.
pub(super) fn is_guessed_first(password: &str, email: &str) -> bool {
    let mut lower = Zeroizing::new(String::with_capacity(password.chars().count() * LOWER_BYTES_MAX));
    lower.extend(password.chars().flat_map(char::to_lowercase));
    let is_common = |text: &str| COMMON.binary_search(&text).is_ok();
    if is_common(&lower) || is_common(lower.trim_end_matches(|c: char| c.is_ascii_punctuation())) {
        return true;
    }
    let local = email.split(['@', '+']).next().unwrap_or_default();
    let named = [email, local].into_iter().filter(|part| part.chars().count() >= LOCAL_CHARS_MIN);
    named.map(|part| rest(&lower, part)).any(|rest| rest < *PASSWORD_CHARS.start())
}

/// Characters of `text` without `part`; no bound where it is not in it.
fn rest(text: &str, part: &str) -> usize {
    match text.matches(part).count() {
        0 => usize::MAX,
        times => text.chars().count() - times * part.chars().count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_no_password() {
        let guessed = |password: &str| is_guessed_first(password, "ada-lovelace@example.org");
        for password in [
            "password1",
            "Password1",
            "PASSWORD1!",
            "qwerty123",
            "1q2w3e4r5t",
            "abcd1234",
            "ada-lovelace1",
            "2026Ada-Lovelace!",
            "ada-lovelace@example.org7",
        ] {
            assert!(guessed(password), "{password}");
        }
        for password in [
            "correct horse 1",
            "ada-lovelace wrote note 7",
            "lovelace-of-1815",
            "Übung macht 1 Meister",
            "İstanbul'da 34",
        ] {
            assert!(!guessed(password), "{password}");
        }
        // A tag is no part of the name, and a short name is part of many words.
        assert!(is_guessed_first("lovelace1", "lovelace+bank@example.org"));
        assert!(!is_guessed_first("adamantly1", "ada@example.org"));
    }

    #[test]
    fn the_list_is_sorted_and_holds_nothing_that_its_form_refuses() {
        assert!(COMMON.is_sorted_by(|one, next| one < next));
        for password in COMMON.iter() {
            assert!(super::super::has_form(password) && password.to_lowercase() == *password, "{password:?}");
        }
        assert!(COMMON.len() > 5_000);
    }
}
