//! The HTTP API of Pinseal: login, sessions, apps, and the seams to wallets and networks.
//!
//! Everything here runs on the host and sees ciphertext only: no type of this crate can hold a PIN, a seed or a private key
//! of a wallet.

mod apps;
mod auth;
mod carried;
mod clock;
mod codes;
mod config;
mod dpop;
mod edge;
mod idempotency;
mod input;
mod issuer;
mod kept;
mod limits;
mod lines;
mod login;
mod logo;
mod mail;
mod metrics;
mod networks;
mod nodes;
mod openapi;
mod output;
mod page;
mod passwords;
mod problem;
mod routes;
#[cfg(test)]
mod secrets;
mod serve;
mod state;
mod theme;
mod turns;
mod wallet_settings;
mod wallets;

pub use apps::{AppError, CreatedApp, CreatedKey, change_theme, create_app, create_key, revoke_origin};
pub use clock::{Clock, SystemClock};
pub use config::{Config, ConfigError, Limits, MailConfig, SmtpUrl, TpmConfig};
pub use issuer::{Issuer, IssuerError};
pub use login::{Credential, LoginError, LoginProvider, VerifiedIdentity, Visitor};
pub use logo::{LOGO_BYTES_MAX, Logo, LogoError};
pub use mail::{MailError, Outbox};
pub use metrics::{Sample, Value};
pub use networks::{
    BalancesBody, FeeTierBody, FeesBody, GapBody, NativeBody, NetworkBody, Networks, NetworksError, PrepareCall,
    PreparedBody, Room, TokenBody, TokenProblemBody, TxBody, TxPageBody,
};
pub use openapi::document as openapi_document;
pub use page::WalletPage;
pub use problem::table::{ErrorEntry, HTTP_ERRORS, markdown as errors_markdown, refusal_entry};
pub use serve::{ServeError, serve};
pub use state::{AppState, Parts, StartError};
pub use theme::{ThemeError, accent, parse_colour};
pub use wallet_settings::{ListedToken, WalletImage, WalletSettingsError};
pub use wallets::{
    AnchorStatus, BeginCall, Begun, EnclaveStatus, EnrolmentStatus, Evidence, SealedCall, TpmStatus, Wallets,
    WalletsError, WitnessesStatus,
};

/// A boxed future, so that the seams can be trait objects.
pub type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub use routes::router;
