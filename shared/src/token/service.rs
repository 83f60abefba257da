//! Access tokens that a service gets for itself, to ask another one (RFC 6749, 4.4).

use std::{fmt, sync::Arc, time::Duration};

use axum::http::{StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::clock::{Clock, Instant};

/// How long auth may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A token is renewed so long before it expires that a request made with it arrives in time.
const BEFORE_EXPIRY: i64 = 30;

/// Why a service has no token.
#[derive(Debug, thiserror::Error)]
pub enum ServiceTokenError {
    /// Auth does not know the client, or its secret is another one, or it was disabled.
    #[error("auth refuses the client's id and secret")]
    Refused,
    /// Auth can't be asked at the moment.
    #[error("auth does not answer")]
    Unavailable(#[source] reqwest::Error),
    /// Auth answered with something else.
    #[error("auth answered with {0} to a request for a token")]
    Unexpected(StatusCode),
}

/// The access token of a client of auth, fetched when it is needed and remembered until shortly
/// before it expires.
pub struct ServiceTokens {
    url: String,
    client_id: String,
    client_secret: SecretString,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    /// Also makes fetches single.
    known: Mutex<Option<Known>>,
}

struct Known {
    token: String,
    renew_at: Instant,
}

/// What auth answers.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: u32,
}

impl fmt::Debug for ServiceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTokens")
            .field("url", &self.url)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl ServiceTokens {
    /// Tokens of the client `client_id` from the auth at `auth_url` (`http://auth:8080`).
    #[must_use]
    pub fn new(
        auth_url: &str,
        client_id: impl Into<String>,
        client_secret: SecretString,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            url: format!("{}/auth/v1/token", auth_url.trim_end_matches('/')),
            client_id: client_id.into(),
            client_secret,
            http,
            clock,
            known: Mutex::new(None),
        }
    }

    /// A token that is good for some seconds at least.
    ///
    /// # Errors
    /// See [`ServiceTokenError`].
    pub async fn token(&self) -> Result<String, ServiceTokenError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| self.clock.now() < known.renew_at) {
            return Ok(known.token.clone());
        }
        let answer = self.fetch().await?;
        let seconds = i64::from(answer.expires_in);
        // One that is short-lived itself is used for half of its life.
        let good_for = (seconds - BEFORE_EXPIRY).max(seconds / 2);
        *known = Some(Known {
            token: answer.access_token.clone(),
            renew_at: self.clock.now() + chrono::Duration::seconds(good_for),
        });
        Ok(answer.access_token)
    }

    /// Forgets the token: for whoever was told that it is good no more.
    pub async fn forget(&self) {
        *self.known.lock().await = None;
    }

    async fn fetch(&self) -> Result<Answer, ServiceTokenError> {
        let response = self
            .http
            .post(&self.url)
            .basic_auth(&self.client_id, Some(self.client_secret.expose_secret()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials")
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(ServiceTokenError::Unavailable)?;
        match response.status() {
            StatusCode::OK => response.json().await.map_err(ServiceTokenError::Unavailable),
            StatusCode::UNAUTHORIZED => Err(ServiceTokenError::Refused),
            other => Err(ServiceTokenError::Unexpected(other)),
        }
    }
}
