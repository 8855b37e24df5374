import { Address, CopyButton } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Qr } from "../ui/qr.tsx";
import { networkName } from "./settings.tsx";
import { Head } from "./shell.tsx";

export function Receive({ flow, t, wallet }: WalletProps) {
  const { address } = wallet.account;
  return (
    <>
      <Head flow={flow} t={t} title={t("receive.title")} back="home" />
      <p class="lead">{t("receive.lead", { network: networkName(wallet.network, t) })}</p>
      <section class="card centred">
        <Qr text={address} label={t("receive.qr")} />
        <p class="plate">
          <Address address={address} />
        </p>
        <CopyButton text={address} label={t("receive.copy")} t={t} />
        <p class="verified">
          <Icon name="shield" />
          {t("receive.verified")}
        </p>
      </section>
    </>
  );
}
