/** `<pinseal-pin>`: the wallet's page framed where the element stands, seen only while it asks for something. */
import {
  type Bridge,
  frameIn,
  type Params,
  popup,
  type RequestOptions,
  type Result,
  type Transport,
  type User,
} from "@pinseal/core";
import { type Approvable, PinsealPin } from "./pin.js";

/**
 * Attributes: `app-id` and `wallet` as for `BridgeOptions`, `popup` for a wallet on another site, which then opens in a window of its own,
 * and `aria-label` for the pad's accessible name. The element has the attribute `open` while the pad is seen in it; otherwise, and with
 * `popup` always, it takes no room. Its size is the app's to choose, from 320 pixels on.
 */
export interface PinsealPinElement extends HTMLElement {
  /** One for as long as `app-id`, `wallet` and `popup` stay as they are. Throws a `BridgeError` where they name no app or no wallet. */
  readonly bridge: Bridge;
  /** See `PinsealPin`. */
  register(options?: RequestOptions): Promise<User>;
  /** See `PinsealPin`. */
  authenticate(options?: RequestOptions): Promise<void>;
  /** See `PinsealPin`. */
  change(options?: RequestOptions): Promise<void>;
  /** See `PinsealPin`. */
  approve<M extends Approvable>(method: M, params: Params<M>, options?: RequestOptions): Promise<Result<M>>;
  /** Takes the wallet's page away; whatever waits rejects with `finalized`. The next call starts anew. */
  finalize(): void;
}

/** What the element tells, of a window of the wallet's own as well; neither bubbles. */
export interface PinElementEvents {
  /** The pad is seen. */
  readonly open: Event;
  /** The pad is seen no longer: the user is done, or has closed it. */
  readonly close: Event;
}

declare global {
  interface HTMLElementTagNameMap {
    "pinseal-pin": PinsealPinElement;
  }
}

/** Room for the pad and what stands around it. An app's own rules for the element go before these. */
const STYLE = `:host{display:block;inline-size:min(100%,26rem);block-size:50rem;max-block-size:100dvh}:host(:not([open])){display:none}`;

/** Makes the element known to the browser, once however often it is called. Where there are no elements, as on a server, it does nothing. */
export function definePin(name = "pinseal-pin"): void {
  const registry = globalThis.customElements;
  if (registry !== undefined && registry.get(name) === undefined) registry.define(name, elementClass());
}

/** Made when it is asked for: on a server there is no `HTMLElement` to extend. */
function elementClass(): new () => PinsealPinElement {
  return class extends HTMLElement implements PinsealPinElement {
    static readonly observedAttributes = ["app-id", "wallet", "popup"];
    readonly #root = this.attachShadow({ mode: "open" });
    #pin: PinsealPin | undefined;

    constructor() {
      super();
      const style = new CSSStyleSheet();
      style.replaceSync(STYLE);
      this.#root.adoptedStyleSheets = [style];
    }

    attributeChangedCallback(_name: string, before: string | null, now: string | null): void {
      if (before !== now) this.finalize();
    }

    get bridge(): Bridge {
      return this.#asked().bridge;
    }

    async register(options?: RequestOptions): Promise<User> {
      return this.#asked().register(options);
    }

    async authenticate(options?: RequestOptions): Promise<void> {
      return this.#asked().authenticate(options);
    }

    async change(options?: RequestOptions): Promise<void> {
      return this.#asked().change(options);
    }

    async approve<M extends Approvable>(method: M, params: Params<M>, options?: RequestOptions): Promise<Result<M>> {
      return this.#asked().approve(method, params, options);
    }

    finalize(): void {
      this.#pin?.finalize();
      this.#pin = undefined;
    }

    #asked(): PinsealPin {
      if (this.#pin !== undefined) return this.#pin;
      const [appId, wallet] = [this.getAttribute("app-id") ?? "", this.getAttribute("wallet") ?? ""];
      const transport = this.hasAttribute("popup") ? popup : this.#within();
      this.#pin = new PinsealPin({ appId, wallet, transport });
      if (transport === popup) this.#pin.onShown((isShown) => this.#tell(isShown));
      return this.#pin;
    }

    /** The frame in this element, which is opened before the frame is: what is not seen takes no focus. */
    #within(): Transport {
      return {
        needsClick: false,
        open: (wallet, appId) => {
          const title = this.getAttribute("aria-label") ?? "PIN pad";
          const opened = frameIn(this.#root, title).open(wallet, appId);
          return {
            ...opened,
            show: (isShown) => {
              if (isShown) this.#open(true);
              opened.show(isShown);
              if (!isShown) this.#open(false);
            },
            remove: () => {
              opened.remove();
              this.#open(false);
            },
          };
        },
      };
    }

    #open(isOpen: boolean): void {
      if (isOpen === this.hasAttribute("open")) return;
      this.toggleAttribute("open", isOpen);
      this.#tell(isOpen);
    }

    #tell(isShown: boolean): void {
      this.dispatchEvent(new Event(isShown ? "open" : "close"));
    }
  };
}
