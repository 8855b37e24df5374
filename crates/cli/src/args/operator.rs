//! Arguments of the commands that run a deployment.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use pinseal_anchor::TpmPlace;
use pinseal_protocol::limits::{BREAKER_DEFAULT, BREAKER_MAX, BREAKER_MIN};
use pinseal_server::SmtpUrl;

use super::{TpmArgs, WitnessesArgs};

/// Where the sealing passphrase comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct PassphraseArgs {
    /// Read the sealing passphrase from this file descriptor
    #[arg(long, value_name = "N", conflicts_with = "ask_passphrase")]
    pub(crate) passphrase_fd: Option<RawFd>,
    /// Ask for the sealing passphrase
    #[arg(long)]
    pub(crate) ask_passphrase: bool,
}

/// How enclave and host are started.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
    /// Run the enclave as this system user (only as root) [default: pinseal-enclave, if there is one]
    #[arg(long, value_name = "USER")]
    pub(crate) enclave_user: Option<String>,
    /// Run the host as this system user (only as root) [default: pinseal-host, if there is one]
    #[arg(long, value_name = "USER")]
    pub(crate) host_user: Option<String>,
    /// Hardening measures the enclave may lack, by name, separated by commas
    #[arg(long, value_name = "NAMES")]
    pub(crate) allow_missing: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Data directory; made on the first run
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// Port of the wallet API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8787)]
    pub(crate) port: u16,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Origin of the wallet page: a host of its own that leads to the wallet API's port, like https://wallet.example.org; port 0 stands for PORT [default:
    /// http://wallet.localhost:PORT, unless other machines reach that port]
    #[arg(long, value_name = "URL")]
    pub(crate) wallet_url: Option<String>,
    /// Port of the mailbox page; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8788)]
    pub(crate) mailbox_port: u16,
    /// Port of the local EVM node; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8545)]
    pub(crate) node_port: u16,
    /// Do not start a local EVM node
    #[arg(long)]
    pub(crate) no_dev_node: bool,
    /// Send mail through this server instead of catching it, like smtps://mail.example.org. One with a password, like
    /// smtps://user:password@mail.example.org, goes into the environment variable PINSEAL_SMTP: every user of this machine can read arguments
    #[arg(long, value_name = "URL", value_parser = smtp_url)]
    pub(crate) smtp: Option<Arc<SmtpUrl>>,
    /// How often an hour enclave and host are started again by themselves
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) restarts: usize,
    #[command(flatten)]
    pub(crate) pair: PairArgs,
}

/// Clap copies what it has parsed: copies of a handle share the one secret.
fn smtp_url(text: &str) -> Result<Arc<SmtpUrl>, Infallible> {
    Ok(Arc::new(text.into()))
}

/// What a new deployment is sealed with.
#[derive(Debug, Clone, Args)]
pub(crate) struct SealedArgs {
    #[command(flatten)]
    pub(crate) witnesses: WitnessesArgs,
    #[command(flatten)]
    pub(crate) tpm: TpmArgs,
    /// Pause enrolment for everybody at this many wrong PINs of devices that are not enrolled, outstanding over all wallets, until
    /// `pinseal resume`
    #[arg(long, value_name = "N", default_value_t = BREAKER_DEFAULT, value_parser = breaker())]
    pub(crate) breaker: u32,
}

impl Default for SealedArgs {
    fn default() -> Self {
        Self { witnesses: WitnessesArgs::default(), tpm: TpmArgs::default(), breaker: BREAKER_DEFAULT }
    }
}

fn breaker() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(BREAKER_MIN)..=i64::from(BREAKER_MAX))
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Data directory to make
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) sealed: SealedArgs,
    #[command(flatten)]
    pub(crate) pair: PairArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The host's directory: `host` inside a data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Connected unix socket to the enclave
    #[arg(long, value_name = "N", required_unless_present_any = ["enclave_socket", "describe"], conflicts_with = "enclave_socket")]
    pub(crate) enclave_fd: Option<RawFd>,
    /// Path of the enclave's unix socket
    #[arg(long, value_name = "PATH")]
    pub(crate) enclave_socket: Option<PathBuf>,
    /// Listening TCP socket for the API
    #[arg(long, value_name = "N", conflicts_with = "listen")]
    pub(crate) listen_fd: Option<RawFd>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787")]
    pub(crate) listen: std::net::SocketAddr,
    /// Read what only this run has (JSON: SMTP URL, local node) from this file descriptor
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) run_fd: Option<RawFd>,
    /// Have the enclave make the deployment's root, store it, and exit
    #[arg(long, hide = true)]
    pub(crate) create: bool,
    /// Carry out the change of the configuration that was ordered, and exit
    #[arg(long, hide = true, conflicts_with = "create")]
    pub(crate) change: bool,
    /// Say what is here, for a change of the configuration, or copy it into a backup, and exit
    #[arg(long, hide = true)]
    pub(crate) describe: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what the deployment is sealed with
    Show(ConfigShowArgs),
    /// Change it, while the deployment is stopped: logged, anchored, and seen by every client
    Change(Box<ConfigChangeArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// The host's system user (only as root) [default: pinseal-host, if there is one]
    #[arg(long, value_name = "USER")]
    pub(crate) host_user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigChangeArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// Add a witness (and so anchor level L4, where there was none): its verifier key, then where it answers; may be repeated
    #[arg(long = "add-witness", value_name = "VKEY URL", value_parser = super::witness::place)]
    pub(crate) add: Vec<super::witness::WitnessPlace>,
    /// Remove the witness of this name; may be repeated
    #[arg(long = "remove-witness", value_name = "NAME")]
    pub(crate) remove: Vec<String>,
    /// How many of the n witnesses must cosign from now on [default: n - (n - 1) / 3]
    #[arg(long, value_name = "K")]
    pub(crate) witnesses_required: Option<u8>,
    /// Move the deployment into this TPM (anchor level L2): /dev/tpmrm0, or tcp://127.0.0.1:PORT of a software TPM for tests. Where the one it is
    /// in is lost, `pinseal restore` moves it
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["add", "remove", "witnesses_required"])]
    pub(crate) tpm: Option<TpmPlace>,
    /// Pause enrolment at this many wrong PINs of devices that are not enrolled
    #[arg(long, value_name = "N", value_parser = breaker())]
    pub(crate) breaker: Option<u32>,
    /// Make a new key for the token issuer; tokens given out under the old one end
    #[arg(long)]
    pub(crate) new_issuer_key: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) pair: PairArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) pair: PairArgs,
}

impl From<ResumeArgs> for ConfigChangeArgs {
    /// A change of nothing.
    fn from(ResumeArgs { data, yes, pair }: ResumeArgs) -> Self {
        let (add, remove) = (Vec::new(), Vec::new());
        let (witnesses_required, tpm, breaker) = (None, None, None);
        Self { data, add, remove, witnesses_required, tpm, breaker, new_issuer_key: false, yes, pair }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// Directory to make, best on another machine's disk; with a system user for the host, one that it reaches
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// The host's system user (only as root) [default: pinseal-host, if there is one]
    #[arg(long, value_name = "USER")]
    pub(crate) host_user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) change: ConfigChangeArgs,
    /// Give up a change of the configuration, or a restore, that is in the log and cannot be finished: what is restored is the state before it
    #[arg(long)]
    pub(crate) give_up_change: bool,
    /// Number of this restore, more than any before [default: one more than database and anchor know of]
    #[arg(long, value_name = "N")]
    pub(crate) number: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Register an app and print its App ID and App Keys; the keys are shown this once
    Create(AppCreateArgs),
    /// List the apps with what their keys are bound to
    List(AppListArgs),
    /// Make further keys of an app, for further origins for example; they are shown this once
    Add(AppAddArgs),
    /// Change how an app is shown in the wallet page: its name, its colour, its logo
    Theme(AppThemeArgs),
    /// Take origins away from an app: its keys for them are revoked, and its pages there neither frame nor open the wallet
    Remove(AppRemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AppCreateArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// Name, as users see it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) keys: AppKeyArgs,
    #[command(flatten)]
    pub(crate) look: AppLookArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AppThemeArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// App ID
    #[arg(long, value_name = "APP_ID")]
    pub(crate) app: String,
    /// Another name, as users see it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) look: AppLookArgs,
    /// Back to the wallet's own colour
    #[arg(long, conflicts_with = "accent")]
    pub(crate) no_accent: bool,
    /// No logo any more
    #[arg(long, conflicts_with = "logo")]
    pub(crate) no_logo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AppLookArgs {
    /// The app's colour in the wallet page, like #1d4ed8; one that cannot be read there is refused
    #[arg(long, value_name = "COLOUR")]
    pub(crate) accent: Option<String>,
    /// Its colour in the dark [default: the same, lightened as far as it has to be]
    #[arg(long, value_name = "COLOUR", requires = "accent")]
    pub(crate) accent_dark: Option<String>,
    /// The app's logo in the wallet page: a square PNG of 32 to 512 pixels a side and 64 KiB at most
    #[arg(long, value_name = "FILE")]
    pub(crate) logo: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AppListArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AppAddArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// App ID
    #[arg(long, value_name = "APP_ID")]
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) keys: AppKeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AppRemoveArgs {
    /// Data directory of the deployment
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
    /// App ID
    #[arg(long, value_name = "APP_ID")]
    pub(crate) app: String,
    /// An origin as it was registered; may be repeated
    #[arg(long, value_name = "ORIGIN", required = true)]
    pub(crate) origin: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AppKeyArgs {
    /// A key for pages of exactly this origin, like https://shop.example.org; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Vec<String>,
    /// A key for this Android package; may be repeated
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) android: Vec<String>,
    /// A key for this iOS bundle id; may be repeated
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) ios: Vec<String>,
    /// A key for back ends and command lines
    #[arg(long)]
    pub(crate) server: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dev {
    /// Give test money of the local EVM node to an address
    Fund(Box<FundArgs>),
    /// Show caught mail
    Mail(MailArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FundArgs {
    /// Who gets it [default: the first account of the wallet logged in here]
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// How much, in whole coins
    #[arg(value_name = "AMOUNT", default_value = "10")]
    pub(crate) amount: String,
    #[command(flatten)]
    pub(crate) client: super::ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MailArgs {
    /// Wait for the next mail to this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) wait: Option<String>,
    /// Seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) patience: u64,
    /// Data directory of the development system
    #[arg(long, value_name = "DIR", default_value = "pinseal-data")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the data directory and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    /// The process whose end ends this one
    #[arg(long)]
    pub(crate) parent: u32,
    /// A descriptor the program inherits besides its standard streams; may be repeated
    #[arg(long)]
    pub(crate) keep_fd: Vec<RawFd>,
    /// User to run the program as
    #[arg(long, requires = "gid")]
    pub(crate) uid: Option<u32>,
    /// Its group
    #[arg(long, requires = "uid")]
    pub(crate) gid: Option<u32>,
    /// A further group of that user's; may be repeated
    #[arg(long, requires = "uid")]
    pub(crate) group: Vec<u32>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CatcherArgs {
    /// Listening socket for SMTP
    #[arg(long)]
    pub(crate) smtp_fd: RawFd,
    /// Listening socket for the mailbox page
    #[arg(long)]
    pub(crate) http_fd: RawFd,
}
