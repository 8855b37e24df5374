/** EIP-1193 over the bridge: one provider for one network at a time. */
import { type Account, type Bridge, type Json, networkId, READS } from "@pinseal/core";
import { Calls, type CallsStatus } from "./calls.js";
import { Emitter } from "./emitter.js";
import { invalidParams, ProviderRpcError, RPC, rpcError } from "./error.js";
import { addedChain, address, chainId, type Hex, message, object, transaction, typedData } from "./params.js";
import { checkPermissions, type Permission, permissions } from "./permissions.js";

/** What the methods give that apps call most; of all others the result is `unknown`. */
export interface Results {
  readonly eth_requestAccounts: readonly Hex[];
  readonly eth_accounts: readonly Hex[];
  readonly eth_chainId: Hex;
  readonly personal_sign: Hex;
  readonly eth_signTypedData_v4: Hex;
  readonly eth_signTransaction: Hex;
  readonly eth_sendTransaction: Hex;
  readonly wallet_switchEthereumChain: null;
  readonly wallet_getPermissions: readonly Permission[];
  readonly wallet_getCallsStatus: CallsStatus;
}

/** EIP-1193. */
export interface RequestArguments<M extends string = string> {
  readonly method: M;
  readonly params?: readonly unknown[] | object | undefined;
}

/** Where a provider starts, and where it may go. */
export interface ProviderOptions {
  /** Where it starts: a CAIP-2 id of an EVM network, or one of the names that integrators know. */
  readonly network: string;
  /** Networks to which it may switch; what the wallet knows unless named. */
  readonly networks?: readonly string[];
  /** Accounts that the wallet told before, for a page that cannot ask without a click (`popup`). The wallet has the last word. */
  readonly accounts?: readonly string[];
}

/** Accounts of an app's choosing are checked by the wallet once more; what this class keeps is never what it decides by. */
export class PinsealProvider extends Emitter {
  readonly isPinseal = true;
  readonly #bridge: Bridge;
  readonly #calls: Calls;
  readonly #stops: (() => void)[];
  #networks: readonly Hex[] | undefined;
  #chain: Hex;
  #accounts: readonly Hex[] | undefined;
  #isConnected = false;

  /** Touches nothing yet. Throws a `ProviderRpcError` for a network that is no EVM network's name. */
  constructor(bridge: Bridge, { network, networks, accounts }: ProviderOptions) {
    super();
    this.#bridge = bridge;
    this.#chain = chainOf(network);
    this.#networks = networks?.map(chainOf);
    this.#accounts = accounts?.map((each) => address(each));
    this.#calls = new Calls({
      send: (chain, each) =>
        bridge.request("evm.sendTransaction", { network: caip2(chain), transaction: each }) as Promise<Hex>,
      read: (chain, method, params) => this.#read(chain, method, params),
    });
    this.#stops = [
      bridge.on("accounts", (told) => this.#accounts !== undefined && this.#setAccounts(this.#here(told))),
      bridge.on("session", ({ status }) => status === "before_login" && this.#setAccounts([])),
      bridge.onLost((error) => this.#disconnected(rpcError(error))),
    ];
  }

  /** Ends this provider's part; the bridge stays. */
  destroy(): void {
    for (const stop of this.#stops) stop();
  }

  /** EIP-1193. Rejects with a `ProviderRpcError` and nothing else. */
  async request<const M extends string>(
    asked: RequestArguments<M>,
  ): Promise<M extends keyof Results ? Results[M] : unknown> {
    try {
      const { method, params = [] } = object(asked, "the request");
      if (typeof method !== "string") throw invalidParams("the method is no text");
      // EIP-747 has an object, everything else a list.
      return (await this.#answer(method, Array.isArray(params) ? params : [params])) as never;
    } catch (error) {
      throw rpcError(error);
    }
  }

  async #answer(method: string, params: readonly unknown[]): Promise<unknown> {
    const [first, second] = params;
    switch (method) {
      case "eth_chainId":
        return this.#chain;
      case "net_version":
        return BigInt(this.#chain).toString();
      case "eth_accounts":
        return this.#known();
      case "eth_coinbase":
        return (await this.#known())[0] ?? null;
      case "eth_requestAccounts":
        return this.#connect();
      case "personal_sign":
        return this.#sign("evm.signMessage", second, { message: message(first) });
      case "eth_signTypedData_v3":
      case "eth_signTypedData_v4":
        return this.#sign("evm.signTypedData", first, { typedData: typedData(second) });
      case "eth_signTransaction":
        return this.#transact("evm.signTransaction", first);
      case "eth_sendTransaction":
        return this.#transact("evm.sendTransaction", first);
      case "wallet_switchEthereumChain":
        return this.#switch(chainId(object(first, "the chain").chainId), RPC.chainUnknown);
      case "wallet_addEthereumChain":
        return this.#add(addedChain(first));
      case "wallet_getPermissions":
        return permissions(await this.#known());
      case "wallet_requestPermissions":
        return this.#ask(first);
      case "wallet_revokePermissions":
        return this.#revoke(first);
      case "wallet_watchAsset":
        return this.#watch(object(first, "the asset"));
      case "wallet_getCapabilities":
        return this.#capabilities(first, second);
      case "wallet_sendCalls":
        return this.#sendCalls(first);
      case "wallet_getCallsStatus":
        return this.#calls.status(first) satisfies Promise<CallsStatus>;
      case "wallet_showCallsStatus":
        this.#calls.find(first);
        await this.#bridge.request("open", {});
        return null;
    }
    if (!READS.has(method))
      throw new ProviderRpcError(RPC.unsupportedMethod, `the wallet does not have ${method.slice(0, 64)}`);
    return this.#read(this.#chain, method, params);
  }

  async #read(chain: Hex, method: string, params: readonly unknown[]): Promise<unknown> {
    const result = await this.#bridge.request("evm.rpc", {
      network: caip2(chain),
      method,
      params: params as readonly Json[],
    });
    this.#connected();
    return result;
  }

  /** The accounts that the user lets this app see; none before they have. */
  async #known(): Promise<readonly Hex[]> {
    if (this.#bridge.needsClick) return this.#accounts ?? [];
    try {
      return this.#setAccounts(this.#here(await this.#bridge.request("accounts", { networks: [caip2(this.#chain)] })));
    } catch (error) {
      if (rpcError(error).code !== RPC.unauthorized) throw error;
      return this.#setAccounts([]);
    }
  }

  async #connect(): Promise<readonly Hex[]> {
    const { status } = await this.#bridge.request("login", {});
    if (status !== "complete") await this.#bridge.request("register", {});
    const accounts = this.#here(await this.#bridge.request("accounts", { networks: [caip2(this.#chain)] }));
    if (accounts.length === 0)
      throw new ProviderRpcError(RPC.unauthorized, "the wallet shows no account on this network");
    return this.#setAccounts(accounts);
  }

  async #own(asked: unknown): Promise<Hex> {
    const accounts = this.#accounts?.length ? this.#accounts : await this.#known();
    const wanted = asked === undefined ? accounts[0] : address(asked);
    const own = accounts.find((each) => each.toLowerCase() === wanted?.toLowerCase());
    if (own === undefined) throw new ProviderRpcError(RPC.unauthorized, "this app may not use this account");
    return own;
  }

  async #sign<M extends "evm.signMessage" | "evm.signTypedData">(
    method: M,
    account: unknown,
    what: M extends "evm.signMessage" ? { message: Hex } : { typedData: string },
  ): Promise<unknown> {
    const own = await this.#own(address(account));
    const result = await this.#bridge.request(method, { network: caip2(this.#chain), address: own, ...what } as never);
    this.#connected();
    return result;
  }

  async #transact(method: "evm.signTransaction" | "evm.sendTransaction", asked: unknown): Promise<unknown> {
    const chain = this.#chain;
    const own = await this.#own(object(asked, "the transaction").from);
    const result = await this.#bridge.request(method, {
      network: caip2(chain),
      transaction: transaction(asked, own, chain),
    });
    this.#connected();
    return result;
  }

  async #isKnown(chain: Hex): Promise<boolean> {
    if (chain === this.#chain) return true;
    this.#networks ??= (await this.#bridge.request("networks", {}))
      .map(({ network }) => network)
      .filter((network) => network.startsWith("eip155:"))
      .map(chainOf);
    return this.#networks.includes(chain);
  }

  async #switch(chain: Hex, code: typeof RPC.chainUnknown): Promise<null> {
    if (!(await this.#isKnown(chain))) throw new ProviderRpcError(code, "the wallet does not know this chain");
    if (chain === this.#chain) return null;
    this.#chain = chain;
    this.emit("chainChanged", chain);
    return null;
  }

  /** EIP-3085. Which networks there are is the operator's to say. */
  async #add(chain: Hex): Promise<null> {
    if (await this.#isKnown(chain)) return null;
    throw new ProviderRpcError(RPC.unsupportedMethod, "networks are added by whoever runs the wallet");
  }

  async #ask(asked: unknown): Promise<readonly Permission[]> {
    checkPermissions(asked);
    return permissions(await this.#connect());
  }

  async #revoke(asked: unknown): Promise<null> {
    checkPermissions(asked);
    await this.#bridge.request("revoke", {});
    this.#setAccounts([]);
    return null;
  }

  /** EIP-747, for ERC-20. */
  #watch({ type, options }: Record<string, unknown>): Promise<boolean> {
    if (type !== "ERC20") throw invalidParams("the wallet watches ERC20 alone");
    const { address: at, symbol, decimals } = object(options, "the token");
    const token = {
      network: caip2(this.#chain),
      address: address(at),
      symbol: symbol as string,
      decimals: decimals as number,
    };
    return this.#bridge.request("evm.watchToken", token);
  }

  async #capabilities(account: unknown, chains: unknown): Promise<Record<Hex, object>> {
    await this.#own(address(account));
    await this.#isKnown("0x0"); // Loads them.
    const known = [...new Set([this.#chain, ...(this.#networks ?? [])])];
    const asked = chains === undefined ? known : Array.isArray(chains) ? chains.map(chainId) : undefined;
    if (asked === undefined) throw invalidParams("the chains are no list");
    const shown = known.filter((chain) => asked.includes(chain));
    return Object.fromEntries(shown.map((chain) => [chain, { atomic: { status: "unsupported" } }]));
  }

  async #sendCalls(asked: unknown): Promise<{ id: string }> {
    const own = await this.#own(object(asked, "the bundle").from);
    const result = await this.#calls.send(asked, [own], (chain) => this.#isKnown(chain));
    this.#connected();
    return result;
  }

  #here(accounts: readonly Account[]): Hex[] {
    const network = caip2(this.#chain);
    return accounts.filter((each) => each.network === network).map((each) => address(each.address));
  }

  #setAccounts(accounts: readonly Hex[]): readonly Hex[] {
    const before = this.#accounts ?? [];
    this.#accounts = accounts;
    if (accounts.length > 0) this.#connected();
    if (before.join() !== accounts.join()) this.emit("accountsChanged", accounts);
    return accounts;
  }

  #connected(): void {
    if (this.#isConnected) return;
    this.#isConnected = true;
    this.emit("connect", { chainId: this.#chain });
  }

  #disconnected(error: ProviderRpcError): void {
    if (!this.#isConnected) return;
    this.#isConnected = false;
    this.emit("disconnect", error);
  }
}

/** A provider of its own for this network: never another network's, whatever was asked for before. */
export function getProvider(
  bridge: Bridge,
  network: string,
  options: Omit<ProviderOptions, "network"> = {},
): PinsealProvider {
  return new PinsealProvider(bridge, { ...options, network });
}

function chainOf(network: string): Hex {
  const chain = /^eip155:([1-9][0-9]{0,15})$/.exec(networkId(network) ?? "")?.[1];
  if (chain === undefined)
    throw new ProviderRpcError(RPC.chainUnknown, `${String(network).slice(0, 64)} is no EVM network`);
  return `0x${BigInt(chain).toString(16)}`;
}

function caip2(chain: Hex): string {
  return `eip155:${BigInt(chain)}`;
}
