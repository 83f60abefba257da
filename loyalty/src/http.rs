//! The API of loyalty, under `/loyalty/v1`.

mod campaigns;
mod promocodes;
mod redemptions;
mod refusals;

use axum::{
    extract::FromRef,
    routing::{get, post},
};
use iso_currency::Currency;
use shared::{
    db::Db,
    http::{Guard, OpenApiRouter, PageQuery, Problem},
};

use crate::app::{Part, cached_terms::CachedTerms};

/// What handlers stand on.
#[derive(Clone)]
pub(crate) struct AppState {
    pub db: Db,
    pub guard: Guard,
    /// What validation need not read again.
    pub terms: CachedTerms,
    /// The platform's currency.
    pub currency: Currency,
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// All routes.
pub(crate) fn router(state: AppState) -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .route("/promocodes/validate", post(promocodes::validate_promocode))
        .route(
            "/campaigns",
            get(campaigns::list_campaigns).post(campaigns::create_campaign),
        )
        .route("/campaigns/{id}", get(campaigns::get_campaign))
        .route(
            "/campaigns/{id}/promocodes",
            get(promocodes::list_promocodes).post(promocodes::create_promocode),
        )
        .route(
            "/campaigns/{id}/redemptions",
            get(redemptions::list_campaign_redemptions),
        )
        .route("/redemptions", get(redemptions::list_redemptions))
        .route("/refusals", get(refusals::list_refusals));
    OpenApiRouter::new().nest("/loyalty/v1", routes).with_state(state)
}

/// Which part of a list the query asks for.
fn part(query: &PageQuery) -> Result<Part, Problem> {
    Ok(Part {
        after: query.after()?.map(|cursor| (cursor.at, cursor.id)),
        limit: query.limit()?,
    })
}

fn promocode_exists() -> Problem {
    Problem::new(
        axum::http::StatusCode::CONFLICT,
        "promocode_exists",
        "There is such a promocode already",
    )
    .detail("Codes are compared without case and surrounding space, on the whole platform.")
}
