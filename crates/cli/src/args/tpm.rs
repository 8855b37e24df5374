//! Arguments that name a TPM.

use clap::Args;
use pinseal_anchor::TpmPlace;

/// Which TPM anchors a new deployment.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TpmArgs {
    /// Anchor the new deployment in this TPM (anchor level L2), for good: /dev/tpmrm0, or tcp://127.0.0.1:PORT of a software TPM for tests
    #[arg(long, value_name = "PLACE", conflicts_with = "witness")]
    pub(crate) tpm: Option<TpmPlace>,
}
