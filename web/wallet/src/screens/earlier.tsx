/** What was signed before and is not settled, beside what is reviewed: whether this one comes on top of it, or takes its place. */

import type { Outgoing } from "@pinseal/client";
import { dateOf } from "../moment.ts";
import { earlierOf } from "../payment.ts";
import type { Open } from "../state/state.ts";
import { Notice, shortAddress } from "../ui/basics.tsx";
import type { Props } from "../ui/props.ts";

/** Of either kind; the others are counted. */
const SHOWN_MAX = 3;

export function Earlier({ state, flow, t, open }: Props & { readonly open: Open }) {
  const { beside = [], repeated = [], instead = [] } = open.request.proposed ?? {};
  const values = (entry: Outgoing) => {
    const { view, paid } = earlierOf(entry, flow.tokensOf(entry.network));
    const what =
      paid === undefined
        ? t.decoded(view.words.title)
        : t("earlier.paid", { amount: paid.amount, to: shortAddress(paid.to) });
    return { what, when: dateOf(entry.signedAt, state.preferences.language) };
  };
  const said = [
    ...newest(instead).map((entry) => ({
      entry,
      key: entry.state === "waiting" ? ("earlier.insteadWaiting" as const) : ("earlier.instead" as const),
    })),
    // What would be paid once more before all others.
    ...newest([...beside.filter((entry) => !repeated.includes(entry)), ...repeated]).map((entry) => ({
      entry,
      key: repeated.includes(entry) ? ("earlier.same" as const) : ("earlier.beside" as const),
    })),
  ];
  const count = beside.length + instead.length - said.length;
  return (
    <>
      {said.map(({ entry, key }) => (
        <Notice key={entry.hash} kind={key === "earlier.same" ? "caution" : "info"}>
          <span data-earlier={entry.hash}>{t(key, values(entry))}</span>
        </Notice>
      ))}
      {count > 0 && <p class="hint">{t("earlier.more", { count })}</p>}
    </>
  );
}

function newest(entries: readonly Outgoing[]): readonly Outgoing[] {
  return entries.slice(-SHOWN_MAX);
}
