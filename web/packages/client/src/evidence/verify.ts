/** Checking evidence, before a client asks for a PIN. Fails closed, and there is no way to check without a policy. */

import { type Bytes, concat, equal, fromHex, utf8 } from "../bytes.js";
import { bytes, decode, fixed, struct, u64, type Value, variant, variants } from "../cbor/codec.js";
import { CborError } from "../cbor/error.js";
import { verifyEd25519 } from "../crypto/ed25519.js";
import { CLOCK_SKEW_SECONDS_MAX, verifyChain } from "./chain.js";
import { readSign1, verifySign1 } from "./cose.js";
import { EvidenceError } from "./error.js";
import { type NitroDocument, readPayload } from "./payload.js";
import { type DevelopmentTrust, findImage, measurementOf, type NitroTrust, type Policy } from "./policy.js";

/** Longest document a verifier looks at. */
const DOCUMENT_BYTES_MAX = 16 * 1024;
/** The development key, which everybody has. */
const DEVELOPMENT_KEY =
  fromHex("7785ecf2e9fdefa0d771293e016094b5be34ac3abbde49c64a1878f827a859c5") ?? new Uint8Array(32);

/** The sentences a client must show with the evidence it accepted. */
const STATEMENTS = {
  development:
    "Development evidence: signed with a key that everyone has. It proves nothing about hardware; " +
    "whoever runs this server can read what is sealed to it.",
  nitro:
    "AWS Nitro evidence: AWS's hypervisor states that an image this device trusts runs in an enclave that is not in debug mode. " +
    "It is worth as much as AWS and as the PCR values given to this device.",
  test: "Evidence under a test root: it has the form of AWS Nitro evidence and proves nothing about hardware.",
};

const documentCodec = variants({
  software: variant(0, { payload: bytes, signature: bytes }),
  nitro: variant(1, { cose: bytes }),
});

const softwarePayload = struct({ measurement: fixed(32), userData: fixed(32), nonce: fixed(32), time: u64 });

/** What the client itself knows and the evidence has to match. */
export interface Expected {
  /** H(manifest) of the manifest that came beside the evidence. */
  readonly userData: Bytes;
  /** The nonce the client chose for this question. */
  readonly nonce: Bytes;
  /** The client's clock in Unix seconds. */
  readonly now: number;
  readonly ageSecondsMax: number;
}

/** What checked evidence says. */
export interface Verified {
  readonly kind: "software" | "nitro";
  /** The enclave image it names. */
  readonly measurement: Bytes;
  /** When it was made, in Unix seconds. */
  readonly time: bigint;
  /** What this evidence is worth, in plain words; clients must show it. */
  readonly statement: string;
  /** All that Nitro evidence says. */
  readonly nitro?: NitroDocument;
}

/** Checks `document` against `policy` and what the client expects; throws {@link EvidenceError}. */
export async function verifyEvidence(document: Bytes, policy: Policy, expected: Expected): Promise<Verified> {
  if (document.length > DOCUMENT_BYTES_MAX) throw new EvidenceError("document_too_long");
  const { trust } = policy;
  const read = decodeDocument(documentCodec, document);
  // The kind is refused before its signature is looked at.
  if (read.kind === "software") {
    if (trust.kind !== "development") throw new EvidenceError("software_evidence_refused");
    return verifySoftware(read.payload, read.signature, trust, expected);
  }
  if (trust.kind !== "nitro") throw new EvidenceError("nitro_evidence_refused");
  return verifyNitro(read.cose, trust, expected);
}

/** Whether `cose` is a genuine document under this root at the time `now`. Not yet evidence of anything. */
export async function authenticate(cose: Bytes, rootSha256: Bytes, now: number): Promise<NitroDocument> {
  const message = readSign1(cose);
  const { document, certificates } = readPayload(message.payload);
  const leaf = await verifyChain(certificates, rootSha256, now);
  if (!(await verifySign1(message, leaf))) throw new EvidenceError("signature_wrong");
  return document;
}

/** Genuine first, then meant for this question, then of a trusted image. */
async function verifyNitro(cose: Bytes, trust: NitroTrust, expected: Expected): Promise<Verified> {
  const nitro = await authenticate(cose, trust.rootSha256, expected.now);
  const { userData, nonce } = nitro;
  if (userData === undefined) throw new EvidenceError("user_data_missing");
  if (nonce === undefined) throw new EvidenceError("nonce_missing");
  const time = nitro.timeMilliseconds / 1000n;
  checkFresh({ userData, nonce, time }, expected);
  const measurement = await measurementOf(findImage(trust.images, nitro));
  return { kind: "nitro", measurement, time, statement: trust.isAws ? STATEMENTS.nitro : STATEMENTS.test, nitro };
}

async function verifySoftware(
  payload: Bytes,
  signature: Bytes,
  trust: DevelopmentTrust,
  expected: Expected,
): Promise<Verified> {
  const message = concat(utf8("pinseal/evidence/software/v1\0"), payload);
  if (!(await verifyEd25519(DEVELOPMENT_KEY, message, signature))) throw new EvidenceError("signature_wrong");
  const said: Value<typeof softwarePayload> = decodeDocument(softwarePayload, payload);
  checkFresh(said, expected);
  const isTrusted = trust.measurements?.some((measurement) => equal(measurement, said.measurement)) ?? true;
  if (!isTrusted) throw new EvidenceError("image_not_trusted");
  return { kind: "software", measurement: said.measurement, time: said.time, statement: STATEMENTS.development };
}

/** The checks every kind shares. */
function checkFresh(said: { userData: Bytes; nonce: Bytes; time: bigint }, expected: Expected): void {
  if (!equal(said.userData, expected.userData)) throw new EvidenceError("user_data_wrong");
  if (!equal(said.nonce, expected.nonce)) throw new EvidenceError("nonce_wrong");
  const now = BigInt(expected.now);
  if (said.time > now + BigInt(CLOCK_SKEW_SECONDS_MAX)) throw new EvidenceError("from_the_future");
  if (now - said.time > BigInt(expected.ageSecondsMax)) throw new EvidenceError("too_old");
}

function decodeDocument<T>(codec: Parameters<typeof decode<T>>[0], encoded: Bytes): T {
  try {
    return decode(codec, encoded);
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    throw new EvidenceError("document_malformed", { cause: error });
  }
}
