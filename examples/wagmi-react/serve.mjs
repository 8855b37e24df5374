// Builds the app with Vite and serves it on this machine, beside a running `pinseal up`; `--help` says how. What a real app takes from here are the
// headers (../serving.mjs).
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { serve } from "../serving.mjs";
import config from "./vite.config.mjs";

const WEB = new URL("../../web/package.json", import.meta.url);
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css" };

/** Every file of the app by its path. */
async function built() {
  const { build } = await import(pathToFileURL(createRequire(WEB).resolve("vite")).href);
  const { output } = await build({
    ...config,
    configFile: false,
    logLevel: "error",
    build: { ...config.build, write: false },
  });
  return Object.fromEntries(
    output.map(({ fileName, code, source }) => [
      fileName === "index.html" ? "/" : `/${fileName}`,
      [TYPES[fileName.split(".").at(-1)], code ?? source.toString()],
    ]),
  );
}

await serve({
  folder: "wagmi-react",
  name: "Egg orders (example)",
  options: { node: { type: "string", default: "http://127.0.0.1:8545" } },
  usage: "      --node <URL>      The chain's node [default: http://127.0.0.1:8545, which `pinseal up` starts]\n",
  build: async ({ node }) => ({ files: await built(), hosts: [new URL(node).origin] }),
});
