/** A verified boot of a known deployment: the only way to anything that takes a PIN. */

import { type Account, AccountError, byIndex, knownAccount, pinAccounts, verifyAccount } from "./account.js";
import { LogApi } from "./api/log.js";
import type { Bytes } from "./bytes.js";
import type { Client } from "./client.js";
import type { Verified } from "./evidence/verify.js";
import { digestOf, ResultError, verifyResult } from "./evm/prepare.js";
import { type History, readHistory, type Sealed } from "./history/history.js";
import type { Ask } from "./operation/ask.js";
import { FaultError, RefusedError } from "./operation/error.js";
import { type Answer, type Boot, Operation } from "./operation/run.js";
import type { NewPin, Pin } from "./pin/pin.js";
import { isSameProtection, type Protection, type Receipt } from "./profile/profile.js";
import { verifyCheckpoint } from "./protocol/checkpoint.js";
import type { LoggedWrite } from "./protocol/history.js";
import type { Intent, Signed } from "./protocol/intent.js";
import { ACCOUNTS_MAX, INTENTS_MAX } from "./protocol/limits.js";
import { bootKeysHash, type Manifest } from "./protocol/manifest.js";
import type { Outcome, Status, Tries } from "./protocol/reply.js";
import type { SignedStatement } from "./protocol/statement.js";
import { keepRestored, readReceipt } from "./receipt.js";

/** A wallet just registered. */
export interface Registered {
  /** Its first account. */
  readonly account: Account;
  readonly tries: Tries;
}

/** State, devices, outstanding tries, and the tries left for this device. */
export interface WalletStatus {
  readonly status: Status;
  readonly tries: Tries;
}

/**
 * What accepting a restore came to. `device`: the enclave took it down, this device has one try, and the right PIN opens the wallet as
 * it was. `here`: in the restored state there is no wallet of this user's that this device is enrolled in; the device only forgets what
 * it had seen.
 */
export type Acceptance = { readonly kind: "device"; readonly tries: Tries } | { readonly kind: "here" };

/** What {@link Client.attest} found. */
type Facts = Pick<Attested, "verified" | "isFirstUse" | "protection" | "protectionBefore" | "restored">;

/**
 * Made by {@link Client.attest}. Stays good until the enclave restarts; then operations fail with an error whose
 * `wantsNewEvidence` is true, and the caller attests again. Every method throws {@link OperationError} or another
 * {@link PinsealError}; only {@link WrongPinError} says that a PIN was wrong.
 */
export class Attested {
  /** What the evidence says. Its `statement` must be shown to the user. */
  readonly verified: Verified;
  /** True if the profile met this deployment for the first time: show its id, so that a careful person can compare it. */
  readonly isFirstUse: boolean;
  /** What protects a PIN here now. */
  readonly protection: Protection;
  /**
   * What protected a PIN here when somebody was told last, if the operators have changed it since: show the difference, then
   * {@link acknowledgeProtection}.
   */
  readonly protectionBefore: Protection | undefined;
  /**
   * The number of a restore that made an older state the state again and that this device has not accepted. Every operation that is
   * asked for before {@link acceptRestore} fails, and no PIN is used.
   */
  readonly restored: number | undefined;
  readonly #client: Client;
  readonly #boot: Boot;
  /** Whose operations these are, where it was said. */
  readonly #user: string | undefined;

  /** @internal */
  constructor(client: Client, boot: Boot, facts: Facts, user?: string) {
    this.#client = client;
    this.#boot = boot;
    this.#user = user;
    this.verified = facts.verified;
    this.isFirstUse = facts.isFirstUse;
    this.protection = facts.protection;
    this.protectionBefore = facts.protectionBefore;
    this.restored = facts.restored;
  }

  /** The boot's manifest. */
  get manifest(): Manifest {
    return this.#boot.manifest;
  }

  /** Somebody was shown what protects a PIN here now. Where they have seen something else meanwhile, in another tab, that stands. */
  async acknowledgeProtection(): Promise<void> {
    const { protection, protectionBefore: before = protection } = this;
    await this.#client.vault.update((profile) =>
      isSameProtection(profile.protection, before) ? { ...profile, protection } : profile,
    );
  }

  /**
   * Accepts, on the owner's word, that the operators put an older state back: what happened since is forgotten, tries among it. Ask them
   * first; it cannot be taken back. A {@link RefusedError} with `restore_tried` says that this device has used its one try already.
   */
  async acceptRestore(): Promise<Acceptance> {
    const { manifest, hash, deployment, restores } = this.#boot;
    try {
      return { kind: "device", tries: await this.#expect({ kind: "accept_restore", restores }, "restoreAccepted") };
    } catch (error) {
      const refusal = error instanceof RefusedError ? error.refusal : undefined;
      if (refusal !== "wallet_missing" && refusal !== "device_not_enrolled") throw error;
    }
    const boot = await readReceipt(manifest.checkpoint, hash, deployment);
    await this.#client.vault.update((profile) => keepRestored(profile, boot));
    return { kind: "here" };
  }

  /** Makes a wallet under a PIN; usable once {@link registerConfirm} has seen the PIN again. `label` names this device. */
  async registerPrepare(pin: NewPin, label: string, words: 12 | 24 = 12): Promise<void> {
    await this.#expect({ kind: "register_prepare", pin, words, label }, "prepared");
  }

  /** Confirms the PIN, as the person typed it the second time, and gives the first account. */
  async registerConfirm(pin: Pin): Promise<Registered> {
    const answer = await this.#run({ kind: "register_confirm", pin });
    if (answer.outcome.kind !== "registered") throw new FaultError("unexpected");
    const [account] = await this.#accept(answer, [answer.outcome.value], [0]);
    if (account === undefined) throw new FaultError("unexpected");
    return { account, tries: answer.tries };
  }

  /** Both steps with one PIN, for callers that compared two entries themselves. */
  async register(pin: NewPin, label: string, words: 12 | 24 = 12): Promise<Registered> {
    const own = await this.#bound();
    await own.registerPrepare(pin, label, words);
    return own.registerConfirm(pin.pin);
  }

  /** Checks the PIN and does nothing else. */
  verifyPin(pin: Pin): Promise<Tries> {
    return this.#expect({ kind: "verify_pin", pin }, "pinVerified");
  }

  /**
   * Signs 1 to 16 intents on one PIN entry. Every result is checked against its intent and the account's pinned address before it is
   * handed out.
   */
  async sign(pin: Pin, intents: readonly Intent[]): Promise<Signed[]> {
    if (intents.length < 1 || intents.length > INTENTS_MAX) throw new FaultError("out_of_bounds");
    intents.forEach(digestOf);
    const own = await this.#bound();
    const addresses = await own.#signers(intents);
    const { outcome } = await own.#run({ kind: "sign", pin, intents });
    if (outcome.kind !== "signed") throw new FaultError("unexpected");
    if (outcome.value.length !== intents.length) throw new ResultError("result_mismatch");
    for (const [at, result] of outcome.value.entries()) {
      const intent = intents[at];
      const address = intent && addresses.get(intent.account);
      if (intent === undefined || address === undefined) throw new AccountError("account_unlisted");
      verifyResult(intent, result, address);
    }
    return outcome.value;
  }

  /** Stores a new PIN beside the old one; in force once {@link changePinConfirm} has seen it again. A wrong PIN is the old one. */
  changePinPrepare(pin: Pin, newPin: NewPin): Promise<Tries> {
    return this.#expect({ kind: "change_pin_prepare", pin, newPin }, "prepared");
  }

  /** Puts the new PIN in force, as the person typed it the second time. A wrong PIN is the new one, and it counts like any other. */
  changePinConfirm(newPin: Pin): Promise<Tries> {
    return this.#expect({ kind: "change_pin_confirm", pin: newPin }, "pinChanged");
  }

  /** Both steps with one new PIN, for callers that compared two entries themselves. */
  async changePin(pin: Pin, newPin: NewPin): Promise<Tries> {
    const own = await this.#bound();
    await own.changePinPrepare(pin, newPin);
    return own.changePinConfirm(newPin.pin);
  }

  /** Enrols this device, under a name its owner will recognise. */
  enrolDevice(pin: Pin, label: string): Promise<Tries> {
    return this.#expect({ kind: "enrol_device", pin, label }, "deviceEnrolled");
  }

  /** Revokes a device, named by its thumbprint. */
  revokeDevice(pin: Pin, device: Bytes): Promise<Tries> {
    return this.#expect({ kind: "revoke_device", pin, device }, "deviceRevoked");
  }

  /** Gives back every outstanding try of every device. */
  clearTries(pin: Pin): Promise<Tries> {
    return this.#expect({ kind: "clear_tries", pin }, "triesCleared");
  }

  /** Reads state, devices and tries. Takes no PIN. */
  async status(): Promise<WalletStatus> {
    const { outcome, tries } = await this.#run({ kind: "status" });
    if (outcome.kind !== "status") throw new FaultError("unexpected");
    return { status: outcome.value, tries };
  }

  /** Asks the enclave for 1 to 16 accounts, and pins them. Takes no PIN. */
  async listAccounts(accounts: readonly number[]): Promise<Account[]> {
    if (accounts.length < 1 || accounts.length > ACCOUNTS_MAX) throw new FaultError("out_of_bounds");
    const answer = await this.#run({ kind: "list_accounts", accounts });
    if (answer.outcome.kind !== "accounts") throw new FaultError("unexpected");
    return this.#accept(answer, answer.outcome.value, accounts);
  }

  /** The wallet's accounts: those of the host's list that this device has seen, and from the enclave those it has not. Takes no PIN. */
  async accounts(): Promise<Account[]> {
    const own = await this.#bound();
    const { known, unseen } = await this.#client.listed(own.#user);
    const accounts = [...known];
    for (let at = 0; at < unseen.length; at += ACCOUNTS_MAX) {
      accounts.push(...(await own.listAccounts(unseen.slice(at, at + ACCOUNTS_MAX))));
    }
    return accounts.sort(byIndex);
  }

  /**
   * The newest `attemptsMax` attempts on the wallet's key, or all there ever were, proved. For enrolled devices; takes no PIN. Throws
   * {@link HistoryError} where the host shows something else than what happened.
   */
  async history(attemptsMax?: number): Promise<History> {
    const { sessions, environment } = this.#client;
    const own = await this.#bound();
    const log = new LogApi(sessions, own.#user);
    const bootKeys = await bootKeysHash(this.#boot.manifest);
    const sleep = (milliseconds: number) => environment.sleep(milliseconds);
    return readHistory({ log, bootKeys, sleep, open: (writes, seen) => own.#open(writes, seen) }, attemptsMax);
  }

  async #open(writes: readonly LoggedWrite[], seen?: Receipt): Promise<Sealed> {
    const { outcome, wallet, receipt } = await this.#run({ kind: "open_history", writes, ...(seen && { seen }) });
    if (outcome.kind !== "history" || outcome.value.writes.length !== writes.length) throw new FaultError("unexpected");
    const { deployment, log } = this.#boot.deployment;
    const checkpoint = await verifyCheckpoint(receipt.note, deployment, log);
    if (checkpoint === undefined) throw new FaultError("unexpected");
    return { said: outcome.value, wallet, checkpoint, receipt };
  }

  async #run(ask: Ask): Promise<Answer> {
    return new Operation(this.#client, this.#boot, ask, await this.#whose()).run();
  }

  /** The same for one user, whose several steps are one piece of work. */
  async #bound(): Promise<Attested> {
    return new Attested(this.#client, this.#boot, this, await this.#whose());
  }

  async #whose(): Promise<string> {
    return this.#user ?? this.#client.sessions.user();
  }

  async #expect(ask: Ask, kind: Outcome["kind"]): Promise<Tries> {
    const { outcome, tries } = await this.#run(ask);
    if (outcome.kind !== kind) throw new FaultError("unexpected");
    return tries;
  }

  /** The pinned addresses of every account that signs; the enclave is asked for those this device has not seen. */
  async #signers(intents: readonly Intent[]): Promise<Map<number, string>> {
    const profile = await this.#client.vault.read();
    const indices = [...new Set(intents.map(({ account }) => account))];
    const missing = indices.filter((index) => knownAccount(profile, index) === undefined);
    const listed = missing.length > 0 ? await this.listAccounts(missing) : [];
    const known = indices.map((index) => knownAccount(profile, index)).filter((account) => account !== undefined);
    return new Map([...known, ...listed].map(({ index, address }) => [index, address]));
  }

  /** Verifies statements against what was asked, pins the addresses and hands the statements to the host's cache. */
  async #accept(answer: Answer, statements: readonly SignedStatement[], asked: readonly number[]): Promise<Account[]> {
    const accounts: Account[] = [];
    for (const statement of statements)
      accounts.push(await verifyAccount(statement, this.#boot.deployment, answer.wallet));
    const isAsked = accounts.length === asked.length && accounts.every(({ index }, at) => index === asked[at]);
    if (!isAsked) throw new AccountError("account_other");
    await this.#client.vault.update((profile) => pinAccounts(profile, answer.user, answer.wallet, accounts));
    // Only a cache for the next device or app; the accounts are good without it.
    await this.#client.wallet.cacheStatements(statements, answer.user).catch(() => undefined);
    return accounts;
  }
}
