/** What would be signed, read from the very bytes; then what became of it. */

import type { TransactionInfo, View } from "@pinseal/client";
import { formatAmount, grouped } from "../amount.ts";
import { coinOf } from "../coin.ts";
import { en, type MessageKey } from "../i18n/messages.ts";
import type { Text } from "../i18n/text.ts";
import { paymentOf, tokenPayment } from "../payment.ts";
import type { Open } from "../state/state.ts";
import { Address, Button, Notice, Origin, Problem, Row, Spinner, Spoken } from "../ui/basics.tsx";
import { Icon } from "../ui/icons.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Explorer } from "./activity.tsx";
import { Earlier } from "./earlier.tsx";
import { networkName } from "./settings.tsx";
import { Waits } from "./waits.tsx";

type ReviewProps = WalletProps & { readonly open: Open };

export function Review(props: ReviewProps) {
  switch (props.open.step) {
    case "review":
      return <Before {...props} />;
    case "sending":
      return (
        <div class="waiting" role="status">
          <Spinner />
          <h1>{props.t("sending.title")}</h1>
        </div>
      );
    case "unsent":
      return <Unsent {...props} problem={props.open.problem} />;
    case "sent":
      return <Sent {...props} transaction={props.open.transaction} />;
  }
}

function Before({ state, flow, t, wallet, open }: ReviewProps) {
  const { from, items, elsewhere } = open.request;
  return (
    <>
      <h1>{t("review.title")}</h1>
      {from.kind === "app" && (
        <p class="lead">
          {t("review.app", { name: from.name })} <Origin origin={from.origin} />
        </p>
      )}
      {items.map(({ view }, at) => (
        <section key={`${at}`} class="card">
          {elsewhere !== undefined && (
            <Notice kind="danger" title={t("review.warning.danger")}>
              {t("warning.elsewhere", { site: elsewhere })}
            </Notice>
          )}
          <Warnings view={view} t={t} />
          {view.kind === "value_transfer" ? (
            <Transfer t={t} wallet={wallet} open={open} />
          ) : (
            <Meaning t={t} wallet={wallet} open={open} view={view} />
          )}
          <Fields view={view} t={t} isNumbered={!takesNonce(open)} />
        </section>
      ))}
      <Earlier state={state} flow={flow} t={t} open={open} />
      <Problem note={state.problem} t={t} />
      <div class="actions">
        <Button onClick={() => void flow.requests.deny()}>{t("review.reject")}</Button>
        <Button kind="primary" isBusy={state.busy || state.isFresh} onClick={() => void flow.requests.approve()}>
          {t("review.approve")}
        </Button>
      </div>
    </>
  );
}

/** What a message says, or a call or typed data mean; and from which account, on which network, for what fee. */
function Meaning({ t, wallet, open, view }: Pick<ReviewProps, "t" | "wallet" | "open"> & { readonly view: View }) {
  const { account, network, fee, value, to } = open.request;
  const { symbol, decimals } = coinOf({ caip2: network });
  const amount = (units: bigint) => `${grouped(formatAmount(units, decimals))} ${symbol}`;
  const said = view.kind === "message" ? view.fields.find(isSaid) : undefined;
  const paid = tokenPayment(view);
  return (
    <>
      {paid !== undefined ? (
        <p class="headline">{t("review.send", { amount: paid.amount })}</p>
      ) : (
        <div class="long meaning">
          <p class="headline">{t.decoded(view.words.title)}</p>
          {view.words.summary.map((sentence, at) => (
            <p key={`${at}`}>
              <Spoken text={t.decoded(sentence)} />
            </p>
          ))}
        </div>
      )}
      {said !== undefined && <blockquote class="said">{said.value}</blockquote>}
      <dl class="rows">
        {paid !== undefined && (
          <Row label={t("review.to")}>
            <Address address={paid.to} />
          </Row>
        )}
        <Row label={t(fee === undefined ? "review.signer" : "review.from")}>
          {t("home.accountName", { number: account.index + 1 })} <Address address={account.address} />
        </Row>
        {view.kind !== "message" && (
          <Row label={t("review.network")}>
            <Chain chain={network} wallet={wallet} t={t} />
          </Row>
        )}
        {to !== undefined && (
          <Row label={t("review.contract")}>
            <Address address={to} />
          </Row>
        )}
        {value !== undefined && value > 0n && <Row label={t("review.amount")}>{amount(value)}</Row>}
        {fee !== undefined && <Row label={t("review.fee")}>{amount(fee)}</Row>}
      </dl>
    </>
  );
}

/** The host's name for a network, and the chain that is signed for, which no host can rename. */
export function Chain({ chain, wallet, t }: { readonly chain: string } & Pick<ReviewProps, "wallet" | "t">) {
  const known = wallet.networks.find(({ caip2 }) => caip2 === chain);
  return (
    <>
      {known && networkName(known, t)} <span class="hint">{chain}</span>
    </>
  );
}

/** The message itself, as text or as bytes. */
function isSaid({ label }: View["fields"][number]): boolean {
  return label === "Message" || label === "Message (hex)";
}

function Transfer({ t, wallet, open }: Pick<ReviewProps, "t" | "wallet" | "open">) {
  const { request } = open;
  const { value = 0n, fee = 0n, to = "", account, network } = request;
  const { symbol, decimals } = coinOf({ caip2: network });
  const amount = (units: bigint) => `${grouped(formatAmount(units, decimals))} ${symbol}`;
  return (
    <>
      <p class="headline">{t("review.send", { amount: amount(value) })}</p>
      <dl class="rows">
        <Row label={t("review.to")}>
          <Address address={to} />
        </Row>
        <Row label={t("review.from")}>
          {t("home.accountName", { number: account.index + 1 })} <Address address={account.address} />
        </Row>
        <Row label={t("review.network")}>
          <Chain chain={network} wallet={wallet} t={t} />
        </Row>
        <Row label={t("review.fee")}>{amount(fee)}</Row>
        <Row label={t("review.total")}>
          <b>{amount(value + fee)}</b>
        </Row>
      </dl>
    </>
  );
}

/** Fields whose value may be a word: a limit, a deadline, a chain, an answer. */
const WORDED: ReadonlySet<string> = new Set(["Amount", "Deadline", "Network", "Approved"]);

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const BYTES = /^([0-9]+) bytes$/;

/** What can cost everything stands before anything else. */
function dangerFirst({ warnings, words }: View) {
  const said = warnings.map((warning, at) => ({ ...warning, words: words.warnings[at] }));
  return said.sort((a, b) => Number(b.severity === "danger") - Number(a.severity === "danger"));
}

function Warnings({ view, t }: { readonly view: View; readonly t: Text }) {
  return (
    <>
      {dangerFirst(view).map(({ code, severity, text, words }) => (
        <div key={code} class={`notice ${severity}`}>
          <Icon name="warning" />
          <div>
            <strong>{t(`review.warning.${severity}`)}</strong>
            <p>{t(`warning.${code}`)}</p>
            <p class="faint">
              <Spoken text={words === undefined ? text : t.decoded(words)} />
            </p>
          </div>
        </div>
      ))}
    </>
  );
}

/** True if the nonce is taken after the approval: of a transaction that takes no other's place. */
function takesNonce({ request: { proposed } }: Open): boolean {
  return proposed !== undefined && proposed.request.nonce === undefined && proposed.request.nextNonce === undefined;
}

function Fields({ view, t, isNumbered }: { readonly view: View; readonly t: Text; readonly isNumbered: boolean }) {
  const label = (name: string) => (`label.${name}` in en ? t(`label.${name}` as MessageKey) : name);
  // Words of the decoder's own stand in fields of its own; what an app wrote stays as it wrote it.
  const value = (name: string, text: string) => {
    const [, bytes] = (name === "Length" && BYTES.exec(text)) || [];
    if (bytes !== undefined) return t("value.bytes", { count: Number(bytes) });
    return WORDED.has(name) && `value.${text}` in en ? t(`value.${text}` as MessageKey) : text;
  };
  return (
    <details open={!["value_transfer", "token_transfer"].includes(view.kind)}>
      <summary>{t("common.details")}</summary>
      <p class="hint">
        {t("review.decoded")} {!isNumbered && t("review.nonce")}
      </p>
      <dl class="rows">
        {view.fields
          .filter((field) => view.kind !== "message" || !isSaid(field))
          .map((field, at) => (
            <Row key={`${at}`} label={label(field.label)}>
              {ADDRESS.test(field.value) ? (
                <Address address={field.value} />
              ) : (
                <span class="mono long">{value(field.label, field.value)}</span>
              )}
            </Row>
          ))}
      </dl>
    </details>
  );
}

function Unsent({ flow, t, problem }: ReviewProps & { readonly problem: Parameters<typeof Problem>[0]["note"] }) {
  return (
    <>
      <h1>{t("unsent.title")}</h1>
      <Problem note={problem} t={t} />
      <p class="lead">{t("unsent.lead")}</p>
      <div class="actions">
        <Button onClick={() => void flow.requests.deny()}>{t("common.close")}</Button>
        <Button kind="primary" onClick={() => void flow.requests.sendAgain()}>
          {t("unsent.again")}
        </Button>
      </div>
    </>
  );
}

function Sent({ state, flow, t, wallet, open, transaction }: ReviewProps & { readonly transaction: TransactionInfo }) {
  const { status, hash } = transaction;
  const paid = paymentOf(open.request, wallet.networks);
  const network = wallet.networks.find(({ caip2 }) => caip2 === open.request.network) ?? wallet.network;
  const isSettled = status === "mined" || status === "final";
  const key: MessageKey =
    status === "failed"
      ? "sent.failed"
      : isSettled
        ? "sent.mined"
        : status === "pending"
          ? "sent.pending"
          : "sent.gone";
  const close = () => {
    void flow.requests.deny();
    flow.go("home");
  };
  return (
    <div class="outcome">
      <div class={`seal ${status === "failed" ? "bad" : ""}`}>
        {status === "pending" ? <Spinner /> : <Icon name={isSettled ? "check" : "warning"} />}
      </div>
      <h1>{t("sent.title")}</h1>
      <p class="lead" role="status" data-status={status}>
        {t(key)}
      </p>
      <Waits
        transaction={transaction}
        t={t}
        language={state.preferences.language}
        isBusy={state.busy}
        onFill={() => void flow.requests.fill(open.request)}
      />
      <dl class="rows">
        {paid !== undefined && (
          <>
            <Row label={t("review.amount")}>
              <b>{paid.amount}</b>
            </Row>
            <Row label={t("review.to")}>
              <Address address={paid.to} />
            </Row>
          </>
        )}
        <Row label={t("sent.hash")}>
          <span class="mono long">{hash}</span>
          <Explorer network={network} hash={hash} t={t} />
        </Row>
      </dl>
      <Button kind="primary" onClick={close}>
        {t("common.done")}
      </Button>
    </div>
  );
}
