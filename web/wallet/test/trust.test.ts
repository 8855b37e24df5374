/** Whom the page trusts: the images that its operator names, by evidence that AWS signed, and nobody where nothing is named. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { authenticate, toHex, verifyEvidence } from "@pinseal/client";
import { System, steps, withoutChromium, withoutPrograms } from "@pinseal/testing";
import { parseSettings } from "../src/settings.js";
import { Browser, type Person } from "./browser.js";

/** A document that AWS signed, and a second in which its certificates were good (vectors/attestation/nitro/README.md). */
const AWS = new Uint8Array(
  readFileSync(new URL("../../../../vectors/attestation/nitro/aws-eu-central-1.cose", import.meta.url)),
);
const AWS_SECONDS = 1_736_179_625;
const ROOT = Uint8Array.from(
  "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b".match(/../g) ?? [],
  (byte) => Number.parseInt(byte, 16),
);

const told = (more: object) => ({
  server: "http://127.0.0.1:1",
  app_id: "a",
  app_key: "k",
  development: false,
  ...more,
});

/** Evidence as the API gives it: `[1, [cose]]`. */
function documentOf(cose: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const head = [0x82, 0x01, 0x81, 0x59, cose.length >> 8, cose.length & 0xff];
  return Uint8Array.from([...head, ...cose]);
}

/** Registers that AWS's document states. */
async function stated(): Promise<Record<string, string>> {
  const { pcrs } = await authenticate(AWS, ROOT, AWS_SECONDS);
  return Object.fromEntries([0, 1, 2].map((index) => [`pcr${index}`, toHex(pcrs.get(index) ?? new Uint8Array())]));
}

test("the policy that the settings make judges a document that AWS signed", async () => {
  const judge = (settings: object, now = AWS_SECONDS) =>
    verifyEvidence(documentOf(AWS), parseSettings(told(settings)).policy, {
      userData: new Uint8Array(32),
      nonce: new Uint8Array(32),
      now,
      ageSecondsMax: 300,
    }).catch((error: { code: string }) => error.code);
  const images = [await stated()];
  // Genuine down to AWS's root, and no answer to anybody's question: it states no user data.
  assert.equal(await judge({ images }), "user_data_missing");
  assert.equal(await judge({ images }, AWS_SECONDS + 4 * 3600), "certificate_expired");
  assert.equal(await judge({ development: true }), "nitro_evidence_refused");
});

test("a page whose operator names an image", { skip: withoutPrograms || withoutChromium }, async (t) => {
  const step = steps(t);
  let up: System;
  let browser: Browser;
  let grace: Person;

  /** The page says this code on the screen that has no pad and asks for nothing. */
  async function refuses(code: string): Promise<void> {
    await grace.heading("Your wallet cannot be opened now");
    await grace.sees(`Code: ${code}`);
    assert.equal(await grace.page.locator(".pad").count(), 0);
  }

  before(async () => {
    up = await System.start();
    await up.halt();
    const path = join(up.directory, "pinseal-data", "host", "server.toml");
    const registers = Object.entries(await stated()).map(([name, value]) => `${name} = "${value}"`);
    const settings = readFileSync(path, "utf8").replace("development = true", "development = false");
    writeFileSync(path, `${settings}\n[[wallet_images]]\n${registers.join("\n")}\n`);
    up = await up.again();
    browser = await Browser.open();
    grace = await browser.visit(up);
  });
  after(async () => {
    await Promise.all([browser?.close(), up?.stop()]);
  });

  await step("is not talked down to software evidence", async () => {
    await grace.signUp("grace@example.org", "correct horse 2");
    await refuses("software_evidence_refused");
  });

  await step("verifies what AWS signed, and takes none of it for an answer to its own question", async () => {
    const document = toHex(documentOf(AWS));
    const honest = await browser.lie(up, "/v1/evidence", (answer) => ({ ...answer, document }));
    await grace.press("Try again");
    await refuses("certificate_expired");
    await grace.page.clock.setFixedTime(AWS_SECONDS * 1000);
    await grace.press("Try again");
    await refuses("user_data_missing");
    const forged = toHex(documentOf(AWS.with(AWS.length - 1, (AWS.at(-1) ?? 0) ^ 1) as Uint8Array<ArrayBuffer>));
    await honest();
    await browser.lie(up, "/v1/evidence", (answer) => ({ ...answer, document: forged }));
    await grace.press("Try again");
    await refuses("signature_wrong");
  });
});
