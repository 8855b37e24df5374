/** Every attempt on the wallet's key, each proved to be in the log that the enclave signed, and none left out. */

import { type Attempt, type Event, type History as Proved, toHex } from "@pinseal/client";
import type { Text } from "../i18n/text.ts";
import { Button, Notice, Problem } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { dateOf } from "./activity.tsx";
import { printable } from "./devices.tsx";
import { Head } from "./shell.tsx";

/** What is to be noticed in a list of right PINs. */
const BAD: ReadonlySet<Attempt["result"]> = new Set(["wrong", "fault", "unanswered"]);
/** Digits by which a device that is gone is still told from another. */
const MARK_DIGITS = 8;

export function History(props: WalletProps) {
  const { flow, t, wallet } = props;
  const { history } = wallet;
  return (
    <>
      <Head flow={flow} t={t} title={t("history.title")} back="devices" />
      <p class="lead">{t("history.lead")}</p>
      {history.kind === "loading" && (
        <p class="card empty" role="status">
          {t("history.checking")}
        </p>
      )}
      {history.kind === "failed" && (
        <>
          <Problem note={history.problem} t={t} />
          <Button onClick={() => void flow.readHistory()}>{t("common.retry")}</Button>
        </>
      )}
      {history.kind === "here" && <Shown {...props} history={history.value} />}
    </>
  );
}

function Shown({ state, t, wallet, history }: WalletProps & { readonly history: Proved }) {
  const { attempts, events, isComplete } = history;
  const { language } = state.preferences;
  const device = (attempt: Attempt) => {
    const id = toHex(attempt.device);
    if (id === wallet.device) return t("devices.this");
    const known = wallet.devices.find((one) => toHex(one.device) === id);
    return known === undefined ? t("history.otherDevice", { id: id.slice(0, MARK_DIGITS) }) : printable(known.label);
  };
  return (
    <>
      <Notice kind="good">
        {isComplete ? t("history.complete") : t("history.newest", { count: attempts.length })}
      </Notice>
      <ul class="card list">
        {attempts.map((attempt) => (
          <li key={attempt.index} data-result={attempt.result}>
            <span class="badge">
              <Icon name={BAD.has(attempt.result) ? "warning" : "check"} />
            </span>
            <span class="grow">
              <span class="title">{t(`method.${attempt.method}`)}</span>
              <span class="faint">
                {device(attempt)} · {dateOf(Number(attempt.time), language)}
              </span>
            </span>
            <span class={`chip ${BAD.has(attempt.result) ? "bad" : ""}`}>{t(`result.${attempt.result}`)}</span>
          </li>
        ))}
      </ul>
      <h2>{t("history.events")}</h2>
      <ul class="card list">
        {events.map((event) => (
          <li key={event.index}>
            <span class="grow">
              <span class="title">{titleOf(event, t)}</span>
              {event.kind !== "unknown" && <span class="faint">{dateOf(Number(event.time), language)}</span>}
            </span>
          </li>
        ))}
      </ul>
      <p class="hint">{t("history.clock")}</p>
    </>
  );
}

function titleOf(event: Event, t: Text): string {
  if (event.kind === "configured" && event.resumed) return t("event.resumed");
  return t(`event.${event.kind}`);
}
