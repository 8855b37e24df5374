/** Every attempt on the wallet's key, each proved to be in the log that the enclave signed, and none left out. */

import { type Attempt, type Event, type History as Proved, toHex } from "@pinseal/client";
import type { Text } from "../i18n/text.ts";
import { Button, Notice, Problem } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { When } from "./activity.tsx";
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

function Shown(props: WalletProps & { readonly history: Proved }) {
  const { state, flow, t, history } = props;
  const { attempts, isComplete } = history;
  return (
    <>
      <Notice kind="good">
        {isComplete ? t("history.complete") : t("history.newest", { count: attempts.length })}
      </Notice>
      <ol class="card list" aria-busy={state.busy}>
        {momentsOf(history).map((moment) =>
          "result" in moment ? (
            <Tried key={moment.index} {...props} attempt={moment} />
          ) : (
            <Happened key={moment.index} {...props} event={moment} />
          ),
        )}
      </ol>
      {!isComplete && (
        <Button isBusy={state.busy} onClick={() => void flow.readOlder()}>
          {t("history.older")}
        </Button>
      )}
      <p class="hint">{t("history.clock")}</p>
    </>
  );
}

/** What was done with the key. */
function Tried({ state, t, wallet, attempt }: WalletProps & { readonly attempt: Attempt }) {
  const isBad = BAD.has(attempt.result);
  const id = toHex(attempt.device);
  const known = wallet.devices.find(({ device }) => toHex(device) === id);
  const gone = known === undefined && id !== wallet.device;
  return (
    <li data-result={attempt.result}>
      <span class={isBad ? "badge bad" : "badge"}>
        <Icon name={isBad ? "warning" : "check"} />
      </span>
      <span class="grow">
        <span class="title">{t(`method.${attempt.method}`)}</span>
        <span class="faint">
          {id === wallet.device
            ? t("devices.this")
            : gone
              ? t("history.otherDevice", { id: id.slice(0, MARK_DIGITS) })
              : printable(known?.label ?? "")}
          <When seconds={Number(attempt.time)} language={state.preferences.language} />
        </span>
      </span>
      <span class={`chip ${isBad ? "bad" : attempt.result === "right" ? "good" : "plain"}`}>
        {t(`result.${attempt.result}`)}
      </span>
    </li>
  );
}

/** What happened to the service meanwhile. */
function Happened({ state, t, history, event }: WalletProps & { readonly history: Proved; readonly event: Event }) {
  return (
    <li data-event={event.kind}>
      <span class="badge">
        <Icon name="shield" />
      </span>
      <span class="grow">
        <span class="title">{titleOf(event, history, t)}</span>
        <span class="faint">
          {t("history.events")}
          {event.kind !== "unknown" && <When seconds={Number(event.time)} language={state.preferences.language} />}
        </span>
      </span>
    </li>
  );
}

/** Attempts and events as they follow one another in the log, newest first. */
function momentsOf({ attempts, events }: Proved): (Attempt | Event)[] {
  return [...attempts, ...events].sort((one, other) => other.index - one.index);
}

/** A changed configuration is a restore if there were fewer of them before. */
function titleOf(event: Event, { events }: Proved, t: Text): string {
  if (event.kind !== "configured") return t(`event.${event.kind}`);
  const before = events.find((older) => older.index < event.index && older.kind === "configured");
  const restoresBefore = before?.kind === "configured" ? before.restores : undefined;
  const isRestore = restoresBefore === undefined ? event.restores === 1 : event.restores > restoresBefore;
  if (isRestore) return t("event.restored", { number: event.restores });
  return t(event.resumed ? "event.resumed" : "event.configured");
}
