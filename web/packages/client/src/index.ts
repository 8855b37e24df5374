/** Client of Pinseal: login, evidence, sealed requests, signatures. Importing it touches nothing. */

export { type Account, AccountError } from "./account.js";
export { ApiError, type ApiFault, type Problem } from "./api/error.js";
export type { Login, Me, SessionInfo } from "./api/login.js";
export type { Balances, Fee, Fees, NetworkInfo, Networks, Preparation, Prepared } from "./api/networks.js";
export type { AppCredentials } from "./api/server.js";
export type { LoginStatus } from "./api/session.js";
export type { Gap, Paging, TransactionInfo, TransactionPage } from "./api/transactions.js";
export { type Acceptance, Attested, type Registered, type WalletStatus } from "./attested.js";
export { type Bytes, fromHex, toHex } from "./bytes.js";
export { CborError, type Lax } from "./cbor/error.js";
export { Client, type ClientOptions } from "./client.js";
export { type Environment, system } from "./environment.js";
export { PinsealError } from "./errors.js";
export { EvidenceError } from "./evidence/error.js";
export type { NitroDocument } from "./evidence/payload.js";
export { type DevelopmentTrust, type NitroImage, type NitroTrust, type Pcrs, Policy } from "./evidence/policy.js";
export { authenticate, type Expected, type Verified, verifyEvidence } from "./evidence/verify.js";
export { type AddressFault, checksum, parseAddress } from "./evm/address.js";
export type { Authorization, SignedAuthorization } from "./evm/authorization.js";
export { IntentError } from "./evm/error.js";
export { ResultError } from "./evm/prepare.js";
export type { RecoverableSignature } from "./evm/signature.js";
export {
  type AccessListItem,
  type DynamicFee,
  type Kind,
  parseSigned,
  parseUnsigned,
  type SignedTransaction,
  type Transaction,
} from "./evm/transaction.js";
export { TypedDataError } from "./evm/typed-data/error.js";
export type { Attempt, AttemptResult } from "./history/attempts.js";
export { HistoryError, type HistoryFault } from "./history/error.js";
export type { Event, History } from "./history/history.js";
export { authorization, personalMessage, transaction, typedData } from "./intents.js";
export {
  DelayedError,
  type Fault,
  FaultError,
  LockedError,
  OperationError,
  RefusedError,
  ReplyLostError,
  ServiceFaultError,
  WrongPinError,
} from "./operation/error.js";
export type { Accepted, Known, Outgoing, OutgoingState } from "./outgoing.js";
export { type Argon2, type Argon2Job, argon2InThread, argon2InWorker, type WorkerLike } from "./pin/argon2.js";
export { NewPin, Pin, PinError } from "./pin/pin.js";
export type { DeviceKey } from "./profile/device.js";
export { IndexedDbStore } from "./profile/indexed-db.js";
export {
  type PinnedDeployment,
  type PinnedWallet,
  type Profile,
  ProfileError,
  type Protection,
  type Receipt,
  type Session,
  type StoredProfile,
} from "./profile/profile.js";
export { MemoryStore, type ProfileAccess, type ProfileStore } from "./profile/store.js";
export { BeginError } from "./protocol/begin.js";
export { isConsistent } from "./protocol/consistency.js";
export { EnvelopeError } from "./protocol/envelope.js";
export { accountPath, type Intent, type Signed } from "./protocol/intent.js";
export { LIFE_WARNING } from "./protocol/limits.js";
export type { Tree } from "./protocol/log.js";
export type { Manifest } from "./protocol/manifest.js";
export type { Refusal } from "./protocol/refusal.js";
export type { DeviceInfo, Status, Tries } from "./protocol/reply.js";
export { ReceiptError } from "./receipt.js";
export { erc20Transfer, type PreparedTransaction, type Prices, type TransactionRequest } from "./send.js";
export { SendError } from "./send-error.js";
export type { Surroundings } from "./unsettled.js";
export { nativeOf, viewOf, viewWith } from "./view/index.js";
export { english, SENTENCES, type Sentence, type SentenceKey, sentence, type Value } from "./view/sentences.js";
export type { Context, Native, Token, View, ViewKind, Warning, WarningCode } from "./view/view.js";
