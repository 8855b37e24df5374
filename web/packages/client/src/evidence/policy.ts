/** What a client trusts. Every way to make a policy names what it trusts; none trusts everything by default. */

import { type Bytes, equal, fromHex } from "../bytes.js";
import { labelledHash } from "../crypto/kdf.js";
import { EvidenceError } from "./error.js";
import type { NitroDocument } from "./payload.js";

/** Most images a client trusts at once: a few releases and their patches. */
const IMAGES_MAX = 64;
const PCR_BYTES = 48;
/** The registers every image is known by. */
const MANDATORY = [0, 1, 2] as const;

/**
 * SHA-256 of the DER of the certificate "AWS Nitro Enclaves Root G1", the fingerprint that AWS publishes. Not the hash of the zip
 * archive AWS offers, nor of the PEM file inside.
 */
const AWS_G1_SHA256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/** A trusted image: registers by number, in hex as `nitro-cli build-enclave` prints them. 0, 1 and 2 must be there. */
export type NitroImage = Readonly<Record<number, string>>;

/** Registers by number. */
export type Pcrs = ReadonlyMap<number, Bytes>;

/** Hardware evidence of these images, and no other. */
export interface NitroTrust {
  readonly kind: "nitro";
  readonly images: readonly Pcrs[];
  readonly rootSha256: Bytes;
  readonly isAws: boolean;
}

/** Somebody's word, which proves nothing. */
export interface DevelopmentTrust {
  readonly kind: "development";
  /** `undefined`: whatever was built last. */
  readonly measurements: readonly Bytes[] | undefined;
}

/** Which evidence a client accepts: one kind, and of that the images named. */
export class Policy {
  readonly trust: NitroTrust | DevelopmentTrust;

  /** Use {@link Policy.nitro} or {@link Policy.development}. */
  private constructor(trust: NitroTrust | DevelopmentTrust) {
    this.trust = trust;
  }

  /** AWS Nitro evidence of one of these images, under AWS's root, and nothing else. Throws a `RangeError` for a bad list. */
  static nitro(images: readonly NitroImage[]): Policy {
    return new Policy(nitroTrust(images, hexOf(AWS_G1_SHA256, 32), true));
  }

  /** As {@link Policy.nitro} under a root made for a test. */
  static nitroUnderTestRoot(images: readonly NitroImage[], rootSha256: Bytes): Policy {
    return new Policy(nitroTrust(images, rootSha256, false));
  }

  /**
   * Software evidence and nothing else; `measurements` are SHA-256 values in hex, or `"any"`. To be called where a person asked for
   * development mode, never as a fallback.
   */
  static development(options: { iUnderstandThisProvesNothing: true; measurements: "any" | readonly string[] }): Policy {
    const { iUnderstandThisProvesNothing, measurements } = options;
    if (iUnderstandThisProvesNothing !== true) throw new RangeError("development mode has to be asked for");
    if (measurements !== "any") checkCount(measurements);
    const listed = measurements === "any" ? undefined : measurements.map((text) => hexOf(text, 32));
    return new Policy({ kind: "development", measurements: listed });
  }
}

function nitroTrust(images: readonly NitroImage[], rootSha256: Bytes, isAws: boolean): NitroTrust {
  checkCount(images);
  return { kind: "nitro", images: images.map(readImage), rootSha256, isAws };
}

function checkCount(items: readonly unknown[]): void {
  if (items.length === 0 || items.length > IMAGES_MAX) throw new RangeError(`a policy names 1 to ${IMAGES_MAX} images`);
}

function readImage(image: NitroImage): Pcrs {
  const pcrs = new Map(Object.entries(image).map(([index, value]) => [Number(index), hexOf(value, PCR_BYTES)]));
  for (const index of MANDATORY) {
    if (!pcrs.has(index)) throw new RangeError(`an image without PCR ${index}`);
  }
  for (const [index, value] of pcrs) {
    if (!Number.isInteger(index) || index < 0 || index > 31) throw new RangeError(`no such register: ${index}`);
    if (isZero(value)) throw new RangeError(`PCR ${index} is all zeros, which is debug mode or a register not in use`);
  }
  return pcrs;
}

function hexOf(text: string, length: number): Bytes {
  const bytes = fromHex(text);
  if (bytes?.length !== length) throw new RangeError(`not ${length} bytes in hex: ${text}`);
  return bytes;
}

function isZero(value: Bytes): boolean {
  return value.every((byte) => byte === 0);
}

/** The trusted image that the document names; throws {@link EvidenceError}. */
export function findImage(images: readonly Pcrs[], document: NitroDocument): Pcrs {
  for (const index of MANDATORY) {
    const value = document.pcrs.get(index);
    if (value === undefined) throw new EvidenceError("pcr_missing");
    if (isZero(value)) throw new EvidenceError("debug_mode");
  }
  const matches = (image: Pcrs) =>
    [...image].every(([index, value]) => {
      const stated = document.pcrs.get(index);
      return stated !== undefined && equal(stated, value);
    });
  const found = images.find(matches);
  if (found === undefined) throw new EvidenceError("image_not_trusted");
  return found;
}

/** One name for an image in Pinseal's own terms: a hash of PCR 0, 1 and 2. For display; trust is decided by the registers. */
export function measurementOf(image: Pcrs): Promise<Bytes> {
  return labelledHash(
    "pinseal nitro measurement v1",
    MANDATORY.map((index) => image.get(index) ?? new Uint8Array(0)),
  );
}
