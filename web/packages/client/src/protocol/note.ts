/** Signed notes (C2SP signed-note v1.0.0), as far as a client's receipts need them. */

import { type Bytes, concat, equal, fromBase64, fromUtf8, toBase64, utf8 } from "../bytes.js";
import { sha256 } from "../crypto/kdf.js";

/** Signature lines read of one note; more are refused. */
const SIGNATURES_MAX = 64;
/** Longest key name, in bytes. */
const NAME_BYTES_MAX = 128;
/** Longest signature with its key id. */
const SIGNED_BYTES_MAX = 4_096;

/** Ed25519 over the note's text (signature type 0x01). */
export const KIND_ED25519 = 1;
/** Ed25519 over a checkpoint and a time (signature type 0x04). */
export const KIND_COSIGNATURE = 4;

/** `— <name> <base64 of key id and signature>`. */
export interface SignatureLine {
  readonly name: string;
  readonly id: Bytes;
  readonly signature: Bytes;
}

/** A note's text, final newline included, and its signatures, one at least; `undefined` for what is no note. */
export function readNote(note: Bytes): { text: string; signatures: SignatureLine[] } | undefined {
  const whole = fromUtf8(note);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (whole === undefined || /[\0-\x09\x0b-\x1f]/.test(whole)) return undefined;
  const blank = whole.lastIndexOf("\n\n");
  if (blank < 0 || !whole.endsWith("\n") || blank + 2 === whole.length) return undefined;
  const lines = whole.slice(blank + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) return undefined;
  const signatures = lines.map(readLine);
  if (!signatures.every((line) => line !== undefined)) return undefined;
  return { text: whole.slice(0, blank + 1), signatures };
}

function readLine(line: string): SignatureLine | undefined {
  const parts = line.split(" ");
  if (parts.length !== 3 || parts[0] !== "\u2014") return undefined;
  const [, name = "", encoded = ""] = parts;
  const bytes = fromBase64(encoded);
  if (bytes === undefined || bytes.length < 5 || bytes.length > SIGNED_BYTES_MAX || !isKeyName(name)) return undefined;
  return { name, id: bytes.slice(0, 4), signature: bytes.slice(4) };
}

/** Non-empty, of bounded length, without spaces of any kind, plus signs and control characters. */
export function isKeyName(name: string): boolean {
  const length = utf8(name).length;
  return length >= 1 && length <= NAME_BYTES_MAX && !/[\p{White_Space}\p{Cc}+]/u.test(name);
}

/** SHA-256(name || "\n" || type || key)[:4]: tells keys apart, proves nothing. */
export async function keyId(name: string, kind: number, key: Bytes): Promise<Bytes> {
  return (await sha256(concat(utf8(`${name}\n`), Uint8Array.of(kind), key))).slice(0, 4);
}

/** True if the line claims to be by this key. */
export async function isBy(line: SignatureLine, name: string, kind: number, key: Bytes): Promise<boolean> {
  return line.name === name && equal(line.id, await keyId(name, kind, key));
}

/** The verifier key's text: `<name>+<key id>+<base64>`. */
export async function verifierKey(name: string, kind: number, key: Bytes): Promise<string> {
  const id = Array.from(await keyId(name, kind, key), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${name}+${id}+${toBase64(concat(Uint8Array.of(kind), key))}`;
}
