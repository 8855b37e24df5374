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

/** What holds where storage would not take that one is taken back, until storage is changed elsewhere, or the page goes. */
let unstored: readonly Consent[] | undefined;
/** Those that were taken back and may be stored still: they hold in this page no more. */
let takenBack: readonly Consent[] = [];

/** Everybody's, newest last. Whatever does not fit counts as not there. */
export function readConsents(): Consent[] {
  if (unstored !== undefined) return [...unstored];
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    const consents = Array.isArray(stored) ? stored.filter(isConsent) : [];
    return consents.filter((known) => findConsent(takenBack, known) === undefined).slice(-CONSENTS_MAX);
  } catch {
    return [];
  }
}

export function findConsent(consents: readonly Consent[], key: Pick<Consent, "user" | "app" | "origin">) {
  return consents.find((known) => isSame(known, key));
}

/** Adds one, in place of an earlier one. What cannot be stored holds for nobody, and takes nothing from the others: the app asks anew. */
export function keepConsent(consent: Consent): Consent[] {
  write([...readConsents().filter((known) => !isSame(known, consent)), consent]);
  return readConsents();
}

/**
 * Takes one back, here and now in any case. Where storage takes no change, it is cleared: then every app asks anew once the page is opened again.
 * False if not even that could be done, and the consent is there again by then.
 */
export function dropConsent(consent: Consent): { readonly consents: Consent[]; readonly isGone: boolean } {
  const others = readConsents().filter((known) => !isSame(known, consent));
  if (write(others)) return { consents: readConsents(), isGone: true };
  unstored = others;
  // Once it is empty there may be room for the others.
  const isGone = clear();
  takenBack = isGone ? [] : [...takenBack, consent];
  if (isGone) write(others);
  return { consents: readConsents(), isGone };
}

/** Calls when another tab or frame has changed them. */
export function onConsents(changed: (consents: Consent[]) => void): void {
  addEventListener("storage", ({ key }) => {
    if (key !== STORAGE_KEY && key !== null) return;
    // What was taken back there is not written back here.
    unstored = undefined;
    changed(readConsents());
  });
}

/** True if they are stored. */
function write(consents: readonly Consent[]): boolean {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(consents.slice(-CONSENTS_MAX)));
  } catch {
    return false;
  }
  unstored = undefined;
  takenBack = [];
  return true;
}

function clear(): boolean {
  try {
    localStorage.removeItem(STORAGE_KEY);
  } catch {
    return false;
  }
  return true;
}

function isSame(one: Pick<Consent, "user" | "app" | "origin">, other: Pick<Consent, "user" | "app" | "origin">) {
  return one.user === other.user && one.app === other.app && one.origin === other.origin;
}

function isConsent(stored: unknown): stored is Consent {
  if (typeof stored !== "object" || stored === null) return false;
  const { user, app, origin, name, since } = stored as Record<string, unknown>;
  return [user, app, origin, name].every((text) => typeof text === "string") && Number.isSafeInteger(since);
}
