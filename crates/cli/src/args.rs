//! The command line: what every command takes and what its help says.

mod client;
mod operator;
mod tpm;
mod witness;

use clap::{Parser, Subcommand};

pub(crate) use client::{
    AcceptRestoreArgs, AccountsArgs, BalanceArgs, ClientArgs, Devices, EvidenceArgs, HistoryArgs, LoginArgs, NitroArgs,
    Pin, PinArgs, SendArgs, Sessions, SignMessageArgs, SignTypedDataArgs, Speed, TransactionsArgs, WalletCommand,
    WalletCreateArgs,
};
pub(crate) use operator::{
    AppAddArgs, AppCommand, AppCreateArgs, AppKeyArgs, AppListArgs, AppLookArgs, AppRemoveArgs, AppThemeArgs,
    BackupArgs, CatcherArgs, ConfigChangeArgs, ConfigCommand, ConfigShowArgs, DemoArgs, Dev, FundArgs, GuardArgs,
    InitArgs, MailArgs, PairArgs, PassphraseArgs, RestoreArgs, ResumeArgs, SealedArgs, ServeArgs, UpArgs,
};
pub(crate) use tpm::TpmArgs;
pub(crate) use witness::{
    DIRECTORY, WitnessCommand, WitnessDirectory, WitnessEndArgs, WitnessInitArgs, WitnessPlace, WitnessServeArgs,
    WitnessTrustArgs, WitnessesArgs,
};

/// Width of help texts; fixed, so that they read the same everywhere and can be compared.
const WIDTH: usize = 100;

/// Exit codes, as listed under `pinseal --help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says why
  2  the command line is wrong
  3  wrong PIN; the message says how many tries are left
  4  no try is left, or not yet
  5  nobody is logged in, or the session has ended
  6  the service does not answer or is at fault; no PIN was judged
  7  evidence, address, receipt, signature or state is not what it must be
  8  you said no

A person meets prompts; a program gives secrets on file descriptors (--pin-fd, --password-fd) and reads --json.
Errors in JSON go to standard error.";

/// What a history says, and what it cannot.
const HISTORY: &str = "\
Each PIN attempt leaves two writes in the log of the service's enclave: one before the PIN is looked at, one after. Only the wallet's \
enrolled devices can read them. Every write shown is proven to be in that log; one that is left out, changed or put in another's \
place ends the command with exit code 7.

`never answered` means that no verdict followed: the service failed in between, and the try stayed counted. Times are the \
service's word. Of its own starts it could hide all but the newest.";

/// Wallets for your users, on your own machines: keys live in an enclave, PINs never reach the server.
#[derive(Debug, Parser)]
#[command(name = "pinseal", version, long_about = None, term_width = WIDTH, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true, disable_help_subcommand = true, subcommand_help_heading = "Commands")]
pub(crate) struct Arguments {
    /// Print the result as one JSON value on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole main job in one minute, in a temporary directory
    Demo(DemoArgs),
    /// Start the whole system on this machine and keep it running
    Up(UpArgs),
    /// Make a new deployment in a data directory, without starting it
    Init(InitArgs),
    /// Run the host process alone; `up` does this for you
    Serve(ServeArgs),
    /// Show or change what the deployment is sealed with: witnesses, token issuer
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Copy everything a deployment needs to come back, but the sealing passphrase, into a new directory; also while it serves
    Backup(BackupArgs),
    /// Make an older state the state again, after the newest was lost; every wallet's owner has to agree
    Restore(Box<RestoreArgs>),
    /// Resume enrolment, after too many wrong PINs of devices that are not enrolled have paused it
    Resume(ResumeArgs),
    /// Run a witness, which cosigns other deployments' checkpoints
    #[command(subcommand, arg_required_else_help = true)]
    Witness(WitnessCommand),
    /// Register apps
    #[command(subcommand, arg_required_else_help = true)]
    App(AppCommand),
    /// Help for development: test money and caught mail
    #[command(subcommand, arg_required_else_help = true)]
    Dev(Dev),
    /// Log in by e-mail; offers to sign up if there is no such user
    Login(LoginArgs),
    /// End the session on this machine and on the server
    Logout(ClientArgs),
    /// Make a wallet
    #[command(subcommand, arg_required_else_help = true)]
    Wallet(WalletCommand),
    /// List addresses, each with the enclave's statement verified
    Accounts(AccountsArgs),
    /// List the service's networks
    Networks(ClientArgs),
    /// Show what an account holds
    Balance(BalanceArgs),
    /// Send coins or tokens: shows what will be signed, asks, signs in the enclave, broadcasts, waits for the receipt
    Send(SendArgs),
    /// Sign a message (EIP-191)
    SignMessage(SignMessageArgs),
    /// Sign typed data (EIP-712) from a JSON file
    SignTypedData(SignTypedDataArgs),
    /// Check or change the PIN
    #[command(subcommand, arg_required_else_help = true)]
    Pin(Pin),
    /// List, enrol and revoke the wallet's devices; give back used-up tries
    #[command(subcommand, arg_required_else_help = true)]
    Devices(Devices),
    /// Accept that the operators put an older state back; this device then has one try
    AcceptRestore(AcceptRestoreArgs),
    /// List sessions and end them from afar
    #[command(subcommand, arg_required_else_help = true)]
    Sessions(Sessions),
    /// Fetch and verify the enclave's evidence, or check a document in a file
    Evidence(EvidenceArgs),
    /// Show the service, the enclave's hardening and this wallet's tries
    Status(ClientArgs),
    /// List what was sent
    Transactions(TransactionsArgs),
    /// List every attempt on your key, by whichever device, and check that none is left out
    #[command(after_help = HISTORY)]
    History(HistoryArgs),
    /// Start a program so that it ends with its parent
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Catch mail on two handed-over ports
    #[command(hide = true)]
    MailCatcher(CatcherArgs),
}
