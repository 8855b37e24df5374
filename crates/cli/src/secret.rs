//! PINs, passwords and passphrases: asked for without echo, or read from a descriptor; never from arguments or environment.

use std::io::IsTerminal as _;
use std::os::fd::RawFd;

use pinseal_client::{NewPin, Pin, PinError, SecretText};
use serde::Serializer;

use crate::failure::{Exit, Failure, Outcome};
use crate::fd;

/// Reads a secret once.
///
/// # Errors
/// No terminal and no descriptor, or the descriptor holds nothing usable.
pub(crate) fn ask(prompt: &str, what: &str, flag: &str, descriptor: Option<RawFd>) -> Outcome<SecretText> {
    if let Some(number) = descriptor {
        return fd::secret(number, what);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("there is no terminal to ask for the {what}"))
            .advise(format!("give it on a file descriptor: {flag} N")));
    }
    let answer = rpassword::prompt_password(prompt).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => input_ended(),
        _ => Failure::failed("terminal", format!("cannot read from the terminal: {error}")),
    })?;
    let answer = SecretText::new(answer);
    if answer.expose_secret().is_empty() {
        return Err(Failure::usage(format!("no {what} was given")));
    }
    Ok(answer)
}

/// Reads a secret that is being set: twice on a terminal, once from a descriptor.
///
/// # Errors
/// As [`ask`], or the two differ.
pub(crate) fn ask_new(prompt: &str, what: &str, flag: &str, descriptor: Option<RawFd>) -> Outcome<SecretText> {
    let first = ask(prompt, what, flag, descriptor)?;
    if descriptor.is_none() {
        let second = ask(&format!("{} again: ", prompt.trim_end_matches([':', ' '])), what, flag, None)?;
        if !first.equals(&second) {
            return Err(Failure::usage(format!("the two entries of the {what} differ; nothing was sent")));
        }
    }
    Ok(first)
}

/// Reads a PIN that exists already.
///
/// # Errors
/// As [`ask`], or it cannot be a PIN; nothing was sent and no try was used.
pub(crate) fn pin(prompt: &str, descriptor: Option<RawFd>) -> Outcome<Pin> {
    let text = ask(prompt, "PIN", "--pin-fd", descriptor)?;
    Pin::parse(text.expose_secret()).map_err(refused)
}

/// Reads a PIN that is being set, the second entry compared to the first.
///
/// # Errors
/// As [`ask_new`], or it cannot be a PIN or is too easy to guess.
pub(crate) fn new_pin(prompt: &str, flag: &str, descriptor: Option<RawFd>) -> Outcome<NewPin> {
    let text = ask_new(prompt, "PIN", flag, descriptor)?;
    Pin::parse(text.expose_secret()).and_then(NewPin::choose).map_err(refused)
}

/// Reads a PIN and the one that is to replace it.
///
/// # Errors
/// As [`pin`] and [`new_pin`], or the two are the same: the enclave would count a change that changes nothing.
pub(crate) fn changed_pin(descriptor: Option<RawFd>, new_descriptor: Option<RawFd>) -> Outcome<(Pin, NewPin)> {
    let old = ask("Present PIN: ", "PIN", "--pin-fd", descriptor)?;
    let pin = Pin::parse(old.expose_secret()).map_err(refused)?;
    let new = ask_new("New PIN: ", "PIN", "--new-pin-fd", new_descriptor)?;
    let new_pin = Pin::parse(new.expose_secret()).and_then(NewPin::choose).map_err(refused)?;
    if old.equals(&new) {
        return Err(Failure::usage("the new PIN is the present one; nothing was sent and no try was used"));
    }
    Ok((pin, new_pin))
}

/// For `serialize_with`: into a file of its owner's alone, or onto a pipe between two of our processes.
pub(crate) fn write<S: Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// The person ended the input (Ctrl-D) instead of answering.
pub(crate) fn input_ended() -> Failure {
    Failure::new(Exit::Declined, "input_ended", "the input ended before an answer; nothing was done")
}

fn refused(error: PinError) -> Failure {
    Failure::usage(format!("{error}; nothing was sent and no try was used"))
}
