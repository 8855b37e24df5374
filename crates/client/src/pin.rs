//! The PIN: read, judged, and turned into its factor on this device alone.

use core::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use pinseal_protocol::ids::{DeploymentId, UserIdHash};
use pinseal_protocol::pin::{PinFactor, PinParameters};
use pinseal_protocol::secret::{SecretBytes, SecretText};
use zeroize::Zeroizing;

/// Fewest digits.
pub const DIGITS_MIN: usize = 6;
/// Most digits; more are written down instead of remembered.
pub const DIGITS_MAX: usize = 8;

/// PINs that people choose so often that a thief tries them first, in the order of published leaks; beside them every PIN of one
/// digit, every straight run and every short repeat is refused by rule (see [`NewPin::choose`]).
pub const COMMON_PINS: &[&str] = &[
    "159753", "159357", "147258", "258456", "147852", "789456", "456789", "741852", "852456", "112233", "332211",
    "445566", "102030", "142536", "246810", "314159", "271828", "520520", "131313", "101010", "696969", "420420",
    "123654", "147369", "123789", "987123", "321654", "123987", "520131", "201314", "110110", "007007", "11223344",
    "44332211", "12341234", "14725836", "31415926", "27182818", "10203040", "13572468", "24681357", "20202020",
    "12312312",
];

/// Why a PIN is not taken. Nothing was sent or charged; ask the person again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Not 6 to 8 decimal digits.
    #[error("a PIN has {DIGITS_MIN} to {DIGITS_MAX} digits")]
    Form,
    /// Among the first a thief would try.
    #[error("this PIN is too easy to guess; choose another")]
    Weak,
}

/// A PIN as typed. Redacted `Debug`, zeroed when dropped, never sent.
pub struct Pin(SecretText);

impl Pin {
    /// Reads 6 to 8 ASCII digits.
    ///
    /// # Errors
    /// [`PinError::Form`].
    pub fn parse(text: &str) -> Result<Self, PinError> {
        let digits = text.as_bytes();
        if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return Err(PinError::Form);
        }
        Ok(Self(SecretText::new(text.to_owned())))
    }

    /// S = Argon2id(PIN), computed on a thread that may block. `None` if the parameters lie outside the accepted range or the
    /// memory is not there; nothing weaker is ever computed instead.
    pub(crate) async fn factor(
        &self,
        parameters: &PinParameters,
        deployment: &DeploymentId,
        wallet: &UserIdHash,
    ) -> Option<PinFactor> {
        if !parameters.argon2.is_acceptable() {
            return None;
        }
        let salt = parameters.argon2_salt(deployment, wallet);
        let cost = Params::new(
            parameters.argon2.memory_kib,
            parameters.argon2.passes,
            parameters.argon2.lanes,
            Some(FACTOR_BYTES),
        )
        .ok()?;
        let digits = self.0.duplicate();
        tokio::task::spawn_blocking(move || {
            // Memory of our own, so that too little is no abort and the last blocks, which give the factor away, are erased.
            let count = cost.block_count();
            let mut blocks = Zeroizing::new(Vec::new());
            blocks.try_reserve_exact(count).ok()?;
            blocks.resize(count, Block::default());
            let mut out = SecretBytes::<FACTOR_BYTES>::zeroed();
            Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
                .hash_password_into_with_memory(
                    digits.expose_secret().as_bytes(),
                    &salt.0,
                    out.expose_secret_mut(),
                    blocks.as_mut_slice(),
                )
                .ok()?;
            Some(PinFactor::new(out))
        })
        .await
        .ok()
        .flatten()
    }

    fn is_weak(&self) -> bool {
        let digits = self.0.expose_secret().as_bytes();
        let step = |by: u8| digits.windows(2).all(|pair| matches!(pair, [a, b] if (a - b'0' + by) % 10 == b - b'0'));
        let repeats = |length: usize| digits.chunks(length).all(|part| digits.starts_with(part));
        // One digit throughout, 1234.. and 9876.. (also across 9 and 0), abab.. and abcabc.
        step(0)
            || step(1)
            || step(9)
            || repeats(2)
            || repeats(3)
            || COMMON_PINS.iter().any(|common| common.as_bytes() == digits)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// A PIN that may be set: not among the first a thief would try.
#[derive(Debug)]
pub struct NewPin(Pin);

impl NewPin {
    /// Accepts `pin` unless it is all one digit, a straight run, a repeat of two or three digits, or one of [`COMMON_PINS`].
    ///
    /// # Errors
    /// [`PinError::Weak`].
    pub fn choose(pin: Pin) -> Result<Self, PinError> {
        if pin.is_weak() { Err(PinError::Weak) } else { Ok(Self(pin)) }
    }

    /// The PIN.
    pub const fn as_pin(&self) -> &Pin {
        &self.0
    }
}

/// Length of S.
const FACTOR_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use pinseal_protocol::pin::{Argon2Parameters, PinSalt};

    use super::*;

    fn parameters(argon2: Argon2Parameters) -> PinParameters {
        PinParameters { salt: PinSalt([7; 16]), argon2 }
    }

    #[test]
    fn a_pin_is_six_to_eight_ascii_digits() {
        for text in ["12345", "123456789", "12345a", "１２３４５６", " 123456", ""] {
            assert_eq!(Pin::parse(text).unwrap_err(), PinError::Form, "{text}");
        }
        for text in ["482915", "4829150", "48291503"] {
            Pin::parse(text).unwrap();
        }
    }

    #[test]
    fn easy_pins_cannot_be_set() {
        let weak = [
            "111111", "00000000", "123456", "654321", "890123", "210987", "121212", "1212121", "123123", "159753",
            "12341234",
        ];
        for text in weak {
            assert_eq!(NewPin::choose(Pin::parse(text).unwrap()).unwrap_err(), PinError::Weak, "{text}");
        }
        for text in ["482915", "135790", "123457", "112358", "48291503"] {
            NewPin::choose(Pin::parse(text).unwrap()).unwrap();
        }
    }

    #[test]
    fn every_listed_pin_has_the_form_of_a_pin() {
        for text in COMMON_PINS {
            Pin::parse(text).unwrap();
        }
    }

    #[test]
    fn debug_shows_no_digit() {
        assert_eq!(format!("{:?}", NewPin::choose(Pin::parse("482915").unwrap()).unwrap()), "NewPin(Pin(..))");
    }

    #[tokio::test]
    async fn the_factor_depends_on_pin_deployment_wallet_and_salt() {
        let floor = Argon2Parameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
        let (deployment, wallet) = (DeploymentId([1; 16]), UserIdHash([2; 32]));
        let pin = Pin::parse("482915").unwrap();
        let factor = pin.factor(&parameters(floor), &deployment, &wallet).await.unwrap();
        let same = |other: &PinFactor| factor.expose_secret() == other.expose_secret();
        assert!(same(&pin.factor(&parameters(floor), &deployment, &wallet).await.unwrap()));
        assert!(!same(&pin.factor(&parameters(floor), &DeploymentId([3; 16]), &wallet).await.unwrap()));
        assert!(!same(&pin.factor(&parameters(floor), &deployment, &UserIdHash([3; 32])).await.unwrap()));
        assert!(!same(&Pin::parse("482916").unwrap().factor(&parameters(floor), &deployment, &wallet).await.unwrap()));
    }

    #[tokio::test]
    async fn factors_are_those_of_the_reference_implementation() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../../vectors/pin/factor.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let number = |name: &str| u32::try_from(vector[name].as_u64().unwrap()).unwrap();
            let parameters = PinParameters {
                salt: PinSalt::from_hex(text("salt")).unwrap(),
                argon2: Argon2Parameters {
                    memory_kib: number("memory_kib"),
                    passes: number("passes"),
                    lanes: number("lanes"),
                },
            };
            let deployment = DeploymentId::from_hex(text("deployment")).unwrap();
            let wallet = UserIdHash::from_hex(text("wallet")).unwrap();
            assert_eq!(parameters.argon2_salt(&deployment, &wallet).to_string(), text("argon2_salt"));
            let factor = Pin::parse(text("pin")).unwrap().factor(&parameters, &deployment, &wallet).await.unwrap();
            assert_eq!(hex::encode(factor.expose_secret()), text("factor"));
        }
    }

    #[tokio::test]
    async fn parameters_below_the_floor_are_refused() {
        for argon2 in [
            Argon2Parameters { memory_kib: 19 * 1024 - 1, passes: 2, lanes: 1 },
            Argon2Parameters { memory_kib: 64 * 1024, passes: 1, lanes: 1 },
            Argon2Parameters { memory_kib: 2 * 1024 * 1024, passes: 3, lanes: 1 },
        ] {
            let pin = Pin::parse("482915").unwrap();
            assert!(pin.factor(&parameters(argon2), &DeploymentId([1; 16]), &UserIdHash([2; 32])).await.is_none());
        }
    }
}
