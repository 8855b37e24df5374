/** The view of a personal message. */

import { type Bytes, fromUtf8, toHex } from "../bytes.js";
import { accountPath } from "../protocol/intent.js";
import { escapeLines, hasHidden } from "./text.js";
import { Draft } from "./view.js";

export function viewMessage(message: Bytes, account: number): Draft {
  const view = new Draft("message", "message_title");
  view.field("Account", accountPath(account));
  view.field("Length", `${message.length} bytes`);
  const text = fromUtf8(message);
  // A message of which nothing shows is better read as bytes.
  if (text === undefined || !/[^\p{Cc}\p{White_Space}]/u.test(text) || isRawHash(message)) {
    view.say("message_bytes");
    view.field("Message (hex)", `0x${toHex(message)}`);
    warnOpaque(view);
    return view;
  }
  view.say("message_text");
  view.field("Message", escapeLines(text));
  if (hasHidden(text)) view.danger("hidden_characters", "message_hidden");
  // 32 bytes spelled in hex.
  if (/^(0x)?[0-9a-fA-F]{64}$/.test(text)) warnOpaque(view);
  return view;
}

function warnOpaque(view: Draft): void {
  view.danger("opaque_message", "message_opaque");
}

/** 32 bytes that are valid UTF-8 by chance at most. */
function isRawHash(message: Bytes): boolean {
  return message.length === 32 && !message.every((byte) => byte >= 0x20 && byte <= 0x7e);
}
