/** EIP-6963: lets libraries find the provider among others. */
import type { PinsealProvider } from "./provider.js";

export interface WalletInfo {
  /** As people know the wallet. */
  readonly name: string;
  /** A data URI of a square picture. */
  readonly icon: `data:image/${string}`;
  /** A domain of whoever runs the wallet, reversed. */
  readonly rdns: string;
}

/** Announces the provider now and whenever somebody asks; gives the way to stop. On servers it does nothing. */
export function announce(provider: PinsealProvider, { name, icon, rdns }: WalletInfo): () => void {
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
