/** An error as a sentence for a person, by its exact code. */

/** What this app has words of its own for; what is not listed says its message and its code (docs/errors.md and the README of `@pinseal/core`). */
const WORDS: Readonly<Record<string, string>> = {
  closed_by_user: "You closed the wallet, so nothing was done.",
  declined: "You said no, so nothing was done.",
  connection_lost: "The wallet went away in the middle. Look at your activity there before you try again.",
  broadcast_refused:
    "It was signed and not sent. It may be sent later all the same: look at your activity before you pay again.",
  outcome_unknown: "It was signed, and whether it was sent is not known. Look at your activity before you pay again.",
  popup_blocked: "The browser blocked the wallet's window. Allow windows for this page, and try again.",
  opener_severed:
    "This page is served with Cross-Origin-Opener-Policy: same-origin, which cuts the wallet's window off. Serve it with same-origin-allow-popups.",
  origin_not_allowed: "The wallet does not know this app at this address: register it with `pinseal app add`.",
  consent_required: "You have not let this app see your wallet: connect first.",
  insufficient_funds: "There is not enough on your account.",
};

/** wagmi and viem wrap what the wallet's provider threw: the exact code is in the data of that one. */
export function inWords(error: unknown): string {
  let each = error;
  while (each instanceof Error) {
    const code = (each as { data?: { code?: unknown } }).data?.code;
    if (typeof code === "string") return `${WORDS[code] ?? each.message} (${code})`;
    each = each.cause;
  }
  const { shortMessage, message = String(error) } = error as { shortMessage?: string; message?: string };
  return shortMessage ?? message;
}
