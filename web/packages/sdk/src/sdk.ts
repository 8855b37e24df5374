/** The widget: what an app's developer calls, by the names they know. */
import {
  type Account,
  Bridge,
  type BridgeOptions,
  type Method,
  networkId,
  type Params,
  type RequestOptions,
  type Result,
  type Session,
  type User,
  userOf,
  WalletError,
} from "@pinseal/core";
import { SdkError } from "./error.js";
import { Events, type SdkEvents } from "./events.js";

/** Where the user stands. */
export type Status =
  | "not_initialized"
  | "initializing"
  /** Ready; whether somebody is logged in is not known before the wallet's window is open (`popup`). */
  | "initialized"
  | "before_login"
  | "login"
  | "login_before_register";

/** The app, its wallet, and where that opens. */
export type SdkOptions = BridgeOptions;

/** A transfer to be approved. */
export interface Send {
  readonly account: Account;
  /** What the wallet's form starts with. The amount is text in the coin's whole unit, such as "0.25". */
  readonly txData?: { readonly to?: string; readonly amount?: string };
}

/** The wallet as a widget. */
export class PinsealSDK {
  readonly #options: SdkOptions;
  readonly #events = new Events();
  #bridge: Bridge | undefined;
  #starting: Promise<void> | undefined;
  #status: Status = "not_initialized";
  #language: string | undefined;

  /** Touches nothing yet, so that it can be made on a server. */
  constructor(options: SdkOptions) {
    this.#options = options;
  }

  /**
   * Brings the wallet up, unseen; once however often it is called. With `popup` no window opens before a person asks for something.
   * `defaultLanguage` as for {@link changeLanguage}.
   */
  init({ defaultLanguage }: { readonly defaultLanguage?: string } = {}): Promise<void> {
    this.#starting ??= this.#start(new Bridge(this.#options), defaultLanguage);
    return this.#starting;
  }

  /**
   * Wishes a language for the wallet, by its BCP 47 tag. One that the user chose in the wallet goes before it; one that the wallet does not
   * have changes nothing.
   */
  async changeLanguage({ language }: { readonly language: string }): Promise<void> {
    const { bridge } = this;
    // A window that is not open is told once it is.
    if (!bridge.needsClick) await wish(bridge, language);
    this.#language = language;
  }

  /** True once `init()` has come to something. */
  isInitialized(): boolean {
    return !["not_initialized", "initializing"].includes(this.#status);
  }

  /** Where the user stands, as the wallet says now. */
  async getStatus(): Promise<Status> {
    if (!this.isInitialized() || this.bridge.needsClick) return this.#status;
    this.#set((await this.#ask("status", {})).status);
    return this.#status;
  }

  /** What a provider is made of: `getProvider(sdk.bridge, "ethereum")` of `@pinseal/provider`. */
  get bridge(): Bridge {
    if (this.#bridge === undefined || !this.isInitialized()) {
      throw new SdkError("not_initialized", "call init() first, and wait for it");
    }
    return this.#bridge;
  }

  /** Hears an event; gives the way to stop. */
  on<E extends keyof SdkEvents>(event: E, listener: (data: SdkEvents[E]) => void): () => void {
    return this.#events.on(event, listener);
  }

  /** Shows the wallet. */
  async openWidget(options?: RequestOptions): Promise<void> {
    await this.#ask("open", {}, options);
  }

  /** Hides the wallet, as if the user had closed it. */
  async closeWidget(): Promise<void> {
    if (!this.bridge.needsClick) await this.#ask("close", {});
  }

  /** Logs the user in, and asks them to let this app see the wallet. */
  async loginWithUI(asked: { readonly email?: string } = {}, options?: RequestOptions): Promise<User> {
    return this.#user(await this.#ask("login", asked, options));
  }

  /** Makes the wallet of a user who has none, or makes a user with a wallet known to this app. */
  async register(options?: RequestOptions): Promise<User> {
    return this.#user(await this.#ask("register", {}, options));
  }

  /** Who is logged in. Rejects with `login_required` or `consent_required`; nobody is asked for anything. */
  async getLoginSession(): Promise<User> {
    return this.#user(await this.#ask("session", {}));
  }

  /** Ends the session at the wallet and at the server; done where nobody is logged in. */
  async logout(): Promise<void> {
    try {
      await this.#ask("logout", {});
    } catch (error) {
      if (!(error instanceof WalletError) || error.code !== "login_required") throw error;
    }
    this.#set("before_login");
  }

  /** The user's accounts, the one in use first; networks by CAIP-2 id or by name. */
  async getAccounts(
    asked: { readonly networks?: readonly string[]; readonly withEoa?: boolean } = {},
  ): Promise<readonly Account[]> {
    const { networks, ...rest } = asked;
    return this.#ask("accounts", { ...rest, ...(networks && { networks: networks.map(known) }) });
  }

  /** Of all accounts unless named; amounts are text, exact to the last digit. */
  async getBalance(accounts?: readonly Account[]): Promise<Result<"balance">> {
    return this.#ask("balance", accounts === undefined ? {} : { accounts: accounts.map(named) });
  }

  /** The wallet's own form. What is given the user approves as it is; where something is left open, the user fills in and may change the rest. */
  async send({ account, txData }: Send, options?: RequestOptions): Promise<{ readonly txId: string }> {
    const sent = await this.#ask("send", { account: named(account), ...txData }, options);
    this.#events.emit("sent", { account: named(account), txId: sent.txId });
    return sent;
  }

  /** Shows the account's address to be scanned or copied. */
  async receive(account: Account, options?: RequestOptions): Promise<Account> {
    await this.#ask("receive", { account: named(account) }, options);
    return account;
  }

  /** Takes the wallet away; whatever waits rejects with `finalized`. `init()` starts anew. */
  finalize(): void {
    this.#bridge?.finalize();
    this.#bridge = this.#starting = undefined;
    this.#set("not_initialized");
  }

  async #start(bridge: Bridge, language: string | undefined): Promise<void> {
    this.#bridge = bridge;
    this.#language = language;
    this.#set("initializing");
    bridge.on("session", ({ status }) => this.#set(status));
    bridge.on("accounts", (accounts) => this.#events.emit("accountsChanged", accounts));
    bridge.onShown((isShown) => this.#shown(bridge, isShown));
    try {
      if (language !== undefined && !bridge.needsClick) await wish(bridge, language);
      const status = bridge.needsClick ? undefined : (await bridge.request("status", {})).status;
      this.#set("initialized");
      if (status !== undefined) this.#set(status);
    } catch (error) {
      // Unless `finalize()` came between, and perhaps another `init()` after it.
      if (this.#bridge === bridge) this.finalize();
      throw error;
    }
  }

  #shown(bridge: Bridge, isShown: boolean): void {
    this.#events.emit(isShown ? "widgetOpened" : "widgetClosed", undefined);
    const language = this.#language;
    // Anew each time: the page may be another one than that which was told before. Without it the wallet speaks its user's own.
    if (isShown && language !== undefined) void wish(bridge, language).catch(() => undefined);
  }

  async #ask<M extends Method>(method: M, params: Params<M>, options?: RequestOptions): Promise<Result<M>> {
    return this.bridge.request(method, params, options);
  }

  #user(session: Session): User {
    this.#set(session.status === "complete" ? "login" : "login_before_register");
    return userOf(session);
  }

  #set(status: Status): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#events.emit("statusChanged", status);
  }
}

/** A wallet that does not know of wishes speaks its user's own language. */
async function wish(bridge: Bridge, language: string): Promise<void> {
  try {
    await bridge.request("language", { language });
  } catch (error) {
    if (!(error instanceof WalletError) || error.code !== "unsupported_method") throw error;
  }
}

function known(network: string): string {
  const id = networkId(network);
  if (id === undefined) throw new SdkError("network_unknown", `${String(network).slice(0, 64)} is no network's name`);
  return id;
}

/** The account with its network's id in place of a name. */
function named(account: Account): Account {
  return { ...account, network: known(account.network) };
}
