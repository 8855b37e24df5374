/** Joins state, flows and screens, and starts. */

import { render } from "preact";
import { App } from "./app.tsx";
import { readConsents } from "./consents.ts";
import { entryOf } from "./entry.ts";
import { Door } from "./flow/door.ts";
import { Flow } from "./flow/flow.ts";
import { problemOf } from "./flow/problem.ts";
import { NOTHING_WANTED } from "./flow/requests.ts";
import { ENGLISH, loadTongue, type Text, textIn } from "./i18n/text.ts";
import { type Language, readPreferences } from "./preferences.ts";
import { Unreachable } from "./screens/entry.tsx";
import { readSettings } from "./settings.ts";
import type { Guest } from "./state/state.ts";
import { Store } from "./state/store.ts";
import "./style/page.css";

const nothing = { user: undefined, wallet: undefined, shield: undefined, pad: undefined, open: undefined } as const;
const quiet = { busy: false, problem: undefined, toast: undefined } as const;
const entry = entryOf(location);
// Before anything is waited for.
const door = entry.kind === "own" ? undefined : new Door();
const guest = entry.kind === "own" ? undefined : ({ entry: entry.kind, step: "connecting" } as const);
const asked = { consent: undefined, pinAsked: undefined, unsettled: undefined, isFresh: false } as const;
const apps = { guest, ...asked, consents: readConsents(), wanted: NOTHING_WANTED };
const store = new Store({
  ...nothing,
  ...quiet,
  ...apps,
  screen: { name: "starting" },
  preferences: readPreferences(),
});

let text: Text = textIn("en", ENGLISH);
let shown: Language = "en";

/** Shows the state once its language is there. */
async function show(draw: () => void): Promise<void> {
  const { language, theme } = store.state.preferences;
  if (language !== shown) {
    shown = language;
    text = textIn(language, await loadTongue(language).catch(() => ENGLISH));
  }
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
  document.documentElement.dataset.entry = entry.kind;
  dress(store.state.guest);
  document.title = `${text("app.name")} ${text("app.wallet")}`;
  draw();
}

/** The accent of the app for which the page is open, once that is let in. */
function dress(guest: Guest | undefined): void {
  const accent = guest?.step === "ready" ? guest.app.look.accent : undefined;
  const { dataset, style } = document.documentElement;
  if (accent === undefined) {
    delete dataset.accent;
    return;
  }
  style.setProperty("--app-light", accent.light);
  style.setProperty("--app-dark", accent.dark);
  dataset.accent = "app";
}

async function start(root: HTMLElement): Promise<void> {
  try {
    const flow = new Flow(store, await readSettings(), entry, door);
    const draw = () => render(<App state={store.state} flow={flow} t={text} />, root);
    store.watch(() => void show(draw));
    await show(draw);
    document.addEventListener("visibilitychange", () => flow.requests.comeUp());
    // In a frame the first press in it brings the focus.
    if (parent === window) addEventListener("focus", () => flow.requests.comeUp());
    await flow.guest?.connect();
    await flow.retry();
  } catch (error) {
    await show(() => render(<Unreachable problem={problemOf(error)} t={text} />, root));
  }
}

const root = document.getElementById("app");
if (root !== null) void start(root);
