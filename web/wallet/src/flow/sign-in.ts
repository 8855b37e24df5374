/** Messages that sign somebody in at a site (ERC-4361): an app may ask for one to itself; one to another site makes whoever asks be its user there. */

/** Characters of a site's name that are shown. */
const SITE_MAX = 80;
/** Characters of the first line that are looked at: no site takes more before the words, and an app may send any number. */
const LINE_MAX = 1_000;
const FIRST_LINE = /^\s*(.*?)\s*wants you to sign in with your\b/i;

/**
 * The site that the message signs in at, where that is not the one that asks; its text is the app's, with what does not show as "?". Undefined
 * for any other message. A scheme that is named counts, and so does a port.
 */
export function signsInElsewhere(message: Uint8Array, origin: string): string | undefined {
  const [line = ""] = new TextDecoder().decode(message).trimStart().split(/\r|\n/, 1);
  const named = FIRST_LINE.exec(line.slice(0, LINE_MAX))?.[1];
  if (named === undefined) return undefined;
  const { host } = new URL(origin);
  if (named === host || named === origin) return undefined;
  const shown = (named || "?").replace(/[^\x21-\x7e]/gu, "?");
  return shown.length > SITE_MAX ? `${shown.slice(0, SITE_MAX)}...` : shown;
}
