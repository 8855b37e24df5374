/** The outer layer: COSE_Sign1 (RFC 9052) with ES384 and nothing else. */

import { type Bytes, toHex } from "../bytes.js";
import { CborError } from "../cbor/error.js";
import { MAJOR, Reader } from "../cbor/reader.js";
import { Writer } from "../cbor/writer.js";
import { verifyP384 } from "./certificate.js";
import { EvidenceError } from "./error.js";

/** Longest document looked at. */
const DOCUMENT_BYTES_MAX = 16 * 1024;
/** CBOR's head for tag 18. AWS emits none; RFC 9052 allows both. */
const SIGN1_TAG = 0xd2;
/** The one protected header: `{1: -35}`, the algorithm ES384. */
const PROTECTED = "a1013822";
const LABEL_ALGORITHM = "01";
const LABEL_CRITICAL = "02";
const ES384 = "3822";
const SIGNATURE_BYTES = 96;

/** A message of the right form, its signature not checked yet. */
export interface Sign1 {
  readonly protectedHeader: Bytes;
  readonly payload: Bytes;
  readonly signature: Bytes;
}

interface Parts {
  readonly protectedHeader: Bytes;
  readonly protectedMap: Map<string, string>;
  readonly unprotectedMap: Map<string, string>;
  readonly payload: Bytes | undefined;
  readonly signature: Bytes;
}

/** Reads a message of which no second encoding exists. */
export function readSign1(document: Bytes): Sign1 {
  if (document.length > DOCUMENT_BYTES_MAX) throw new EvidenceError("document_too_long");
  const { protectedHeader, protectedMap, unprotectedMap, payload, signature } = parts(document);
  if (protectedMap.has(LABEL_CRITICAL) || unprotectedMap.has(LABEL_CRITICAL))
    throw new EvidenceError("cose_critical_header");
  if (protectedMap.get(LABEL_ALGORITHM) !== ES384) throw new EvidenceError("cose_algorithm");
  if (toHex(protectedHeader) !== PROTECTED) throw new EvidenceError("cose_protected_header");
  if (unprotectedMap.size > 0) throw new EvidenceError("cose_unprotected_header");
  if (signature.length !== SIGNATURE_BYTES) throw new EvidenceError("cose_signature_length");
  if (payload === undefined) throw new EvidenceError("cose_payload_missing");
  return { protectedHeader, payload, signature };
}

function parts(document: Bytes): Parts {
  try {
    const reader = new Reader(document);
    if (reader.left > 0 && reader.peek() === SIGN1_TAG) reader.head(MAJOR.tag);
    if (reader.array() !== 4) throw new EvidenceError("cose_malformed");
    const protectedHeader = reader.bytes();
    const inner = new Reader(protectedHeader);
    // An empty byte string stands for an empty map.
    const protectedMap = protectedHeader.length === 0 ? new Map<string, string>() : header(inner);
    inner.end();
    const unprotectedMap = header(reader);
    const payload = reader.null() ? undefined : reader.bytes();
    const signature = reader.bytes();
    reader.end();
    return { protectedHeader, protectedMap, unprotectedMap, payload, signature };
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new EvidenceError(error.lax === undefined ? "cose_malformed" : "cose_not_canonical");
  }
}

/** Labels and values as the hex of their encodings. */
function header(reader: Reader): Map<string, string> {
  const out = new Map<string, string>();
  const count = reader.map();
  for (let index = 0; index < count; index += 1) {
    const label = toHex(reader.skip());
    if (out.has(label)) throw new EvidenceError("cose_malformed");
    out.set(label, toHex(reader.skip()));
  }
  return out;
}

/** The signature covers the Sig_structure of RFC 9052, section 4.4: context, protected header, no external data, payload. */
export function verifySign1({ protectedHeader, payload, signature }: Sign1, key: Bytes): Promise<boolean> {
  const write = (writer: Writer): Writer => {
    writer.array(4);
    writer.text("Signature1");
    writer.bytes(protectedHeader);
    writer.bytes(new Uint8Array(0));
    writer.bytes(payload);
    return writer;
  };
  const structure = new Uint8Array(write(new Writer()).length);
  write(new Writer(structure));
  return verifyP384(key, structure, signature);
}
