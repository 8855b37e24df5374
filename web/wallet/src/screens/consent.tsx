/** An app's wish to see the wallet: who it is, by its origin, and what it gets to see. */

import type { ConsentQuestion } from "../state/state.ts";
import { Button, Origin, Row, shortAddress } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Logo } from "./shell.tsx";

export function Consent({ state, flow, t, wallet, question }: WalletProps & { readonly question: ConsentQuestion }) {
  const { name, origin } = question.app;
  return (
    <>
      <h1>{t("consent.title", { name })}</h1>
      <section class="card">
        <dl class="rows">
          <Row label={t("consent.app")}>
            <span class="app">
              <Logo app={question.app} /> <b>{name}</b>
            </span>
          </Row>
          <Row label={t("consent.origin")}>
            <Origin origin={origin} />
          </Row>
          <Row label={t("consent.wallet")}>
            {state.user}
            <br />
            <span class="mono">{shortAddress(wallet.account.address)}</span>
          </Row>
        </dl>
      </section>
      <ul class="points">
        <li>
          <Icon name="eye" />
          <span>{t("consent.sees")}</span>
        </li>
        <li>
          <Icon name="key" />
          <span>{t("consent.asks")}</span>
        </li>
        <li>
          <Icon name="settings" />
          <span>{t("consent.revoke")}</span>
        </li>
      </ul>
      <div class="actions">
        <Button onClick={() => flow.guest?.decide(false)}>{t("review.reject")}</Button>
        <Button
          kind="primary"
          isBusy={state.isFresh}
          // The second press of a double click began on whatever was here before.
          onClick={({ detail }) => detail < 2 && flow.guest?.decide(true)}
        >
          {t("consent.accept")}
        </Button>
      </div>
    </>
  );
}
