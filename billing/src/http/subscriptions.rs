//! `/subscriptions`.

use axum::extract::State;
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, Json, Page, PageQuery, Problem, Query},
};

use super::{
    AppState,
    body::{OwnerQuery, page},
    render::SubscriptionBody,
};
use crate::app;

/// Subscriptions, the last to start first.
#[utoipa::path(get, path = "/subscriptions", params(OwnerQuery, PageQuery),
    responses((status = 200, body = Page<SubscriptionBody>)))]
pub(super) async fn list_subscriptions(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SubscriptionBody>>, Problem> {
    let user = caller.own_or(owner.user_id, Permission::BillingRead)?;
    let (after, limit) = page(&query)?;
    let rows = app::read_subscription::list_subscriptions(state.db.reader(), user, after, limit + 1).await?;
    let cursor = |row: &crate::domain::subscription::Subscription| Cursor {
        at: row.starts_at,
        id: row.id.0,
    };
    Ok(Json(Page::of(rows, limit, cursor, SubscriptionBody::from)))
}
