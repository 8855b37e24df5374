/** The page opened for an app: lets it in, answers what it asks, and shows its questions to the wallet's owner one after the other. */

import { ApiError, PinsealError, toHex } from "@pinseal/client";
import {
  type EventData,
  type Method,
  type Params,
  type Result,
  type Session,
  type WalletEnd,
  WalletError,
} from "@pinseal/core/wallet";
import { dropConsent, findConsent, keepConsent } from "../consents.ts";
import { type Entry, type KnownApp, readApp } from "../entry.ts";
import type { GuestApp, State, Wallet } from "../state/state.ts";
import { Answers, type Asker, isFree } from "./answers.ts";
import { Desk } from "./desk.ts";
import type { Door } from "./door.ts";
import type { Flow } from "./flow.ts";
import { Cancelled } from "./pad.ts";
import { isSignedOut } from "./problem.ts";

/** How long the page waits for the app's page to speak before it says that it is alone. */
const CONNECT_MILLISECONDS = 15_000;

type Standing = EventData<"session">["status"];
type Answer<M extends Method> = (params: Params<M>, signal: AbortSignal) => Promise<Result<M>>;

export class GuestFlow {
  readonly #flow: Flow;
  readonly #entry: Exclude<Entry, { kind: "own" }>;
  readonly #desk = new Desk();
  readonly #answers: Answers;
  readonly #door: Door;
  #app: GuestApp | undefined;
  /** The app or its user wants the wallet to stay open though nothing is asked. */
  #isOpen = false;
  #isShown = false;
  /** What the app was told by, so that it is asked for again only where something has changed. */
  #seen: readonly unknown[] = [];
  #told: { standing: Standing; accounts: string } | undefined;
  /** What is asked of a user who has let the app in, and of whom. */
  readonly #asking = new Map<AbortController, string>();

  constructor(flow: Flow, entry: Exclude<Entry, { kind: "own" }>, door: Door) {
    this.#flow = flow;
    this.#entry = entry;
    this.#door = door;
    this.#answers = new Answers(flow);
  }

  get #end(): WalletEnd {
    return this.#door.end;
  }

  /** Waits for the app. Nothing of the wallet is shown before it is known and its origin is one of its own. */
  async connect(): Promise<void> {
    const known = await readApp(this.#entry.appId);
    this.#door.admit({
      allow: async (appId, origin) => this.#allow(known, appId, origin),
      answer: (method, params, { signal }) => this.#answer(method, params, signal),
      onEnd: () => this.#gone(),
    });
    if (!this.#end.hasPeer) return this.#lost();
    setTimeout(() => this.#app === undefined && this.#lost(), CONNECT_MILLISECONDS);
    this.#flow.store.watch(() => this.#changed());
    // A frame that goes away was taken away, by no user of the wallet.
    if (this.#entry.kind === "popup") addEventListener("pagehide", () => this.#vanish());
  }

  /**
   * The user closes the wallet: what the app asked is taken back, and nothing of it comes up again. What was handed over cannot be: that is answered
   * for before.
   */
  close(): void {
    this.#isOpen = false;
    if (!this.#flow.requests.settleHandedOver()) this.#takeBack();
    // Once that answer has gone out.
    else setTimeout(() => this.#takeBack(), 0);
  }

  #takeBack(): void {
    // First of all, so that the app is told of nothing else.
    this.#end.closedByUser();
    this.#flow.requests.withdraw();
    this.#leave();
  }

  /** The window goes away, and nothing can be waited for: the app hears what a frame's close would tell it, of what was handed over nothing more. */
  #vanish(): void {
    if (!this.#flow.requests.settleHandedOver()) this.#end.closedByUser();
  }

  /** The answer to the question for consent. */
  decide(isGranted: boolean): void {
    const { consent, isFresh } = this.#flow.store.state;
    if (isGranted && isFresh) return;
    this.#flow.store.set({ consent: undefined });
    consent?.answer(isGranted);
  }

  /**
   * This user is logged in now, or nobody: what was asked of anybody else is not asked any more, whether or not it had its turn. Of what is signed and
   * handed over, the app hears what became of it.
   */
  changeHands(user: string | undefined): void {
    const { open } = this.#flow.store.state;
    const signed = open?.step === "review" ? undefined : open?.request.turn;
    for (const [asking, asked] of this.#asking) {
      if (asked !== user && asking.signal !== signed) asking.abort(somebodyElse());
    }
  }

  #allow(known: KnownApp | undefined, appId: string, origin: string): boolean {
    if (known === undefined || appId !== known.id || !known.origins.includes(origin)) return false;
    this.#app = { id: known.id, name: known.name, origin, look: known.look };
    this.#flow.store.set({ guest: { entry: this.#entry.kind, step: "ready", app: this.#app } });
    return true;
  }

  #lost(): void {
    this.#flow.store.set({ guest: { entry: this.#entry.kind, step: "lost" } });
  }

  /** The app's page is gone, or said what is no message. */
  #gone(): void {
    this.#isOpen = false;
    this.#flow.requests.withdraw();
    this.#lost();
    if (this.#entry.kind === "popup") window.close();
  }

  #leave(): void {
    this.#show(false);
    // After the messages above have gone out.
    if (this.#entry.kind === "popup") setTimeout(() => window.close(), 0);
  }

  #show(isShown: boolean): void {
    if (this.#isShown === isShown) return;
    this.#isShown = isShown;
    this.#end.show(isShown);
  }

  /** Shown while something is asked, or the outcome of it stands on the screen, or somebody opened the wallet. */
  #changed(): void {
    if (this.#app === undefined) return;
    const { open } = this.#flow.store.state;
    this.#show(this.#desk.isBusy || this.#isOpen || open !== undefined);
    const { user, wallet, consents } = this.#flow.store.state;
    const seen = [user, wallet?.account, wallet?.accounts, consents];
    if (seen.every((part, at) => part === this.#seen[at])) return;
    this.#seen = seen;
    void this.#tell();
  }

  /** Tells the app when it stands otherwise, and when other accounts are its own. */
  async #tell(): Promise<void> {
    const user = await this.#user().catch(() => null);
    const { wallet, user: shown } = this.#flow.store.state;
    // What the page shows is somebody else's until it has found out who is logged in now.
    if (user === null || user !== shown) return;
    const standing = this.#standingOf(user);
    const list = standing === "login" && wallet !== undefined ? this.#answers.accounts(wallet, {}) : undefined;
    const accounts = list === undefined ? (standing === "login" ? this.#told?.accounts : "[]") : JSON.stringify(list);
    const before = this.#told;
    this.#told = { standing, accounts: accounts ?? "[]" };
    if (before === undefined) return;
    if (before.standing !== standing) this.#end.tell("session", { status: standing });
    if (before.accounts !== this.#told.accounts) this.#end.tell("accounts", list ?? []);
  }

  async #answer<M extends Method>(method: M, params: Params<M>, signal: AbortSignal): Promise<Result<M>> {
    try {
      const answer = this.#table[method] as Answer<M> | undefined;
      if (answer === undefined) throw new WalletError("unsupported_method", "the wallet does not know this request");
      return await answer(params, signal);
    } catch (error) {
      // The page finds out, too, and tells the app that the session is over.
      if (isSignedOut(error)) void this.#flow.look();
      throw asWalletError(error);
    } finally {
      // A window that was opened for what nobody had to decide is not needed any more.
      if (this.#entry.kind === "popup" && !this.#isShown) this.#end.show(false);
    }
  }

  readonly #table: { readonly [M in Method]?: Answer<M> } = {
    status: async () => ({ status: await this.#standing() }),
    networks: () => this.#answers.networks(),
    language: async ({ language }) => {
      this.#flow.wishLanguage(language);
      return "done";
    },
    session: async () => this.#session(await this.#agreed()),
    accounts: async (params, signal) => this.#answers.accounts(await this.#wallet(signal), params),
    balance: async (params, signal) => this.#answers.balances(await this.#wallet(signal), params),
    open: (_, signal) => this.#ask(signal, async () => this.#stay()),
    close: async () => {
      this.close();
      return "done";
    },
    login: ({ email }, signal) => this.#logIn(email, signal, "logIn"),
    signUp: ({ email }, signal) => this.#logIn(email, signal, "signUp"),
    register: (_, signal) => this.#logIn(undefined, signal),
    logout: async () => {
      await this.#agreed();
      await this.#flow.signOut();
      return "done";
    },
    revoke: async () => {
      const user = await this.#agreed();
      const { app } = this;
      const kept = findConsent(this.#flow.store.state.consents, { user, app: app.id, origin: app.origin });
      if (kept === undefined) return "done";
      const { consents, isGone } = dropConsent(kept);
      this.#flow.store.set({ consents });
      if (!isGone) throw new WalletError("storage_unavailable", "this browser does not let go of the consent");
      return "done";
    },
    send: (params, signal) =>
      this.#asked(signal, async (wallet, by) => ({ txId: await this.#answers.send(wallet, params, by) })),
    receive: (params, signal) =>
      this.#asked(signal, async (wallet, by) => {
        await this.#answers.receive(wallet, params, by);
        return this.#stay();
      }),
    "pin.verify": (_, signal) => this.#asked(signal, (_wallet, by) => this.#answers.pin("verify", by)),
    "pin.change": (_, signal) => this.#asked(signal, (_wallet, by) => this.#answers.pin("change", by)),
    "evm.rpc": async (params) => {
      await this.#agreed();
      return this.#answers.rpc(params);
    },
    "evm.watchToken": async ({ network, address }) => {
      await this.#agreed();
      const isListed = this.#flow
        .tokensOf(network)
        .some((token) => token.address.toLowerCase() === address.toLowerCase());
      if (!isListed) throw new WalletError("unsupported_method", "the wallet shows the tokens that its operator lists");
      return true;
    },
    "evm.signMessage": (params, signal) =>
      this.#asked(signal, (wallet, by) => this.#answers.signMessage(wallet, params, by)),
    "evm.signTypedData": (params, signal) =>
      this.#asked(signal, (wallet, by) => this.#answers.signTypedData(wallet, params, by)),
    "evm.signTransaction": (params, signal) =>
      this.#asked(signal, async (wallet, by) => {
        const outcome = await this.#answers.transaction(wallet, params, by, false);
        return `0x${toHex(outcome.raw)}`;
      }),
    "evm.sendTransaction": (params, signal) =>
      this.#asked(signal, async (wallet, by) => {
        const outcome = await this.#answers.transaction(wallet, params, by, true);
        return `0x${toHex(outcome.hash)}`;
      }),
  };

  /** The app that was let in; it asks nothing before. */
  get app(): GuestApp {
    if (this.#app === undefined) throw new WalletError("internal_error", "no app is connected");
    return this.#app;
  }

  #stay(): "done" {
    this.#isOpen = true;
    this.#show(true);
    return "done";
  }

  async #logIn(email: string | undefined, signal: AbortSignal, form?: "logIn" | "signUp"): Promise<Session> {
    // Where both stand there is nothing to show.
    if ((await this.#standing()) === "login" && (await this.#settled(signal)) !== undefined) {
      return this.#session(await this.#agreed());
    }
    return this.#ask(signal, async () => {
      // A page that is only just opening forgets what was wanted of it when it comes to its first screen.
      await this.#settled(signal);
      if (email !== undefined) this.#flow.store.set({ wanted: { email, turn: signal } });
      if (form !== undefined) await this.#choose(form, signal);
      await this.#entered(signal);
      const { user } = this.#flow.store.state;
      if (user === undefined) throw new WalletError("login_required", "nobody is logged in");
      if (this.#consent(user) === undefined) await this.#askConsent(user, signal);
      return this.#session(user);
    });
  }

  /** The form that is asked for, in place of the other one; whoever is further on the way goes on from there. */
  async #choose(form: "logIn" | "signUp", signal: AbortSignal): Promise<void> {
    const { screen } = await this.#flow.store.until(signal, ({ screen }) => screen.name !== "starting");
    if (screen.name === (form === "logIn" ? "signUp" : "logIn")) this.#flow.show(form);
  }

  async #askConsent(user: string, turn: AbortSignal): Promise<void> {
    const { app } = this;
    const isWanted = this.#flow.requests.mark();
    await this.#flow.store.until(turn, isFree);
    // Somebody else may be here by now, or nobody.
    if (!isWanted() || this.#flow.store.state.user !== user) throw somebodyElse();
    const isGranted = await new Promise<boolean>((answer) => this.#flow.store.set({ consent: { app, turn, answer } }));
    if (!isGranted) throw new WalletError("declined", "the user declined");
    const since = Math.floor(Date.now() / 1000);
    const consents = keepConsent({ user, app: app.id, origin: app.origin, name: app.name, since });
    this.#flow.store.set({ consents });
    if (this.#consent(user) === undefined) {
      throw new WalletError("storage_unavailable", "this browser keeps nothing for the wallet here");
    }
  }

  /** A question of an app that its user has let in. */
  async #asked<T>(signal: AbortSignal, ask: (wallet: Wallet, by: Asker) => Promise<T>): Promise<T> {
    // Before its turn as well, so that what will be refused shows nothing.
    const user = await this.#agreed();
    signal.throwIfAborted();
    const asking = new AbortController();
    const end = () => asking.abort(signal.reason);
    signal.addEventListener("abort", end);
    this.#asking.set(asking, user);
    try {
      return await this.#ask(asking.signal, async () => {
        if ((await this.#agreed()) !== user) throw somebodyElse();
        return ask(this.#ownedBy(user, await this.#entered(asking.signal)), { ...this.app, signal: asking.signal });
      });
    } finally {
      this.#asking.delete(asking);
      signal.removeEventListener("abort", end);
    }
  }

  /** A question to a person, in its turn. */
  async #ask<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    const turn = this.#desk.run(signal, ask, () => this.#flow.requests.takeBack(signal));
    this.#changed();
    if (this.#entry.kind === "popup") this.#end.show(true);
    try {
      return await turn;
    } finally {
      this.#changed();
    }
  }

  /** The wallet of a user who has let the app in; nobody is asked for anything. */
  async #wallet(signal: AbortSignal): Promise<Wallet> {
    const user = await this.#agreed();
    const wallet = await this.#settled(signal);
    if (wallet === undefined) throw new WalletError("login_required", "the wallet is not open");
    return this.#ownedBy(user, wallet);
  }

  /** Once the wallet is open, whatever its owner has to do for that. */
  async #entered(signal: AbortSignal): Promise<Wallet> {
    const isOpen = ({ screen, wallet }: State) => screen.name !== "starting" && wallet !== undefined;
    const { wallet } = await this.#flow.store.until(signal, isOpen);
    if (wallet === undefined) throw new WalletError("internal_error", "the wallet is not open");
    return wallet;
  }

  /** Once the page has found out whether the wallet opens by itself. */
  async #settled(signal: AbortSignal): Promise<Wallet | undefined> {
    return (await this.#flow.store.until(signal, ({ screen }) => screen.name !== "starting")).wallet;
  }

  /** The open wallet is that of the user who has let the app in: another tab may have logged somebody else in meanwhile. */
  #ownedBy(user: string, wallet: Wallet): Wallet {
    if (this.#flow.store.state.user === user && wallet.user === user) return wallet;
    throw somebodyElse();
  }

  async #user(): Promise<string | undefined> {
    return (await this.#flow.client.profile()).session?.user;
  }

  #consent(user: string) {
    const { app } = this;
    return findConsent(this.#flow.store.state.consents, { user, app: app.id, origin: app.origin });
  }

  async #standing(): Promise<Standing> {
    return this.#standingOf(await this.#user());
  }

  #standingOf(user: string | undefined): Standing {
    if (user === undefined) return "before_login";
    return this.#consent(user) === undefined ? "login_before_register" : "login";
  }

  /** The user, who has let the app in. */
  async #agreed(): Promise<string> {
    const user = await this.#user();
    if (user === undefined) throw new WalletError("login_required", "nobody is logged in at the wallet");
    if (this.#consent(user) === undefined) {
      throw new WalletError("consent_required", "the user has not let this app see the wallet");
    }
    return user;
  }

  /** Of the user who has let the app in, whoever logs in meanwhile. */
  async #session(user: string): Promise<Session> {
    const me = await this.#flow.client.login.me(user);
    if ((await this.#user()) !== user) throw somebodyElse();
    const status = (
      { complete: "complete", pin_required: "pinRequired", register_required: "registerRequired" } as const
    )[me.login_status];
    return {
      status,
      userId: me.user_id,
      email: me.email,
      ...(me.wallet_id !== undefined && { walletId: me.wallet_id }),
    };
  }
}

function somebodyElse(): WalletError {
  return new WalletError("login_required", "whoever let this app in is not logged in at the wallet any more");
}

/** What may cross: codes and texts of errors that are thrown on purpose. */
function asWalletError(error: unknown): unknown {
  if (error instanceof Cancelled && error.cause !== undefined) return asWalletError(error.cause);
  if (error instanceof Cancelled) return new WalletError("declined", "the user declined");
  if (!(error instanceof PinsealError)) return error;
  if (isSignedOut(error)) return new WalletError("login_required", "nobody is logged in at the wallet");
  if (error.code === "user_changed") return somebodyElse();
  if (error.code === "rpc_refused") {
    const problem = error instanceof ApiError ? error.problem : undefined;
    return new WalletError("node_refused", problem?.detail ?? error.message, false, problem?.data);
  }
  return new WalletError(error.code, error.message, error.isRetryable);
}
