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
  const { app_id: id, name, origins } = told as Record<string, unknown>;
  if (id !== appId || typeof name !== "string" || !Array.isArray(origins)) return undefined;
  return origins.every((origin) => typeof origin === "string") ? { id: appId, name, origins } : undefined;
}
