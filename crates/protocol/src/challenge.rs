//! Layout of a challenge, as far as a client reads it.

use crate::ids::Version;

/// Counter, expiry, version, 8 bytes each and big-endian, and 32 bytes of MAC over these and what it is bound to.
pub const CHALLENGE_BYTES: usize = 56;

/// The version of the record that a challenge is bound to. Believed only out of a signed begin reply or an opened sealed reply.
///
/// At most one request is decided for each version: two challenges of one version are two chances for the same try, never for two.
pub fn version(challenge: &[u8]) -> Option<Version> {
    let challenge: &[u8; CHALLENGE_BYTES] = challenge.try_into().ok()?;
    let (_, rest) = challenge.split_at(16);
    Some(Version(u64::from_be_bytes(*rest.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_third_number_and_nothing_else_is_a_challenge() {
        let mut challenge = [0_u8; CHALLENGE_BYTES];
        challenge[7] = 1;
        challenge[15] = 2;
        challenge[16] = 3;
        challenge[23] = 4;
        challenge[24] = 5;
        assert_eq!(version(&challenge), Some(Version((3 << 56) + 4)));
        assert_eq!(version(&challenge[..55]), None);
        assert_eq!(version(&[&challenge[..], &[0]].concat()), None);
    }
}
