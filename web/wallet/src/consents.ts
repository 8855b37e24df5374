/** Which apps somebody let see their wallet, on this device: nothing secret, so it lies in the origin's local storage. */

export interface Consent {
  /** The wallet's user. */
  readonly user: string;
  readonly app: string;
  /** The origin that was shown when they agreed; another one of the same app asks anew. */
  readonly origin: string;
  /** The app's name at that time. */
  readonly name: string;
  /** Unix seconds. */
  readonly since: number;
}

export const STORAGE_KEY = "pinseal consents";
/** The oldest are forgotten, and the app asks anew. */
const CONSENTS_MAX = 256;

/** Everybody's, newest last. Whatever does not fit counts as not there. */
export function readConsents(): Consent[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(stored) ? stored.filter(isConsent).slice(-CONSENTS_MAX) : [];
  } catch {
    return [];
  }
}

export function findConsent(consents: readonly Consent[], key: Pick<Consent, "user" | "app" | "origin">) {
  return consents.find((known) => isSame(known, key));
}

/** Adds one, in place of an earlier one. What cannot be stored holds for nobody: the app asks anew. */
export function keepConsent(consent: Consent): Consent[] {
  return write([...readConsents().filter((known) => !isSame(known, consent)), consent]);
}

export function dropConsent(consent: Consent): Consent[] {
  return write(readConsents().filter((known) => !isSame(known, consent)));
}

/** Calls when another tab or frame has changed them. */
export function onConsents(changed: (consents: Consent[]) => void): void {
  addEventListener("storage", ({ key }) => {
    if (key === STORAGE_KEY) changed(readConsents());
  });
}

function write(consents: readonly Consent[]): Consent[] {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(consents.slice(-CONSENTS_MAX)));
  } catch {
    return [];
  }
  return readConsents();
}

function isSame(one: Pick<Consent, "user" | "app" | "origin">, other: Pick<Consent, "user" | "app" | "origin">) {
  return one.user === other.user && one.app === other.app && one.origin === other.origin;
}

function isConsent(stored: unknown): stored is Consent {
  if (typeof stored !== "object" || stored === null) return false;
  const { user, app, origin, name, since } = stored as Record<string, unknown>;
  return [user, app, origin, name].every((text) => typeof text === "string") && Number.isSafeInteger(since);
}
