//! The subscriptions.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use shared::{
    clock::Instant,
    ids::{PurchaseId, TariffId, UserId},
};

use super::{After, older};
use crate::domain::subscription::Subscription;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{PurchaseId, SubscriptionId, TariffId, UserId},
    };

    /// What a paid purchase gave.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "subscriptions")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SubscriptionId,
        /// The purchase that gave it; unique.
        pub purchase_id: PurchaseId,
        /// Whose.
        pub user_id: UserId,
        /// To what.
        pub tariff_id: TariffId,
        /// From when.
        pub starts_at: Instant,
        /// To when.
        pub ends_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

fn read(row: Model) -> Subscription {
    Subscription {
        id: row.id,
        purchase_id: row.purchase_id,
        user_id: row.user_id,
        tariff_id: row.tariff_id,
        starts_at: row.starts_at,
        ends_at: row.ends_at,
    }
}

/// Writes new subscriptions.
///
/// # Errors
/// When the database refuses, for instance a second one of the same purchase.
pub async fn insert(conn: &impl ConnectionTrait, subscriptions: &[Subscription]) -> Result<(), DbErr> {
    if subscriptions.is_empty() {
        return Ok(());
    }
    let rows = subscriptions.iter().map(|subscription| ActiveModel {
        id: Set(subscription.id),
        purchase_id: Set(subscription.purchase_id),
        user_id: Set(subscription.user_id),
        tariff_id: Set(subscription.tariff_id),
        starts_at: Set(subscription.starts_at),
        ends_at: Set(subscription.ends_at),
    });
    Entity::insert_many(rows).exec_without_returning(conn).await?;
    Ok(())
}

/// When the last subscription of each of `users` to each tariff ends.
///
/// # Errors
/// When the database does not answer.
pub async fn last_ends(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<HashMap<(UserId, TariffId), Instant>, DbErr> {
    let ends: Vec<(UserId, TariffId, Instant)> = Entity::find()
        .select_only()
        .column(Column::UserId)
        .column(Column::TariffId)
        .column_as(Column::EndsAt.max(), "ends_at")
        .filter(Column::UserId.is_in(users.iter().copied()))
        .group_by(Column::UserId)
        .group_by(Column::TariffId)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ends
        .into_iter()
        .map(|(user, tariff, end)| ((user, tariff), end))
        .collect())
}

/// What `purchases` gave; those that gave nothing are absent.
///
/// # Errors
/// When the database does not answer.
pub async fn of_purchases(
    conn: &impl ConnectionTrait,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<HashMap<PurchaseId, Subscription>, DbErr> {
    let rows = Entity::find()
        .filter(Column::PurchaseId.is_in(purchases))
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.purchase_id, read(row))).collect())
}

/// At most `limit` subscriptions of `user`, the last to start first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &impl ConnectionTrait,
    user: UserId,
    after: After,
    limit: u64,
) -> Result<Vec<Subscription>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user))
        .filter(older(Column::StartsAt, Column::Id, after))
        .order_by_desc(Column::StartsAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(read).collect())
}
