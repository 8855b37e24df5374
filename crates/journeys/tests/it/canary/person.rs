//! Somebody who uses the whole system, and whose secrets the test knows.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pinseal_client::device::DeviceKey;
use pinseal_client::evidence::{DevelopmentMeasurements, DevelopmentMode, Policy};
use pinseal_client::intents::personal_message;
use pinseal_client::operation::Words;
use pinseal_client::{
    Attested, Client, Configuration, MemoryProfile, OperationError, Profile, ProfileStore as _, SecretText, System,
};
use pinseal_protocol::ids::UnixSeconds;
use pinseal_protocol::intent::AccountIndex;
use serde_json::Value;

use super::opened::Root;
use super::secrets::{Secret, opaque, p256, token};
use super::whole::{PASSPHRASE, Whole};
use crate::system::device::{new_pin, pin};

/// Eight digits, so that no count and no part of a second looks like it.
pub(super) const PIN: &str = "59302847";
const NEW_PIN: &str = "84620159";
const WRONG_PIN: &str = "59302848";
pub(super) const EMAIL: &str = "canary@example.org";
const LATECOMER: &str = "latecomer@example.org";
/// With characters that JSON, URLs and logs write differently.
pub(super) const PASSWORD: &str = "Zug\"spitze\\42 grün Kanarienvogel";
const WRONG_PASSWORD: &str = "Watzmann\"wand\\17 gelber Zeisig";

/// The person, and what they and the system did.
pub(super) struct Person {
    profile: Arc<MemoryProfile>,
    /// What must be nowhere.
    pub(super) never: Vec<Secret>,
    /// What the host sees for a moment.
    pub(super) passing: Vec<Secret>,
    /// Where each token was handed to its owner.
    pub(super) issued: Vec<(Secret, &'static str)>,
}

impl Person {
    fn client(&self, whole: &Whole) -> Client {
        let mode = DevelopmentMode::i_understand_this_proves_nothing();
        Client::new(Configuration {
            server: whole.recorder.url.parse().unwrap(),
            app: whole.app(),
            policy: Policy::development(mode, DevelopmentMeasurements::Any),
            store: Arc::<MemoryProfile>::clone(&self.profile),
            environment: Arc::new(System),
        })
        .unwrap()
    }

    async fn attested(&self, whole: &Whole) -> Attested {
        self.client(whole).attest().await.unwrap()
    }

    /// Signs up, logs in badly and well, and has the session refreshed.
    pub(super) async fn sign_up(whole: &Whole) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let device = DeviceKey::from_pkcs8(pkcs8.as_ref()).unwrap();
        let profile = Profile { device, ..Profile::new().unwrap() };
        let mut person = Self {
            profile: Arc::new(MemoryProfile::holding(profile)),
            never: vec![p256("device key", &key), Secret::text("sealing passphrase", PASSPHRASE)],
            passing: vec![Secret::text("password", PASSWORD), Secret::text("wrong password", WRONG_PASSWORD)],
            issued: Vec::new(),
        };
        let client = person.client(whole);
        let api = client.api();
        let password = SecretText::new(PASSWORD.to_owned());
        api.sign_up(EMAIL, &password, None).await.unwrap();
        let code = mailed_code(whole).await;
        person.passing.extend(in_its_sentences("mail code", &code));
        api.verify_email(EMAIL, &SecretText::new(code)).await.unwrap();
        api.log_in(EMAIL, &SecretText::new(WRONG_PASSWORD.to_owned())).await.unwrap_err();
        api.log_in(EMAIL, &password).await.unwrap();
        person.note_session("POST /v1/login/email");
        person.expire_access();
        api.me().await.unwrap();
        person.note_session("POST /v1/session/refresh");
        person
    }

    fn note_session(&mut self, issued: &'static str) {
        let profile = tokio::task::block_in_place(|| Arc::clone(&self.profile).lock().unwrap().load().unwrap());
        let session = profile.unwrap().session.unwrap();
        let mut secrets = token("access token", session.access_token.expose_secret());
        secrets.extend(opaque("refresh token", session.refresh_token.expose_secret()));
        self.issued.extend(secrets.iter().map(|secret| (secret.clone(), issued)));
        self.passing.extend(secrets);
    }

    /// Has the client believe that its access token is old.
    fn expire_access(&self) {
        tokio::task::block_in_place(|| {
            let mut store = Arc::clone(&self.profile).lock().unwrap();
            let mut profile = store.load().unwrap().unwrap();
            profile.session.as_mut().unwrap().access_expires = UnixSeconds(0);
            store.save(&profile).unwrap();
        });
    }

    /// Makes a wallet and uses it in every way, rightly and wrongly.
    pub(super) async fn live(&mut self, whole: &Whole) {
        let attested = self.attested(whole).await;
        attested.register(&new_pin(PIN), Words::Twelve, "canary").await.unwrap();
        self.note_wallet(whole, PIN);
        attested.sign(&pin(PIN), &[personal_message(AccountIndex::default(), b"sung")]).await.unwrap();
        self.note_wallet(whole, PIN);
        let wrong = attested.verify_pin(&pin(WRONG_PIN)).await;
        assert!(matches!(wrong, Err(OperationError::WrongPin { .. })), "{wrong:?}");
        attested.change_pin(&pin(PIN), &new_pin(NEW_PIN)).await.unwrap();
        self.note_wallet(whole, NEW_PIN);
        self.never.push(Secret::short("wrong PIN", WRONG_PIN));
        self.note_storage_tokens(whole);
    }

    /// Has somebody sign up just now, so that the database's newest page has a text that is known. That text.
    pub(super) async fn have_somebody_sign_up(&self, whole: &Whole) -> &'static str {
        self.client(whole).api().sign_up(LATECOMER, &SecretText::new(PASSWORD.to_owned()), None).await.unwrap();
        LATECOMER
    }

    /// Notes what the deployment is sealed with now.
    pub(super) fn note_root(&mut self, whole: &Whole) {
        self.never.extend(Root::open(&whole.host_directory(), PASSPHRASE.as_bytes()).secrets());
    }

    fn note_wallet(&mut self, whole: &Whole, pin: &str) {
        let root = Root::open(&whole.host_directory(), PASSPHRASE.as_bytes());
        self.never.extend(root.wallet(&whole.database(), pin));
        self.never.push(Secret::short("PIN", pin));
        self.never.extend(root.secrets());
    }

    /// Notes every storage token that was handed out.
    pub(super) fn note_storage_tokens(&mut self, whole: &Whole) {
        for exchange in whole.recorder.exchanges() {
            let body = exchange.answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            let body: Value = serde_json::from_slice(&exchange.answer[body..]).unwrap_or_default();
            if let Some(storage) = body["storage_token"].as_str() {
                let secrets = token("storage token", storage);
                let told = ["POST /v1/wallet/begin", "POST /v1/wallet/sealed"];
                let at = told.into_iter().find(|line| *line == exchange.line).expect("nobody else hands one out");
                self.issued.extend(secrets.iter().map(|secret| (secret.clone(), at)));
                self.passing.extend(secrets);
            }
        }
        self.passing.sort_by(|a, b| a.bytes.cmp(&b.bytes));
        self.passing.dedup_by(|a, b| a.bytes == b.bytes);
        assert!(self.passing.iter().any(|secret| secret.name == "storage token"));
    }
}

/// Six digits that the host chose are met anywhere; what gives them away is the sentence around them.
fn in_its_sentences(name: &str, code: &str) -> Vec<Secret> {
    [format!("\"code\":\"{code}\""), format!("code is {code}"), format!("{code} is your")]
        .iter()
        .map(|sentence| Secret::short(name, sentence))
        .collect()
}

async fn mailed_code(whole: &Whole) -> String {
    let url = format!("{}/api/messages?to={EMAIL}&wait=30", whole.said("mailbox"));
    let mails: Value = serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap();
    mails[0]["code"].as_str().unwrap_or_else(|| panic!("no code in {mails}")).to_owned()
}
