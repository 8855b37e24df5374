import type { NetworkInfo } from "@pinseal/client";
import { en } from "../i18n/messages.ts";
import type { Text } from "../i18n/text.ts";
import { dateOf } from "../moment.ts";
import { LANGUAGES, THEMES } from "../preferences.ts";
import { Button, Notice, Origin, Problem, Select, Spinner } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { Props, WalletProps } from "../ui/props.ts";
import { ShieldFacts, ShieldLine } from "../ui/protection.tsx";
import { Head } from "./shell.tsx";

export function Settings({ state, flow, t, wallet }: WalletProps) {
  const { preferences } = state;
  return (
    <>
      <Head flow={flow} t={t} title={t("settings.title")} />
      <section class="card">
        <h2>{t("settings.security")}</h2>
        {wallet.changePending && (
          <>
            <Notice kind="caution">{t("settings.pending")}</Notice>
            <Button isBusy={state.busy} onClick={() => void flow.finishPinChange()}>
              {t("settings.finish")}
            </Button>
          </>
        )}
        <div class="menu">
          <button type="button" aria-disabled={state.busy} aria-busy={state.busy} onClick={() => void flow.changePin()}>
            {state.busy ? <Spinner /> : <Icon name="key" />}
            <span>{t("settings.changePin")}</span>
            <Icon name="next" />
          </button>
          <button type="button" onClick={() => flow.go("protection")}>
            <Icon name="shield" />
            <span>{t("settings.protection")}</span>
            <Icon name="next" />
          </button>
        </div>
        <label class="check">
          <input
            type="checkbox"
            checked={preferences.shuffled}
            onChange={() => flow.prefer({ shuffled: !preferences.shuffled })}
          />
          {t("settings.shuffled")}
        </label>
      </section>
      <section class="card">
        <h2>{t("settings.display")}</h2>
        <Select
          label={t("settings.language")}
          value={preferences.language}
          options={LANGUAGES.map((language) => [language, t(`language.${language}`)])}
          onValue={(language) => flow.prefer({ language })}
        />
        <Select
          label={t("settings.theme")}
          value={preferences.theme}
          options={THEMES.map((theme) => [theme, t(`settings.theme.${theme}`)])}
          onValue={(theme) => flow.prefer({ theme })}
        />
      </section>
      <Apps state={state} flow={flow} t={t} />
      <Problem note={state.problem} t={t} />
      <section class="card spread">
        <p>
          <span class="faint">{t("settings.signedInAs")}</span>
          <br />
          <b>{state.user}</b>
        </p>
        <Button icon="leave" onClick={() => void flow.signOut()}>
          {t("settings.signOut")}
        </Button>
      </section>
    </>
  );
}

/** Apps that may see the wallet of whoever is logged in. */
function Apps({ state, flow, t }: Props) {
  const own = state.consents.filter(({ user }) => user === state.user);
  return (
    <section class="card">
      <h2>{t("apps.title")}</h2>
      {own.length === 0 ? (
        <p class="faint">{t("apps.none")}</p>
      ) : (
        <ul class="list">
          {own.map((consent) => (
            <li key={`${consent.app} ${consent.origin}`} data-app={consent.app}>
              <span class="grow">
                <span class="title">{consent.name}</span>
                <span class="faint">
                  <Origin origin={consent.origin} />
                </span>
                <span class="faint">
                  {t("devices.since", { date: dateOf(consent.since, state.preferences.language) })}
                </span>
              </span>
              <Button
                kind="quiet"
                label={t("apps.disconnectNamed", { name: consent.name })}
                onClick={() => flow.disconnect(consent)}
              >
                {t("apps.disconnect")}
              </Button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function Protection({ state, flow, t }: WalletProps) {
  return (
    <>
      <Head flow={flow} t={t} title={t("protection.title")} back="settings" />
      <p class="lead">{t("protection.lead")}</p>
      {state.shield !== undefined && (
        <section class="card">
          <ShieldLine shield={state.shield} t={t} />
          <ShieldFacts shield={state.shield} t={t} />
        </section>
      )}
    </>
  );
}

/** The development node's network says in its name what it is. */
const LOCAL_NETWORK = "eip155:31337";

/** The host's name for a network, and whether its coins are worth nothing. */
export function networkName({ name, testnet, caip2 }: NetworkInfo, t: Text): string {
  // What `pinseal up` calls it is no name of its own, and said in every language.
  if (caip2 === LOCAL_NETWORK) return name === en["network.local"] ? t("network.local") : name;
  return testnet === true ? `${name} (${t("home.testnet")})` : name;
}
