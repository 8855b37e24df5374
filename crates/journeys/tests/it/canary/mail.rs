//! The mail server's password: the host logs in with it for as long as it runs, and nobody else gets it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pinseal_client::evidence::{DevelopmentMeasurements, DevelopmentMode, Policy};
use pinseal_client::{Client, Configuration, MemoryProfile, SecretText, System};
use pinseal_mailbox::Mailbox;

use super::net::Net;
use super::secrets::Secret;
use super::whole::Whole;
use super::{memory, trawl};

/// Of letters and digits, so that the URL needs no other form of it; `forms` has those of texts.
const PASSWORD: &str = "Zwergtaucher4711imSchilf";

fn client(whole: &Whole) -> Client {
    let mode = DevelopmentMode::i_understand_this_proves_nothing();
    Client::new(Configuration {
        server: whole.recorder.url.parse().unwrap(),
        app: whole.app(),
        policy: Policy::development(mode, DevelopmentMeasurements::Any),
        store: Arc::new(MemoryProfile::default()),
        environment: Arc::new(System),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mail_servers_password_is_in_the_host_alone() {
    let mut mails = Mailbox::open().await.unwrap();
    let url = mails.url().replace("smtp://", &format!("smtp://postmaster:{PASSWORD}@"));
    let whole = Whole::mailing_by(url);
    let net = Net::new(&[Secret::text("mail password", PASSWORD)]);

    client(&whole)
        .api()
        .sign_up("canary@example.org", &SecretText::new("a password 17".to_owned()), None)
        .await
        .unwrap();
    let mail = mails.next().await.unwrap();
    let used = STANDARD.decode(mail.credentials.expect("the host logs in")).unwrap();
    assert_eq!(used, format!("\0postmaster\0{PASSWORD}").into_bytes());
    for page in ["/metrics", "/readyz", "/v1/status", "/v1/nothing"] {
        reqwest::get(format!("{}{page}", whole.recorder.url)).await.unwrap();
    }

    assert_eq!(trawl::files(whole.directory(), &net), [], "files");
    for exchange in whole.recorder.exchanges() {
        assert!(net.search(&exchange.answer).is_empty(), "the answer to {}", exchange.line);
    }
    assert_eq!(memory::search(whole.pid("enclave"), &net), [], "memory of the enclave");
    assert!(!memory::search(whole.pid("host"), &net).is_empty(), "the search finds it where it is");
    for (name, pid) in whole.pids() {
        // It was given to the supervisor there, and to nobody else.
        let shows = !trawl::surroundings(pid, &net).is_empty();
        assert_eq!(shows, name == "supervisor", "command line or environment of the {name}");
    }
    whole.stop();
}
