/** A network's own currency, by what this client knows, and not by what its host says. */

import { type NetworkInfo, nativeOf } from "@pinseal/client";

export function coinOf({ caip2 }: Pick<NetworkInfo, "caip2">): { symbol: string; decimals: number } {
  return nativeOf(BigInt(caip2.slice("eip155:".length)));
}
