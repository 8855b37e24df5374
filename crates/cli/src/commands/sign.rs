//! `pinseal sign-message` and `pinseal sign-typed-data`.

use std::io::Read as _;
use std::path::Path;

use pinseal_client::intents;
use pinseal_protocol::intent::{Intent, Signed};

use super::connection::{Connection, index};
use super::ready::{self, Purpose};
use super::view;
use crate::args::{PinArgs, SignMessageArgs, SignTypedDataArgs};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::secret;

/// Longest input read; a sealed request has room for less.
const INPUT_BYTES_MAX: u64 = 256 * 1024;

/// Signs a message.
///
/// # Errors
/// Declined, or the enclave's reason.
pub(crate) async fn message(arguments: SignMessageArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    let text = if arguments.message == "-" { read(Path::new("-"))? } else { arguments.message.clone().into_bytes() };
    let message = if arguments.hex { unhex(&text)? } else { text };
    let intent = intents::personal_message(index(arguments.account)?, &message);
    sign(&connection, intent, arguments.yes, &arguments.pin, output).await
}

/// Signs typed data.
///
/// # Errors
/// Not valid, declined, or the enclave's reason.
pub(crate) async fn typed_data(arguments: SignTypedDataArgs, output: Output) -> Outcome {
    let connection = Connection::own(&arguments.client, output).await?;
    let bytes = read(&arguments.file)?;
    let json = String::from_utf8(bytes).map_err(|_| Failure::usage("the typed data is not UTF-8"))?;
    let network = match &arguments.network {
        Some(network) if network.contains(':') => network.clone(),
        Some(name) => connection.network_to_sign(Some(name), arguments.yes).await?.caip2.to_string(),
        None => format!("eip155:{}", domain_chain(&json)?),
    };
    let network: pinseal_client::Network =
        network.parse().map_err(|error| Failure::usage(format!("{network}: {error}")))?;
    let chain = network.chain_id().ok_or_else(|| Failure::usage(format!("{network} is not an EVM network")))?;
    let intent = intents::typed_data(index(arguments.account)?, chain, &json).map_err(|error| {
        Failure::usage(format!("the typed data cannot be signed: {}", crate::deployment::chain(&error)))
            .advise("nothing was signed; ask the app's developer")
    })?;
    sign(&connection, intent, arguments.yes, &arguments.pin, output).await
}

async fn sign(connection: &Connection, intent: Intent, yes: bool, pin: &PinArgs, output: Output) -> Outcome {
    let shown = intents::view(&intent, &[]).map_err(|error| Failure::usage(crate::deployment::chain(&error)))?;
    let attested = connection.attest().await?;
    ready::check(connection, &attested, Purpose::Use).await?;
    view::show(&shown, output);
    view::approve(yes, output)?;
    let pin = secret::pin("PIN: ", pin.pin_fd)?;
    let address = connection.account(intent.account().value()).await?.address;
    let intents = [intent];
    let signed = connection
        .sealed("signing in the enclave", &attested, async |attested| attested.sign(&pin, &intents).await)
        .await?;
    let [Signed::EvmSignature { signature }] = signed.as_slice() else {
        return Err(Failure::failed("signature_missing", "the enclave gave no signature"));
    };
    let signature = format!("0x{}", hex::encode(signature.as_slice()));
    output.result(&serde_json::json!({ "address": address.to_string(), "signature": signature }));
    output.field("signer", address.to_string());
    output.field("signature", &signature);
    Ok(())
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("the input is longer than {INPUT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn unhex(text: &[u8]) -> Outcome<Vec<u8>> {
    let text = std::str::from_utf8(text).map_err(|_| Failure::usage("the message is not hex"))?.trim();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|_| Failure::usage("the message is not hex"))
}

/// The domain's chain id, where the person names no network.
fn domain_chain(json: &str) -> Outcome<u64> {
    let unclear = || Failure::usage("the typed data names no chain").advise("give --network");
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| Failure::usage(format!("the typed data is not JSON: {error}")))?;
    let chain = value.get("domain").and_then(|domain| domain.get("chainId")).ok_or_else(unclear)?;
    let parsed = match chain {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
        _ => None,
    };
    parsed.ok_or_else(unclear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_read_however_apps_write_it() {
        for json in [
            r#"{"domain":{"chainId":31337}}"#,
            r#"{"domain":{"chainId":"31337"}}"#,
            r#"{"domain":{"chainId":"0x7a69"}}"#,
        ] {
            assert_eq!(domain_chain(json).ok(), Some(31_337));
        }
        for json in ["", "{}", r#"{"domain":{}}"#, r#"{"domain":{"chainId":-1}}"#] {
            assert!(domain_chain(json).is_err());
        }
    }
}
