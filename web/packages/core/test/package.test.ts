import { test } from "node:test";
import { runWithoutPage, weigh } from "@pinseal/testing";

const ROOT = new URL("../../", import.meta.url);
/** The app's end, compressed: less than half of what core and provider may cost together. */
const BYTES_MAX = 6_000;

test("the app's end stays within its size, and has nothing of Node's, no console and no storage in it", () => {
  const contents = `export * from ${JSON.stringify(new URL("dist/index.js", ROOT).pathname)};`;
  weigh(ROOT, contents, { bytesMin: 1_000, bytesMax: BYTES_MAX });
});

test("importing either end on a server touches nothing, and a request there is a typed error", () => {
  runWithoutPage(
    ROOT,
    ["document", "window", "navigator", "MessageChannel"],
    `
    const { Bridge } = await import(${JSON.stringify(new URL("dist/index.js", ROOT).href)});
    await import(${JSON.stringify(new URL("dist/wallet/index.js", ROOT).href)});
    const bridge = new Bridge({ appId: "a", wallet: "https://wallet.example" });
    const code = await bridge.request("status", {}).catch((error) => error.code);
    if (code !== "no_page") throw new Error(code);
  `,
  );
});
