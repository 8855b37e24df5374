/** How the examples are served on this machine, beside a running `pinseal up`: registered once, and with the headers a page with a wallet should have. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const OPTIONS = {
  data: { type: "string", default: "pinseal-data" },
  wallet: { type: "string", default: "http://wallet.localhost:8787" },
  popup: { type: "boolean", default: false },
  port: { type: "string", default: "3000" },
  host: { type: "string" },
  app: { type: "string" },
  "opener-policy": { type: "string", default: "same-origin-allow-popups" },
  pinseal: { type: "string", default: "pinseal" },
  help: { type: "boolean", short: "h", default: false },
};

const help = (folder, more) => `Serve the example app beside a running \`pinseal up\`

Usage: node examples/${folder}/serve.mjs [OPTIONS]

Options:
      --data <DIR>      Data directory of the deployment [default: pinseal-data]
      --wallet <URL>    Where the wallet page is, as \`pinseal up\` names it [default: http://wallet.localhost:8787]
      --popup           Open the wallet in a window of its own, as an app on a site of its own has to
      --port <PORT>     Port of the app; 0 takes a free one [default: 3000]
      --host <NAME>     Name of the app [default: one on the wallet's site; with --popup: eggs.localhost]
      --app <APP_ID>    An app that is registered already; without it, one is registered
      --opener-policy <POLICY>
                        The page's Cross-Origin-Opener-Policy [default: same-origin-allow-popups; with --popup,
                        same-origin shows what a wallet says that is cut off]
      --pinseal <PATH>  The program that registers it [default: pinseal]
${more}  -h, --help            Print help
`;

/**
 * Serves one example and prints its address. `build(settings)` gives the files by path, each with its type, and the hosts beside its own that the page
 * asks; in the page `{{app}}`, `{{wallet}}`, `{{way}}` and every option of the example's own are filled in.
 */
export async function serve({ folder, name, options = {}, usage = "", build }) {
  const { values } = parseArgs({ options: { ...OPTIONS, ...options } });
  if (values.help) {
    process.stdout.write(help(folder, usage));
    return;
  }
  const wallet = new URL(values.wallet).origin;
  const host = values.host ?? (values.popup ? "eggs.localhost" : hostBeside(new URL(wallet).hostname));
  const { files, hosts = [] } = await build(values);
  const server = createServer();
  server.listen(Number(values.port), "127.0.0.1");
  await once(server, "listening");
  const origin = `http://${host}:${server.address().port}`;
  const app = values.app ?? register(values, name, origin);
  const filled = { ...values, app, wallet, way: values.popup ? "popup" : "frame" };
  const [type, html] = files["/"];
  files["/"] = [type, html.replace(/\{\{(\w+)\}\}/g, (_, each) => filled[each])];
  const headers = headersOf(wallet, hosts, values["opener-policy"]);
  server.on("request", ({ method, url, headers: { host: named } }, response) => {
    const isHere = named === new URL(origin).host;
    const path = url.split("?")[0];
    const file = isHere && ["GET", "HEAD"].includes(method) && Object.hasOwn(files, path) ? files[path] : undefined;
    const type = file === undefined ? "text/plain" : `${file[0]}; charset=utf-8`;
    response.writeHead(file === undefined ? (isHere ? 404 : 421) : 200, { ...headers, "content-type": type });
    response.end(method === "HEAD" ? undefined : (file?.[1] ?? "not here\n"));
  });
  process.stdout.write(`${origin}\n`);
}

function headersOf(wallet, hosts, openerPolicy) {
  return {
    "content-security-policy": [
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:",
      `connect-src ${["'self'", ...hosts].join(" ")}; frame-src ${wallet}`,
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ].join("; "),
    // `same-origin` would cut a wallet in a window of its own off.
    "cross-origin-opener-policy": openerPolicy,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  };
}

/** A name on the wallet's site, where its frame keeps its session: browsers give a frame of another site no storage. */
function hostBeside(name) {
  const site = name.replace(/^wallet\./, "");
  return site.includes(".") ? site : `shop.${name}`;
}

/** The App ID under which the wallet knows this origin. Its keys are for calls of the API, which the examples make none of. */
function register(values, name, origin) {
  const known = pinseal(values, "app", "list").items.find((each) => each.name === name);
  if (known === undefined) return pinseal(values, "app", "create", "--name", name, "--origin", origin).app_id;
  if (!known.keys.some(({ bound_to }) => bound_to === origin)) {
    pinseal(values, "app", "add", "--app", known.app_id, "--origin", origin);
  }
  return known.app_id;
}

function pinseal({ data, pinseal: program }, ...args) {
  const all = [...args, "--data", data, "--json"];
  const { error, status, stderr, stdout } = spawnSync(program, all, { encoding: "utf8" });
  if (error === undefined && status === 0) return JSON.parse(stdout);
  const why = error?.code === "ENOENT" ? "it is not on the path; --pinseal says where it is" : (stderr ?? error).trim();
  process.stderr.write(`${program} ${all.join(" ")}: ${why}\n`);
  process.exit(1);
}
