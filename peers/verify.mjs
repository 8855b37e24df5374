// Two independent wallet libraries look at what Pinseal signed. Reads one JSON case from standard input, prints one line per check,
// exits non-zero at the first that fails. `viem` and `ethers` derive the addresses from the phrase themselves, recover every signature,
// and sign the same things themselves: RFC 6979 makes the signatures equal to the byte.
import assert from 'node:assert/strict';
import { HDNodeWallet, Transaction, verifyAuthorization, verifyMessage, verifyTypedData } from 'ethers';
import {
  keccak256, parseTransaction, recoverMessageAddress, recoverTransactionAddress, recoverTypedDataAddress, serializeSignature,
} from 'viem';
import { mnemonicToAccount } from 'viem/accounts';
import { recoverAuthorizationAddress } from 'viem/utils';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const input = JSON.parse(text);
let checks = 0;
const check = (name, actual, expected) => {
  assert.deepEqual(actual, expected, name);
  checks += 1;
  console.log(`ok ${name}`);
};

for (const [index, address] of input.addresses.entries()) {
  check(`viem derives account ${index}`, mnemonicToAccount(input.phrase, { addressIndex: index }).address, address);
  const path = `m/44'/60'/0'/0/${index}`;
  check(`ethers derives account ${index}`, HDNodeWallet.fromPhrase(input.phrase, '', path).address, address);
}
const [first] = input.addresses;
const account = mnemonicToAccount(input.phrase);
const wallet = HDNodeWallet.fromPhrase(input.phrase, '', "m/44'/60'/0'/0/0");

for (const { message, signature } of input.messages) {
  check('viem recovers EIP-191', await recoverMessageAddress({ message, signature }), first);
  check('ethers recovers EIP-191', verifyMessage(message, signature), first);
  check('viem signs the same EIP-191', await account.signMessage({ message }), signature);
}

for (const { json, signature } of input.typedData) {
  const { EIP712Domain: _, ...types } = json.types;
  check('viem recovers EIP-712', await recoverTypedDataAddress({ ...json, signature }), first);
  check('ethers recovers EIP-712', verifyTypedData(json.domain, types, json.message, signature), first);
  check('viem signs the same EIP-712', await account.signTypedData(json), signature);
  check('ethers signs the same EIP-712', await wallet.signTypedData(json.domain, types, json.message), signature);
}

for (const { type, raw, hash } of input.transactions) {
  const parsed = parseTransaction(raw);
  check(`viem parses ${type}`, parsed.type, type);
  check(`viem recovers ${type}`, await recoverTransactionAddress({ serializedTransaction: raw }), first);
  check(`viem hashes ${type}`, keccak256(raw), hash);
  const other = Transaction.from(raw);
  check(`ethers recovers ${type}`, other.from, first);
  check(`ethers hashes ${type}`, other.hash, hash);
  const { r, s, v, yParity, ...unsigned } = parsed;
  check(`viem signs the same ${type}`, await account.signTransaction(unsigned), raw);
}

for (const { chainId, address, nonce, r, s, yParity } of input.authorizations) {
  const authorization = { chainId, address, nonce, r, s, yParity };
  check('viem recovers EIP-7702', await recoverAuthorizationAddress({ authorization }), first);
  const signature = serializeSignature({ r, s, yParity });
  check('ethers recovers EIP-7702', verifyAuthorization({ chainId, address, nonce }, signature), first);
  const own = await account.signAuthorization({ chainId, address, nonce });
  check('viem signs the same EIP-7702', [own.r, own.s, own.yParity], [r, s, yParity]);
}

assert.ok(checks > 0);
console.log(`${checks} checks passed`);
