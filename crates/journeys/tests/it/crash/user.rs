//! A person with one device: the real client library, a profile in memory.

use std::sync::Arc;

use pinseal_chains::evm::{RecoverableSig, personal_message_digest};
use pinseal_client::environment::Wait;
use pinseal_client::evidence::{DevelopmentMeasurements, DevelopmentMode, Policy};
use pinseal_client::intents::personal_message;
use pinseal_client::operation::{WalletStatus, Words};
use pinseal_client::{
    Address, Attested, Client, Configuration, Environment, EvidenceError, MemoryProfile, NewPin, OperationError, Pin,
    ProfileStore as _, SecretText, System,
};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::{AccountIndex, Signed};

use super::deployment::Door;

pub const PIN: &str = "482915";
pub const NEW_PIN: &str = "739164";
pub const WRONG_PIN: &str = "482916";

/// The real clock and randomness; waits are over at once, since nobody resends to a dead host for long.
#[derive(Debug)]
struct Impatient;

impl Environment for Impatient {
    fn now(&self) -> UnixSeconds {
        System.now()
    }

    fn fill_random(&self, out: &mut [u8]) {
        System.fill_random(out);
    }

    fn sleep(&self, _: std::time::Duration) -> Wait {
        Box::pin(std::future::ready(()))
    }
}

/// A person.
#[derive(Clone)]
pub struct User {
    email: String,
    profile: Arc<MemoryProfile>,
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn pin(text: &str) -> Pin {
    Pin::parse(text).unwrap()
}

pub fn new_pin(text: &str) -> NewPin {
    NewPin::choose(pin(text)).unwrap()
}

fn password() -> SecretText {
    SecretText::new("correct horse 42 battery".into())
}

impl User {
    /// Signs up and logs in.
    pub async fn sign_up(door: &Door, email: &str) -> Self {
        let user = Self { email: email.to_owned(), profile: Arc::new(MemoryProfile::default()) };
        let client = user.client(door);
        client.api().sign_up(email, &password(), None).await.unwrap();
        let code = mailed_code(&door.mailbox, email).await;
        client.api().verify_email(email, &SecretText::new(code)).await.unwrap();
        client.api().log_in(email, &password()).await.unwrap();
        user
    }

    /// Signs up, logs in, and has a wallet under [`PIN`].
    pub async fn registered(door: &Door, email: &str) -> (Self, Address) {
        let user = Self::sign_up(door, email).await;
        let attested = user.attested(door).await;
        let registered = attested.register(&new_pin(PIN), Words::Twelve, "laptop").await.unwrap();
        (user, registered.account.address)
    }

    /// The same person on the same device, whom the service does not know any more.
    pub async fn signed_up_again(&self, door: &Door) -> Self {
        let (client, of_hers) = (self.client(door), format!("{}/api/messages?to={}", door.mailbox, self.email));
        let known = mails(&of_hers).await;
        let last = known.as_array().unwrap().last().unwrap()["id"].as_u64().unwrap();
        client.api().sign_up(&self.email, &password(), None).await.unwrap();
        let code = mails(&format!("{of_hers}&wait=30&after={last}")).await[0]["code"].as_str().unwrap().to_owned();
        client.api().verify_email(&self.email, &SecretText::new(code)).await.unwrap();
        client.api().log_in(&self.email, &password()).await.unwrap();
        self.clone()
    }

    /// Another device of the same person, logged in.
    pub async fn another_device(&self, door: &Door) -> Self {
        let user = Self { email: self.email.clone(), profile: Arc::new(MemoryProfile::default()) };
        user.client(door).api().log_in(&self.email, &password()).await.unwrap();
        user
    }

    /// As somebody does who does not want to notice that a state is older than what this device has seen.
    pub async fn forget_receipt(&self) {
        let store = Arc::clone(&self.profile);
        let forget = move || {
            let mut lock = store.lock().unwrap();
            let mut profile = lock.load().unwrap().unwrap();
            profile.receipt = None;
            lock.save(&profile).unwrap();
        };
        tokio::task::spawn_blocking(forget).await.unwrap();
    }

    pub fn client(&self, door: &Door) -> Client {
        let mode = DevelopmentMode::i_understand_this_proves_nothing();
        Client::new(Configuration {
            server: door.url.parse().unwrap(),
            app: door.app.duplicate(),
            policy: Policy::development(mode, DevelopmentMeasurements::Any),
            store: Arc::<MemoryProfile>::clone(&self.profile),
            environment: Arc::new(Impatient),
        })
        .unwrap()
    }

    pub async fn attest(&self, door: &Door) -> Result<Attested, EvidenceError> {
        self.client(door).attest().await
    }

    pub async fn attested(&self, door: &Door) -> Attested {
        self.attest(door).await.unwrap()
    }
}

/// Signs a message and recovers the signer from the signature.
pub async fn sign(attested: &Attested, digits: &str, message: &[u8]) -> Result<Address, OperationError> {
    let intent = personal_message(AccountIndex::default(), message);
    let signed = attested.sign(&pin(digits), &[intent]).await?;
    let [Signed::EvmSignature { signature }] = signed.as_slice() else { panic!("{signed:?}") };
    let signature = RecoverableSig::from_bytes(signature.as_slice().try_into().unwrap()).unwrap();
    Ok(Address(signature.recover_address(&personal_message_digest(message)).unwrap()))
}

/// State of the wallet and what this device has outstanding.
pub async fn status(attested: &Attested) -> WalletStatus {
    attested.status().await.unwrap()
}

pub fn is_wrong_pin<T>(result: &Result<T, OperationError>) -> bool {
    matches!(result, Err(OperationError::WrongPin { .. }))
}

async fn mailed_code(mailbox: &str, email: &str) -> String {
    let mails = mails(&format!("{mailbox}/api/messages?to={email}&wait=30")).await;
    mails[0]["code"].as_str().unwrap_or_else(|| panic!("no code in {mails}")).to_owned()
}

async fn mails(url: &str) -> serde_json::Value {
    serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap()
}
