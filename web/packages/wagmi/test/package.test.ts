import assert from "node:assert/strict";
import { test } from "node:test";
import { example, exampleBody, runWithoutPage, weigh } from "@pinseal/testing";

const ROOT = new URL("../../", import.meta.url);
/** The connector with core and provider, compressed, beside wagmi and viem which the app has. */
const BYTES_MAX = 16_000;

test("the connector stays within its size, and brings neither wagmi nor viem", () => {
  const contents = `import { pinseal } from "@pinseal/wagmi"; globalThis.x = pinseal;`;
  const external = ["viem", "@wagmi/core"];
  const code = weigh(ROOT, contents, { bytesMin: 5_000, bytesMax: BYTES_MAX, external });
  assert.doesNotMatch(code, /@wagmi/);
});

test("the example of the README is made on a server as it stands, and touches nothing there", () => {
  const imports =
    example(ROOT)
      .match(/^import .*$/gm)
      ?.join("\n") ?? "";
  const body = exampleBody(ROOT).replace("export const", "const");
  runWithoutPage(
    ROOT,
    ["document", "MessageChannel"],
    `${imports}
    ${body}
    const [connector] = config.connectors;
    if (connector.id !== "pinseal" || (await connector.getChainId()) !== 1) throw new Error(connector.id);
    if (await connector.isAuthorized()) throw new Error("authorized");
  `,
  );
});
