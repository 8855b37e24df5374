/** The requests that wait for an answer: each is settled exactly once, and forgotten when it is. */
import { type BridgeCode, BridgeError } from "../errors.js";
import type { Json } from "../schema.js";
import type { Entry } from "../vocabulary.js";

const TEXTS: Record<BridgeCode, string> = {
  closed_by_user: "the user closed the wallet",
  cancelled: "the request was cancelled",
  finalized: "the bridge was finalized",
  connection_lost: "the wallet's page is gone; the outcome is unknown",
  timed_out: "the wallet did not answer in time; if it never does, look whether this origin is registered with the app",
  frame_refused:
    "no wallet came up in the frame: is this origin registered with the app, does this page's frame-src name the wallet, does it run?",
  popup_blocked: "the browser blocked the wallet's window: open it in the handler of a click",
  opener_severed:
    "this page cannot hear the windows that it opens: serve it with Cross-Origin-Opener-Policy: same-origin-allow-popups, or none",
  not_open:
    "the wallet's window is not open, and only a request in the handler of a click may open it: `open` or `login`",
  origin_not_allowed: "the wallet does not let this app in from this origin: register the origin with the app",
  no_page: "there is no page to open a wallet from",
  bad_request: "these are no parameters of this request",
  bad_message: "the wallet sent what is no message of the bridge; the outcome is unknown",
  too_many_requests: "too many requests at once",
};

/** An error of the bridge's own. */
export function fault(code: BridgeCode): BridgeError {
  return new BridgeError(code, TEXTS[code], code === "timed_out" || code === "too_many_requests");
}

export interface Waiting {
  readonly id: number;
  readonly entry: Entry<Json, Json>;
  readonly method: string;
  readonly params: Json;
  readonly resolve: (result: Json) => void;
  readonly reject: (error: Error) => void;
  /** What is lost was sent to a page that is gone, or will never be sent. */
  state: "new" | "sent" | "lost";
  /** The wallet's page had it. */
  wasSent: boolean;
  /** Runs from when it was sent, if no person answers it; before, the opening of the page is what has a limit. */
  timer?: ReturnType<typeof setTimeout>;
}

export class Pending {
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  get size(): number {
    return this.#waiting.size;
  }

  /** `forget` is called once, when the request is settled. */
  add(request: Omit<Waiting, "id" | "state" | "wasSent" | "timer">, forget: () => void): Waiting {
    const id = ++this.#lastId;
    const settle = <T>(settled: (value: T) => void) => {
      return (value: T): void => {
        if (!this.#waiting.delete(id)) return;
        clearTimeout(waiting.timer);
        forget();
        settled(value);
      };
    };
    const waiting: Waiting = {
      ...request,
      id,
      resolve: settle(request.resolve),
      reject: settle(request.reject),
      state: "new",
      wasSent: false,
    };
    this.#waiting.set(id, waiting);
    return waiting;
  }

  /** What was sent under this id and is not settled yet. */
  sent(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    return waiting?.state === "sent" ? waiting : undefined;
  }

  where(is: (waiting: Waiting) => boolean = () => true): Waiting[] {
    return [...this.#waiting.values()].filter(is);
  }

  fail(code: BridgeCode, is?: (waiting: Waiting) => boolean): void {
    for (const waiting of this.where(is)) waiting.reject(fault(code));
  }
}
