/**
 * What a sealed reply leaves for the next request of its kind, so that a second signature needs no `begin`.
 *
 * Invariant: a PIN typed once is charged at most once, whatever the host says. What a reply left is used once. If the host then
 * refuses the request in clear, which may be a lie that hides a verdict, the PIN goes into a second request only under a challenge for
 * the same version of the record: of two requests for one version the enclave decides one.
 */

import type { ApiError } from "../api/error.js";
import type { LoggedIn } from "../api/session.js";
import { type Bytes, equal } from "../bytes.js";
import { currentWallet } from "../profile/profile.js";
import { type BeginReply, challengeVersion } from "../protocol/begin.js";
import type { Method } from "../protocol/method.js";

/** Shorter than a storage token (300 s) and a challenge (600 s) live; whoever waits longer begins again. */
const KEPT_SECONDS_MAX = 240;

/** A challenge and the storage token that goes with it. */
export interface Kept {
  readonly begin: BeginReply;
  readonly storageToken: string;
  readonly user: string;
  /** Unix seconds. */
  readonly since: number;
}

/** A request under a kept challenge that the host refused in clear: it may have been carried out. */
interface Doubt {
  readonly begin: BeginReply;
  readonly said: ApiError;
}

/** The one place of a client for both. In memory only. */
export class Continuation {
  #kept: Kept | undefined;
  #doubt: Doubt | undefined;

  keep(kept: Kept): void {
    this.#kept = kept;
  }

  /** Takes what serves this request; what serves no request of this method any more is forgotten. */
  take(manifest: Bytes, method: Method, device: Bytes, { profile, session }: LoggedIn, now: number): Kept | undefined {
    const kept = this.#kept;
    if (kept === undefined || kept.begin.method !== method) return undefined;
    this.#kept = undefined;
    const { begin } = kept;
    const pinned = currentWallet(profile);
    const serves =
      equal(begin.manifest, manifest) &&
      equal(begin.device, device) &&
      kept.user === session.user &&
      (pinned === undefined || equal(pinned.wallet, begin.wallet)) &&
      now < kept.since + KEPT_SECONDS_MAX;
    return serves ? kept : undefined;
  }

  doubt(begin: BeginReply, said: ApiError): void {
    this.#doubt = { begin, said };
  }

  /** What is in doubt about this wallet and method: what the host had said, and whether the request was not decided yet. */
  takeDoubt(begin: BeginReply): { said: ApiError; stands: boolean } | undefined {
    const doubt = this.#doubt;
    if (doubt === undefined || doubt.begin.method !== begin.method || !equal(doubt.begin.wallet, begin.wallet)) {
      return undefined;
    }
    this.#doubt = undefined;
    const before = challengeVersion(doubt.begin.challenge);
    return { said: doubt.said, stands: before !== undefined && before === challengeVersion(begin.challenge) };
  }
}
