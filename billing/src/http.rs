//! Billing's API, under `/billing/v1`.

mod body;
mod keys;
mod purchases;
mod render;
mod subscriptions;
mod tariffs;
mod waiters;
mod wallet;

use std::sync::Arc;

use axum::{
    extract::FromRef,
    routing::{get, post},
};
use chrono::Duration;
use shared::{
    batch::Batches,
    db::Db,
    http::{Guard, OpenApiRouter},
};
pub use waiters::Waiters;

use crate::{
    app::{
        books::Books,
        buy_tariff::{Bought, BuyTariff},
    },
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
    /// How long a purchase waits for loyalty.
    pub patience: Duration,
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// Every route.
pub fn router(state: AppState) -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .route(
            "/tariffs",
            get(tariffs::list_tariffs).post(tariffs::create_tariff),
        )
        .route(
            "/tariffs/{id}",
            get(tariffs::get_tariff).patch(tariffs::change_tariff),
        )
        .route("/tariffs/{id}/archive", post(tariffs::archive_tariff))
        .route("/balance", get(wallet::get_balance))
        .route("/balance/top-up", post(wallet::top_up_balance))
        .route("/balance/withdraw", post(wallet::withdraw_balance))
        .route("/top-ups/{id}", get(wallet::get_top_up))
        .route("/transfers", get(wallet::list_transfers))
        .route(
            "/purchases",
            get(purchases::list_purchases).post(purchases::create_purchase),
        )
        .route("/purchases/{id}", get(purchases::get_purchase))
        .route("/purchases/{id}/cancel", post(purchases::cancel_purchase))
        .route("/subscriptions", get(subscriptions::list_subscriptions));
    OpenApiRouter::new().nest("/billing/v1", routes).with_state(state)
}
