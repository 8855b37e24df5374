// A real EVM node judges what Pinseal signed. Reads {rpc, from, transactions: [{type, raw, hash}]} from standard input, sends each in
// order, waits for its receipt and checks type, sender and status. Exits non-zero at the first that fails.
import assert from 'node:assert/strict';
import { createPublicClient, http } from 'viem';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { rpc, from, transactions } = JSON.parse(text);
const client = createPublicClient({ transport: http(rpc), pollingInterval: 50 });

for (const { type, raw, hash } of transactions) {
  assert.equal(await client.request({ method: 'eth_sendRawTransaction', params: [raw] }), hash, `${type}: hash`);
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: 20_000 });
  assert.equal(receipt.status, 'success', `${type}: status`);
  assert.equal(receipt.from, from.toLowerCase(), `${type}: sender`);
  assert.equal(receipt.type, type, `${type}: type`);
  console.log(`ok ${type} in block ${receipt.blockNumber}`);
}
console.log(`${transactions.length} transactions mined`);
