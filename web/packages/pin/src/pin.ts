/** What an app with a UI of its own asks a PIN for. Digits are typed in the wallet's page alone, and nothing made of them comes back. */
import {
  Bridge,
  type BridgeOptions,
  type Params,
  type RequestOptions,
  type Result,
  type User,
  userOf,
} from "@pinseal/core";

/** What a PIN approves, once the wallet has shown it decoded. */
export type Approvable = "evm.signMessage" | "evm.signTypedData" | "evm.signTransaction" | "evm.sendTransaction";

/** A bridge of its own, or one that is there: then the wallet's page is shared with whoever uses that. */
export type PinOptions = BridgeOptions | { readonly bridge: Bridge };

/** Asks for the PIN, with the wallet's page over the app's, or wherever the transport puts it. */
export class PinsealPin {
  /** For `getProvider(pin.bridge, "ethereum")` of `@pinseal/provider`, and for `@pinseal/login`. */
  readonly bridge: Bridge;
  readonly #isShared: boolean;

  /** Touches nothing yet, so that it can be made on a server. Throws a `BridgeError` for an app id or an address that is none. */
  constructor(options: PinOptions) {
    this.#isShared = "bridge" in options;
    this.bridge = "bridge" in options ? options.bridge : new Bridge(options);
  }

  /** A PIN for a user who has none, and their wallet with it; who has one is made known to this app. Asks for login and consent first. */
  async register(options?: RequestOptions): Promise<User> {
    return userOf(await this.bridge.request("register", {}, options));
  }

  /**
   * The user enters their PIN, and nothing is signed; done once the enclave has found it right. It tells this page, and proves nothing to
   * anybody else: a server that wants proof has a message of its own signed, by `approve`.
   */
  async authenticate(options?: RequestOptions): Promise<void> {
    await this.bridge.request("pin.verify", {}, options);
  }

  /** The user enters their PIN, and another one twice, which then is in force. */
  async change(options?: RequestOptions): Promise<void> {
    await this.bridge.request("pin.change", {}, options);
  }

  /** The wallet shows what is to be signed, decoded from the very bytes, and takes the PIN for just that. */
  approve<M extends Approvable>(method: M, params: Params<M>, options?: RequestOptions): Promise<Result<M>> {
    return this.bridge.request(method, params, options);
  }

  /** Hears when the pad is seen, and when it no longer is; gives the way to stop. */
  onShown(listener: (isShown: boolean) => void): () => void {
    return this.bridge.onShown(listener);
  }

  /** Takes the wallet's page away; whatever waits rejects with `finalized`. A bridge that was given stays. */
  finalize(): void {
    if (!this.#isShared) this.bridge.finalize();
  }
}
