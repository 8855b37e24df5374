/** Foreign text made safe to show. */

/**
 * Control characters, zero-width and direction characters, line and paragraph separators, tags, fillers and non-characters. A fixed
 * list, so that every implementation has the same one.
 */
const HIDDEN: readonly (readonly [number, number])[] = [
  [0x0, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x2800, 0x2800],
  [0x3164, 0x3164],
  [0xfe00, 0xfe0e],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xfffb],
  [0xfffe, 0xffff],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff],
  [0xf0000, 0x10ffff],
];

const SHORT: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Escapes what does not show or changes how the rest is read, and the backslash, so that no two texts look alike for it. */
export function escapeText(text: string): string {
  return Array.from(text, (character) => {
    const short = SHORT[character];
    if (short !== undefined) return short;
    return isHidden(character) ? `\\u{${character.codePointAt(0)?.toString(16)}}` : character;
  }).join("");
}

/** As {@link escapeText}, with line breaks kept, for text of several lines. */
export function escapeLines(text: string): string {
  return text.split("\n").map(escapeText).join("\n");
}

/** Whether a character other than a line break or a tab is hidden. */
export function hasHidden(text: string): boolean {
  return Array.from(text.replace(/[\n\r\t]/g, "")).some(isHidden);
}

function isHidden(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return HIDDEN.some(([first, last]) => code >= first && code <= last);
}
