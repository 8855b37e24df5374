/** What stands around the screens. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { GuestApp, Place } from "../state/state.ts";
import { Origin } from "../ui/basics.tsx";
import { Icon, type IconName, Mark } from "../ui/icons.tsx";
import type { Props } from "../ui/props.ts";

const TABS: readonly (readonly [Place, IconName, "nav.home" | "nav.activity" | "nav.devices" | "nav.settings"])[] = [
  ["home", "home", "nav.home"],
  ["activity", "activity", "nav.activity"],
  ["devices", "devices", "nav.devices"],
  ["settings", "settings", "nav.settings"],
];
/** The tab that a screen without one belongs to. */
const UNDER: Partial<Record<Place, Place>> = {
  send: "home",
  receive: "home",
  history: "devices",
  protection: "settings",
};

/** Name and main area, with the open wallet's tabs where there is one. */
export function Shell({ state, flow, t, children }: Props & { readonly children: ComponentChildren }) {
  const visitor = state.guest?.step === "ready" ? state.guest.app : undefined;
  // An app's question stands alone: there is nowhere to go but yes or no.
  const isAsked =
    visitor !== undefined &&
    [state.open, state.consent, state.pinAsked, state.unsettled].some((question) => question !== undefined);
  const place = state.wallet === undefined || isAsked ? undefined : (state.screen.name as Place);
  const main = useRef<HTMLElement>(null);
  const where = `${state.screen.name} ${state.open?.step ?? ""} ${state.consent === undefined ? "" : "consent"} ${state.pinAsked?.purpose ?? ""} ${state.unsettled === undefined ? "" : "unsettled"}`;
  const first = useRef(true);
  // A new screen is read from its beginning.
  useEffect(() => {
    if (first.current) first.current = false;
    else if (main.current?.querySelector("[autofocus], :focus") === null) main.current.focus();
    scrollTo(0, 0);
  }, [where]);
  return (
    <>
      {visitor !== undefined && <Visitor state={state} flow={flow} t={t} app={visitor} />}
      <div class={place === undefined ? "shell outside" : "shell"}>
        <header>
          <Brand t={t} />
        </header>
        {place !== undefined && (
          <nav aria-label={t("nav.label")}>
            {TABS.map(([tab, icon, key]) => (
              <button
                key={tab}
                type="button"
                aria-current={(UNDER[place] ?? place) === tab ? "page" : undefined}
                onClick={() => flow.go(tab)}
              >
                <Icon name={icon} />
                <span>{t(key)}</span>
              </button>
            ))}
          </nav>
        )}
        <main ref={main} tabIndex={-1}>
          {state.shield?.verified.kind === "software" && state.wallet !== undefined && (
            <p class="ribbon">
              <Icon name="warning" />
              {t("home.devService")}
            </p>
          )}
          {children}
        </main>
      </div>
    </>
  );
}

export function Brand({ t }: Pick<Props, "t">) {
  return (
    <p class="brand">
      <Mark />
      <span>
        {t("app.name")} <b>{t("app.wallet")}</b>
      </span>
    </p>
  );
}

/** The app for which the page is open, and the way out. A PIN that is being used cannot be left; what is being handed over can, and its app hears so. */
function Visitor({ state, flow, t, app }: Props & { readonly app: GuestApp }) {
  const isUnderWay = state.pad?.step === "working";
  return (
    <aside class="visitor" aria-label={t("visitor.for", { name: app.name })}>
      <Logo app={app} />
      <p class="grow">
        {t("visitor.for", { name: app.name })} <Origin origin={app.origin} />
      </p>
      <button
        type="button"
        class="round"
        aria-label={t("visitor.close")}
        disabled={isUnderWay}
        onClick={() => flow.guest?.close()}
      >
        <Icon name="close" />
      </button>
    </aside>
  );
}

/** The app's logo, if it has one; what it is called always stands beside it. */
export function Logo({ app }: { readonly app: GuestApp }) {
  const { logo } = app.look;
  return logo === undefined ? null : <img class="logo" src={logo} alt="" width="32" height="32" />;
}

/** A screen's title, with the way back where it has one. */
export function Head(props: Pick<Props, "flow" | "t"> & { readonly title: string; readonly back?: Place }) {
  const { flow, t, title, back } = props;
  return (
    <div class="head">
      {back !== undefined && (
        <button type="button" class="round" aria-label={t("common.back")} onClick={() => flow.go(back)}>
          <Icon name="back" />
        </button>
      )}
      <h1>{title}</h1>
    </div>
  );
}
