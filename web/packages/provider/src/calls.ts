/** EIP-5792: several calls, sent one after the other. They are not atomic, and the capabilities say so. */
import type { Transaction } from "@pinseal/core";
import { invalidParams, ProviderRpcError, RPC, rpcError } from "./error.js";
import { address, chainId, type Hex, object, transaction } from "./params.js";

/** Calls in one bundle: each is shown to the user on its own. */
const CALLS_MAX = 16;
/** How long one call may take to be mined before the next is asked for all the same. */
const RECEIPT_LOOKS_MAX = 60;
const RECEIPT_MILLISECONDS = 1_000;
/** Bundles that are remembered under an id of the app's choice. */
const NAMED_MAX = 256;
/** Marks ids of this module's making, behind chain, number of calls and hashes. */
const MAGIC = "70696e73656131";

/** Codes after which a call may be carried out: it was handed over, or nobody can say that it was not. */
const UNCERTAIN: ReadonlySet<string> = new Set([
  "broadcast_refused",
  "outcome_unknown",
  "connection_lost",
  "bad_message",
  "finalized",
  "internal_error",
]);
/** Stands for the hash of such a call where that is not known either. No transaction has it, so that its bundle stays pending for good. */
const NO_HASH: Hex = `0x${"0".repeat(64)}`;

const STATUS = { pending: 100, confirmed: 200, reverted: 500, partial: 600 } as const;

interface Bundle {
  readonly chain: Hex;
  /** How many calls were asked for; fewer hashes mean that the rest was never sent. One more, the last, may be of a call that was not. */
  readonly calls: number;
  readonly hashes: readonly Hex[];
}

/** What a bundle needs of its provider. */
export interface Sender {
  send(chain: Hex, transaction: Transaction): Promise<Hex>;
  read(chain: Hex, method: string, params: readonly unknown[]): Promise<unknown>;
}

/** EIP-5792: what became of a bundle. Statuses are the standard's: 100, 200, 500, 600. */
export interface CallsStatus {
  readonly version: "2.0.0";
  readonly id: string;
  readonly chainId: Hex;
  readonly status: number;
  readonly atomic: false;
  readonly receipts: readonly Record<string, unknown>[];
}

export class Calls {
  readonly #sender: Sender;
  readonly #named = new Map<string, Bundle>();
  /** Ids of bundles that are still asked for. */
  readonly #asked = new Set<string>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** Sends them in order, each once the one before is mined. Throws only if the first was not sent, or it is not known whether it was. */
  async send(
    asked: unknown,
    accounts: readonly Hex[],
    isKnown: (chain: Hex) => Promise<boolean>,
  ): Promise<{ id: string }> {
    const bundle = object(asked, "the bundle");
    const { version, id, from, calls, atomicRequired, capabilities } = bundle;
    if (version !== "2.0.0" && version !== "1.0") throw invalidParams("the bundle's version is not 2.0.0");
    const chain = chainId(bundle.chainId);
    if (!(await isKnown(chain)))
      throw new ProviderRpcError(RPC.chainUnsupported, "the wallet does not know this chain");
    // What is no yes or no may be meant as a yes.
    if (atomicRequired !== undefined && typeof atomicRequired !== "boolean")
      throw invalidParams("atomicRequired is neither true nor false");
    if (atomicRequired === true) {
      throw new ProviderRpcError(RPC.atomicityUnsupported, "the wallet sends calls one after the other");
    }
    refuseCapabilities(capabilities);
    if (!Array.isArray(calls) || calls.length === 0) throw invalidParams("there are no calls");
    if (calls.length > CALLS_MAX)
      throw new ProviderRpcError(RPC.bundleTooLarge, `there are more than ${CALLS_MAX} calls`);
    if (id !== undefined && (typeof id !== "string" || id.length > 8194))
      throw invalidParams("the bundle's id is no text");
    if (id !== undefined && (this.#named.has(id) || this.#asked.has(id)))
      throw new ProviderRpcError(RPC.duplicateId, "the id was used before");
    // All are read before any is sent.
    const sender = from === undefined ? accounts[0] : address(from, "the sender");
    const transactions = calls.map((call: unknown) => {
      const { to, data, value, capabilities: own, ...more } = object(call, "a call");
      const name = Object.keys(more)[0];
      if (name !== undefined) throw invalidParams(`the wallet does not know a call's ${name}`);
      refuseCapabilities(own);
      return transaction({ to, data, value }, sender, chain);
    });
    const sent = async (): Promise<Bundle> => {
      return { chain, calls: calls.length, hashes: await this.#inOrder(chain, transactions) };
    };
    if (id === undefined) return { id: encode(await sent()) };
    this.#asked.add(id);
    try {
      this.#keep(id, await sent());
    } finally {
      this.#asked.delete(id);
    }
    return { id };
  }

  #keep(id: string, bundle: Bundle): void {
    const [oldest] = this.#named.keys();
    if (oldest !== undefined && this.#named.size >= NAMED_MAX) this.#named.delete(oldest);
    this.#named.set(id, bundle);
  }

  async #inOrder(chain: Hex, transactions: readonly Transaction[]): Promise<Hex[]> {
    const hashes: Hex[] = [];
    for (const [index, each] of transactions.entries()) {
      try {
        const hash = await this.#sender.send(chain, each);
        hashes.push(hash);
        // What comes next may build on this one, so that its gas could not be estimated before.
        if (index + 1 < transactions.length && (await this.#reverted(chain, hash))) break;
      } catch (error) {
        if (hashes.length === 0) throw error;
        // What was sent cannot be taken back: the status tells that not all were. What may have been sent is pending until it is mined: for good
        // where its hash is not known.
        const perhaps = perhapsSent(error);
        if (perhaps !== undefined) hashes.push(perhaps);
        break;
      }
    }
    return hashes;
  }

  async #reverted(chain: Hex, hash: Hex): Promise<boolean> {
    for (let looks = 0; looks < RECEIPT_LOOKS_MAX; looks += 1) {
      const receipt = await this.#sender.read(chain, "eth_getTransactionReceipt", [hash]).catch(() => undefined);
      if (receipt === undefined) return false; // Nothing can be read here.
      if (receipt !== null) return (receipt as { status?: unknown }).status !== "0x1";
      await new Promise((done) => setTimeout(done, RECEIPT_MILLISECONDS));
    }
    return false;
  }

  /** The bundle that was sent under this id. Throws where there is none. */
  find(id: unknown): Bundle & { readonly id: string } {
    const bundle = typeof id === "string" ? (this.#named.get(id) ?? decode(id)) : undefined;
    if (typeof id !== "string" || bundle === undefined) {
      throw new ProviderRpcError(RPC.bundleUnknown, "there is no such bundle");
    }
    return { ...bundle, id };
  }

  async status(asked: unknown): Promise<CallsStatus> {
    const { id, chain, calls, hashes } = this.find(asked);
    const read = async (hash: Hex) =>
      hash === NO_HASH ? null : this.#sender.read(chain, "eth_getTransactionReceipt", [hash]);
    const found = await Promise.all(hashes.map(read));
    const receipts = found.filter((receipt) => receipt !== null).map((receipt) => object(receipt, "the receipt"));
    const good = receipts.filter(({ status }) => status === "0x1").length;
    const state =
      receipts.length < hashes.length
        ? STATUS.pending
        : good === calls
          ? STATUS.confirmed
          : good === 0
            ? STATUS.reverted
            : STATUS.partial;
    return {
      version: "2.0.0",
      id,
      chainId: chain,
      status: state,
      atomic: false,
      receipts: receipts.map(({ logs, status, blockHash, blockNumber, gasUsed, transactionHash }) => {
        return { logs, status, blockHash, blockNumber, gasUsed, transactionHash };
      }),
    };
  }
}

/** The hash of a call that failed and may be carried out all the same, as far as it is known; `undefined` of one that was not sent. */
function perhapsSent(error: unknown): Hex | undefined {
  const { data } = rpcError(error);
  if (data === undefined || !UNCERTAIN.has(data.code)) return undefined;
  return /^0x[0-9a-f]{64}$/.test(data.data ?? "") ? (data.data as Hex) : NO_HASH;
}

/** EIP-5792: a capability that the wallet does not have is an error unless the app calls it optional. */
function refuseCapabilities(capabilities: unknown): void {
  for (const [name, asked] of Object.entries(object(capabilities ?? {}, "the capabilities"))) {
    const { optional } = object(asked, "a capability");
    if (optional !== true) {
      throw new ProviderRpcError(
        RPC.capabilityUnsupported,
        `the wallet does not have the capability ${name.slice(0, 64)}`,
      );
    }
  }
}

/** The id holds all there is to know, so that it means the same after a reload. */
function encode({ chain, calls, hashes }: Bundle): Hex {
  const head = BigInt(chain).toString(16).padStart(64, "0") + calls.toString(16).padStart(2, "0");
  return `0x${head}${hashes.map((hash) => hash.slice(2)).join("")}${MAGIC}`;
}

function decode(id: string): Bundle | undefined {
  const [, chain, calls, hashes = ""] =
    new RegExp(`^0x([0-9a-f]{64})([0-9a-f]{2})((?:[0-9a-f]{64}){1,${CALLS_MAX}})${MAGIC}$`).exec(id) ?? [];
  if (chain === undefined || calls === undefined) return undefined;
  const each = hashes.match(/.{64}/g) ?? [];
  return {
    chain: `0x${BigInt(`0x${chain}`).toString(16)}`,
    calls: Number(`0x${calls}`),
    hashes: each.map((hash) => `0x${hash}` as const),
  };
}
