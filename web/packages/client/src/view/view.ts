/** What the user is shown: deterministic plain data, the same in every implementation (vectors/decode). */

import type { Bytes } from "../bytes.js";
import { checksum } from "../evm/address.js";
import { english, type Sentence, type SentenceKey, sentence, type Value } from "./sentences.js";

/** A network's own currency. Decimals never come from the host, which could shift the point of what a person approves. */
export interface Native {
  readonly symbol: string;
  readonly decimals: number;
}

/** A token whose symbol and decimals are known from a list that the caller trusts. */
export interface Token {
  readonly chain: bigint;
  /** Its contract, in its EIP-55 spelling. */
  readonly address: string;
  readonly symbol: string;
  readonly decimals: number;
}

/** What the view may know beyond the intent. */
export interface Context {
  readonly native: Native;
  /** Known tokens; amounts of all others are shown in raw units. */
  readonly tokens: readonly Token[];
}

/** What an intent is, for icons and texts of the UI's own. */
export type ViewKind =
  | "value_transfer"
  | "token_transfer"
  | "token_approval"
  | "approval_for_all"
  | "nft_transfer"
  | "permit"
  | "contract_creation"
  | "contract_call"
  | "delegation"
  | "message"
  | "typed_data";

/** Why to think twice, for texts of the UI's own. */
export type WarningCode =
  | "approval"
  | "unlimited_approval"
  | "approval_for_all"
  | "permit"
  | "lost_funds"
  | "value_with_call"
  | "contract_creation"
  | "unknown_call"
  | "malformed_call"
  | "extra_calldata"
  | "delegation"
  | "any_chain"
  | "chain_mismatch"
  | "unknown_data"
  | "no_chain"
  | "opaque_message"
  | "hidden_characters";

/** Something about an intent that its reader should think about first. */
export interface Warning {
  readonly code: WarningCode;
  /** `danger` can cost everything and is shown before anything else. */
  readonly severity: "caution" | "danger";
  readonly text: string;
}

/** What an intent means, read from the very bytes that will be signed. */
export interface View {
  readonly kind: ViewKind;
  /** One short line. */
  readonly title: string;
  /** What happens, one sentence a line. */
  readonly summary: readonly string[];
  /** The details, in order; values are safe to show. */
  readonly fields: readonly { readonly label: string; readonly value: string }[];
  /** What to think about first, in order. */
  readonly warnings: readonly Warning[];
  /** Title, summary and the warnings' texts once more, for other languages. */
  readonly words: {
    readonly title: Sentence;
    readonly summary: readonly Sentence[];
    /** In the order of the warnings. */
    readonly warnings: readonly Sentence[];
  };
}

type Values = Readonly<Record<string, Value>>;

/** A view under construction. */
export class Draft {
  kind: ViewKind;
  title: Sentence;
  warnings: (Omit<Warning, "text"> & { readonly words: Sentence })[] = [];
  readonly #summary: Sentence[] = [];
  readonly #fields: { label: string; value: string }[] = [];

  constructor(kind: ViewKind, title: SentenceKey, values?: Values) {
    this.kind = kind;
    this.title = sentence(title, values);
  }

  say(key: SentenceKey, values?: Values): void {
    this.#summary.push(sentence(key, values));
  }

  field(label: string, value: string): void {
    this.#fields.push({ label, value });
  }

  caution(code: WarningCode, key: SentenceKey, values?: Values): void {
    this.warnings.push({ code, severity: "caution", words: sentence(key, values) });
  }

  danger(code: WarningCode, key: SentenceKey, values?: Values): void {
    this.warnings.push({ code, severity: "danger", words: sentence(key, values) });
  }

  /** As plain data. */
  done(): View {
    const { kind, title, warnings } = this;
    return {
      kind,
      title: english(title),
      summary: this.#summary.map(english),
      fields: this.#fields,
      warnings: warnings.map(({ code, severity, words }) => ({ code, severity, text: english(words) })),
      words: { title, summary: this.#summary, warnings: warnings.map(({ words }) => words) },
    };
  }
}

export function tokenAt({ tokens }: Context, chain: bigint, address: Bytes): Token | undefined {
  const spelled = checksum(address);
  return tokens.find((token) => token.chain === chain && token.address.toLowerCase() === spelled.toLowerCase());
}

/** CAIP-2. */
export function chainName(chain: bigint): string {
  return `eip155:${chain}`;
}
