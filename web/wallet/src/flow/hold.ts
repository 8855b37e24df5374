/** Nothing agrees to what an app asks before it has stood there for a while. */

import type { State } from "../state/state.ts";
import type { Store } from "../state/store.ts";

/** How long it stands there first. */
const HOLD_MILLISECONDS = 1000;

/**
 * Says in the state whether what an app asks has just come up (`isFresh`). An app may take one question back as somebody is about to press, and put up
 * another: whoever meant the first one sees the other before a press agrees to it.
 */
export class Hold {
  readonly #store: Store;
  #asked: object | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: Store) {
    this.#store = store;
    store.watch(() => this.#look());
  }

  /** What stands there is seen from now on: it was covered, or in a tab behind another. */
  again(): void {
    if (this.#asked === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#store.set({ isFresh: false }), HOLD_MILLISECONDS);
    if (!this.#store.state.isFresh) this.#store.set({ isFresh: true });
  }

  #look(): void {
    const asked = askedByApp(this.#store.state);
    if (asked === this.#asked) return;
    this.#asked = asked;
    if (asked !== undefined) {
      this.again();
      return;
    }
    clearTimeout(this.#timer);
    if (this.#store.state.isFresh) this.#store.set({ isFresh: false });
  }
}

/** What an app asks just now and a press would agree to; the same as long as it is the same question. */
function askedByApp({ wallet, consent, unsettled, pinAsked, pad, open }: State): object | undefined {
  if (wallet === undefined) return undefined;
  // In the order in which they are shown. The pad for a PIN opens by itself, once the evidence is there.
  if (pinAsked !== undefined) return pad === undefined || pad.step === "checking" ? undefined : pinAsked;
  if (unsettled !== undefined) return unsettled.from.kind === "app" ? unsettled.earlier : undefined;
  if (open !== undefined) return open.step === "review" && open.request.from.kind === "app" ? open.request : undefined;
  return consent;
}
