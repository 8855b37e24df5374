import type { Bytes } from "../../bytes.js";
import { DOMAIN } from "./schema.js";
import type { TypedData, Value } from "./value.js";

/** What the domain says; every field may be absent. */
export interface Domain {
  readonly name?: string;
  readonly version?: string;
  readonly chainId?: bigint;
  readonly verifyingContract?: Bytes;
  readonly salt?: Bytes;
}

/** The schema allows the standard's names and types only. */
export function domainOf({ schema, domain }: TypedData): Domain {
  const fields = schema.get(DOMAIN)?.fields ?? [];
  return Object.fromEntries(fields.map(({ name }, at): [string, Value | undefined] => [name, domain[at]]));
}
