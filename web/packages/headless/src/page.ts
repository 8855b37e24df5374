/** An app's page and a wallet's page in one Node process: windows that deliver as browsers do, and real ports. */
import type { Bridge, BridgeOptions, Transport } from "@pinseal/core";
import { WalletEnd, type WalletOptions } from "@pinseal/core/wallet";

const APP = "https://app.example";
const WALLET = "https://wallet.example";

class Window extends EventTarget {
  readonly origin: string;
  constructor(origin: string) {
    super();
    this.origin = origin;
  }
}

type Handle = Pick<globalThis.Window, "postMessage">;

/** What one window holds of another; `postMessage` reaches it under its exact origin alone. */
function handle(of: Window, from: Window, source: () => unknown): Handle {
  const postMessage = (data: unknown, target: string, ports: readonly MessagePort[] = []): void => {
    if (target !== "*" && target !== of.origin) return;
    const event = { data: structuredClone(data), source: source(), origin: from.origin, ports };
    queueMicrotask(() => of.dispatchEvent(Object.assign(new Event("message"), event)));
  };
  return { postMessage } as Handle;
}

export interface Page {
  /** What a bridge needs to reach the wallet. */
  readonly options: Pick<BridgeOptions, "appId" | "wallet" | "transport">;
  /** The wallet's end, once something was asked. */
  readonly end: WalletEnd | undefined;
  /** How often the wallet's page was opened. */
  readonly opens: number;
  readonly isShown: boolean;
  /** What the wallet was asked, in order. */
  readonly asked: readonly string[];
  /** The user closes the window, or a script removes the frame. */
  leave(why: "closed_by_user" | "connection_lost"): void;
  /** Makes the wallet a window of its own. */
  needsClick: boolean;
  /** The app's page and all that it holds is gone. */
  stop(...bridges: readonly Bridge[]): void;
}

export function page(answer: WalletOptions["answer"]): Page {
  const [app, wallet] = [new Window(APP), new Window(WALLET)];
  const global = globalThis as unknown as Record<string, unknown>;
  global.location = { origin: APP };
  global.addEventListener = app.addEventListener.bind(app);
  global.removeEventListener = app.removeEventListener.bind(app);
  global.dispatchEvent = app.dispatchEvent.bind(app);
  const appSeen: Handle = handle(app, wallet, () => walletSeen);
  const walletSeen: Handle = handle(wallet, app, () => appSeen);
  let end: WalletEnd | undefined;
  let gone: "closed_by_user" | "connection_lost" | undefined;
  const state = { opens: 0, isShown: false, asked: [] as string[], needsClick: false };
  const load = (): void => {
    end?.end();
    end = new WalletEnd({
      answer: (method, params, asked) => {
        state.asked.push(method);
        return answer(method, params, asked);
      },
      allow: async (_, origin) => origin === APP,
      page: wallet as unknown as globalThis.Window,
      peer: appSeen,
    });
  };
  const transport: Transport = {
    get needsClick() {
      return state.needsClick;
    },
    open() {
      state.opens += 1;
      gone = undefined;
      queueMicrotask(load);
      return {
        window: walletSeen,
        gone: () => gone,
        show: (isShown) => {
          state.isShown = isShown;
        },
        remove: () => undefined,
      };
    },
  };
  return Object.defineProperties(state as unknown as Page, {
    options: { value: { appId: "app-1", wallet: `${WALLET}/`, transport } },
    end: { get: () => end },
    leave: {
      value: (why: typeof gone) => {
        gone = why;
        end?.end();
      },
    },
    stop: {
      value: (...bridges: readonly Bridge[]) => {
        for (const bridge of bridges) bridge.finalize();
        end?.end();
        for (const name of ["location", "addEventListener", "removeEventListener", "dispatchEvent"])
          delete global[name];
      },
    },
  });
}
