//! Calls of a logged-in user: the session is refreshed before and when it expires, by one program at a time.

use core::time::Duration;

use pinseal_protocol::ids::UnixSeconds;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exchange::{Authorization, Call};
use super::{Api, ApiError, SessionResponse};
use crate::profile::{Profile, Session, UserName};

/// A token that expires sooner than this is refreshed first: long enough for Argon2id and a sealed request.
pub(crate) const VALIDITY_SECONDS_MIN: u64 = 60;

/// How often a creating call is sent.
pub(crate) const SENDS_MAX: u32 = 3;
/// Wait before the first resend; doubles each time.
const RESEND_WAIT: Duration = Duration::from_millis(500);

/// Codes after which no token of the session is good for anything. Other 401 are about a proof or an app key.
fn is_end_of_session(code: &str) -> bool {
    matches!(code, "session_revoked" | "refresh_reused" | "refresh_invalid")
}

/// Codes after which a fresh access token may do.
fn is_stale(code: &str) -> bool {
    matches!(code, "token_expired" | "token_invalid")
}

#[derive(Serialize)]
struct RefreshRequest<'a> {
    refresh_token: &'a str,
}

impl Api {
    /// A call with access token and proof. A token the server does not take any more is refreshed once: it has expired, or the service has
    /// changed its issuer's key.
    pub(super) async fn authorized<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ApiError> {
        let (profile, session) = self.valid_session().await?;
        let token = session.access_token.expose_secret();
        match self.exchange(call, Authorization::Session(&profile.device, token)).await {
            Err(ApiError::Problem(problem)) if problem.status == 401 && is_stale(&problem.code) => {
                let (profile, session) = self.refresh(&session).await?;
                let token = session.access_token.expose_secret();
                self.exchange(call, Authorization::Session(&profile.device, token)).await
            }
            Err(ApiError::Problem(problem)) if is_end_of_session(&problem.code) => {
                let ended = session.session_id;
                self.inner
                    .vault
                    .update(move |profile| {
                        profile.session.take_if(|kept| kept.session_id == ended);
                        Ok::<_, ApiError>(())
                    })
                    .await?;
                Err(ApiError::SessionEnded(problem))
            }
            other => other,
        }
    }

    /// A call that creates something: sent again under the same key while no clear answer comes, and so carried out once. For whoever is logged in
    /// when it is sent first.
    pub(super) async fn creating<T: DeserializeOwned>(&self, call: Call<'_>, key: String) -> Result<T, ApiError> {
        let own = self.of(self.session_in(&self.inner.vault.read().await?)?.user);
        let call = call.idempotent(key);
        let mut wait = RESEND_WAIT;
        for _ in 1..SENDS_MAX {
            match own.authorized(&call).await {
                Err(error) if error.leaves_outcome_open() => {}
                answered => return answered,
            }
            self.inner.environment.sleep(wait).await;
            wait *= 2;
        }
        own.authorized(&call).await
    }

    /// Refuses where somebody else is logged in than the user whose calls these are.
    pub(crate) fn admits(&self, profile: &Profile) -> Result<(), ApiError> {
        match (&self.user, &profile.session) {
            (Some(user), Some(session)) if *user != session.user => Err(ApiError::UserChanged),
            _ => Ok(()),
        }
    }

    /// The session of whoever is logged in, where these are their calls.
    pub(super) fn session_in(&self, profile: &Profile) -> Result<Session, ApiError> {
        self.admits(profile)?;
        profile.session.as_ref().map(Session::duplicate).ok_or(ApiError::NotLoggedIn)
    }

    /// The profile and a session whose access token lasts a while.
    pub(crate) async fn valid_session(&self) -> Result<(Profile, Session), ApiError> {
        let profile = self.inner.vault.read().await?;
        let session = self.session_in(&profile)?;
        if session.access_expires.0 > self.inner.environment.now().0.saturating_add(VALIDITY_SECONDS_MIN) {
            return Ok((profile, session));
        }
        self.refresh(&session).await
    }

    /// Another session in the place of the one that is kept.
    pub(crate) async fn renew(&self) -> Result<(), ApiError> {
        let session = self.session_in(&self.inner.vault.read().await?)?;
        self.refresh(&session).await.map(drop)
    }

    /// Replaces `stale` by another one of the same user's. The profile stays locked meanwhile: a refresh token used twice ends the session, so whoever waited for
    /// the lock takes the session that came of the first refresh.
    async fn refresh(&self, stale: &Session) -> Result<(Profile, Session), ApiError> {
        let mut locked = self.inner.vault.lock().await?;
        let current = self.of(stale.user.clone()).session_in(&locked.profile)?;
        if !current.access_token.equals(&stale.access_token) {
            return Ok((locked.profile, current));
        }
        let body = RefreshRequest { refresh_token: current.refresh_token.expose_secret() };
        let call = Call::post(&["v1", "session", "refresh"], &body)?;
        let answer: Result<SessionResponse, _> =
            self.exchange(&call, Authorization::Device(&locked.profile.device)).await;
        match answer {
            Ok(response) => {
                let session = response.into_session(current.user);
                locked.profile.session = Some(session.duplicate());
                Ok((locked.save().await?, session))
            }
            Err(ApiError::Problem(problem)) if is_end_of_session(&problem.code) => {
                locked.profile.session = None;
                locked.save().await?;
                Err(ApiError::SessionEnded(problem))
            }
            Err(error) => Err(error),
        }
    }
}

impl SessionResponse {
    /// The session to keep; `user` is who the person said they are, whatever the host answers.
    pub(super) fn into_session(self, user: UserName) -> Session {
        Session {
            user,
            user_id: self.user_id,
            session_id: self.session_id,
            access_token: self.access_token,
            access_expires: UnixSeconds(self.access_expires_at),
            refresh_token: self.refresh_token,
        }
    }
}
