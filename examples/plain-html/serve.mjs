// Serves the app on this machine, beside a running `pinseal up`; `--help` says how. A real app is built by whatever tool its team likes, and
// registered once: what to take from here are the headers (../serving.mjs).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { serve } from "../serving.mjs";

const WEB = new URL("../../web/", import.meta.url);
const file = (name) => readFileSync(new URL(name, import.meta.url), "utf8");

/** The page's script with the packages in it, from their sources. */
function bundle() {
  const { buildSync } = createRequire(WEB)("esbuild");
  const alias = ["core", "provider", "sdk"].map((name) => [
    `@pinseal/${name}`,
    fileURLToPath(new URL(`packages/${name}/src/index.ts`, WEB)),
  ]);
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL("app.js", import.meta.url))],
    alias: Object.fromEntries(alias),
    nodePaths: [fileURLToPath(new URL("node_modules", WEB))],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return outputFiles[0].text;
}

await serve({
  folder: "plain-html",
  name: "Egg shop (example)",
  build: () => ({
    files: {
      "/": ["text/html", file("index.html")],
      "/app.js": ["text/javascript", bundle()],
      "/style.css": ["text/css", file("style.css")],
    },
  }),
});
