/** Evidence, manifest and the boot's checkpoint: what is verified before anybody is asked for a PIN. */

import { Attested } from "./attested.js";
import { equal, toHex, utf8 } from "./bytes.js";
import { decode } from "./cbor/codec.js";
import { CborError } from "./cbor/error.js";
import type { Client } from "./client.js";
import { EvidenceError } from "./evidence/error.js";
import { type Verified, verifyEvidence } from "./evidence/verify.js";
import { isSameProtection, type PinnedDeployment, type Protection } from "./profile/profile.js";
import {
  type AnchorLevel,
  MANIFEST_VERSION,
  type Manifest,
  manifest,
  manifestHash,
  type Quorum,
  type Tpm,
} from "./protocol/manifest.js";
import { isKeyName, KIND_COSIGNATURE, verifierKey } from "./protocol/note.js";
import { checkBoot, readReceipt, restoresOf } from "./receipt.js";

/** Oldest evidence accepted. The nonce proves that it is fresh; this bounds the difference of the two clocks. */
const AGE_SECONDS_MAX = 300;
/** Witnesses of one deployment. */
const WITNESSES_MAX = 16;

/**
 * Fetches evidence for a fresh nonce and verifies it, the manifest and the boot's checkpoint; trusts a deployment on first use and
 * never another one afterwards. Throws {@link EvidenceError}, {@link ReceiptError} or {@link ApiError}; then nothing was pinned.
 */
export async function attest(client: Client, user?: string): Promise<Attested> {
  const { environment, policy, vault, wallet } = client;
  const nonce = environment.random(32);
  const answer = await wallet.evidence(nonce);
  const hash = await manifestHash(answer.manifest);
  const expected = { userData: hash, nonce, now: environment.now(), ageSecondsMax: AGE_SECONDS_MAX };
  const verified = await verifyEvidence(answer.document, policy, expected);
  const read = readManifest(answer.manifest);
  checkManifest(read, verified);
  const shown = { deployment: read.deployment, log: read.log };
  const boot = await readReceipt(read.checkpoint, hash, shown);
  const protection = await protectionOf(read);
  let isFirstUse = false;
  let before: Protection | undefined;
  let restored: number | undefined;
  await vault.update((profile) => {
    if (profile.deployment !== undefined) checkSame(profile.deployment, shown);
    restored = checkBoot(profile.receipt, boot);
    isFirstUse = profile.deployment === undefined;
    before = profile.protection;
    // A page from before floors were kept leaves the floor as it was, and what it acknowledges says a higher one.
    const floor = higher(profile.floor, before?.floor);
    if (floor !== undefined && level(protection.floor) < level(floor)) {
      const message = `the deployment promised this device never to run below ${floor}, and now says ${protection.floor}`;
      throw new EvidenceError("floor_lowered", { message });
    }
    // A boot on another branch may be as long as it likes: only a reply shows, once the enclave has compared the two, that what it
    // brings continues the receipt held here.
    const receipt = profile.receipt ?? boot;
    // A change is remembered once somebody was told, and until then told again; a promise at once.
    return { ...profile, receipt, deployment: shown, protection: before ?? protection, floor: protection.floor };
  });
  const isChanged = before !== undefined && !isSameProtection(before, protection);
  const facts = { verified, isFirstUse, protection, protectionBefore: isChanged ? before : undefined, restored };
  return new Attested(client, { manifest: read, hash, deployment: shown, restores: restoresOf(boot) }, facts, user);
}

async function protectionOf({ configuration, anchor, floor, witnesses, tpm }: Manifest): Promise<Protection> {
  const keys: string[] = [];
  for (const { name, key } of witnesses?.witnesses ?? []) keys.push(await verifierKey(name, KIND_COSIGNATURE, key));
  const shown = {
    configuration: toHex(configuration),
    anchor,
    floor,
    required: witnesses?.required ?? 0,
    witnesses: keys,
  };
  if (tpm === undefined) return shown;
  return { ...shown, tpm: `${toHex(tpm.attester)} 0x${tpm.index.toString(16).padStart(8, "0")}` };
}

/** The higher of two levels, or the one that is there. */
function higher(one: AnchorLevel | undefined, other: AnchorLevel | undefined): AnchorLevel | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return level(one) < level(other) ? other : one;
}

/** The place of a level in their order. */
function level(name: AnchorLevel): number {
  return ["L0", "L1", "L2", "L4"].indexOf(name);
}

function readManifest(encoded: Uint8Array): Manifest {
  try {
    return decode(manifest, encoded);
  } catch (cause) {
    if (!(cause instanceof CborError)) throw cause;
    throw new EvidenceError("manifest_malformed", { cause, message: "the manifest is not understood" });
  }
}

function checkManifest({ version, anchor, floor, witnesses, tpm }: Manifest, { kind }: Verified): void {
  if (version !== MANIFEST_VERSION) throw new EvidenceError("protocol_version");
  // L0 holds against nothing; beside evidence that proves nothing it does no further harm.
  const least = Math.max(level(floor), level(kind === "software" ? "L0" : "L1"));
  if (level(anchor) < least) throw new EvidenceError("anchor_too_low");
  const fits = witnesses === undefined ? anchor !== "L4" : anchor === "L4" && isQuorum(witnesses);
  if (!fits) throw new EvidenceError("witnesses_invalid");
  const fitsTpm = tpm === undefined ? anchor !== "L2" : anchor === "L2" && isTpm(tpm);
  if (!fitsTpm) throw new EvidenceError("tpm_invalid");
}

/** An uncompressed point, and a handle that is left to owners. */
function isTpm({ attester, index }: Tpm): boolean {
  return attester[0] === 4 && index >= 0x0180_0000 && index <= 0x01bf_ffff;
}

/** More than half of the witnesses, which are in ascending order of their names, each name and each key once. */
function isQuorum({ required, witnesses }: Quorum): boolean {
  const n = witnesses.length;
  // The order of UTF-8 bytes is that of their hex.
  const names = witnesses.map(({ name }) => toHex(utf8(name)));
  const isAscending = names.every((name, at) => at === 0 || (names[at - 1] ?? "") < name);
  const keys = new Set(witnesses.map(({ key }) => toHex(key)));
  const isList = n >= 1 && n <= WITNESSES_MAX && keys.size === n && isAscending;
  return isList && witnesses.every(({ name }) => isKeyName(name)) && required * 2 > n && required <= n;
}

function checkSame(pinned: PinnedDeployment, shown: PinnedDeployment): void {
  if (!equal(pinned.deployment, shown.deployment)) {
    const message = `this is another deployment (${toHex(shown.deployment)}) than the one this device trusts (${toHex(pinned.deployment)})`;
    throw new EvidenceError("deployment_changed", { message });
  }
  if (!equal(pinned.log, shown.log)) throw new EvidenceError("log_key_changed");
}
