/** What the server tells the page about itself. It is the host's word: nothing secret hangs on it but where requests go. */

import { type AppCredentials, checksum, type NitroImage, Policy, parseAddress, type Token } from "@pinseal/client";

export interface Settings {
  readonly server: string;
  readonly app: AppCredentials;
  readonly policy: Policy;
  readonly tokens: readonly ListedToken[];
}

/** A token that the operator lists: symbol and decimals are as trustworthy as the page itself, which the same server sends. */
export interface ListedToken extends Token {
  /** CAIP-2 id of its chain. */
  readonly network: string;
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
  if (!isObject(told)) throw new SettingsError("settings_malformed");
  const { server, app_id: id, app_key: key, development, images = [], tokens = [] } = told;
  if (typeof server !== "string" || typeof id !== "string" || typeof key !== "string") {
    throw new SettingsError("settings_malformed");
  }
  if (!Array.isArray(images) || !Array.isArray(tokens)) throw new SettingsError("settings_malformed");
  return { server, app: { id, key }, policy: policyOf(images, development === true), tokens: tokens.map(tokenOf) };
}

/** Images that the operator lists, and nothing else; a development service's word only where there are none. */
function policyOf(images: readonly unknown[], isDevelopment: boolean): Policy {
  if (images.length > 0) {
    try {
      return Policy.nitro(images.map(imageOf));
    } catch (error) {
      throw error instanceof RangeError ? new SettingsError("settings_malformed") : error;
    }
  }
  if (!isDevelopment) throw new SettingsError("nothing_trusted");
  return Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
}

function imageOf(told: unknown): NitroImage {
  const { pcr0, pcr1, pcr2 } = isObject(told) ? told : {};
  if (typeof pcr0 !== "string" || typeof pcr1 !== "string" || typeof pcr2 !== "string") {
    throw new SettingsError("settings_malformed");
  }
  return { 0: pcr0, 1: pcr1, 2: pcr2 };
}

function tokenOf(told: unknown): ListedToken {
  const { network, contract, symbol, decimals } = isObject(told) ? told : {};
  const chain = /^eip155:([1-9][0-9]{0,19})$/.exec(typeof network === "string" ? network : "")?.[1];
  const address = typeof contract === "string" ? parseAddress(contract) : "malformed";
  const isKnown = typeof symbol === "string" && /^[A-Za-z0-9.$+_-]{1,11}$/.test(symbol);
  const isCounted = Number.isInteger(decimals) && (decimals as number) >= 0 && (decimals as number) <= 36;
  if (chain === undefined || typeof address === "string" || !isKnown || !isCounted) {
    throw new SettingsError("settings_malformed");
  }
  return {
    network: `eip155:${chain}`,
    chain: BigInt(chain),
    address: checksum(address),
    symbol,
    decimals: decimals as number,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
