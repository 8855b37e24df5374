/** How the page was opened: by its owner, or for an app in a frame or a window; and which app that is, as the page's own server says. */

export type Entry =
  | { readonly kind: "own" }
  /** `appId` is what the address says; it decides who may connect, and proves nothing by itself. */
  | { readonly kind: "frame" | "popup"; readonly appId: string };

/** An app as the operator registered it. */
export interface KnownApp {
  readonly id: string;
  readonly name: string;
  /** Exact origins of its pages. */
  readonly origins: readonly string[];
  readonly look: Look;
}

/** How the operator had the app look; what is missing is the wallet's own. */
export interface Look {
  /** CSS colours of six digits, which the server has found to be readable. */
  readonly accent?: { readonly light: string; readonly dark: string };
  /** Address of the app's logo, on the page's own origin. */
  readonly logo?: string;
}

const WAYS = ["frame", "popup"] as const;

export function entryOf({ pathname, search }: Pick<Location, "pathname" | "search">): Entry {
  const kind = WAYS.find((way) => pathname === `/${way}`);
  const appId = /^\?app=([-_A-Za-z0-9]{1,64})$/.exec(search)?.[1];
  // Served for an app or not at all, so that an address without one cannot be met.
  return kind === undefined || appId === undefined ? { kind: "own" } : { kind, appId };
}

/** The app's name and origins; `undefined` if there is no such app, or the server cannot be asked. */
export async function readApp(appId: string): Promise<KnownApp | undefined> {
  const told: unknown = await fetch(`/app.json?app=${appId}`, {
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  })
    .then((response) => (response.ok ? response.json() : undefined))
    .catch(() => undefined);
  return parseApp(told, appId);
}

export function parseApp(told: unknown, appId: string): KnownApp | undefined {
  if (typeof told !== "object" || told === null) return undefined;
  const { app_id: id, name, origins, accent, logo } = told as Record<string, unknown>;
  if (id !== appId || typeof name !== "string" || !Array.isArray(origins)) return undefined;
  const look = lookOf(accent, logo, appId);
  if (look === undefined || !origins.every((origin) => typeof origin === "string")) return undefined;
  return { id: appId, name, origins, look };
}

/** Exactly what may stand in a style and in a picture's address. */
function lookOf(accent: unknown, logo: unknown, appId: string): Look | undefined {
  if (logo !== undefined && logo !== `/logo.png?app=${appId}`) return undefined;
  const drawn = logo === undefined ? {} : { logo };
  if (accent === undefined) return drawn;
  if (typeof accent !== "object" || accent === null) return undefined;
  const { light, dark } = accent as Record<string, unknown>;
  return isColour(light) && isColour(dark) ? { ...drawn, accent: { light, dark } } : undefined;
}

function isColour(value: unknown): value is string {
  return typeof value === "string" && /^#[0-9a-f]{6}$/.test(value);
}
