//! EIP-191 version 0x45, `personal_sign`.

use alloy_primitives::Keccak256;

/// The longest message that is signed: far beyond every sign-in text, and still quick to show.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// `keccak256("\x19Ethereum Signed Message:\n" || length in decimal || message)`.
pub fn personal_message_digest(message: &[u8]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    hasher.update(b"\x19Ethereum Signed Message:\n");
    hasher.update(message.len().to_string());
    hasher.update(message);
    hasher.finalize().0
}
