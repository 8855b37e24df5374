/** The one algorithm of the library that is used, so that a bundler can leave out the others. */

export { argon2id } from "hash-wasm";
