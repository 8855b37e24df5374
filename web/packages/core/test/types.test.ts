/** What a compiler holds apps to: each request takes and gives what the table of requests says. */
import { test } from "node:test";
import { type Account, Bridge, BridgeError, type Params, type Result, type Session } from "../src/index.js";

test("requests take and give what the table says, and codes are known by name", () => {
  const bridge = new Bridge({ appId: "my-app", wallet: "https://wallet.example/" });
  bridge.on("accounts", (accounts: readonly Account[]) => accounts);
  bridge.onLost(({ code }) => code satisfies BridgeError["code"]);
  async () => {
    const session: Session = await bridge.request("login", { email: "ada@example.org" });
    const params: Params<"evm.rpc"> = { network: "eip155:1", method: "eth_blockNumber", params: [] };
    const answers: [Result<"networks">, Result<"evm.rpc">] = [
      await bridge.request("networks", {}),
      await bridge.request("evm.rpc", params),
    ];
    // @ts-expect-error: there is no such request
    await bridge.request("evm.sign", {});
    // @ts-expect-error: nor such a parameter
    await bridge.request("login", { mail: "ada@example.org" });
    // @ts-expect-error: a transaction has a sender
    await bridge.request("evm.sendTransaction", { network: "eip155:1", transaction: {} });
    // @ts-expect-error: no bigint crosses
    await bridge.request("evm.rpc", { ...params, params: [1n] });
    // @ts-expect-error: there is no such code
    new BridgeError("closed", "");
    return [session, answers];
  };
});
