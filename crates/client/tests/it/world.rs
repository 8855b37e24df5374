//! A client with a clock, waits and a profile of the test's own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pinseal_client::environment::Wait;
use pinseal_client::evidence::{DevelopmentMeasurements, DevelopmentMode, Policy};
use pinseal_client::{
    AppCredentials, Attested, Client, Configuration, Environment, MemoryProfile, NewPin, Pin, Platform, Profile,
    ProfileStore, SecretText,
};
use pinseal_protocol::ids::UnixSeconds;

use crate::peer::Peer;

pub(crate) const EMAIL: &str = "ann@example.org";
pub(crate) const PIN: &str = "482915";
pub(crate) const WRONG: &str = "482916";

/// A clock that stands still unless told, waits that are over at once.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) now: AtomicU64,
    pub(crate) waits: Mutex<Vec<Duration>>,
}

#[derive(Debug)]
struct Shared(Arc<World>);

impl Environment for Shared {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.now.load(Ordering::SeqCst))
    }

    fn fill_random(&self, out: &mut [u8]) {
        pinseal_client::System.fill_random(out);
    }

    fn sleep(&self, duration: Duration) -> Wait {
        self.0.waits.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

pub(crate) struct Device {
    pub(crate) client: Client,
    pub(crate) world: Arc<World>,
}

pub(crate) fn any_development() -> Policy {
    let mode = DevelopmentMode::i_understand_this_proves_nothing();
    Policy::development(mode, DevelopmentMeasurements::Any)
}

pub(crate) fn device_with(peer: &Peer, policy: Policy, profile: Option<Profile>) -> Device {
    device_in(peer, policy, Arc::new(profile.map_or_else(MemoryProfile::default, MemoryProfile::holding)))
}

pub(crate) fn device_in(peer: &Peer, policy: Policy, store: Arc<dyn ProfileStore>) -> Device {
    let world = Arc::new(World::default());
    world.now.store(crate::peer::NOW, Ordering::SeqCst);
    let client = Client::new(Configuration {
        server: peer.url.parse().unwrap(),
        app: AppCredentials { id: "app_1".into(), key: SecretText::new("key_1".into()), platform: Platform::Server },
        policy,
        store,
        environment: Arc::new(Shared(Arc::clone(&world))),
    })
    .unwrap();
    Device { client, world }
}

pub(crate) fn device(peer: &Peer) -> Device {
    device_with(peer, any_development(), None)
}

pub(crate) async fn logged_in(peer: &Peer) -> Device {
    let device = device(peer);
    device.client.api().log_in(EMAIL, &password()).await.unwrap();
    device
}

/// Logged in, attested, wallet registered under [`PIN`].
pub(crate) async fn registered(peer: &Peer) -> (Device, Attested) {
    let device = logged_in(peer).await;
    let attested = device.client.attest().await.unwrap();
    attested.register(&new_pin(PIN), pinseal_client::operation::Words::Twelve, "laptop").await.unwrap();
    (device, attested)
}

pub(crate) fn password() -> SecretText {
    SecretText::new("correct horse".into())
}

pub(crate) fn pin(text: &str) -> Pin {
    Pin::parse(text).unwrap()
}

pub(crate) fn new_pin(text: &str) -> NewPin {
    NewPin::choose(pin(text)).unwrap()
}
