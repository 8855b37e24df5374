/** Who hears a provider's events. */
import type { ProviderRpcError } from "./error.js";
import type { Hex } from "./params.js";

/** EIP-1193's events and what each tells. */
export interface ProviderEvents {
  connect: { readonly chainId: Hex };
  disconnect: ProviderRpcError;
  accountsChanged: readonly Hex[];
  chainChanged: Hex;
  message: { readonly type: string; readonly data: unknown };
}

/** Who hears an event. */
export type Listener<E extends keyof ProviderEvents> = (data: ProviderEvents[E]) => void;

export class Emitter {
  readonly #listeners = new Map<string, ((data: never) => void)[]>();

  /** Hears an event until it is removed. */
  on<E extends keyof ProviderEvents>(event: E, listener: Listener<E>): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  /** Hears it no more; the newest of the same listener goes first. */
  removeListener<E extends keyof ProviderEvents>(event: E, listener: Listener<E>): this {
    const listeners = this.#listeners.get(event) ?? [];
    const at = listeners.lastIndexOf(listener);
    if (at >= 0) this.#listeners.set(event, listeners.toSpliced(at, 1));
    return this;
  }

  /** A listener that throws is the app's fault, and keeps nothing from the others. */
  protected emit<E extends keyof ProviderEvents>(event: E, data: ProviderEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) queueMicrotask(() => listener(data as never));
  }
}
