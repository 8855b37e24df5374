//! `pinseal evidence`: of the service, or of a document in a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use pinseal_attestation::verify::nitro::{NITRO_DOCUMENT_BYTES_MAX, NitroDocument, NitroRoot, authenticate};
use pinseal_attestation::verify::{self, NITRO_STATEMENT, VerifyError};
use pinseal_attestation::{Document, EvidenceKind};
use pinseal_client::evidence::AGE_SECONDS_MAX;
use pinseal_protocol::cosignature::{Quorum, Witness};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::{cbor, manifest};
use serde_json::{Value, json};

use super::connection::{Connection, when};
use crate::args::{ClientArgs, EvidenceArgs};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style, WIDTH, wrapped};
use crate::{context, profile, trouble};

/// Longest file read: a document, or a manifest, and a byte more that shows it is none.
const FILE_BYTES_MAX: u64 = NITRO_DOCUMENT_BYTES_MAX as u64 + 64;

/// Verifies evidence and shows what it says.
///
/// # Errors
/// It is not to be believed.
pub(crate) async fn evidence(arguments: EvidenceArgs, output: Output) -> Outcome {
    match &arguments.file {
        Some(file) => in_file(file, &arguments, output),
        None => of_service(&arguments.client, output).await,
    }
}

async fn of_service(client: &ClientArgs, output: Output) -> Outcome {
    let connection = Connection::open(client, output)?;
    let attested = connection.attest_telling(true).await?;
    let (verified, manifest) = (attested.verified(), attested.manifest());
    output.result(&json!({
        "kind": kind(verified.kind),
        "statement": verified.statement,
        "measurement": verified.measurement.to_string(),
        "time": verified.time.0,
        "nitro": verified.nitro.as_deref().map(stated),
        "deployment": manifest.deployment.to_string(),
        "manifest": manifest.hash().to_string(),
        "configuration": manifest.configuration.to_string(),
        "log_key": manifest.log.to_string(),
        "anchor_level": manifest.anchor.to_string(),
        "floor": manifest.floor.to_string(),
        "witnesses": manifest.witnesses.as_ref().map(quorum),
        "tpm": manifest.tpm.as_ref().map(crate::output::tpm),
        "first_use": attested.is_first_use(),
    }));
    ok(output, "the evidence fits the enclave's manifest and our fresh nonce");
    output.field("kind", kind(verified.kind));
    output.field("image", verified.measurement.to_string());
    output.field("made", when(verified.time.0));
    if let Some(document) = &verified.nitro {
        show(document, output);
    }
    output.field("deployment", manifest.deployment.to_string());
    output.field("manifest", manifest.hash().to_string());
    output.field("log key", manifest.log.to_string());
    output.field("anchor", format!("{} (never below {})", manifest.anchor, manifest.floor));
    if let Some(witnesses) = &manifest.witnesses {
        let (required, named) = (witnesses.required, &witnesses.witnesses);
        output.field("witnesses", format!("{required} of {} cosign every step", named.len()));
        for witness in named {
            output.field("", witness.name.clone());
        }
        output.field("holds while", format!("fewer than {} of them lie or roll back", witnesses.tolerance()));
    }
    if let Some(tpm) = &manifest.tpm {
        output.field("TPM", format!("index 0x{:08x}, attests with", tpm.index));
        output.field("", tpm.attester.to_string());
        output.field("holds while", "that key is a real TPM's, and the TPM itself is not rolled back");
    }
    Ok(())
}

/// For programs.
fn quorum(quorum: &Quorum) -> serde_json::Value {
    let named = quorum.witnesses.iter().filter_map(Witness::verifier_key).map(|key| key.to_string());
    json!({
        "required": quorum.required,
        "tolerance": quorum.tolerance(),
        "verifier_keys": named.collect::<Vec<_>>(),
    })
}

/// Checks a document by hand: all that the client checks of the service's, as far as the command line says what to compare with.
fn in_file(file: &Path, arguments: &EvidenceArgs, output: Output) -> Outcome {
    context::note_flags(&arguments.client);
    let images = profile::nitro_images(&arguments.client)?;
    let user_data = match (&arguments.manifest, &arguments.user_data) {
        (Some(path), _) => Some(manifest::hash_of(&read(path)?).as_bytes().to_vec()),
        (None, Some(text)) => Some(unhex("--user-data", text)?),
        (None, None) => None,
    };
    let nonce = arguments.nonce.as_deref().map(|text| unhex("--nonce", text)).transpose()?;
    let now = UnixSeconds(arguments.at.unwrap_or_else(system_seconds));

    let refused = |error: VerifyError| trouble::document(error, arguments.at.is_none());
    let document = authenticate(&cose(read(file)?)?, &NitroRoot::AWS_G1, now).map_err(|error| refused(error.into()))?;
    verify::check_time(document.time(), now, AGE_SECONDS_MAX).map_err(refused)?;
    compare(&document, user_data.as_deref(), nonce.as_deref()).map_err(refused)?;
    let image = images.find(&document).map_err(refused)?;

    let (bound, fresh) = (user_data.is_some(), nonce.is_some());
    output.result(&json!({
        "kind": kind(EvidenceKind::Nitro),
        "statement": NITRO_STATEMENT,
        "measurement": image.measurement().to_string(),
        "time": document.time().0,
        "checked_at": now.0,
        "compared": { "user_data": bound, "nonce": fresh },
        "nitro": stated(&document),
    }));
    ok(output, "signed by an AWS Nitro hypervisor, its chain complete up to AWS's root");
    ok(output, "every PCR given matches; not in debug mode");
    let about = if arguments.manifest.is_some() { "it is about this manifest" } else { "it states this user data" };
    compared(output, bound, about, "user data", "--manifest FILE or --user-data HEX");
    compared(output, fresh, "it answers this nonce", "nonce", "--nonce HEX");
    output.field("image", image.measurement().to_string());
    output.field("made", when(document.time().0));
    show(&document, output);
    wrapped(NITRO_STATEMENT, WIDTH).iter().for_each(|line| output.note(line));
    if !bound || !fresh {
        output.note(
            output.paint(Style::Yellow, "Not compared with everything: it may be about other keys, or a replay."),
        );
    }
    Ok(())
}

/// What the command line gives must be stated; what it does not give is not looked at.
fn compare(document: &NitroDocument, user_data: Option<&[u8]>, nonce: Option<&[u8]>) -> Result<(), VerifyError> {
    use verify::NitroError::{NonceMissing, UserDataMissing};
    let differs = |wanted: Option<&[u8]>, stated: &Option<Vec<u8>>, missing, other| match (wanted, stated) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(VerifyError::Nitro(missing)),
        (Some(wanted), Some(stated)) if wanted == stated => Ok(()),
        _ => Err(other),
    };
    differs(user_data, &document.user_data, UserDataMissing, VerifyError::UserData)?;
    differs(nonce, &document.nonce, NonceMissing, VerifyError::Nonce)
}

/// The COSE message, bare as AWS gives it or in Pinseal's envelope. The two begin differently.
fn cose(bytes: Vec<u8>) -> Outcome<Vec<u8>> {
    match cbor::from_slice(&bytes) {
        Ok(Document::Nitro { cose }) => Ok(cose),
        Ok(_) => Err(trouble::document(VerifyError::SoftwareEvidenceRefused, false)),
        Err(_) => Ok(bytes),
    }
}

fn ok(output: Output, what: &str) {
    output.line(format!("{} {what}", output.paint(Style::Green, "ok")));
}

fn compared(output: Output, done: bool, what: &str, name: &str, flag: &str) {
    if done {
        ok(output, what);
    } else {
        output.line(format!("{} {name} not compared: give {flag}", output.paint(Style::Yellow, "--")));
    }
}

fn show(document: &NitroDocument, output: Output) {
    output.field("module", &document.module_id);
    // Registers not in use say nothing.
    for (index, value) in document.pcrs.iter().filter(|(_, value)| value.iter().any(|byte| *byte != 0)) {
        output.field(&format!("PCR {index}"), hex::encode(value));
    }
    let optional = |value: &Option<Vec<u8>>| value.as_ref().map_or_else(|| "none".to_owned(), hex::encode);
    output.field("user data", optional(&document.user_data));
    output.field("nonce", optional(&document.nonce));
}

/// All that a document states.
fn stated(document: &NitroDocument) -> Value {
    let pcrs: serde_json::Map<String, Value> =
        document.pcrs.iter().map(|(index, value)| (index.to_string(), hex::encode(value).into())).collect();
    json!({
        "module_id": document.module_id,
        "time_milliseconds": document.time_milliseconds,
        "pcrs": pcrs,
        "public_key": document.public_key.as_ref().map(hex::encode),
        "user_data": document.user_data.as_ref().map(hex::encode),
        "nonce": document.nonce.as_ref().map(hex::encode),
    })
}

const fn kind(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Software => "software",
        EvidenceKind::Nitro => "nitro",
        _ => "unknown",
    }
}

fn unhex(flag: &str, text: &str) -> Outcome<Vec<u8>> {
    hex::decode(text).map_err(|_| Failure::usage(format!("{flag}: `{text}` is not hex")))
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    Ok(bytes)
}

fn system_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
