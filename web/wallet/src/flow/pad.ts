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

/** One way from a first look at the evidence to an end, with a dialog of its own; until something is asked in it, a quiet look shows none. */
interface Dialog {
  /** Whose PIN it asks for. */
  readonly user: string | undefined;
  readonly purpose: Purpose | undefined;
  /** Hears what somebody does in it. */
  answer: ((answer: PadAnswer) => void) | undefined;
  /** Nobody wants any more what the PIN is asked for: it ends before it shows or asks anything else. */
  isWithdrawn: boolean;
}

/** What is known before the pad opens. */
interface Standing {
  readonly attested: Attested;
  tries: Tries | undefined;
  told: Note | undefined;
}

export class PadFlow {
  readonly #client: Client;
  readonly #store: Store;
  /** All that have not come to an end; none knows anything of another. */
  readonly #dialogs = new Set<Dialog>();
  /** The one on the screen. */
  #shown: Dialog | undefined;
  #entries = 0;

  constructor(client: Client, store: Store) {
    this.#client = client;
    this.#store = store;
  }

  /** True while the dialog is open. */
  get isOpen(): boolean {
    return this.#store.state.pad !== undefined;
  }

  /** What somebody did in the dialog that is on the screen. */
  answer(answer: PadAnswer): void {
    const waiting = this.#shown?.answer;
    if (this.#shown !== undefined) this.#shown.answer = undefined;
    if (waiting === undefined && answer.kind === "digits") answer.digits.fill(0);
    waiting?.(answer);
  }

  /** Takes every dialog that was begun so far off the screen for good. A quiet look at the evidence goes on for as long as it has nothing to ask. */
  withdraw(): void {
    for (const dialog of this.#dialogs) this.#withdraw(dialog);
  }

  /**
   * Verified evidence, its changes told and acknowledged, a restore accepted. Everything that touches the enclave begins here. Throws
   * {@link Cancelled} where somebody would not go on.
   */
  gate(purpose?: Purpose): Promise<Attested> {
    return this.#inDialog(purpose, (dialog) => this.#gate(dialog));
  }

  /** Asks for the PIN in force until `work` is done with one, or somebody gives up. */
  use<T>(purpose: Purpose, work: (attested: Attested, pin: Pin) => Promise<T>): Promise<T> {
    return this.#inDialog(purpose, async (dialog) => this.#use(dialog, await this.#standing(dialog), purpose, work));
  }

  /** Asks for a new PIN twice and gives it to `work`, once. */
  choose<T>(purpose: Purpose, work: (attested: Attested, pin: NewPin) => Promise<T>): Promise<T> {
    return this.#inDialog(purpose, async (dialog) => {
      const attested = await this.#gate(dialog);
      return this.#choose(dialog, { attested, tries: undefined, told: undefined }, purpose, work);
    });
  }

  /** Asks for the PIN in force, checks it, asks for a new one twice, and puts that in its place. */
  change(): Promise<Tries> {
    return this.#inDialog("change", async (dialog) => {
      const standing = await this.#standing(dialog);
      const old = await this.#use(dialog, standing, "change", async (attested, pin) => {
        await attested.verifyPin(pin);
        return pin;
      });
      try {
        return await this.#choose(dialog, { ...standing, told: undefined }, "change", (attested, pin) =>
          attested.changePin(old, pin),
        );
      } finally {
        old.erase();
      }
    });
  }

  /** Does the work from its beginning, the gate, again where a boot has something to tell; what was typed before is erased by then. */
  async #inDialog<T>(purpose: Purpose | undefined, work: (dialog: Dialog) => Promise<T>): Promise<T> {
    const { user } = this.#store.state;
    const dialog: Dialog = { user, purpose, answer: undefined, isWithdrawn: false };
    this.#dialogs.add(dialog);
    try {
      for (;;) {
        try {
          return await work(dialog);
        } catch (error) {
          if (!(error instanceof Untold)) throw error;
        }
      }
    } finally {
      this.#dialogs.delete(dialog);
      this.#hide(dialog);
    }
  }

  async #gate(dialog: Dialog): Promise<Attested> {
    for (;;) {
      this.#look(dialog);
      const attested = await timed("evidence", () => this.#client.attest(dialog.user)).catch((error: unknown) => {
        // Where there is no pad to be opened, whoever asked says why not.
        if (dialog.purpose === undefined) throw error;
        return this.#stopped(dialog, error, true);
      });
      if (attested === undefined) continue;
      this.#store.set({ shield: shieldOf(attested) });
      const { protection, protectionBefore: before, restored } = attested;
      if (before !== undefined) {
        await this.#agreed(dialog, { step: "protection", before, now: protection });
        await attested.acknowledgeProtection();
      }
      if (restored !== undefined) {
        await this.#agreed(dialog, { step: "restored", number: restored });
        this.#look(dialog);
        const accepted = await attested.acceptRestore().catch((error: unknown) => this.#stopped(dialog, error, true));
        if (accepted === undefined) continue;
      }
      if (await this.#isBelieved(dialog, attested)) return attested;
    }
  }

  /** A host that was caught hiding or forging attempts shows them first; false if somebody wants to try again. */
  async #isBelieved(dialog: Dialog, attested: Attested): Promise<boolean> {
    try {
      if (dialog.user !== undefined) await clearDoubt(attested, dialog.user);
      return true;
    } catch (error) {
      if (dialog.purpose === undefined) throw error;
      await this.#stopped(dialog, error, true);
      return false;
    }
  }

  async #standing(dialog: Dialog): Promise<Standing> {
    for (;;) {
      const attested = await this.#gate(dialog);
      // Nobody is asked for a PIN that cannot be used. The question costs no try.
      const found = await attested.status().catch((error: unknown) => this.#stopped(dialog, error, true));
      if (found !== undefined) return { attested, tries: found.tries, told: lifeOf(found.tries) };
    }
  }

  async #use<T>(
    dialog: Dialog,
    standing: Standing,
    purpose: Purpose,
    work: (attested: Attested, pin: Pin) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      if (standing.tries?.left === 0) {
        await this.#stopped(dialog, new LockedError("pin_locked", standing.tries), false);
      }
      const pin = await this.#enter(dialog, standing, purpose, "current");
      if (pin === undefined) continue;
      this.#show(dialog, { step: "working", purpose });
      let isKept = false;
      try {
        const done = await timed("answer", () =>
          this.#withFreshEvidence(dialog, standing.attested, (attested) => work(attested, pin)),
        );
        isKept = (done as unknown) === pin;
        return done;
      } catch (error) {
        if (error instanceof WrongPinError || error instanceof DelayedError) {
          standing.tries = error.tries;
          standing.told = wrongOf(error);
        } else {
          await this.#stopped(dialog, error, !(error instanceof LockedError));
          return await this.#use(dialog, await this.#standing(dialog), purpose, work);
        }
      } finally {
        if (!isKept) pin.erase();
      }
    }
  }

  async #choose<T>(
    dialog: Dialog,
    standing: Standing,
    purpose: Purpose,
    work: (attested: Attested, pin: NewPin) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const chosen = await this.#newPin(dialog, standing, purpose);
      if (chosen === undefined) continue;
      this.#show(dialog, { step: "working", purpose });
      try {
        return await this.#withFreshEvidence(dialog, standing.attested, (attested) => work(attested, chosen));
      } catch (error) {
        await this.#stopped(dialog, error, true);
        return await this.#choose(dialog, { ...standing, attested: await this.#gate(dialog) }, purpose, work);
      } finally {
        chosen.pin.erase();
      }
    }
  }

  /** A new PIN, typed twice; `undefined` if it is too easy to guess or the two differ, and the next pad says so. */
  async #newPin(dialog: Dialog, standing: Standing, purpose: Purpose): Promise<NewPin | undefined> {
    const first = await this.#digits(dialog, standing, purpose, "new");
    const copy = first.slice();
    try {
      const pin = NewPin.choose(Pin.parse(first));
      standing.told = undefined;
      const second = await this.#digits(dialog, standing, purpose, "again");
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

  async #enter(dialog: Dialog, standing: Standing, purpose: Purpose, role: "current"): Promise<Pin | undefined> {
    try {
      return Pin.parse(await this.#digits(dialog, standing, purpose, role));
    } catch (error) {
      if (!(error instanceof PinError)) throw error;
      standing.told = problemOf(error);
      return undefined;
    }
  }

  async #digits(
    dialog: Dialog,
    { attested, tries, told }: Standing,
    purpose: Purpose,
    role: "current" | "new" | "again",
  ) {
    const delay = role === "current" ? (tries?.delaySeconds ?? 0) : 0;
    const notBefore = delay > 0 ? Date.now() + delay * 1000 : undefined;
    this.#entries += 1;
    const entry = this.#entries;
    const answer = await this.#ask(dialog, {
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
  async #withFreshEvidence<T>(
    dialog: Dialog,
    attested: Attested,
    work: (attested: Attested) => Promise<T>,
  ): Promise<T> {
    try {
      return await work(attested);
    } catch (error) {
      if (!(error instanceof PinsealError) || !error.wantsNewEvidence) throw error;
      if (dialog.isWithdrawn) throw new Cancelled();
      const fresh = await this.#client.attest(dialog.user);
      if (fresh.protectionBefore !== undefined || fresh.restored !== undefined) throw new Untold();
      return work(fresh);
    }
  }

  /** Tells why it does not go on; returns if somebody wants to try again. */
  async #stopped(dialog: Dialog, error: unknown, canRetry: boolean): Promise<undefined> {
    if (error instanceof Cancelled || error instanceof Untold) throw error;
    const answer = await this.#ask(dialog, { step: "stopped", problem: problemOf(error), canRetry });
    if (answer.kind !== "retry") throw new Cancelled("closed", { cause: error });
    return undefined;
  }

  async #agreed(dialog: Dialog, pad: Pad): Promise<void> {
    if ((await this.#ask(dialog, pad)).kind !== "accept") throw new Cancelled();
  }

  #ask(dialog: Dialog, pad: Pad): Promise<PadAnswer> {
    if (dialog.isWithdrawn) return Promise.reject(new Cancelled());
    return new Promise((resolve) => {
      dialog.answer = resolve;
      this.#show(dialog, pad);
    });
  }

  /** There is room for one: whichever is begun later takes the other's place for good. */
  #show(dialog: Dialog, pad: Pad): void {
    if (dialog.isWithdrawn) return;
    if (this.#shown !== undefined && this.#shown !== dialog) this.#withdraw(this.#shown);
    this.#shown = dialog;
    this.#store.set({ pad });
  }

  /** It waits for evidence, and says so where it is for a PIN. */
  #look(dialog: Dialog): void {
    if (dialog.purpose === undefined) this.#hide(dialog);
    else this.#show(dialog, { step: "checking", purpose: dialog.purpose });
  }

  #hide(dialog: Dialog): void {
    if (this.#shown !== dialog) return;
    this.#shown = undefined;
    this.#store.set({ pad: undefined });
  }

  #withdraw(dialog: Dialog): void {
    const { answer } = dialog;
    dialog.isWithdrawn = true;
    dialog.answer = undefined;
    this.#hide(dialog);
    answer?.({ kind: "cancel" });
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
