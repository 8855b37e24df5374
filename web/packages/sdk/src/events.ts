/** What an app can hear. */
import type { Account } from "@pinseal/core";
import type { Status } from "./sdk.js";

/** What an app can hear, and what each event tells. */
export interface SdkEvents {
  readonly statusChanged: Status;
  readonly widgetOpened: undefined;
  readonly widgetClosed: undefined;
  readonly accountsChanged: readonly Account[];
  /** A transfer that the user approved in `send` is on its way. */
  readonly sent: { readonly account: Account; readonly txId: string };
}

export class Events {
  readonly #listeners = new Map<string, Set<(data: never) => void>>();

  on<E extends keyof SdkEvents>(event: E, listener: (data: SdkEvents[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Each listener on its own: one that throws keeps nothing from the others. */
  emit<E extends keyof SdkEvents>(event: E, data: SdkEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) queueMicrotask(() => listener(data as never));
  }
}
