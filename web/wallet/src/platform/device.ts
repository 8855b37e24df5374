/** A name by which an owner tells devices apart. */

import { toHex } from "@pinseal/client";

/** "Firefox on Windows 1f3a", at most 32 bytes; the last part tells two alike devices apart. */
export function deviceLabel(): string {
  const agent = navigator.userAgent;
  const find = (names: readonly (readonly [RegExp, string])[]) => names.find(([form]) => form.test(agent))?.[1];
  const browser = find([
    [/Firefox\//, "Firefox"],
    [/Edg\//, "Edge"],
    [/OPR\//, "Opera"],
    [/Chrom(e|ium)\//, "Chrome"],
    [/Safari\//, "Safari"],
  ]);
  const system = find([
    [/Android/, "Android"],
    [/iPhone|iPad/, "iOS"],
    [/Windows/, "Windows"],
    [/Mac OS/, "macOS"],
    [/Linux/, "Linux"],
  ]);
  const mark = toHex(crypto.getRandomValues(new Uint8Array(2)));
  return `${browser ?? "Browser"} on ${system ?? "device"} ${mark}`;
}
