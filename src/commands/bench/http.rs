//! HTTP as cheap as it gets: the clients share the machine with what they measure.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use reqwest::{
    Method, Request, StatusCode, Url,
    header::{self, HeaderValue},
};
use serde_json::Value;

/// After this a request has failed. The platform itself gives up after half of it.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client with a kept-alive connection to each address that it calls.
#[derive(Clone, Debug)]
pub(super) struct Http(reqwest::Client);

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The address of what was made.
    pub(super) location: Option<HeaderValue>,
    body: Bytes,
}

impl Http {
    /// A client of its own. `plain` says that it need not know how to trust anybody's TLS, which
    /// takes a while to learn.
    pub(super) fn new(plain: bool) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .pool_idle_timeout(None)
            .timeout(LONGEST_ANSWER);
        if plain {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map(Self).context("the HTTP client can't be made")
    }

    /// Sends JSON as somebody, or as nobody.
    pub(super) async fn post(
        &self,
        url: &Url,
        token: Option<&HeaderValue>,
        body: Bytes,
    ) -> reqwest::Result<Answer> {
        let mut request = Request::new(Method::POST, url.clone());
        request.headers_mut().insert(header::CONTENT_TYPE, JSON);
        *request.body_mut() = Some(body.into());
        self.send(request, token).await
    }

    /// Asks as somebody.
    pub(super) async fn get(&self, url: Url, token: Option<&HeaderValue>) -> reqwest::Result<Answer> {
        self.send(Request::new(Method::GET, url), token).await
    }

    async fn send(&self, mut request: Request, token: Option<&HeaderValue>) -> reqwest::Result<Answer> {
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        let mut response = self.0.execute(request).await?;
        Ok(Answer {
            status: response.status(),
            location: response.headers_mut().remove(header::LOCATION),
            // To its end, or the connection could not be used again.
            body: response.bytes().await?,
        })
    }
}

impl Answer {
    /// The body; null if it is not JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body, if the status is this one.
    ///
    /// # Errors
    /// With the problem, if it is another.
    pub(super) fn expect(self, status: StatusCode) -> anyhow::Result<Value> {
        let body = self.json();
        anyhow::ensure!(
            self.status == status,
            "{status} was expected, and {} came: {body}",
            self.status
        );
        Ok(body)
    }

    /// The problem's code, or the status where there is none.
    pub(super) fn problem_code(&self) -> String {
        self.json()["code"]
            .as_str()
            .map_or_else(|| format!("http_{}", self.status.as_u16()), str::to_owned)
    }
}

/// What stands for a problem's code where no answer came.
pub(super) fn code_of(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no_answer_in_time"
    } else if error.is_connect() {
        "no_connection"
    } else {
        "connection_broken"
    }
}

/// The header that says who somebody is.
pub(super) fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).context("a token is no header")?;
    value.set_sensitive(true);
    Ok(value)
}
