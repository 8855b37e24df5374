/** Why something that was sent does not move: an earlier nonce was not sent. And the way out. */

import type { TransactionInfo } from "@pinseal/client";
import type { Text } from "../i18n/text.ts";
import { timeOf } from "../moment.ts";
import type { Language } from "../preferences.ts";
import { Button } from "../ui/basics.tsx";

interface WaitsProps {
  readonly transaction: TransactionInfo;
  readonly t: Text;
  readonly language: Language;
  /** Has something sent in the place of what is missing. */
  readonly onFill: () => void;
  readonly isBusy: boolean;
}

export function Waits({ transaction: { status, waits_for: gap }, t, language, onFill, isBusy }: WaitsProps) {
  if (status !== "pending" || gap === undefined) return null;
  if (gap.until !== undefined) return <p class="hint">{t("waits.held", { time: timeOf(gap.until, language) })}</p>;
  return (
    <>
      <p class="hint">{t("waits.gap")}</p>
      <Button onClick={onFill} isBusy={isBusy}>
        {t("waits.fill")}
      </Button>
    </>
  );
}
