//! Which types of the server hold a secret; none of them gives it away.

use pinseal_probe::{assert_keeps_secret, assert_never_written};

use crate::apps::CreatedKey;
use crate::auth::{Caller, SealedCaller};
use crate::codes::{CodeKey, RefreshToken};
use crate::dpop::DpopGuard;
use crate::issuer::Issuer;
use crate::login::{Credential, SessionBody};
use crate::mail::Letter;
use crate::passwords::Password;
use crate::routes::login::{LoginRequest, ResetRequest, SignUpRequest, VerifyRequest};
use crate::routes::session::RefreshRequest;
use crate::routes::wallet::{BeginBody, SealedBody};
use crate::wallets::{BeginCall, SealedCall};

// A new secret type is added here; leaving one out is what a review looks for.
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
    Password,
    RefreshRequest,
    RefreshToken,
    ResetRequest,
    SealedBody,
    SealedCall,
    SealedCaller,
    SignUpRequest,
    VerifyRequest,
);
// The two answers that carry tokens to their owner.
assert_keeps_secret!(BeginBody, SessionBody);
