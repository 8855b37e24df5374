import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { openCommitted } from "../src/crypto/aead.js";
import { verifyEd25519 } from "../src/crypto/ed25519.js";
import { setupSender } from "../src/crypto/hpke.js";
import { labelledHash } from "../src/crypto/kdf.js";
import { isConsistent } from "../src/protocol/consistency.js";
import { isIncluded } from "../src/protocol/log.js";
import { KIND_COSIGNATURE, KIND_ED25519, readNote, verifierKey } from "../src/protocol/note.js";
import { hex, vectors } from "./vectors.js";

test("HPKE gives the bytes of RFC 9180", async () => {
  type Case = Record<"info" | "ikmE" | "pkRm" | "enc", string> & {
    encryptions: Record<"aad" | "ct" | "nonce" | "pt", string>[];
    exports: { exporter_context: string; L: number; exported_value: string }[];
  };
  const { cases } = vectors<{ cases: Case[] }>("protocol/rfc9180.json");
  for (const vector of cases) {
    const sender = await setupSender(hex(vector.pkRm), hex(vector.info), hex(vector.ikmE));
    assert.equal(toHex(sender.enc), vector.enc);
    const [first] = vector.encryptions;
    assert.ok(first);
    assert.equal(toHex(await sender.seal(hex(first.aad), hex(first.pt))), first.ct);
    for (const { exporter_context, L, exported_value } of vector.exports) {
      assert.equal(L, 32);
      assert.equal(toHex(await sender.export(hex(exporter_context))), exported_value);
    }
  }
});

test("the committing AEAD opens its vectors and nothing else", async () => {
  type Case = Record<"name" | "key" | "info" | "aad" | "plaintext" | "sealed", string>;
  for (const { name, key, info, aad, plaintext, sealed } of vectors<{ cases: Case[] }>("protocol/aead.json").cases) {
    const opened = await openCommitted(hex(key), hex(info), hex(aad), hex(sealed));
    assert.equal(opened && toHex(opened), plaintext, name);
    for (let at = 0; at < hex(sealed).length; at += 1) {
      const changed = hex(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.equal(await openCommitted(hex(key), hex(info), hex(aad), changed), undefined, `${name}, byte ${at}`);
    }
    assert.equal(await openCommitted(hex(key), hex(`${info}00`), hex(aad), hex(sealed)), undefined);
    assert.equal(await openCommitted(hex(key), hex(info), hex(`${aad}00`), hex(sealed)), undefined);
  }
});

test("labelled hashes are those of the protocol", async () => {
  const { label, parts, hash } = vectors<{ label: string; parts: string[]; hash: string }>("protocol/kdf.json");
  assert.equal(toHex(await labelledHash(label, parts.map(hex))), hash);
});

test("Ed25519 is that of RFC 8032", async () => {
  type Case = Record<"public" | "message" | "signature", string>;
  const { cases } = vectors<{ cases: Case[] }>("protocol/rfc8032.json");
  assert.ok(cases.length > 0);
  for (const vector of cases) {
    assert.equal(await verifyEd25519(hex(vector.public), hex(vector.message), hex(vector.signature)), true);
    const changed = hex(vector.signature);
    changed[0] = (changed[0] ?? 0) ^ 1;
    assert.equal(await verifyEd25519(hex(vector.public), hex(vector.message), changed), false);
  }
});

test("inclusion proofs are those of RFC 6962", async () => {
  type Proof = { index: number; size: number; path: string[] };
  const file = vectors<{ leaves: string[]; roots: string[]; inclusion: Proof[] }>("protocol/rfc6962.json");
  assert.ok(file.inclusion.length > 0);
  for (const { index, size, path } of file.inclusion) {
    const tree = { size: BigInt(size), root: hex(file.roots[size - 1] ?? "") };
    const [leaf, nodes] = [hex(file.leaves[index] ?? ""), path.map(hex)];
    assert.equal(await isIncluded(leaf, BigInt(index), tree, nodes), true, `${index} ${size}`);
    const other = Uint8Array.from([...leaf, 0]);
    assert.equal(await isIncluded(other, BigInt(index), tree, nodes), false);
    for (const wrong of [-1, index + 1, index ^ 1, size, size + 1])
      if (wrong !== index) assert.equal(await isIncluded(leaf, BigInt(wrong), tree, nodes), false, `${wrong}`);
    assert.equal(await isIncluded(leaf, BigInt(index), tree, [...nodes, tree.root]), false);
    for (const node of nodes) {
      node[7] = (node[7] ?? 0) ^ 1;
      assert.equal(await isIncluded(leaf, BigInt(index), tree, nodes), false);
      node[7] = (node[7] ?? 0) ^ 1;
    }
    if (nodes.length > 0) assert.equal(await isIncluded(leaf, BigInt(index), tree, nodes.slice(1)), false);
  }
});

test("consistency proofs are those of RFC 6962", async () => {
  type Proof = { old_size: number; new_size: number; path: string[] };
  const file = vectors<{ empty_root: string; roots: string[]; consistency: Proof[] }>("protocol/rfc6962.json");
  const tree = (size: number) => ({
    size: BigInt(size),
    root: hex(size === 0 ? file.empty_root : (file.roots[size - 1] ?? "")),
  });
  for (const { old_size, new_size, path } of file.consistency) {
    const nodes = path.map(hex);
    assert.equal(await isConsistent(tree(old_size), tree(new_size), nodes), true, `${old_size} ${new_size}`);
    const other = tree(new_size);
    other.root[0] = (other.root[0] ?? 0) ^ 1;
    assert.equal(await isConsistent(tree(old_size), other, nodes), false);
    const forked = tree(old_size);
    forked.root[31] = (forked.root[31] ?? 0) ^ 1;
    assert.equal(await isConsistent(forked, tree(new_size), nodes), false);
    assert.equal(await isConsistent(tree(old_size), tree(new_size), [...nodes, hex(file.empty_root)]), false);
  }
  // As in Rust: nothing follows from an empty tree, whatever its root is said to be.
  for (const root of [hex(file.empty_root), new Uint8Array(32)]) {
    const empty = { size: 0n, root };
    assert.equal(await isConsistent(empty, empty, []), false);
    assert.equal(await isConsistent(empty, tree(file.consistency[0]?.new_size ?? 1), []), false);
  }
});

test("notes and verifier keys are those of C2SP", async () => {
  type Key = { text: string; name: string; note: string };
  const { verifier_key } = vectors<{ verifier_key: Key }>("protocol/cosignature.json");
  const material = atob(verifier_key.text.split("+").slice(2).join("+"));
  const bytes = Uint8Array.from(material, (character) => character.charCodeAt(0));
  assert.equal(bytes[0], KIND_ED25519);
  assert.equal(await verifierKey(verifier_key.name, KIND_ED25519, bytes.slice(1)), verifier_key.text);
  assert.notEqual(await verifierKey(verifier_key.name, KIND_COSIGNATURE, bytes.slice(1)), verifier_key.text);
  const note = readNote(new TextEncoder().encode(verifier_key.note));
  assert.ok(note?.signatures[0]);
  assert.equal(
    await verifyEd25519(bytes.slice(1), new TextEncoder().encode(note.text), note.signatures[0].signature),
    true,
  );
});
