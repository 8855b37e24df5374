/** The client as a whole: one server, one app, one profile. */

import { type Account, AccountError, byIndex, knownAccount, pinAccounts, verifyAccount } from "./account.js";
import { Exchange } from "./api/exchange.js";
import { Login } from "./api/login.js";
import { Networks } from "./api/networks.js";
import { type AppCredentials, ServerUrl } from "./api/server.js";
import { Sessions, sessionIn } from "./api/session.js";
import { WalletApi } from "./api/wallet.js";
import { attest } from "./attest.js";
import type { Attested } from "./attested.js";
import type { Bytes } from "./bytes.js";
import { type Environment, system } from "./environment.js";
import type { Policy } from "./evidence/policy.js";
import { Ledger } from "./ledger.js";
import { Continuation } from "./operation/kept.js";
import type { Outgoing } from "./outgoing.js";
import { type Argon2, argon2Default } from "./pin/argon2.js";
import { thumbprint } from "./profile/device.js";
import type { Profile } from "./profile/profile.js";
import { type ProfileStore, Vault } from "./profile/store.js";

import { type PreparedTransaction, prepareTransaction, type TransactionRequest, takeNonce } from "./send.js";
import type { Token } from "./view/view.js";

/** What a client is made of. */
export interface ClientOptions {
  /** Base URL: `https`, or `http` on this very machine. */
  readonly server: string;
  /** As which app. */
  readonly app: AppCredentials;
  /** Which evidence it believes. There is no default. */
  readonly policy: Policy;
  /** Where it keeps its profile: {@link IndexedDbStore} in browsers, {@link MemoryStore} elsewhere. */
  readonly store: ProfileStore;
  /** Clock, randomness, waiting, HTTP. */
  readonly environment?: Environment;
  /** Where Argon2id runs. */
  readonly argon2?: Argon2;
}

/** Makes no call and touches nothing until it is used, so that it can be built anywhere. */
export class Client {
  /** Login, sessions and the app. */
  readonly login: Login;
  /** Networks, balances, transactions. */
  readonly networks: Networks;
  /** @internal */
  readonly vault: Vault;
  /** @internal */
  readonly ledger: Ledger;
  /** @internal */
  readonly sessions: Sessions;
  /** @internal */
  readonly wallet: WalletApi;
  /** @internal */
  readonly policy: Policy;
  /** @internal */
  readonly environment: Environment;
  /** @internal */
  readonly argon2: Argon2;
  /** @internal */
  readonly continuation = new Continuation();

  /** Throws a `RangeError` for a server URL that is none, or that is plain http to another machine. */
  constructor({ server, app, policy, store, environment = system, argon2 = argon2Default }: ClientOptions) {
    this.environment = environment;
    this.argon2 = argon2;
    this.policy = policy;
    this.vault = new Vault(store);
    this.ledger = new Ledger(this.vault);
    this.sessions = new Sessions(new Exchange(new ServerUrl(server), app, environment), this.vault);
    this.login = new Login(this.sessions);
    this.networks = new Networks(this.sessions, this.ledger);
    this.wallet = new WalletApi(this.sessions);
  }

  /**
   * Fetches evidence for a fresh nonce and verifies it, the manifest and the boot's checkpoint. What it gives has the methods that
   * take a PIN. Each of them is done for one user: `user`, as the profile's session names them, or whoever is logged in when it begins; it fails
   * with `user_changed` where somebody else logs in meanwhile. Throws {@link EvidenceError}, {@link ReceiptError} or {@link ApiError}; then
   * nothing was pinned.
   */
  attest(user?: string): Promise<Attested> {
    return attest(this, user);
  }

  /** The profile as it is now. */
  profile(): Promise<Profile> {
    return this.vault.read();
  }

  /** This device's thumbprint, by which the wallet's status names it. */
  async deviceId(): Promise<Bytes> {
    return thumbprint((await this.vault.read()).device);
  }

  /**
   * Of the wallet's accounts in the host's cache those that this device has seen before. Takes no PIN and does not ask the enclave;
   * {@link Attested.accounts} asks it for the others. One bad entry spoils the list, since it shows that the host lies. Throws
   * {@link AccountError} or {@link ApiError}.
   */
  async accounts(): Promise<Account[]> {
    return (await this.listed()).known;
  }

  /**
   * The host's list, each entry verified: accounts as they are pinned, and the indices of those that are not. A statement names no seed, so
   * one from before a restore verifies too, and nothing is taken from the cache that the enclave has not said itself.
   *
   * @internal
   */
  async listed(user?: string): Promise<{ known: Account[]; unseen: number[] }> {
    const profile = await this.vault.read();
    const { deployment, wallets } = profile;
    const session = sessionIn(profile, user);
    const wallet = wallets.get(session.user)?.wallet;
    if (deployment === undefined || wallet === undefined) throw new AccountError("wallet_unknown");
    const known = new Map<number, Account>();
    const unseen = new Set<number>();
    for (const statement of await this.wallet.cachedStatements(session.user)) {
      const account = await verifyAccount(statement, deployment, wallet);
      const { index } = account;
      pinAccounts(profile, session.user, wallet, [account]);
      if (knownAccount(profile, index) === undefined) unseen.add(index);
      else known.set(index, account);
    }
    return { known: [...known.values()].sort(byIndex), unseen: [...unseen] };
  }

  /** An account this device has seen before. Throws {@link AccountError} with code `account_unlisted`. */
  async account(index: number): Promise<Account> {
    const account = knownAccount(await this.vault.read(), index);
    if (account === undefined) throw new AccountError("account_unlisted");
    return account;
  }

  /**
   * Asks the host for nonce, gas and fees, and builds a transaction to be shown. `tokens` are those whose symbol and decimals the caller
   * trusts. No nonce is held, so whoever looks may leave it there for ever; {@link Client.takeNonce} comes after their approval. Where an
   * earlier transaction may be carried out beside it, or was, while somebody may believe that it failed, or may not know, this throws
   * {@link SendError} with `payment_unsettled`. Only what is sent by {@link Networks.broadcast} is known to that: an app that is given a signature sends it itself.
   */
  proposeTransaction(request: TransactionRequest, tokens: readonly Token[] = []): Promise<PreparedTransaction> {
    return prepareTransaction(this, request, tokens, false);
  }

  /**
   * The same transaction with a nonce of its own, to be signed ({@link Attested.sign}) and broadcast ({@link Networks.broadcast}) at once:
   * later ones wait for it. Where that does not happen, {@link Networks.release} gives the nonce back. Earlier transactions are judged anew,
   * since the nonce may be another one than was shown.
   */
  takeNonce(approved: PreparedTransaction): Promise<PreparedTransaction> {
    return takeNonce(this, approved);
  }

  /** {@link Client.proposeTransaction} and {@link Client.takeNonce} in one, where nobody has to be shown anything first. */
  prepareTransaction(request: TransactionRequest, tokens: readonly Token[] = []): Promise<PreparedTransaction> {
    return prepareTransaction(this, request, tokens, true);
  }

  /**
   * Transactions that were sent from this profile and are not settled, or were lately, in the order in which they were signed: also those that the
   * host says it refused. They are shown to whoever is to look elsewhere what became of them.
   */
  outgoing(): Promise<readonly Outgoing[]> {
    return this.ledger.entries();
  }
}
