/** What a client keeps: device key, session, pinned keys and addresses, newest receipt. */

import type { Bytes } from "../bytes.js";
import { PinsealError } from "../errors.js";
import type { Outgoing } from "../outgoing.js";
import type { AnchorLevel } from "../protocol/manifest.js";
import type { DeviceKey } from "./device.js";

/** Everything one person on one device keeps for one deployment. Everything in it survives a structured clone. */
export interface Profile {
  readonly device: DeviceKey;
  readonly session: Session | undefined;
  /** The deployment this profile trusted first. */
  readonly deployment: PinnedDeployment | undefined;
  /** What protects a PIN there, as somebody was told last. */
  readonly protection: Protection | undefined;
  /** The highest level that the deployment promised never to run below, whether or not somebody was told. Older profiles have none. */
  readonly floor?: AnchorLevel;
  /** Wallets by the e-mail address, in lower case, that their owner logs in with. */
  readonly wallets: ReadonlyMap<string, PinnedWallet>;
  /** The newest signed checkpoint seen. */
  readonly receipt: Receipt | undefined;
  /** What was signed to be sent and is not settled, in the order in which it was signed; whoever was logged in. */
  readonly outgoing: readonly Outgoing[];
}

/** As it may lie in a store: one that was written before outgoing transactions were kept has none. */
export type StoredProfile = Omit<Profile, "outgoing"> & Partial<Pick<Profile, "outgoing">>;

/** A login session. The tokens are bound to the device key, without which they are worth nothing. */
export interface Session {
  /** Who logged in, as typed by them, in lower case. */
  readonly user: string;
  /** The host's name for the user. */
  readonly userId: string;
  readonly sessionId: string;
  readonly accessToken: string;
  /** Unix seconds. */
  readonly accessExpires: number;
  /** Good for one use. */
  readonly refreshToken: string;
}

/** The identity of a deployment, trusted on first use and never changed afterwards. */
export interface PinnedDeployment {
  readonly deployment: Bytes;
  /** Its log key K_log. */
  readonly log: Bytes;
}

/** What a deployment's sealed configuration says, as far as it shows. Operators may change it; a person is told. */
export interface Protection {
  /** H(configuration) in hex. */
  readonly configuration: string;
  /** Level in use. */
  readonly anchor: AnchorLevel;
  /** Level below which the deployment never runs. */
  readonly floor: AnchorLevel;
  /** How many witnesses must cosign, 0 where there are none. */
  readonly required: number;
  /** The witnesses' verifier keys, by name. */
  readonly witnesses: readonly string[];
  /** The key that the deployment's TPM attests with, and the handle of its index, at L2. */
  readonly tpm?: string;
}

/** Nobody has to be told of a difference. */
export function isSameProtection(one: Protection | undefined, other: Protection): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** A user's wallet as this device knows it: an address that is another one later is refused. */
export interface PinnedWallet {
  /** Its name towards the enclave. */
  readonly wallet: Bytes;
  /** Address in its EIP-55 spelling by BIP-44 path, each once vouched for by K_log. */
  readonly addresses: ReadonlyMap<string, string>;
}

/** The newest signed checkpoint and the boot it came from. */
export interface Receipt {
  /** C2SP signed note, verified when it was stored. */
  readonly note: Bytes;
  /** Leaves it covers. */
  readonly size: bigint;
  readonly root: Bytes;
  /** H(manifest) of the boot that gave it. */
  readonly manifest: Bytes;
}

/** The wallet of whoever is logged in, once an enclave has answered for it. */
export function currentWallet({ session, wallets }: Profile): PinnedWallet | undefined {
  return session && wallets.get(session.user);
}

/** The profile cannot be used. Nothing was sent. */
export class ProfileError extends PinsealError {
  constructor(code: "profile_unavailable", cause: unknown) {
    super(code, "the profile's storage failed", { cause });
  }
}
