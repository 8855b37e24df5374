/** An app with a wallet: log in, see the account, sign, pay, log out. */
import { frame, popup } from "@pinseal/core";
import { getProvider } from "@pinseal/provider";
import { PinsealSDK } from "@pinseal/sdk";
import { recoverMessageAddress } from "viem";
import { inWords } from "./errors.js";

/** The chain that `pinseal up` starts for development. */
const NETWORK = "eip155:31337";

const at = (id) => document.getElementById(id);
const { app, wallet, way } = document.documentElement.dataset;
// Below the wallet's own site a frame, from any other site a window: browsers give a frame of another site no storage.
const sdk = new PinsealSDK({ appId: app, wallet, transport: way === "popup" ? popup : frame });
let account;

/** Says what came of a click. */
function tell(text, isWrong = false) {
  at("told").textContent = text;
  at("told").classList.toggle("wrong", isWrong);
}

/** What a button does; nothing else can be asked while it works. */
function act(work) {
  return async () => {
    const buttons = [...document.querySelectorAll("main button")];
    for (const button of buttons) button.disabled = true;
    tell("");
    try {
      tell((await work()) ?? "");
    } catch (error) {
      tell(inWords(error), true);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  };
}

function show(isIn) {
  at("out").hidden = isIn;
  at("in").hidden = !isIn;
}

/** Asks what needs no person. A wallet that lives in a window is opened for it, which only a click may do, and closed again. */
async function reach(work) {
  const opens = sdk.bridge.needsClick;
  if (opens) await sdk.openWidget();
  await work();
  if (opens) await sdk.closeWidget();
}

async function look() {
  [account] = await sdk.getAccounts({ networks: [NETWORK] });
  const { userInfo } = await sdk.getLoginSession();
  if (account === undefined) throw new Error("the wallet has no account on the development chain");
  const [held] = await sdk.getBalance([account]);
  at("who").textContent = userInfo.email ?? userInfo.userId;
  at("account").textContent = account.address;
  at("balance").textContent = held === undefined ? "not known now" : `${held.balance} ${held.symbol}`;
  show(true);
}

const acts = {
  async login() {
    const { userStatus } = await sdk.loginWithUI();
    if (userStatus.loginStatus !== "complete") await sdk.register();
    await look();
  },
  refresh: () => reach(look),
  async receive() {
    await sdk.receive(account);
  },
  async sign() {
    const message = at("message").value;
    const bytes = [...new TextEncoder().encode(message)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    // With the account that is known, so that a wallet in a window is opened by the signature itself.
    const provider = getProvider(sdk.bridge, NETWORK, { accounts: [account.address] });
    try {
      const signature = await provider.request({ method: "personal_sign", params: [`0x${bytes}`, account.address] });
      // A back end does the same with a nonce of its own in the message, and then knows who asks.
      const signer = await recoverMessageAddress({ message, signature });
      if (signer !== account.address) throw new Error("the signature is not this account's");
      return `Signed by ${signer}:\n${signature}`;
    } finally {
      provider.destroy();
    }
  },
  async send() {
    const { txId } = await sdk.send({ account, txData: { to: at("to").value.trim(), amount: "0.001" } });
    await look();
    return `Sent: ${txId}`;
  },
  async logout() {
    await reach(() => sdk.logout());
    show(false);
    return "Logged out.";
  },
};
for (const [id, work] of Object.entries(acts)) at(id).onclick = act(work);

// The wallet tells when its user logs out there, or takes this app's permission back.
sdk.on("statusChanged", (status) => status !== "login" && show(false));
await act(async () => {
  await sdk.init();
  if ((await sdk.getStatus()) === "login") await look();
})();
