/** Earlier transactions that may be carried out beside the one that is wanted now, or were: their owner looks what became of them, or goes no further. */

import type { Outgoing } from "@pinseal/client";
import { Fragment } from "preact";
import { dateOf } from "../moment.ts";
import { earlierOf } from "../payment.ts";
import type { UnsettledQuestion } from "../state/state.ts";
import { Address, Button, Notice, Origin, Row } from "../ui/basics.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Chain } from "./review.tsx";

/** What the service said of it last. */
const TOLD = {
  unsent: "unsettled.unsent",
  waiting: "status.pending",
  mined: "status.mined",
  reverted: "status.failed",
  final: "status.final",
} as const;

type UnsettledProps = WalletProps & { readonly question: UnsettledQuestion };

export function Unsettled(props: UnsettledProps) {
  const { state, flow, t, question } = props;
  const { from, earlier, isGoingOn } = question;
  const count = earlier.length;
  const [open, done] = [earlier.filter((entry) => !isDone(entry)), earlier.filter(isDone)];
  const parts = [open, done].filter((part) => part.length > 0);
  const isUndone = earlier.every((entry) => entry.state === "unsent" || entry.state === "reverted");
  return (
    <>
      <h1>{t(parts.length > 1 ? "unsettled.mixed" : wordsOf(earlier).title, { count })}</h1>
      {from.kind === "app" && (
        <p class="lead">
          {t("review.app", { name: from.name })} <Origin origin={from.origin} />
        </p>
      )}
      {parts.map((part) => {
        const { title, lead } = wordsOf(part);
        const of = { count: part.length };
        return (
          <Fragment key={title}>
            {parts.length > 1 && <h2>{t(title, of)}</h2>}
            <p class="lead">{t(lead, of)}</p>
            {part.map((entry) => (
              <Entry key={entry.hash} {...props} entry={entry} />
            ))}
          </Fragment>
        );
      })}
      <Notice kind="caution">
        {t("unsettled.look")} {open.length > 0 && t("unsettled.later", { count: open.length })}
      </Notice>
      <div class="actions">
        <Button isBusy={isGoingOn || state.isFresh} onClick={() => flow.requests.settle(true)}>
          {t(isUndone ? "unsettled.looked" : "unsettled.asWell", { count })}
        </Button>
        <Button kind="primary" onClick={() => flow.requests.settle(false)}>
          {t("common.cancel")}
        </Button>
      </div>
    </>
  );
}

function isDone({ state }: Outgoing): boolean {
  return state === "mined" || state === "final";
}

/** Of what was carried out, by the service's word, or of what was not: never of both at once, since either is untrue of the other. */
function wordsOf(earlier: readonly Outgoing[]) {
  if (!earlier.every(isDone)) {
    const isWaiting = earlier.every(({ state }) => state === "waiting");
    return { title: "unsettled.title", lead: isWaiting ? "unsettled.waits" : "unsettled.lead" } as const;
  }
  // Nobody told them that it failed: they left before it was carried out.
  return earlier.every(({ known }) => known === "awaited")
    ? ({ title: "unsettled.made", lead: "unsettled.madeLead" } as const)
    : ({ title: "unsettled.done", lead: "unsettled.doneLead" } as const);
}

function Entry({ state, flow, t, wallet, question, entry }: UnsettledProps & { readonly entry: Outgoing }) {
  const { view, paid, to } = earlierOf(entry, flow.tokensOf(entry.network));
  return (
    <section class="card" data-earlier={entry.hash}>
      <p class="headline">
        {paid === undefined ? t.decoded(view.words.title) : t("review.send", { amount: paid.amount })}
      </p>
      {question.promised.some(({ hash }) => hash === entry.hash) && <p class="hint">{t("unsettled.promised")}</p>}
      <dl class="rows">
        {to !== undefined && (
          <Row label={t(paid === undefined ? "review.contract" : "review.to")}>
            <Address address={paid?.to ?? to} />
          </Row>
        )}
        <Row label={t("review.from")}>
          <Address address={entry.from} />
        </Row>
        <Row label={t("review.network")}>
          <Chain chain={entry.network} wallet={wallet} t={t} />
        </Row>
        <Row label={t("unsettled.nonce")}>{String(entry.nonce)}</Row>
        <Row label={t("unsettled.signed")}>{dateOf(entry.signedAt, state.preferences.language)}</Row>
        <Row label={t("unsettled.told")}>{t(TOLD[entry.state])}</Row>
        <Row label={t("sent.hash")}>
          <span class="mono long">{entry.hash}</span>
        </Row>
      </dl>
    </section>
  );
}
