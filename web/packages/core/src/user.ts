/** Who is logged in, in the shape that integrators' code has for it. */
import type { Session } from "./vocabulary.js";

/** Tokens never leave the wallet's page, so that none is here. */
export interface User {
  readonly status: "success";
  readonly userInfo: { readonly userId: string; readonly email?: string };
  readonly walletId?: string;
  readonly userStatus: { readonly loginStatus: Session["status"]; readonly pinRequired?: boolean };
}

/** A session as the wallet tells it, in that shape. */
export function userOf({ status, userId, email, walletId }: Session): User {
  return {
    status: "success",
    userInfo: { userId, ...(email !== undefined && { email }) },
    ...(walletId !== undefined && { walletId }),
    userStatus: { loginStatus: status, ...(status === "pinRequired" && { pinRequired: true }) },
  };
}
