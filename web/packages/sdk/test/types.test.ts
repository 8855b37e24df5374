/** What a compiler holds apps to: the names and shapes that integrators know, and nothing of what this widget does not give. */
import { test } from "node:test";
import { type Account, PinsealSDK, popup, type Status, type User } from "../src/index.js";

test("the widget's types are those that integrators know, and what is not there does not compile", () => {
  const sdk = new PinsealSDK({ appId: "my-app", wallet: "https://wallet.example/", transport: popup });
  async () => {
    await sdk.init({ defaultLanguage: "ko" });
    const status: Status = await sdk.getStatus();
    const { userInfo, userStatus, walletId }: User = await sdk.loginWithUI({ email: "ada@example.org" });
    const said: "complete" | "pinRequired" | "registerRequired" = userStatus.loginStatus;
    const email: string | undefined = userInfo.email;
    const [account]: readonly Account[] = await sdk.getAccounts({ networks: ["ethereum"], withEoa: true });
    if (account === undefined) return undefined;
    const flags: [string | undefined, boolean | undefined] = [account.contract, account.isAA];
    const { txId }: { readonly txId: string } = await sdk.send({ account, txData: { to: "0x", amount: "0.25" } });
    const [balance] = await sdk.getBalance([account]);
    const amounts: (string | undefined)[] = [balance?.balance, balance?.tokens[0]?.balance];
    sdk.on("sent", ({ account, txId }) => [account.address, txId.length]);
    sdk.on("statusChanged", (now: Status) => now);
    const { address }: Account = await sdk.receive(account);

    // @ts-expect-error: tokens never leave the wallet
    userInfo.token;
    // @ts-expect-error: an amount as a number would be rounded
    await sdk.send({ account, txData: { to: "0x", amount: 0.25 } });
    // @ts-expect-error: whoever misses a status is told
    const wrong: "login" | "before_login" = status;
    // @ts-expect-error: there is no such event
    sdk.on("loggedIn", () => undefined);
    // @ts-expect-error: a page has no key
    new PinsealSDK({ appId: "my-app", appKey: "key", wallet: "https://wallet.example/" });
    // @ts-expect-error: an account without its network is none
    await sdk.receive({ address });
    return [said, email, walletId, flags, txId, amounts, wrong];
  };
});
