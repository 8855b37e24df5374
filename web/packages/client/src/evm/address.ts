/** EVM addresses and their EIP-55 spelling. */

import { type Bytes, fromHex, toHex, utf8 } from "../bytes.js";
import { keccak256 } from "./keccak.js";

/** The EIP-55 spelling: `0x` and 40 hex digits, whose case is a checksum. */
export function checksum(address: Bytes): string {
  const lower = toHex(address);
  const hash = toHex(keccak256(utf8(lower)));
  const digits = Array.from(lower, (digit, at) =>
    Number.parseInt(hash.charAt(at), 16) >= 8 ? digit.toUpperCase() : digit,
  );
  return `0x${digits.join("")}`;
}

/** Why a text is not an address. */
export type AddressFault = "malformed" | "wrong_checksum";

/** Reads an address. All lower or all upper case carries no checksum; any mix must be the EIP-55 spelling. */
export function parseAddress(text: string): Bytes | AddressFault {
  const digits = text.startsWith("0x") ? text.slice(2) : "";
  const address = fromHex(digits);
  if (address?.length !== 20) return "malformed";
  const isMixed = /[A-F]/.test(digits) && /[a-f]/.test(digits);
  return isMixed && checksum(address) !== text ? "wrong_checksum" : address;
}
