/** Before the wallet: login, sign-up, the mailed code, a new password. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Button, Field, Notice, PasswordField, Problem } from "../ui/basics.tsx";
import type { Props } from "../ui/props.ts";

/** A form that is sent by its button and by Enter. */
function Form(props: { readonly onSubmit: () => void; readonly children: ComponentChildren }) {
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        props.onSubmit();
      }}
    >
      {props.children}
    </form>
  );
}

export function LogIn({ state, flow, t }: Props) {
  const [email, setEmail] = useState(state.wanted.email ?? "");
  const [password, setPassword] = useState("");
  const told = state.screen.name === "logIn" ? state.screen.told : undefined;
  return (
    <>
      <h1>{t("logIn.title")}</h1>
      <p class="lead">{t("logIn.lead")}</p>
      {told !== undefined && <Notice kind="info">{t(told.text, told.values)}</Notice>}
      <Form onSubmit={() => void flow.logIn(email, password)}>
        <Email t={t} email={email} setEmail={setEmail} />
        <PasswordField
          t={t}
          label={t("field.password")}
          name="password"
          value={password}
          onValue={setPassword}
          autoComplete="current-password"
        />
        <Problem note={state.problem} t={t} />
        <Button kind="primary" type="submit" isBusy={state.busy} disabled={email === "" || password === ""}>
          {t("logIn.submit")}
        </Button>
      </Form>
      <p class="links">
        <button type="button" class="link" onClick={() => flow.show("forgotten")}>
          {t("logIn.forgotten")}
        </button>
      </p>
      <p class="links">
        {t("logIn.new")}{" "}
        <button type="button" class="link" onClick={() => flow.show("signUp")}>
          {t("logIn.toSignUp")}
        </button>
      </p>
    </>
  );
}

export function SignUp({ state, flow, t }: Props) {
  const [email, setEmail] = useState(state.wanted.email ?? "");
  const [password, setPassword] = useState("");
  return (
    <>
      <h1>{t("signUp.title")}</h1>
      <p class="lead">{t("signUp.lead")}</p>
      <Form onSubmit={() => void flow.signUp(email.trim(), password)}>
        <Email t={t} email={email} setEmail={setEmail} />
        <NewPassword t={t} label={t("field.password")} password={password} setPassword={setPassword} />
        <Problem note={state.problem} t={t} />
        <Button kind="primary" type="submit" isBusy={state.busy} disabled={email === "" || password === ""}>
          {t("signUp.submit")}
        </Button>
      </Form>
      <p class="links">
        {t("signUp.have")}{" "}
        <button type="button" class="link" onClick={() => flow.show("logIn")}>
          {t("signUp.toLogIn")}
        </button>
      </p>
    </>
  );
}

export function Confirm({ state, flow, t }: Props) {
  const [code, setCode] = useState("");
  if (state.screen.name !== "confirm") return null;
  const { email } = state.screen;
  return (
    <>
      <h1>{t("confirm.title")}</h1>
      <p class="lead">{t("confirm.lead", { email })}</p>
      <Form onSubmit={() => void flow.confirm(email, code.trim())}>
        <Code t={t} hint="field.codeHint" code={code} setCode={setCode} />
        <Problem note={state.problem} t={t} />
        <Button kind="primary" type="submit" isBusy={state.busy} disabled={digitsOf(code) !== 6}>
          {t("confirm.submit")}
        </Button>
      </Form>
      <p class="links apart">
        <button
          type="button"
          class="link"
          aria-disabled={state.busy}
          aria-busy={state.busy}
          onClick={() => void flow.resend(email)}
        >
          {t("confirm.resend")}
        </button>
        <BackToLogIn flow={flow} t={t} />
      </p>
    </>
  );
}

export function Forgotten({ state, flow, t }: Props) {
  const [email, setEmail] = useState("");
  return (
    <>
      <h1>{t("forgotten.title")}</h1>
      <p class="lead">{t("forgotten.lead")}</p>
      <Form onSubmit={() => void flow.requestReset(email.trim())}>
        <Email t={t} email={email} setEmail={setEmail} />
        <Problem note={state.problem} t={t} />
        <Button kind="primary" type="submit" isBusy={state.busy} disabled={email === ""}>
          {t("forgotten.submit")}
        </Button>
      </Form>
      <p class="links">
        <BackToLogIn flow={flow} t={t} />
      </p>
    </>
  );
}

export function Reset({ state, flow, t }: Props) {
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  if (state.screen.name !== "reset") return null;
  const { email, contested } = state.screen;
  return (
    <>
      <h1>{t("forgotten.title")}</h1>
      <p class="lead">{t(contested ? "reset.contested" : "reset.lead", { email })}</p>
      <Form onSubmit={() => void flow.reset(email, code.trim(), password)}>
        <Code t={t} hint="field.resetCodeHint" code={code} setCode={setCode} />
        <NewPassword t={t} label={t("field.newPassword")} password={password} setPassword={setPassword} />
        <Problem note={state.problem} t={t} />
        <Button kind="primary" type="submit" isBusy={state.busy} disabled={digitsOf(code) !== 8 || password === ""}>
          {t("reset.submit")}
        </Button>
      </Form>
      <p class="links">
        <BackToLogIn flow={flow} t={t} />
      </p>
    </>
  );
}

function Email(props: Pick<Props, "t"> & { readonly email: string; readonly setEmail: (email: string) => void }) {
  return (
    <Field
      label={props.t("field.email")}
      name="email"
      type="email"
      value={props.email}
      onValue={props.setEmail}
      autoComplete="username"
      inputMode="email"
      autoFocus
    />
  );
}

/** People type spaces into codes; the server takes them out. */
function digitsOf(code: string): number {
  return code.replaceAll(/\s/g, "").length;
}

function Code(
  props: Pick<Props, "t"> & {
    readonly hint: "field.codeHint" | "field.resetCodeHint";
    readonly code: string;
    readonly setCode: (code: string) => void;
  },
) {
  return (
    <Field
      label={props.t("field.code")}
      name="code"
      value={props.code}
      onValue={props.setCode}
      autoComplete="one-time-code"
      inputMode="numeric"
      hint={props.t(props.hint)}
      maxLength={12}
      mono
      autoFocus
    />
  );
}

function NewPassword(
  props: Pick<Props, "t"> & {
    readonly label: string;
    readonly password: string;
    readonly setPassword: (password: string) => void;
  },
) {
  return (
    <PasswordField
      t={props.t}
      label={props.label}
      name="new-password"
      value={props.password}
      onValue={props.setPassword}
      autoComplete="new-password"
      hint={props.t("field.passwordHint")}
    />
  );
}

function BackToLogIn({ flow, t }: Pick<Props, "flow" | "t">) {
  return (
    <button type="button" class="link" onClick={() => flow.show("logIn")}>
      {t("common.back")}
    </button>
  );
}
