//! A client that shows what it does.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

/// The API, as one person uses it.
pub(super) struct Client {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(base: String) -> Self {
        Self {
            base,
            token: None,
            http: reqwest::Client::new(),
        }
    }

    /// The same API as somebody who logs in.
    pub(super) async fn log_in(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let body = json!({"email": email, "password": password});
        let answer = self
            .send(Method::POST, "/auth/v1/login", Some(&body))
            .await?
            .expect(200)?;
        let token = answer["access_token"]
            .as_str()
            .context("no token came")?
            .to_owned();
        Ok(Self {
            base: self.base.clone(),
            token: Some(token),
            http: self.http.clone(),
        })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await?.expect(200)
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("{method} {path} got no answer"))?;
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body, if the status is this one.
    pub(super) fn expect(self, status: u16) -> anyhow::Result<Value> {
        anyhow::ensure!(
            self.status == status,
            "expected {status}, got {}: {:#}",
            self.status,
            self.body
        );
        Ok(self.body)
    }
}
