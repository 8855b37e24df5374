import type { NetworkInfo, Outgoing, TransactionInfo } from "@pinseal/client";
import { glance } from "../amount.ts";
import { coinOf } from "../coin.ts";
import type { Text } from "../i18n/text.ts";
import { dateOf } from "../moment.ts";
import { earlierOf } from "../payment.ts";
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
  const { unlisted, elsewhere } = activity.value;
  const items = activity.value.items.slice(0, max);
  const { language } = state.preferences;
  // The one just behind what is missing says it for all that wait.
  const waiting = activity.value.items.filter(({ status, waits_for }) => status === "pending" && waits_for).at(-1);
  return (
    <>
      {unlisted.length > 0 && (
        <section class="card">
          <p class="hint">{t("activity.unlisted")}</p>
          <ul class="list">
            {unlisted
              .slice(-(max ?? unlisted.length))
              .reverse()
              .map((entry) => (
                <Unlisted key={entry.hash} entry={entry} flow={flow} network={network} t={t} language={language} />
              ))}
          </ul>
        </section>
      )}
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
      {items.length > 0 ? (
        <ul class="card list">
          {items.map((item) => (
            <Item key={item.hash} item={item} tokens={wallet.tokens} network={network} t={t} language={language} />
          ))}
        </ul>
      ) : (
        <div class="card empty">
          {/* What there is the host says; of its list alone can this page speak. */}
          <p>{t("activity.none")}</p>
          {[...elsewhere].map(([chain, count]) => (
            <p key={chain} data-elsewhere={chain}>
              {t("activity.elsewhere", { count, network: chainName(wallet, chain, t) })}
            </p>
          ))}
        </div>
      )}
    </>
  );
}

function chainName({ networks }: Wallet, chain: string, t: Text): string {
  const known = networks.find(({ caip2 }) => caip2 === chain);
  return known === undefined ? chain : `${networkName(known, t)} (${chain})`;
}

/** What this device signed, and the host's list lacks: read from the bytes that were approved. */
function Unlisted(
  props: Pick<Parameters<typeof Item>[0], "network" | "t" | "language"> & {
    readonly entry: Outgoing;
    readonly flow: WalletProps["flow"];
  },
) {
  const { entry, flow, network, t, language } = props;
  const { view, paid } = earlierOf(entry, flow.tokensOf(entry.network));
  return (
    <li class="payment" data-unlisted={entry.hash}>
      <span class="badge">
        <Icon name="warning" />
      </span>
      <span class="grow">
        <span class="title">
          {paid === undefined
            ? t.decoded(view.words.title)
            : t("earlier.paid", { amount: paid.amount, to: shortAddress(paid.to) })}
        </span>
        <span class="faint">
          <time>{dateOf(entry.signedAt, language)}</time>
        </span>
      </span>
      <Explorer network={network} hash={entry.hash} t={t} />
    </li>
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
