//! A person's device: the real client, with a key that the test holds too.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_client::api::LoginStatus;
use pinseal_client::device::DeviceKey;
use pinseal_client::evidence::{DevelopmentMeasurements, DevelopmentMode, Policy};
use pinseal_client::operation::Words;
use pinseal_client::{
    Account, AppCredentials, Attested, Client, Configuration, MemoryProfile, NewPin, OperationError, Pin, Platform,
    Profile, SecretText,
};
use pinseal_protocol::ids::DeviceId;
use pinseal_protocol::reply::{Status, Tries};

use super::clock::{TestClock, World};
use super::{App, System};

pub(crate) const PIN: &str = "482915";
pub(crate) const WRONG: &str = "482916";

pub(crate) struct Device {
    pub(crate) client: Client,
    pub(crate) key: EcdsaKeyPair,
    pub(crate) app: App,
    /// Straight to the server.
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) clock: Arc<TestClock>,
    /// The newest DPoP nonce of calls made by hand.
    pub(crate) nonce: Mutex<Option<String>>,
    /// The receipt that calls made by hand present; otherwise the client's newest.
    pub(crate) receipt: Mutex<Option<Vec<u8>>>,
    pkcs8: Vec<u8>,
}

impl Device {
    /// A device nobody has used yet.
    pub(crate) fn new(system: &System, app: &App) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::with_key(system, app, pkcs8.as_ref().to_vec())
    }

    /// The same device in another app, where it starts without session, pins and receipt.
    pub(crate) fn in_app(&self, system: &System, app: &App) -> Self {
        Self::with_key(system, app, self.pkcs8.clone())
    }

    fn with_key(system: &System, app: &App, pkcs8: Vec<u8>) -> Self {
        let profile = Profile { device: DeviceKey::from_pkcs8(&pkcs8).unwrap(), ..Profile::new().unwrap() };
        let mode = DevelopmentMode::i_understand_this_proves_nothing();
        let client = Client::new(Configuration {
            server: system.between.url.parse().unwrap(),
            app: AppCredentials {
                id: app.id.clone(),
                key: SecretText::new(app.key.clone()),
                platform: Platform::Server,
            },
            policy: Policy::development(mode, DevelopmentMeasurements::Any),
            store: Arc::new(MemoryProfile::holding(profile)),
            environment: Arc::new(World(Arc::clone(&system.clock))),
        })
        .unwrap();
        Self {
            client,
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap(),
            app: app.clone(),
            url: system.url.clone(),
            http: system.http.clone(),
            clock: Arc::clone(&system.clock),
            nonce: Mutex::default(),
            receipt: Mutex::default(),
            pkcs8,
        }
    }

    pub(crate) fn id(&self) -> DeviceId {
        pinseal_protocol::token::P256Public::of(&self.key).thumbprint()
    }

    pub(crate) async fn log_in(&self, email: &str) -> LoginStatus {
        self.client.api().log_in(email, &password(email)).await.unwrap()
    }

    pub(crate) async fn attest(&self) -> Attested {
        self.client.attest().await.unwrap()
    }

    /// Makes the wallet under [`PIN`].
    pub(crate) async fn register(&self) -> Account {
        self.attest().await.register(&new_pin(PIN), Words::Twelve, "first").await.unwrap().account
    }

    pub(crate) async fn enrol(&self, label: &str) {
        self.attest().await.enrol_device(&pin(PIN), label).await.unwrap();
    }

    /// Tries `text` as the PIN.
    pub(crate) async fn try_pin(&self, text: &str) -> Result<Tries, OperationError> {
        self.attest().await.verify_pin(&pin(text)).await
    }

    pub(crate) async fn status(&self) -> Status {
        self.attest().await.status().await.unwrap().status
    }

    /// Wrong PINs outstanding on the wallet.
    pub(crate) async fn outstanding(&self) -> u8 {
        self.status().await.outstanding
    }
}

pub(crate) fn pin(text: &str) -> Pin {
    Pin::parse(text).unwrap()
}

pub(crate) fn new_pin(text: &str) -> NewPin {
    NewPin::choose(pin(text)).unwrap()
}

/// Everybody's password, of one length for all.
pub(crate) fn password(_: &str) -> SecretText {
    SecretText::new("correct-horse-7".into())
}
