//! Asks auth where to write to users.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use shared::{
    clock::Instant,
    contracts::{Locale, MailPurpose},
    ids::{MailRequestId, UserId},
    token::ServiceTokens,
};

use super::{Contact, Contacts, ContactsError, SecretMail};

/// How long auth may take to answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What it answers, or what stands before it, whatever it is asked for.
const AWAY_OR_REFUSED: [StatusCode; 6] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// Auth, over HTTP.
pub struct Auth {
    /// Where it is: `http://auth:8080`.
    pub url: String,
    /// What shows it who asks.
    pub tokens: ServiceTokens,
    /// Asks.
    pub http: reqwest::Client,
}

#[derive(Deserialize)]
struct ContactAnswer {
    email: SecretString,
    email_confirmed: bool,
}

#[derive(Deserialize)]
struct SecretMailAnswer {
    email: SecretString,
    locale: Locale,
    purpose: MailPurpose,
    token: SecretString,
    expires_at: Instant,
}

impl Auth {
    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ContactsError> {
        // The URL holds an id, which nobody needs to read in the log.
        let failed = |error: reqwest::Error| ContactsError {
            is_about_one: error.is_decode(),
            why: error.without_url().to_string(),
        };
        // One that auth takes no more (it has new keys, or forgot the session) is renewed once; and
        // one that allows too little, since an auth that is older may have issued it.
        for is_last in [false, true] {
            let token = self.tokens.token().await.map_err(|error| ContactsError {
                why: error.to_string(),
                is_about_one: false,
            })?;
            let response = self
                .http
                .get(format!("{}{path}", self.url))
                .bearer_auth(token)
                .timeout(TIMEOUT)
                .send()
                .await
                .map_err(failed)?;
            match response.status() {
                StatusCode::OK => return response.json().await.map(Some).map_err(failed),
                StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !is_last => self.tokens.forget().await,
                other => {
                    return Err(ContactsError {
                        why: format!("it answers {other}"),
                        is_about_one: !AWAY_OR_REFUSED.contains(&other),
                    });
                }
            }
        }
        Err(ContactsError {
            why: "it takes no token".to_owned(),
            is_about_one: false,
        })
    }
}

#[async_trait]
impl Contacts for Auth {
    async fn contact(&self, user: UserId) -> Result<Option<Contact>, ContactsError> {
        let answer: Option<ContactAnswer> = self.ask(&format!("/auth/v1/contacts/{user}")).await?;
        Ok(answer.map(|answer| Contact {
            email: answer.email,
            email_confirmed: answer.email_confirmed,
        }))
    }

    async fn secret_mail(&self, request: MailRequestId) -> Result<Option<SecretMail>, ContactsError> {
        let answer: Option<SecretMailAnswer> = self.ask(&format!("/auth/v1/mail-requests/{request}")).await?;
        Ok(answer.map(|answer| SecretMail {
            email: answer.email,
            locale: answer.locale,
            purpose: answer.purpose,
            token: answer.token,
            expires_at: answer.expires_at,
        }))
    }
}
