//! Passwords under Argon2id, in a bounded pool.

mod common;

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use pinseal_protocol::secret::SecretText;
use pinseal_protocol::stack;
use prometheus::IntCounter;
use zeroize::{Zeroize as _, Zeroizing};

use crate::codes::random;
use crate::lines::Source;
use crate::login::email::Email;
use crate::problem::{Problem, table};
use crate::turns::Turns;

/// OWASP's first choice for Argon2id with 19 MiB: m = 19456 KiB, t = 2, p = 1.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;
/// Characters a password has at least and at most.
const PASSWORD_CHARS: core::ops::RangeInclusive<usize> = 8..=128;

/// A password as it was typed.
pub(crate) struct Password(SecretText);

impl Password {
    /// Takes any text, for a login: what was never a valid password simply does not match.
    pub(crate) fn typed(text: &SecretText) -> Self {
        let text = text.expose_secret();
        crate::kept::keep(text);
        let end = text.char_indices().nth(*PASSWORD_CHARS.end() + 1).map_or(text.len(), |(place, _)| place);
        Self(SecretText::new(text.get(..end).unwrap_or_default().to_owned()))
    }

    /// Takes 8 to 128 characters with a letter and a digit that nobody guesses first, for a new password of this address.
    pub(crate) fn chosen(password: SecretText, email: &Email) -> Result<Self, Unfit> {
        let text = password.expose_secret();
        if !has_form(text) {
            return Err(Unfit::Form);
        }
        if common::is_guessed_first(text, email.as_str()) {
            return Err(Unfit::Common);
        }
        Ok(Self(password))
    }
}

fn has_form(text: &str) -> bool {
    PASSWORD_CHARS.contains(&text.chars().count())
        && text.chars().any(char::is_alphabetic)
        && text.chars().any(char::is_numeric)
}

/// Why a text is no new password; the user chooses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// Its length, or no letter or no digit.
    #[error("a password has 8 to 128 characters, a letter and a digit")]
    Form,
    /// It is among the first that are guessed.
    #[error("the password is among the first that are guessed")]
    Common,
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Form => table::PASSWORD_REJECTED.into(),
            Unfit::Common => table::PASSWORD_COMMON.into(),
        }
    }
}

impl core::fmt::Debug for Password {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Password(...)")
    }
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Too many wait already, of the client's own network or before it; the client repeats later.
    #[error("too many passwords are waiting to be hashed")]
    Full,
    /// A service fault.
    #[error("hashing failed")]
    Fault,
}

/// Hashes a few passwords at once and lets a few more wait, in fair lines: nobody waits behind another network's flood.
#[derive(Debug)]
pub(crate) struct PasswordPool {
    turns: Turns,
    memory: Arc<Memory>,
    hashed: IntCounter,
    dummy: String,
}

impl PasswordPool {
    pub(crate) fn new(at_once: usize, waiting_max: usize, hashed: IntCounter) -> Self {
        Self {
            turns: Turns::new(at_once, waiting_max),
            memory: Arc::default(),
            hashed,
            // Verified against for unknown addresses: the same work, and no password has this tag.
            dummy: encode(&[0; SALT_BYTES], &[0; TAG_BYTES]),
        }
    }

    /// Passwords in work or waiting.
    pub(crate) fn depth(&self) -> usize {
        self.turns.depth()
    }

    /// The Argon2id string of a password, under the salt of `like` if that is one of ours.
    pub(crate) async fn hash(
        &self,
        from: Source,
        password: Password,
        like: Option<&str>,
    ) -> Result<String, PasswordError> {
        let salt = match like.and_then(decode) {
            Some((salt, _)) => salt,
            None => random().map_err(|_| PasswordError::Fault)?,
        };
        let tag = self.run(from, password, salt).await?;
        Ok(encode(&salt, &tag))
    }

    /// True if the password made `stored`. `None` costs the same and is always false.
    pub(crate) async fn verify(
        &self,
        from: Source,
        password: Password,
        stored: Option<&str>,
    ) -> Result<bool, PasswordError> {
        let known = stored.and_then(decode);
        let (salt, expected) = known.or_else(|| decode(&self.dummy)).ok_or(PasswordError::Fault)?;
        let tag = self.run(from, password, salt).await?;
        let equal = verify_slices_are_equal(&tag, &expected).is_ok();
        Ok(equal && known.is_some())
    }

    async fn run(
        &self,
        from: Source,
        password: Password,
        salt: [u8; SALT_BYTES],
    ) -> Result<[u8; TAG_BYTES], PasswordError> {
        let turn = self.turns.take(from).await.map_err(|_| PasswordError::Full)?;
        let (memory, counter) = (Arc::clone(&self.memory), self.hashed.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            // The hash runs on when its client hangs up, so its turn lasts until it ends, whoever still waits for it.
            let _turn = turn;
            let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(TAG_BYTES)).ok()?;
            let mut tag = [0_u8; TAG_BYTES];
            let mut blocks = memory.take(params.block_count())?;
            let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
                password.0.expose_secret().as_bytes(),
                &salt,
                &mut tag,
                blocks.as_mut_slice(),
            );
            memory.give_back(blocks);
            stack::wipe::<{ stack::DEEP_BYTES }>();
            hashed.ok()?;
            counter.inc();
            Some(tag)
        });
        hashed.await.ok().flatten().ok_or(PasswordError::Fault)
    }
}

/// The memory of hashes that ended, erased, for the next ones: as much as was ever in work at once. If it were freed, an allocator that has an arena for
/// each thread could keep it once for each of the many threads that hash one after the other.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<Zeroizing<Vec<Block>>>>);

impl Memory {
    /// So many blocks; `None` if there is no memory.
    fn take(&self, count: usize) -> Option<Zeroizing<Vec<Block>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.or_else(|| {
            let mut blocks = Zeroizing::new(Vec::new());
            blocks.try_reserve_exact(count).ok()?;
            blocks.resize(count, Block::default());
            Some(blocks)
        })
    }

    fn give_back(&self, mut blocks: Zeroizing<Vec<Block>>) {
        blocks.iter_mut().zeroize();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
    }
}

impl core::fmt::Debug for Memory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Memory(..)")
    }
}

fn encode(salt: &[u8; SALT_BYTES], tag: &[u8; TAG_BYTES]) -> String {
    let (salt, tag) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(tag));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${tag}")
}

/// Reads a string this version wrote; other costs are not ours yet.
fn decode(text: &str) -> Option<([u8; SALT_BYTES], [u8; TAG_BYTES])> {
    let rest = text.strip_prefix(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"))?;
    let (salt, tag) = rest.split_once('$')?;
    let decode = |part: &str| STANDARD_NO_PAD.decode(part).ok();
    Some((decode(salt)?.try_into().ok()?, decode(tag)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn typed(text: &str) -> Password {
        Password::typed(&SecretText::new(text.to_owned()))
    }

    fn from(network: u8) -> Source {
        Source::address(std::net::IpAddr::from([192, 0, network, 1]))
    }

    fn pool(at_once: usize, waiting_max: usize) -> PasswordPool {
        PasswordPool::new(at_once, waiting_max, IntCounter::new("hashed", "Hashed.").unwrap())
    }

    #[tokio::test]
    async fn a_hash_verifies_its_own_password_only() {
        let pool = pool(1, 4);
        let stored = pool.hash(from(1), typed("correct horse 1"), None).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(pool.verify(from(1), typed("correct horse 1"), Some(&stored)).await.unwrap());
        assert!(!pool.verify(from(1), typed("correct horse 2"), Some(&stored)).await.unwrap());
        assert!(!pool.verify(from(1), typed("correct horse 1"), None).await.unwrap());
        assert_eq!(pool.hash(from(1), typed("correct horse 1"), Some(&stored)).await.unwrap(), stored);
        assert_eq!(pool.depth(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_growing() {
        let pool = pool(1, 0);
        let (first, second) =
            tokio::join!(pool.verify(from(1), typed("a"), None), pool.verify(from(2), typed("b"), None));
        assert!(first.is_ok());
        assert!(matches!(second, Err(PasswordError::Full)));
    }

    #[tokio::test]
    async fn a_networks_flood_waits_behind_itself_and_loses_its_own_places() {
        let pool = pool(1, 3);
        let order = std::sync::Mutex::new(Vec::new());
        let hash = async |network, name: &'static str| {
            let outcome = pool.verify(from(network), typed(name), None).await;
            order.lock().unwrap().push(name);
            outcome
        };
        let (first, second, third, fourth, honest) =
            tokio::join!(hash(1, "1"), hash(1, "2"), hash(1, "3"), hash(1, "4"), hash(2, "honest"));
        assert!(matches!(fourth, Err(PasswordError::Full)), "the newest of the flood");
        assert!(first.is_ok() && second.is_ok() && third.is_ok() && honest.is_ok());
        assert_eq!(*order.lock().unwrap(), ["4", "1", "2", "honest", "3"]);
    }

    #[tokio::test]
    async fn memory_is_used_again_and_erased() {
        let pool = pool(2, 8);
        for _ in 0..2 {
            let hashes = (0..4).map(|network| pool.hash(from(network), typed("correct horse 1"), None));
            let [first, second, third, fourth] = hashes.collect::<Vec<_>>().try_into().ok().unwrap();
            let (first, second, third, fourth) = tokio::join!(first, second, third, fourth);
            assert!([first, second, third, fourth].iter().all(Result::is_ok));
        }
        let kept = pool.memory.0.lock().unwrap();
        assert!((1..=2).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|blocks| blocks.len() == MEMORY_KIB as usize));
        let words = kept.iter().flat_map(|blocks| blocks.iter()).flat_map(|block| block.as_ref());
        assert!(words.copied().all(|word| word == 0));
    }

    #[test]
    fn a_client_that_hangs_up_does_not_make_room_for_a_further_hash() {
        // One thread for blocking work, held up, so that the first hash is surely under way when its client goes.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let pool = pool(1, 0);
            let (go_on, wait) = std::sync::mpsc::channel::<()>();
            let held_up = tokio::task::spawn_blocking(move || wait.recv());
            let mut client = Box::pin(pool.verify(from(1), typed("a"), None));
            assert!(
                core::future::poll_fn(|context| core::task::Poll::Ready(client.as_mut().poll(context)))
                    .await
                    .is_pending()
            );
            drop(client);
            assert_eq!(pool.depth(), 1);
            assert!(matches!(pool.verify(from(1), typed("b"), None).await, Err(PasswordError::Full)));
            go_on.send(()).unwrap();
            held_up.await.unwrap().unwrap();
            // Behind the hash in the one thread's queue.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert_eq!(pool.depth(), 0);
        });
    }

    #[test]
    fn a_chosen_password_has_a_letter_a_digit_and_8_to_128_characters() {
        let email = Email::parse("ada-lovelace@example.org").unwrap();
        let chosen = |text: &str| Password::chosen(SecretText::new(text.into()), &email).map(drop);
        assert_eq!((chosen("abcdefo1"), chosen(&format!("1{}", "ä".repeat(127)))), (Ok(()), Ok(())));
        for text in ["abcdef1", "abcdefgh", "12345678", &"a1".repeat(65)] {
            assert_eq!(chosen(text), Err(Unfit::Form), "{text}");
        }
        assert_eq!((chosen("abcdefg1"), chosen("ada-lovelace1")), (Err(Unfit::Common), Err(Unfit::Common)));
    }
}
