//! The witness's name and Ed25519 key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use pinseal_protocol::manifest::Ed25519Public;
use pinseal_protocol::note::{KeyKind, VerifierKey};
use zeroize::Zeroizing;

/// Mode bits by which group or others do anything.
const EXPOSED: u32 = 0o077;
/// Longest file read: a name and a document of some hundred digits.
const KEY_BYTES_MAX: usize = 1_024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a key's name: empty, too long, or with spaces or plus signs.
    #[error("a witness is named like witness.example/w1: without spaces and plus signs, at most 128 bytes")]
    Name,
    /// The file is not one of ours.
    #[error("the key file is damaged")]
    Damaged,
    /// Others can read it, so they may have: whoever has it cosigns in its name.
    #[error(
        "others can read the key file: take its mode back to 0600, and if somebody has read it make another witness"
    )]
    Mode,
    /// It exists; it was not touched.
    #[error("there is a key already")]
    Exists,
    /// No key could be made.
    #[error("no key could be made")]
    Random,
    /// See the source.
    #[error("the key file cannot be read or written")]
    Io(#[from] io::Error),
}

/// A key for cosignatures. Its file (mode 0600) holds the name in its first line and a PKCS#8 document in hex in its second.
pub struct WitnessKey {
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

impl core::fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WitnessKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A key that is in no file yet.
pub struct NewKey {
    key: WitnessKey,
    /// PKCS#8, in hex.
    digits: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NewKey").field("key", &self.key).finish_non_exhaustive()
    }
}

impl NewKey {
    /// Draws one.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Random)?;
        let key = WitnessKey::of(name, pair)?;
        let mut digits = Zeroizing::new(vec![0; document.as_ref().len() * 2]);
        hex::encode_to_slice(document.as_ref(), &mut digits).map_err(|_| KeyError::Random)?;
        Ok(Self { key, digits })
    }

    /// What logs are going to be given.
    pub const fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier_key()
    }

    /// Puts it into a new file, whole and on disk before this returns; a crash on the way leaves none under its name.
    ///
    /// # Errors
    /// [`KeyError`]; an existing file is never overwritten.
    pub fn store(self, path: &Path) -> Result<WitnessKey, KeyError> {
        if path.symlink_metadata().is_ok() {
            return Err(KeyError::Exists);
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        // Left over by a crash.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", self.verifier_key().name())?;
        file.write_all(&self.digits)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // A link gives a name that is free, and no other.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(KeyError::Exists),
            linked => linked?,
        }
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        Ok(self.key)
    }
}

impl WitnessKey {
    /// Makes a key in a new file, whole and on disk before this returns; a crash on the way leaves none under its name.
    ///
    /// # Errors
    /// [`KeyError`]; an existing file is never overwritten.
    pub fn create(path: &Path, name: &str) -> Result<Self, KeyError> {
        NewKey::generate(name)?.store(path)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path)?;
        if file.metadata()?.mode() & EXPOSED != 0 {
            return Err(KeyError::Mode);
        }
        let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES_MAX));
        file.take(KEY_BYTES_MAX as u64).read_to_string(&mut text)?;
        let (name, digits) = text.split_once('\n').ok_or(KeyError::Damaged)?;
        let digits = digits.trim_end();
        let mut document = Zeroizing::new(vec![0; digits.len() / 2]);
        hex::decode_to_slice(digits, &mut document).map_err(|_| KeyError::Damaged)?;
        let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| KeyError::Damaged)?;
        Self::of(name, pair)
    }

    fn of(name: &str, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = Ed25519Public::from_slice(pair.public_key().as_ref()).ok_or(KeyError::Damaged)?;
        let public = VerifierKey::new(name, KeyKind::Cosignature, public).ok_or(KeyError::Name)?;
        Ok(Self { pair, public })
    }

    /// What logs are given.
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }
}
