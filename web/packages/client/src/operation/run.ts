/** Sealed operations: begin, PIN factor, seal, send, open, check. One path for all of them. */

import { pinAccounts } from "../account.js";
import { ApiError } from "../api/error.js";
import { type LoggedIn, sessionIn } from "../api/session.js";
import { SealedFailure } from "../api/wallet.js";
import { type Bytes, equal, utf8 } from "../bytes.js";
import { decode, encode } from "../cbor/codec.js";
import type { Client } from "../client.js";
import { sha256 } from "../crypto/kdf.js";
import { signEs256, thumbprint } from "../profile/device.js";
import { currentWallet, type PinnedDeployment, type Receipt } from "../profile/profile.js";
import { BeginError, type BeginReply, beginOfNext, signedBeginReply, verifyBegin } from "../protocol/begin.js";
import { type ReplyOpener, seal } from "../protocol/envelope.js";
import type { Manifest } from "../protocol/manifest.js";
import { continues } from "../protocol/method.js";
import { type Next, type Outcome, type Reply, sealedReply, type Tries } from "../protocol/reply.js";
import { isWithinBounds, REQUEST_VERSION, type Request, sealedRequest } from "../protocol/request.js";
import { checkContinues, keepReceipt, readReceipt, restored, restoresOf } from "../receipt.js";
import { type Ask, erase, requestOf } from "./ask.js";
import {
  DelayedError,
  FaultError,
  LockedError,
  RefusedError,
  ReplyLostError,
  ServiceFaultError,
  WrongPinError,
} from "./error.js";
import type { Kept } from "./kept.js";

/** A verified boot, as operations need it. */
export interface Boot {
  readonly manifest: Manifest;
  /** H(manifest). */
  readonly hash: Bytes;
  readonly deployment: PinnedDeployment;
  /** Restores so far, as the boot's checkpoint says. */
  readonly restores: number;
}

/** A believed reply of a successful operation. */
export interface Answer {
  readonly outcome: Outcome;
  readonly tries: Tries;
  readonly wallet: Bytes;
  /** Who was logged in when it was asked. */
  readonly user: string;
  /** The checkpoint that came with the reply, verified. */
  readonly receipt: Receipt;
}

/** Tries where there is no wallet. */
const NO_TRIES: Tries = { left: 0, lifeLeft: 0, delaySeconds: 0 };

/** Codes by which a host says that a request under a kept challenge goes no further. */
const BEGIN_AGAIN: ReadonlySet<string> = new Set(["storage_token_refused", "evidence_outdated"]);

export class Operation {
  readonly #client: Client;
  readonly #boot: Boot;
  readonly #ask: Ask;
  /** Whose it is. A PIN is theirs, so nothing is sent for anybody else who logs in meanwhile. */
  readonly #user: string;

  constructor(client: Client, boot: Boot, ask: Ask, user: string) {
    this.#client = client;
    this.#boot = boot;
    this.#ask = ask;
    this.#user = user;
  }

  /**
   * Runs the operation, under what the last reply left for it or under a fresh `begin`. Refusals that a fresh session or challenge
   * cures are cured once; the enclave said them inside the sealed reply, before a charge, so repeating the PIN factor costs nothing.
   */
  async run(): Promise<Answer> {
    let kept: Answer | "begin again" | undefined;
    try {
      kept = await this.#underKept();
      if (kept === undefined) return await this.#underBegin();
    } catch (error) {
      await this.#cure(error);
      return this.#underBegin();
    }
    // After a refusal in clear there is no second repeat.
    return kept === "begin again" ? this.#underBegin() : kept;
  }

  /** Throws what no repeat cures. */
  async #cure(error: unknown): Promise<void> {
    const refusal = error instanceof RefusedError ? error.refusal : undefined;
    if (refusal === "token_expired") {
      await this.#client.sessions.refresh(sessionIn(await this.#client.vault.read(), this.#user));
    } else if (refusal !== "challenge_invalid") throw error;
  }

  /** The operation without a `begin`, if the last reply left a challenge for it. */
  async #underKept(): Promise<Answer | "begin again" | undefined> {
    if (!continues(this.#ask.kind)) return undefined;
    const { continuation, sessions, environment } = this.#client;
    const loggedIn = await sessions.valid(this.#user);
    const device = await thumbprint(loggedIn.profile.device);
    const kept = continuation.take(this.#boot.hash, this.#ask.kind, device, loggedIn, environment.now());
    if (kept === undefined) return undefined;
    try {
      return await this.#exchange(kept.begin, kept.storageToken, loggedIn);
    } catch (error) {
      // Said in clear: by an honest host that has restarted, or by one that hides a verdict.
      const said = error instanceof ReplyLostError ? error.said : error;
      if (!(said instanceof ApiError) || !BEGIN_AGAIN.has(said.code)) throw error;
      continuation.doubt(kept.begin, said);
      return "begin again";
    }
  }

  /** The operation under a fresh `begin`. */
  async #underBegin(): Promise<Answer> {
    const answer = await this.#client.wallet.begin(this.#ask.kind, this.#user);
    const loggedIn = await this.#client.sessions.valid(this.#user);
    const begin = await this.#believe(answer.begin, loggedIn);
    const doubt = this.#client.continuation.takeDoubt(begin);
    if (doubt !== undefined && !doubt.stands) throw new ReplyLostError(doubt.said);
    try {
      return await this.#exchange(begin, answer.storage_token, loggedIn);
    } catch (error) {
      // The wallet moved or is about to, and it may be the request in doubt that moves it.
      const mayBeDecided =
        error instanceof RefusedError && (error.refusal === "challenge_invalid" || error.refusal === "wallet_busy");
      throw doubt !== undefined && mayBeDecided ? new ReplyLostError(doubt.said) : error;
    }
  }

  /** The begin reply, if the attested boot signed it for this device, operation and wallet. */
  async #believe(encoded: Bytes, { profile }: LoggedIn): Promise<BeginReply> {
    const signed = readOr("reply_malformed", () => decode(signedBeginReply, encoded));
    const device = await thumbprint(profile.device);
    const expected = { manifest: this.#boot.hash, device, method: this.#ask.kind };
    const begin = await verifyBegin(signed, this.#boot.manifest.boot, expected);
    const pinned = currentWallet(profile);
    if (pinned !== undefined && !equal(pinned.wallet, begin.wallet)) throw new FaultError("wallet_changed");
    return begin;
  }

  /** Seals, sends, opens and judges one request. */
  async #exchange(begin: BeginReply, storageToken: string, { profile, session }: LoggedIn): Promise<Answer> {
    // Before a PIN becomes a factor: what was tried since the state that was put back, nobody knows.
    const isBehind = profile.receipt !== undefined && restoresOf(profile.receipt) < this.#boot.restores;
    if (isBehind && this.#ask.kind !== "accept_restore") throw restored(this.#boot.restores);
    const request = await requestOf(this.#ask, begin, this.#boot.manifest.deployment, this.#client.argon2);
    const presented = (this.#ask.kind === "open_history" && this.#ask.seen) || profile.receipt;
    const { sealed, opener } = await this.#seal(request, begin, { profile, session }, presented).finally(() =>
      erase(request),
    );
    const { reply, next } = await this.#answer(session.accessToken, storageToken, sealed, opener);
    const since = this.#client.environment.now();
    const kept = next && this.#kept(reply, begin, next, session.user, since);
    return this.#judge(reply, begin.wallet, session.user, { held: profile.receipt, presented }, kept || undefined);
  }

  async #seal(
    request: Request,
    begin: BeginReply,
    { profile, session }: LoggedIn,
    receipt: Receipt | undefined,
  ): Promise<{ sealed: Bytes; opener: ReplyOpener }> {
    if (!isWithinBounds(request)) throw new FaultError("out_of_bounds");
    const { environment } = this.#client;
    const { device } = profile;
    const header = {
      version: REQUEST_VERSION,
      suite: "x25519_aes256gcm",
      manifest: this.#boot.hash,
      method: this.#ask.kind,
      request: environment.random(16),
      challenge: begin.challenge,
      token: await sha256(utf8(session.accessToken)),
      device: await thumbprint(device),
      receiptSize: receipt?.size ?? 0n,
    } as const;
    const body = { accessToken: session.accessToken, deviceKey: device.publicKey, receipt: receipt?.note, request };
    const sign = (transcript: Bytes) => signEs256(device, transcript);
    const sealed = await seal(this.#boot.manifest.hpke, header, body, environment.random(32), sign);
    return { sealed: encode(sealedRequest, sealed.request), opener: sealed.opener };
  }

  /** The opened reply, and the storage token for what it leaves. */
  async #answer(
    token: string,
    storageToken: string,
    sealed: Bytes,
    opener: ReplyOpener,
  ): Promise<{ reply: Reply; next?: string }> {
    try {
      const answer = await this.#send(token, storageToken, sealed);
      const reply = await opener.open(readOr("reply_malformed", () => decode(sealedReply, answer.reply)));
      return { reply, ...(answer.storage_token !== undefined && { next: answer.storage_token }) };
    } finally {
      opener.close();
    }
  }

  async #send(token: string, storageToken: string, sealed: Bytes) {
    try {
      return await this.#client.wallet.sealed(token, storageToken, sealed);
    } catch (error) {
      if (!(error instanceof SealedFailure)) throw error;
      const { isLost, said } = error;
      if (!isLost && said.code === "request_malformed") throw new FaultError("client_outdated", said);
      // Said in clear, after the request was sent: it may be a lie that hides a verdict, and believing it would spend the same PIN
      // twice. An honest restart shows at the next begin.
      throw isLost || said.code === "evidence_outdated" ? new ReplyLostError(said) : said;
    }
  }

  /** The reply's key says that it answers this request, so what it leaves is of the same boot, wallet, device and method. */
  #kept(reply: Reply, begin: BeginReply, storageToken: string, user: string, since: number): Kept | undefined {
    if (reply.next === undefined || !continues(this.#ask.kind)) return undefined;
    const next = acceptable(reply.next, begin, reply.time);
    return next && { begin: next, storageToken, user, since };
  }

  /** Checks the receipt before the outcome is looked at: a verdict on an older state is none. */
  async #judge(
    reply: Reply,
    wallet: Bytes,
    user: string,
    { held, presented }: { readonly held: Receipt | undefined; readonly presented: Receipt | undefined },
    kept: Kept | undefined,
  ): Promise<Answer> {
    const { outcome } = reply;
    if (outcome.kind === "refused" && outcome.value === "state_rolled_back") throw new FaultError("state_rolled_back");
    const shown = await readReceipt(reply.receipt, this.#boot.hash, this.#boot.deployment);
    // After a restore only an acceptance leads on; a refusal says so itself.
    const mayBeRestored = outcome.kind === "restoreAccepted" || outcome.kind === "refused";
    for (const known of [held, presented]) checkContinues(known, shown, mayBeRestored);
    const tries = reply.tries ?? NO_TRIES;
    const failure = failureOf(outcome, tries);
    // Some refusals come before the enclave compares the receipts, so none of them may replace the one held here.
    const isCompared = presented === undefined || outcome.kind !== "refused";
    await this.#client.vault.update((profile) => {
      const received = isCompared ? keepReceipt(profile, shown, presented) : profile;
      // Only a success shows that the enclave holds this user's token to be this wallet's.
      return failure === undefined ? pinAccounts(received, user, wallet, []) : received;
    });
    if (kept !== undefined) this.#client.continuation.keep(kept);
    if (failure !== undefined) throw failure;
    return { outcome, tries, wallet, user, receipt: shown };
  }
}

/** Tells success from every kind of failure. */
function failureOf(outcome: Outcome, tries: Tries): Error | undefined {
  if (outcome.kind === "wrongPin") return new WrongPinError(tries);
  if (outcome.kind === "serviceFault") return new ServiceFaultError(tries);
  if (outcome.kind !== "refused") return undefined;
  switch (outcome.value) {
    case "pin_locked":
    case "wallet_locked":
    case "pin_spent":
      return new LockedError(outcome.value, tries);
    case "pin_delayed":
      return new DelayedError(tries);
    case "request_malformed":
      return new FaultError("client_outdated");
    default:
      return new RefusedError(outcome.value);
  }
}

function acceptable(next: Next, of: BeginReply, time: bigint): BeginReply | undefined {
  try {
    return beginOfNext(next, of, time);
  } catch (error) {
    if (error instanceof BeginError) return undefined;
    throw error;
  }
}

function readOr<T>(code: "reply_malformed", read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new FaultError(code, error);
  }
}
