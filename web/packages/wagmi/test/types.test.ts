/** What a compiler holds apps to: the connector fits wagmi's configuration, and its options are the bridge's. */
import { test } from "node:test";
import { popup } from "@pinseal/core";
import { createConfig, getConnection, http } from "@wagmi/core";
import { mainnet } from "@wagmi/core/chains";
import { pinseal } from "../src/index.js";

test("the connector's types fit wagmi's, and options that it does not have do not compile", () => {
  const options = { appId: "my-app", wallet: "https://wallet.example/" };
  const config = createConfig({
    chains: [mainnet],
    connectors: [pinseal({ ...options, name: "Shop", transport: popup })],
    storage: null,
    transports: { [mainnet.id]: http() },
  });
  const address: `0x${string}` | undefined = getConnection(config).address;
  // @ts-expect-error: a page has no key
  pinseal({ ...options, appKey: "key" });
  // @ts-expect-error: the wallet's address is missing
  pinseal({ appId: "my-app" });
  (): `0x${string}` | undefined => address;
});
