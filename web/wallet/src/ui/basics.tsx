/** The small parts that every screen is made of. */

import { type ComponentChildren, Fragment } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Text } from "../i18n/text.ts";
import type { Note } from "../state/state.ts";
import { Icon, type IconName } from "./icons.tsx";

interface ButtonProps {
  readonly children: ComponentChildren;
  readonly onClick?: (event: Pick<MouseEvent, "detail">) => void;
  readonly kind?: "primary" | "plain" | "quiet" | "danger";
  readonly type?: "button" | "submit";
  readonly isBusy?: boolean;
  readonly disabled?: boolean;
  readonly icon?: IconName;
  readonly label?: string;
}

export function Button(props: ButtonProps) {
  const { children, onClick, kind = "plain", type = "button", isBusy = false, disabled = false, icon, label } = props;
  return (
    <button
      type={type}
      class={`button ${kind}`}
      onClick={onClick}
      disabled={disabled}
      aria-disabled={isBusy}
      aria-busy={isBusy}
      aria-label={label}
    >
      {isBusy ? <Spinner /> : icon && <Icon name={icon} />}
      <span>{children}</span>
    </button>
  );
}

export function Spinner() {
  return <span class="spinner" aria-hidden="true" />;
}

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly type?: "text" | "email" | "password";
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
  readonly autoComplete?: string;
  readonly inputMode?: "text" | "email" | "numeric" | "decimal";
  readonly maxLength?: number;
  readonly mono?: boolean;
  readonly autoFocus?: boolean;
  readonly side?: ComponentChildren;
}

export function Field(props: FieldProps) {
  const { label, name, value, onValue, type = "text", hint, error, mono, side, autoFocus } = props;
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (autoFocus) input.current?.focus();
  }, [autoFocus]);
  const told = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class={`input ${error === undefined ? "" : "wrong"}`}>
        <input
          id={id}
          ref={input}
          name={name}
          // Preact's types have one of inputs for each type; what differs between them is not used here.
          type={type as "text"}
          value={value}
          class={mono ? "mono" : ""}
          onInput={(event) => onValue(event.currentTarget.value)}
          autocomplete={props.autoComplete ?? "off"}
          inputmode={props.inputMode}
          maxLength={props.maxLength ?? 256}
          autocapitalize="none"
          autocorrect="off"
          spellcheck={false}
          aria-invalid={error !== undefined}
          aria-describedby={told === "" ? undefined : told}
        />
        {side}
      </div>
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p class="error" id={`${id}-error`}>
          <Icon name="warning" />
          {error}
        </p>
      )}
    </div>
  );
}

/** A password, which its owner may look at. */
export function PasswordField(props: Omit<FieldProps, "type" | "side"> & { readonly t: Text }) {
  const [isShown, setShown] = useState(false);
  const { t, ...field } = props;
  const side = (
    <button
      type="button"
      class="side"
      aria-pressed={isShown}
      aria-label={t("field.show")}
      onClick={() => setShown(!isShown)}
    >
      <Icon name={isShown ? "eyeOff" : "eye"} />
    </button>
  );
  return <Field {...field} type={isShown ? "text" : "password"} side={side} />;
}

/** Something to know before going on. */
export function Notice(props: {
  readonly kind: "info" | "caution" | "danger" | "good";
  readonly children: ComponentChildren;
  readonly title?: string;
}) {
  const { kind, children, title } = props;
  const icon = { info: "info", caution: "warning", danger: "warning", good: "shield" } as const;
  return (
    <div class={`notice ${kind}`}>
      <Icon name={icon[kind]} />
      <div>
        {title !== undefined && <strong>{title}</strong>}
        <p>{children}</p>
      </div>
    </div>
  );
}

/** What went wrong; read out when it appears. */
export function Problem({ note, t }: { readonly note: Note | undefined; readonly t: Text }) {
  return (
    <div role="alert" class="problem">
      {note !== undefined && (
        <div class="notice danger">
          <Icon name="warning" />
          <div>
            <p>{t(note.text, note.values)}</p>
            {note.code !== undefined && <p class="code">{t("common.code", { code: note.code })}</p>}
          </div>
        </div>
      )}
    </div>
  );
}

/** An address in groups of four, every character of it. */
export function Address({ address }: { readonly address: string }) {
  const groups = address.slice(2).match(/.{1,4}/g) ?? [];
  return (
    <span class="address mono" data-address={address}>
      <span>0x</span>
      {groups.map((group, at) => (
        <Fragment key={`${at}`}>
          <wbr />
          <span>{group}</span>
        </Fragment>
      ))}
    </span>
  );
}

/** Where an app is served from, whole; a line ends before one of its parts rather than within. */
export function Origin({ origin }: { readonly origin: string }) {
  return (
    <span class="mono long">
      {origin.split(/(?=[.:])/).map((part, at) => (
        <Fragment key={`${at}`}>
          {at > 1 && <wbr />}
          {part}
        </Fragment>
      ))}
    </span>
  );
}

/** A sentence in which every address stands in its groups, too. */
export function Spoken({ text }: { readonly text: string }) {
  // Every second piece is an address.
  const pieces = text.split(/(?<![0-9a-zA-Z])(0x[0-9a-fA-F]{40})(?![0-9a-zA-Z])/);
  return <>{pieces.map((piece, at) => (at % 2 === 1 ? <Address key={`${at}`} address={piece} /> : piece))}</>;
}

/** First and last characters: to recognise an address, never to approve one. */
export function shortAddress(address: string): string {
  // Word joiners, so that no line breaks within it.
  return `${address.slice(0, 6)}\u2060…\u2060${address.slice(-4)}`;
}

export function CopyButton({ text, label, t }: { readonly text: string; readonly label: string; readonly t: Text }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <>
      <Button icon={isCopied ? "check" : "copy"} onClick={copy}>
        {isCopied ? t("common.copied") : label}
      </Button>
      <span class="unseen" role="status">
        {isCopied ? t("common.copied") : ""}
      </span>
    </>
  );
}

/** A value with its name. */
export function Row({ label, children }: { readonly label: string; readonly children: ComponentChildren }) {
  return (
    <div class="row">
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Select<T extends string>(props: {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [T, string])[];
  readonly onValue: (value: T) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <div class="input select">
        <select id={id} value={props.value} onChange={(event) => props.onValue(event.currentTarget.value as T)}>
          {props.options.map(([value, text]) => (
            <option key={value} value={value} selected={value === props.value}>
              {text}
            </option>
          ))}
        </select>
        <Icon name="down" />
      </div>
    </div>
  );
}
