/** Amounts as people write and read them, exactly. */

/** Longest text read: more digits than any amount has. */
const CHARS_MAX = 80;

/** `text` in the smallest unit; `undefined` for anything but digits with at most `decimals` places. */
export function parseAmount(text: string, decimals: number): bigint | undefined {
  const trimmed = text.trim();
  const [, whole, fraction = ""] = /^([0-9]+)(?:\.([0-9]+))?$/.exec(trimmed) ?? [];
  if (whole === undefined || trimmed.length > CHARS_MAX || fraction.length > decimals) return undefined;
  return BigInt(whole + fraction.padEnd(decimals, "0"));
}

/** `value / 10^decimals`, without trailing zeros. */
export function formatAmount(value: bigint, decimals: number): string {
  const digits = value.toString().padStart(decimals + 1, "0");
  const point = digits.length - decimals;
  const fraction = digits.slice(point).replace(/0+$/, "");
  return fraction === "" ? digits.slice(0, point) : `${digits.slice(0, point)}.${fraction}`;
}

/** A bound that nothing exceeds: at most eight places, rounded up. */
export function atMost(value: bigint, decimals: number): string {
  const step = 10n ** BigInt(Math.max(0, decimals - 8));
  return formatAmount(((value + step - 1n) / step) * step, decimals);
}

/** For a glance: at most six places, cut off and never rounded up. Not for what is approved. */
export function glance(value: bigint, decimals: number): string {
  const [whole = "", fraction = ""] = formatAmount(value, decimals).split(".");
  const places = fraction.slice(0, 6).replace(/0+$/, "");
  const isDust = value > 0n && places === "" && /^0*$/.test(whole);
  if (isDust) return "< 0.000001";
  return grouped(places === "" ? whole : `${whole}.${places}`);
}

/** An amount to be read, its whole part in groups of three. What is typed has no groups. */
export function grouped(amount: string): string {
  return amount.replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
}
