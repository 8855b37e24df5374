/** The page as a function of its state. */

import { useEffect } from "preact/hooks";
import { Activity } from "./screens/activity.tsx";
import { Consent } from "./screens/consent.tsx";
import { Devices } from "./screens/devices.tsx";
import { Alone, Create, Enrol, Starting, Unavailable } from "./screens/entry.tsx";
import { History } from "./screens/history.tsx";
import { Home } from "./screens/home.tsx";
import { Confirm, Forgotten, LogIn, Reset, SignUp } from "./screens/login.tsx";
import { PadDialog } from "./screens/pad-dialog.tsx";
import { PinAsked } from "./screens/pin-asked.tsx";
import { Receive } from "./screens/receive.tsx";
import { Review } from "./screens/review.tsx";
import { Send } from "./screens/send.tsx";
import { Protection, Settings } from "./screens/settings.tsx";
import { Shell } from "./screens/shell.tsx";
import { Unsettled } from "./screens/unsettled.tsx";
import type { Props, WalletProps } from "./ui/props.ts";

/** How long something said in passing stays. */
const TOAST_MILLISECONDS = 6_000;

export function App(props: Props) {
  const { state, flow, t } = props;
  const { toast } = state;
  useEffect(() => {
    if (toast === undefined) return;
    const timer = setTimeout(() => flow.dismissToast(), TOAST_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [toast, flow]);
  // To whoever framed or opened the page it says nothing before it knows them.
  if (state.guest?.step === "connecting") return null;
  if (state.guest?.step === "lost") return state.guest.entry === "frame" ? null : <Alone t={t} />;
  return (
    <>
      <Shell {...props}>
        <CurrentScreen {...props} />
      </Shell>
      <PadDialog {...props} />
      <div class="toast" role="status">
        {toast !== undefined && <p>{t(toast.text, toast.values)}</p>}
      </div>
    </>
  );
}

function CurrentScreen(props: Props) {
  const { screen, wallet } = props.state;
  switch (screen.name) {
    case "starting":
      return <Starting t={props.t} />;
    case "unavailable":
      return <Unavailable {...props} />;
    case "logIn":
      return <LogIn key={props.state.wanted.email} {...props} />;
    case "signUp":
      return <SignUp key={props.state.wanted.email} {...props} />;
    case "confirm":
      return <Confirm {...props} />;
    case "forgotten":
      return <Forgotten {...props} />;
    case "reset":
      return <Reset {...props} />;
    case "create":
      return <Create {...props} />;
    case "enrol":
      return <Enrol {...props} />;
    default:
      return wallet === undefined ? <Starting t={props.t} /> : <Inside {...props} wallet={wallet} />;
  }
}

function Inside(props: WalletProps) {
  const { open, screen, consent, pinAsked, unsettled } = props.state;
  // Under the dialog with the pad, which opens by itself.
  if (pinAsked !== undefined) return <PinAsked {...props} question={pinAsked} />;
  // Also where a request was seen already: another nonce than that one's is what brings it up.
  if (unsettled !== undefined) return <Unsettled {...props} question={unsettled} />;
  // A request stands before everything else.
  if (open !== undefined) return <Review {...props} open={open} />;
  if (consent !== undefined) return <Consent {...props} question={consent} />;
  switch (screen.name) {
    case "receive":
      return <Receive {...props} />;
    case "send":
      return <Send key={props.state.wanted.form} {...props} />;
    case "activity":
      return <Activity {...props} />;
    case "devices":
      return <Devices {...props} />;
    case "history":
      return <History {...props} />;
    case "settings":
      return <Settings {...props} />;
    case "protection":
      return <Protection {...props} />;
    default:
      return <Home {...props} />;
  }
}
