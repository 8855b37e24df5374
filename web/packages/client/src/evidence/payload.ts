/**
 * AWS's attestation document, read strictly. Its text says that no field may be null; its hypervisor writes null for each optional
 * field that was not asked for, so null there means absent. Everywhere else it is refused.
 */

import type { Bytes } from "../bytes.js";
import { CborError } from "../cbor/error.js";
import { Reader } from "../cbor/reader.js";
import { EvidenceError } from "./error.js";

const CERTIFICATE_BYTES_MAX = 1024;
const PUBLIC_KEY_BYTES_MAX = 1024;
const USER_BYTES_MAX = 512;
/** AWS leaves it open; those seen take 39 bytes. */
const MODULE_ID_BYTES_MAX = 256;
/** Longest chain with root and leaf. AWS's have five. */
const CERTIFICATES_MAX = 8;
const PCRS_MAX = 32;
const PCR_BYTES: readonly number[] = [32, 48, 64];

/** What a Nitro hypervisor signed. Says nothing about whether the image is a trusted one. */
export interface NitroDocument {
  readonly moduleId: string;
  /** Milliseconds since 1970. */
  readonly timeMilliseconds: bigint;
  readonly pcrs: ReadonlyMap<number, Bytes>;
  readonly publicKey: Bytes | undefined;
  readonly userData: Bytes | undefined;
  readonly nonce: Bytes | undefined;
}

interface Fields {
  module_id?: string;
  digest?: string;
  timestamp?: bigint;
  pcrs?: Map<number, Bytes>;
  certificate?: Bytes;
  cabundle?: Bytes[];
  public_key?: Bytes | undefined;
  user_data?: Bytes | undefined;
  nonce?: Bytes | undefined;
}

const FIELDS = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);

/** The document and its certificates from root to leaf. */
export function readPayload(payload: Bytes): { document: NitroDocument; certificates: Bytes[] } {
  const reader = new Reader(payload);
  const fields: Fields = {};
  const count = reading("payload_malformed", () => reader.map());
  for (let index = 0; index < count; index += 1) {
    const key = reading("payload_malformed", () => reader.text());
    if (!FIELDS.has(key)) throw new EvidenceError("field_unknown");
    if (Object.hasOwn(fields, key)) throw new EvidenceError("field_duplicate");
    reading("field_invalid", () => readField(fields, key as keyof Fields, reader));
  }
  reading("payload_malformed", () => reader.end());
  return finish(fields);
}

/** Gives what the reader throws its name: a longer form than needed is one thing, another type or length another. */
function reading<T>(code: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    const isLonger = error.lax === "longer" || error.lax === "trailing";
    throw new EvidenceError(isLonger ? "payload_not_canonical" : code);
  }
}

function invalid(): EvidenceError {
  return new EvidenceError("field_invalid");
}

function readField(fields: Fields, key: keyof Fields, reader: Reader): void {
  switch (key) {
    case "module_id": {
      const start = reader.position;
      fields.module_id = reader.text();
      if (fields.module_id === "" || reader.position - start > MODULE_ID_BYTES_MAX + 3) throw invalid();
      break;
    }
    case "digest":
      fields.digest = reader.text();
      if (fields.digest !== "SHA384") throw new EvidenceError("digest_unknown");
      break;
    case "timestamp":
      fields.timestamp = reader.uint();
      if (fields.timestamp === 0n) throw invalid();
      break;
    case "pcrs":
      fields.pcrs = readPcrs(reader);
      break;
    case "certificate":
      fields.certificate = bounded(reader, 1, CERTIFICATE_BYTES_MAX);
      break;
    case "cabundle":
      fields.cabundle = readBundle(reader);
      break;
    case "public_key":
      fields.public_key = reader.null() ? undefined : bounded(reader, 1, PUBLIC_KEY_BYTES_MAX);
      break;
    case "user_data":
    case "nonce":
      fields[key] = reader.null() ? undefined : bounded(reader, 0, USER_BYTES_MAX);
  }
}

function bounded(reader: Reader, least: number, most: number): Bytes {
  const bytes = reader.bytes();
  if (bytes.length < least || bytes.length > most) throw invalid();
  return bytes;
}

/** One register at least, each once, numbered within the hypervisor's range. */
function readPcrs(reader: Reader): Map<number, Bytes> {
  const count = reader.map();
  if (count === 0 || count > PCRS_MAX) throw invalid();
  const pcrs = new Map<number, Bytes>();
  for (let place = 0; place < count; place += 1) {
    const index = reader.uint();
    if (index >= BigInt(PCRS_MAX)) throw invalid();
    const value = reader.bytes();
    if (!PCR_BYTES.includes(value.length)) throw invalid();
    if (pcrs.has(Number(index))) throw new EvidenceError("field_duplicate");
    pcrs.set(Number(index), value);
  }
  return pcrs;
}

/** Root first; with the leaf, no more than the longest chain. */
function readBundle(reader: Reader): Bytes[] {
  const count = reader.array();
  if (count === 0 || count >= CERTIFICATES_MAX) throw invalid();
  return Array.from({ length: count }, () => bounded(reader, 1, CERTIFICATE_BYTES_MAX));
}

function finish(fields: Fields): { document: NitroDocument; certificates: Bytes[] } {
  const { module_id, digest, timestamp, pcrs, certificate, cabundle, public_key, user_data, nonce } = fields;
  const isWhole =
    digest !== undefined &&
    module_id !== undefined &&
    timestamp !== undefined &&
    pcrs !== undefined &&
    certificate !== undefined &&
    cabundle !== undefined;
  if (!isWhole) throw new EvidenceError("field_missing");
  const document = {
    moduleId: module_id,
    timeMilliseconds: timestamp,
    pcrs,
    publicKey: public_key,
    userData: user_data,
    nonce,
  };
  return { document, certificates: [...cabundle, certificate] };
}
