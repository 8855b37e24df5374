//! Which types of the server hold a secret; none of them gives it away.

use pinseal_probe::{assert_keeps_secret, assert_never_written};
use pinseal_protocol::ids::DeploymentId;
use pinseal_protocol::secret::SecretText;

use crate::apps::CreatedKey;
use crate::auth::{Caller, SealedCaller, WalletCaller};
use crate::codes::{CodeKey, RefreshToken};
use crate::config::{Config, MailConfig, SmtpUrl};
use crate::dpop::DpopGuard;
use crate::issuer::Issuer;
use crate::login::email::Reset;
use crate::login::{Credential, SessionBody};
use crate::mail::{Letter, Outbox};
use crate::passwords::{Memory, Password};
use crate::routes::login::{LoginRequest, ResetRequest, SignUpRequest, VerifyRequest};
use crate::routes::session::RefreshRequest;
use crate::routes::wallet::{BeginBody, SealedAnswer, SealedBody};
use crate::wallets::{BeginCall, SealedCall};

// A new secret type is added here; `journeys` finds the one that is left out.
assert_never_written!(
    BeginCall,
    Caller,
    CodeKey,
    CreatedKey,
    Credential,
    DpopGuard,
    Issuer,
    Letter,
    LoginRequest,
    Memory,
    Outbox,
    Password,
    RefreshRequest,
    RefreshToken,
    Reset,
    ResetRequest,
    SealedBody,
    SealedCall,
    SealedCaller,
    SignUpRequest,
    SmtpUrl,
    VerifyRequest,
    WalletCaller,
);
// The answers that carry tokens to their owner, and the settings that are a file of their operator's.
assert_keeps_secret!(BeginBody, Config, MailConfig, SealedAnswer, SessionBody);

const SECRET: &str = "zilpzalp4711";

#[test]
fn debug_shows_nothing() {
    let secret = || SecretText::new(SECRET.to_owned());
    let mail = MailConfig { smtp_url: format!("smtps://user:{SECRET}@mail.example").into(), ..MailConfig::default() };
    let silent = [
        format!("{:?}", Password::typed(&secret())),
        format!("{:?}", CreatedKey { app_key: secret() }),
        format!("{mail:?} {mail:#?}"),
    ];
    for shown in silent {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::create(&directory.path().join("issuer.p8"), DeploymentId([7; 16])).expect("a key");
    assert_eq!(format!("{issuer:?}"), format!("Issuer {{ name: \"pinseal:{}\", .. }}", "07".repeat(16)));
}
