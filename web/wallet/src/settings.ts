/** What the server tells the page about itself. It is the host's word: nothing secret hangs on it but where requests go. */

import { type AppCredentials, type NitroImage, Policy } from "@pinseal/client";

export interface Settings {
  readonly server: string;
  readonly app: AppCredentials;
  readonly policy: Policy;
}

/** The page cannot start. `code` is for support; no PIN is asked for. */
export class SettingsError extends Error {
  readonly code: "settings_unavailable" | "settings_malformed" | "nothing_trusted";

  constructor(code: SettingsError["code"]) {
    super(code);
    this.code = code;
  }
}

/** Reads `/settings.json`. Throws {@link SettingsError}. */
export async function readSettings(): Promise<Settings> {
  const told: unknown = await fetch("/settings.json", { cache: "no-store", credentials: "omit", redirect: "error" })
    .then((response) => (response.ok ? response.json() : Promise.reject(new Error(String(response.status)))))
    .catch(() => {
      throw new SettingsError("settings_unavailable");
    });
  return parseSettings(told);
}

export function parseSettings(told: unknown): Settings {
  if (typeof told !== "object" || told === null) throw new SettingsError("settings_malformed");
  const { server, app_id: id, app_key: key } = told as Record<string, unknown>;
  if (typeof server !== "string" || typeof id !== "string" || typeof key !== "string") {
    throw new SettingsError("settings_malformed");
  }
  return { server, app: { id, key }, policy: parsePolicy(told as Record<string, unknown>) };
}

/** One kind of evidence: that of the images named, or, of a development service, software evidence. Nothing named, nothing trusted. */
function parsePolicy({ development, nitro = [], measurements = [] }: Record<string, unknown>): Policy {
  if (!isListOf(nitro, isImage) || !isListOf(measurements, isText)) throw new SettingsError("settings_malformed");
  if (nitro.length > 0 && development === true) throw new SettingsError("settings_malformed");
  if (nitro.length === 0 && development !== true) throw new SettingsError("nothing_trusted");
  try {
    if (nitro.length > 0) return Policy.nitro(nitro);
    const listed = measurements.length > 0 ? measurements : "any";
    return Policy.development({ iUnderstandThisProvesNothing: true, measurements: listed });
  } catch (error) {
    // Too many, a register missing or of zeros, no hex: none of it is taken for something else.
    if (!(error instanceof RangeError)) throw error;
    throw new SettingsError("settings_malformed");
  }
}

function isListOf<T>(value: unknown, isOne: (item: unknown) => item is T): value is readonly T[] {
  return Array.isArray(value) && value.every(isOne);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** Registers by number, in hex; the policy looks at both. */
function isImage(value: unknown): value is NitroImage {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isText);
}
