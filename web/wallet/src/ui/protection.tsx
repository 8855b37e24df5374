/** What protects a PIN, in one sentence and in full. */

import { type Protection, toHex } from "@pinseal/client";
import type { Text } from "../i18n/text.ts";
import type { Shield } from "../state/state.ts";
import { Row } from "./basics.tsx";
import { Icon } from "./icons.tsx";

/** The one sentence that stands beside every pad. */
export function ShieldLine({ shield, t }: { readonly shield: Shield; readonly t: Text }) {
  const { kind } = shield.verified;
  return (
    <p class={`shield ${kind}`}>
      <Icon name={kind === "software" ? "warning" : "shield"} />
      <span>
        {t(`shield.${kind}`)}
        {shield.isFirstUse && ` ${t("shield.firstUse")}`}
      </span>
    </p>
  );
}

/** Everything that was checked. */
export function ShieldFacts({ shield, t }: { readonly shield: Shield; readonly t: Text }) {
  const { verified, protection, deployment } = shield;
  return (
    <dl class="rows">
      <Row label={t("protection.evidence")}>{t(`protection.kind.${verified.kind}`)}</Row>
      <ProtectionFacts protection={protection} t={t} />
      <Row label={t("protection.page")}>{t("protection.pageValue")}</Row>
      <Row label={t("protection.image")}>
        <span class="mono long">{toHex(verified.measurement)}</span>
      </Row>
      <Row label={t("protection.deployment")}>
        <span class="mono long">{deployment}</span>
      </Row>
      <Row label={t("protection.statement")}>
        <span lang="en">{verified.statement}</span>
      </Row>
    </dl>
  );
}

export function ProtectionFacts({ protection, t }: { readonly protection: Protection; readonly t: Text }) {
  const { anchor: level, floor, required, witnesses, tpm } = protection;
  return (
    <>
      <Row label={t("protection.level")}>
        {t(`protection.level.${level}`)} <span class="faint">{t("protection.levelValue", { level, floor })}</span>
      </Row>
      {tpm !== undefined && (
        <Row label={t("protection.tpm")}>
          <span class="mono long">{tpm}</span>
        </Row>
      )}
      {witnesses.length > 0 && (
        <Row label={t("protection.witnesses")}>
          {t("protection.witnessesValue", { required, all: witnesses.length })}
          {witnesses.map((witness) => (
            <span key={witness} class="mono long">
              {witness}
            </span>
          ))}
        </Row>
      )}
    </>
  );
}

/** Tells two configurations apart that differ in what has no words here, like the token issuer's key. */
export function ConfigurationMark({ protection, t }: { readonly protection: Protection; readonly t: Text }) {
  return (
    <Row label={t("protection.configuration")}>
      <span class="mono long" data-configuration>
        {protection.configuration}
      </span>
    </Row>
  );
}
