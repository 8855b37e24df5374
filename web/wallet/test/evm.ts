/** What apps ask to have signed, in tests. */

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

/** ERC-20 `approve` of everything there ever is. */
export const unlimitedApproval = (spender: string) =>
  `0x095ea7b3${spender.slice(2).padStart(64, "0")}${"f".repeat(64)}`;
