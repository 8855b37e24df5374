/** What an app asks for, answered from the open wallet. Everything signed is made here, from parsed values, and shown from its bytes. */

import {
  type Account,
  type Intent,
  type NetworkInfo,
  type PreparedTransaction,
  parseAddress,
  personalMessage,
  SendError,
  type Signed,
  type TransactionRequest,
  toHex,
  typedData,
  viewOf,
} from "@pinseal/client";
import { type Json, type Params, READS, type Result, WalletError } from "@pinseal/core/wallet";
import { formatAmount, parseAmount } from "../amount.ts";
import { coinOf } from "../coin.ts";
import type { Outcome, Request } from "../request.ts";
import type { ListedToken } from "../settings.ts";
import { type GuestApp, type Holding, isHeld, type State, type Unread, type Wallet } from "../state/state.ts";
import type { Flow } from "./flow.ts";
import { Cancelled } from "./pad.ts";
import { requestOf } from "./requests.ts";
import { signsInElsewhere } from "./sign-in.ts";
import { bytesOf, wantedOf } from "./transaction.ts";

/** Accounts of one answer. */
const ACCOUNTS_MAX = 256;
/** Balances of one answer; each is a question to a node. */
const BALANCES_MAX = 16;

type SignedTransaction = Extract<Signed, { kind: "evmTransaction" }>;
type Of<M extends "accounts" | "balance" | "send" | "evm.rpc" | "evm.signMessage" | "evm.signTypedData"> = Params<M>;

/** Who asks, and until when: the signal stands for the turn. */
export interface Asker extends GuestApp {
  readonly signal: AbortSignal;
}

export class Answers {
  readonly #flow: Flow;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  async networks(): Promise<Result<"networks">> {
    return evmOf(await this.#flow.client.networks.list()).map(({ caip2, name }) => ({ network: caip2, name }));
  }

  /** The account in use first. */
  accounts(wallet: Wallet, { networks }: Of<"accounts">): Result<"accounts"> {
    const known = evmOf(wallet.networks).map(({ caip2 }) => caip2);
    const wanted = networks ?? known;
    const unknown = wanted.find((network) => !known.includes(network));
    if (unknown !== undefined) throw new WalletError("network_unknown", `the wallet does not know ${unknown}`);
    const others = wallet.accounts.filter(({ index }) => index !== wallet.account.index);
    const all = [wallet.account, ...others];
    return wanted.flatMap((network) => all.map(({ address }) => ({ address, network }))).slice(0, ACCOUNTS_MAX);
  }

  async balances(wallet: Wallet, { accounts }: Of<"balance">): Promise<Result<"balance">> {
    const wanted = accounts ?? this.accounts(wallet, { networks: [wallet.network.caip2] });
    if (wanted.length > BALANCES_MAX) throw new WalletError("bad_request", `at most ${BALANCES_MAX} accounts at once`);
    const asked = wanted.map(async ({ network, address }) => {
      const [known, account] = [this.#network(wallet, network), this.#account(wallet, address)];
      const { native } = await this.#flow.client.networks.balances(known.caip2, account.address);
      const listed: readonly (Holding | Unread)[] = await this.#flow
        .holdings(known.caip2, account.address)
        .catch(() => []);
      const tokens = listed.filter(isHeld).map(({ token, amount }) => {
        return { contract: token.address, symbol: token.symbol, balance: formatAmount(amount, token.decimals) };
      });
      const { symbol, decimals } = coinOf(known);
      const balance = formatAmount(native.amount, decimals);
      return { network: known.caip2, address: account.address, symbol, balance, tokens };
    });
    return Promise.all(asked);
  }

  async rpc({ network, method, params }: Of<"evm.rpc">): Promise<Json> {
    if (!READS.has(method)) throw new WalletError("unsupported_method", `the wallet does not pass ${method} on`);
    return (await this.#flow.client.networks.call(network, method, params)) as Json;
  }

  /** The address of a request, once nothing else stands before the wallet's owner. */
  async receive(wallet: Wallet, { account }: Params<"receive">, { signal }: Asker): Promise<void> {
    await this.#free(signal);
    this.#show(wallet, account);
    this.#flow.go("receive");
  }

  /** Puts account and network of a request on the screen. */
  #show(wallet: Wallet, { address, network }: { address: string; network: string }): void {
    this.#flow.showNetwork(this.#network(wallet, network).caip2);
    this.#flow.showAccount(this.#account(wallet, address).index);
  }

  /** A payment: shown at once where the app names all of it, else in the wallet's own form. Its hash. */
  async send(wallet: Wallet, { account, to, amount }: Of<"send">, by: Asker): Promise<string> {
    const network = this.#network(wallet, account.network);
    const from = this.#account(wallet, account.address);
    const value = amount === undefined ? undefined : parseAmount(amount, coinOf(network).decimals);
    if (to !== undefined && typeof parseAddress(to) === "string")
      throw new WalletError("bad_request", "no such address");
    if (amount !== undefined && value === undefined) throw new WalletError("bad_request", "no such amount");
    if (to === undefined || value === undefined) {
      const { signal: turn } = by;
      await this.#free(turn);
      this.#show(wallet, account);
      const told = new Promise<Outcome>((tell) =>
        this.#flow.requests.expect(tell, { ...(to && { to }), ...(amount && { amount }), turn }),
      );
      return hashOf(await told);
    }
    const wanted = { network: network.caip2, account: from.index, to, value };
    const proposed = await this.#proposed(wanted, [], by);
    return hashOf(await this.#put({ ...requestOf(proposed, wallet.user), from: named(by) }, by));
  }

  async signMessage(wallet: Wallet, { network, address, message }: Of<"evm.signMessage">, by: Asker) {
    const account = this.#account(wallet, address);
    const bytes = bytesOf(message);
    const elsewhere = signsInElsewhere(bytes, by.origin);
    return this.#signature(wallet, network, account, personalMessage(account.index, bytes), by, elsewhere);
  }

  async signTypedData(wallet: Wallet, { network, address, typedData: json }: Of<"evm.signTypedData">, by: Asker) {
    const account = this.#account(wallet, address);
    const chain = BigInt(this.#network(wallet, network).caip2.slice("eip155:".length));
    return this.#signature(wallet, network, account, typedData(account.index, chain, json), by);
  }

  /** Once nothing else stands before the wallet's owner. What makes room may be that they leave: nothing of this comes up for whoever follows. */
  async #free(signal: AbortSignal): Promise<void> {
    const isWanted = this.#flow.requests.mark();
    await this.#flow.store.until(signal, isFree);
    if (!isWanted()) throw new Cancelled();
  }

  /** The PIN alone: proved to the wallet, or changed. */
  async pin(purpose: "verify" | "change", { signal, ...app }: Asker): Promise<"done"> {
    await this.#free(signal);
    await this.#flow.askPin({ app, purpose, turn: signal });
    return "done";
  }

  /** Signed, and sent where it is to be. */
  async transaction(
    wallet: Wallet,
    { network, transaction }: Params<"evm.sendTransaction">,
    by: Asker,
    isBroadcast: boolean,
  ): Promise<SignedTransaction> {
    const account = this.#account(wallet, transaction.from);
    const wanted = wantedOf(transaction, this.#network(wallet, network).caip2, account.index);
    const proposed = await this.#numbered(wanted, by);
    return transactionOf(await this.#put({ ...requestOf(proposed, wallet.user), from: named(by), isBroadcast }, by));
  }

  /** With the nonce that the app named, which is the next one, or that of a transaction that waits and is replaced; or not at all. */
  async #numbered({ nonce, ...wanted }: TransactionRequest, by: Asker): Promise<PreparedTransaction> {
    const known = this.#flow.tokensOf(wanted.network);
    if (nonce === undefined) return this.#proposed(wanted, known, by);
    try {
      return await this.#proposed({ ...wanted, nextNonce: nonce }, known, by);
    } catch (error) {
      if (!(error instanceof SendError) || error.code !== "nonce_taken") throw error;
      return this.#proposed({ ...wanted, nonce }, known, by);
    }
  }

  #proposed(wanted: TransactionRequest, tokens: readonly ListedToken[], by: Asker): Promise<PreparedTransaction> {
    const { signal: turn } = by;
    return this.#flow.requests.propose(wanted, tokens, { from: named(by), turn }, () =>
      this.#flow.store.until(turn, isFree),
    );
  }

  async #signature(
    wallet: Wallet,
    network: string,
    account: Account,
    intent: Intent,
    by: Asker,
    elsewhere?: string,
  ): Promise<string> {
    const { caip2 } = this.#network(wallet, network);
    const view = viewOf(intent, this.#flow.tokensOf(caip2));
    const items = [{ intent, view }];
    const request = {
      from: named(by),
      user: wallet.user,
      network: caip2,
      account,
      items,
      isBroadcast: false,
      ...(elsewhere !== undefined && { elsewhere }),
    };
    const outcome = await this.#put(request, by);
    if (outcome.kind !== "signed") throw refusalOf(outcome);
    const [first] = outcome.signed;
    if (first?.kind !== "evmSignature") throw new WalletError("internal_error", "no signature was made");
    return `0x${toHex(first.signature)}`;
  }

  /** Puts it before the wallet's owner, unless it was taken back meanwhile, and not in place of something of their own. */
  async #put(request: Request, { signal: turn }: Asker): Promise<Outcome> {
    await this.#free(turn);
    return new Promise((told) => this.#flow.requests.open({ ...request, turn, told }));
  }

  #network({ networks }: Wallet, caip2: string): NetworkInfo {
    const known = evmOf(networks).find((network) => network.caip2 === caip2);
    if (known === undefined) throw new WalletError("network_unknown", `the wallet does not know ${caip2}`);
    return known;
  }

  #account({ accounts }: Wallet, address: string): Account {
    const own = accounts.find((account) => account.address.toLowerCase() === address.toLowerCase());
    if (own === undefined) throw new WalletError("account_unknown", "the address is none of the user's accounts");
    return own;
  }
}

/** True if nothing stands before the wallet's owner but what is done, and nothing is on its way there that they have begun themselves. */
export function isFree({ open, pad, pinAsked, unsettled, busy }: State): boolean {
  const isAsked = [pad, pinAsked, unsettled].some((question) => question !== undefined);
  return !busy && !isAsked && (open === undefined || open.step === "sent");
}

function evmOf(networks: readonly NetworkInfo[]): NetworkInfo[] {
  return networks.filter(({ caip2, status }) => caip2.startsWith("eip155:") && status !== "retired");
}

function named({ name, origin }: Asker): Request["from"] {
  return { kind: "app", name, origin };
}

function transactionOf(outcome: Outcome): SignedTransaction {
  if (outcome.kind !== "signed" && outcome.kind !== "sent") throw refusalOf(outcome);
  const [first] = outcome.signed;
  if (first?.kind !== "evmTransaction") throw new WalletError("internal_error", "no transaction was signed");
  return first;
}

function hashOf(outcome: Outcome): string {
  return `0x${toHex(transactionOf(outcome).hash)}`;
}

function refusalOf(outcome: Outcome): WalletError {
  if (outcome.kind !== "unsent") return new WalletError("declined", "the user declined");
  const [first] = outcome.handedOver;
  if (first?.kind !== "evmTransaction") return new WalletError(outcome.code, "it is signed, and was not sent");
  const text = "it is signed, and it is not known whether it was sent";
  return new WalletError(outcome.code, text, false, `0x${toHex(first.hash)}`);
}
