//! The API of loyalty, under `/loyalty/v1`.

mod campaigns;
mod fields;
mod grants;
mod groups;
mod promocodes;
mod redemptions;
mod refusals;
mod terms;
mod usable;

use axum::{extract::FromRef, http::StatusCode};
use iso_currency::Currency;
use serde::Deserialize;
use shared::{
    db::Db,
    http::{Guard, OpenApiRouter, PageQuery, Problem, TrustedProxies, routes},
    ids::UserId,
};
use utoipa::IntoParams;

use crate::{
    app::{Part, cached_terms::CachedTerms},
    domain::guess::GuessLimits,
};

/// What handlers stand on.
#[derive(Clone)]
pub(crate) struct AppState {
    pub db: Db,
    pub guard: Guard,
    /// What validation need not read again.
    pub terms: CachedTerms,
    /// The platform's currency.
    pub currency: Currency,
    /// How many unknown promocodes are answered.
    pub guesses: GuessLimits,
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

/// All routes.
pub(crate) fn router(state: AppState) -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .routes(routes!(usable::validate_promocode))
        .routes(routes!(usable::list_usable_promocodes))
        .routes(routes!(campaigns::list_campaigns, campaigns::create_campaign))
        .routes(routes!(campaigns::get_campaign, campaigns::change_campaign))
        .routes(routes!(campaigns::pause_campaign))
        .routes(routes!(campaigns::resume_campaign))
        .routes(routes!(campaigns::archive_campaign))
        .routes(routes!(promocodes::list_promocodes, promocodes::create_promocode))
        .routes(routes!(promocodes::change_promocode))
        .routes(routes!(redemptions::list_campaign_redemptions))
        .routes(routes!(redemptions::list_redemptions))
        .routes(routes!(groups::list_groups, groups::create_group))
        .routes(routes!(
            groups::get_group,
            groups::rename_group,
            groups::delete_group
        ))
        .routes(routes!(groups::list_members))
        .routes(routes!(groups::add_member, groups::remove_member))
        .routes(routes!(grants::list_grants, grants::create_grant))
        .routes(routes!(grants::delete_grant))
        .routes(routes!(refusals::list_refusals));
    OpenApiRouter::new().nest("/loyalty/v1", routes).with_state(state)
}

/// Whose things are asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// The caller's own if absent; somebody else's needs `campaigns.read`.
    user_id: Option<UserId>,
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
        StatusCode::CONFLICT,
        "promocode_exists",
        "There is such a promocode already",
    )
    .detail("Codes are compared in their normal form, without case, invisible characters and surrounding space, on the whole platform.")
}

fn user_deleted() -> Problem {
    Problem::new(StatusCode::CONFLICT, "user_deleted", "The account is deleted")
}

fn other_version(version: i64) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "version_conflict",
        "It was changed meanwhile",
    )
    .detail(format!("It is in version {version} by now."))
}
