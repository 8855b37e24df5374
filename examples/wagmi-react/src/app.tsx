/** Connect, see the account, sign, pay, disconnect: wagmi's own hooks, with nothing in them that is special to this wallet. */
import { type ReactNode, useState } from "react";
import { formatEther } from "viem";
import { useBalance, useConnect, useConnection, useConnectors, useDisconnect } from "wagmi";
import { inWords } from "./errors.ts";
import { Message, Order, Payment } from "./forms.tsx";

/** Runs what a button does, and keeps what came of it; nothing else can be asked meanwhile. */
export type Act = (work: () => Promise<string | undefined>) => () => Promise<void>;

export function App(): ReactNode {
  const { status } = useConnection();
  const [told, setTold] = useState({ text: "", isWrong: false });
  const [isBusy, setBusy] = useState(false);
  const act: Act = (work) => async () => {
    setBusy(true);
    setTold({ text: "", isWrong: false });
    try {
      setTold({ text: (await work()) ?? "", isWrong: false });
    } catch (error) {
      setTold({ text: inWords(error), isWrong: true });
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <h1>Egg orders</h1>
      <p className="lead">
        React and wagmi. The wallet is a page of its own, so this one never sees a PIN, a key or a token.
      </p>
      <fieldset disabled={isBusy}>
        {status === "connected" ? <Connected act={act} /> : <Connect act={act} isLooking={status === "reconnecting"} />}
      </fieldset>
      <p role="status" className={told.isWrong ? "wrong" : ""}>
        {told.text}
      </p>
    </>
  );
}

function Connect({ act, isLooking }: { act: Act; isLooking: boolean }): ReactNode {
  const [connector] = useConnectors();
  const { mutateAsync: connect } = useConnect();
  if (isLooking) return <p className="lead">Looking for your wallet…</p>;
  const press = act(async () => {
    if (connector !== undefined) await connect({ connector });
    return undefined;
  });
  return (
    <section>
      <button type="button" onClick={press}>
        Connect
      </button>
    </section>
  );
}

function Connected({ act }: { act: Act }): ReactNode {
  const { address, chain } = useConnection();
  const { data: balance, refetch } = useBalance({ address });
  const { mutateAsync: disconnect } = useDisconnect();
  const leave = act(async () => {
    await disconnect();
    return "Disconnected.";
  });
  if (address === undefined) return null;
  return (
    <>
      <section>
        <dl>
          <dt>Account</dt>
          <dd>
            <code>{address}</code>
          </dd>
          <dt>Network</dt>
          <dd>{chain?.name}</dd>
          <dt>Balance</dt>
          <dd>{balance === undefined ? "not known now" : `${formatEther(balance.value)} ${balance.symbol}`}</dd>
        </dl>
        <button type="button" className="quiet" onClick={() => refetch()}>
          Look again
        </button>
        <button type="button" className="quiet" onClick={leave}>
          Disconnect
        </button>
      </section>
      <Message act={act} account={address} />
      <Order act={act} account={address} />
      <Payment act={act} onMined={refetch} />
    </>
  );
}
