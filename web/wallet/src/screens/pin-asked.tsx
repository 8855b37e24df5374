/** What lies under the pad when an app asks for the PIN itself: who asks, and that nothing is signed. */

import type { PinQuestion } from "../state/state.ts";
import { Origin, Row } from "../ui/basics.tsx";
import type { Props } from "../ui/props.ts";

export function PinAsked({ t, question }: Pick<Props, "t"> & { readonly question: PinQuestion }) {
  const { name, origin } = question.app;
  return (
    <>
      <h1>{t(`pinAsked.${question.purpose}`, { name })}</h1>
      <p class="lead">{t("pinAsked.nothing")}</p>
      <section class="card">
        <dl class="rows">
          <Row label={t("consent.app")}>
            <b>{name}</b>
          </Row>
          <Row label={t("consent.origin")}>
            <Origin origin={origin} />
          </Row>
        </dl>
      </section>
    </>
  );
}
