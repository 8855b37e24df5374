/** What is asked, before the PIN has become a factor. */

import type { Bytes } from "../bytes.js";
import type { Argon2 } from "../pin/argon2.js";
import type { NewPin, Pin } from "../pin/pin.js";
import type { Receipt } from "../profile/profile.js";
import type { BeginReply } from "../protocol/begin.js";
import type { LoggedWrite } from "../protocol/history.js";
import type { Intent } from "../protocol/intent.js";
import type { PinParameters } from "../protocol/pin.js";
import type { Refusal } from "../protocol/refusal.js";
import type { Request } from "../protocol/request.js";
import { FaultError, RefusedError } from "./error.js";

/** One operation with the PINs it takes. */
export type Ask =
  | { readonly kind: "register_prepare"; readonly pin: NewPin; readonly words: 12 | 24; readonly label: string }
  | { readonly kind: "register_confirm"; readonly pin: Pin }
  | { readonly kind: "verify_pin"; readonly pin: Pin }
  | { readonly kind: "sign"; readonly pin: Pin; readonly intents: readonly Intent[] }
  | { readonly kind: "change_pin_prepare"; readonly pin: Pin; readonly newPin: NewPin }
  | { readonly kind: "change_pin_confirm"; readonly pin: Pin }
  | { readonly kind: "enrol_device"; readonly pin: Pin; readonly label: string }
  | { readonly kind: "revoke_device"; readonly pin: Pin; readonly device: Bytes }
  | { readonly kind: "clear_tries"; readonly pin: Pin }
  | { readonly kind: "status" }
  | { readonly kind: "list_accounts"; readonly accounts: readonly number[] }
  | { readonly kind: "accept_restore"; readonly restores: number }
  /** `seen`: the receipt that the writes were proved against, none for no writes. */
  | { readonly kind: "open_history"; readonly writes: readonly LoggedWrite[]; readonly seen?: Receipt };

/**
 * Computes the PIN factors under the parameters of a believed begin reply. What the signed reply already excludes is refused here,
 * without the wait.
 */
export async function requestOf(ask: Ask, begin: BeginReply, deployment: Bytes, argon2: Argon2): Promise<Request> {
  const factor = async (pin: Pin, parameters: PinParameters | undefined, absent: Refusal): Promise<Bytes> => {
    if (parameters === undefined) throw new RefusedError(absent);
    const found = await pin.factor(argon2, parameters, deployment, begin.wallet);
    if (found === undefined) throw new FaultError("pin_factor");
    return found;
  };
  const current = (pin: Pin) => factor(pin, begin.current, "wallet_missing");
  const pending = (pin: Pin) => factor(pin, begin.pending, "nothing_pending");
  switch (ask.kind) {
    case "register_prepare":
      if (begin.state === "active") throw new RefusedError("wallet_exists");
      return { ...ask, pin: await factor(ask.pin.pin, begin.next, "wallet_exists") };
    case "register_confirm":
    case "change_pin_confirm":
      return { kind: ask.kind, pin: await pending(ask.pin) };
    case "change_pin_prepare": {
      const pin = await current(ask.pin);
      return { kind: ask.kind, pin, newPin: await factor(ask.newPin.pin, begin.next, "nothing_pending") };
    }
    case "sign":
      return { kind: ask.kind, pin: await current(ask.pin), intents: [...ask.intents] };
    case "status":
      return { kind: ask.kind };
    case "accept_restore":
      return { kind: ask.kind, restores: ask.restores };
    case "open_history":
      return { kind: ask.kind, writes: [...ask.writes] };
    case "list_accounts":
      return { kind: ask.kind, accounts: [...ask.accounts] };
    default:
      return { ...ask, pin: await current(ask.pin) };
  }
}

/** Zeroes the PIN factors of a request that was sealed. */
export function erase(request: Request): void {
  if ("pin" in request) request.pin.fill(0);
  if ("newPin" in request) request.newPin.fill(0);
}
