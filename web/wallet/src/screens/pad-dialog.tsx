/** The dialog around the PIN pad: what is told before, the pad, what came of it. */

import { useEffect, useState } from "preact/hooks";
import { paymentOf } from "../payment.ts";
import type { Open, Pad, PinQuestion } from "../state/state.ts";
import { Address, Button, Notice, Origin, Problem, Spinner } from "../ui/basics.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { PinPad } from "../ui/pin-pad.tsx";
import type { Props } from "../ui/props.ts";
import { ConfigurationMark, ProtectionFacts, ShieldFacts, ShieldLine } from "../ui/protection.tsx";

export function PadDialog({ state, flow, t }: Props) {
  const { pad } = state;
  if (pad === undefined) return null;
  const cancel =
    pad.step === "working" || pad.step === "checking" ? undefined : () => flow.pad.answer({ kind: "cancel" });
  const step = pad.step === "enter" ? `enter ${pad.entry}` : pad.step;
  return (
    <Dialog title={titleOf(pad, t)} onCancel={cancel} step={step}>
      <Body state={state} flow={flow} t={t} pad={pad} />
    </Dialog>
  );
}

function titleOf(pad: Pad, t: Props["t"]): string {
  switch (pad.step) {
    case "protection":
      return t("protectionChanged.title");
    case "restored":
      return t("restored.title");
    case "stopped":
      return t("pad.stopped");
    default:
      return t(`pad.title.${pad.purpose}`);
  }
}

function Body({ state, flow, t, pad }: Props & { readonly pad: Pad }) {
  const cancel = () => flow.pad.answer({ kind: "cancel" });
  switch (pad.step) {
    case "checking":
      return <Waiting text={t("pad.checking")} />;
    case "working":
      return <Waiting text={t(pad.purpose === "create" ? "pad.workingNew" : "pad.working")} />;
    case "stopped":
      return (
        <>
          <Problem note={pad.problem} t={t} />
          <div class="actions">
            <Button onClick={cancel}>{t("common.close")}</Button>
            {pad.canRetry && (
              <Button kind="primary" onClick={() => flow.pad.answer({ kind: "retry" })}>
                {t("common.retry")}
              </Button>
            )}
          </div>
        </>
      );
    case "protection":
      return (
        <>
          <p class="lead">{t("protectionChanged.lead")}</p>
          <h3>{t("protectionChanged.before")}</h3>
          <dl class="rows">
            <ProtectionFacts protection={pad.before} t={t} />
            <ConfigurationMark protection={pad.before} t={t} />
          </dl>
          <h3>{t("protectionChanged.now")}</h3>
          <dl class="rows">
            <ProtectionFacts protection={pad.now} t={t} />
            <ConfigurationMark protection={pad.now} t={t} />
          </dl>
          <Agree state={state} flow={flow} t={t} accept={t("protectionChanged.accept")} />
        </>
      );
    case "restored":
      return (
        <>
          <p class="lead">{t("restored.lead", { number: pad.number })}</p>
          <Notice kind="danger">{t("restored.warning")}</Notice>
          <Agree state={state} flow={flow} t={t} accept={t("restored.accept")} />
        </>
      );
    case "enter":
      return <Enter key={pad.entry} state={state} flow={flow} t={t} pad={pad} />;
  }
}

/** An app had it opened just now. */
function isFreshPad({ pinAsked, isFresh }: Props["state"]): boolean {
  return pinAsked !== undefined && isFresh;
}

function Waiting({ text }: { readonly text: string }) {
  return (
    <div class="waiting" role="status">
      <Spinner />
      <p>{text}</p>
    </div>
  );
}

function Agree({ state, flow, t, accept }: Props & { readonly accept: string }) {
  const isClosed = isFreshPad(state);
  return (
    <div class="actions">
      <Button onClick={() => flow.pad.answer({ kind: "cancel" })}>{t("common.cancel")}</Button>
      <Button kind="primary" isBusy={isClosed} onClick={() => isClosed || flow.pad.answer({ kind: "accept" })}>
        {accept}
      </Button>
    </div>
  );
}

function Enter({ state, flow, t, pad }: Props & { readonly pad: Extract<Pad, { step: "enter" }> }) {
  const seconds = useCountdown(pad.notBefore);
  const { shuffled } = state.preferences;
  const role = pad.role === "current" && pad.purpose === "finishChange" ? "finish" : pad.role;
  return (
    <>
      {pad.purpose === "sign" && state.open !== undefined && <Approving state={state} open={state.open} t={t} />}
      {state.pinAsked !== undefined && <PinFor question={state.pinAsked} t={t} />}
      <p class="lead">{t(`pad.role.${role}`)}</p>
      <div role="alert" class="told">
        {pad.told !== undefined && <p>{t(pad.told.text, pad.told.values)}</p>}
        {seconds > 0 && <p>{t("pad.wait", { seconds })}</p>}
      </div>
      <PinPad
        t={t}
        isShuffled={shuffled}
        isClosed={seconds > 0}
        isHeld={isFreshPad(state)}
        onPin={(digits) => flow.pad.answer({ kind: "digits", digits })}
      />
      <p class="hint centred">{t("pad.hint")}</p>
      <ShieldLine shield={pad.shield} t={t} />
      <details>
        <summary>{t("pad.evidence")}</summary>
        <ShieldFacts shield={pad.shield} t={t} />
      </details>
      <div class="actions">
        <label class="check">
          <input type="checkbox" checked={shuffled} onChange={() => flow.prefer({ shuffled: !shuffled })} />
          {t("pad.shuffle")}
        </label>
        <Button kind="quiet" onClick={() => flow.pad.answer({ kind: "cancel" })}>
          {t("common.cancel")}
        </Button>
      </div>
    </>
  );
}

/** Who asks for a PIN that approves nothing, since the screen that says so lies under this dialog. */
function PinFor({ question, t }: Pick<Props, "t"> & { readonly question: PinQuestion }) {
  const { name, origin } = question.app;
  return (
    <div class="plate">
      <b>{t(`pinAsked.${question.purpose}`, { name })}</b>
      <Origin origin={origin} />
      <p class="hint">{t("pinAsked.nothing")}</p>
    </div>
  );
}

/** What the PIN approves, once more, since the review lies under this dialog. */
function Approving({ state, open, t }: Pick<Props, "state" | "t"> & { readonly open: Open }) {
  const paid = paymentOf(open.request, state.wallet?.networks ?? []);
  if (paid === undefined) {
    return (
      <ul class="plate">
        {open.request.items.map(({ view }, at) => (
          <li key={`${at}`}>{t.decoded(view.words.title)}</li>
        ))}
      </ul>
    );
  }
  return (
    <div class="plate">
      <b>{t("review.send", { amount: paid.amount })}</b>
      <Address address={paid.to} />
    </div>
  );
}

/** Seconds until a time in milliseconds, counting down. */
function useCountdown(until: number | undefined): number {
  const left = () => (until === undefined ? 0 : Math.max(0, Math.ceil((until - Date.now()) / 1000)));
  const [seconds, setSeconds] = useState(left);
  useEffect(() => {
    if (until === undefined) return;
    const timer = setInterval(() => setSeconds(left()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return seconds;
}
