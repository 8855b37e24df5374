/** Every sentence that a view says, by key: in English here, in other languages in the user interface. */

export const SENTENCES = {
  // Amounts and times within a sentence.
  units_of_token: "{value} units of token {token}",
  units_or_nft: "{value} units, or the NFT {value}, of token {token}",
  token_at: "token {token}",
  up_to: "up to {amount}",
  unlimited: "unlimited {symbol}",
  unlimited_token: "unlimited token {token}",
  limit_or_nft: "{limit}, or the NFT {id}",
  until: "until {date}",
  no_deadline: "without a deadline",

  // Transactions.
  send_title: "Send {what}",
  send: "Send {what} to {to}.",
  send_from: "Send {what} from {from} to {to}.",
  zero_address: "The recipient is the zero address: what is sent there is lost.",
  own_contract: "The recipient is the token's own contract: what is sent there is mostly lost.",
  create_title: "Create a contract",
  create: "Create a contract from {bytes} bytes of code.",
  create_warning: "There is no recipient: this makes a new contract.",
  call_title: "Call a contract",
  call: "Call the contract {contract}.",
  call_value: "The call also sends {amount}.",
  call_extra: "{bytes} bytes follow the arguments; the contract may or may not read them.",
  call_malformed: "The call looks like {signature} but is not encoded as one.",
  call_unknown: "What the call {selector} does is not known.",
  bytes_unknown: "What these bytes do is not known.",
  transaction_chain: "The transaction is for {chain}, not for the chosen network {chosen}.",

  // Tokens.
  tokens_title: "Send tokens",
  allow_title: "Allow spending tokens",
  allow: "Allow {spender} to take {limit}.",
  allow_more_title: "Allow spending more tokens",
  allow_more: "Allow {spender} to take, on top of what it may already, {limit}.",
  allow_less_title: "Lower an allowance",
  allow_less: "Lower what {spender} may take by {amount}.",
  take_back_title: "Take back an allowance",
  take_back: "{spender} may no longer take {token}.",
  take_back_or_nft_title: "Take back an allowance, or allow taking an NFT",
  take_back_or_nft: "{spender} may no longer take {token}; if that is a collection, it may take the NFT 0.",
  nft_zero_warning: "{spender} can take the NFT 0 at any time, if this is a collection.",
  unlimited_warning: "No limit: {spender} can take all of this token, now and whatever comes later.",
  allowance_warning: "{spender} can take this amount at any time.",
  hand_in_title: "Hand in a permit",
  hand_in: "Hand in a signature by which {owner} lets {spender} take {limit}.",
  nft_title: "Send an NFT",
  nft: "Send the NFT {id} of {collection} from {from} to {to}.",
  multi_title: "Send collection tokens",
  multi_one: "Send {amount} units of the token {id} of {collection} from {from} to {to}.",
  multi: "Send {kinds} kinds of token of {collection} from {from} to {to}.",
  collection_title: "Allow taking a whole collection",
  collection: "Allow {operator} to take every token you hold in {collection}.",
  collection_warning: "{operator} can take every token of this collection, now and whatever comes later.",
  collection_back_title: "Take back the allowance for a collection",
  collection_back: "{operator} may no longer take your tokens in {collection}.",

  // Signatures by which somebody may take tokens.
  permit_title: "Allow spending tokens by signature",
  permit_nft: "Allow {spender} to take the NFT {id} of {collection}.",
  permit_holds: "The allowance holds {until}.",
  permit_until: "The signature can be handed in {until}.",
  permit_warning: "Nothing more is asked: whoever holds this signature can use it without a transaction of yours.",
  permit_send_title: "Send tokens by signature",

  // EIP-7702.
  delegate_title: "Hand your account over to a contract",
  undelegate_title: "Take your account back from a contract",
  delegations_title: "Hand accounts over to contracts, and send a transaction",
  your_account: "your account",
  account_at: "account {account}",
  delegate: "From now on {whose} runs the code of contract {contract}.",
  delegate_warning: "The contract {contract} gets full control of {whose}: it can move everything, now and later.",
  undelegate: "From now on {whose} runs no contract's code.",
  any_chain: "This holds on every chain at once, also on those you never used.",

  // Messages and typed data.
  message_title: "Sign a message",
  message_text: "Prove with a signature that this account agrees to the text.",
  message_bytes: "Prove with a signature that this account agrees to these bytes.",
  message_hidden:
    "The text has characters that do not show or that change the reading direction; they are shown escaped.",
  message_opaque: "What this says cannot be read: it may be the hash of anything, a contract or an order included.",
  data_title: "Sign typed data",
  data: "Sign a {type} for {application}.",
  data_nameless: "Sign a {type} for an application without a name.",
  data_permit: "The name says permit: the signature may let somebody take your tokens.",
  data_hidden: "A text has characters that do not show or that change the reading direction; they are shown escaped.",
  data_unknown: "What this signature lets others do is not known: a contract may take tokens by it.",
  data_no_chain: "The data name no chain: the signature may hold on any.",
  data_chain: "The data are for {chain}, not for the chosen network {chosen}.",
} as const;

/** Which sentence. */
export type SentenceKey = keyof typeof SENTENCES;

/** What stands in a sentence: text that is safe to show, or words of its own. */
export type Value = string | Sentence;

/** A sentence, or a part of one, before it is put into a language. */
export interface Sentence {
  readonly key: SentenceKey;
  readonly values: Readonly<Record<string, Value>>;
}

/** A sentence with what stands in it. */
export function sentence(key: SentenceKey, values: Readonly<Record<string, Value>> = {}): Sentence {
  return { key, values };
}

/** In English, as every implementation says it. */
export function english(value: Value): string {
  if (typeof value === "string") return value;
  return SENTENCES[value.key].replace(/\{(\w+)\}/g, (_, name: string) => english(value.values[name] ?? ""));
}
