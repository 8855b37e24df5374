/** EIP-6963: lets libraries find the provider among others. */
import { invalidParams } from "./error.js";
import type { PinsealProvider } from "./provider.js";

export interface WalletInfo {
  /** As people know the wallet. */
  readonly name: string;
  /** A data URI of a square picture. */
  readonly icon: `data:image/${string}`;
  /** A domain of whoever runs the wallet, reversed. */
  readonly rdns: string;
}

/** Labels of RFC 1034 with points between them. */
const DOMAIN = /^(?=.{1,253}$)[a-z]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$/i;

/**
 * Announces the provider now and whenever somebody asks; gives the way to stop. On servers it does nothing. Throws a `ProviderRpcError` where
 * the standard's rules for `info` are broken: an icon from elsewhere would tell that place of everybody who sees the list of wallets.
 */
export function announce(provider: PinsealProvider, { name, icon, rdns }: WalletInfo): () => void {
  if (typeof name !== "string" || name === "") throw invalidParams("the wallet has no name");
  if (typeof icon !== "string" || !/^data:image\/[a-z0-9.+-]+[;,]/.test(icon))
    throw invalidParams("the icon is no data URI of a picture");
  if (typeof rdns !== "string" || !DOMAIN.test(rdns)) throw invalidParams("rdns is no domain, reversed");
  if (typeof globalThis.addEventListener !== "function" || typeof CustomEvent === "undefined") return () => undefined;
  const info = Object.freeze({ uuid: crypto.randomUUID(), name, icon, rdns });
  const detail = Object.freeze({ info, provider });
  const tell = (): void => {
    globalThis.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  };
  globalThis.addEventListener("eip6963:requestProvider", tell);
  tell();
  return () => globalThis.removeEventListener("eip6963:requestProvider", tell);
}
