//! A broadcast that the host has had, while this device cannot go on.

use core::fmt;
use std::sync::Arc;

use pinseal_client::profile::{ProfileLock, ProfileStore, Session, UserName};
use pinseal_client::{ApiError, Known, MemoryProfile, Profile, ProfileError, SecretText, Standing, TransactionError};

use crate::peer::{NOW, Peer, problem};
use crate::unsettled::{kept, name_nonce, pay, signed};
use crate::world::{any_development, device_in, registered};

const BROADCAST: &str = "POST /v1/tx/broadcast";

pub(crate) type Happens = fn(Profile) -> Result<Profile, ProfileError>;

/// A profile to which something happens once the host has had a call.
pub(crate) struct Afterwards {
    pub(crate) inner: Arc<MemoryProfile>,
    pub(crate) peer: Peer,
    pub(crate) call: &'static str,
    /// How many of them it had before.
    pub(crate) before: usize,
    pub(crate) happens: Happens,
}

impl fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Afterwards")
    }
}

struct AfterwardsLock {
    inner: Box<dyn ProfileLock>,
    happens: Option<Happens>,
}

impl ProfileStore for Afterwards {
    fn lock(self: Arc<Self>) -> Result<Box<dyn ProfileLock>, ProfileError> {
        let happens = Some(self.happens).filter(|_| self.peer.count(self.call) > self.before);
        Ok(Box::new(AfterwardsLock { inner: Arc::clone(&self.inner).lock()?, happens }))
    }
}

impl ProfileLock for AfterwardsLock {
    fn load(&self) -> Result<Option<Profile>, ProfileError> {
        let profile = self.inner.load()?;
        match (profile, self.happens) {
            (Some(profile), Some(happens)) => happens(profile).map(Some),
            (profile, _) => Ok(profile),
        }
    }

    fn save(&mut self, profile: &Profile) -> Result<(), ProfileError> {
        self.inner.save(profile)
    }
}

fn logged_out(profile: Profile) -> Result<Profile, ProfileError> {
    Ok(Profile { session: None, ..profile })
}

/// Another program logs in as Bob.
pub(crate) fn somebody_else(profile: Profile) -> Result<Profile, ProfileError> {
    let session = profile.session.as_ref().map(|session| Session {
        user: UserName::new("bob@example.org"),
        user_id: "u2".into(),
        session_id: "s2".into(),
        access_token: SecretText::new("of Bob".into()),
        refresh_token: SecretText::new("of Bob too".into()),
        access_expires: session.access_expires,
    });
    Ok(Profile { session, ..profile })
}

#[tokio::test]
async fn what_the_host_has_had_is_not_said_to_be_unsent_because_this_device_cannot_go_on() {
    let exposed: Happens = |_| Err(ProfileError::Exposed("session.json"));
    for (happens, is_expected) in [
        (exposed, (|error| matches!(error, ApiError::Profile(ProfileError::Exposed(_)))) as fn(&ApiError) -> bool),
        (logged_out, |error| matches!(error, ApiError::NotLoggedIn)),
        (somebody_else, |error| matches!(error, ApiError::UserChanged)),
    ] {
        let peer = Peer::start().await;
        let (device, attested) = registered(&peer).await;
        name_nonce(&peer, 4);
        let first = signed(&device, &attested, &pay("1.5")).await;
        let inner = Arc::new(MemoryProfile::holding(device.client.profile().await.unwrap()));
        let inner_too = Arc::clone(&inner);
        let afterwards = Afterwards { inner: inner_too, peer: peer.clone(), call: BROADCAST, before: 0, happens };
        let cut_off = device_in(&peer, any_development(), Arc::new(afterwards));
        // It takes it, and says that the token has expired.
        peer.next("/v1/tx/broadcast", problem(401, "token_expired", false));
        let error = cut_off.client.broadcast(&first).await.unwrap_err();
        assert!(!error.was_never_handed_over(), "{error:?}");
        let TransactionError::OutcomeUnknown { hash, error } = error else { panic!("{error:?}") };
        assert!(hash == first.hash() && is_expected(&error), "{error:?}");
        assert_eq!((peer.count(BROADCAST), peer.host().refreshes), (1, 0));
        let later = device_in(&peer, any_development(), inner);
        assert_eq!(kept(&later, first.hash()).await, Some((Standing::Unsent, Known::Doubtful)));
    }
}

#[tokio::test]
async fn what_never_left_this_device_is_not_said_to_be_in_doubt() {
    let peer = Peer::start().await;
    let (device, attested) = registered(&peer).await;
    name_nonce(&peer, 4);
    let first = signed(&device, &attested, &pay("1.5")).await;
    let profile = logged_out(device.client.profile().await.unwrap()).unwrap();
    let cut_off = crate::unsettled::device_of(&peer, profile);
    let error = cut_off.client.broadcast(&first).await.unwrap_err();
    assert!(matches!(error, TransactionError::Api(ApiError::NotLoggedIn)), "{error:?}");
    let bob = crate::unsettled::device_of(&peer, somebody_else(device.client.profile().await.unwrap()).unwrap());
    let error = bob.client.broadcast(&first).await.unwrap_err();
    assert!(matches!(error, TransactionError::Api(ApiError::UserChanged)), "nobody hands over another's: {error:?}");
    assert_eq!(peer.count(BROADCAST), 0);
    // A session that cannot be renewed just now is nothing that left, either, and is tried again.
    let mut profile = device.client.profile().await.unwrap();
    profile.session.as_mut().unwrap().access_expires.0 = NOW + 60;
    let expiring = crate::unsettled::device_of(&peer, profile);
    let fail = |times: usize| (0..times).for_each(|_| peer.next("/v1/session/refresh", problem(503, "busy", true)));
    fail(3);
    let error = expiring.client.broadcast(&first).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Api(error) if error.code() == Some("busy")), "{error:?}");
    assert_eq!(peer.count(BROADCAST), 0);
    fail(2);
    expiring.client.broadcast(&first).await.unwrap();
    let device = crate::unsettled::device_of(&peer, expiring.client.profile().await.unwrap());
    // A refusal is one.
    peer.next("/v1/tx/broadcast", problem(401, "session_revoked", false));
    let error = device.client.broadcast(&first).await.unwrap_err();
    assert!(matches!(error, TransactionError::Api(ApiError::SessionEnded(_))), "{error:?}");
    assert_eq!(kept(&device, first.hash()).await, Some((Standing::Waiting, Known::Doubtful)));
}
