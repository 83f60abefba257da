//! `/subscriptions`.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::{SubscriptionId, TariffId},
};
use utoipa::IntoParams;

use super::{
    AppState,
    body::{OwnerQuery, page},
    render::SubscriptionBody,
};
use crate::{
    app::{self, cancel_subscription::CancelSubscriptionError, read_subscription::SubscriptionFilter},
    domain::subscription::Subscription,
};

/// Which subscriptions a list shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SubscriptionsQuery {
    /// Only those that run now (`true`) or do not (`false`); all if absent.
    active: Option<bool>,
    /// Only those to this tariff.
    tariff_id: Option<TariffId>,
}

/// Subscriptions, the last to start first.
#[utoipa::path(get, path = "/subscriptions",
    security(("access_token" = []), ("access_token" = ["billing.read"])),
    params(OwnerQuery, SubscriptionsQuery, PageQuery),
    responses((status = 200, body = Page<SubscriptionBody>)))]
pub(super) async fn list_subscriptions(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
    Query(which): Query<SubscriptionsQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SubscriptionBody>>, Problem> {
    let (after, limit) = page(&query)?;
    let filter = SubscriptionFilter {
        user_id: caller.own_or(owner.user_id, Permission::BillingRead)?,
        running_at: which.active.map(|active| (state.db.now(), active)),
        tariff_id: which.tariff_id,
        after,
        limit: limit + 1,
    };
    let rows = app::read_subscription::list_subscriptions(state.db.reader(), &filter).await?;
    let cursor = |row: &Subscription| Cursor {
        at: row.starts_at,
        id: row.id.0,
    };
    Ok(Json(Page::of(rows, limit, cursor, SubscriptionBody::from)))
}

/// Cancels a subscription of one's own as of its end.
///
/// It can be used until then. Nothing renews by itself, so all that changes is that nobody is
/// reminded of the end. Again changes nothing.
#[utoipa::path(post, path = "/subscriptions/{id}/cancel", params(("id" = SubscriptionId, Path)), responses(
    (status = 200, body = SubscriptionBody),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    (status = 409, description = "`subscription_ended`: it is over.")))]
pub(super) async fn cancel_subscription(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<SubscriptionBody>, Problem> {
    let user = caller.own()?;
    let cancelled = state
        .db
        .write(|tx| async move { app::cancel_subscription::cancel_subscription(&tx, user, id).await })
        .await?;
    Ok(Json(cancelled.into()))
}

impl From<CancelSubscriptionError> for Problem {
    fn from(error: CancelSubscriptionError) -> Self {
        match error {
            CancelSubscriptionError::NotFound => Self::not_found("subscription"),
            CancelSubscriptionError::Ended(_) => Self::new(
                StatusCode::CONFLICT,
                "subscription_ended",
                "The subscription has ended already",
            ),
            CancelSubscriptionError::Store(_) => Self::internal(&error),
        }
    }
}
