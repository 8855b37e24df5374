//! The caps on PIN guesses and the bounds of every message, each with its reason.

/// Wrong PINs one enrolled device may have outstanding: enough for a tired owner, a 1 in 200,000 chance for a thief of a
/// device with a random six-digit PIN.
pub const DEVICE_OUTSTANDING_MAX: u8 = 5;
/// Wrong PINs all unenrolled devices together may have outstanding: a stolen login alone buys no more than one device would.
pub const UNENROLLED_OUTSTANDING_MAX: u8 = 5;
/// Wrong PINs outstanding over the whole wallet, so that several devices do not add up.
pub const OUTSTANDING_MAX: u8 = 10;
/// Wrong answers over the life of one PIN, whatever succeeds in between.
pub const PIN_LIFE_WRONG_MAX: u8 = 100;
/// Wrong answers over a PIN's life after which no unenrolled device may try it: a thief of the login alone, whose tries the owner
/// clears again and again, must not end the PIN. The rest is for devices that had the PIN right once.
pub const UNENROLLED_LIFE_WRONG_MAX: u8 = 80;
/// Wrong answers over a PIN's life after which nothing but a new PIN gives tries back. As many are left as may be outstanding in all,
/// the last of them for an enrolled device that has charged none: so such a device can always set a new PIN.
pub const CLEAR_LIFE_WRONG_MAX: u8 = PIN_LIFE_WRONG_MAX - OUTSTANDING_MAX;
/// Wrong answers left over a PIN's life from which on clients ask for a new one.
pub const LIFE_WARNING: u8 = 30;
/// Enrolled devices of one wallet; the record has one fixed size.
pub const DEVICES_MAX: usize = 8;
/// Bytes of a device label in UTF-8.
pub const LABEL_BYTES_MAX: usize = 32;
/// Wrong PINs of devices that are not enrolled, over all wallets, more than there were when the operators last looked, at which enrolment
/// pauses, unless the operators say otherwise: two hundred wallets with every try used up, more than a large service sees of honest slips.
pub const BREAKER_DEFAULT: u32 = 1_000;
/// Least of them: twice what one login alone can use up, so that no single thief of a login stops enrolment for everybody.
pub const BREAKER_MIN: u32 = 2 * UNENROLLED_OUTSTANDING_MAX as u32;
/// Most of them: beyond a million guesses there is nothing left that a breaker would save.
pub const BREAKER_MAX: u32 = 1_000_000;
/// (wrong PINs outstanding in a class of devices, seconds until that class may try again), highest first.
pub const DELAYS: [(u8, u32); 3] = [(7, 3_600), (5, 600), (3, 60)];

/// Intents on one PIN entry.
pub const INTENTS_MAX: usize = 16;
/// Accounts in one listing.
pub const ACCOUNTS_MAX: usize = 16;
/// Log entries opened in one request, and listed on one page: a few kilobytes, as long as some sixteen attempts.
pub const HISTORY_WRITES_MAX: usize = 32;
/// Bytes of one sealed request as the host hands it on.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Lifetime of a begin challenge by the host's clock; long enough for a person to type a PIN twice.
pub const CHALLENGE_SECONDS: u64 = 600;
/// Challenges of one boot that may be open at once; older ones are refused.
pub const CHALLENGES_OPEN_MAX: u64 = 1 << 20;

/// Bytes of one frame between host and enclave.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Headers in one boot frame (about 80 bytes each).
pub const BOOT_HEADERS_MAX: usize = 16_384;
/// Record writes in one batch; a batch's frame stays below [`FRAME_BYTES_MAX`].
pub const BATCH_WRITES_MAX: usize = 256;
/// Requests the enclave works on at once; more are refused as overloaded.
pub const IN_FLIGHT_MAX: usize = 1_024;
/// Bytes of requests the enclave works on at once, so that many long ones cannot fill its memory behind a slow anchor.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a new PIN waits for its confirmation, by the host's clock: a forgotten change does not leave two PINs for ever.
pub const PENDING_SECONDS_MAX: u64 = 86_400;
/// Highest number of a restore: far more than a deployment lives through, so that no number a host makes up is the last.
pub const RESTORES_MAX: u32 = 1_000_000;
/// By how much one restore may exceed the number before.
pub const RESTORES_STEP_MAX: u32 = 1_000;
/// Anchored checkpoints whose root the enclave remembers, so that a consistency proof may be a few batches old.
pub const RECENT_CHECKPOINTS: usize = 256;
/// Hashes in a consistency proof: 2 per level of a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 128;
/// Hashes in an inclusion proof: one per level of the largest tree that a size of 64 bits can name.
pub const INCLUSION_HASHES_MAX: usize = 64;
/// Token issuers in one configuration.
pub const ISSUERS_MAX: usize = 8;
