/** Signed checkpoints in C2SP form (tlog-checkpoint over signed-note) with our extension lines. */

import { type Bytes, equal, fromBase64, fromHex, toBase64, toHex, utf8 } from "../bytes.js";
import { verifyEd25519 } from "../crypto/ed25519.js";
import { isBy, KIND_ED25519, readNote, type SignatureLine } from "./note.js";

/** Longest note accepted, in bytes; ours are about 570. */
const NOTE_BYTES_MAX = 1_024;
/** What the enclave's circuit breaker stands at, sealed to the enclave. */
const BREAKER_BYTES = 81;
const U64_MAX = (1n << 64n) - 1n;
const U32_MAX = (1n << 32n) - 1n;

export interface Checkpoint {
  readonly deployment: Bytes;
  /** How often the operators had put an older state back by then. */
  readonly restores: number;
  /** Leaves. */
  readonly size: bigint;
  /** Merkle tree hash. */
  readonly root: Bytes;
  readonly sequence: bigint;
  /** SHA-256 of the previous checkpoint's text. */
  readonly previous: Bytes;
  readonly time: bigint;
  readonly state: Bytes;
  /** Opens for the enclave alone. */
  readonly breaker: Bytes;
  /** What the TPM's index holds before this checkpoint, at L2 and there only. */
  readonly tpm: Bytes | null;
}

/** Origin line and key name. Each restore begins a log with an origin of its own, because a log never goes back. */
export function origin(deployment: Bytes, restores: number): string {
  const first = `pinseal.dev/${toHex(deployment)}`;
  return restores === 0 ? first : `${first}/${restores}`;
}

/** The signed text, ending in a newline. */
export function checkpointText(checkpoint: Checkpoint): string {
  const { deployment, restores, size, root, sequence, previous, time, state, breaker, tpm } = checkpoint;
  const held = tpm === null ? "" : `tpm ${toBase64(tpm)}\n`;
  return `${origin(deployment, restores)}\n${size}\n${toBase64(root)}\nsequence ${sequence}\nprevious ${toBase64(previous)}\ntime ${time}\nstate ${toBase64(state)}\nbreaker ${toBase64(breaker)}\n${held}`;
}

/** The checkpoint, if `log` signed it for `deployment` and it has exactly our form; otherwise `undefined`. */
export async function verifyCheckpoint(note: Bytes, deployment: Bytes, log: Bytes): Promise<Checkpoint | undefined> {
  const read = readCheckpoint(note);
  if (read === undefined || !equal(read.checkpoint.deployment, deployment)) return undefined;
  const { checkpoint, line } = read;
  if (!(await isBy(line, origin(deployment, checkpoint.restores), KIND_ED25519, log))) return undefined;
  return (await verifyEd25519(log, utf8(checkpointText(checkpoint)), line.signature)) ? checkpoint : undefined;
}

/** The number of restores that a note is of, 0 before the first; only for notes that were verified before. */
export function restoresIn(note: Bytes): number {
  return readCheckpoint(note)?.checkpoint.restores ?? 0;
}

const PREFIXES = ["sequence ", "previous ", "time ", "state ", "breaker "];

/** Strict: what is read, written again, gives the same bytes. */
function readCheckpoint(note: Bytes): { checkpoint: Checkpoint; line: SignatureLine } | undefined {
  const read = note.length <= NOTE_BYTES_MAX ? readNote(note) : undefined;
  const [line] = read?.signatures ?? [];
  if (read === undefined || line === undefined || read.signatures.length !== 1) return undefined;
  const [first = "", size = "", root = "", ...rest] = read.text.split("\n");
  const [sequence, previous, time, state, breaker] = PREFIXES.map((prefix, index) =>
    rest[index]?.startsWith(prefix) ? rest[index].slice(prefix.length) : "",
  );
  const [deployment = "", restores] = first.slice("pinseal.dev/".length).split("/");
  const checkpoint = complete({
    deployment: fromHex(deployment),
    restores: restores === undefined ? 0 : count(restores),
    size: natural(size),
    root: hash(root),
    sequence: natural(sequence),
    previous: hash(previous),
    time: natural(time),
    state: hash(state),
    breaker: sized(breaker, BREAKER_BYTES),
    tpm: rest[5]?.startsWith("tpm ") ? hash(rest[5].slice(4)) : null,
  });
  if (checkpoint === undefined || checkpoint.deployment.length !== 16) return undefined;
  const isCanonical =
    line.name === origin(checkpoint.deployment, checkpoint.restores) &&
    line.signature.length === 64 &&
    checkpointText(checkpoint) === read.text;
  return isCanonical ? { checkpoint, line } : undefined;
}

function complete(parts: { [K in keyof Checkpoint]: Checkpoint[K] | undefined }): Checkpoint | undefined {
  return Object.values(parts).every((part) => part !== undefined) ? (parts as Checkpoint) : undefined;
}

function natural(text = ""): bigint | undefined {
  if (!/^[0-9]{1,20}$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= U64_MAX ? value : undefined;
}

function count(text: string): number | undefined {
  const value = natural(text);
  return value !== undefined && value <= U32_MAX ? Number(value) : undefined;
}

function hash(text = ""): Bytes | undefined {
  return sized(text, 32);
}

function sized(text = "", length: number): Bytes | undefined {
  const bytes = fromBase64(text);
  return bytes?.length === length ? bytes : undefined;
}
