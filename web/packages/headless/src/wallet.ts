/** Answers what apps ask as the wallet's page does, with a rule where that one asks a person. */
import {
  ApiError,
  Client,
  fromHex,
  type Intent,
  MemoryStore,
  NewPin,
  Pin,
  PinsealError,
  Policy,
  parseAddress,
  personalMessage,
  type Signed,
  toHex,
  transaction,
  typedData,
} from "@pinseal/client";
import {
  type Method,
  type Params,
  READS,
  type Session,
  type Transaction,
  WalletError,
  type WalletOptions,
} from "@pinseal/core/wallet";
import type { System } from "@pinseal/testing";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse 1";
const PIN = "482915";

/** What the person says: a "no" is `declined`. */
export type Decide = (method: Method, params: unknown) => Promise<boolean>;

export class HeadlessWallet {
  readonly client: Client;
  /** Where the client keeps its session, as a page keeps it in its browser. */
  readonly store = new MemoryStore();
  decide: Decide = async () => true;
  readonly #system: System;
  #hasAccount = false;
  #hasConsent = false;

  constructor(system: System) {
    this.#system = system;
    const { server, app_id: id, app_key: key } = system.ready;
    const policy = Policy.development({ iUnderstandThisProvesNothing: true, measurements: "any" });
    this.client = new Client({ server, app: { id, key }, policy, store: this.store });
  }

  readonly answer: WalletOptions["answer"] = async (method, params) => {
    try {
      return (await this.#answer(method, params as never)) as never;
    } catch (error) {
      if (!(error instanceof PinsealError)) throw error;
      throw new WalletError(error.code, error.message, error.isRetryable);
    }
  };

  async #answer(method: Method, params: Params<Method>): Promise<unknown> {
    if (method === "status") return { status: await this.#status() };
    if (method === "networks") {
      return (await this.client.networks.list()).map(({ caip2, name }) => ({ network: caip2, name }));
    }
    if (method === "open" || method === "close" || method === "language") return "done";
    if (method === "login" || method === "signUp") return this.#login(params);
    const status = await this.#status();
    if (status === "before_login") throw new WalletError("login_required", "nobody is logged in");
    if (!this.#hasConsent) throw new WalletError("consent_required", "the user has not let this app in");
    switch (method) {
      case "session":
        return this.#session();
      case "register":
        return this.#register();
      case "accounts":
        return this.#accounts(params as Params<"accounts">);
      case "balance":
        return this.#balance(params as Params<"balance">);
      case "logout":
        await this.client.login.logOut();
        return "done";
      case "revoke":
        this.#hasConsent = false;
        return "done";
      case "receive":
        return "done";
      case "pin.verify":
        await this.#confirmed(method, params);
        await (await this.client.attest()).verifyPin(Pin.parse(PIN));
        return "done";
      case "pin.change":
        throw new WalletError("unsupported_method", "a wallet without a page has nobody to ask for a new PIN");
      case "send":
        return this.#send(params as Params<"send">);
      case "evm.watchToken":
        return this.#asked(method, params);
      case "evm.rpc":
        return this.#rpc(params as Params<"evm.rpc">);
      case "evm.signMessage": {
        const { address, message } = params as Params<"evm.signMessage">;
        return this.#signature(method, params, address, (index) => personalMessage(index, bytesOf(message)));
      }
      case "evm.signTypedData": {
        const { address, typedData: json, network } = params as Params<"evm.signTypedData">;
        return this.#signature(method, params, address, (index) => typedData(index, chainOf(network), json));
      }
      case "evm.signTransaction":
        return `0x${toHex((await this.#signed(method, params as Params<"evm.signTransaction">)).raw)}`;
      case "evm.sendTransaction": {
        const { network } = params as Params<"evm.sendTransaction">;
        const signed = await this.#signed(method, params as Params<"evm.sendTransaction">);
        return this.#broadcast(network, signed);
      }
    }
  }

  async #status(): Promise<"before_login" | "login" | "login_before_register"> {
    if ((await this.client.profile()).session === undefined) return "before_login";
    const { login_status: status } = await this.client.login.me();
    return status === "complete" && this.#hasConsent ? "login" : "login_before_register";
  }

  async #login(params: unknown): Promise<Session> {
    await this.#confirmed("login", params);
    if (!this.#hasAccount) {
      await this.client.login.signUp(EMAIL, PASSWORD);
      await this.client.login.verifyEmail(EMAIL, await this.#system.mailedCode(EMAIL));
      this.#hasAccount = true;
    }
    if ((await this.client.profile()).session === undefined) await this.client.login.logIn(EMAIL, PASSWORD);
    this.#hasConsent = true;
    return this.#session();
  }

  async #session(): Promise<Session> {
    const { user_id: userId, email, login_status: status, wallet_id: walletId } = await this.client.login.me();
    const names = { complete: "complete", pin_required: "pinRequired", register_required: "registerRequired" } as const;
    return { status: names[status], userId, email, ...(walletId !== undefined && { walletId }) };
  }

  async #register(): Promise<Session> {
    const { login_status: status } = await this.client.login.me();
    if (status === "register_required") await this.client.login.registerApp();
    if (status === "pin_required") {
      await (await this.client.attest()).register(NewPin.choose(Pin.parse(PIN)), "headless");
    }
    return this.#session();
  }

  async #accounts({ networks }: Params<"accounts">): Promise<unknown> {
    const known = networks ?? (await this.client.networks.list()).map(({ caip2 }) => caip2);
    const accounts = await this.#listed();
    return accounts.flatMap(({ address }) => known.map((network) => ({ address, network })));
  }

  async #balance({ accounts }: Params<"balance">): Promise<unknown> {
    return Promise.all(
      (accounts ?? []).map(async ({ network, address }) => {
        const { native } = await this.client.networks.balances(network, address);
        const digits = native.amount.toString().padStart(native.decimals + 1, "0");
        const balance = `${digits.slice(0, -native.decimals)}.${digits.slice(-native.decimals)}`;
        return { network, address, symbol: native.symbol, balance, tokens: [] };
      }),
    );
  }

  async #send({ account, to, amount }: Params<"send">): Promise<unknown> {
    const [whole, part = ""] = (amount ?? "0").split(".");
    const value = `0x${BigInt(`${whole}${part.padEnd(18, "0")}`).toString(16)}`;
    const filled = { from: account.address, value, ...(to !== undefined && { to }) };
    const signed = await this.#signed("send", { network: account.network, transaction: filled });
    return { txId: await this.#broadcast(account.network, signed) };
  }

  /** The hash. Once it is handed over it may be carried out, whatever the host says. */
  async #broadcast(network: string, signed: Extract<Signed, { kind: "evmTransaction" }>): Promise<string> {
    try {
      return (await this.client.networks.broadcast(network, signed)).hash;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const code = error.leavesOutcomeOpen ? "outcome_unknown" : "broadcast_refused";
      throw new WalletError(
        code,
        "it is signed, and it is not known whether it was sent",
        false,
        `0x${toHex(signed.hash)}`,
      );
    }
  }

  async #rpc({ method, params }: Params<"evm.rpc">): Promise<unknown> {
    if (!READS.has(method)) throw new WalletError("unsupported_method", `the wallet does not pass ${method} on`);
    const { result, error } = await this.#system.ask(method, params);
    if (error !== undefined) throw new WalletError("node_refused", error.message, false, error.data);
    return result;
  }

  async #asked(method: Method, params: unknown): Promise<boolean> {
    return this.decide(method, params);
  }

  async #confirmed(method: Method, params: unknown): Promise<void> {
    if (!(await this.decide(method, params))) throw new WalletError("declined", "the user said no");
  }

  async #listed() {
    return (await this.client.attest()).accounts();
  }

  async #index(address: string): Promise<number> {
    const account = (await this.#listed()).find((each) => each.address.toLowerCase() === address.toLowerCase());
    if (account === undefined) throw new WalletError("account_unknown", "this is none of the user's accounts");
    return account.index;
  }

  async #sign(intent: Intent): Promise<Signed | undefined> {
    const [signed] = await (await this.client.attest()).sign(Pin.parse(PIN), [intent]);
    return signed;
  }

  async #signature(
    method: Method,
    params: unknown,
    address: string,
    intent: (index: number) => Intent,
  ): Promise<string> {
    const made = intent(await this.#index(address));
    await this.#confirmed(method, params);
    const signed = await this.#sign(made);
    if (signed?.kind !== "evmSignature") throw new Error("no signature");
    return `0x${toHex(signed.signature)}`;
  }

  async #signed(
    method: Method,
    params: { network: string; transaction: Transaction },
  ): Promise<Extract<Signed, { kind: "evmTransaction" }>> {
    const index = await this.#index(params.transaction.from);
    const intent = transaction(index, await this.#filled(params));
    await this.#confirmed(method, params);
    const signed = await this.#sign(intent);
    if (signed?.kind !== "evmTransaction") throw new Error("no transaction");
    return signed;
  }

  /** Fills in what is missing from the node, and keeps what is there. */
  async #filled({ network, transaction: asked }: { network: string; transaction: Transaction }) {
    const ask = async (method: string, ...params: unknown[]): Promise<bigint> => {
      const { result, error } = await this.#system.ask(method, params);
      if (error !== undefined) throw new WalletError("node_refused", error.message, false, error.data);
      return BigInt(result as string);
    };
    const to = asked.to === undefined ? undefined : parseAddress(asked.to);
    if (typeof to === "string") throw new WalletError("bad_request", "the recipient is no address");
    const { from, value = "0x0", data = "0x", accessList = [] } = asked;
    const call = { from, value, data, ...(asked.to !== undefined && { to: asked.to }) };
    const tip = BigInt(asked.maxPriorityFeePerGas ?? 1_000_000_000n);
    const kind =
      asked.gasPrice !== undefined
        ? ({ type: "legacy", gasPrice: BigInt(asked.gasPrice) } as const)
        : ({
            type: "dynamicFee",
            maxPriorityFeePerGas: tip,
            maxFeePerGas:
              asked.maxFeePerGas === undefined ? 2n * (await ask("eth_gasPrice")) + tip : BigInt(asked.maxFeePerGas),
            accessList: accessList.map(({ address, storageKeys }) => ({
              address: bytesOf(address),
              storageKeys: storageKeys.map((key) => bytesOf(key)),
            })),
          } as const);
    return {
      chain: chainOf(network),
      nonce: asked.nonce === undefined ? await ask("eth_getTransactionCount", from, "pending") : BigInt(asked.nonce),
      gasLimit: asked.gas === undefined ? await ask("eth_estimateGas", call) : BigInt(asked.gas),
      to,
      value: BigInt(value),
      input: bytesOf(data),
      kind,
    };
  }
}

function chainOf(network: string): bigint {
  const [, chain] = /^eip155:([0-9]+)$/.exec(network) ?? [];
  if (chain === undefined) throw new WalletError("network_unknown", "this is no EVM network");
  return BigInt(chain);
}

function bytesOf(hex: string) {
  const bytes = fromHex(hex.slice(2));
  if (bytes === undefined) throw new WalletError("bad_request", "this is no hex");
  return bytes;
}
