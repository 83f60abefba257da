//! Accounts: who somebody is, whether they may act, and what they may do.
//!
//! The one service that knows e-mail addresses and passwords. The others know users by id, from
//! its events, and check its tokens with the keys that it publishes.

mod app;
mod domain;
mod http;
mod jobs;
mod store;

use std::sync::Arc;

use shared::{
    contracts::ServiceName,
    host::{Context, Definition, JobError, Service},
    inbox::Handlers,
};

pub use app::{
    BEFORE_SIGNING, ClientError, CreateAdminError, EnsureSigningKeyError, HashError, KeyTimes, ServiceClient,
    announce_ended_sessions, announce_users, create_admin, create_client, disable_client, list_clients,
    list_keys, rotate_keys,
};
pub use domain::{EmailError, PasswordError};

/// The service.
#[must_use]
pub fn definition() -> Definition {
    Definition {
        name: ServiceName::Auth,
        build: |context| Box::pin(build(context)),
        migrate: |conn| Box::pin(migration::up(ServiceName::Auth, conn)),
        pending: |conn| Box::pin(migration::pending(ServiceName::Auth, conn)),
    }
}

async fn build(context: &Context) -> Result<Service, JobError> {
    context
        .db
        .write(|tx| async move { app::ensure_signing_key(&tx).await })
        .await?;
    let mail_key = context
        .db
        .write(|tx| async move { app::MailKey::ensure(&tx).await })
        .await?;
    let hasher = app::PasswordHasher::new().await?;
    let guard = context.guard(http::OwnStatuses(context.db.clone()));
    let end_withdrawn = jobs::EndWithdrawn {
        db: context.db.clone(),
        sessions: guard.sessions.clone(),
    };
    Ok(Service {
        api: http::routes(context, guard.clone(), hasher, mail_key),
        guard,
        handlers: Handlers::new(),
        jobs: vec![
            Arc::new(jobs::ForgetOld(context.db.clone())),
            Arc::new(end_withdrawn),
        ],
        on_wake: None,
    })
}
