/** Login against the real system: enclave and server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeadlessWallet, page } from "@pinseal/headless";
import { System, steps, withoutPrograms } from "@pinseal/testing";
import { PinsealLogin } from "../src/index.js";

test("login against the real system", { skip: withoutPrograms }, async (t) => {
  const step = steps(t);
  const up = await System.start();
  const wallet = new HeadlessWallet(up);
  const stage = page(wallet.answer);
  const login = new PinsealLogin(stage.options);
  t.after(async () => {
    login.finalize();
    stage.stop();
    await up.stop();
  });

  await step("from nobody to a user whom the server knows", async () => {
    assert.equal(await login.getStatus(), "before_login");
    assert.equal(await login.getCurrentUser(), undefined);
    const user = await login.signUpWithEmailAndPassword();
    assert.equal(user.userStatus.pinRequired, true);
    assert.deepEqual(await login.getCurrentUser(), user);
    assert.deepEqual(await login.refresh(), user);
  });

  await step("a session that the server has ended is told at the next refresh", async () => {
    const profile = await wallet.client.profile();
    const ended: unknown[] = [];
    login.on("loggedOut", (how) => ended.push(how));
    await login.bridge.request("register", {});
    await login.refresh();
    assert.equal(await login.getStatus(), "login");
    await login.logout();
    await Promise.resolve();
    assert.deepEqual(ended, [{ by: "app" }]);
    // Somebody who has kept the session gets nothing for it.
    await wallet.store.exclusive(({ save }) => save(profile));
    await assert.rejects(login.refresh(), (error: { code?: string }) => error.code === "session_revoked");
  });
});
