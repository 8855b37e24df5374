/** What a compiler holds apps to: the names and shapes that integrators know, and no place for a password or a token. */
import { test } from "node:test";
import { type LoginStatus, PinsealLogin, type User } from "../src/index.js";

test("the login's types have the user's shape, and no place for a password or a token", () => {
  const login = new PinsealLogin({ appId: "my-app", wallet: "https://wallet.example/" });
  new PinsealLogin({ bridge: login.bridge });
  login.on("loggedOut", ({ by }) => by satisfies "app" | "wallet");
  async () => {
    const user: User = await login.loginWithEmailAndPassword("ada@example.org", { signal: AbortSignal.timeout(1) });
    const now: User | undefined = await login.getCurrentUser();
    const status: LoginStatus = await login.getStatus();
    // @ts-expect-error: a password is typed in the wallet's page
    await login.loginWithEmailAndPassword("ada@example.org", "correct horse 1");
    // @ts-expect-error: tokens never leave the wallet
    user.token;
    // @ts-expect-error: nobody may be logged in
    now.userInfo;
    // @ts-expect-error: there is no login by a token of somebody else's
    login.loginWithIdToken;
    // @ts-expect-error: neither app nor bridge
    new PinsealLogin({});
    return status;
  };
});
