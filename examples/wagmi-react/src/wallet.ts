/** The wallet as wagmi knows it: all that is Pinseal's in this app. */
import { frame, popup } from "@pinseal/core";
import { pinseal } from "@pinseal/wagmi";
import { anvil } from "viem/chains";
import { createConfig, http } from "wagmi";

/** Filled in by whoever serves the page; a real app writes them down. */
const { app = "", wallet = "", way, node } = document.documentElement.dataset;

export const config = createConfig({
  chains: [anvil],
  // Below the wallet's own site a frame, from any other site a window: browsers give a frame of another site no storage.
  connectors: [pinseal({ appId: app, wallet, transport: way === "popup" ? popup : frame })],
  // Balances and receipts come from the app's own node, so that they need no wallet that is open.
  transports: { [anvil.id]: http(node) },
  multiInjectedProviderDiscovery: false,
});

declare module "wagmi" {
  interface Register {
    config: typeof config;
  }
}
