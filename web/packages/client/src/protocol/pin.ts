/** Parameters under which a PIN becomes its factor. */

import { fixed, struct, u32, type Value } from "../cbor/codec.js";

/** Argon2id version 0x13 (RFC 9106). */
export const argon2Parameters = struct({ memoryKib: u32, passes: u32, lanes: u32 });
export type Argon2Parameters = Value<typeof argon2Parameters>;

export const pinParameters = struct({ salt: fixed(16), argon2: argon2Parameters });
export type PinParameters = Value<typeof pinParameters>;

/** Least memory a client may be asked to use (OWASP's floor for t = 2). */
const MEMORY_KIB_MIN = 19 * 1024;
/** Most memory a client lets itself be asked for. */
const MEMORY_KIB_MAX = 1024 * 1024;
const PASSES_MIN = 2;
const PASSES_MAX = 16;
const LANES_MAX = 4;

/** Neither below the floor nor beyond what a phone can do; whoever asks. */
export function isAcceptable({ memoryKib, passes, lanes }: Argon2Parameters): boolean {
  return (
    memoryKib >= MEMORY_KIB_MIN &&
    memoryKib <= MEMORY_KIB_MAX &&
    passes >= PASSES_MIN &&
    passes <= PASSES_MAX &&
    lanes >= 1 &&
    lanes <= LANES_MAX
  );
}
