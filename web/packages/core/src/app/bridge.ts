/** The app's end: asks the wallet's page, and settles every promise it gives. */
import { type BridgeCode, BridgeError, WalletError } from "../errors.js";
import {
  BRIDGE_VERSION,
  type Connect,
  type FromApp,
  isConnect,
  isFromWallet,
  isHello,
  REQUESTS_MAX,
} from "../message.js";
import type { Json } from "../schema.js";
import {
  type EventData,
  type EventName,
  entryOf,
  isEvent,
  type Method,
  type Params,
  type Result,
} from "../vocabulary.js";
import { fault, Pending, type Waiting } from "./pending.js";
import { frame, type Opened, type Transport } from "./transport.js";

/** How long the wallet's page may take to load and to let this app in. */
const OPEN_SECONDS = 30;
/** How long an answer may take that needs no person. */
const ANSWER_SECONDS = 30;
/** How often a page that is open is looked at: neither a removed frame nor a closed window tells of itself. */
const WATCH_MILLISECONDS = 250;
/** Looks after which a page that is gone is given up: its last word may be on its way. */
const GONE_LOOKS = 2;
/** Looks after which a page whose port closed, and that is still there, counts as one that loads anew. */
const RELOAD_LOOKS = 2;
/** Looks after which a frame that has loaded and said nothing holds no wallet's page: that speaks before it has loaded. */
const SILENT_LOOKS = 8;
/** Every how many looks a page that requests wait for is asked whether it lives. */
const PING_LOOKS = 20;
/** Questions of that kind in a row that may stay without an answer: a minute's. */
const PINGS_MAX = 12;
/** Looks after which a window that the wallet no longer needs is closed, unless something is asked of it again. */
const IDLE_LOOKS = 8;

export interface BridgeOptions {
  readonly appId: string;
  /** The wallet's address; messages are accepted from its exact origin alone. */
  readonly wallet: string;
  /** `frame` unless named. */
  readonly transport?: Transport;
  readonly openSeconds?: number;
  readonly answerSeconds?: number;
}

export interface RequestOptions {
  /** Takes the request back; the promise rejects with `cancelled`. */
  readonly signal?: AbortSignal;
}

export class Bridge {
  readonly #options: BridgeOptions;
  readonly #transport: Transport;
  readonly #origin: string;
  readonly #pending = new Pending();
  readonly #listeners = new Map<EventName, Set<(data: never) => void>>();
  #opened: Opened | undefined;
  #port: MessagePort | undefined;
  /** True from the page's `ready` on. */
  #isReady = false;
  #heardHello = false;
  #isFinal = false;
  #epoch = 0;
  #pings = 0;
  #looks = 0;
  #portClosedAt: number | undefined;
  #idleSince: number | undefined;
  /** Looks at a page that is gone. */
  #gone = 0;
  /** Looks at a page that has loaded and not spoken. */
  #silent = 0;
  readonly #lost = new Set<(error: BridgeError) => void>();
  readonly #shown = new Set<(isShown: boolean) => void>();
  #isShown = false;
  #watch: ReturnType<typeof setInterval> | undefined;
  #opening: ReturnType<typeof setTimeout> | undefined;

  /** Touches nothing yet. Throws a `BridgeError` for an app id or an address that is none. */
  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#transport = options.transport ?? frame;
    this.#origin = URL.canParse(options.wallet) ? new URL(options.wallet).origin : "null";
    if (this.#origin === "null") throw new BridgeError("bad_request", "the wallet's address has no origin");
    if (!isConnect(this.#connect("0".repeat(32)))) throw new BridgeError("bad_request", "this is no app id");
  }

  /** True if only the handler of a click may open the wallet, and it is not open: then `not_open` is the answer to what needs no person. */
  get needsClick(): boolean {
    return this.#transport.needsClick && (this.#opened === undefined || this.#opened.gone() !== undefined);
  }

  /** Asks the wallet. Rejects with `BridgeError` or `WalletError`, and settles whatever happens to wallet, frame or port. */
  request<M extends Method>(method: M, params: Params<M>, { signal }: RequestOptions = {}): Promise<Result<M>> {
    return new Promise<Json>((resolve, reject) => {
      const entry = entryOf(method);
      if (this.#isFinal) throw fault("finalized");
      if (typeof globalThis.addEventListener !== "function" || typeof globalThis.location === "undefined") {
        throw fault("no_page");
      }
      if (signal?.aborted) throw fault("cancelled");
      if (entry === undefined || !entry.params(params)) throw fault("bad_request");
      if (this.#pending.size >= REQUESTS_MAX) throw fault("too_many_requests");
      this.#look(true);
      if (!entry.person && this.needsClick) throw fault("not_open");
      this.#open();
      const cancel = (): void => {
        if (waiting.state === "sent") this.#say({ type: "cancel", id: waiting.id });
        waiting.reject(fault("cancelled"));
      };
      const waiting = this.#pending.add({ entry, method, params: params as Json, resolve, reject }, () =>
        signal?.removeEventListener("abort", cancel),
      );
      signal?.addEventListener("abort", cancel);
      if (this.#isReady) this.#send(waiting);
    }) as Promise<Result<M>>;
  }

  /** Hears what the wallet tells of its own accord; gives the way to stop. */
  on<E extends EventName>(name: E, listener: (data: EventData<E>) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Hears that the wallet's page is gone, and why; a window that was closed because nobody needs it is no loss. Gives the way to stop. */
  onLost(listener: (error: BridgeError) => void): () => void {
    this.#lost.add(listener);
    return () => this.#lost.delete(listener);
  }

  /** Hears when a person sees the wallet, and when they no longer do. Gives the way to stop. */
  onShown(listener: (isShown: boolean) => void): () => void {
    this.#shown.add(listener);
    return () => this.#shown.delete(listener);
  }

  /** Rejects what waits, takes the wallet's page away, and ends the bridge for good. */
  finalize(): void {
    this.#isFinal = true;
    this.#lose("finalized");
    this.#listeners.clear();
    this.#lost.clear();
    this.#shown.clear();
  }

  get #openSeconds(): number {
    return this.#options.openSeconds ?? OPEN_SECONDS;
  }

  #connect(load: string): Connect {
    return { pinseal: "connect", version: BRIDGE_VERSION, load, appId: this.#options.appId };
  }

  #open(): void {
    if (this.#opened !== undefined) return;
    globalThis.addEventListener("message", this.#fromWindow);
    globalThis.addEventListener("pagehide", this.#leave);
    try {
      this.#opened = this.#transport.open(this.#options.wallet, this.#options.appId);
    } catch (error) {
      this.#forget();
      throw error;
    }
    this.#watch = setInterval(() => {
      this.#listen();
      this.#look();
    }, WATCH_MILLISECONDS);
    this.#awaitReady();
  }

  #awaitReady(): void {
    clearTimeout(this.#opening);
    this.#opening = setTimeout(() => this.#lose("timed_out"), this.#openSeconds * 1000);
  }

  /** Counted, not timed, and at the clock's looks alone: requests that come together do not make a silence long. */
  #listen(): void {
    if (this.#heardHello || !this.#opened?.hasLoaded?.()) return;
    this.#silent += 1;
    if (this.#silent >= SILENT_LOOKS) this.#lose("frame_refused");
  }

  /** Looks whether the page is still there and alive. Whoever asks anew, and so `isDue`, waits for no last word. */
  #look(isDue = false): void {
    const gone = this.#opened?.gone();
    if (this.#opened === undefined) return;
    if (gone !== undefined) {
      this.#gone += 1;
      if (!isDue && this.#isReady && this.#gone < GONE_LOOKS) return;
      const { isSevered } = this.#opened;
      if (this.#heardHello || isSevered === undefined) this.#lose(gone);
      else this.#loseTo(isSevered().then((severed) => (severed ? "opener_severed" : gone)));
      return;
    }
    this.#looks += 1;
    if (this.#pending.size > 0 && this.#idleSince !== undefined) this.#idleSince = this.#looks;
    if (this.#idleSince !== undefined && this.#looks >= this.#idleSince + IDLE_LOOKS) this.#forget();
    else if (this.#portClosedAt !== undefined && this.#looks >= this.#portClosedAt + RELOAD_LOOKS) {
      this.#disconnect();
      this.#awaitReady();
    } else if (this.#isReady && this.#pending.size > 0 && this.#looks % PING_LOOKS === 0) {
      // Counted, not timed: a page that the browser put to sleep does not wake up to a verdict.
      if (this.#pings >= PINGS_MAX) {
        this.#lose("connection_lost");
        return;
      }
      this.#pings += 1;
      this.#say({ type: "ping" });
    }
  }

  /** This page goes: nobody would hear the answers. A window of the wallet's own must not stay behind. */
  readonly #leave = (): void => this.#lose("connection_lost");

  readonly #fromWindow = (event: MessageEvent): void => {
    const opened = this.#opened;
    if (opened === undefined || event.source !== opened.window || event.origin !== this.#origin) return;
    const hello: unknown = event.data;
    if (!isHello(hello)) return;
    this.#disconnect(); // A second hello means that the page was loaded anew.
    this.#heardHello = true;
    this.#awaitReady();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }) => this.#port === port1 && this.#fromPort(data);
    port1.onmessageerror = () => this.#port === port1 && this.#lose("bad_message");
    // The page reloads, is taken away or was closed; which of these shows at the next looks.
    port1.addEventListener("close", () => {
      if (this.#port === port1) this.#portClosedAt = this.#looks;
    });
    opened.window.postMessage(this.#connect(hello.load), this.#origin, [port2]);
  };

  #fromPort(message: unknown): void {
    if (!isFromWallet(message)) {
      this.#lose("bad_message");
      return;
    }
    switch (message.type) {
      case "ready":
        clearTimeout(this.#opening);
        this.#isReady = true;
        for (const waiting of this.#pending.where(({ state }) => state === "new")) this.#send(waiting);
        return;
      case "pong":
        this.#pings = 0;
        return;
      case "refused":
        this.#lose("origin_not_allowed");
        return;
      case "bye":
        this.#lose("connection_lost");
        return;
      case "shown":
        this.#show(message.shown);
        return;
      case "closed":
        this.#epoch = message.epoch;
        this.#show(false);
        this.#pending.fail("closed_by_user", ({ entry }) => entry.person);
        return;
      case "event":
        if (!isEvent(message.name, message.data)) {
          this.#lose("bad_message");
          return;
        }
        // Each on its own: one that throws is the app's fault, and keeps nothing from the others.
        for (const listener of this.#listeners.get(message.name) ?? []) {
          queueMicrotask(() => listener(message.data as never));
        }
        return;
      case "failure":
        this.#pending
          .sent(message.id)
          ?.reject(new WalletError(message.code, message.message, message.retryable, message.data));
        return;
      case "reply": {
        const waiting = this.#pending.sent(message.id);
        if (waiting === undefined) return; // Cancelled before, or timed out.
        if (!waiting.entry.result(message.result)) {
          this.#lose("bad_message");
          return;
        }
        waiting.resolve(message.result);
      }
    }
  }

  #send(waiting: Waiting): void {
    waiting.state = "sent";
    waiting.wasSent = true;
    const { id, method, params, entry } = waiting;
    this.#say({ type: "request", id, method, version: entry.version, params, epoch: this.#epoch });
    if (entry.person) return;
    const seconds = this.#options.answerSeconds ?? ANSWER_SECONDS;
    waiting.timer = setTimeout(() => waiting.reject(fault("timed_out")), seconds * 1000);
  }

  #say(message: FromApp): void {
    this.#port?.postMessage(message);
  }

  /** Forgets the connection to a page that stays: what it was asked is lost, the rest waits for its next hello. */
  #disconnect(): void {
    const port = this.#port;
    this.#port = this.#portClosedAt = undefined;
    this.#isReady = false;
    this.#epoch = this.#pings = 0;
    port?.close();
    this.#pending.fail("connection_lost", ({ state }) => state === "sent");
  }

  #lose(code: BridgeCode): void {
    const waiting = this.#forget();
    this.#tellLost(code);
    for (const each of waiting) each.reject(lossOf(each, code));
    // The same rejects what still waits for `isSevered`.
    if (code === "finalized") this.#pending.fail(code);
  }

  #loseTo(code: Promise<BridgeCode>): void {
    const waiting = this.#forget();
    void code.then((known) => {
      this.#tellLost(known);
      for (const each of waiting) each.reject(lossOf(each, known));
    });
  }

  #show(isShown: boolean): void {
    this.#opened?.show(isShown);
    this.#idleSince = isShown || !this.#transport.needsClick ? undefined : this.#looks;
    this.#tellShown(isShown);
  }

  #tellShown(isShown: boolean): void {
    if (isShown === this.#isShown) return;
    this.#isShown = isShown;
    for (const listener of this.#shown) queueMicrotask(() => listener(isShown));
  }

  #tellLost(code: BridgeCode): void {
    for (const listener of this.#lost) queueMicrotask(() => listener(fault(code)));
  }

  /** Forgets the page and the port, and gives what waited for them; the next request opens anew. */
  #forget(): Waiting[] {
    clearInterval(this.#watch);
    clearTimeout(this.#opening);
    globalThis.removeEventListener?.("message", this.#fromWindow);
    globalThis.removeEventListener?.("pagehide", this.#leave);
    const waiting = this.#pending.where(({ state }) => state !== "lost");
    for (const each of waiting) each.state = "lost";
    this.#say({ type: "bye" });
    const opened = this.#opened;
    this.#opened = undefined;
    this.#heardHello = false;
    this.#silent = this.#gone = 0;
    this.#idleSince = undefined;
    this.#tellShown(false);
    this.#disconnect();
    opened?.remove();
    return waiting;
  }
}

/** A window that was closed may have had it carried out before, unless it said that it has not. */
function lossOf({ wasSent }: Waiting, code: BridgeCode): BridgeError {
  return fault(code === "closed_by_user" && wasSent ? "connection_lost" : code);
}
