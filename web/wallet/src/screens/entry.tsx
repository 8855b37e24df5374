/** Between login and wallet: a moment, a refusal, a new wallet, a new device. */

import type { Note } from "../state/state.ts";
import { Address, Button, Notice, Problem, Spinner } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { Props } from "../ui/props.ts";
import { ShieldLine } from "../ui/protection.tsx";
import { Brand } from "./shell.tsx";

export function Starting({ t }: Pick<Props, "t">) {
  return (
    <div class="waiting" role="status">
      <Spinner />
      <p>{t("starting.checking")}</p>
    </div>
  );
}

export function Unavailable({ state, flow, t }: Props) {
  if (state.screen.name !== "unavailable") return null;
  const { problem } = state.screen;
  return (
    <>
      <h1>{t("unavailable.title")}</h1>
      <Problem note={problem} t={t} />
      <p class="lead">{t("unavailable.safe")}</p>
      <div class="actions">
        <Button onClick={() => void flow.signOut()}>{t("settings.signOut")}</Button>
        <Button kind="primary" onClick={() => void flow.retry()}>
          {t("common.retry")}
        </Button>
      </div>
    </>
  );
}

/** Before anything works: the page does not know whom to talk to. */
export function Unreachable({ problem, t }: Pick<Props, "t"> & { readonly problem: Note }) {
  return (
    <div class="shell outside">
      <header>
        <Brand t={t} />
      </header>
      <main>
        <h1>{t("unavailable.title")}</h1>
        <Problem note={problem} t={t} />
        <p class="lead">{t("unavailable.safe")}</p>
        <Button kind="primary" onClick={() => location.reload()}>
          {t("common.retry")}
        </Button>
      </main>
    </div>
  );
}

/** A window without the page that opened it. */
export function Alone({ t }: Pick<Props, "t">) {
  return (
    <div class="shell outside">
      <header>
        <Brand t={t} />
      </header>
      <main>
        <h1>{t("alone.title")}</h1>
        <p class="lead">{t("alone.lead")}</p>
        <Button kind="primary" onClick={() => window.close()}>
          {t("common.close")}
        </Button>
      </main>
    </div>
  );
}

export function Create({ state, flow, t }: Props) {
  return (
    <>
      <h1>{t("create.title")}</h1>
      <p class="lead">{t("create.lead")}</p>
      <ul class="points">
        <li>
          <Icon name="key" />
          <span>{t("create.point.short")}</span>
        </li>
        <li>
          <Icon name="shield" />
          <span>{t("create.point.tries")}</span>
        </li>
        <li>
          <Icon name="warning" />
          <span>{t("create.point.lost")}</span>
        </li>
      </ul>
      {state.shield !== undefined && <ShieldLine shield={state.shield} t={t} />}
      <Problem note={state.problem} t={t} />
      <Button kind="primary" isBusy={state.busy} onClick={() => void flow.create()}>
        {t("create.submit")}
      </Button>
      <Leave state={state} flow={flow} t={t} />
    </>
  );
}

export function Enrol({ state, flow, t }: Props) {
  if (state.screen.name !== "enrol") return null;
  return (
    <>
      <h1>{t("enrol.title")}</h1>
      <p class="lead">{t("enrol.lead")}</p>
      <p class="plate">
        <Address address={state.screen.address} />
      </p>
      <Notice kind="caution">{t("enrol.warning")}</Notice>
      <Problem note={state.problem} t={t} />
      <Button kind="primary" isBusy={state.busy} onClick={() => void flow.enrol()}>
        {t("enrol.submit")}
      </Button>
      <Leave state={state} flow={flow} t={t} />
    </>
  );
}

function Leave({ state, flow, t }: Props) {
  return (
    <p class="links">
      <span>
        {t("settings.signedInAs")} <b>{state.user}</b>
      </span>
      <button type="button" class="link" onClick={() => void flow.signOut()}>
        {t("settings.signOut")}
      </button>
    </p>
  );
}
