/** The names that integrators' code has for networks, beside their CAIP-2 ids. */
const NAMES: Readonly<Record<string, string>> = {
  ethereum: "eip155:1",
  "evmeth-sepolia": "eip155:11155111",
  klaytn: "eip155:8217",
  "klaytn-testnet": "eip155:1001",
  kaia: "eip155:8217",
  "kaia-testnet": "eip155:1001",
  evmsongbird: "eip155:19",
  evmpolygon: "eip155:137",
  "evmpolygon-amoy": "eip155:80002",
  "evmoasys-games": "eip155:248",
  "evmoasys-games-testnet": "eip155:9372",
  evmxpla: "eip155:37",
  "evmxpla-testnet": "eip155:47",
  "evmxpla-verse": "eip155:7300",
  "evmxpla-verse-testnet": "eip155:2225",
  "evmtime-elizabeth": "eip155:2731",
  evmbsc: "eip155:56",
  "evmbsc-testnet": "eip155:97",
  evmopbnb: "eip155:204",
  "evmopbnb-testnet": "eip155:5611",
  "evmopencampus-testnet": "eip155:656476",
  "evmavax-c-chain": "eip155:43114",
  evmvery: "eip155:4613",
  solana: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
  "solana-devnet": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
};

/** The CAIP-2 id behind a name, in any case; an id is itself. Undefined for what is neither. */
export function networkId(name: string): string | undefined {
  if (typeof name !== "string") return undefined;
  if (/^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,64}$/.test(name)) return name;
  const known = name.toLowerCase();
  return Object.hasOwn(NAMES, known) ? NAMES[known] : undefined;
}
