import type { NetworkInfo, TransactionInfo } from "@pinseal/client";
import { glance } from "../amount.ts";
import { coinOf } from "../coin.ts";
import type { Text } from "../i18n/text.ts";
import { dateOf } from "../moment.ts";
import type { Language } from "../preferences.ts";
import type { Wallet } from "../state/state.ts";
import { shortAddress } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { networkName } from "./settings.tsx";
import { Head } from "./shell.tsx";
import { Waits } from "./waits.tsx";

export function Activity(props: WalletProps) {
  const { flow, t, wallet } = props;
  return (
    <>
      <Head flow={flow} t={t} title={t("activity.title")} />
      <p class="lead">{t("activity.lead", { network: networkName(wallet.network, t) })}</p>
      <Transactions {...props} />
    </>
  );
}

export function Transactions({ state, flow, t, wallet, max }: WalletProps & { readonly max?: number }) {
  const { activity, network, account } = wallet;
  if (activity.kind === "loading") return <p class="card empty">{t("common.loading")}</p>;
  if (activity.kind === "failed") {
    return <p class="card empty">{t(activity.problem.text, activity.problem.values)}</p>;
  }
  const items = activity.value.slice(0, max);
  if (items.length === 0) return <p class="card empty">{t("activity.none")}</p>;
  const { language } = state.preferences;
  // The one just behind what is missing says it for all that wait.
  const waiting = activity.value.filter(({ status, waits_for }) => status === "pending" && waits_for).at(-1);
  return (
    <>
      {waiting !== undefined && (
        <section class="card" data-waits={waiting.hash}>
          <Waits
            transaction={waiting}
            t={t}
            language={language}
            isBusy={state.busy}
            onFill={() => void flow.requests.fill({ network: network.caip2, account })}
          />
        </section>
      )}
      <ul class="card list">
        {items.map((item) => (
          <Item key={item.hash} item={item} tokens={wallet.tokens} network={network} t={t} language={language} />
        ))}
      </ul>
    </>
  );
}

function Item(props: {
  readonly item: TransactionInfo;
  readonly tokens: Wallet["tokens"];
  readonly network: NetworkInfo;
  readonly t: Text;
  readonly language: Language;
}) {
  const { item, tokens, network, t, language } = props;
  const { symbol, decimals } = coinOf(network);
  const known = tokens.kind === "here" ? tokens.value.map(({ token }) => token) : [];
  const token = known.find(({ address }) => address.toLowerCase() === item.to?.toLowerCase());
  return (
    <li class="payment" data-hash={item.hash} data-status={item.status}>
      <span class="badge">
        <Icon name="send" />
      </span>
      <span class="grow">
        <span class="title">
          {token !== undefined
            ? t("activity.token", { symbol: token.symbol })
            : item.to === undefined
              ? t("activity.created")
              : t("activity.sentTo", { address: shortAddress(item.to) })}
        </span>
        <span class="faint">
          <span class={`status ${item.status}`}>{t(`status.${item.status}`)}</span>
          {item.submitted_at !== undefined && item.submitted_at > 0 && (
            <When seconds={item.submitted_at} language={language} />
          )}
        </span>
      </span>
      {/* A call that pays nothing has no amount. */}
      {item.value > 0n && (
        <span class="figure">
          −{glance(item.value, decimals)} {symbol}
        </span>
      )}
      <Explorer network={network} hash={item.hash} t={t} />
    </li>
  );
}

/** The way to a transaction's page at the explorer that the host names. */
export function Explorer({ network, hash, t }: Pick<Parameters<typeof Item>[0], "network" | "t"> & { hash: string }) {
  const link = explorerLink(network.explorer, hash);
  return link === undefined ? null : (
    <a class="out" href={link} target="_blank" rel="noreferrer noopener" aria-label={t("activity.explorer")}>
      <Icon name="outside" />
    </a>
  );
}

/** Of an explorer that the host names: a page to look at, by https and nothing else. */
function explorerLink(explorer: string | undefined, hash: string): string | undefined {
  if (explorer === undefined || !/^0x[0-9a-f]{64}$/i.test(hash)) return undefined;
  try {
    const url = new URL(`${explorer.replace(/\/+$/, "")}/tx/${hash}`);
    return url.protocol === "https:" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** Behind something else: a moment that the host names; no line ends within it. */
export function When({ seconds, language }: { readonly seconds: number; readonly language: Language }) {
  return (
    <>
      <span class="dot"> · </span>
      <time>{dateOf(seconds, language)}</time>
    </>
  );
}
