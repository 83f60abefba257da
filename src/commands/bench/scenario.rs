//! What is measured, and the customers who do it.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use clap::ValueEnum;
use rand::RngExt as _;
use reqwest::{StatusCode, Url, header::HeaderValue};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    http::{Answer, Http, code_of},
    load::{Client, Done, Failed},
};

/// How often the outcome of a purchase is asked for that was answered before it had ended.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// After this it has failed: the platform promises to end it sooner.
const LONGEST_PURCHASE: Duration = Duration::from_secs(60);

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scenario {
    /// A purchase with a promocode, the same limited one for everybody
    Hot,
    /// A purchase with one of many limited promocodes
    Many,
    /// A purchase without a promocode
    Plain,
    /// A dry run of the limited promocode
    Validate,
    /// A login
    Login,
}

impl Scenario {
    /// As it stands on the command line and in the report.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Many => "many",
            Self::Plain => "plain",
            Self::Validate => "validate",
            Self::Login => "login",
        }
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// The body of a login.
    pub(super) credentials: Bytes,
    /// Who they are, as a header.
    pub(super) token: HeaderValue,
}

/// What customers send.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// The same body as everybody.
    Same(Bytes),
    /// Any of these.
    AnyOf(Arc<[Bytes]>),
    /// Their own name and password, and no token.
    Credentials,
}

/// Customers who share a connection and take turns.
pub(super) struct Customers {
    pub(super) http: Http,
    /// Where they send it; replicas take turns.
    pub(super) urls: Arc<[Url]>,
    pub(super) order: Order,
    /// What is answered if all is well.
    pub(super) expected: StatusCode,
    pub(super) users: Vec<User>,
    /// Whose turn it is. Starts with the client's own number, or all would go to one replica first.
    pub(super) turn: usize,
}

impl Client for Customers {
    async fn operate(&mut self) -> Result<Done, Failed> {
        self.turn = self.turn.wrapping_add(1);
        let user = &self.users[self.turn % self.users.len()];
        let url = &self.urls[self.turn % self.urls.len()];
        let (token, body) = match &self.order {
            Order::Same(body) => (Some(&user.token), body),
            Order::AnyOf(bodies) => {
                let any = rand::rng().random_range(0..bodies.len());
                (Some(&user.token), &bodies[any])
            }
            Order::Credentials => (None, &user.credentials),
        };
        let answer = self.http.post(url, token, body.clone()).await.map_err(broken)?;
        if answer.status == self.expected {
            return Ok(Done::default());
        }
        if answer.status != StatusCode::ACCEPTED {
            return Err(Failed(answer.problem_code()));
        }
        self.outcome(url, token, &answer).await?;
        Ok(Done { asked_again: true })
    }
}

impl Customers {
    /// Asks until the purchase has ended.
    async fn outcome(&self, url: &Url, token: Option<&HeaderValue>, begun: &Answer) -> Result<(), Failed> {
        let location = begun.location.as_ref().and_then(|value| value.to_str().ok());
        let url = location
            .and_then(|location| url.join(location).ok())
            .ok_or_else(|| Failed("no_location".to_owned()))?;
        let deadline = Instant::now() + LONGEST_PURCHASE;
        while Instant::now() < deadline {
            tokio::time::sleep(ASK_EVERY).await;
            let answer = self.http.get(url.clone(), token).await.map_err(broken)?;
            if answer.status != StatusCode::OK {
                return Err(Failed(answer.problem_code()));
            }
            let purchase = answer.json();
            match purchase["status"].as_str() {
                Some("pending") => {}
                Some("paid") => return Ok(()),
                _ => {
                    let reason = purchase["failure_reason"].as_str();
                    return Err(Failed(reason.unwrap_or("purchase_failed").to_owned()));
                }
            }
        }
        Err(Failed("purchase_does_not_end".to_owned()))
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn broken(error: reqwest::Error) -> Failed {
    Failed(code_of(&error).to_owned())
}
