/** Where the wallet's page lives: in a frame over the app's page, or in a window of its own. */
import { type BridgeCode, BridgeError } from "../errors.js";

/** A wallet's page that was opened. */
export interface Opened {
  /** The page's window, which is compared with `event.source` and gets `connect`. */
  readonly window: Pick<Window, "postMessage">;
  /** Why the page can never answer again; undefined while it can. What a window had when its user closed it is `connection_lost`. */
  gone(): "closed_by_user" | "connection_lost" | undefined;
  /** True once the browser has loaded something, be it the wallet's page or an error of its own. */
  hasLoaded?(): boolean;
  /** Of a page that was gone before it spoke: true if this page's own headers cut the two apart. */
  isSevered?(): Promise<boolean>;
  /** The wallet asks to be seen, or not to be any more. */
  show(isShown: boolean): void;
  /** Takes the page away for good. */
  remove(): void;
}

/** How the wallet's page is opened. */
export interface Transport {
  /** True if only the handler of a click may open the page: then no request opens it that needs no person. */
  readonly needsClick: boolean;
  /** Opens the wallet's page for this app, or throws a `BridgeError`. It does so before it returns: a click allows no later window. */
  open(wallet: string, appId: string): Opened;
}

/** How long the look at this page's own headers may take. */
const HEADERS_MILLISECONDS = 3_000;
const FILL = "width:100%;height:100%;border:0;color-scheme:normal;background:transparent";
const COVER = `position:fixed;inset:0;z-index:2147483647;${FILL}`;

/** The wallet's entry for apps: a server that knows the app allows its origins, and no others, around the page. */
function entry(wallet: string, name: "frame" | "popup", appId: string): string {
  const address = new URL(name, wallet);
  address.searchParams.set("app", appId);
  return address.href;
}

/** An overlay, hidden until the wallet asks to be seen: `<wallet>/frame?app=<id>`. */
export const frame: Transport = {
  needsClick: false,
  open: (wallet, appId) => framed(wallet, appId, document.body ?? document.documentElement, "Wallet", COVER),
};

/** The same frame inside `place`, which gives it its size, under an accessible name. */
export function frameIn(place: Node, title = "Wallet"): Transport {
  return { needsClick: false, open: (wallet, appId) => framed(wallet, appId, place, title, FILL) };
}

function framed(wallet: string, appId: string, place: Node, title: string, style: string): Opened {
  const element = document.createElement("iframe");
  element.title = title;
  // To the wallet's own origin alone, wherever the frame may go.
  element.allow = "publickey-credentials-get; publickey-credentials-create; clipboard-write";
  element.style.cssText = `${style};display:none`;
  element.src = entry(wallet, "frame", appId);
  let hasLoaded = false;
  element.addEventListener("load", () => {
    hasLoaded = true;
  });
  place.appendChild(element);
  const window = element.contentWindow;
  if (window === null) {
    element.remove();
    throw new BridgeError("connection_lost", "the wallet's frame has no window: its place is in no document");
  }
  let focused: Element | null = null;
  return {
    window,
    hasLoaded: () => hasLoaded,
    gone: () => (element.isConnected && element.contentWindow === window ? undefined : "connection_lost"),
    show(isShown) {
      if (isShown === (element.style.display !== "none")) return;
      if (isShown) focused = document.activeElement;
      element.style.display = isShown ? "block" : "none";
      if (isShown) element.focus();
      else (focused as HTMLElement | null)?.focus?.();
    },
    remove: () => element.remove(),
  };
}

/** A window of its own; ask for it in the handler of a click: `<wallet>/popup?app=<id>`. */
export const popup: Transport = {
  needsClick: true,
  open(wallet, appId) {
    const window = globalThis.open(entry(wallet, "popup", appId), "_blank", "popup,width=420,height=720");
    if (window === null) {
      throw new BridgeError(
        "popup_blocked" satisfies BridgeCode,
        "the browser blocked the wallet's window: open it in the handler of a click",
      );
    }
    return {
      window,
      gone: () => (window.closed ? "closed_by_user" : undefined),
      isSevered,
      show: (isShown) => isShown && window.focus(),
      remove: () => window.close(),
    };
  },
};

/**
 * True if this page is served with a `Cross-Origin-Opener-Policy` that cuts it off from what it opens. To the opener a window that was cut
 * off looks as one that was closed, and no interface tells the policy: so this page's own headers are asked for.
 */
async function isSevered(): Promise<boolean> {
  if (globalThis.crossOriginIsolated) return true;
  try {
    const signal = AbortSignal.timeout(HEADERS_MILLISECONDS);
    const { headers } = await fetch(globalThis.location.href, { method: "HEAD", signal });
    return /^\s*(same-origin|noopener-allow-popups)\s*(;|$)/.test(headers.get("cross-origin-opener-policy") ?? "");
  } catch {
    return false;
  }
}
