/** The form of a payment. What it becomes is shown again, from the bytes, before anybody is asked for a PIN. */

import { parseAddress } from "@pinseal/client";
import { useEffect, useState } from "preact/hooks";
import { atMost, formatAmount, glance, parseAmount } from "../amount.ts";
import { coinOf } from "../coin.ts";
import type { Payment } from "../flow/requests.ts";
import type { Text } from "../i18n/text.ts";
import { isHeld } from "../state/state.ts";
import { Address, Button, Field, Notice, Problem, Select } from "../ui/basics.tsx";
import type { WalletProps } from "../ui/props.ts";
import { Head } from "./shell.tsx";

/** The network's own coin, in the list of what can be sent. */
const COIN = "coin";
const SPEEDS = ["slow", "normal", "fast"] as const;
type Fees = Awaited<ReturnType<WalletProps["flow"]["requests"]["fees"]>>;

export function Send({ state, flow, t, wallet }: WalletProps) {
  const [to, setTo] = useState(state.wanted.to ?? "");
  const [amount, setAmount] = useState(state.wanted.amount ?? "");
  const [speed, setSpeed] = useState<Payment["speed"]>("normal");
  const [asset, setAsset] = useState(COIN);
  const [isAsked, setAsked] = useState(false);
  const [fees, setFees] = useState<Fees>();
  useEffect(() => {
    let isCurrent = true;
    setFees(undefined);
    const asked = flow.requests.fees().catch(() => undefined);
    void asked.then((found) => isCurrent && setFees(found));
    return () => {
      isCurrent = false;
    };
  }, [flow, wallet.network.caip2]);

  const coin = coinOf(wallet.network);
  const holdings = wallet.tokens.kind === "here" ? wallet.tokens.value.filter(isHeld) : [];
  const holding = holdings.find(({ token }) => token.address === asset);
  const { symbol, decimals } = holding?.token ?? coin;
  const coins = wallet.balance.kind === "here" ? wallet.balance.value : undefined;
  const balance = holding === undefined ? coins : holding.amount;
  const value = parseAmount(amount, decimals);
  const recipient = readRecipient(to.trim(), wallet.account.address, t);
  const isWhole = /^0x[0-9a-fA-F]{40}$/.test(to.trim());
  // Of a token all can be sent: its fee is paid in the coin.
  const fee = holding === undefined ? (fees?.[speed] ?? 0n) : 0n;
  const amountError = amountProblem(value, balance, fee, decimals, t);
  const feeOf = (name: Payment["speed"]) => {
    // What a token's contract takes is known once it is asked, and shown before anything is approved.
    if (holding !== undefined) return "";
    if (fees === undefined) return "…";
    return t("send.upTo", { amount: `${atMost(fees[name], coin.decimals)} ${coin.symbol}` });
  };
  const submit = () => {
    setAsked(true);
    if (recipient.error !== undefined || amountError !== undefined || value === undefined) return;
    void flow.requests.pay({ to: to.trim(), value, speed, token: holding?.token });
  };
  return (
    <>
      <Head flow={flow} t={t} title={t("send.title")} back="home" />
      <form
        class="card"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        {holdings.length > 0 && (
          <Select
            label={t("send.asset")}
            value={asset}
            options={[[COIN, coin.symbol], ...holdings.map(({ token }) => [token.address, token.symbol] as const)]}
            onValue={setAsset}
          />
        )}
        <Field
          label={t("send.to")}
          name="to"
          value={to}
          onValue={setTo}
          hint={isWhole ? undefined : t("send.toHint")}
          // A whole address is judged at once, an unfinished one when it is to be sent.
          error={isAsked || to.trim().length >= 42 ? recipient.error : undefined}
          mono
          maxLength={64}
        />
        {/* The field shows as much of it as there is room for. */}
        {isWhole && (
          <p class="plate">
            <Address address={to.trim()} />
          </p>
        )}
        {recipient.caution !== undefined && <Notice kind="caution">{recipient.caution}</Notice>}
        <Field
          label={t("send.amount")}
          name="amount"
          value={amount}
          onValue={setAmount}
          inputMode="decimal"
          hint={
            balance === undefined
              ? t("home.unavailable")
              : t("send.available", { amount: `${glance(balance, decimals)} ${symbol}` })
          }
          error={isAsked ? amountError : undefined}
          maxLength={80}
          side={
            <>
              <span class="unit">{symbol}</span>
              {balance !== undefined && balance > fee && (fees !== undefined || holding !== undefined) && (
                <button type="button" class="side" onClick={() => setAmount(formatAmount(balance - fee, decimals))}>
                  {t("send.max")}
                </button>
              )}
            </>
          }
        />
        <fieldset class="tiers">
          <legend>{t("send.fee")}</legend>
          {SPEEDS.map((name) => (
            <label key={name} class="tier">
              <input type="radio" name="speed" checked={speed === name} onChange={() => setSpeed(name)} />
              <span class="tierName">{t(`send.speed.${name}`)}</span>
              <span class="tierFee">{feeOf(name)}</span>
            </label>
          ))}
        </fieldset>
        <Problem note={state.problem} t={t} />
        <Button kind="primary" type="submit" isBusy={state.busy}>
          {t("send.submit")}
        </Button>
      </form>
    </>
  );
}

function readRecipient(text: string, own: string, t: Text): { error?: string; caution?: string } {
  const address = parseAddress(text);
  if (address === "wrong_checksum") return { error: t("send.checksum") };
  if (address === "malformed") return { error: t("send.malformed") };
  if (text.toLowerCase() === own.toLowerCase()) return { caution: t("send.self") };
  const isMixed = /[A-F]/.test(text) && /[a-f]/.test(text.slice(2));
  return isMixed || /^0x[0-9]*$/.test(text) ? {} : { caution: t("send.unchecked") };
}

function amountProblem(
  value: bigint | undefined,
  balance: bigint | undefined,
  fee: bigint,
  decimals: number,
  t: Text,
): string | undefined {
  if (value === undefined) return t("send.amountMalformed", { decimals });
  if (value === 0n) return t("send.amountZero");
  return balance !== undefined && value + fee > balance ? t("send.amountTooMuch") : undefined;
}
