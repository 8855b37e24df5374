/** Who is logged in at the wallet, and how they come and go, by the names that integrators know. */
import {
  Bridge,
  type BridgeOptions,
  type EventData,
  type RequestOptions,
  type Session,
  type User,
  userOf,
  WalletError,
} from "@pinseal/core";
import { LoginError } from "./error.js";

/** `unknown` before the wallet was asked, and with `popup` for as long as its window was never open. */
export type LoginStatus = "unknown" | EventData<"session">["status"];

/** A bridge of its own, or one that is there, as a widget's or a PIN pad's: then the wallet's page is shared with whoever uses that. */
export type LoginOptions = BridgeOptions | { readonly bridge: Bridge };

/** What an app can hear. */
export interface LoginEvents {
  readonly statusChanged: LoginStatus;
  /** Somebody has logged in and let this app see their wallet, here or elsewhere on this device. */
  readonly loggedIn: undefined;
  /**
   * The session, or the consent, is over. `app`: by `logout()`. `wallet`: by its user, at the wallet or in another tab; or because it
   * expired or was revoked.
   */
  readonly loggedOut: { readonly by: "app" | "wallet" };
}

/** What the wallet answers where there is nobody to tell of. */
const NOBODY = ["login_required", "consent_required"];

/** Login at the wallet, in the wallet's own page. */
export class PinsealLogin {
  readonly #bridge: Bridge;
  readonly #isShared: boolean;
  readonly #listeners = new Map<keyof LoginEvents, Set<(data: never) => void>>();
  readonly #unhear: () => void;
  #status: LoginStatus = "unknown";
  #isLeaving = false;

  /** Touches nothing yet, so that it can be made on a server. Throws a `BridgeError` for an app id or an address that is none. */
  constructor(options: LoginOptions) {
    this.#isShared = "bridge" in options;
    this.#bridge = "bridge" in options ? options.bridge : new Bridge(options);
    this.#unhear = this.#bridge.on("session", ({ status }) => this.#set(status));
  }

  /** For `getProvider(login.bridge, "ethereum")` of `@pinseal/provider`, and for `@pinseal/pin`. */
  get bridge(): Bridge {
    return this.#bridge;
  }

  /** Hears an event; gives the way to stop. */
  on<E extends keyof LoginEvents>(event: E, listener: (data: LoginEvents[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Where the user stands, as the wallet says now; with `popup` and no window open, what was known last. */
  async getStatus(): Promise<LoginStatus> {
    if (!this.#bridge.needsClick) this.#set((await this.#bridge.request("status", {})).status);
    return this.#status;
  }

  /** The wallet's form for e-mail and password, filled in as far as is given; asks for consent. Where both stand nobody is asked. */
  loginWithEmailAndPassword(email?: string, options?: RequestOptions): Promise<User> {
    return this.#enter("login", email, options);
  }

  /** The same, from the form for those who have no account; the wallet mails the code, takes it, and makes the wallet with its PIN. */
  signUpWithEmailAndPassword(email?: string, options?: RequestOptions): Promise<User> {
    return this.#enter("signUp", email, options);
  }

  /** Who is logged in, as the server says now; undefined if nobody is, or this app may not know. Nobody is asked for anything. */
  async getCurrentUser(): Promise<User | undefined> {
    try {
      return this.#entered(await this.#bridge.request("session", {}));
    } catch (error) {
      if (!(error instanceof WalletError) || !NOBODY.includes(error.code)) throw error;
      this.#set(error.code === "consent_required" ? "login_before_register" : "before_login");
      return undefined;
    }
  }

  /**
   * Has the wallet ask the server whether the session still holds. The wallet's page renews its tokens itself when they have run out, at
   * this call as well; the app neither holds nor gets one. Rejects with `login_required` or `consent_required` where it is over.
   */
  async refresh(): Promise<User> {
    const user = await this.getCurrentUser();
    if (user !== undefined) return user;
    if (this.#status === "before_login") throw new WalletError("login_required", "nobody is logged in at the wallet");
    throw new WalletError("consent_required", "the user has not let this app see the wallet");
  }

  /** Ends the session at the wallet and at the server; done where nobody is logged in. */
  async logout(): Promise<void> {
    this.#isLeaving = true;
    try {
      await this.#bridge.request("logout", {});
      this.#set("before_login");
    } catch (error) {
      if (!(error instanceof WalletError) || error.code !== "login_required") throw error;
      this.#set("before_login");
    } finally {
      this.#isLeaving = false;
    }
  }

  /** Hears nothing any more, and takes the wallet's page away: whatever waits rejects with `finalized`. A bridge that was given stays. */
  finalize(): void {
    this.#unhear();
    this.#listeners.clear();
    if (!this.#isShared) this.#bridge.finalize();
  }

  async #enter(method: "login" | "signUp", email: string | undefined, options?: RequestOptions): Promise<User> {
    if (options !== undefined && typeof options !== "object") {
      throw new LoginError("password_refused", "give no password: the user types it in the wallet's page");
    }
    return this.#entered(await this.#bridge.request(method, email === undefined ? {} : { email }, options));
  }

  #entered(session: Session): User {
    this.#set(session.status === "complete" ? "login" : "login_before_register");
    return userOf(session);
  }

  #set(status: LoginStatus): void {
    const before = this.#status;
    if (status === before) return;
    this.#status = status;
    this.#tell("statusChanged", status);
    if (status === "login") this.#tell("loggedIn", undefined);
    else if (before === "login") this.#tell("loggedOut", { by: this.#isLeaving ? "app" : "wallet" });
  }

  /** Each listener on its own: one that throws keeps nothing from the others. */
  #tell<E extends keyof LoginEvents>(event: E, data: LoginEvents[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) queueMicrotask(() => listener(data as never));
  }
}
