// Serves the app on this machine, beside a running `pinseal up`; `--help` says how. A real app is built by whatever tool its team likes, and
// registered once: what to take from here are the headers.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Serve the example app beside a running \`pinseal up\`

Usage: node examples/plain-html/serve.mjs [OPTIONS]

Options:
      --data <DIR>      Data directory of the deployment [default: pinseal-data]
      --wallet <URL>    Where the wallet page is, as \`pinseal up\` names it [default: http://wallet.localhost:8787]
      --port <PORT>     Port of the app; 0 takes a free one [default: 3000]
      --host <NAME>     Name of the app, on the wallet's site [default: shop.NAME, of a wallet at NAME; or
                        SITE, of a wallet at wallet.SITE.localhost]
      --app <APP_ID>    An app that is registered already; without it, one is registered
      --pinseal <PATH>  The program that registers it [default: pinseal]
  -h, --help            Print help
`;
const APP_NAME = "Egg shop (example)";
const WEB = new URL("../../web/", import.meta.url);

const { values } = parseArgs({
  options: {
    data: { type: "string", default: "pinseal-data" },
    wallet: { type: "string", default: "http://wallet.localhost:8787" },
    port: { type: "string", default: "3000" },
    host: { type: "string" },
    app: { type: "string" },
    pinseal: { type: "string", default: "pinseal" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit();
}
const wallet = new URL(values.wallet).origin;
const host = values.host ?? hostBeside(new URL(wallet).hostname);

/** A name on the wallet's site, where its frame keeps its session: browsers give a frame of another site no storage. */
function hostBeside(name) {
  const site = name.replace(/^wallet\./, "");
  return site.includes(".") ? site : `shop.${name}`;
}

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

function pinseal(...args) {
  const all = [...args, "--data", values.data, "--json"];
  const { error, status, stderr, stdout } = spawnSync(values.pinseal, all, { encoding: "utf8" });
  if (error === undefined && status === 0) return JSON.parse(stdout);
  const why = error?.code === "ENOENT" ? "it is not on the path; --pinseal says where it is" : (stderr ?? error).trim();
  process.stderr.write(`${values.pinseal} ${all.join(" ")}: ${why}\n`);
  process.exit(1);
}

/** The App ID under which the wallet knows this origin. Its keys are for calls of the API, which this app makes none of. */
function register(origin) {
  const known = pinseal("app", "list").items.find(({ name }) => name === APP_NAME);
  if (known === undefined) return pinseal("app", "create", "--name", APP_NAME, "--origin", origin).app_id;
  if (!known.keys.some(({ bound_to }) => bound_to === origin)) {
    pinseal("app", "add", "--app", known.app_id, "--origin", origin);
  }
  return known.app_id;
}

const files = {
  "/app.js": ["text/javascript", bundle()],
  "/style.css": ["text/css", readFileSync(new URL("style.css", import.meta.url))],
};
const headers = {
  "content-security-policy": [
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'",
    `frame-src ${wallet}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  ].join("; "),
  // Not `same-origin`, which would cut a wallet in a window of its own off.
  "cross-origin-opener-policy": "same-origin-allow-popups",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

const server = createServer();
server.listen(Number(values.port), "127.0.0.1");
await once(server, "listening");
const origin = `http://${host}:${server.address().port}`;
const app = values.app ?? register(origin);
const html = readFileSync(new URL("index.html", import.meta.url), "utf8");
files["/"] = ["text/html", html.replace("{{app}}", app).replace("{{wallet}}", wallet)];
server.on("request", ({ method, url, headers: { host: named } }, response) => {
  const isHere = named === new URL(origin).host;
  const path = url.split("?")[0];
  const file = isHere && ["GET", "HEAD"].includes(method) && Object.hasOwn(files, path) ? files[path] : undefined;
  const type = file === undefined ? "text/plain" : `${file[0]}; charset=utf-8`;
  response.writeHead(file === undefined ? (isHere ? 404 : 421) : 200, { ...headers, "content-type": type });
  response.end(method === "HEAD" ? undefined : (file?.[1] ?? "not here\n"));
});
process.stdout.write(`${origin}\n`);
