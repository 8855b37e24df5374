/** What an app's page holds in the tests in Chromium. */
import { Bridge, frame, popup } from "../../src/index.js";

/** What a frame beside it could know at best. */
addEventListener("message", ({ data }) => data?.pinseal === "hello" && Object.assign(globalThis, { load: data.load }));
const query = new URLSearchParams(location.search);
const bridge = new Bridge({
  appId: query.get("app") ?? "shop",
  wallet: query.get("wallet") ?? "",
  transport: query.has("popup") ? popup : frame,
});
const MESSAGE = { network: "eip155:1", address: `0x${"11".repeat(20)}`, message: "0x68" };

/** The result, or the error's code. */
async function ask(method: "status" | "login" | "sign"): Promise<unknown> {
  try {
    if (method === "sign") return await bridge.request("evm.signMessage", MESSAGE);
    return await bridge.request(method, {});
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const asked: unknown[] = [];
const button = document.createElement("button");
button.textContent = "Ask";
button.onclick = () => {
  const index = asked.push("waits") - 1;
  void ask("sign").then((outcome) => {
    asked[index] = outcome;
  });
};
document.body.append(button);
if (query.has("now")) asked.push(await ask("login"));
Object.assign(globalThis, { bridge, ask, asked });
