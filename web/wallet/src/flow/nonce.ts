/**
 * The one nonce that this page holds: from the approval of a transaction until it is handed over, or longer where that is refused. Later ones wait for
 * it, so it is never left.
 */

import type { Client, PreparedTransaction } from "@pinseal/client";

export class Nonce {
  readonly #client: Client;
  /** Names the nonce; and what gives it back when the page goes away, once that is ready. */
  #held: { readonly id: string; leave?: () => void } | undefined;
  /** The transaction that has it may be carried out. */
  #isOut = false;

  constructor(client: Client) {
    this.#client = client;
    // Then nothing can be waited for; what is not ready yet comes back by itself.
    addEventListener("pagehide", () => {
      if (!this.#isOut) this.#held?.leave?.();
      this.#held = undefined;
    });
  }

  /** Takes a nonce for what was approved, and holds it while `work` signs, and after that until it is kept or given back. */
  async hold<T>(approved: PreparedTransaction, work: (numbered: PreparedTransaction) => Promise<T>): Promise<T> {
    await this.giveBack();
    const numbered = await this.#client.takeNonce(approved);
    const { reservationId: id } = numbered;
    if (id !== undefined) {
      const held: { id: string; leave?: () => void } = { id };
      this.#held = held;
      await this.#client.networks.releaseOnLeave(id).then((leave) => Object.assign(held, { leave }), ignore);
    }
    try {
      return await work(numbered);
    } catch (error) {
      await this.giveBack();
      throw error;
    }
  }

  /** The transaction that has it is handed over, or was refused: until it is known which, nobody else is to have it. */
  bind(isOut: boolean): void {
    this.#isOut = isOut;
  }

  /** It is used, or may be: the host binds it to what was sent. */
  keep(): void {
    this.#held = undefined;
    this.#isOut = false;
  }

  /** Nobody will use it, unless the transaction that has it may be carried out. If that fails it comes back by itself. */
  async giveBack(): Promise<void> {
    const held = this.#isOut ? undefined : this.#held;
    this.keep();
    if (held !== undefined) await this.#client.networks.release(held.id).catch(ignore);
  }
}

/** What fails here the host mends by itself, a little later. */
function ignore(): void {}
