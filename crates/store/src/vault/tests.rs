#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::secret::SecretBytes;
use pinseal_protocol::token::{ACCESS_TYP, AccessClaims, P256Public, StorageClaims, sign};

use super::*;

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
pub(crate) const DEPLOYMENT: DeploymentId = DeploymentId([5; 16]);

fn storage_key() -> StorageKey {
    StorageKey::new(&SecretBytes::take(&mut [0x57; 32]))
}

/// A login service and the vault that trusts it.
pub(crate) struct Login {
    pub(crate) vault: Vault,
    key: EcdsaKeyPair,
}

impl Login {
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let issuer =
            Issuer { issuer: "https://login".into(), audience: DEPLOYMENT.to_string(), key: P256Public::of(&key) };
        Self { vault: Vault::new(issuer, storage_key(), &DEPLOYMENT), key }
    }

    pub(crate) fn claims(wallet: u8, operation: Method, jti: &str) -> StorageClaims {
        StorageClaims {
            iss: "https://login".into(),
            aud: storage_audience(&DEPLOYMENT),
            wallet: UserIdHash([wallet; 32]).to_string(),
            operation: operation.name().into(),
            jti: jti.into(),
            iat: NOW.0,
            exp: NOW.0 + 600,
        }
    }

    pub(crate) fn sign(&self, claims: &StorageClaims) -> String {
        storage_key().sign(claims).unwrap().expose_secret().to_owned()
    }

    pub(crate) fn grant(&self, wallet: u8, operation: Method, jti: &str) -> Grant {
        let token = self.sign(&Self::claims(wallet, operation, jti));
        self.vault.verify(&token, &UserIdHash([wallet; 32]), operation, NOW).unwrap()
    }

    pub(crate) fn access(&self, user: &str, life: u64) -> String {
        let claims = AccessClaims {
            iss: "https://login".into(),
            aud: DEPLOYMENT.to_string(),
            sub: user.into(),
            sid: "s".into(),
            app: "a".into(),
            jti: "j".into(),
            iat: NOW.0,
            exp: NOW.0 + life,
            cnf: AccessClaims::confirmation(&DeviceId([1; 32])),
        };
        sign(ACCESS_TYP, &claims, &self.key).unwrap()
    }
}

fn refusal(login: &Login, token: &str, operation: Method, now: UnixSeconds) -> VaultError {
    login.vault.verify(token, &UserIdHash([1; 32]), operation, now).unwrap_err()
}

#[test]
fn a_token_opens_one_wallet_for_one_operation_once() {
    let login = Login::new();
    let token = login.sign(&Login::claims(1, Method::Sign, "a"));
    let other = UserIdHash([2; 32]);
    assert_eq!(login.vault.verify(&token, &other, Method::Sign, NOW).unwrap_err(), VaultError::Invalid);
    assert_eq!(refusal(&login, &token, Method::VerifyPin, NOW), VaultError::Invalid);
    let grant = login.vault.verify(&token, &UserIdHash([1; 32]), Method::Sign, NOW).unwrap();
    assert_eq!((grant.wallet(), grant.operation()), (&UserIdHash([1; 32]), Method::Sign));
    assert_eq!(refusal(&login, &token, Method::Sign, NOW), VaultError::Spent);
    // Another signature over the same id is still the same token.
    let again = login.sign(&Login::claims(1, Method::Sign, "a"));
    assert_eq!(refusal(&login, &again, Method::Sign, NOW), VaultError::Spent);
}

#[test]
fn a_token_ends_with_its_expiry() {
    let login = Login::new();
    let token = login.sign(&Login::claims(1, Method::Sign, "a"));
    assert_eq!(refusal(&login, &token, Method::Sign, UnixSeconds(NOW.0 + 600)), VaultError::Expired);
    login.vault.verify(&token, &UserIdHash([1; 32]), Method::Sign, UnixSeconds(NOW.0 + 599)).unwrap();
}

#[test]
fn every_changed_claim_is_refused() {
    let login = Login::new();
    let good = Login::claims(1, Method::Sign, "a");
    let changed = [
        StorageClaims { iss: "https://other".into(), ..good.clone() },
        StorageClaims { aud: DEPLOYMENT.to_string(), ..good.clone() },
        StorageClaims { aud: storage_audience(&DeploymentId([6; 16])), ..good.clone() },
        StorageClaims { wallet: "00".into(), ..good.clone() },
        StorageClaims { operation: "anything".into(), ..good.clone() },
        StorageClaims { jti: String::new(), ..good.clone() },
        StorageClaims { exp: NOW.0 + STORAGE_TOKEN_SECONDS_MAX + 1, ..good.clone() },
        StorageClaims { iat: NOW.0 + 300, ..good.clone() },
        StorageClaims { iat: NOW.0 + 700, ..good.clone() },
    ];
    for claims in changed {
        assert_eq!(refusal(&login, &login.sign(&claims), Method::Sign, NOW), VaultError::Invalid, "{claims:?}");
    }
    login.vault.verify(&login.sign(&good), &UserIdHash([1; 32]), Method::Sign, NOW).unwrap();
}

#[test]
fn a_token_of_another_key_or_kind_is_refused() {
    let login = Login::new();
    let claims = Login::claims(1, Method::Sign, "a");
    let forged = StorageKey::new(&SecretBytes::take(&mut [0x58; 32])).sign(&claims).unwrap();
    assert_eq!(refusal(&login, forged.expose_secret(), Method::Sign, NOW), VaultError::Invalid);
    let asymmetric = sign("storage+jwt", &claims, &login.key).unwrap();
    assert_eq!(refusal(&login, &asymmetric, Method::Sign, NOW), VaultError::Invalid);
    assert_eq!(refusal(&login, &login.access("user", 60), Method::Sign, NOW), VaultError::Invalid);
    let storage = login.sign(&Login::claims(1, Method::Sign, "a"));
    let wallet = UserIdHash([1; 32]);
    assert_eq!(login.vault.begin(&storage, wallet, NOW).unwrap_err(), VaultError::Invalid);
    let expired = login.access("user", 0);
    assert_eq!(login.vault.begin(&expired, wallet, NOW).unwrap_err(), VaultError::Expired);
    // Remembered as verified, and yet it ends.
    let short = login.access("user", 60);
    let first = login.vault.begin(&short, wallet, NOW).unwrap();
    let again = login.vault.begin(&short, wallet, UnixSeconds(NOW.0 + 59)).unwrap();
    assert_eq!(first.subject, again.subject);
    assert_eq!(login.vault.begin(&short, wallet, UnixSeconds(NOW.0 + 60)).unwrap_err(), VaultError::Expired);
}

#[test]
fn a_grant_gives_exactly_the_writes_of_its_operation() {
    let login = Login::new();
    for (number, method) in Method::ALL.iter().enumerate() {
        let mut grant = login.grant(1, *method, &number.to_string());
        for _ in 0..method.writes() {
            assert_eq!(grant.permit().unwrap().wallet, UserIdHash([1; 32]));
        }
        assert_eq!(grant.permit().unwrap_err(), VaultError::WritesSpent, "{}", method.name());
    }
}

#[test]
fn an_unused_grant_goes_back_and_a_used_one_does_not() {
    let login = Login::new();
    let token = login.sign(&Login::claims(1, Method::Sign, "a"));
    let wallet = UserIdHash([1; 32]);
    let grant = login.vault.verify(&token, &wallet, Method::Sign, NOW).unwrap();
    login.vault.give_back(grant);
    let mut grant = login.vault.verify(&token, &wallet, Method::Sign, NOW).unwrap();
    grant.permit().unwrap();
    login.vault.give_back(grant);
    assert_eq!(refusal(&login, &token, Method::Sign, NOW), VaultError::Spent);
}

#[test]
fn used_tokens_are_forgotten_only_after_they_expire() {
    let login = Login::new();
    let spent = |now| login.vault.spent.lock().unwrap().add(Hash32([9; 32]), UnixSeconds(NOW.0 + 10), now);
    spent(NOW).unwrap();
    assert_eq!(spent(UnixSeconds(NOW.0 + 9)).unwrap_err(), VaultError::Spent);
    spent(UnixSeconds(NOW.0 + 10)).unwrap();
}
