/** The open wallet at a glance. */

import { glance } from "../amount.ts";
import { coinOf } from "../coin.ts";
import { nextAccount } from "../flow/accounts.ts";
import { isHeld } from "../state/state.ts";
import { Button, CopyButton, Select, shortAddress } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Transactions } from "./activity.tsx";
import { networkName } from "./settings.tsx";

/** Transactions shown here. */
const RECENT_MAX = 3;

/** What the account holds of the tokens that the operator lists here. */
function Tokens({ t, wallet }: WalletProps) {
  const { tokens } = wallet;
  if (tokens.kind === "loading" || (tokens.kind === "here" && tokens.value.length === 0)) return null;
  return (
    <section aria-label={t("home.tokens")}>
      <div class="heading">
        <h2>{t("home.tokens")}</h2>
      </div>
      {tokens.kind === "failed" ? (
        <p class="card empty">{t(tokens.problem.text, tokens.problem.values)}</p>
      ) : (
        <ul class="card list">
          {tokens.value.map((told) => (
            <li key={told.token.address} data-token={told.token.symbol}>
              <span class="grow">
                <span class="title">{told.token.symbol}</span>
                <span class="faint mono">{shortAddress(told.token.address)}</span>
                {!isHeld(told) && <span class="faint">{t(`home.token.${told.problem}`)}</span>}
              </span>
              <span class="figure">
                {isHeld(told) ? `${glance(told.amount, told.token.decimals)} ${told.token.symbol}` : "–"}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function Home(props: WalletProps) {
  const { state, flow, t, wallet } = props;
  const { balance, account, accounts, network, networks } = wallet;
  const coin = coinOf(network);
  return (
    <>
      <h1 class="unseen">{t("nav.home")}</h1>
      <section class="hero" aria-label={t("home.balance")}>
        <p class="over">{t("home.balance")}</p>
        <p class="amount" aria-live="polite" data-balance>
          {balance.kind === "here" && glance(balance.value, coin.decimals)}
          {balance.kind === "loading" && <span class="faint">…</span>}
          {balance.kind === "failed" && <span class="faint small">{t("home.unavailable")}</span>} <b>{coin.symbol}</b>
        </p>
        <p class="under">
          <span class="mono">{shortAddress(account.address)}</span>
          {" · "}
          {networkName(network, t)}
        </p>
        <div class="twin">
          <Button kind="primary" icon="send" onClick={() => flow.go("send")}>
            {t("home.send")}
          </Button>
          <Button icon="receive" onClick={() => flow.go("receive")}>
            {t("home.receive")}
          </Button>
        </div>
      </section>
      <section class="card choices">
        <Select
          label={t("home.account")}
          value={String(account.index)}
          options={accounts.map(({ index, address }) => [String(index), `${index + 1} · ${shortAddress(address)}`])}
          onValue={(index) => flow.chooseAccount(Number(index))}
        />
        <Select
          label={t("home.network")}
          value={network.caip2}
          options={networks
            .filter(({ status }) => status !== "retired")
            .map((known) => [known.caip2, networkName(known, t)])}
          onValue={(caip2) => flow.chooseNetwork(caip2)}
        />
        <div class="wide spread">
          <CopyButton text={account.address} label={t("receive.copy")} t={t} />
          {nextAccount(accounts) !== undefined && (
            <Button kind="quiet" icon="plus" isBusy={state.busy} onClick={() => void flow.addAccount()}>
              {t("home.addAccount")}
            </Button>
          )}
        </div>
      </section>
      <Tokens {...props} />
      <section aria-label={t("home.recent")}>
        <div class="heading">
          <h2>{t("home.recent")}</h2>
          <button type="button" class="link" onClick={() => flow.go("activity")}>
            {t("home.all")}
            <Icon name="next" />
          </button>
        </div>
        <Transactions {...props} max={RECENT_MAX} />
      </section>
      <p class="hint">{t("home.hostWord")}</p>
    </>
  );
}
