/** Vectors that every implementation of the protocol reads. */

import { readFileSync } from "node:fs";
import { type Bytes, fromHex } from "../src/bytes.js";

const ROOT = new URL("../../../../../vectors/", import.meta.url);

export function vectorBytes(path: string): Bytes {
  return new Uint8Array(readFileSync(new URL(path, ROOT)));
}

export function vectors<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, ROOT), "utf8")) as T;
}

/** Bytes of hex with or without 0x. */
export function hex(text: string): Bytes {
  const bytes = fromHex(text.replace(/^0x/, ""));
  if (bytes === undefined) throw new Error(`not hex: ${text}`);
  return bytes;
}
