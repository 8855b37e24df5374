/** How work of the page's forms and dialogs is done: one at a time, and every button that begins some shows `busy` meanwhile. */

import type { Store } from "../state/store.ts";
import { Cancelled, type PadFlow } from "./pad.ts";
import { isSignedOut, problemOf } from "./problem.ts";

export class Work {
  readonly #store: Store;
  readonly #pad: PadFlow;
  readonly #signedOut: (told: ReturnType<typeof problemOf>) => void;
  /** Counts work that was begun or given up, so that what ends late ends nothing else. */
  #number = 0;

  constructor(store: Store, pad: PadFlow, signedOut: (told: ReturnType<typeof problemOf>) => void) {
    this.#store = store;
    this.#pad = pad;
    this.#signedOut = signedOut;
  }

  /** Work of a form; a failure is told in the form. */
  async run(work: () => Promise<void>): Promise<void> {
    if (this.#store.state.busy) return;
    this.#number += 1;
    const number = this.#number;
    const isWanted = () => number === this.#number;
    this.#store.set({ busy: true, problem: undefined });
    try {
      await work();
    } catch (error) {
      if (!isWanted()) return;
      if (this.#store.state.user !== undefined && isSignedOut(error)) this.#signedOut(problemOf(error));
      else if (!(error instanceof Cancelled)) this.#store.set({ problem: problemOf(error) });
    } finally {
      if (isWanted()) this.#store.set({ busy: false });
    }
  }

  /** Work of the dialog, which tells its own failures. While that is open nothing under it can be pressed. */
  async inDialog(work: () => Promise<void>): Promise<void> {
    if (!this.#pad.isOpen) await this.run(work);
  }

  /** What somebody who has signed out had begun holds up nobody, and tells nobody. */
  abandon(): void {
    this.#number += 1;
    this.#store.set({ busy: false, problem: undefined });
  }
}
