/** From "a PIN is needed" to what came of it: evidence first, then the pad, then the tries that are left. */

import {
  type Attested,
  type Client,
  DelayedError,
  LIFE_WARNING,
  LockedError,
  NewPin,
  Pin,
  PinError,
  PinsealError,
  type Tries,
  toHex,
  WrongPinError,
} from "@pinseal/client";
import { timed } from "../platform/clock.ts";
import type { Note, Pad, PadAnswer, Purpose, Shield } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import { clearDoubt } from "./history.ts";
import { problemOf } from "./problem.ts";

/** Somebody closed the dialog. Nothing was charged since the last sentence they read; where that told a failure, it is the cause. */
export class Cancelled extends Error {}

/** The boot that is there now has something to tell before it may have a PIN. Nothing was given to it. */
class Untold extends Error {}

/** What is known before the pad opens. */
interface Standing {
  readonly attested: Attested;
  tries: Tries | undefined;
  told: Note | undefined;
}

export class PadFlow {
  readonly #client: Client;
  readonly #store: Store;
  #answer: ((answer: PadAnswer) => void) | undefined;
  #entries = 0;
  /** Nobody wants any more what the PIN is asked for: the dialog ends before it asks for anything else. */
  #isWithdrawn = false;

  constructor(client: Client, store: Store) {
    this.#client = client;
    this.#store = store;
  }

  /** True while the dialog is open. */
  get isOpen(): boolean {
    return this.#store.state.pad !== undefined;
  }

  /** What somebody did in the dialog. */
  answer(answer: PadAnswer): void {
    const waiting = this.#answer;
    this.#answer = undefined;
    if (waiting === undefined && answer.kind === "digits") answer.digits.fill(0);
    waiting?.(answer);
  }

  /** Ends the dialog, now or once what is under way in it has come to something; the quiet look at the evidence goes on. */
  withdraw(): void {
    const { pad } = this.#store.state;
    const isUnderWay = pad?.step === "working" || (pad?.step === "checking" && pad.purpose !== undefined);
    this.#isWithdrawn = isUnderWay;
    this.answer({ kind: "cancel" });
  }

  /**
   * Verified evidence, its changes told and acknowledged, a restore accepted. Everything that touches the enclave begins here. Throws
   * {@link Cancelled} where somebody would not go on.
   */
  gate(purpose?: Purpose): Promise<Attested> {
    return this.#inDialog(() => this.#gate(purpose));
  }

  /** Asks for the PIN in force until `work` is done with one, or somebody gives up. */
  use<T>(purpose: Purpose, work: (attested: Attested, pin: Pin) => Promise<T>): Promise<T> {
    return this.#inDialog(async () => this.#use(await this.#standing(purpose), purpose, work));
  }

  /** Asks for a new PIN twice and gives it to `work`, once. */
  choose<T>(purpose: Purpose, work: (attested: Attested, pin: NewPin) => Promise<T>): Promise<T> {
    return this.#inDialog(async () => {
      const attested = await this.#gate(purpose);
      return this.#choose({ attested, tries: undefined, told: undefined }, purpose, work);
    });
  }

  /** Asks for the PIN in force, checks it, asks for a new one twice, and puts that in its place. */
  change(): Promise<Tries> {
    return this.#inDialog(async () => {
      const standing = await this.#standing("change");
      const old = await this.#use(standing, "change", async (attested, pin) => {
        await attested.verifyPin(pin);
        return pin;
      });
      try {
        return await this.#choose({ ...standing, told: undefined }, "change", (attested, pin) =>
          attested.changePin(old, pin),
        );
      } finally {
        old.erase();
      }
    });
  }

  /** Does the work from its beginning, the gate, again where a boot has something to tell; what was typed before is erased by then. */
  async #inDialog<T>(work: () => Promise<T>): Promise<T> {
    try {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof Untold)) throw error;
        }
      }
    } finally {
      this.#answer = undefined;
      this.#isWithdrawn = false;
      this.#store.set({ pad: undefined });
    }
  }

  async #gate(purpose: Purpose | undefined): Promise<Attested> {
    for (;;) {
      this.#show({ step: "checking", purpose });
      const attested = await timed("evidence", () => this.#client.attest()).catch((error: unknown) => {
        // Where there is no pad to be opened, whoever asked says why not.
        if (purpose === undefined) throw error;
        return this.#stopped(error, true);
      });
      if (attested === undefined) continue;
      this.#store.set({ shield: shieldOf(attested) });
      const { protection, protectionBefore: before, restored } = attested;
      if (before !== undefined) {
        await this.#agreed({ step: "protection", before, now: protection });
        await attested.acknowledgeProtection();
      }
      if (restored !== undefined) {
        await this.#agreed({ step: "restored", number: restored });
        this.#show({ step: "checking", purpose });
        const accepted = await attested.acceptRestore().catch((error: unknown) => this.#stopped(error, true));
        if (accepted === undefined) continue;
      }
      if (await this.#isBelieved(attested, purpose)) return attested;
    }
  }

  /** A host that was caught hiding or forging attempts shows them first; false if somebody wants to try again. */
  async #isBelieved(attested: Attested, purpose: Purpose | undefined): Promise<boolean> {
    try {
      await clearDoubt(attested, this.#client);
      return true;
    } catch (error) {
      if (purpose === undefined) throw error;
      await this.#stopped(error, true);
      return false;
    }
  }

  async #standing(purpose: Purpose): Promise<Standing> {
    for (;;) {
      const attested = await this.#gate(purpose);
      // Nobody is asked for a PIN that cannot be used. The question costs no try.
      const found = await attested.status().catch((error: unknown) => this.#stopped(error, true));
      if (found !== undefined) return { attested, tries: found.tries, told: lifeOf(found.tries) };
    }
  }

  async #use<T>(standing: Standing, purpose: Purpose, work: (attested: Attested, pin: Pin) => Promise<T>): Promise<T> {
    for (;;) {
      if (standing.tries?.left === 0) {
        await this.#stopped(new LockedError("pin_locked", standing.tries), false);
      }
      const pin = await this.#enter(standing, purpose, "current");
      if (pin === undefined) continue;
      this.#show({ step: "working", purpose });
      let isKept = false;
      try {
        const done = await timed("answer", () =>
          this.#withFreshEvidence(standing.attested, (attested) => work(attested, pin)),
        );
        isKept = (done as unknown) === pin;
        return done;
      } catch (error) {
        if (error instanceof WrongPinError || error instanceof DelayedError) {
          standing.tries = error.tries;
          standing.told = wrongOf(error);
        } else {
          await this.#stopped(error, !(error instanceof LockedError));
          return await this.#use(await this.#standing(purpose), purpose, work);
        }
      } finally {
        if (!isKept) pin.erase();
      }
    }
  }

  async #choose<T>(
    standing: Standing,
    purpose: Purpose,
    work: (attested: Attested, pin: NewPin) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const chosen = await this.#newPin(standing, purpose);
      if (chosen === undefined) continue;
      this.#show({ step: "working", purpose });
      try {
        return await this.#withFreshEvidence(standing.attested, (attested) => work(attested, chosen));
      } catch (error) {
        await this.#stopped(error, true);
        return await this.#choose({ ...standing, attested: await this.#gate(purpose) }, purpose, work);
      } finally {
        chosen.pin.erase();
      }
    }
  }

  /** A new PIN, typed twice; `undefined` if it is too easy to guess or the two differ, and the next pad says so. */
  async #newPin(standing: Standing, purpose: Purpose): Promise<NewPin | undefined> {
    const first = await this.#digits(standing, purpose, "new");
    const copy = first.slice();
    try {
      const pin = NewPin.choose(Pin.parse(first));
      standing.told = undefined;
      const second = await this.#digits(standing, purpose, "again");
      const isSame = second.length === copy.length && second.every((digit, at) => digit === copy[at]);
      second.fill(0);
      if (isSame) return pin;
      pin.pin.erase();
      standing.told = { text: "pad.differ" };
    } catch (error) {
      if (!(error instanceof PinError)) throw error;
      standing.told = problemOf(error);
    } finally {
      copy.fill(0);
    }
    return undefined;
  }

  async #enter(standing: Standing, purpose: Purpose, role: "current"): Promise<Pin | undefined> {
    try {
      return Pin.parse(await this.#digits(standing, purpose, role));
    } catch (error) {
      if (!(error instanceof PinError)) throw error;
      standing.told = problemOf(error);
      return undefined;
    }
  }

  async #digits({ attested, tries, told }: Standing, purpose: Purpose, role: "current" | "new" | "again") {
    const delay = role === "current" ? (tries?.delaySeconds ?? 0) : 0;
    const notBefore = delay > 0 ? Date.now() + delay * 1000 : undefined;
    this.#entries += 1;
    const entry = this.#entries;
    const answer = await this.#ask({
      step: "enter",
      purpose,
      role,
      shield: shieldOf(attested),
      told,
      notBefore,
      entry,
    });
    if (answer.kind !== "digits") throw new Cancelled();
    return answer.digits;
  }

  /**
   * Once more under a new boot's evidence, if the enclave has restarted: said before anything was charged. What was typed under the
   * protection that somebody knows goes to no other: {@link Untold}.
   */
  async #withFreshEvidence<T>(attested: Attested, work: (attested: Attested) => Promise<T>): Promise<T> {
    try {
      return await work(attested);
    } catch (error) {
      if (!(error instanceof PinsealError) || !error.wantsNewEvidence) throw error;
      const fresh = await this.#client.attest();
      if (fresh.protectionBefore !== undefined || fresh.restored !== undefined) throw new Untold();
      return work(fresh);
    }
  }

  /** Tells why it does not go on; returns if somebody wants to try again. */
  async #stopped(error: unknown, canRetry: boolean): Promise<undefined> {
    if (error instanceof Cancelled || error instanceof Untold) throw error;
    const answer = await this.#ask({ step: "stopped", problem: problemOf(error), canRetry });
    if (answer.kind !== "retry") throw new Cancelled("closed", { cause: error });
    return undefined;
  }

  async #agreed(pad: Pad): Promise<void> {
    if ((await this.#ask(pad)).kind !== "accept") throw new Cancelled();
  }

  #ask(pad: Pad): Promise<PadAnswer> {
    if (this.#isWithdrawn) return Promise.reject(new Cancelled());
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#show(pad);
    });
  }

  #show(pad: Pad): void {
    this.#store.set({ pad });
  }
}

function shieldOf({ verified, protection, manifest, isFirstUse }: Attested): Shield {
  return { verified, protection, deployment: toHex(manifest.deployment), isFirstUse };
}

function wrongOf(error: WrongPinError | DelayedError): Note {
  if (error instanceof DelayedError) return { text: "pad.delayed", code: error.code };
  return { text: "pad.wrong", values: { count: error.tries.left }, code: error.code };
}

/** Near the end of a PIN's life its owner is told to choose another. */
function lifeOf({ left, lifeLeft }: Tries): Note | undefined {
  if (left > 0 && lifeLeft <= LIFE_WARNING) return { text: "pad.life", values: { count: lifeLeft } };
  return left > 0 && left < 5 ? { text: "pad.left", values: { count: left } } : undefined;
}
