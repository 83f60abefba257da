//! Loyalty: campaigns, promocodes, and the one decision for each purchase that wants one.

mod app;
mod consumers;
pub mod domain;
mod http;
mod jobs;
mod store;

use std::sync::Arc;

use app::{cached_terms::CachedTerms, decide_waiting_holds::WaitingHolds};
use domain::guess::GuessLimits;
use shared::{
    contracts::ServiceName,
    host::{Context, Definition, JobError, Service},
    throttle::ForgetThrottles,
    users::ReplicatedStatuses,
};

pub use app::reconcile::{
    SettledRedemption, ask_for_outcomes, purchases_with_a_use, reconcile, redemptions_of, replicated_tariffs,
};

/// The service.
#[must_use]
pub fn definition() -> Definition {
    Definition {
        name: ServiceName::Loyalty,
        build: |context| Box::pin(std::future::ready(build(context))),
        migrate: |conn| Box::pin(migration::up(ServiceName::Loyalty, conn)),
        pending: |conn| Box::pin(migration::pending(ServiceName::Loyalty, conn)),
    }
}

fn build(context: &Context) -> Result<Service, JobError> {
    let db = context.db.clone();
    let terms = CachedTerms::new(context.cache.clone());
    let guard = context.guard(ReplicatedStatuses {
        db: db.clone(),
        users: terms.users.clone(),
    });
    let sessions = context.sessions.clone();
    let currency = context.config.currency;
    let guesses = GuessLimits {
        user: context.config.loyalty.max_unknown_promocodes,
        address: context.config.loyalty.max_unknown_promocodes_per_address,
    };
    let waiting = WaitingHolds::default();
    Ok(Service {
        api: http::router(http::AppState {
            db: db.clone(),
            guard: guard.clone(),
            terms: terms.clone(),
            currency,
            guesses,
            proxies: context.trusted_proxies(),
        }),
        guard,
        handlers: consumers::handlers(currency, guesses, &terms, &sessions, &waiting),
        jobs: vec![
            Arc::new(ForgetThrottles(db.clone())),
            Arc::new(jobs::report_stale_holds::ReportStaleHolds(db.clone())),
            Arc::new(jobs::decide_waiting_holds::DecideWaitingHolds {
                db: db.clone(),
                currency,
                waiting,
            }),
            Arc::new(jobs::tell_of_grants::TellOfGrants(db)),
        ],
        on_wake: Some(Arc::new(move |envelope| {
            sessions.hear(envelope);
            terms.hear(envelope);
        })),
    })
}
