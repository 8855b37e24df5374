/** What is put before the wallet's owner to sign: payments of the page's own form, and requests of apps. One at a time. */

import {
  type Accepted,
  AccountError,
  ApiError,
  type Attested,
  type Client,
  checksum,
  erc20Transfer,
  type Outgoing,
  type Pin,
  type PreparedTransaction,
  SendError,
  type Signed,
  type Token,
  type TransactionInfo,
  type TransactionRequest,
} from "@pinseal/client";
import type { Outcome, Request } from "../request.ts";
import type { ListedToken } from "../settings.ts";
import type { Note, PinQuestion, Wanted } from "../state/state.ts";
import type { Store } from "../state/store.ts";
import { Hold } from "./hold.ts";
import { Nonce } from "./nonce.ts";
import { Cancelled, type PadFlow } from "./pad.ts";
import { showPlace } from "./places.ts";
import { OUTCOME_UNKNOWN, problemOf, unsentOf } from "./problem.ts";
import type { Work } from "./work.ts";

/** How often, a minute each time, a transaction on the screen is asked for. */
const FOLLOW_ROUNDS_MAX = 30;
/** How often somebody is asked to look for one transaction: a host could say something else of an earlier one each time. */
const LOOKS_MAX = 8;
/** Gas of a transfer to an account without code. */
const TRANSFER_GAS = 21_000n;
/** Most gas of a token's transfer: several times what the costliest in use take. */
const TOKEN_GAS_MAX = 500_000;

/** What the send form gives. */
export interface Payment {
  readonly to: string;
  readonly value: bigint;
  readonly speed: "slow" | "normal" | "fast";
  /** What is sent, if it is not the network's own coin. */
  readonly token?: ListedToken | undefined;
}

/** What it works with. */
interface Parts {
  readonly client: Client;
  readonly store: Store;
  readonly pad: PadFlow;
  readonly work: Work;
  readonly tokens: readonly ListedToken[];
  /** Hears that the wallet holds something else now. */
  readonly changed: () => void;
}

export class RequestFlow {
  readonly #client: Client;
  readonly #store: Store;
  readonly #pad: PadFlow;
  readonly #work: Work;
  readonly #tokens: readonly ListedToken[];
  readonly #changed: () => void;
  readonly #nonce: Nonce;
  /** Counts how often everything was taken away, so that what was being prepared then is not shown any more. */
  #withdrawals = 0;
  /** Hears what becomes of the next payment of the page's own form. */
  #expected: ((outcome: Outcome) => void) | undefined;
  #forms = 0;
  readonly #hold: Hold;

  constructor({ client, store, pad, work, tokens, changed }: Parts) {
    this.#client = client;
    this.#store = store;
    this.#pad = pad;
    this.#work = work;
    this.#tokens = tokens;
    this.#changed = changed;
    this.#nonce = new Nonce(client);
    this.#hold = new Hold(store);
  }

  /** What stands there was covered until now, or in a tab behind another. */
  comeUp(): void {
    this.#hold.again();
  }

  /** Fees of the chosen network, by speed, for a transfer. */
  async fees(): Promise<Readonly<Record<Payment["speed"], bigint>> | undefined> {
    const { wallet } = this.#store.state;
    if (wallet === undefined) return undefined;
    const { slow, normal, fast, legacy_gas_price: legacy } = await this.#client.networks.fees(wallet.network.caip2);
    const of = (tier: typeof slow) => TRANSFER_GAS * (tier?.max_fee_per_gas ?? legacy ?? 0n);
    return { slow: of(slow), normal: of(normal), fast: of(fast) };
  }

  /** Has a payment prepared, and puts it before its owner. */
  pay({ to, value, speed, token }: Payment): Promise<void> {
    return this.#work.run(async () => {
      const { wallet, wanted: filledIn } = this.#store.state;
      if (wallet === undefined) return;
      const { user, network, account } = wallet;
      const from = { network: network.caip2, account: account.index, speed };
      const wanted =
        token === undefined
          ? { ...from, to, value }
          : { ...from, to: token.address, value: 0n, data: erc20Transfer(to, value), gasLimitMax: TOKEN_GAS_MAX };
      const [told, isWanted] = [this.#expected, this.mark()];
      const turn = told && filledIn.turn;
      const proposed = await this.propose(wanted, this.#tokens, { from: THE_PAGE, turn }).catch((error: unknown) => {
        // Whoever turns the payment down there has turned down what an app filled in.
        if (error instanceof Cancelled && this.#expected === told) this.forget();
        throw error;
      });
      // Somebody closed the wallet meanwhile, or the app was told that nothing comes of it.
      if (!isWanted() || (told !== undefined && this.#expected !== told)) return;
      if (told !== undefined) this.#expected = undefined;
      this.open({ ...requestOf(proposed, user), ...(told && { told, turn }) });
    });
  }

  /** Has a transfer of nothing to oneself prepared: it takes the nonce that others wait for, and was not sent. */
  fill({ network, account }: Pick<Request, "network" | "account">): Promise<void> {
    return this.#work.run(async () => {
      const [{ user }, isWanted] = [this.#store.state, this.mark()];
      const wanted = { network, account: account.index, to: account.address, value: 0n };
      const proposed = await this.propose(wanted, []);
      if (user !== undefined && isWanted()) this.open(requestOf(proposed, user));
    });
  }

  /** What comes back says whether nothing was taken away since. */
  mark(): () => boolean {
    const withdrawals = this.#withdrawals;
    return () => withdrawals === this.#withdrawals;
  }

  /**
   * A transaction as the client proposes it. Where earlier ones may be carried out beside it, their owner looks what became of them first, once
   * `isFree`, and what they accept goes with the request from then on: throws {@link Cancelled} where they would not go on, and where everything
   * was taken away meanwhile: whoever is here now may be somebody else.
   */
  async propose(
    wanted: TransactionRequest,
    tokens: readonly Token[],
    by: Pick<Request, "from" | "turn"> = { from: THE_PAGE },
    isFree: () => Promise<unknown> = async () => undefined,
  ): Promise<PreparedTransaction> {
    const isWanted = this.mark();
    let request = wanted;
    try {
      for (let looks = 0; ; looks += 1) {
        try {
          const proposed = await this.#client.proposeTransaction(request, tokens);
          if (!isWanted()) throw new Cancelled();
          return proposed;
        } catch (error) {
          const earlier = unsettledOf(error);
          if (earlier === undefined || looks === LOOKS_MAX) throw error;
          await isFree();
          if (!isWanted()) throw new Cancelled();
          request = await this.#look(request, earlier, by);
        }
      }
    } finally {
      if (isWanted()) this.#settled();
    }
  }

  /** What somebody says who was asked to look. */
  settle(hasLooked: boolean): void {
    const { unsettled, isFresh } = this.#store.state;
    if (hasLooked && isFresh) return;
    // It stays on the screen until that which follows takes its place.
    if (unsettled !== undefined) {
      this.#store.set({ unsettled: hasLooked ? { ...unsettled, isGoingOn: true } : undefined });
    }
    unsettled?.answer(hasLooked);
  }

  /** What somebody went on from is not asked any more. */
  #settled(): void {
    if (this.#store.state.unsettled?.isGoingOn) this.#store.set({ unsettled: undefined });
  }

  /** Their owner looks elsewhere what became of earlier ones: the same request, beside those as they stand. Throws {@link Cancelled}. */
  async #look(
    request: TransactionRequest,
    earlier: readonly Outgoing[],
    { from, turn }: Pick<Request, "from" | "turn">,
    promised: readonly Outgoing[] = [],
  ): Promise<TransactionRequest> {
    this.settle(false);
    const hasLooked = await new Promise<boolean>((answer) =>
      this.#store.set({ unsettled: { from, turn, earlier, promised, isGoingOn: false, answer } }),
    );
    if (!hasLooked) throw new Cancelled();
    const isOther = ({ hash }: Accepted) => !earlier.some((entry) => entry.hash === hash);
    return { ...request, beside: [...(request.beside ?? []).filter(isOther), ...earlier] };
  }

  /** Shows a new form of a payment, filled in as far as it is known, and tells what becomes of it. */
  expect(told: (outcome: Outcome) => void, wanted: Wanted): void {
    this.forget();
    this.#forms += 1;
    this.#store.set({ wanted: { ...wanted, form: this.#forms } });
    this.#expected = told;
    showPlace("send");
  }

  /** Puts a request before the wallet's owner. This is where one from an app comes in. One that was made for somebody else is declined unseen. */
  open(request: Request): void {
    if (request.user !== this.#store.state.user) {
      request.told?.({ kind: "declined" });
      return;
    }
    void this.deny();
    this.#store.set({ open: { step: "review", request }, problem: undefined });
  }

  /** Takes the request off the screen, and says so to whoever asked, or keeps something for it. */
  async deny(): Promise<void> {
    this.settle(false);
    const { open } = this.#store.state;
    if (open === undefined || open.step === "sending") return;
    this.#store.set({ open: undefined });
    const { told } = open.request;
    if (open.step === "unsent") {
      told?.(outcomeOf(open));
      await this.#nonce.giveBack(open.approved);
    }
    if (open.step === "review") told?.({ kind: "declined" });
  }

  /** Before the wallet is closed: answers for what was handed over, which is no refusal of its owner's. True if there is something. */
  settleHandedOver(): boolean {
    const { open } = this.#store.state;
    if (open?.step === "unsent") void this.deny();
    else if (open?.step === "sending")
      open.request.told?.(outcomeOf({ signed: open.signed, problem: unsentOf(undefined) }));
    else return false;
    return true;
  }

  /** Asks for the PIN, or for another one, on behalf of an app, which hears itself what goes wrong. */
  async askPin(question: PinQuestion): Promise<void> {
    this.#store.set({ pinAsked: question });
    try {
      if (question.purpose === "change") await this.#pad.change();
      else await this.#pad.use("verify", (attested, pin) => attested.verifyPin(pin));
    } finally {
      // Where it was taken back the pad has gone before, and the next question may be there.
      if (this.#store.state.pinAsked === question) this.#store.set({ pinAsked: undefined });
    }
  }

  /** Takes away whatever is asked: whoever asked does not want it any more, or somebody closed the wallet. */
  withdraw(): void {
    this.#withdrawals += 1;
    this.#pad.withdraw();
    this.#store.set({ pinAsked: undefined });
    this.#refuseConsent();
    this.forget();
    void this.deny();
  }

  /** Somebody else is here now, or nobody: not even what is being handed over is shown to them. Whoever asked for that hears what becomes of it. */
  changeHands(): void {
    this.withdraw();
    this.#store.set({ open: undefined });
  }

  /** Takes away what one turn of an app's put up, which does not want it any more. What the owner has begun themselves goes on. */
  takeBack(turn: AbortSignal): void {
    const { open, unsettled, consent, pinAsked, wanted } = this.#store.state;
    if (consent?.turn === turn) this.#refuseConsent();
    if (wanted.turn === turn) this.forget();
    if (unsettled?.turn === turn) this.settle(false);
    const isOpen = open?.request.turn === turn;
    const isPinAsked = pinAsked?.turn === turn;
    if (isOpen || isPinAsked) this.#pad.withdraw();
    if (isPinAsked) this.#store.set({ pinAsked: undefined });
    if (isOpen) void this.deny();
  }

  #refuseConsent(): void {
    const { consent } = this.#store.state;
    if (consent !== undefined) this.#store.set({ consent: undefined });
    consent?.answer(false);
  }

  /** What an app filled in is not wanted any more. */
  forget(): void {
    const expected = this.#expected;
    this.#expected = undefined;
    expected?.({ kind: "declined" });
    if (this.#store.state.wanted !== NOTHING_WANTED) this.#store.set({ wanted: NOTHING_WANTED });
  }

  approve(): Promise<void> {
    return this.#work.inDialog(async () => {
      const { open, isFresh } = this.#store.state;
      if (open?.step !== "review" || isFresh) return;
      const { request } = open;
      // It goes before it is signed by whoever is here in place of the one it was made for.
      if (request.user !== this.#store.state.user) return this.deny();
      const made = await this.#pad.use("sign", (attested, pin) => this.#sign(attested, pin, request));
      // Taken back meanwhile: nobody gets to see the signature.
      const isWanted = this.#store.state.open?.request === request;
      if ("unsettled" in made) return isWanted ? await this.#reviewAgain(request, made.unsettled) : undefined;
      if (!isWanted) await this.#nonce.giveBack(made.approved);
      else await this.#send(request, made);
    });
  }

  /** What was signed; or nothing, and no try was used, where the nonce that was taken would put it beside earlier ones. */
  async #sign(
    attested: Attested,
    pin: Pin,
    { user, account, proposed, items }: Request,
  ): Promise<Made | { readonly unsettled: readonly Outgoing[] }> {
    const { session } = await this.#client.profile();
    if (session?.user !== user) throw ApiError.fault("user_changed", "another user logged in");
    const { address } = await this.#client.account(account.index);
    if (address !== account.address) throw new AccountError("account_changed", "the account is another one by now");
    const intents = items.map(({ intent }) => intent);
    if (proposed === undefined) return { signed: await attested.sign(pin, intents), approved: undefined };
    try {
      return await this.#nonce.hold(proposed, async (approved) => {
        return { signed: await attested.sign(pin, [approved.intent]), approved };
      });
    } catch (error) {
      const unsettled = unsettledOf(error);
      if (unsettled === undefined) throw error;
      return { unsettled };
    }
  }

  /** Puts the same before its owner once more, as it would be now, once they have looked what became of earlier ones, if there are any. */
  async #reviewAgain(request: Request, earlier: readonly Outgoing[]): Promise<void> {
    const { proposed, from, user, isBroadcast } = request;
    if (proposed === undefined) return;
    try {
      const { request: asked, instead } = proposed;
      const wanted = earlier.length === 0 ? asked : await this.#look(asked, earlier, request, instead);
      const anew = requestOf(await this.propose(wanted, proposed.tokens, request), user);
      if (this.#store.state.open?.request !== request) return;
      this.#store.set({ open: { step: "review", request: { ...request, ...anew, from, isBroadcast } } });
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
      if (this.#store.state.open?.request === request) await this.deny();
    } finally {
      this.#settled();
    }
  }

  /** Sends once more what is signed already: twice is once. */
  async sendAgain(): Promise<void> {
    const { open, user } = this.#store.state;
    if (open?.step !== "unsent") return;
    if (open.request.user !== user) return this.deny();
    await this.#send(open.request, open, open.problem);
  }

  /** `before` is what an earlier try came to: what fails now does not take back that the host may have it. */
  async #send(request: Request, { signed, approved }: Made, before?: Note): Promise<void> {
    const [first] = signed;
    if (!request.isBroadcast || first?.kind !== "evmTransaction") {
      // Whoever asked sends it: its nonce stays held as long as the host holds it, and the client keeps nothing of it.
      this.#nonce.keep(approved);
      this.#store.set({ open: undefined });
      request.told?.({ kind: "signed", signed });
      return;
    }
    this.#store.set({ open: { step: "sending", request, signed } });
    this.#nonce.bind(approved, true);
    const isHere = () => this.#store.state.user === request.user;
    const isShown = () => isHere() && this.#store.state.open?.request === request;
    try {
      const transaction = await this.#client.networks.broadcast(request.network, first, approved);
      this.#nonce.keep(approved);
      request.told?.({ kind: "sent", signed });
      if (isShown()) this.#store.set({ open: { step: "sent", request, transaction } });
      // Nobody looks at it as somebody else.
      if (!isHere()) return;
      // The pad and the forms are free again, however long a network takes.
      void this.#follow(request, transaction).catch((error: unknown) => {
        if (isShown())
          this.#store.set({ open: { step: "unsent", request, signed, approved, problem: unsentOf(error) } });
      });
    } catch (error) {
      const wasHandedOver = before !== undefined && isHandedOver({ problem: before });
      const wasHad = wasHandedOver || error instanceof ApiError;
      const problem = !wasHad ? problemOf(error) : before?.code === OUTCOME_UNKNOWN ? before : unsentOf(error);
      this.#nonce.bind(approved, problem.code === OUTCOME_UNKNOWN);
      const isTaken = error instanceof SendError && error.code === "nonce_taken";
      const unsettled = isTaken ? [] : unsettledOf(error);
      if (isShown() && !wasHad && unsettled !== undefined) {
        // Another tab has signed meanwhile, perhaps with the same nonce, and this one was not handed over.
        await this.#nonce.giveBack(approved);
        if (!isShown()) return request.told?.(outcomeOf({ signed, problem }));
        this.#store.set({ open: { step: "review", request } });
        return this.#reviewAgain(request, unsettled);
      }
      if (isShown()) {
        this.#store.set({ open: { step: "unsent", request, signed, approved, problem } });
        return;
      }
      request.told?.(outcomeOf({ signed, problem }));
      await this.#nonce.giveBack(approved);
    }
  }

  async #follow(request: Request, { hash }: TransactionInfo): Promise<void> {
    this.#changed();
    const isWaitedFor = () => {
      const { open } = this.#store.state;
      return open?.step === "sent" && open.request === request;
    };
    // Whoever sees something else in its place may never read that it was carried out.
    const isSeen = () => {
      const { unsettled, pinAsked } = this.#store.state;
      const isCovered = [unsettled, pinAsked].some((question) => question !== undefined);
      return isWaitedFor() && !isCovered && document.visibilityState === "visible";
    };
    for (let rounds = 0; rounds < FOLLOW_ROUNDS_MAX; rounds += 1) {
      const asked = this.#client.networks.settled(request.network, hash, isWaitedFor, isSeen);
      const transaction = await asked.catch((error: unknown) => {
        if (!(error instanceof ApiError && error.isRetryable)) throw error;
      });
      if (!isWaitedFor()) return;
      if (transaction === undefined) continue;
      this.#store.set({ open: { step: "sent", request, transaction } });
      if (transaction.status === "pending") continue;
      this.#changed();
      return;
    }
  }
}

/** What was signed, and what of it was prepared here. */
interface Made {
  readonly signed: readonly Signed[];
  readonly approved: PreparedTransaction | undefined;
}

/** What is signed, and not known to be sent. */
type Unsent = Made & { readonly problem: Note };

function isHandedOver({ problem }: Pick<Unsent, "problem">): boolean {
  return problem.text === "problem.unsent";
}

function outcomeOf({ problem, signed }: Omit<Unsent, "approved">): Outcome {
  return { kind: "unsent", code: problem.code ?? "unknown", handedOver: isHandedOver({ problem }) ? signed : [] };
}

/** Who asks where no app does. */
const THE_PAGE = { kind: "wallet" } as const;

/** Earlier ones that stop a transaction, if that is why it failed. */
function unsettledOf(error: unknown): readonly Outgoing[] | undefined {
  return error instanceof SendError && error.code === "payment_unsettled" ? error.unsettled : undefined;
}

/** Nothing filled in beforehand. */
export const NOTHING_WANTED: Wanted = {};

/** Everything shown comes from the transaction that will be signed, not from the form. */
export function requestOf(proposed: PreparedTransaction, user: string): Request {
  const { network, from, intent, view, transaction } = proposed;
  const { kind, gasLimit, to, value } = transaction;
  const price = kind.type === "legacy" || kind.type === "accessList" ? kind.gasPrice : kind.maxFeePerGas;
  return {
    from: THE_PAGE,
    user,
    network,
    account: from,
    items: [{ intent, view }],
    fee: gasLimit * price,
    value,
    ...(to && { to: checksum(to) }),
    isBroadcast: true,
    proposed,
  };
}
