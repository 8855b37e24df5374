/** The PIN pad. Digits are bytes that are zeroed, never text: text can be neither erased nor kept out of a browser's memory. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Text } from "../i18n/text.ts";
import { padIsOpen } from "../platform/clock.ts";
import { Icon } from "./icons.tsx";

const DIGITS_MIN = 6;
const DIGITS_MAX = 8;
const ZERO = 0x30;
const KEYS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0];

interface PinPadProps {
  readonly t: Text;
  readonly isShuffled: boolean;
  /** No digit is taken. */
  readonly isClosed: boolean;
  /** What was typed is not taken yet. */
  readonly isHeld: boolean;
  readonly onPin: (digits: Uint8Array) => void;
}

export function PinPad({ t, isShuffled, isClosed, isHeld, onPin }: PinPadProps) {
  const digits = useRef(new Uint8Array(DIGITS_MAX));
  // Keys come faster than the page is drawn, so the count that counts is not the drawn one.
  const typed = useRef(0);
  const [count, setDrawn] = useState(0);
  const setCount = (next: number) => {
    typed.current = next;
    setDrawn(next);
  };
  const order = useMemo(() => (isShuffled ? shuffle(KEYS) : KEYS), [isShuffled]);
  useEffect(() => () => void digits.current.fill(0), []);

  const press = (digit: number) => {
    if (isClosed || typed.current === DIGITS_MAX) return;
    digits.current[typed.current] = ZERO + digit;
    setCount(typed.current + 1);
  };
  const erase = () => {
    if (typed.current === 0) return;
    digits.current[typed.current - 1] = 0;
    setCount(typed.current - 1);
  };
  const confirm = () => {
    if (isClosed || isHeld || typed.current < DIGITS_MIN) return;
    const pin = digits.current.slice(0, typed.current);
    digits.current.fill(0);
    setCount(0);
    onPin(pin);
  };
  useEffect(() => {
    if (!isClosed) padIsOpen();
  }, [isClosed]);
  // Digits are taken wherever the focus is, so that nobody has to find the right place first.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (/^[0-9]$/.test(event.key)) press(Number(event.key));
      else if (event.key === "Backspace") erase();
      else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) confirm();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });

  const key = (digit: number) => (
    <button key={digit} type="button" class="key" disabled={isClosed} onClick={() => press(digit)} data-digit={digit}>
      {digit}
    </button>
  );
  return (
    <div class="pad">
      <div class="dots" aria-hidden="true">
        {Array.from({ length: DIGITS_MAX }, (_, at) => (
          <span key={`${at}`} class={at < count ? "full" : at < DIGITS_MIN ? "" : "spare"} />
        ))}
      </div>
      <p class="unseen" role="status">
        {count > 0 ? t("pad.count", { count }) : ""}
      </p>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for inputs, and there is none on purpose. */}
      <div class="keys" role="group" aria-label={t("pad.keys")}>
        {order.slice(0, 9).map(key)}
        <button type="button" class="key quiet" onClick={erase} aria-label={t("pad.delete")} disabled={isClosed}>
          <Icon name="delete" />
        </button>
        {key(order[9] ?? 0)}
        <button
          type="button"
          class="key confirm"
          onClick={confirm}
          aria-label={t("pad.confirm")}
          disabled={isClosed || isHeld || count < DIGITS_MIN}
        >
          <Icon name="check" />
        </button>
      </div>
    </div>
  );
}

/** Every order equally likely (Fisher and Yates). */
function shuffle(keys: readonly number[]): number[] {
  const mixed = [...keys];
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const at = below(last + 1);
    [mixed[last], mixed[at]] = [mixed[at] ?? 0, mixed[last] ?? 0];
  }
  return mixed;
}

/** A number below `end`, each equally likely. */
function below(end: number): number {
  const limit = 256 - (256 % end);
  for (;;) {
    const [byte = 0] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < limit) return byte % end;
  }
}
