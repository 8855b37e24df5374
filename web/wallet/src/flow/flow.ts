/** Everything somebody can do on the page. The only modules that talk to the client are this one, that of its requests and the pad's. */

import { type Account, type Attested, Client, IndexedDbStore, type NetworkInfo, toHex } from "@pinseal/client";
import { type Consent, dropConsent, onConsents } from "../consents.ts";
import type { Entry } from "../entry.ts";
import { argon2 } from "../platform/argon2.ts";
import { deviceLabel } from "../platform/device.ts";
import { type Language, languageOf, onPreferences, type Preferences, writePreferences } from "../preferences.ts";
import type { ListedToken, Settings } from "../settings.ts";
import type { Activity, Holding, Loaded, PinQuestion, Place, Unread, Wallet } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import { nextAccount } from "./accounts.ts";
import type { Door } from "./door.ts";
import { GuestFlow } from "./guest.ts";
import { ATTEMPTS_PAGE, readAttempts } from "./history.ts";
import { Cancelled, PadFlow } from "./pad.ts";
import { placeOf, showPlace } from "./places.ts";
import { isSignedOut, problemOf } from "./problem.ts";
import { RequestFlow } from "./requests.ts";
import { Tabs } from "./tabs.ts";
import { Work } from "./work.ts";

/** Transactions of the activity list. */
const ACTIVITY_MAX = 20;
/** The development node's network: shown first where it is served. */
const LOCAL_NETWORK = "eip155:31337";
/** How often balance and activity are asked for while somebody looks. */
const LOOK_MILLISECONDS = 10_000;

export class Flow {
  readonly store: Store;
  readonly pad: PadFlow;
  readonly client: Client;
  /** Where the page was opened for an app. */
  readonly guest: GuestFlow | undefined;
  /** What is put before the wallet's owner. */
  readonly requests: RequestFlow;
  readonly #work: Work;
  readonly #tokens: readonly ListedToken[];
  readonly #tabs: Tabs;
  /** A sign-up's password, until the code is typed and it logs in; never stored. */
  #pending: { email: string; password: string } | undefined;
  /** Counts entries into the wallet, so that an answer for another user or account is dropped. */
  #visit = 0;
  /** The language that an app wished for. */
  #wished: Language | undefined;

  constructor(store: Store, { server, app, policy, tokens }: Settings, entry: Entry, door?: Door) {
    this.store = store;
    this.#tokens = tokens;
    this.client = new Client({ server, app, policy, store: new IndexedDbStore(), argon2 });
    this.pad = new PadFlow(this.client, store);
    this.#work = new Work(store, this.pad, (told) => this.#signedOut(told));
    const { client, pad } = this;
    const changed = () => this.#changed();
    this.requests = new RequestFlow({ client, store, pad, work: this.#work, tokens, changed });
    this.#tabs = new Tabs((news) => void (news === "session" ? this.#elsewhere() : this.#walletElsewhere()));
    this.guest = entry.kind === "own" || door === undefined ? undefined : new GuestFlow(this, entry, door);
    onConsents((consents) => store.set({ consents }));
    onPreferences((preferences) => this.#hear(preferences));
    addEventListener("hashchange", () => this.#moved());
    setInterval(() => document.visibilityState === "visible" && void this.look(), LOOK_MILLISECONDS);
  }

  /** The page has been opened. */
  async start(): Promise<void> {
    const { session } = await this.client.profile();
    if (session === undefined) return this.#signedOut();
    await this.#enter(session.user);
  }

  // --- Login

  signUp(email: string, password: string): Promise<void> {
    return this.#work.run(async () => {
      await this.client.login.signUp(email, password, this.store.state.preferences.language);
      this.#pending = { email, password };
      this.store.set({ screen: { name: "confirm", email } });
    });
  }

  confirm(email: string, code: string): Promise<void> {
    return this.#work.run(async () => {
      const isContested = await this.client.login.verifyEmail(email, code);
      const pending = this.#pending;
      this.#pending = undefined;
      if (isContested) {
        // The code is used up, so there is nothing to come back to here.
        this.store.set({ screen: { name: "forgotten" } });
        await this.client.login.requestReset(email);
        return this.store.set({ screen: { name: "reset", email, contested: true } });
      }
      if (pending?.email !== email) return this.#signedOut();
      await this.#logIn(email, pending.password);
    });
  }

  resend(email: string): Promise<void> {
    return this.#work.run(async () => {
      await this.client.login.resendCode(email);
      this.store.set({ toast: { text: "confirm.resent" } });
    });
  }

  logIn(email: string, password: string): Promise<void> {
    return this.#work.run(() => this.#logIn(email, password));
  }

  requestReset(email: string): Promise<void> {
    return this.#work.run(async () => {
      await this.client.login.requestReset(email);
      this.store.set({ screen: { name: "reset", email, contested: false } });
    });
  }

  reset(email: string, code: string, password: string): Promise<void> {
    return this.#work.run(async () => {
      await this.client.login.reset(email, code, password);
      await this.#logIn(email, password);
    });
  }

  /** Shows one of the screens before the login. */
  show(screen: "logIn" | "signUp" | "forgotten"): void {
    this.#pending = undefined;
    this.store.set({ screen: { name: screen }, problem: undefined });
  }

  async signOut(): Promise<void> {
    // The profile forgets the session even if the server cannot be told.
    await this.client.login.logOut().catch(() => undefined);
    this.#tabs.tell("session");
    this.#signedOut();
  }

  async #logIn(email: string, password: string): Promise<void> {
    await this.client.login.logIn(email, password);
    this.#tabs.tell("session");
    const { session } = await this.client.profile();
    if (session !== undefined) await this.#enter(session.user);
  }

  /** Another tab has logged in or out. */
  async #elsewhere(): Promise<void> {
    this.pad.answer({ kind: "cancel" });
    const { session } = await this.client.profile();
    if (session?.user === this.store.state.user) return;
    if (session === undefined) return this.#signedOut();
    // Somebody else is asked nothing that was asked of whoever was here before, and waits for nothing of theirs.
    this.#work.abandon();
    this.#takeAway(session.user);
    showPlace(undefined);
    await this.#enter(session.user);
  }

  /** Another tab has sent something, or made the wallet or this device's way to it, which this one still offers. */
  async #walletElsewhere(): Promise<void> {
    const { user, screen, busy } = this.store.state;
    const isOffered = screen.name === "create" || screen.name === "enrol";
    if (user !== undefined && isOffered && !busy) await this.#enter(user);
    else await this.look();
  }

  #signedOut(told?: Parameters<Store["set"]>[0]["problem"]): void {
    this.#visit += 1;
    this.#work.abandon();
    showPlace(undefined);
    this.#takeAway(undefined);
    const gone = { user: undefined, wallet: undefined };
    this.store.set({ ...gone, screen: { name: "logIn", ...(told && { told }) } });
  }

  /** Nothing that was asked of whoever was here is asked of this user. */
  #takeAway(user: string | undefined): void {
    this.guest?.changeHands(user);
    this.requests.changeHands();
  }

  // --- Into the wallet

  /** Opens what somebody who is logged in has: their wallet, the way to make one, or to enrol this device. */
  async #enter(user: string): Promise<void> {
    this.#visit += 1;
    const visit = this.#visit;
    // What was asked for somebody who has left shows nothing to whoever is here now.
    const here = async <T>(asked: Promise<T>): Promise<T> => {
      const answer = await asked;
      if (visit !== this.#visit) throw new Cancelled();
      return answer;
    };
    this.store.set({ user, wallet: undefined, screen: { name: "starting" }, problem: undefined });
    try {
      const attested = await here(this.pad.gate());
      const { status, tries } = await here(attested.status());
      if (status.state !== "active") return this.store.set({ screen: { name: "create" } });
      if (!status.enrolled) {
        // Nothing is pinned on a new device: the address is what somebody can tell their own wallet by.
        const [first] = await here(attested.listAccounts([0]));
        return this.store.set({ screen: { name: "enrol", address: first?.address ?? "" } });
      }
      const { login_status } = await here(this.client.login.me(user));
      if (login_status === "register_required") await here(this.client.login.registerApp());
      const accounts = await here(this.#accounts(attested));
      const networks = await here(this.client.networks.list());
      const account = accounts.find(({ index }) => index === this.store.state.preferences.account) ?? accounts[0];
      const network = this.#network(networks);
      if (account === undefined || network === undefined) throw new Error("nothing to show");
      const device = toHex(await here(this.client.deviceId()));
      const [loading, { devices, changePending }] = [{ kind: "loading" } as const, status];
      const wallet = { user, accounts, networks, network, account, device, devices, tries, changePending };
      this.store.set({ wallet: { ...wallet, balance: loading, activity: loading, tokens: loading, history: loading } });
      this.#moved();
      if (this.store.state.screen.name === "starting") this.store.set({ screen: { name: "home" } });
      void this.look();
    } catch (error) {
      if (visit === this.#visit) this.#unavailable(error);
    }
  }

  #unavailable(error: unknown): void {
    if (isSignedOut(error)) {
      this.#signedOut(problemOf(error));
      return;
    }
    const problem = error instanceof Cancelled ? ({ text: "problem.not_agreed" } as const) : problemOf(error);
    this.store.set({ screen: { name: "unavailable", problem } });
  }

  /** Once more, after a screen that said why not. */
  async retry(): Promise<void> {
    this.store.set({ screen: { name: "starting" } });
    await this.start().catch((error) => this.#unavailable(error));
  }

  async #accounts(attested: Attested): Promise<Account[]> {
    // The host's list is a cache; an address in it that this device has not seen is the enclave's to say.
    const listed = await attested.accounts();
    return listed.some(({ index }) => index === 0) ? listed : attested.listAccounts([0]);
  }

  #network(networks: readonly NetworkInfo[]): NetworkInfo | undefined {
    const wanted = this.store.state.preferences.network ?? LOCAL_NETWORK;
    const usable = networks.filter(({ caip2, status }) => caip2.startsWith("eip155:") && status !== "retired");
    return usable.find(({ caip2 }) => caip2 === wanted) ?? usable[0];
  }

  create(): Promise<void> {
    return this.#work.inDialog(async () => {
      await this.pad.choose("create", (attested, pin) => attested.register(pin, deviceLabel()));
      await this.#entered();
    });
  }

  enrol(): Promise<void> {
    return this.#work.inDialog(async () => {
      await this.pad.use("enrol", (attested, pin) => attested.enrolDevice(pin, deviceLabel()));
      await this.#entered();
    });
  }

  async #entered(): Promise<void> {
    const { user } = this.store.state;
    this.#tabs.tell("wallet");
    if (user !== undefined) await this.#enter(user);
  }

  /** The wallet holds something else now. */
  #changed(): void {
    this.#tabs.tell("wallet");
    void this.look();
  }

  // --- Looking

  /** Asks for balance and activity; what cannot be had is said where it would stand. */
  async look(): Promise<void> {
    const { wallet } = this.store.state;
    if (wallet === undefined) return;
    const visit = this.#visit;
    const { caip2 } = wallet.network;
    const { address } = wallet.account;
    const keep = (part: Partial<Wallet>) => {
      const now = this.store.state.wallet;
      const isSame = visit === this.#visit && now?.network.caip2 === caip2 && now.account.address === address;
      if (isSame) this.store.set({ wallet: { ...now, ...part } });
    };
    const balance = loaded(this.client.networks.balances(caip2, address), ({ native }) => native.amount);
    const activity = loaded(this.#activity(caip2, address), (sent) => sent);
    const holdings = loaded(this.holdings(caip2, address), (held) => held);
    const [money, sent, held] = await Promise.all([balance, activity, holdings]);
    // What was asked for somebody who has left says nothing of whoever is here now.
    if (visit !== this.#visit) return;
    if ([money, sent, held].some(({ error }) => isSignedOut(error)))
      return this.#signedOut({ text: "problem.session_ended" });
    keep({ balance: money.loaded, activity: sent.loaded, tokens: held.loaded });
  }

  async #activity(network: string, address: string): Promise<Activity> {
    const { items, unlisted } = await this.client.networks.transactions(network, address, { limit: ACTIVITY_MAX });
    const elsewhere = new Map<string, number>();
    for (const entry of await this.client.outgoing()) {
      if (entry.from !== address || entry.network === network) continue;
      elsewhere.set(entry.network, (elsewhere.get(entry.network) ?? 0) + 1);
    }
    return { items, unlisted, elsewhere };
  }

  /** Tokens that the operator lists for a network. */
  tokensOf(network: string): readonly ListedToken[] {
    return this.#tokens.filter((token) => token.network === network);
  }

  /** What an address holds of them. One that cannot be read hides no other, nor the coin. */
  async holdings(network: string, address: string): Promise<readonly (Holding | Unread)[]> {
    const listed = this.tokensOf(network);
    if (listed.length === 0) return [];
    const { tokens = [] } = await this.client.networks.balances(
      network,
      address,
      listed.map((token) => token.address),
    );
    // In the order asked for, as the client has checked; what an amount means the list says, and not the host.
    return listed.map((token, at) => {
      const { amount, problem = "unavailable" } = tokens[at] ?? {};
      return amount === undefined ? { token, problem } : { token, amount };
    });
  }

  go(place: Place): void {
    showPlace(place);
  }

  #moved(): void {
    const { wallet, pad } = this.store.state;
    if (wallet === undefined) return;
    // Going back leaves a dialog as its own button would.
    if (pad !== undefined) this.pad.answer({ kind: "cancel" });
    void this.requests.deny();
    if (placeOf() !== "send") this.requests.forget();
    this.store.set({ screen: { name: placeOf() }, problem: undefined });
    if (placeOf() === "history") void this.readHistory();
    if (placeOf() === "devices" || placeOf() === "settings") void this.#standing();
  }

  /** Reads the newest attempts. What does not hold is told and not shown, and closes the PIN pad. */
  async readHistory(): Promise<void> {
    const { wallet } = this.store.state;
    if (wallet !== undefined) this.store.set({ wallet: { ...wallet, history: { kind: "loading" } } });
    await this.#readAttempts(ATTEMPTS_PAGE);
  }

  /** Reads a page more. */
  readOlder(): Promise<void> {
    return this.#work.run(async () => {
      const shown = this.store.state.wallet?.history;
      if (shown?.kind === "here") await this.#readAttempts(shown.value.attempts.length + ATTEMPTS_PAGE);
    });
  }

  async #readAttempts(attemptsMax: number): Promise<void> {
    const visit = this.#visit;
    const { loaded: history } = await loaded(readAttempts(this.client, attemptsMax), (read) => read);
    const { wallet } = this.store.state;
    if (wallet !== undefined && visit === this.#visit) this.store.set({ wallet: { ...wallet, history } });
  }

  /** Devices and tries as the enclave says now. */
  async #standing(): Promise<void> {
    const visit = this.#visit;
    const attested = await this.client.attest(this.store.state.user).catch(() => undefined);
    const found = await attested?.status().catch(() => undefined);
    const { wallet } = this.store.state;
    if (found === undefined || wallet === undefined || visit !== this.#visit) return;
    const { devices, changePending } = found.status;
    this.store.set({ wallet: { ...wallet, devices, changePending, tries: found.tries } });
  }

  prefer(change: Partial<Preferences>): void {
    const isLanguageChosen = "language" in change || this.store.state.preferences.isLanguageChosen;
    const preferences = { ...this.store.state.preferences, ...change, isLanguageChosen };
    writePreferences(preferences);
    this.store.set({ preferences });
  }

  /** An app's wish, where its user has not chosen a language and the page has the one. */
  wishLanguage(tag: string): void {
    this.#wished = languageOf(tag) ?? this.#wished;
    this.#hear(this.store.state.preferences);
  }

  #hear(preferences: Preferences): void {
    const language = preferences.isLanguageChosen ? preferences.language : (this.#wished ?? preferences.language);
    this.store.set({ preferences: { ...preferences, language } });
  }

  chooseNetwork(caip2: string): void {
    this.prefer({ network: caip2 });
    this.showNetwork(caip2);
  }

  chooseAccount(index: number): void {
    this.prefer({ account: index });
    this.showAccount(index);
  }

  /** Until the wallet opens again; what its owner prefers stays. */
  showNetwork(caip2: string): void {
    const { wallet } = this.store.state;
    const network = wallet?.networks.find((known) => known.caip2 === caip2);
    if (wallet === undefined || network === undefined) return;
    this.store.set({ wallet: { ...wallet, network, balance: LOADING, activity: LOADING, tokens: LOADING } });
    void this.look();
  }

  /** Until the wallet opens again; what its owner prefers stays. */
  showAccount(index: number): void {
    const { wallet } = this.store.state;
    const account = wallet?.accounts.find((known) => known.index === index);
    if (wallet === undefined || account === undefined) return;
    this.store.set({ wallet: { ...wallet, account, balance: LOADING, activity: LOADING, tokens: LOADING } });
    void this.look();
  }

  /** Opens the next account. Takes no PIN: the enclave vouches for its address. */
  addAccount(): Promise<void> {
    return this.#work.run(async () => {
      const next = nextAccount(this.store.state.wallet?.accounts ?? []);
      if (next === undefined) return;
      const visit = this.#visit;
      const added = await (await this.pad.gate()).listAccounts([next]);
      const { wallet } = this.store.state;
      if (wallet === undefined || visit !== this.#visit) return;
      this.store.set({ wallet: { ...wallet, accounts: [...wallet.accounts, ...added] } });
      this.chooseAccount(next);
    });
  }

  // --- Settings

  /** Takes back that an app may see the wallet. */
  disconnect(consent: Consent): void {
    const { consents, isGone } = dropConsent(consent);
    this.store.set({ consents, problem: isGone ? undefined : { text: "problem.consent_stored" } });
  }

  changePin(): Promise<void> {
    return this.#work.inDialog(async () => {
      await this.pad.change();
      this.store.set({ toast: { text: "settings.pinChanged" } });
      await this.#standing();
    });
  }

  /** {@link RequestFlow.askPin}. */
  async askPin(question: PinQuestion): Promise<void> {
    await this.requests.askPin(question);
    void this.#standing();
  }

  /** Confirms a new PIN whose change was interrupted. */
  finishPinChange(): Promise<void> {
    return this.#work.inDialog(async () => {
      await this.pad.use("finishChange", (attested, pin) => attested.changePinConfirm(pin));
      this.store.set({ toast: { text: "settings.pinChanged" } });
      await this.#standing();
    });
  }

  revoke(device: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#work.inDialog(async () => {
      await this.pad.use("revoke", (attested, pin) => attested.revokeDevice(pin, device));
      this.store.set({ toast: { text: "devices.revoked" } });
      await this.#standing();
    });
  }

  clearTries(): Promise<void> {
    return this.#work.inDialog(async () => {
      await this.pad.use("clear", (attested, pin) => attested.clearTries(pin));
      this.store.set({ toast: { text: "devices.cleared" } });
      await this.#standing();
    });
  }

  dismissToast(): void {
    this.store.set({ toast: undefined });
  }
}

const LOADING = { kind: "loading" } as const;

async function loaded<A, T>(
  asked: Promise<A>,
  take: (answer: A) => T,
): Promise<{ loaded: Loaded<T>; error?: unknown }> {
  try {
    return { loaded: { kind: "here", value: take(await asked) } };
  } catch (error) {
    return { loaded: { kind: "failed", problem: problemOf(error) }, error };
  }
}
