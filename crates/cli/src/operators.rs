//! What only the operators can do: order what the enclave does to the deployment itself.

use argon2::{Algorithm, Argon2, Params, Version};
use pinseal_client::SecretText;
use pinseal_protocol::ids::{Hash32, UnixSeconds};
use pinseal_protocol::order::{ORDER_COST, ORDER_VERSION, Order, SignedOrder};
use pinseal_protocol::secret::SecretBytes;

use crate::change::Described;
use crate::commands::config::Wanted;
use crate::failure::{Failure, Outcome};

/// Orders what is wanted of what was described, under the sealing passphrase.
///
/// # Errors
/// No randomness, or no memory for Argon2id.
pub(crate) fn order(
    described: &Described,
    wanted: &Wanted,
    passphrase: &SecretText,
    now: UnixSeconds,
) -> Outcome<SignedOrder> {
    let Wanted { next, restores, resumes } = wanted;
    let mut salt = Hash32([0; 32]);
    getrandom::fill(&mut salt.0).map_err(|error| Failure::failed("randomness", format!("no randomness: {error}")))?;
    let order = Order {
        version: ORDER_VERSION,
        deployment: next.deployment,
        root: described.root,
        previous: described.configuration.hash(),
        configuration: next.hash(),
        checkpoint: described.newest.hash(),
        time: now,
        restores: *restores,
        resumes: *resumes,
    };
    Ok(order.sign(salt, &stretch(passphrase, &salt)?))
}

fn stretch(passphrase: &SecretText, salt: &Hash32) -> Outcome<SecretBytes<32>> {
    let failed =
        |error: argon2::Error| Failure::failed("argon2", format!("the passphrase cannot be stretched: {error}"));
    let params = Params::new(ORDER_COST.memory_kib, ORDER_COST.passes, ORDER_COST.lanes, Some(32)).map_err(failed)?;
    let mut out = SecretBytes::zeroed();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose_secret().as_bytes(), &salt.0, out.expose_secret_mut())
        .map_err(failed)?;
    Ok(out)
}
