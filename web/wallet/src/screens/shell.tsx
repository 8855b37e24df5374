/** What stands around the screens. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Place } from "../state/state.ts";
import { Icon, type IconName, Mark } from "../ui/icons.tsx";
import type { Props } from "../ui/props.ts";

const TABS: readonly (readonly [Place, IconName, "nav.home" | "nav.activity" | "nav.devices" | "nav.settings"])[] = [
  ["home", "home", "nav.home"],
  ["activity", "activity", "nav.activity"],
  ["devices", "devices", "nav.devices"],
  ["settings", "settings", "nav.settings"],
];
/** The tab that a screen without one belongs to. */
const UNDER: Partial<Record<Place, Place>> = { send: "home", receive: "home", protection: "settings" };

/** Name and main area, with the open wallet's tabs where there is one. */
export function Shell({ state, flow, t, children }: Props & { readonly children: ComponentChildren }) {
  const place = state.wallet === undefined ? undefined : (state.screen.name as Place);
  const main = useRef<HTMLElement>(null);
  const where = `${state.screen.name} ${state.open?.step ?? ""}`;
  const first = useRef(true);
  // A new screen is read from its beginning.
  useEffect(() => {
    if (first.current) first.current = false;
    else if (main.current?.querySelector("[autofocus], :focus") === null) main.current.focus();
    scrollTo(0, 0);
  }, [where]);
  return (
    <div class={place === undefined ? "shell outside" : "shell"}>
      <header>
        <p class="brand">
          <Mark />
          <span>
            {t("app.name")} <b>{t("app.wallet")}</b>
          </span>
        </p>
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
        {state.shield?.verified.kind === "software" && place !== undefined && (
          <p class="ribbon">
            <Icon name="warning" />
            {t("home.devService")}
          </p>
        )}
        {children}
      </main>
    </div>
  );
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
