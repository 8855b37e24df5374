//! One-time challenges of a boot: MACed counters with a window of used ones.
//!
//! Invariant: a challenge is accepted at most once, only by the boot that issued it, only for its wallet, device and method,
//! only while fewer than [`CHALLENGES_OPEN_MAX`] newer ones were issued, and (for methods that write) only for the version of the
//! record that was current when it was issued. Without the last, a host could keep an owner's requests back and play them out
//! later, each giving tries back. State is one bit each, so nobody can fill it up.

use pinseal_protocol::challenge::CHALLENGE_BYTES;
use pinseal_protocol::constant_time;
use pinseal_protocol::ids::{DeviceId, UnixSeconds, UserIdHash, Version};
use pinseal_protocol::kdf;
use pinseal_protocol::limits::{CHALLENGE_SECONDS, CHALLENGES_OPEN_MAX};
use pinseal_protocol::pin::PinSalt;
use pinseal_protocol::request::Method;
use pinseal_protocol::secret::SecretBytes;

use crate::planted::{self, Defect};

const WORDS: usize = 1 << 14;
const _: () = assert!(WORDS as u64 * 64 == CHALLENGES_OPEN_MAX, "one bit a challenge");

/// What a challenge is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) wallet: UserIdHash,
    pub(crate) device: DeviceId,
    pub(crate) method: Method,
    /// Of the record when the challenge was issued; 0 where there is none, and for methods that write nothing.
    pub(crate) version: Version,
}

/// Why a challenge is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChallengeError {
    /// Never accepted before: nothing happened under it.
    Invalid,
    /// Accepted before, or too old to tell.
    Used,
}

/// A challenge that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// The salt for a PIN set in this operation.
    pub(crate) next_salt: PinSalt,
}

/// All challenges of this boot.
pub(crate) struct Challenges {
    key: SecretBytes<32>,
    next: u64,
    used: Box<[u64]>,
}

impl Challenges {
    pub(crate) fn new(key: SecretBytes<32>) -> Self {
        Self { key, next: 0, used: vec![0; WORDS].into_boxed_slice() }
    }

    /// Issues one and the salt that goes with it.
    pub(crate) fn issue(&mut self, binding: &Binding, now: UnixSeconds) -> (Vec<u8>, PinSalt) {
        let counter = self.next;
        self.next += 1;
        self.mark(counter, false);
        let expires = now.0.saturating_add(CHALLENGE_SECONDS);
        let mut out = Vec::with_capacity(CHALLENGE_BYTES);
        out.extend_from_slice(&counter.to_be_bytes());
        out.extend_from_slice(&expires.to_be_bytes());
        out.extend_from_slice(&binding.version.0.to_be_bytes());
        out.extend_from_slice(&self.mac("pinseal challenge v1", counter, expires, binding));
        (out, self.salt(counter, binding))
    }

    /// Uses it up, or says why it does not count. The version is sealed into the challenge, so that a used one is told from one
    /// that the wallet has overtaken.
    pub(crate) fn accept(
        &mut self,
        challenge: &[u8],
        binding: &Binding,
        now: UnixSeconds,
    ) -> Result<Open, ChallengeError> {
        let (counter, expires, version) = self.authenticate(challenge, binding).ok_or(ChallengeError::Invalid)?;
        let age = self.next.saturating_sub(counter);
        if age > CHALLENGES_OPEN_MAX || self.is_used(counter) {
            return Err(ChallengeError::Used);
        }
        // Used up from here on, also by a refusal: a clock set back must not revive a request whose sender was told it failed.
        self.mark(counter, !planted::is(Defect::ChallengeReusable));
        if now.0 >= expires || (version != binding.version && !planted::is(Defect::ChallengeNotBound)) {
            return Err(ChallengeError::Invalid);
        }
        Ok(Open { next_salt: self.salt(counter, binding) })
    }

    /// Counter, expiry and version of a challenge this boot issued for this wallet, device and method.
    fn authenticate(&self, challenge: &[u8], binding: &Binding) -> Option<(u64, u64, Version)> {
        let (counter, rest) = challenge.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (version, mac) = rest.split_first_chunk::<8>()?;
        let (counter, expires) = (u64::from_be_bytes(*counter), u64::from_be_bytes(*expires));
        let version = Version(u64::from_be_bytes(*version));
        let expected = self.mac("pinseal challenge v1", counter, expires, &Binding { version, ..*binding });
        constant_time::equal(mac, &expected).then_some((counter, expires, version))
    }

    fn salt(&self, counter: u64, binding: &Binding) -> PinSalt {
        let mac = self.mac("pinseal next salt v1", counter, 0, binding);
        let mut salt = [0; 16];
        salt.copy_from_slice(mac.split_at(16).0);
        PinSalt(salt)
    }

    fn mac(&self, label: &str, counter: u64, expires: u64, binding: &Binding) -> [u8; 32] {
        kdf::mac(
            self.key.expose_secret(),
            label,
            &[
                &counter.to_be_bytes(),
                &expires.to_be_bytes(),
                &binding.wallet.0,
                &binding.device.0,
                binding.method.name().as_bytes(),
                &binding.version.0.to_be_bytes(),
            ],
        )
    }

    fn mark(&mut self, counter: u64, used: bool) {
        let (word, bit) = place(counter);
        if let Some(word) = self.used.get_mut(word) {
            *word = if used { *word | bit } else { *word & !bit };
        }
    }

    fn is_used(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        self.used.get(word).is_none_or(|word| word & bit != 0)
    }
}

fn place(counter: u64) -> (usize, u64) {
    let slot = counter % CHALLENGES_OPEN_MAX;
    (usize::try_from(slot / 64).unwrap_or(0), 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(seed: u8) -> Binding {
        Binding {
            wallet: UserIdHash([seed; 32]),
            device: DeviceId([seed; 32]),
            method: Method::Sign,
            version: Version(3),
        }
    }

    const NOW: UnixSeconds = UnixSeconds(100);

    #[test]
    fn a_challenge_is_accepted_once_and_only_for_its_binding() {
        let mut challenges = Challenges::new(SecretBytes::take(&mut [1; 32]));
        let (challenge, salt) = challenges.issue(&binding(1), NOW);
        let others = [
            binding(2),
            Binding { method: Method::VerifyPin, ..binding(1) },
            Binding { device: DeviceId([9; 32]), ..binding(1) },
        ];
        for other in others {
            assert_eq!(challenges.accept(&challenge, &other, NOW), Err(ChallengeError::Invalid), "{other:?}");
        }
        assert_eq!(pinseal_protocol::challenge::version(&challenge), Some(binding(1).version), "clients read it");
        assert_eq!(challenges.accept(&challenge, &binding(1), NOW), Ok(Open { next_salt: salt }));
        assert_eq!(challenges.accept(&challenge, &binding(1), NOW), Err(ChallengeError::Used));
        let (overtaken, _) = challenges.issue(&binding(1), NOW);
        let moved = Binding { version: Version(4), ..binding(1) };
        assert_eq!(challenges.accept(&overtaken, &moved, NOW), Err(ChallengeError::Invalid));
        assert_eq!(challenges.accept(&overtaken, &binding(1), NOW), Err(ChallengeError::Used), "its sender was told");
    }

    #[test]
    fn expiry_other_boot_and_bit_flips_are_refused() {
        let mut challenges = Challenges::new(SecretBytes::take(&mut [1; 32]));
        let (challenge, _) = challenges.issue(&binding(1), NOW);
        let late = UnixSeconds(NOW.0 + CHALLENGE_SECONDS);
        assert_eq!(challenges.accept(&challenge, &binding(1), late), Err(ChallengeError::Invalid));
        assert_eq!(challenges.accept(&challenge, &binding(1), NOW), Err(ChallengeError::Used), "its sender was told");
        let (challenge, _) = challenges.issue(&binding(1), NOW);
        let mut other =
            Challenges { key: SecretBytes::take(&mut [2; 32]), next: 2, used: vec![0; WORDS].into_boxed_slice() };
        assert_eq!(other.accept(&challenge, &binding(1), NOW), Err(ChallengeError::Invalid));
        for position in 0..challenge.len() * 8 {
            let mut flipped = challenge.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            assert_eq!(challenges.accept(&flipped, &binding(1), NOW), Err(ChallengeError::Invalid), "bit {position}");
        }
        assert_eq!(challenges.accept(&challenge[..55], &binding(1), NOW), Err(ChallengeError::Invalid));
        assert!(challenges.accept(&challenge, &binding(1), NOW).is_ok());
    }

    #[test]
    fn a_challenge_that_left_the_window_counts_as_used() {
        let mut challenges = Challenges::new(SecretBytes::take(&mut [1; 32]));
        let (first, _) = challenges.issue(&binding(1), NOW);
        challenges.next = CHALLENGES_OPEN_MAX;
        let (again, _) = challenges.issue(&binding(1), NOW);
        assert_eq!(challenges.accept(&first, &binding(1), NOW), Err(ChallengeError::Used));
        assert!(challenges.accept(&again, &binding(1), NOW).is_ok());
    }

    #[test]
    fn issuing_revives_no_used_challenge_and_using_one_uses_no_other() {
        let mut challenges = Challenges::new(SecretBytes::take(&mut [1; 32]));
        // More than one word of bits, and words enough that a slip in finding the word shows.
        let mut used: Vec<_> = (0..300).map(|_| challenges.issue(&binding(1), NOW).0).collect();
        for place in 0..300 {
            assert!(challenges.accept(&used[place], &binding(1), NOW).is_ok(), "challenge {place}");
            let (fresh, _) = challenges.issue(&binding(1), NOW);
            assert!(challenges.accept(&fresh, &binding(1), NOW).is_ok(), "issued after challenge {place}");
            used.push(fresh);
        }
        for (place, challenge) in used.iter().enumerate() {
            assert_eq!(challenges.accept(challenge, &binding(1), NOW), Err(ChallengeError::Used), "challenge {place}");
        }
    }

    #[test]
    fn the_window_holds_as_many_challenges_as_it_says() {
        let mut challenges = Challenges::new(SecretBytes::take(&mut [1; 32]));
        let (oldest, _) = challenges.issue(&binding(1), NOW);
        challenges.next = CHALLENGES_OPEN_MAX;
        assert!(challenges.accept(&oldest, &binding(1), NOW).is_ok(), "fewer than the window's size are newer");
    }
}
