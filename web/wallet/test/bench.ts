/** Measures the page in Chromium: from open to a PIN pad that takes digits, and from the confirmed PIN to the signature. Prints one table. */

import { System } from "@pinseal/testing";
import { Browser, type Person } from "./browser.js";
import { PAD_MILLISECONDS_MAX, padOnSlowProcessor, THROTTLE } from "./slow.js";

const ROUNDS = 20;
const PIN = "482915";
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** Nobody does as much in a minute by hand. */
const lifted = (settings: string) => settings.replace(/^(requests_(?:per_user_)?per_minute) = .*$/gm, "$1 = 1_000_000");

type Sample = Record<string, number>;

/** Milliseconds since the page was opened at which its pad took digits, and what steps and requests took since `since`. */
async function read({ page }: Person, since = 0): Promise<Sample> {
  return (await page.evaluate(`(() => {
    const all = performance.getEntries().filter(({ startTime }) => startTime >= ${since});
    const sum = (test) => all.filter(test).reduce((total, { duration }) => total + duration, 0);
    const step = (name) => sum((entry) => entry.entryType === "measure" && entry.name === "pinseal " + name);
    const request = (path) => sum((entry) => entry.entryType === "resource" && new URL(entry.name).pathname === path);
    return {
      now: performance.now(),
      pad: performance.getEntriesByName("pinseal pad").at(-1)?.startTime ?? NaN,
      evidence: step("evidence"), argon2id: step("argon2id"), answer: step("answer"),
      begin: request("/v1/wallet/begin"), sealed: request("/v1/wallet/sealed"),
      requests: sum((entry) => entry.entryType === "resource" && new URL(entry.name).pathname.startsWith("/v1/")),
    };
  })()`)) as Sample;
}

/** Opens the page anew and has the pad opened as soon as that can be asked for. */
async function open(person: Person): Promise<Sample> {
  await person.page.goto("about:blank");
  await person.page.goto(`${person.up.page}/#/settings`);
  await person.press("Change PIN");
  await person.page.locator(".key:not(:disabled)").first().waitFor();
  const sample = await read(person);
  await person.press("Cancel");
  await person.done();
  return sample;
}

/** Sends a little; what lies between the confirmed PIN and the signature. */
async function sign(person: Person): Promise<Sample> {
  await person.tab("Home");
  await person.press("Send");
  await person.sees(/up to/);
  await person.fill("To", TO);
  await person.fill("Amount", "0.001");
  await person.press("Review");
  await person.press("Approve with PIN");
  await person.page.locator(".key:not(:disabled)").first().waitFor();
  const { now } = await read(person);
  await person.pin("Enter your PIN", PIN);
  await person.page.locator("[data-status]").first().waitFor();
  const sample = await read(person, now);
  await person.press("Done");
  return sample;
}

function p50(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const sorted = samples.map(of).sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const up = await System.start({ node: true, settings: lifted });
const browser = await Browser.open();
try {
  const person = await browser.visit(up);
  await person.signUp("bench@example.org", "correct horse 9");
  await person.create(PIN);
  await up.node("anvil_setBalance", [await person.address(), `0x${(10n ** 20n).toString(16)}`]);
  const [opened, signed, slow]: [Sample[], Sample[], Sample[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    opened.push(await open(person));
    signed.push(await sign(person));
    slow.push({ throttled: await padOnSlowProcessor(person) });
  }
  const part = (samples: readonly Sample[], name: string) => p50(samples, (sample) => sample[name] ?? Number.NaN);
  const rows: readonly (readonly [string, number])[] = [
    ["**open to a pad that takes digits**", part(opened, "pad")],
    ["of it evidence, fetched and verified (twice: wallet, pad)", part(opened, "evidence")],
    ["of it requests, the evidence's included", part(opened, "requests")],
    ["**confirmed PIN to signature**", part(signed, "answer")],
    ["of it Argon2id (64 MiB, 3 passes) in its worker", part(signed, "argon2id")],
    ["of it `begin`: network, host and enclave", part(signed, "begin")],
    ["of it the sealed request: network, host, enclave, two commits", part(signed, "sealed")],
    [
      "of it the page: sealing, opening, checking",
      p50(signed, ({ answer = 0, argon2id = 0, begin = 0, sealed = 0 }) => answer - argon2id - begin - sealed),
    ],
    [`**pad asked for to pad that takes digits, ${THROTTLE}x slower**`, part(slow, "throttled")],
  ];
  say(`| p50 of ${ROUNDS} | ms |\n|---|---|`);
  for (const [name, milliseconds] of rows) say(`| ${name} | ${milliseconds.toFixed(1)} |`);
  const isMet = part(slow, "throttled") <= PAD_MILLISECONDS_MAX;
  say(`\nbudget of ${PAD_MILLISECONDS_MAX} ms at ${THROTTLE}x: ${isMet ? "met" : "falls short"}`);
  if (!isMet) process.exitCode = 1;
} finally {
  await browser.close();
  await up.stop();
}
