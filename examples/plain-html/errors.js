/** Every error as a sentence for a person, by its code; the code stays in it, for whoever is asked for help. */

const WORDS = {
  closed_by_user: "You closed the wallet, so nothing was done.",
  declined: "You said no, so nothing was done.",
  cancelled: "This was taken back.",
  finalized: "The wallet was taken away.",
  connection_lost: "The wallet went away in the middle. Look at your activity there before you try again.",
  broadcast_refused:
    "It was signed and not sent. It may be sent later all the same: look at your activity before you pay again.",
  outcome_unknown: "It was signed, and whether it was sent is not known. Look at your activity before you pay again.",
  frame_refused:
    "The browser loaded no wallet here: it is not running, or does not know this page's address (`pinseal app add`).",
  timed_out: "The wallet does not answer. Is it running?",
  popup_blocked: "The browser blocked the wallet's window. Allow windows for this page, and try again.",
  not_open: "The wallet is not open.",
  opener_severed:
    "This page is served with Cross-Origin-Opener-Policy: same-origin, which cuts the wallet's window off. Serve it with same-origin-allow-popups.",
  origin_not_allowed: "The wallet does not know this app at this address: register it with `pinseal app add`.",
  no_page: "A wallet needs a page.",
  bad_request: "This is not something the wallet can be asked: check the address.",
  bad_message: "The wallet and this page do not understand each other: their versions differ.",
  too_many_requests: "Too much at once. Wait a moment.",
  login_required: "Log in first.",
  consent_required: "You have not let this app see your wallet: log in first.",
  network_unknown: "The wallet does not have this network.",
  account_unknown: "This is not one of your accounts.",
  unsupported_method: "The wallet cannot do this.",
  unsupported_version: "The wallet is older or newer than this page.",
  node_refused: "The chain's node refused.",
  result_too_large: "The answer is too large.",
  internal_error: "The wallet failed.",
  not_initialized: "The wallet is not up yet. Load this page again.",
};

/** A provider's error has a number, and the exact code in its data. What is not listed is the server's or the enclave's: docs/errors.md. */
export function inWords(error) {
  const code = error.data?.code ?? error.code;
  if (code === undefined) return error.message;
  return `${Object.hasOwn(WORDS, code) ? WORDS[code] : error.message} (${code})`;
}
