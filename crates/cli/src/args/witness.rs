//! Arguments that name witnesses, and those of `pinseal witness`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use pinseal_protocol::note::VerifierKey;

/// Who cosigns a new deployment's checkpoints.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WitnessesArgs {
    /// A witness that cosigns every step of the new deployment (anchor level L4): its verifier key, then where it answers, like
    /// 'witness.example/w1+6a1b2c3d+BEo... https://witness.example'; may be repeated
    #[arg(long, value_name = "VKEY URL", value_parser = place)]
    pub(crate) witness: Vec<WitnessPlace>,
    /// How many of the n witnesses must cosign: more than half; 2K - n of them may lie before a guess can be bought back
    /// [default: n - (n - 1) / 3]
    #[arg(long, value_name = "K", requires = "witness")]
    pub(crate) witnesses_required: Option<u8>,
}

/// A witness and where it answers.
#[derive(Debug, Clone)]
pub(crate) struct WitnessPlace {
    pub(crate) key: VerifierKey,
    pub(crate) url: String,
}

pub(super) fn place(text: &str) -> Result<WitnessPlace, String> {
    let (key, url) = text.split_once(' ').ok_or("give the verifier key, a space, and the URL")?;
    let key = key.parse().map_err(|error: pinseal_protocol::note::NoteFormError| error.to_string())?;
    Ok(WitnessPlace { key, url: url.trim().trim_end_matches('/').to_owned() })
}

#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Make a witness: a key and an empty file
    Init(WitnessInitArgs),
    /// Cosign a deployment's log from now on, at once also where the witness serves
    #[command(after_help = TRUST)]
    Trust(WitnessTrustArgs),
    /// Cosign nothing more of a log, nor of those before it: for a witness that a restored deployment left behind
    #[command(after_help = END)]
    End(WitnessEndArgs),
    /// Answer logs over HTTP (C2SP tlog-witness)
    Serve(WitnessServeArgs),
    /// Show the key, and the newest checkpoint cosigned of each log
    Status(WitnessDirectory),
}

/// Below the help of `pinseal witness trust`: which of two keys, from whom, and where.
const TRUST: &str = "\
Run it where the witness is, with the verifier key that the deployment's operator hands over:
`pinseal init` and `pinseal restore` print it as \"log key\", and host/log.vkey in the deployment's
data directory holds it. It is not the witness's own key, which goes the other way: to --witness
or --add-witness. Trusting a log twice does no harm, and a log is never forgotten.";

/// Below the help of `pinseal witness end`.
const END: &str = "\
A witness that goes on with a restored deployment does this by itself. One that was replaced in the
restore hears nothing of it, and would go on cosigning the log of before, in which PIN changes and
revocations since then do not count. It cannot be taken back.";

/// Where a witness is unless somebody says otherwise.
pub(crate) const DIRECTORY: &str = "pinseal-witness";

#[derive(Debug, Clone, Args)]
pub(crate) struct WitnessDirectory {
    /// The witness's directory
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct WitnessInitArgs {
    #[command(flatten)]
    pub(crate) place: WitnessDirectory,
    /// Its name, like witness.example/w1: without spaces and plus signs. Cannot be changed later
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct WitnessTrustArgs {
    #[command(flatten)]
    pub(crate) place: WitnessDirectory,
    /// The log's verifier key, in quotes: pinseal.dev/DEPLOYMENT+ID+KEY, after a restore pinseal.dev/DEPLOYMENT/NUMBER+ID+KEY
    #[arg(value_name = "VKEY")]
    pub(crate) log: VerifierKey,
}

#[derive(Debug, Args)]
pub(crate) struct WitnessEndArgs {
    #[command(flatten)]
    pub(crate) place: WitnessDirectory,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// The verifier key of the log from before the restore, in quotes
    #[arg(value_name = "VKEY")]
    pub(crate) log: VerifierKey,
}

#[derive(Debug, Args)]
pub(crate) struct WitnessServeArgs {
    #[command(flatten)]
    pub(crate) place: WitnessDirectory,
    /// Address and port to listen on; port 0 takes a free one. TLS is a proxy's business
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8790")]
    pub(crate) listen: SocketAddr,
}
