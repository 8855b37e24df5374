/** Bounds of what a client sends and accepts; those of crates/protocol/src/limits.rs and pin.rs. */

/** Intents on one PIN entry. */
export const INTENTS_MAX = 16;
/** Accounts in one listing. */
export const ACCOUNTS_MAX = 16;
/** The first account index that is refused. */
export const ACCOUNT_INDEX_END = 1_000;
/** Hashes in an inclusion proof: one per level of a tree of 2^64 leaves. */
export const INCLUSION_HASHES_MAX = 64;
/** Bytes of a device label in UTF-8. */
export const LABEL_BYTES_MAX = 32;
/** Bytes of one sealed request. */
export const REQUEST_BYTES_MAX = 256 * 1024;
/** Wrong answers left over a PIN's life from which on clients ask for a new one. */
export const LIFE_WARNING = 30;
