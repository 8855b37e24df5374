/** The PIN: read, judged, and turned into its factor on this device alone. */

import type { Bytes } from "../bytes.js";
import { labelledHash } from "../crypto/kdf.js";
import { PinsealError } from "../errors.js";
import { isAcceptable, type PinParameters } from "../protocol/pin.js";
import type { Argon2 } from "./argon2.js";

/** Fewest digits. */
export const DIGITS_MIN = 6;
/** Most digits; more are written down instead of remembered. */
export const DIGITS_MAX = 8;

/**
 * PINs that people choose so often that a thief tries them first; beside them every PIN of one digit, every straight run and every
 * short repeat is refused by rule.
 */
const COMMON_PINS =
  "159753 159357 147258 258456 147852 789456 456789 741852 852456 112233 332211 445566 102030 142536 246810 314159 271828 520520 " +
  "131313 101010 696969 420420 123654 147369 123789 987123 321654 123987 520131 201314 110110 007007 11223344 44332211 12341234 " +
  "14725836 31415926 27182818 10203040 13572468 24681357 20202020 12312312";

/** A PIN is not taken. Nothing was sent or charged; ask the person again. */
export class PinError extends PinsealError {
  constructor(code: "pin_form" | "pin_weak" | "pin_erased") {
    const texts = {
      pin_form: `a PIN has ${DIGITS_MIN} to ${DIGITS_MAX} digits`,
      pin_weak: "this PIN is too easy to guess; choose another",
      pin_erased: "this PIN was erased after its use",
    };
    super(code, texts[code]);
  }
}

/**
 * A PIN as typed; never sent. Its digits are bytes that {@link Pin.erase} zeroes. Text cannot be zeroed in JavaScript: whoever wants
 * no copy to stay collects the digits as bytes.
 */
export class Pin {
  #digits: Bytes;

  private constructor(digits: Bytes) {
    this.#digits = digits;
  }

  /** Reads 6 to 8 ASCII digits; a byte array is zeroed. Throws {@link PinError}. */
  static parse(typed: string | Uint8Array): Pin {
    const digits =
      typeof typed === "string" ? Uint8Array.from(typed, (character) => character.codePointAt(0) ?? 0) : typed.slice();
    if (typeof typed !== "string") typed.fill(0);
    const isAscii = typeof typed !== "string" || /^[0-9]*$/.test(typed);
    const isForm =
      digits.length >= DIGITS_MIN && digits.length <= DIGITS_MAX && digits.every((b) => b >= 0x30 && b <= 0x39);
    if (!isAscii || !isForm) {
      digits.fill(0);
      throw new PinError("pin_form");
    }
    return new Pin(digits);
  }

  /** True if the PIN may not be set. */
  get isWeak(): boolean {
    const digits = this.#digits;
    const step = (by: number) =>
      digits.every((b, at) => at === 0 || ((digits[at - 1] ?? 0) - 0x30 + by) % 10 === b - 0x30);
    const repeats = (length: number) => digits.every((b, at) => b === digits[at % length]);
    const isCommon = COMMON_PINS.split(" ").some(
      (common) => common.length === digits.length && digits.every((b, at) => b === common.charCodeAt(at)),
    );
    // One digit throughout, 1234.. and 9876.. (also across 9 and 0), abab.. and abcabc.
    return step(0) || step(1) || step(9) || repeats(2) || repeats(3) || isCommon;
  }

  /** Zeroes the digits; the PIN cannot be used any more. */
  erase(): void {
    this.#digits.fill(0);
    this.#digits = new Uint8Array(0);
  }

  /** S = Argon2id(PIN). `undefined` if the parameters lie outside the accepted range or the memory is not there. */
  async factor(
    argon2: Argon2,
    parameters: PinParameters,
    deployment: Bytes,
    wallet: Bytes,
  ): Promise<Bytes | undefined> {
    if (this.#digits.length === 0) throw new PinError("pin_erased");
    if (!isAcceptable(parameters.argon2)) return undefined;
    const salt = await labelledHash("pinseal pin salt v1", [deployment, wallet, parameters.salt]);
    const digits = this.#digits.slice();
    try {
      const factor = await argon2({ digits, salt, parameters: parameters.argon2 });
      return factor?.length === 32 ? factor : undefined;
    } finally {
      digits.fill(0);
    }
  }

  /** Never the digits. */
  toString(): string {
    return "Pin(..)";
  }

  /** Never the digits. */
  toJSON(): string {
    return "Pin(..)";
  }
}

/** A PIN that may be set: not among the first a thief would try. */
export class NewPin {
  readonly pin: Pin;

  private constructor(pin: Pin) {
    this.pin = pin;
  }

  /** Throws {@link PinError} with code `pin_weak`. */
  static choose(pin: Pin): NewPin {
    if (pin.isWeak) throw new PinError("pin_weak");
    return new NewPin(pin);
  }
}
