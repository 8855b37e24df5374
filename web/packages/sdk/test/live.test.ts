/** The widget against the real system: enclave, server, EVM node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HeadlessWallet, page } from "@pinseal/headless";
import { getProvider } from "@pinseal/provider";
import { System, withoutPrograms } from "@pinseal/testing";
import { PinsealSDK } from "../src/index.js";

const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

test("the widget against the real system", { skip: withoutPrograms }, async (t) => {
  const up = await System.start({ node: true });
  const wallet = new HeadlessWallet(up);
  const stage = page(wallet.answer);
  const sdk = new PinsealSDK(stage.options);
  t.after(async () => {
    sdk.finalize();
    stage.stop();
    await up.stop();
  });
  const network = "eip155:31337";

  await t.test("from nobody to a wallet: login, PIN, account", async () => {
    await sdk.init();
    assert.equal(await sdk.getStatus(), "before_login");
    const user = await sdk.loginWithUI();
    assert.equal(user.userStatus.pinRequired, true);
    assert.equal(await sdk.getStatus(), "login_before_register");
    assert.equal((await sdk.register()).userStatus.loginStatus, "complete");
    assert.equal(await sdk.getStatus(), "login");
    assert.deepEqual(await sdk.getLoginSession(), await sdk.loginWithUI());
  });

  await t.test("a transfer is mined, and the balance says so to the last digit", async () => {
    const [account] = await sdk.getAccounts({ networks: [network] });
    assert.ok(account);
    await up.node("anvil_setBalance", [account.address, "0x8ac7230489e80000"]);
    const { txId } = await sdk.send({ account, txData: { to: TO, amount: "0.250000000000000001" } });
    await wallet.client.networks.settled(network, txId);
    const result = await up.node("eth_getTransactionByHash", [txId]);
    assert.equal((result as { value: string }).value, `0x${250000000000000001n.toString(16)}`);
    const [balance] = await sdk.getBalance([account]);
    const left = await up.node("eth_getBalance", [account.address, "latest"]);
    assert.equal(BigInt(balance?.balance.replace(".", "") ?? 0), BigInt(left as string));
    assert.equal(
      await getProvider(sdk.bridge, network).request({ method: "eth_accounts" }).then(String),
      account.address,
    );
  });

  await t.test("logout reaches the server: the session that there was is refused from then on", async () => {
    const profile = await wallet.client.profile();
    await sdk.logout();
    assert.equal(await sdk.getStatus(), "before_login");
    await assert.rejects(sdk.getAccounts(), (error: { code?: string }) => error.code === "login_required");
    // Somebody who has kept the session gets nothing for it.
    await wallet.store.exclusive(({ save }) => save(profile));
    await assert.rejects(wallet.client.login.me(), (error: { code?: string }) => error.code === "session_revoked");
  });
});
