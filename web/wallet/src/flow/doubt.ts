/** What a host was caught at: a history that does not hold. Kept over reloads, by user, until it shows one that does. */

const STORAGE_KEY = "pinseal doubts";
/** As many users of one browser as are remembered at once; the oldest goes first. */
const USERS_MAX = 16;

/** How many attempts have to be shown, proved, before this user's PIN is asked for again; `undefined`: nothing is in doubt. */
export function doubtOf(user: string): number | undefined {
  const attempts = new Map(read()).get(user);
  return Number.isSafeInteger(attempts) && (attempts as number) > 0 ? (attempts as number) : undefined;
}

/** Nothing that this user's host shows is believed until so many attempts are proved. */
export function raiseDoubt(user: string, attempts: number): void {
  const others = read().filter(([known]) => known !== user);
  write([...others, [user, Math.max(attempts, doubtOf(user) ?? 0)]]);
}

/** So many attempts were proved; `Infinity` for all there ever were. */
export function settleDoubt(user: string, attempts: number): void {
  if (attempts >= (doubtOf(user) ?? Number.POSITIVE_INFINITY)) write(read().filter(([known]) => known !== user));
}

/** Where storage fails a doubt lasts as long as the page. */
let unstored: [string, unknown][] | undefined;

function read(): [string, unknown][] {
  if (unstored !== undefined) return unstored;
  try {
    const json: unknown = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]");
    return Array.isArray(json) ? json.filter((one) => Array.isArray(one) && typeof one[0] === "string") : [];
  } catch {
    return [];
  }
}

function write(doubts: [string, unknown][]): void {
  const kept = doubts.slice(-USERS_MAX);
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(kept));
  } catch {
    unstored = kept;
  }
}
