/** One certificate of the chain, reduced to what path validation needs (RFC 5280). */

import { type Bytes, concat, equal, fromUtf8, toHex } from "../bytes.js";
import { bitString, boolean, checkDer, Der, DerError, type Element, natural, TAG } from "./der.js";

/** Object identifiers as DER content. */
const OID = {
  ecdsaWithSha384: "2a8648ce3d040303",
  ecPublicKey: "2a8648ce3d0201",
  secp384r1: "2b81040022",
  basicConstraints: "551d13",
  keyUsage: "551d0f",
};

/** Context-specific, constructed: version, unique ids, extensions. */
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const V3 = 2;
const POINT_BYTES = 97;
const SCALAR_BYTES = 48;

/** A check that a certificate fails; the name without its prefix `certificate_`. */
export class CertificateError extends Error {
  readonly check: string;

  constructor(check: string) {
    super(check);
    this.check = check;
  }
}

export interface Constraints {
  readonly isCritical: boolean;
  readonly isAuthority: boolean;
  readonly pathLength: number | undefined;
}

export interface KeyUsage {
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
}

export interface Certificate {
  /** The DER its signature covers. */
  readonly tbs: Bytes;
  readonly signature: Bytes;
  readonly issuer: Bytes;
  readonly subject: Bytes;
  /** Unix seconds; both ends belong to the span. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** An uncompressed point of P-384. Whether it lies on the curve is checked where it verifies something. */
  readonly key: Bytes;
  readonly constraints: Constraints | undefined;
  readonly usage: KeyUsage | undefined;
}

/** Reads a certificate that is DER through and through; throws {@link CertificateError}. */
export function readCertificate(der: Bytes): Certificate {
  try {
    checkDer(der);
    return read(der);
  } catch (error) {
    throw error instanceof DerError ? new CertificateError("malformed") : error;
  }
}

function read(der: Bytes): Certificate {
  const outer = new Der(der);
  const certificate = outer.inside(TAG.sequence);
  outer.end();
  const tbs = certificate.element(TAG.sequence);
  const algorithm = certificate.element(TAG.sequence);
  const signature = bitString(certificate.element(TAG.bitString).content);
  certificate.end();

  const body = new Der(tbs.content);
  if (body.peek() !== VERSION) throw new CertificateError("version");
  const version = body.inside(VERSION);
  if (version.element(TAG.integer).content[0] !== V3 || !version.isEmpty) throw new CertificateError("version");
  natural(body.element(TAG.integer).content);
  const inner = body.element(TAG.sequence);
  const issuer = body.element(TAG.sequence).whole;
  const validity = body.inside(TAG.sequence);
  const [notBefore, notAfter] = [time(validity.any()), time(validity.any())];
  validity.end();
  const subject = body.element(TAG.sequence).whole;
  const keyInfo = body.inside(TAG.sequence);
  // Unique ids would stand here; nobody has used them since 1993.
  const extensions = body.isEmpty ? [] : readExtensions(body.inside(EXTENSIONS));
  body.end();

  if (!equal(algorithm.whole, inner.whole) || !isEcdsaWithSha384(inner)) throw new CertificateError("algorithm");
  checkExtensions(extensions);
  return {
    tbs: tbs.whole,
    signature: signature.bytes,
    issuer,
    subject,
    notBefore,
    notAfter,
    key: point(keyInfo),
    constraints: basicConstraints(extensions),
    usage: keyUsage(extensions),
  };
}

/** RFC 5758: the parameters are absent. */
function isEcdsaWithSha384(algorithm: Element): boolean {
  return toHex(algorithm.content) === `0608${OID.ecdsaWithSha384}`;
}

function point(keyInfo: Der): Bytes {
  const algorithm = toHex(keyInfo.element(TAG.sequence).content);
  const { unused, bytes } = bitString(keyInfo.element(TAG.bitString).content);
  keyInfo.end();
  const isP384 = algorithm === `0607${OID.ecPublicKey}0605${OID.secp384r1}`;
  if (!isP384 || unused !== 0 || bytes.length !== POINT_BYTES || bytes[0] !== 4) throw new CertificateError("key");
  return bytes;
}

/** UTCTime and GeneralizedTime in the forms of RFC 5280, section 4.1.2.5. */
function time({ tag, content }: Element): number {
  const text = fromUtf8(content) ?? "";
  const short = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const long = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  const match = tag === TAG.utcTime ? short : tag === TAG.generalizedTime ? long : null;
  if (match === null) throw new DerError("not a time");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const full = tag === TAG.utcTime ? year + (year < 50 ? 2000 : 1900) : year;
  const date = new Date(Date.UTC(full, month - 1, day, hour, minute, second));
  const isDate =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  if (!isDate || full < 1970) throw new DerError("not a date");
  return date.getTime() / 1000;
}

interface Extension {
  readonly oid: string;
  readonly isCritical: boolean;
  readonly value: Bytes;
}

function readExtensions(explicit: Der): Extension[] {
  const list = explicit.inside(TAG.sequence);
  explicit.end();
  const out: Extension[] = [];
  while (!list.isEmpty) {
    const extension = list.inside(TAG.sequence);
    const oid = toHex(extension.element(TAG.oid).content);
    const isCritical = extension.peek() === TAG.boolean && trueByDer(extension);
    out.push({ oid, isCritical, value: extension.element(TAG.octetString).content });
    extension.end();
  }
  return out;
}

/** A boolean whose default is false: DER leaves the default out. */
function trueByDer(reader: Der): true {
  if (!boolean(reader.element(TAG.boolean).content)) throw new CertificateError("not_canonical");
  return true;
}

/** Each extension once, and none critical that is not processed here. */
function checkExtensions(extensions: readonly Extension[]): void {
  for (const [place, { oid, isCritical }] of extensions.entries()) {
    if (extensions.slice(place + 1).some((other) => other.oid === oid))
      throw new CertificateError("duplicate_extension");
    if (isCritical && oid !== OID.basicConstraints && oid !== OID.keyUsage)
      throw new CertificateError("critical_extension");
  }
}

function basicConstraints(extensions: readonly Extension[]): Constraints | undefined {
  const found = extensions.find(({ oid }) => oid === OID.basicConstraints);
  if (found === undefined) return undefined;
  const value = new Der(found.value);
  const inner = value.inside(TAG.sequence);
  value.end();
  const isAuthority = inner.peek() === TAG.boolean && trueByDer(inner);
  const length = inner.isEmpty ? undefined : natural(inner.element(TAG.integer).content);
  inner.end();
  if (length !== undefined && length.length > 1) throw new DerError("a path length beyond 255");
  return { isCritical: found.isCritical, isAuthority, pathLength: length && (length[0] ?? 0) };
}

function keyUsage(extensions: readonly Extension[]): KeyUsage | undefined {
  const found = extensions.find(({ oid }) => oid === OID.keyUsage);
  if (found === undefined) return undefined;
  const value = new Der(found.value);
  const { unused, bytes } = bitString(value.element(TAG.bitString).content);
  value.end();
  // A named bit list ends with a bit that is set (X.690, section 11.2.2).
  const isShortest = bytes.length === 0 || ((bytes.at(-1) ?? 0) >> unused) & 1;
  if (!isShortest) throw new CertificateError("not_canonical");
  const first = bytes[0] ?? 0;
  return { digitalSignature: (first & 0x80) !== 0, keyCertSign: (first & 0x04) !== 0 };
}

/** ECDSA over P-384 with SHA-384, the signature as r || s. */
export async function verifyP384(key: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
  try {
    const algorithm = { name: "ECDSA", namedCurve: "P-384" };
    const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["verify"]);
    return await crypto.subtle.verify({ name: "ECDSA", hash: "SHA-384" }, imported, signature, message);
  } catch {
    return false;
  }
}

/** As {@link verifyP384}, the signature in DER. */
export async function verifyP384Der(key: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
  try {
    const outer = new Der(signature);
    const pair = outer.inside(TAG.sequence);
    outer.end();
    const [r, s] = [scalar(pair), scalar(pair)];
    pair.end();
    return await verifyP384(key, message, concat(r, s));
  } catch {
    return false;
  }
}

function scalar(pair: Der): Bytes {
  const magnitude = natural(pair.element(TAG.integer).content);
  if (magnitude.length > SCALAR_BYTES) throw new DerError("a scalar beyond the curve's order");
  return concat(new Uint8Array(SCALAR_BYTES - magnitude.length), magnitude);
}
