/** What was signed before, beside what is reviewed: whether this one comes on top of it, takes its place, or does once more what was done. */

import type { Outgoing } from "@pinseal/client";
import type { MessageKey } from "../i18n/messages.ts";
import { dateOf } from "../moment.ts";
import { earlierOf } from "../payment.ts";
import type { Open } from "../state/state.ts";
import { Notice, shortAddress } from "../ui/basics.tsx";
import type { Props } from "../ui/props.ts";
import { networkName } from "./settings.tsx";

/** Of either kind; the others are counted. */
const SHOWN_MAX = 3;

export function Earlier({ state, flow, t, open }: Props & { readonly open: Open }) {
  const { network, account, proposed } = open.request;
  const { beside = [], repeated = [], instead = [], again = [], unreplaced = [] } = proposed ?? {};
  const done = again.at(-1);
  const values = (entry: Outgoing) => {
    const { view, paid } = earlierOf(entry, flow.tokensOf(entry.network));
    const what =
      paid === undefined
        ? t.decoded(view.words.title)
        : t("earlier.paid", { amount: paid.amount, to: shortAddress(paid.to) });
    const known = state.wallet?.networks.find(({ caip2 }) => caip2 === entry.network);
    return {
      what,
      when: dateOf(entry.signedAt, state.preferences.language),
      account: shortAddress(entry.from),
      network: known === undefined ? entry.network : networkName(known, t),
    };
  };
  const keyOf = (entry: Outgoing): MessageKey => {
    if (!repeated.includes(entry)) return "earlier.beside";
    const isHere = entry.network === network && entry.from === account.address;
    return isHere ? "earlier.same" : "earlier.sameElsewhere";
  };
  const said = [
    ...newest(instead).map((entry) => ({
      entry,
      key: entry.state === "waiting" ? ("earlier.insteadWaiting" as const) : ("earlier.instead" as const),
    })),
    ...newest(unreplaced).map((entry) => ({ entry, key: "earlier.unreplaced" as const })),
    // What would be paid once more before all others.
    ...newest([...beside.filter((entry) => !repeated.includes(entry)), ...repeated]).map((entry) => ({
      entry,
      key: keyOf(entry),
    })),
  ];
  const count = beside.length + instead.length + unreplaced.length - said.length;
  return (
    <>
      {said.map(({ entry, key }) => (
        <Notice key={entry.hash} kind={[...repeated, ...unreplaced].includes(entry) ? "caution" : "info"}>
          <span data-earlier={entry.hash}>{t(key, values(entry))}</span>
        </Notice>
      ))}
      {count > 0 && <p class="hint">{t("earlier.more", { count })}</p>}
      {done !== undefined && (
        <Notice kind="info">
          <span data-again={done.hash}>{t("earlier.again", values(done))}</span>
        </Notice>
      )}
    </>
  );
}

function newest(entries: readonly Outgoing[]): readonly Outgoing[] {
  return entries.slice(-SHOWN_MAX);
}
