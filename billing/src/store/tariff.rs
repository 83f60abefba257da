//! The tariffs.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use shared::{clock::Instant, contracts::TariffStatus, ids::TariffId};

use super::{After, older, unreadable};
use crate::domain::tariff::Tariff;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, contracts::TariffStatus, ids::TariffId, money::Amount};

    /// What is sold.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tariffs")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TariffId,
        /// Grows by one with every change.
        pub version: i64,
        /// Its name.
        pub name: String,
        /// Its price.
        pub price: Amount,
        /// ISO 8601.
        pub period: String,
        /// Whether it is sold.
        pub status: TariffStatus,
        /// Since when there is such a tariff.
        pub created_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

fn read(row: Model) -> Result<(Tariff, Instant), DbErr> {
    let tariff = Tariff {
        id: row.id,
        version: row.version,
        name: row.name,
        price: row.price,
        period: row.period.parse().map_err(unreadable)?,
        status: row.status,
    };
    Ok((tariff, row.created_at))
}

/// Writes a new tariff.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, tariff: &Tariff, now: Instant) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(tariff.id),
        version: Set(tariff.version),
        name: Set(tariff.name.clone()),
        price: Set(tariff.price),
        period: Set(tariff.period.to_string()),
        status: Set(tariff.status),
        created_at: Set(now),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// Writes `tariff` over the version before it.
///
/// # Errors
/// When the database refuses, or the row is not of the version before.
pub async fn update(conn: &impl ConnectionTrait, tariff: &Tariff) -> Result<(), DbErr> {
    let row = ActiveModel {
        version: Set(tariff.version),
        name: Set(tariff.name.clone()),
        price: Set(tariff.price),
        period: Set(tariff.period.to_string()),
        status: Set(tariff.status),
        ..Default::default()
    };
    let written = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(tariff.id))
        .filter(Column::Version.eq(tariff.version - 1))
        .exec(conn)
        .await?;
    if written.rows_affected == 1 {
        Ok(())
    } else {
        Err(DbErr::RecordNotUpdated)
    }
}

/// Those of `ids` that there are.
///
/// # Errors
/// When the database does not answer.
pub async fn find_many(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = TariffId>,
) -> Result<HashMap<TariffId, Tariff>, DbErr> {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    let tariffs = rows.into_iter().map(|row| {
        let (tariff, _) = read(row)?;
        Ok((tariff.id, tariff))
    });
    tariffs.collect()
}

/// Every tariff, by id.
///
/// # Errors
/// When the database does not answer.
pub async fn all(conn: &impl ConnectionTrait) -> Result<Vec<Tariff>, DbErr> {
    let rows = Entity::find().order_by_asc(Column::Id).all(conn).await?;
    rows.into_iter().map(|row| Ok(read(row)?.0)).collect()
}

/// The tariff `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: TariffId) -> Result<Option<Tariff>, DbErr> {
    let row = Entity::find_by_id(id).one(conn).await?;
    Ok(row.map(read).transpose()?.map(|(tariff, _)| tariff))
}

/// The tariff `id`, locked for this transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn lock(conn: &impl ConnectionTrait, id: TariffId) -> Result<Option<Tariff>, DbErr> {
    let row = Entity::find_by_id(id).lock_exclusive().one(conn).await?;
    Ok(row.map(read).transpose()?.map(|(tariff, _)| tariff))
}

/// At most `limit` tariffs with their instants of creation, newest first; those of `status`, or all.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &impl ConnectionTrait,
    status: Option<TariffStatus>,
    after: After,
    limit: u64,
) -> Result<Vec<(Tariff, Instant)>, DbErr> {
    let mut query = Entity::find().filter(older(Column::CreatedAt, Column::Id, after));
    if let Some(status) = status {
        query = query.filter(Column::Status.eq(status));
    }
    let rows = query
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}
