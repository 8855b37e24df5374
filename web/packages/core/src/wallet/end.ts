/** The wallet's end of the bridge: lets one app in, from an origin that it is registered at, and answers it. */
import { type WalletCode, WalletError } from "../errors.js";
import {
  BRIDGE_VERSION,
  ERROR_DATA_MAX,
  ERROR_TEXT_MAX,
  type FromApp,
  type FromWallet,
  type Hello,
  isConnect,
  isFromApp,
  REQUESTS_MAX,
} from "../message.js";
import { fits, type Json } from "../schema.js";
import { type EventData, type EventName, entryOf, type Method, type Params, type Result } from "../vocabulary.js";

/** Who asks: what `allow` said yes to. */
export interface App {
  readonly id: string;
  readonly origin: string;
}

/** What the wallet's page decides and does. */
export interface WalletOptions {
  /** True if the server has this origin registered for this app. Anything but `true`, or a throw, refuses. */
  readonly allow: (appId: string, origin: string) => Promise<boolean>;
  /** Answers one request, or throws a `WalletError`. The signal ends it: cancelled, closed by the user, or the app is gone. */
  readonly answer: <M extends Method>(
    method: M,
    params: Params<M>,
    asked: { app: App; signal: AbortSignal },
  ) => Promise<Result<M>>;
  /** Called once when a connected app is gone or has said what is no message: a window of its own may close itself. */
  readonly onEnd?: () => void;
  /** The wallet page's window, unless it is the global one. */
  readonly page?: Pick<Window, "addEventListener" | "removeEventListener">;
  /** The one window that may connect; the opener or the parent unless named. */
  readonly peer?: Pick<Window, "postMessage">;
}

/** One app's connection, as the wallet's page sees it. */
export class WalletEnd {
  readonly #options: WalletOptions;
  readonly #page: Pick<Window, "addEventListener" | "removeEventListener">;
  readonly #peer: Pick<Window, "postMessage"> | undefined;
  readonly #running = new Map<number, { readonly control: AbortController; readonly person: boolean }>();
  readonly #load: string;
  #port: MessagePort | undefined;
  #app: App | undefined;
  #isTaken = false;
  #isOver = false;
  #lastId = 0;
  #epoch = 0;

  /** Says hello to whoever embeds or opened this page. With nobody there, nothing happens. */
  constructor(options: WalletOptions) {
    this.#options = options;
    this.#page = options.page ?? globalThis.window;
    const parent = globalThis.parent === globalThis.window ? undefined : globalThis.parent;
    this.#peer = options.peer ?? parent ?? globalThis.opener ?? undefined;
    this.#page.addEventListener("message", this.#fromWindow);
    const random = crypto.getRandomValues(new Uint8Array(16));
    this.#load = Array.from(random, (octet) => octet.toString(16).padStart(2, "0")).join("");
    this.#peer?.postMessage({ pinseal: "hello", version: BRIDGE_VERSION, load: this.#load } satisfies Hello, "*");
  }

  /** True if there is somebody to talk to: this page is framed, or was opened by another. */
  get hasPeer(): boolean {
    return this.#peer !== undefined;
  }

  /** The app that was let in. */
  get app(): App | undefined {
    return this.#app;
  }

  /** Asks the app's page to show or hide the frame. */
  show(isShown: boolean): void {
    this.#say({ type: "shown", shown: isShown });
  }

  /**
   * The user closed the wallet: ends every request that a person decides, and takes none that was made before. The app is told that nothing came of
   * them: what was handed over already is to be answered first.
   */
  closedByUser(): void {
    this.#epoch += 1;
    for (const { control, person } of this.#running.values()) if (person) control.abort();
    this.#say({ type: "closed", epoch: this.#epoch });
  }

  /** Tells the app of its own accord. */
  tell<E extends EventName>(name: E, data: EventData<E>): void {
    this.#say({ type: "event", name, data: data as Json });
  }

  /** Ends the connection; the app's requests reject with `connection_lost`. */
  end(): void {
    this.#isOver = true;
    this.#page.removeEventListener("message", this.#fromWindow as EventListener);
    this.#say({ type: "bye" });
    this.#drop(false);
  }

  readonly #fromWindow = (event: MessageEvent): void => {
    const [port, more] = event.ports;
    if (this.#isTaken || this.#peer === undefined || event.source !== this.#peer) return;
    if (!isConnect(event.data) || event.data.load !== this.#load || port === undefined || more !== undefined) return;
    this.#isTaken = true;
    void this.#decide({ id: event.data.appId, origin: event.origin }, port);
  };

  async #decide(app: App, port: MessagePort): Promise<void> {
    let isOpen = true;
    port.addEventListener("close", () => {
      isOpen = false;
      if (this.#port === port) this.#drop();
    });
    const isAllowed = await this.#isAllowed(app);
    if (!isAllowed || !isOpen || this.#isOver) {
      port.postMessage({ type: "refused", code: "origin_not_allowed" } satisfies FromWallet);
      port.close();
      this.#isTaken = false;
      return;
    }
    this.#app = app;
    this.#port = port;
    port.onmessage = ({ data }) => this.#fromPort(data);
    port.onmessageerror = () => this.#drop();
    this.#say({ type: "ready" });
  }

  async #isAllowed({ id, origin }: App): Promise<boolean> {
    try {
      return origin !== "null" && (await this.#options.allow(id, origin)) === true;
    } catch {
      return false;
    }
  }

  #fromPort(data: unknown): void {
    if (!isFromApp(data)) {
      this.#drop();
      return;
    }
    const message: FromApp = data;
    if (message.type === "bye") {
      this.#drop();
      return;
    }
    if (message.type === "ping") {
      this.#say({ type: "pong" });
      return;
    }
    if (message.type === "cancel") {
      this.#running.get(message.id)?.control.abort();
      return;
    }
    if (message.id <= this.#lastId) {
      this.#drop(); // No id is used twice.
      return;
    }
    this.#lastId = message.id;
    void this.#answer(message);
  }

  async #answer({ id, method, version, params, epoch }: Extract<FromApp, { type: "request" }>): Promise<void> {
    const entry = entryOf(method);
    if (entry === undefined) return this.#refuse(id, "unsupported_method", "the wallet does not know this request");
    // What was asked before the user closed the wallet is rejected on the app's side, and must not come up at the next open.
    if (entry.person && epoch !== this.#epoch) return;
    if (entry.version !== version)
      return this.#refuse(id, "unsupported_version", "the wallet does not know this version");
    if (!entry.params(params)) return this.#refuse(id, "bad_request", "these are no parameters of this request");
    if (this.#running.size >= REQUESTS_MAX) return this.#refuse(id, "too_many_requests", "too many requests at once");
    const control = new AbortController();
    this.#running.set(id, { control, person: entry.person });
    try {
      const asked = { app: this.#app as App, signal: control.signal };
      const result: unknown = await this.#options.answer(method as Method, params as never, asked);
      if (control.signal.aborted) return;
      if (!fits(result)) return this.#refuse(id, "result_too_large", "the answer is no JSON of one message's size");
      if (!entry.result(result)) return this.#refuse(id, "internal_error", "the wallet failed");
      this.#say({ type: "reply", id, result });
    } catch (error) {
      if (control.signal.aborted) return;
      if (!(error instanceof WalletError)) return this.#refuse(id, "internal_error", "the wallet failed");
      this.#refuse(id, error.code, error.message, error.isRetryable, error.data);
    } finally {
      this.#running.delete(id);
    }
  }

  #refuse(id: number, code: WalletCode | (string & {}), text: string, retryable = false, data?: string): void {
    const message = text.slice(0, ERROR_TEXT_MAX);
    const own = data !== undefined && data.length <= ERROR_DATA_MAX ? { data } : undefined;
    this.#say({ type: "failure", id, code, message, retryable, ...own });
  }

  #say(message: FromWallet): void {
    this.#port?.postMessage(message);
  }

  #drop(isTold = true): void {
    const port = this.#port;
    if (port === undefined) return;
    this.#port = undefined;
    for (const { control } of this.#running.values()) control.abort();
    port.close();
    if (isTold) this.#options.onEnd?.();
  }
}
