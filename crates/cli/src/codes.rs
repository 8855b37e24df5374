//! What the codes of this program mean that no other table of docs/errors.md has; that page is compared with the sources here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Code, and what it means.
const CODES: &[(&str, &str)] = &[
    (
        "usage",
        "The command line asks for something that makes no sense, or something it needs is missing. Nothing was done.",
    ),
    // Of whoever runs a deployment.
    ("already_running", "Another `pinseal up`, `init`, `config change` or `restore` works on this data directory."),
    ("anchor", "The anchor's file, or the disk that it lies on, cannot be read or written."),
    ("app", "An app could not be registered or changed; the sentence says why."),
    ("argon2", "The machine has no memory for stretching the passphrase."),
    ("backup", "A backup was not made; the sentence says why. Nothing of it is left, and nothing else was changed."),
    (
        "boot",
        "Enclave and host could not start together, for a reason that has no code of its own. Nothing was overwritten.",
    ),
    (
        "broadcast_refused",
        "A transaction was signed and not sent: the service says so, and may carry it out all the same, or it was not given it.",
    ),
    ("change", "A change of the configuration, or a restore, failed; the sentence says what became of the order."),
    ("changed", "An interrupted change was finished by this start of `pinseal serve`: start enclave and host again."),
    ("child_ended", "A process that `pinseal up` started ended by itself; the end of its log is in the sentence."),
    ("configuration", "`server.toml`, or what is sealed, cannot be used as it is. Mend it; nothing was started."),
    ("creation", "The deployment was not made. Nothing that existed was overwritten."),
    ("database", "The database cannot be opened or read."),
    ("descriptor", "A file descriptor that was named or handed on cannot be used."),
    ("descriptors", "The system allows too few open files for the connections that `server.toml` allows."),
    (
        "enclave_stopped",
        "The enclave does not serve any more, or the anchor or the database failed under it. No PIN was judged meanwhile.",
    ),
    (
        "enclave_halted",
        "The enclave stopped for a reason that this release has no name for: use one release of both programs.",
    ),
    ("enclave_unreachable", "No enclave answers at that socket."),
    ("exists", "There is a deployment, or a witness, already. Nothing was changed."),
    ("exposed", "Others could read or write a file or directory that must be its owner's alone."),
    ("file", "A file cannot be read or written."),
    ("guard", "A child could not be tied to its parent, so it was not started."),
    ("host", "The host process ended or said something unexpected; see its log."),
    ("host_silent", "Enclave and host do not start serving within the time they have."),
    ("interrupted", "Told to stop, or the work was cut off."),
    ("issuer_key", "The token issuer's key cannot be read or made."),
    (
        "issuer_unknown",
        "The sealed configuration does not trust this server's token issuer: `server.toml` is of another deployment.",
    ),
    (
        "memory",
        "The system does not keep this program's memory from other processes and out of core images. Nothing was read.",
    ),
    ("networks", "The registry of networks, or a node's URL in it, is not usable."),
    ("node_missing", "There is no local EVM node."),
    ("node_silent", "The local EVM node does not start serving."),
    ("not_confirmed", "There is nobody to ask, and nothing agreed to it beforehand: `--yes`. Nothing was changed."),
    ("declined", "Somebody said no. Nothing was changed, signed or accepted."),
    ("not_initialised", "There is no deployment, or no witness, in that directory."),
    ("not_paused", "Enrolment is not paused, so there is nothing to resume."),
    ("passphrase_empty", "The file of the stored passphrase is empty."),
    ("port_busy", "Another process listens on that port."),
    ("program", "The program cannot find its own file."),
    ("program_missing", "A program that is needed is not installed."),
    ("randomness", "The system gives no randomness."),
    ("restarts_used_up", "Enclave and host were started again as often as allowed within an hour: find out why first."),
    (
        "restored_since",
        "The anchor holds that restore, or a later one, and this is not its newest state. Nothing was overwritten.",
    ),
    ("runtime", "The program cannot start its threads."),
    ("server", "The HTTP server failed, or could not be set up."),
    ("start", "A process could not be started."),
    ("stop", "A process did not stop in time."),
    ("tpm", "The TPM does not answer, refuses, or is another one. Nothing was overwritten."),
    ("witness", "A witness's key or file cannot be made or read, or it refuses that log."),
    ("witnesses", "Too few witnesses answer, or they do not know the log: the sentence names each with its reason."),
    // Of whoever uses a wallet by the command line.
    ("account_exists", "That address has an account already."),
    ("address_refused", "An address that the service shows is not the enclave's: do not enter a PIN."),
    ("answer_refused", "An answer of the service is not what it must be: do not enter a PIN."),
    ("client", "The client cannot be set up."),
    ("client_outdated", "This program is too old for the service: update it."),
    ("decimals_differ", "The token has other decimals than those that were given. Nothing was signed."),
    ("demo", "The demonstration did not go as it must."),
    (
        "deployment_changed",
        "The service is another deployment than the one this profile trusts, or promises less: do not enter a PIN.",
    ),
    ("evidence_refused", "The enclave's evidence is not to be believed: no PIN is asked for."),
    ("fee_too_high", "The fee may become more than what is allowed. Nothing was signed."),
    ("fees_rising", "Fees rose again and again while the transaction was looked at. Nothing was signed."),
    ("fund", "The local node gave no test coins."),
    ("gas_too_high", "The transaction wants more gas than what is allowed for it. Nothing was signed."),
    ("http", "HTTP cannot be set up."),
    ("input_ended", "The input ended before an answer. Nothing was done."),
    ("mail_missing", "The expected mail did not come."),
    ("mailbox", "The mailbox page answers with something unexpected."),
    ("mailbox_missing", "This system sends its mail through another server, so there is no mailbox to look into."),
    ("mailbox_unreachable", "The mailbox page does not answer."),
    ("mailbox_url", "The mailbox's address is no URL."),
    ("not_logged_in", "Nobody is logged in under this profile."),
    ("not_mined_yet", "The transaction was sent and is in no block so far: do not send it again."),
    ("not_replaceable", "No transaction of that hash waits in this account."),
    ("nothing_restored", "The operators have put no older state back, so there is nothing to accept."),
    ("nonce_taken", "Another transaction was signed with the same nonce meanwhile. Nothing was sent."),
    ("nothing_trusted", "This profile trusts no enclave image yet."),
    ("operation", "The operation failed for a reason that has no code of its own."),
    (
        "password_unset",
        "The address is confirmed, and has no password: somebody else signed up with it too. One is chosen by a reset.",
    ),
    ("payment_beside", "Said beside the result: an earlier transaction waits, and this one goes beside it."),
    ("payment_again", "Said beside the result: the same was carried out before."),
    ("payment_instead", "Said beside the result: this one takes the place of an earlier transaction."),
    (
        "payment_unreplaced",
        "Said beside the result: an earlier transaction, which may be carried out yet, is not replaced by this one.",
    ),
    (
        "payment_unsettled",
        "A payment signed earlier may be carried out beside this one, or was, and its owner may believe that it failed, or was not told. The new one was not sent.",
    ),
    (
        "payments_unsettled_max",
        "256 transactions of the wallet, signed on this device, are not settled, as far as it has asked. Nothing was signed, or nothing sent.",
    ),
    ("profile", "The profile's files cannot be used."),
    ("profile_foreign", "The profile found here belongs to another service."),
    (
        "protection_changed",
        "What protects a PIN was changed. As an error: while the command ran, and no PIN was given to what runs now.",
    ),
    ("reply_lost", "No reply came: a try may have been counted. `pinseal status` tells."),
    ("sent_not_followed", "The transaction was sent, and what became of it cannot be asked: do not send it again."),
    ("service_answer", "The service, or something in front of it, answers with something that it never says."),
    ("service_fault", "The service failed after a try was counted, and the PIN was not judged."),
    ("session_ended", "The session has ended: log in again."),
    ("signature_missing", "The enclave gave no signature."),
    ("terminal", "The terminal cannot be read."),
    ("token_unknown", "There is no such token on that network."),
    ("transaction", "The transaction was not made, for a reason that has no code of its own."),
    ("transaction_failed", "The transaction was mined and reverted; its fee is paid."),
    ("transaction_gone", "The transaction was dropped or replaced."),
    (
        "transaction_refused",
        "What the service proposes to sign, or shows in its place, is not what was asked for. Nothing was signed.",
    ),
    ("transaction_signed", "Said beside the result: a transaction was signed, and is about to be sent."),
    ("unreachable", "The service does not answer."),
    ("user_changed", "Somebody else logged in on the profile while the command ran: it did not go on for them."),
    ("wallet_other", "The login leads to another wallet than the one whose address was given. No PIN was given."),
    ("wrong_pin", "The PIN was wrong; the try is gone."),
];

/// Compares a part of docs/errors.md with what the code says. `UPDATE=1` rewrites it.
fn is_committed(section: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let parts = page.split_once(&format!("<!-- generated: {section} -->\n"));
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(&format!("<!-- end: {section} -->"))?)));
    let (before, (committed, after)) = parts.unwrap_or_else(|| panic!("docs/errors.md lacks the part {section}"));
    if committed != table && std::env::var_os("UPDATE").is_some() {
        let page = format!("{before}<!-- generated: {section} -->\n{table}<!-- end: {section} -->{after}");
        assert!(std::fs::write(&path, page).is_ok(), "{} is not written", path.display());
        return;
    }
    assert!(
        committed == table,
        "docs/errors.md is not what the code says; run with UPDATE=1 and look at the difference"
    );
}

/// Codes that the sources give by name.
fn given() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        for call in ["Failure::failed(", "Failure::new(", "distrust(", "declined(", "notice(", "remark("] {
            codes.extend(text.split(call).skip(1).filter_map(|rest| code_of(call, rest)));
        }
    }
    codes
}

/// The code in a call's arguments, where it is a literal.
fn code_of(call: &str, arguments: &str) -> Option<String> {
    let place = if call == "Failure::new(" { arguments.split_once(',')?.1 } else { arguments };
    let code = place.trim_start().strip_prefix('"')?.split_once('"')?.0;
    code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_').then(|| code.to_owned())
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let listed = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    listed.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

#[test]
fn the_tables_of_this_programs_codes_are_the_committed_ones() {
    is_committed("halts", &crate::serve::reasons::table());
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    CODES.iter().for_each(|(code, meaning)| table.push_str(&format!("| `{code}` | {meaning} |\n")));
    is_committed("program", &table);
}

#[test]
fn every_code_that_the_sources_name_is_explained_and_no_other() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md")).unwrap_or_default();
    let given = given();
    assert!(given.len() > 80, "{given:?}");
    let unexplained: Vec<_> = given.iter().filter(|code| !page.contains(&format!("| `{code}` |"))).collect();
    assert!(unexplained.is_empty(), "not in docs/errors.md: {unexplained:?}");
    // Those whose code is no literal beside its call.
    let elsewhere = ["usage", "enclave_halted", "reply_lost"];
    let idle: Vec<_> = CODES
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !given.contains(*code) && !elsewhere.contains(code))
        .collect();
    assert!(idle.is_empty(), "given by nothing: {idle:?}");
}
