/** The page's flows without a page: a store, and a client that a test makes say what it likes, whenever it likes. */

import {
  type Attested,
  type Client,
  type Intent,
  type PreparedTransaction,
  SendError,
  type TransactionInfo,
  type Tries,
} from "@pinseal/client";
import type { Consent } from "../src/consents.js";
import type { Flow } from "../src/flow/flow.js";
import { PadFlow } from "../src/flow/pad.js";
import { NOTHING_WANTED, RequestFlow, requestOf } from "../src/flow/requests.js";
import { Work } from "../src/flow/work.js";
import type { Outcome, Request } from "../src/request.js";
import type { PinQuestion, State, Wallet } from "../src/state/state.js";
import { Store } from "../src/state/store.js";

export const ADA = "ada@example.org";
export const BOB = "bob@example.org";
export const NETWORK = "eip155:31337";
export const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** Each user's first account. */
export const ADDRESSES: Readonly<Record<string, string>> = {
  [ADA]: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
  [BOB]: "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
};
export const TRIES: Tries = { left: 5, lifeLeft: 100, delaySeconds: 0 };

/** What of a browser the flows touch. */
export function browser(storage: Partial<Storage> = {}): void {
  const location = { hash: "", pathname: "/", search: "", replace: () => undefined };
  const values = { location, history: { replaceState: () => undefined }, addEventListener: () => undefined };
  Object.assign(globalThis, values, {
    window: globalThis,
    parent: globalThis,
    document: { visibilityState: "visible" },
  });
  Object.defineProperty(globalThis, "localStorage", { value: storage, configurable: true, writable: true });
}

/** Why a payment stops for one that was signed before. */
export const earlier = () => new SendError("payment_unsettled", "earlier", [{ hash: "0x1" } as never]);

/** Once everything that can go on has gone on. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A promise that a test settles. */
export interface Held<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function held<T>(): Held<T> {
  let [resolve, reject]: [Held<T>["resolve"], Held<T>["reject"]] = [() => undefined, () => undefined];
  const promise = new Promise<T>((kept, broken) => {
    [resolve, reject] = [kept, broken];
  });
  return { promise, resolve, reject };
}

export function walletOf(user: string): Wallet {
  const account = { index: 0, address: ADDRESSES[user] ?? "" };
  const unsaid = { explorer: undefined, testnet: undefined, status: undefined };
  const network = { caip2: NETWORK, name: "Local", symbol: "ETH", decimals: 18, ...unsaid };
  const loading = { kind: "loading" } as const;
  return {
    user,
    accounts: [account],
    networks: [network],
    network,
    account,
    balance: loading,
    activity: loading,
    tokens: loading,
    history: loading,
    devices: [],
    device: "",
    tries: TRIES,
    changePending: false,
  };
}

/** A transfer as the client proposes it. */
export function proposal(user: string): PreparedTransaction {
  const from = { index: 0, address: ADDRESSES[user] ?? "" };
  const kind = { type: "dynamicFee", maxFeePerGas: 1n, maxPriorityFeePerGas: 1n };
  const intent = { kind: "evmTransaction", account: 0, unsigned: new Uint8Array(0) };
  const transaction = { kind, gasLimit: 21_000n, to: new Uint8Array(20), value: 1n };
  const request = { network: NETWORK, account: 0, to: TO, value: 1n };
  return {
    network: NETWORK,
    from,
    intent,
    view: { kind: "value_transfer" },
    transaction,
    request,
    tokens: [],
  } as never;
}

/** A payment that is being handed over. */
export interface Sending {
  /** Its owner's part is done. */
  readonly approved: Promise<void>;
  readonly broadcast: Held<TransactionInfo>;
  /** What whoever asked was told. */
  readonly told: Outcome[];
}

export class Stage {
  readonly store: Store;
  readonly pad: PadFlow;
  readonly work: Work;
  readonly requests: RequestFlow;
  /** Who is logged in, as the profile says. */
  user: string | undefined = ADA;
  /** Proposals that are asked for, in order. */
  readonly proposals: Held<PreparedTransaction>[] = [];
  /** What was asked of the client that takes a PIN or leads to one. */
  readonly asked: string[] = [];
  me: Held<unknown> = held();
  /** What the enclave says of PINs that it is to verify, in order. */
  readonly verdicts: Held<void>[] = [];
  /** Transactions that are handed over, in order. */
  readonly broadcasts: Held<TransactionInfo>[] = [];
  /** Nonces that are given back, in order; `onRelease` holds one up. */
  readonly released: string[] = [];
  onRelease: () => Promise<void> = async () => undefined;
  /** Hashes of transactions that were looked for. */
  readonly followed: string[] = [];
  #nonces = 0;
  /** What the pages shows because an app wants it. */
  readonly places: string[] = [];

  constructor(consents: readonly Consent[] = []) {
    const none = { shield: undefined, pad: undefined, open: undefined, problem: undefined, toast: undefined };
    const asked = { guest: undefined, consent: undefined, pinAsked: undefined, unsettled: undefined, isFresh: false };
    const preferences = { language: "en", isLanguageChosen: false, theme: "system", network: undefined } as const;
    this.store = new Store({
      ...none,
      ...asked,
      busy: false,
      user: ADA,
      wallet: walletOf(ADA),
      screen: { name: "home" },
      consents,
      wanted: NOTHING_WANTED,
      preferences: { ...preferences, account: 0, shuffled: false },
    });
    const client = this.client;
    const { store } = this;
    this.pad = new PadFlow(client, store);
    this.work = new Work(store, this.pad, () => undefined);
    const { pad, work } = this;
    this.requests = new RequestFlow({ client, store, pad, work, tokens: [], changed: () => undefined });
  }

  get shown(): Request | undefined {
    return this.state.open?.request;
  }

  get state(): State {
    return this.store.state;
  }

  readonly client = {
    profile: async () => ({ session: this.user === undefined ? undefined : { user: this.user } }),
    account: async (index: number) => ({ index, address: ADDRESSES[this.user ?? ""] ?? "" }),
    proposeTransaction: () => {
      const proposed = held<PreparedTransaction>();
      this.proposals.push(proposed);
      return proposed.promise;
    },
    takeNonce: async (approved: PreparedTransaction) => {
      this.#nonces += 1;
      return { ...approved, reservationId: `nonce ${this.#nonces}` };
    },
    networks: {
      broadcast: () => {
        const sent = held<TransactionInfo>();
        this.broadcasts.push(sent);
        return sent.promise;
      },
      release: (id: string) => {
        this.released.push(id);
        return this.onRelease();
      },
      releaseOnLeave: async () => () => undefined,
      settled: async (_: string, hash: string) => {
        this.followed.push(hash);
        return { hash, status: "mined" };
      },
    },
    attest: async (user?: string) => {
      this.asked.push(`attest ${user}`);
      return this.attested;
    },
    login: { me: () => this.me.promise },
  } as unknown as Client;

  readonly attested = {
    verified: {},
    protection: {},
    manifest: { deployment: new Uint8Array(16) },
    isFirstUse: false,
    status: async () => ({ status: {}, tries: TRIES }),
    verifyPin: () => {
      const verdict = held<void>();
      this.verdicts.push(verdict);
      return verdict.promise;
    },
    sign: async (_: unknown, intents: readonly Intent[]) => {
      this.asked.push("sign");
      return intents
        .filter(({ kind }) => kind === "evmTransaction")
        .map(({ kind }) => ({ kind, raw: new Uint8Array(0) }));
    },
  } as unknown as Attested;

  /** As far as an app's questions need it. */
  get flow(): Flow {
    const { client, store, requests, places } = this;
    return {
      client,
      store,
      requests,
      tokensOf: () => [],
      look: async () => undefined,
      askPin: (question: PinQuestion) => requests.askPin(question),
      go: (place: string) => void places.push(place),
      showNetwork: (network: string) => void places.push(network),
      showAccount: (index: number) => void places.push(`account ${index}`),
    } as unknown as Flow;
  }

  /** Everything that was asked of whoever was here is taken away, and somebody else's wallet opens. */
  changeOver(user: string): void {
    this.user = user;
    this.work.abandon();
    this.requests.changeHands();
    this.store.set({ user, wallet: walletOf(user) });
  }

  /** Puts a payment before its owner, who approves it: it is being handed over. What it comes to is told. */
  async sending(user = ADA): Promise<Sending> {
    const told: Outcome[] = [];
    this.requests.open({ ...requestOf(proposal(user), user), told: (outcome) => void told.push(outcome) });
    const approved = this.requests.approve();
    await this.type();
    const broadcast = this.broadcasts.at(-1);
    if (broadcast === undefined || this.state.open?.step !== "sending") throw new Error("it is not being handed over");
    return { approved, broadcast, told };
  }

  /** The pad takes this PIN, once it asks for one. */
  async type(digits = "482915"): Promise<void> {
    await settled();
    this.pad.answer({ kind: "digits", digits: new TextEncoder().encode(digits) });
    await settled();
  }
}
