/**
 * The one nonce that this page holds: from the approval of a transaction until it is handed over, or longer where that is refused. Later ones wait for
 * it, so it is never left.
 */

import type { Client, PreparedTransaction } from "@pinseal/client";

export class Nonce {
  readonly #client: Client;
  #held: Held | undefined;

  constructor(client: Client) {
    this.#client = client;
    // Then nothing can be waited for; what is not ready yet comes back by itself.
    addEventListener("pagehide", () => {
      if (!this.#held?.isOut) this.#held?.leave?.();
      this.#held = undefined;
    });
  }

  /**
   * Takes a nonce for what was approved, and holds it while `work` signs, and after that until it is kept or given back, or the next one is taken.
   * What `work` gets names it from then on.
   */
  async hold<T>(approved: PreparedTransaction, work: (numbered: PreparedTransaction) => Promise<T>): Promise<T> {
    await this.#giveBack(this.#held);
    const numbered = await this.#client.takeNonce(approved);
    const { reservationId: id } = numbered;
    if (id !== undefined) {
      const held: Held = { id, isOut: false };
      this.#held = held;
      await this.#client.networks.releaseOnLeave(id).then((leave) => Object.assign(held, { leave }), ignore);
    }
    try {
      return await work(numbered);
    } catch (error) {
      await this.giveBack(numbered);
      throw error;
    }
  }

  /** The transaction that has it is handed over, or was refused: until it is known which, nobody else is to have it. */
  bind(of: Numbered, isOut: boolean): void {
    const held = this.#of(of);
    if (held !== undefined) held.isOut = isOut;
  }

  /** It is used, or may be: the host binds it to what was sent. */
  keep(of: Numbered): void {
    if (this.#of(of) !== undefined) this.#held = undefined;
  }

  /** Nobody will use it, unless the transaction that has it may be carried out. If that fails it comes back by itself. */
  giveBack(of: Numbered): Promise<void> {
    return this.#giveBack(this.#of(of));
  }

  async #giveBack(held: Held | undefined): Promise<void> {
    if (held === undefined) return;
    this.#held = undefined;
    if (!held.isOut) await this.#client.networks.release(held.id).catch(ignore);
  }

  /** What is held, if it is that of this transaction: what ends late finds the nonce of another one here. */
  #of(numbered: Numbered): Held | undefined {
    return numbered !== undefined && numbered.reservationId === this.#held?.id ? this.#held : undefined;
  }
}

interface Held {
  readonly id: string;
  /** Gives it back when the page goes away, once that is ready. */
  readonly leave?: () => void;
  /** The transaction that has it may be carried out. */
  isOut: boolean;
}

/** A transaction that has a nonce, where one was taken for it. */
type Numbered = PreparedTransaction | undefined;

/** What fails here the host mends by itself, a little later. */
function ignore(): void {}
