/** The state, and whoever watches it. */

import type { State } from "./state.ts";

export class Store {
  #state: State;
  readonly #watchers = new Set<() => void>();

  constructor(state: State) {
    this.#state = state;
  }

  get state(): State {
    return this.#state;
  }

  set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    for (const watcher of this.#watchers) watcher();
  }

  /** Ends the watch when called. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Once this holds of the state; rejects once the signal is aborted. */
  until(signal: AbortSignal, holds: (state: State) => boolean): Promise<State> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (signal.aborted) reject(signal.reason);
        else if (holds(this.#state)) resolve(this.#state);
        else return;
        unwatch();
        signal.removeEventListener("abort", look);
      };
      const unwatch = this.watch(look);
      signal.addEventListener("abort", look);
      look();
    });
  }
}
