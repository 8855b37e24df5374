/** Calls about login, sessions and the app. */

import { publicJwk } from "../profile/device.js";
import { ApiError } from "./error.js";
import type { Call } from "./exchange.js";
import { boolean, list, natural, nothing, object, optional, type Read, string } from "./json.js";
import { type LoginStatus, loginStatus, type Sessions, sessionOf, sessionResponse } from "./session.js";

const sessionInfo = object({
  session_id: string,
  device: string,
  created_at: natural,
  last_used_at: natural,
  current: boolean,
  app_id: string,
});
/**
 * A session of the user's, on one device, in one app. Times are Unix seconds.
 *
 * @interface
 */
export type SessionInfo = Read<typeof sessionInfo>;

const verified = object({ reset_required: boolean });

const me = object({ user_id: string, email: string, login_status: loginStatus, wallet_id: optional(string) });
/**
 * Who is logged in, as the server says.
 *
 * @interface
 */
export type Me = Read<typeof me>;

function post(path: readonly string[], body: unknown): Call {
  return { method: "POST", path: ["v1", ...path], body };
}

/**
 * An address as it is given to the server, without what stands around it. The server folds other letters, signs that do not show and percent signs of
 * a domain (UTS 46), so that two addresses would be one person there and two here.
 */
function emailOf(typed: string): string {
  const email = typed.trim();
  if (!/^(?!.*@[^@]*%[^@]*$)[!-~]*$/.test(email)) {
    throw ApiError.fault("email_not_ascii", "not ASCII; write the domain as xn--...");
  }
  return email;
}

/** Login by e-mail address and password. Every method throws {@link ApiError}. */
export class Login {
  readonly #sessions: Sessions;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  /** Starts an account; the server mails a code unless the address is taken, and never says which. */
  async signUp(email: string, password: string, locale?: string): Promise<void> {
    const body = { email: emailOf(email), password, ...(locale !== undefined && { locale }) };
    await this.#nothing(["login", "email", "sign-up"], body);
  }

  /**
   * Proves that the address is one's own with the mailed code. True if it has no password yet, because somebody else signed up with it too: one is
   * chosen by a reset.
   */
  async verifyEmail(email: string, code: string): Promise<boolean> {
    const call = post(["login", "email", "verify"], { email: emailOf(email), code });
    return (await this.#sessions.exchange.call(call, { kind: "app" }, verified)).reset_required;
  }

  /** Asks for another code. */
  async resendCode(email: string): Promise<void> {
    await this.#nothing(["login", "email", "resend"], { email: emailOf(email) });
  }

  /** Logs in with this profile's device and keeps the session in place of any other. */
  async logIn(email: string, password: string): Promise<LoginStatus> {
    const named = emailOf(email);
    const { device } = await this.#sessions.vault.read();
    const call = post(["login", "email"], { email: named, password, device_jwk: publicJwk(device) });
    const response = await this.#sessions.exchange.call(call, { kind: "device", device }, sessionResponse);
    const session = sessionOf(response, named.toLowerCase());
    await this.#sessions.vault.update((profile) => ({ ...profile, session }));
    return response.login_status;
  }

  /** Asks for a mailed reset code. */
  async requestReset(email: string): Promise<void> {
    await this.#nothing(["login", "email", "reset-request"], { email: emailOf(email) });
  }

  /**
   * Sets a new password; all sessions end. The PIN is another thing and stays. Of all devices this profile's alone goes on being one that the account
   * knows.
   */
  async reset(email: string, code: string, newPassword: string): Promise<void> {
    const { device } = await this.#sessions.vault.read();
    const body = { email: emailOf(email), code, new_password: newPassword, device_jwk: publicJwk(device) };
    await this.#nothing(["login", "email", "reset"], body);
  }

  /** Every session of the user. */
  async sessions(): Promise<SessionInfo[]> {
    const call: Call = { method: "GET", path: ["v1", "sessions"] };
    return (await this.#sessions.authorized(call, object({ items: list(sessionInfo) }))).items;
  }

  /** Ends a session, here or elsewhere. */
  revokeSession(sessionId: string): Promise<void> {
    return this.#sessions.authorized({ method: "DELETE", path: ["v1", "sessions", sessionId] }, nothing);
  }

  /**
   * Ends this session. The profile forgets it even if the server cannot be told, which then is the error; not another one that somebody
   * opened meanwhile.
   */
  async logOut(): Promise<void> {
    const { sessionId: ended, user } = (await this.#sessions.vault.read()).session ?? {};
    let failure: unknown;
    try {
      await this.#sessions.authorized(post(["logout"], {}), nothing, user);
    } catch (error) {
      const isOver = error instanceof ApiError && (error.isSessionEnd || error.code === "not_logged_in");
      failure = isOver ? undefined : error;
    }
    await this.#sessions.vault.update((profile) =>
      profile.session?.sessionId === ended ? { ...profile, session: undefined } : profile,
    );
    if (failure !== undefined) throw failure;
  }

  /** Who is logged in, as the host says; `user`, as the profile's session names them, if that is to be nobody else. */
  me(user?: string): Promise<Me> {
    return this.#sessions.authorized({ method: "GET", path: ["v1", "me"] }, me, user);
  }

  /** Makes the user, who has a wallet already, known to this app. */
  async registerApp(): Promise<LoginStatus> {
    const call = post(["app", "register"], {});
    return (await this.#sessions.authorized(call, object({ login_status: loginStatus }))).login_status;
  }

  #nothing(path: readonly string[], body: unknown): Promise<void> {
    return this.#sessions.exchange.call(post(path, body), { kind: "app" }, nothing);
  }
}
