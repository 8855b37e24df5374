/** The page's end of the bridge. It speaks at once, so that whoever framed the page knows it from an error of the browser's, and lets in later. */

import { WalletEnd, type WalletOptions } from "@pinseal/core/wallet";

/** Who decides and answers, once the page knows whom it may let in. */
export type Host = Required<Pick<WalletOptions, "allow" | "answer" | "onEnd">>;

export class Door {
  readonly end: WalletEnd;
  readonly #host: Promise<Host>;
  #open: (host: Host) => void = () => undefined;

  /** Says hello. Whoever connects waits for {@link admit}; if that never comes, as where the page cannot start, they are told by their own clock. */
  constructor() {
    this.#host = new Promise((open) => {
      this.#open = open;
    });
    this.end = new WalletEnd({
      allow: async (appId, origin) => (await this.#host).allow(appId, origin),
      answer: async (method, params, asked) => (await this.#host).answer(method, params, asked),
      onEnd: () => void this.#host.then((host) => host.onEnd()),
    });
  }

  admit(host: Host): void {
    this.#open(host);
  }
}
