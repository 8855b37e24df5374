//! Arguments of the client commands.

use std::convert::Infallible;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use pinseal_client::SecretText;

/// What every client command takes. All of it has a default once `pinseal up` or `pinseal login` ran here.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Address of the service, like https://wallet.example.org
    #[arg(long, value_name = "URL", env = "PINSEAL_SERVER", hide_env_values = true, help_heading = "Service")]
    pub(crate) server: Option<String>,
    /// App ID
    #[arg(long, value_name = "ID", env = "PINSEAL_APP_ID", hide_env_values = true, help_heading = "Service")]
    pub(crate) app_id: Option<String>,
    /// App Key for servers and command lines
    #[arg(long, value_name = "KEY", env = "PINSEAL_APP_KEY", hide_env_values = true, help_heading = "Service", value_parser = app_key)]
    pub(crate) app_key: Option<Arc<SecretText>>,
    /// Accept software evidence, which proves nothing about hardware
    #[arg(long, help_heading = "Service")]
    pub(crate) development: bool,
    /// With --development: accept only this enclave program, by its hash in 64 hex digits; may be repeated
    #[arg(long, value_name = "HEX", help_heading = "Service")]
    pub(crate) measurement: Vec<String>,
    #[command(flatten)]
    pub(crate) nitro: NitroArgs,
    /// Profile to use: a name, kept under ~/.config/pinseal, or a path with a slash [default: ./.pinseal if it exists or a
    /// development system is found here, else ~/.config/pinseal/default]
    #[arg(long, value_name = "PROFILE", env = "PINSEAL_PROFILE", hide_env_values = true, help_heading = "Service")]
    pub(crate) profile: Option<String>,
    /// Data directory of a development system to take defaults from
    #[arg(long, value_name = "DIR", default_value = "pinseal-data", help_heading = "Service")]
    pub(crate) data: PathBuf,
}

/// Clap copies what it has parsed: copies of a handle share the one secret.
fn app_key(text: &str) -> Result<Arc<SecretText>, Infallible> {
    Ok(Arc::new(SecretText::new(text.to_owned())))
}

/// Which AWS Nitro images are trusted. Who names one accepts no other kind of evidence.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NitroArgs {
    /// AWS Nitro image to trust: its PCR 0 as 96 hex digits from the release notes, together with --pcr1 and --pcr2; repeat the three
    /// for every further image
    #[arg(long, value_name = "HEX", help_heading = "Service")]
    pub(crate) pcr0: Vec<String>,
    /// Its PCR 1
    #[arg(long, value_name = "HEX", help_heading = "Service")]
    pub(crate) pcr1: Vec<String>,
    /// Its PCR 2
    #[arg(long, value_name = "HEX", help_heading = "Service")]
    pub(crate) pcr2: Vec<String>,
    /// A further PCR that must match in every image, like 8=HEX for the signing certificate; may be repeated
    #[arg(long, value_name = "N=HEX", help_heading = "Service")]
    pub(crate) pcr: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    /// Check the AWS Nitro document in this file (`-` is standard input) under AWS's root, without asking the service
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// With --file: check as of this moment, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", requires = "file")]
    pub(crate) at: Option<u64>,
    /// With --file: the nonce the document must answer
    #[arg(long, value_name = "HEX", requires = "file")]
    pub(crate) nonce: Option<String>,
    /// With --file: the manifest the document must be about
    #[arg(long, value_name = "FILE", requires = "file", conflicts_with = "user_data")]
    pub(crate) manifest: Option<PathBuf>,
    /// With --file: the user data the document must state
    #[arg(long, value_name = "HEX", requires = "file")]
    pub(crate) user_data: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Where the PIN comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct PinArgs {
    /// Read the PIN from this file descriptor instead of asking
    #[arg(long, value_name = "N")]
    pub(crate) pin_fd: Option<RawFd>,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// E-mail address
    #[arg(value_name = "EMAIL")]
    pub(crate) email: String,
    /// Sign up as a new user, without asking first
    #[arg(long)]
    pub(crate) sign_up: bool,
    /// Set a new password with a mailed code
    #[arg(long, conflicts_with = "sign_up")]
    pub(crate) reset: bool,
    /// Read the password from this file descriptor instead of asking
    #[arg(long, value_name = "N")]
    pub(crate) password_fd: Option<RawFd>,
    /// Read the mailed code from this file descriptor instead of asking (a development system's mailbox is read by itself); with --reset
    /// no further one is mailed
    #[arg(long, value_name = "N")]
    pub(crate) code_fd: Option<RawFd>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Set a PIN and make the wallet; its key is born in the enclave
    Create(WalletCreateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WalletCreateArgs {
    /// Words of the recovery phrase behind the wallet: 12 or 24
    #[arg(long, value_name = "WORDS", default_value = "24", value_parser = ["12", "24"])]
    pub(crate) words: String,
    /// Name of this device, as shown in the list of devices [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    #[command(flatten)]
    pub(crate) pin: PinArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AccountsArgs {
    /// How many accounts to show, from the first one on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BalanceArgs {
    /// Network, by name (Ethereum) or as CAIP-2 (eip155:1) [default: the development chain, or the only one]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Token contract to show as well; may be repeated
    #[arg(long, value_name = "CONTRACT")]
    pub(crate) token: Vec<String>,
    /// Account, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) account: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// How much a sender is willing to pay for being early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speed {
    /// Cheapest
    Slow,
    /// Usual
    Normal,
    /// Next block or two
    Fast,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Recipient
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// Amount in whole units, like 0.01
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Network, by name (Ethereum) or as CAIP-2 (eip155:1), with --yes the latter [default: the development chain, or without --yes the only one]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Send this ERC-20 token instead of the network's coin
    #[arg(long, value_name = "CONTRACT")]
    pub(crate) token: Option<String>,
    /// The token's decimals, as its issuer states them; with --yes needed for the first transfer of a token
    #[arg(long, value_name = "N", requires = "token", value_parser = clap::value_parser!(u8).range(..=77))]
    pub(crate) decimals: Option<u8>,
    /// Take the place of this transaction of the account, which is in no block: one of the two can be carried out
    #[arg(long, value_name = "HASH")]
    pub(crate) replace: Option<String>,
    /// Pay beside this earlier transaction, as it stood when `send` told of it, whatever becomes of it: what is in no block may be carried out at any time, unless a block holds another one with its nonce; may be repeated
    #[arg(long, value_name = "HASH:STANDING")]
    pub(crate) beside: Vec<String>,
    /// Most the fee may be, in whole coins of the network
    #[arg(long, value_name = "AMOUNT", default_value = "0.05")]
    pub(crate) max_fee: String,
    /// Most gas to allow, for a recipient that is a contract [default for coins: 21000, which is what an account takes]
    #[arg(long, value_name = "GAS")]
    pub(crate) gas_limit: Option<u64>,
    /// Fee
    #[arg(long, value_enum, value_name = "SPEED", default_value_t = Speed::Normal)]
    pub(crate) fee: Speed,
    /// Account, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) account: u32,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print the transaction hash at once, without waiting for the receipt
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) pin: PinArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SignMessageArgs {
    /// The message; `-` reads it from standard input
    #[arg(value_name = "MESSAGE")]
    pub(crate) message: String,
    /// The message is hex and stands for its bytes
    #[arg(long)]
    pub(crate) hex: bool,
    /// Account, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) account: u32,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) pin: PinArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SignTypedDataArgs {
    /// File with the JSON of eth_signTypedData_v4; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Network, by name (Ethereum) or as CAIP-2 (eip155:1) [default: the domain's chainId]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Account, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) account: u32,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) pin: PinArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pin {
    /// Check the PIN and do nothing else; a wrong one costs a try
    Verify {
        #[command(flatten)]
        pin: PinArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Set a new PIN
    Change {
        #[command(flatten)]
        pin: PinArgs,
        /// Read the new PIN from this file descriptor instead of asking
        #[arg(long, value_name = "N")]
        new_pin_fd: Option<RawFd>,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Devices {
    /// List the wallet's devices
    List(ClientArgs),
    /// Enrol this device; before, it can do nothing else
    Enrol {
        /// Name of this device, as shown in the list of devices [default: the machine's name]
        #[arg(long, value_name = "NAME")]
        label: Option<String>,
        /// First address of your wallet: a login that leads to another wallet gets no PIN; needed where nobody looks on (--json, --pin-fd, no terminal)
        #[arg(long, value_name = "ADDRESS")]
        address: Option<String>,
        #[command(flatten)]
        pin: PinArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Revoke a device
    Revoke {
        /// The device's id, or the first eight or more characters of it
        #[arg(value_name = "DEVICE")]
        device: String,
        #[command(flatten)]
        pin: PinArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Give back all used-up tries
    Clear {
        #[command(flatten)]
        pin: PinArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions
    List(ClientArgs),
    /// End a session
    Revoke {
        /// The session's id
        #[arg(value_name = "SESSION")]
        session: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TransactionsArgs {
    /// Network, by name (Ethereum) or as CAIP-2 (eip155:1) [default: the development chain, or the only one]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Account, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) account: u32,
    /// How many to list at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// How many attempts to list and check, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// List and check every attempt there ever was
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AcceptRestoreArgs {
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
