/** A wallet's page for the tests in Chromium: a person approves and closes with buttons. */
import { WalletEnd } from "../../src/wallet/index.js";

const query = new URLSearchParams(location.search);
const waiting: ((signature: string) => void)[] = [];

function button(name: string, onclick: () => void): void {
  document.body.append(Object.assign(document.createElement("button"), { textContent: name, onclick }));
}

if (query.get("app") !== "mute") {
  const end = new WalletEnd({
    allow: async (_app, origin) => new URL(origin).hostname === "shop.localhost",
    answer: (async (method: string) => {
      if (method === "status") return { status: "login" };
      end.show(true);
      return new Promise((approve) => waiting.push(approve));
    }) as never,
    onEnd: () => window.close(),
  });
  button("Approve", () => {
    for (const approve of waiting.splice(0)) approve(`0x${"ab".repeat(65)}`);
    end.show(false);
  });
  button("Close", () => end.closedByUser());
  // One that has handed over something says nothing more.
  let isOut = false;
  button("Send", () => {
    isOut = true;
  });
  addEventListener("pagehide", () => isOut || parent !== window || end.closedByUser());
}
