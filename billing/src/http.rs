//! Billing's API, under `/billing/v1`.

mod asking;
mod body;
mod keys;
mod purchases;
mod render;
mod subscriptions;
mod tariffs;
mod users;
mod waiters;
mod wallet;
mod webhooks;

use std::sync::Arc;

pub use asking::Asking;
use axum::extract::FromRef;
use chrono::Duration;
use shared::{
    batch::Batches,
    db::Db,
    http::{Guard, OpenApiRouter, TrustedProxies, routes},
};
pub use waiters::Waiters;

use crate::{
    app::{
        books::Books,
        buy_tariff::{Bought, BuyTariff},
    },
    domain::failures::FreeFailures,
    providers::PaymentProvider,
};

/// What the handlers work with.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub db: Db,
    /// Knows the callers.
    pub guard: Guard,
    /// The ledger.
    pub books: Books,
    /// Where money comes from; none if no provider is on.
    pub provider: Option<Arc<dyn PaymentProvider>>,
    /// Purchases that are asked for, together with others that are.
    pub buying: Arc<Batches<BuyTariff, Bought>>,
    /// Requests that wait for their purchase's outcome.
    pub waiters: Arc<Waiters>,
    /// Asks loyalty again for them.
    pub asking: Arc<Asking>,
    /// How long a purchase waits for loyalty.
    pub patience: Duration,
    /// How many failures of a user do not slow down the next one.
    pub free_failures: FreeFailures,
    /// The reverse proxies whose `X-Forwarded-For` is believed.
    pub proxies: TrustedProxies,
}

impl FromRef<AppState> for TrustedProxies {
    fn from_ref(state: &AppState) -> Self {
        state.proxies.clone()
    }
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// Every route.
pub fn router(state: AppState) -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .routes(routes!(tariffs::list_tariffs, tariffs::create_tariff))
        .routes(routes!(tariffs::get_tariff, tariffs::change_tariff))
        .routes(routes!(tariffs::archive_tariff))
        .routes(routes!(wallet::get_balance))
        .routes(routes!(wallet::top_up_balance))
        .routes(routes!(wallet::withdraw_balance))
        .routes(routes!(wallet::get_top_up))
        .routes(routes!(wallet::list_transfers))
        .routes(routes!(purchases::list_purchases, purchases::create_purchase))
        .routes(routes!(purchases::get_purchase))
        .routes(routes!(purchases::cancel_purchase))
        .routes(routes!(purchases::refund_purchase))
        .routes(routes!(subscriptions::list_subscriptions))
        .routes(routes!(subscriptions::cancel_subscription))
        .routes(routes!(users::credit_user))
        .routes(routes!(users::debit_user))
        .routes(routes!(webhooks::take_webhook));
    OpenApiRouter::new().nest("/billing/v1", routes).with_state(state)
}
