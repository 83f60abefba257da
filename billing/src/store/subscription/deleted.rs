//! Subscriptions of deleted users end.

use std::collections::BTreeSet;

use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{CaseStatement, Expr, ExprTrait as _, Query},
};
use shared::{clock::Instant, contracts::UserStatus, ids::UserId, users};

use super::entity::{Column, Entity};

/// Ends all subscriptions of `users` at `at`: one that has not begun never does, and one that is over stays
/// as it is.
///
/// # Errors
/// When the database refuses.
pub async fn end_of_users(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
    at: Instant,
) -> Result<(), DbErr> {
    if users.is_empty() {
        return Ok(());
    }
    let end = CaseStatement::new()
        .case(Column::StartsAt.gt(at), Expr::col(Column::StartsAt))
        .finally(Expr::value(at));
    Entity::update_many()
        .col_expr(Column::EndsAt, end.into())
        .filter(Column::UserId.is_in(users.iter().copied()))
        .filter(lasts_beyond(at))
        .exec(conn)
        .await?;
    Ok(())
}

/// At most `limit` users, by id, from behind `after` on, who are deleted and have subscriptions that end
/// after `now`.
///
/// # Errors
/// When the database does not answer.
pub async fn left_by_deleted(
    conn: &impl ConnectionTrait,
    now: Instant,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<UserId>, DbErr> {
    let deleted = Query::select()
        .column(users::entity::Column::Id)
        .from(users::entity::Entity)
        .and_where(users::entity::Column::Status.eq(UserStatus::Deleted))
        .to_owned();
    let mut found = Entity::find()
        .select_only()
        .column(Column::UserId)
        .distinct()
        .filter(lasts_beyond(now))
        .filter(Column::UserId.in_subquery(deleted));
    if let Some(after) = after {
        found = found.filter(Column::UserId.gt(after));
    }
    let found = found.order_by_asc(Column::UserId).limit(limit);
    found.into_tuple().all(conn).await
}

/// What runs at `at` or later. What was taken back before it began lasts no time, wherever it stands.
fn lasts_beyond(at: Instant) -> Condition {
    Condition::all()
        .add(Column::EndsAt.gt(at))
        .add(Expr::col((Entity, Column::EndsAt)).gt(Expr::col((Entity, Column::StartsAt))))
}
