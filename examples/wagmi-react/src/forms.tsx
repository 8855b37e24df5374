/** What is signed: a message, an order as typed data, a payment. */
import { type ReactNode, useState } from "react";
import { type Address, getAddress, type Hex, parseEther, recoverMessageAddress, recoverTypedDataAddress } from "viem";
import { useConfig, useSendTransaction, useSignMessage, useSignTypedData } from "wagmi";
import { waitForTransactionReceipt } from "wagmi/actions";
import type { Act } from "./app.tsx";

interface FormProps {
  readonly act: Act;
  readonly account: Address;
}

/** EIP-712: what an order of this app is, for whoever checks the signature. */
const ORDER = {
  domain: { name: "Egg orders", version: "1", chainId: 31337 },
  types: {
    Order: [
      { name: "eggs", type: "uint256" },
      { name: "note", type: "string" },
    ],
  },
  primaryType: "Order",
} as const;

/** A back end does the same, and so knows who asks. */
async function said(signer: Promise<Address>, account: Address, signature: Hex): Promise<string> {
  if ((await signer) !== account) throw new Error("the signature is not this account's");
  return `Signed by ${account}:\n${signature}`;
}

export function Message({ act, account }: FormProps): ReactNode {
  const [message, setMessage] = useState("I would like twelve eggs.");
  const { mutateAsync: sign } = useSignMessage();
  const press = act(async () => {
    const signature = await sign({ message });
    return said(recoverMessageAddress({ message, signature }), account, signature);
  });
  return (
    <section>
      <h2>Sign a message</h2>
      <label>
        Message
        <textarea rows={3} value={message} onChange={(event) => setMessage(event.target.value)} />
      </label>
      <button type="button" onClick={press}>
        Sign message
      </button>
    </section>
  );
}

export function Order({ act, account }: FormProps): ReactNode {
  const [eggs, setEggs] = useState("12");
  const { mutateAsync: sign } = useSignTypedData();
  const press = act(async () => {
    const order = { ...ORDER, message: { eggs: BigInt(eggs), note: "by noon" } };
    const signature = await sign(order);
    return said(recoverTypedDataAddress({ ...order, signature }), account, signature);
  });
  return (
    <section>
      <h2>Sign an order</h2>
      <label>
        Eggs
        <input inputMode="numeric" value={eggs} onChange={(event) => setEggs(event.target.value)} />
      </label>
      <button type="button" onClick={press}>
        Sign order
      </button>
    </section>
  );
}

export function Payment({ act, onMined }: { act: Act; onMined: () => unknown }): ReactNode {
  const [to, setTo] = useState("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
  const config = useConfig();
  const { mutateAsync: send } = useSendTransaction();
  const press = act(async () => {
    const hash = await send({ to: getAddress(to.trim()), value: parseEther("0.001") });
    const { blockNumber, status } = await waitForTransactionReceipt(config, { hash });
    onMined();
    if (status !== "success") throw new Error(`${hash} was reverted in block ${blockNumber}`);
    return `In block ${blockNumber}:\n${hash}`;
  });
  return (
    <section>
      <h2>Pay</h2>
      <label>
        To
        <input spellCheck={false} autoComplete="off" value={to} onChange={(event) => setTo(event.target.value)} />
      </label>
      <button type="button" onClick={press}>
        Pay 0.001 test coins
      </button>
    </section>
  );
}
