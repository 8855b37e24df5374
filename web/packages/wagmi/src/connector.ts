/** The connector: wagmi's words for what the provider does, and what a reload must not forget. */
import { Bridge, type BridgeOptions } from "@pinseal/core";
import { getProvider, type PinsealProvider, RPC } from "@pinseal/provider";
import type { CreateConnectorFn } from "@wagmi/core";
import { type Address, getAddress, numberToHex, SwitchChainError, UserRejectedRequestError } from "viem";

export interface PinsealParameters extends BridgeOptions {
  /** As people know the wallet; "Pinseal" unless named. */
  readonly name?: string;
  /** A data URI of a square picture. */
  readonly icon?: string;
}

/** What is kept over a reload. The wallet has the last word on all of it. */
/** What wagmi's storage keeps for the connector. */
export type Kept = { "pinseal.chain": number; "pinseal.accounts": readonly Address[] };

/** For `createConfig({ connectors: [pinseal({ appId, wallet })] })`. */
export function pinseal(
  parameters: PinsealParameters,
): CreateConnectorFn<PinsealProvider, Record<string, unknown>, Kept> {
  return (config) => {
    let made: Promise<PinsealProvider> | undefined;
    let isHeard = false;

    const make = async (): Promise<PinsealProvider> => {
      const [chain, accounts] = await Promise.all([
        config.storage?.getItem("pinseal.chain"),
        config.storage?.getItem("pinseal.accounts"),
      ]);
      const known = config.chains.some(({ id }) => id === chain) ? chain : undefined;
      return getProvider(new Bridge(parameters), `eip155:${known ?? config.chains[0].id}`, {
        networks: config.chains.map(({ id }) => `eip155:${id}`),
        ...(Array.isArray(accounts) && { accounts }),
      });
    };
    const keep = async (chain: number, accounts: readonly Address[]): Promise<void> => {
      await Promise.all([
        config.storage?.setItem("pinseal.chain", chain),
        config.storage?.setItem("pinseal.accounts", accounts),
      ]);
    };
    const forget = async (): Promise<void> => {
      await Promise.all([config.storage?.removeItem("pinseal.chain"), config.storage?.removeItem("pinseal.accounts")]);
    };

    const onAccounts = (accounts: readonly string[]): void => connector.onAccountsChanged([...accounts]);
    const onChain = (chain: string): void => connector.onChainChanged(chain);
    const hear = (provider: PinsealProvider): void => {
      if (isHeard) return;
      isHeard = true;
      provider.on("accountsChanged", onAccounts).on("chainChanged", onChain);
    };

    const connector: ReturnType<CreateConnectorFn<PinsealProvider, Record<string, unknown>, Kept>> = {
      id: "pinseal",
      name: parameters.name ?? "Pinseal",
      type: "pinseal",
      ...(parameters.icon !== undefined && { icon: parameters.icon }),

      async connect({ chainId, isReconnecting, withCapabilities } = {}) {
        const provider = await connector.getProvider();
        try {
          const accounts = isReconnecting
            ? await connector.getAccounts()
            : addresses(await provider.request({ method: "eth_requestAccounts" }));
          hear(provider);
          let chain = await connector.getChainId();
          if (chainId !== undefined && chainId !== chain) {
            chain = (await connector.switchChain?.({ chainId }))?.id ?? chain;
          }
          await keep(chain, accounts);
          const told = withCapabilities ? accounts.map((address) => ({ address, capabilities: {} })) : accounts;
          return { accounts: told as never, chainId: chain };
        } catch (error) {
          throw rejection(error);
        }
      },

      /** Takes the user's consent back where the wallet can be told; here it is forgotten in any case. */
      async disconnect() {
        const provider = await connector.getProvider();
        isHeard = false;
        provider.removeListener("accountsChanged", onAccounts).removeListener("chainChanged", onChain);
        await forget();
        const revoke = { method: "wallet_revokePermissions", params: [{ eth_accounts: {} }] };
        await provider.request(revoke).catch((error) => {
          if (![RPC.unsupportedMethod, RPC.disconnected, RPC.unauthorized].includes(error.code)) throw error;
        });
      },

      async getAccounts() {
        return addresses(await (await connector.getProvider()).request({ method: "eth_accounts" }));
      },

      async getChainId() {
        return Number(await (await connector.getProvider()).request({ method: "eth_chainId" }));
      },

      getProvider() {
        made ??= make();
        return made;
      },

      /** True if the app was connected before the reload and the user has not taken that back at the wallet since. */
      async isAuthorized() {
        try {
          const before = await config.storage?.getItem("pinseal.accounts");
          return before != null && before.length > 0 && (await connector.getAccounts()).length > 0;
        } catch {
          return false;
        }
      },

      async switchChain({ chainId }) {
        const chain = config.chains.find(({ id }) => id === chainId);
        if (chain === undefined) throw new SwitchChainError(new Error("the chain is not in wagmi's configuration"));
        const provider = await connector.getProvider();
        try {
          await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: numberToHex(chainId) }] });
        } catch (error) {
          const rejected = rejection(error);
          throw rejected === error ? new SwitchChainError(error as Error) : rejected;
        }
        return chain;
      },

      onAccountsChanged(accounts) {
        if (accounts.length === 0) {
          connector.onDisconnect();
          return;
        }
        void config.storage?.setItem("pinseal.accounts", addresses(accounts));
        config.emitter.emit("change", { accounts: addresses(accounts) });
      },

      onChainChanged(chain) {
        void config.storage?.setItem("pinseal.chain", Number(chain));
        config.emitter.emit("change", { chainId: Number(chain) });
      },

      /** The user has logged out or taken their consent back. A wallet's page that is merely gone disconnects nobody. */
      onDisconnect() {
        void forget();
        config.emitter.emit("disconnect");
      },
    };
    return connector;
  };
}

function addresses(accounts: unknown): readonly Address[] {
  return (accounts as readonly string[]).map((each) => getAddress(each));
}

/** A user's no in viem's words; any other error as it is. */
function rejection(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  return code === RPC.userRejected ? new UserRejectedRequestError(error as Error) : error;
}
