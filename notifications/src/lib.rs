//! Notifications: every outcome has its letter, exactly one in the inbox.
//!
//! Letters are made from the other services' events and from nothing else. What makes a second
//! one impossible is what a letter is about, which is unique in the database; what orders them
//! is the time of the event, not that of its arrival.

mod app;
mod consumers;
pub mod domain;
mod http;
mod store;

use std::sync::Arc;

use shared::{
    contracts::ServiceName,
    host::{Context, Definition, Service},
    users::{self, ReplicatedStatuses},
};

pub use app::reconcile::{letters_of_purchases, purchases_with_a_letter};

/// The service, to be run by [`shared::host`].
#[must_use]
pub fn definition() -> Definition {
    Definition {
        name: ServiceName::Notifications,
        build: |context| Box::pin(std::future::ready(Ok(build(context)))),
        migrate: |conn| Box::pin(migration::up(ServiceName::Notifications, conn)),
        pending: |conn| Box::pin(migration::pending(ServiceName::Notifications, conn)),
    }
}

fn build(context: &Context) -> Service {
    let users = context.cache.versioned();
    let guard = context.guard(ReplicatedStatuses {
        db: context.db.clone(),
        users: users.clone(),
    });
    let sessions = context.sessions.clone();
    let state = http::AppState {
        db: context.db.clone(),
        guard: guard.clone(),
    };
    Service {
        api: http::routes(state),
        guard,
        handlers: consumers::handlers(&users, &sessions),
        jobs: Vec::new(),
        on_wake: Some(Arc::new(move |envelope| {
            sessions.hear(envelope);
            users::hear(&users, envelope);
        })),
    }
}
