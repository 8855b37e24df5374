/** What the server tells the page about itself. It is the host's word: nothing secret hangs on it but where requests go. */

import { type AppCredentials, Policy } from "@pinseal/client";

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
  const { server, app_id: id, app_key: key, development } = told as Record<string, unknown>;
  if (typeof server !== "string" || typeof id !== "string" || typeof key !== "string") {
    throw new SettingsError("settings_malformed");
  }
  // No image of an enclave is released yet. Where the service does not call itself a development service, nothing can be trusted.
  if (development !== true) throw new SettingsError("nothing_trusted");
  const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
  return { server, app: { id, key }, policy };
}
