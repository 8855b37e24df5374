import type { Flow } from "../flow/flow.ts";
import type { Text } from "../i18n/text.ts";
import type { State, Wallet } from "../state/state.ts";

/** What every screen is a function of. */
export interface Props {
  readonly state: State;
  /** What somebody can do; called by handlers alone. */
  readonly flow: Flow;
  readonly t: Text;
}

/** Of the screens of an open wallet. */
export interface WalletProps extends Props {
  readonly wallet: Wallet;
}
