/** Calls of a logged-in user: the session is refreshed before and when it expires, by one tab at a time. */

import type { DeviceKey } from "../profile/device.js";
import type { Profile, Session } from "../profile/profile.js";
import type { Vault } from "../profile/store.js";
import { ApiError } from "./error.js";
import type { Call, Exchange } from "./exchange.js";
import { natural, object, oneOf, type Read, type Shape, string } from "./json.js";

/** A token that expires sooner than this is refreshed first: long enough for Argon2id and a sealed request. */
const VALIDITY_SECONDS_MIN = 60;
/** How often a creating call is sent. */
const SENDS_MAX = 3;
/** Wait before the first resend; doubles each time. */
const RESEND_MILLISECONDS = 500;

/** What a login still lacks: nothing, a wallet, or this app's registration. */
export const loginStatus = oneOf("complete", "pin_required", "register_required");
/** What a login still lacks: nothing, a wallet, or this app's registration. */
export type LoginStatus = Read<typeof loginStatus>;

/** A new session as the server gives it. */
export const sessionResponse = object({
  user_id: string,
  access_token: string,
  access_expires_at: natural,
  refresh_token: string,
  session_id: string,
  login_status: loginStatus,
});

/** `user` is who the person said they are, whatever the host answers. */
export function sessionOf(response: Read<typeof sessionResponse>, user: string): Session {
  return {
    user,
    userId: response.user_id,
    sessionId: response.session_id,
    accessToken: response.access_token,
    accessExpires: response.access_expires_at,
    refreshToken: response.refresh_token,
  };
}

/** Codes after which a fresh access token may do. */
const STALE: ReadonlySet<string> = new Set(["token_expired", "token_invalid"]);
/** Codes after which no token of the session is good for anything. Other 401 are about a proof or an app key. */
const ENDS: ReadonlySet<string> = new Set(["session_revoked", "refresh_reused", "refresh_invalid"]);

export interface LoggedIn {
  readonly profile: Profile;
  readonly session: Session;
}

export class Sessions {
  readonly exchange: Exchange;
  readonly vault: Vault;

  constructor(exchange: Exchange, vault: Vault) {
    this.exchange = exchange;
    this.vault = vault;
  }

  /** Who is logged in. */
  async user(): Promise<string> {
    return sessionIn(await this.vault.read()).user;
  }

  /**
   * A call with access token and proof, of `user` where one is named, else of whoever is logged in when it begins. A token the server does not take any more is refreshed once: it has expired, or the service has
   * changed its issuer's key.
   */
  async authorized<T>(call: Call, shape: Shape<T>, user?: string): Promise<T> {
    const { profile, session } = await this.valid(user);
    const send = ({ device }: { device: DeviceKey }, { accessToken }: Session) =>
      this.exchange.call(call, { kind: "session", device, token: accessToken }, shape);
    try {
      return await send(profile, session);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401 && STALE.has(error.code)) {
        const fresh = await this.refresh(session);
        return await send(fresh.profile, fresh.session);
      }
      if (!ENDS.has(error.code)) throw error;
      await this.vault.update((kept) =>
        kept.session?.sessionId === session.sessionId ? { ...kept, session: undefined } : kept,
      );
      throw error.asSessionEnd();
    }
  }

  /** A call that is signed now and sent later, once and without waiting for an answer: for the moment when a page goes away. */
  async onLeave(call: Call): Promise<() => void> {
    const { profile, session } = await this.valid();
    return this.exchange.onLeave(call, { kind: "session", device: profile.device, token: session.accessToken });
  }

  /** A call that creates something: sent again under the same key while no clear answer comes, and so carried out once. */
  async creating<T>(call: Call, idempotencyKey: string, shape: Shape<T>): Promise<T> {
    const [keyed, user] = [{ ...call, idempotencyKey }, await this.user()];
    let wait = RESEND_MILLISECONDS;
    for (let sends = 1; sends < SENDS_MAX; sends += 1) {
      try {
        return await this.authorized(keyed, shape, user);
      } catch (error) {
        if (!(error instanceof ApiError) || !error.leavesOutcomeOpen) throw error;
      }
      await this.exchange.environment.sleep(wait);
      wait *= 2;
    }
    return this.authorized(keyed, shape, user);
  }

  /** The profile and a session whose access token lasts a while, of `user` where one is named. */
  async valid(user?: string): Promise<LoggedIn> {
    const profile = await this.vault.read();
    const session = sessionIn(profile, user);
    if (session.accessExpires > this.exchange.environment.now() + VALIDITY_SECONDS_MIN) return { profile, session };
    return this.refresh(session);
  }

  /**
   * Replaces `stale` by another one of the same user's. The profile stays locked meanwhile, for all tabs: a refresh token used twice ends the session, so whoever
   * waited for the lock takes the session that came of the first refresh.
   */
  refresh(stale: Session): Promise<LoggedIn> {
    return this.vault.locked(async (profile, save) => {
      const current = sessionIn(profile, stale.user);
      if (current.accessToken !== stale.accessToken) return { profile, session: current };
      const call: Call = {
        method: "POST",
        path: ["v1", "session", "refresh"],
        body: { refresh_token: current.refreshToken },
      };
      try {
        const response = await this.exchange.call(call, { kind: "device", device: profile.device }, sessionResponse);
        const session = sessionOf(response, current.user);
        const fresh = { ...profile, session };
        await save(fresh);
        return { profile: fresh, session };
      } catch (error) {
        if (!(error instanceof ApiError) || !ENDS.has(error.code)) throw error;
        await save({ ...profile, session: undefined });
        throw error.asSessionEnd();
      }
    });
  }
}

/** The session of whoever is logged in, if that is `user` where one is named. */
export function sessionIn({ session }: Profile, user?: string): Session {
  if (session === undefined) throw notLoggedIn();
  if (user !== undefined && session.user !== user) {
    throw ApiError.fault("user_changed", "another user logged in");
  }
  return session;
}

export function notLoggedIn(): ApiError {
  return ApiError.fault("not_logged_in", "not logged in");
}
