//! Runs services: any number of them in one process, in the same way.

mod asset;
mod background;
mod clock;
mod documents;
mod health;
mod hold;
mod metrics;
mod run;
mod serve;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use sea_orm::{DatabaseConnection, DbErr};

pub use run::{Running, StartError, install_crypto, start, start_on};

use crate::{
    cache::ServiceCache,
    clock::Clock,
    config::Config,
    contracts::{Envelope, ServiceName},
    db::Db,
    http::{Guard, OpenApiRouter, TrustedProxies, UserStatuses},
    inbox::Handlers,
    sessions::EndedSessions,
    token::TokenVerifier,
};

/// What a service is given to build itself from.
#[derive(Clone)]
pub struct Context {
    /// The configuration.
    pub config: Arc<Config>,
    /// Its own database.
    pub db: Db,
    /// Its part of the cache.
    pub cache: ServiceCache,
    /// The time, by the clock of its database.
    pub clock: Arc<dyn Clock>,
    /// Checks access tokens.
    pub tokens: Arc<TokenVerifier>,
    /// Which logins have ended.
    pub sessions: EndedSessions,
    /// Where auth is reached: `http://auth:8080`.
    pub auth_url: String,
}

impl Context {
    /// The reverse proxies whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies(self.config.auth.trusted_proxies.clone().into())
    }

    /// What knows the service's callers, with what it knows of their status.
    #[must_use]
    pub fn guard(&self, statuses: impl UserStatuses + 'static) -> Guard {
        Guard {
            tokens: Arc::clone(&self.tokens),
            statuses: Arc::new(statuses),
            sessions: self.sessions.clone(),
        }
    }
}

/// A service: what it serves, hears and does by itself.
pub struct Service {
    /// Its routes, under `/{service}/v1`, with their description.
    pub api: OpenApiRouter,
    /// Knows its callers.
    pub guard: Guard,
    /// What it does with messages.
    pub handlers: Handlers,
    /// What it does from time to time.
    pub jobs: Vec<Arc<dyn Job>>,
    /// What it does on a wake-up, or on what it has just said itself.
    pub on_wake: Option<OnWake>,
}

/// Hears a message that may wake somebody.
pub type OnWake = Arc<dyn Fn(&Envelope) + Send + Sync>;

/// Why a service can't be built, or a job failed.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// How a service is made and its database kept up to date.
#[derive(Clone, Copy)]
pub struct Definition {
    /// Which service.
    pub name: ServiceName,
    /// Makes it.
    pub build: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<Service, JobError>>,
    /// Brings its database up to date; safe to run in several replicas at once.
    pub migrate: for<'a> fn(&'a DatabaseConnection) -> BoxFuture<'a, Result<(), DbErr>>,
    /// How many migrations its database still lacks; none if a newer program has migrated it.
    pub pending: for<'a> fn(&'a DatabaseConnection) -> BoxFuture<'a, Result<usize, DbErr>>,
}

/// Something a service does from time to time. Replicas do it side by side, so it must be safe
/// to repeat and claim what it works on.
#[async_trait]
pub trait Job: Send + Sync {
    /// For the log.
    fn name(&self) -> &'static str;

    /// The pause between two runs.
    fn every(&self) -> Duration;

    /// How long a run may take. What it has not come to by then is the next one's.
    fn may_take(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Does it once.
    async fn run(&self) -> Result<(), JobError>;
}
