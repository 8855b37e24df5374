/** What apps ask to have signed, and what is on the chain, in tests. */

import type { System } from "@pinseal/testing";

/** EIP-2612: lets somebody take a thousand of the smallest unit. */
export const permit = (owner: string, spender: string, chainId: number) => ({
  types: {
    EIP712Domain: [
      { name: "name", type: "string" },
      { name: "version", type: "string" },
      { name: "chainId", type: "uint256" },
      { name: "verifyingContract", type: "address" },
    ],
    Permit: [
      { name: "owner", type: "address" },
      { name: "spender", type: "address" },
      { name: "value", type: "uint256" },
      { name: "nonce", type: "uint256" },
      { name: "deadline", type: "uint256" },
    ],
  },
  primaryType: "Permit",
  domain: { name: "Coin", version: "1", chainId, verifyingContract: "0x5FbDB2315678afecb367f032d93F642f64180aa3" },
  message: { owner, spender, value: "1000", nonce: "0", deadline: "1893456000" },
});

/** A token in EVM code: balances in storage (slot = holder), 6 decimals, symbol TST, and `transfer` without checks. */
function tokenCode(): string {
  const bodies = [
    ["70a08231", "5b600435545f5260205ff3"],
    ["313ce567", "5b60065f5260205ff3"],
    ["95d89b41", "5b60205f5260036020526254535460e81b60405260605ff3"],
    ["a9059cbb", "5b602435803354033355600435805482019055600160005260205ff3"],
  ] as const;
  const start = "5f3560e01c";
  // For each: DUP1 PUSH4 selector EQ PUSH1 target JUMPI; then PUSH0 PUSH0 REVERT.
  let target = start.length / 2 + bodies.length * 10 + 3;
  const jumps = bodies.map(([selector, body]) => {
    const jump = `8063${selector}1460${target.toString(16).padStart(2, "0")}57`;
    target += body.length / 2;
    return jump;
  });
  return `0x${start}${jumps.join("")}5f5ffd${bodies.map(([, body]) => body).join("")}`;
}

/** Where tests put it on the local chain. */
export const TOKEN = `0x${"70".repeat(20)}`;
/** The operator's settings, the token listed. */
export const withToken = (settings: string) => `${settings}
[[tokens]]
network = "eip155:31337"
contract = "${TOKEN}"
symbol = "TST"
decimals = 6
`;

/** Puts it there, with this many of its smallest unit for somebody. */
export async function mint(up: System, holder: string, units: number): Promise<void> {
  await up.node("anvil_setCode", [TOKEN, tokenCode()]);
  await up.node("anvil_setStorageAt", [TOKEN, slotOf(holder), wordOf(units)]);
}

export const wordOf = (units: number) => `0x${units.toString(16).padStart(64, "0")}`;

/** Where that code keeps what somebody holds. */
export const slotOf = (holder: string) => `0x${holder.slice(2).toLowerCase().padStart(64, "0")}`;

/** ERC-20 `approve` of everything there ever is. */
export const unlimitedApproval = (spender: string) =>
  `0x095ea7b3${spender.slice(2).padStart(64, "0")}${"f".repeat(64)}`;
