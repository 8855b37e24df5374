/** Windows in Node: they deliver as browsers do, with real ports. The test in Chromium shows the same over real windows. */
import { Bridge, type BridgeOptions, type Transport } from "../src/index.js";
import { WalletEnd, type WalletOptions } from "../src/wallet/index.js";

export const APP = "https://app.example";
export const WALLET = "https://wallet.example";

/** A window at an origin; `postMessage` reaches it only under its exact origin. */
export class FakeWindow extends EventTarget {
  readonly origin: string;

  constructor(origin: string) {
    super();
    this.origin = origin;
  }

  deliver(data: unknown, source: unknown, origin: string, ports: readonly MessagePort[] = []): void {
    this.dispatchEvent(Object.assign(new Event("message"), { data, source, origin, ports }));
  }

  /** What `sender` holds of this window. */
  seenBy(sender: () => FakeWindow): Pick<Window, "postMessage"> {
    const postMessage = (data: unknown, target: string, ports: readonly MessagePort[] = []): void => {
      if (target !== "*" && target !== this.origin) return;
      queueMicrotask(() => this.deliver(structuredClone(data), sender().proxy, sender().origin, ports));
    };
    return { postMessage } as Pick<Window, "postMessage">;
  }

  proxy: unknown = this;
}

export interface World {
  readonly app: FakeWindow;
  readonly wallet: FakeWindow;
  readonly bridge: Bridge;
  readonly ends: WalletEnd[];
  readonly seen: {
    opens: number;
    shown: boolean;
    gone: "closed_by_user" | "connection_lost" | undefined;
    severed: boolean;
    /** The frame has loaded, whatever it is that has. */
    loaded: boolean;
    needsClick: boolean;
    ended: number;
    /** Of the wallet's last hello. */
    hello: string;
    allowed: [string, string][];
  };
  /** Loads the wallet's page (anew). */
  load(): WalletEnd;
  stop(): void;
}

/** An app's page and a wallet's page that loads at the first request, unless `loads` is false. */
export function world(
  answer: WalletOptions["answer"],
  { loads = true, allow, ...more }: Partial<BridgeOptions> & { loads?: boolean; allow?: WalletOptions["allow"] } = {},
): World {
  const app = new FakeWindow(APP);
  const wallet = new FakeWindow(WALLET);
  const page = globalThis as unknown as Record<string, unknown>;
  page.location = { origin: APP };
  page.addEventListener = app.addEventListener.bind(app);
  page.removeEventListener = app.removeEventListener.bind(app);
  const seen: World["seen"] = {
    opens: 0,
    shown: false,
    gone: undefined,
    severed: false,
    loaded: false,
    needsClick: false,
    ended: 0,
    hello: "",
    allowed: [],
  };
  app.addEventListener("message", (event) => {
    const { data } = event as MessageEvent;
    if (data?.pinseal === "hello") seen.hello = data.load;
  });
  const walletSeen = wallet.seenBy(() => app);
  const appSeen = app.seenBy(() => wallet);
  wallet.proxy = walletSeen;
  app.proxy = appSeen;
  const ends: WalletEnd[] = [];
  const load = (): WalletEnd => {
    const end = new WalletEnd({
      answer,
      allow: async (id, origin) => {
        seen.allowed.push([id, origin]);
        return allow === undefined ? origin === APP : allow(id, origin);
      },
      page: wallet as unknown as Window,
      peer: appSeen,
      onEnd: () => {
        seen.ended += 1;
      },
    });
    ends.push(end);
    return end;
  };
  const transport: Transport = {
    get needsClick() {
      return seen.needsClick;
    },
    open() {
      seen.opens += 1;
      seen.gone = undefined;
      if (loads) queueMicrotask(load);
      return {
        window: walletSeen,
        gone: () => seen.gone,
        hasLoaded: () => seen.loaded,
        isSevered: async () => seen.severed,
        show: (isShown) => {
          seen.shown = isShown;
        },
        remove: () => undefined,
      };
    },
  };
  const bridge = new Bridge({ appId: "app-1", wallet: `${WALLET}/`, transport, ...more });
  const stop = (): void => {
    bridge.finalize();
    for (const end of ends) end.end();
    for (const name of ["location", "addEventListener", "removeEventListener"]) delete page[name];
  };
  return { app, wallet, bridge, ends, seen, load, stop };
}
