import { type DeviceInfo, toHex } from "@pinseal/client";
import { useState } from "preact/hooks";
import { dateOf } from "../moment.ts";
import { Button, Notice, Problem } from "../ui/basics.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Head } from "./shell.tsx";

export function Devices({ state, flow, t, wallet }: WalletProps) {
  const [leaving, setLeaving] = useState<DeviceInfo>();
  const revoke = (device: DeviceInfo) => {
    // What is under way comes to its end first; the question stays meanwhile, and its button shows that.
    if (state.busy) return;
    setLeaving(undefined);
    void flow.revoke(device.device);
  };
  const used = wallet.devices.reduce((sum, { outstanding }) => sum + outstanding, 0);
  return (
    <>
      <Head flow={flow} t={t} title={t("devices.title")} />
      <p class="lead">{t("devices.lead")}</p>
      <ul class="card list">
        {wallet.devices.map((device) => {
          const isThis = toHex(device.device) === wallet.device;
          return (
            <li key={toHex(device.device)} data-device={device.label}>
              <span class="badge">
                <Icon name="devices" />
              </span>
              <span class="grow">
                <span class="title">
                  {printable(device.label)} {isThis && <span class="chip">{t("devices.this")}</span>}
                </span>
                <span class="faint">
                  {t("devices.since", { date: dateOf(Number(device.enrolled), state.preferences.language) })}
                  {device.outstanding > 0 && ` · ${t("devices.outstanding", { count: device.outstanding })}`}
                </span>
              </span>
              {!isThis && (
                <Button
                  kind="quiet"
                  label={t("devices.revokeNamed", { label: printable(device.label) })}
                  onClick={() => setLeaving(device)}
                >
                  {t("devices.revoke")}
                </Button>
              )}
            </li>
          );
        })}
      </ul>
      <section class="card">
        <h2>{t("devices.tries")}</h2>
        <p>{t("devices.triesLeft", { count: wallet.tries.left })}</p>
        {used > 0 && (
          <Button isBusy={state.busy} onClick={() => void flow.clearTries()}>
            {t("devices.clear")}
          </Button>
        )}
        <Button icon="activity" onClick={() => flow.go("history")}>
          {t("history.open")}
        </Button>
      </section>
      <Problem note={state.problem} t={t} />
      {leaving !== undefined && (
        <Dialog
          title={t("devices.revokeNamed", { label: printable(leaving.label) })}
          onCancel={() => setLeaving(undefined)}
          step="ask"
        >
          <Notice kind="caution">{t("devices.revokeAsk")}</Notice>
          <div class="actions">
            <Button onClick={() => setLeaving(undefined)}>{t("common.cancel")}</Button>
            <Button kind="danger" isBusy={state.busy} onClick={() => revoke(leaving)}>
              {t("devices.revoke")}
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** A label was typed on some device: what does not show, or turns text around, is left out. */
export function printable(label: string): string {
  return label.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "");
}
