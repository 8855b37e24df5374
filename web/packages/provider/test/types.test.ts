/** The example of the README as a compiler reads it, and what libraries expect of a provider. */
import { test } from "node:test";
import { Bridge } from "@pinseal/core";
import { custom } from "viem";
import { getProvider, type Hex } from "../src/index.js";

test("the provider's types fit the standard and viem", () => {
  const provider = getProvider(new Bridge({ appId: "my-app", wallet: "https://wallet.example/" }), "eip155:1");
  custom(provider);
  async () => {
    const [account] = await provider.request({ method: "eth_requestAccounts" });
    const signature: Hex = await provider.request({ method: "personal_sign", params: ["hello", account] });
    // @ts-expect-error: nothing is known of other methods
    const block: string = await provider.request({ method: "eth_blockNumber" });
    return [signature, block];
  };
  provider.on("accountsChanged", (accounts: readonly Hex[]) => accounts);
});
