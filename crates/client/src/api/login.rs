//! Calls about login, sessions and the app.

use serde::{Deserialize, Serialize};

use super::exchange::{Authorization, Call};
use super::types::{AppRegisterResponse, Empty, Items, SessionResponse};
use super::{Api, ApiError, AppInfo, LoginStatus, Me, ServerStatus, SessionInfo};
use crate::device::DeviceKey;
use crate::profile::{ProfileError, UserName};
use pinseal_protocol::secret::SecretText;

#[derive(Serialize)]
struct SignUp<'a> {
    email: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
}

#[derive(Serialize)]
struct Code<'a> {
    email: &'a str,
    code: &'a str,
}

#[derive(Deserialize)]
struct Verified {
    reset_required: bool,
}

#[derive(Serialize)]
struct Email<'a> {
    email: &'a str,
}

#[derive(Serialize)]
struct Login<'a> {
    email: &'a str,
    password: &'a str,
    device_jwk: Jwk,
}

#[derive(Serialize)]
struct Reset<'a> {
    email: &'a str,
    code: &'a str,
    new_password: &'a str,
    device_jwk: Jwk,
}

/// RFC 7517, the members of a P-256 public key.
#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
}

impl Jwk {
    fn of(device: &DeviceKey) -> Self {
        let (x, y) = device.public().coordinates();
        Self { kty: "EC", crv: "P-256", x, y }
    }
}

impl Api {
    /// The app, its networks and ways to log in.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn app_info(&self) -> Result<AppInfo, ApiError> {
        self.exchange(&Call::get(&["v1", "app", "info"]), Authorization::App).await
    }

    /// The server's state.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn status(&self) -> Result<ServerStatus, ApiError> {
        self.exchange(&Call::get(&["v1", "status"]), Authorization::App).await
    }

    /// Starts an account; the server mails a code unless the address is taken, and never says which.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn sign_up(&self, email: &str, password: &SecretText, locale: Option<&str>) -> Result<(), ApiError> {
        let body = SignUp { email, password: password.expose_secret(), locale };
        self.nothing(&Call::post(&["v1", "login", "email", "sign-up"], &body)?).await
    }

    /// Proves that the address is one's own with the mailed code. True if it has no password yet, because somebody else signed up with it too: one
    /// is chosen by a reset.
    ///
    /// # Errors
    /// [`ApiError`]; code `code_invalid` for a wrong or expired one.
    pub async fn verify_email(&self, email: &str, code: &SecretText) -> Result<bool, ApiError> {
        let body = Code { email, code: code.expose_secret() };
        let call = Call::post(&["v1", "login", "email", "verify"], &body)?;
        let Verified { reset_required } = self.exchange(&call, Authorization::App).await?;
        Ok(reset_required)
    }

    /// Asks for another code.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn resend_code(&self, email: &str) -> Result<(), ApiError> {
        self.nothing(&Call::post(&["v1", "login", "email", "resend"], &Email { email })?).await
    }

    /// Logs in with this profile's device and keeps the session in place of any other.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn log_in(&self, email: &str, password: &SecretText) -> Result<LoginStatus, ApiError> {
        let device = self.inner.vault.read().await?.device;
        let body = Login { email, password: password.expose_secret(), device_jwk: Jwk::of(&device) };
        let call = Call::post(&["v1", "login", "email"], &body)?;
        let response: SessionResponse = self.exchange(&call, Authorization::Device(&device)).await?;
        let status = response.login_status;
        let session = response.into_session(UserName::new(email));
        self.inner
            .vault
            .update(|profile| {
                profile.session = Some(session);
                Ok::<_, ProfileError>(())
            })
            .await?;
        Ok(status)
    }

    /// Asks for a mailed reset code.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn request_reset(&self, email: &str) -> Result<(), ApiError> {
        self.nothing(&Call::post(&["v1", "login", "email", "reset-request"], &Email { email })?).await
    }

    /// Sets a new password; all sessions end. The PIN is another thing and stays. Of all devices this profile's alone goes on being one
    /// that the account knows.
    ///
    /// # Errors
    /// [`ApiError`]; code `code_invalid` for a wrong or expired one.
    pub async fn reset(&self, email: &str, code: &SecretText, new_password: &SecretText) -> Result<(), ApiError> {
        let device_jwk = Jwk::of(&self.inner.vault.read().await?.device);
        let body = Reset { email, code: code.expose_secret(), new_password: new_password.expose_secret(), device_jwk };
        self.nothing(&Call::post(&["v1", "login", "email", "reset"], &body)?).await
    }

    /// Every session of the user.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, ApiError> {
        let answer: Items<SessionInfo> = self.authorized(&Call::get(&["v1", "sessions"])).await?;
        Ok(answer.items)
    }

    /// Ends a session, here or elsewhere.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn revoke_session(&self, session_id: &str) -> Result<(), ApiError> {
        let _: Empty = self.authorized(&Call::delete(&["v1", "sessions", session_id])).await?;
        Ok(())
    }

    /// Ends this session. The profile forgets it even if the server cannot be told; not another one that somebody opened meanwhile, which is not
    /// ended either.
    ///
    /// # Errors
    /// [`ApiError`]: the server may still hold the session until it expires.
    pub async fn log_out(&self) -> Result<(), ApiError> {
        let session = match self.session_in(&self.inner.vault.read().await?) {
            Err(ApiError::NotLoggedIn) => return Ok(()),
            session => session?,
        };
        let path = ["v1", "logout"];
        let call = Call::post(&path, &serde_json::Map::new())?;
        let told: Result<Empty, _> = self.of(session.user).authorized(&call).await;
        self.inner
            .vault
            .update(move |profile| {
                profile.session.take_if(|kept| session.session_id == kept.session_id);
                Ok::<_, ProfileError>(())
            })
            .await?;
        match told {
            Ok(_) | Err(ApiError::NotLoggedIn | ApiError::SessionEnded(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Who is logged in, as the host says.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn me(&self) -> Result<Me, ApiError> {
        self.authorized(&Call::get(&["v1", "me"])).await
    }

    /// Makes the user, who has a wallet already, known to this app.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn register_app(&self) -> Result<LoginStatus, ApiError> {
        let call = Call::post(&["v1", "app", "register"], &serde_json::Map::new())?;
        let answer: AppRegisterResponse = self.authorized(&call).await?;
        Ok(answer.login_status)
    }

    async fn nothing(&self, call: &Call<'_>) -> Result<(), ApiError> {
        let _: Empty = self.exchange(call, Authorization::App).await?;
        Ok(())
    }
}
