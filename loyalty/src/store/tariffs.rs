//! What loyalty knows of billing's tariffs: a replica, filled by billing's events. Serves
//! validation only; a hold carries its own price.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Alias, Expr, ExprTrait as _, OnConflict},
};
use shared::{
    contracts::{TariffChangedV1, TariffStatus},
    ids::TariffId,
};

mod entity {
    use sea_orm::entity::prelude::*;
    use serde::{Deserialize, Serialize};
    use shared::{contracts::TariffStatus, ids::TariffId, money::Amount};

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
    #[sea_orm(table_name = "tariffs")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TariffId,
        pub version: i64,
        pub name: String,
        /// In the platform's currency.
        pub price: Amount,
        pub period: String,
        pub status: TariffStatus,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use entity::Model as Tariff;
use entity::{ActiveModel, Column, Entity};

/// What is known of the tariff.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: TariffId) -> Result<Option<Tariff>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// All that are known.
pub(crate) async fn all(conn: &impl ConnectionTrait) -> Result<Vec<Tariff>, DbErr> {
    Entity::find().order_by_asc(Column::Id).all(conn).await
}

/// Those of `ids` that are known.
pub(crate) async fn known(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = TariffId>,
) -> Result<HashSet<TariffId>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The tariffs that are sold, by name.
pub(crate) async fn sold(conn: &impl ConnectionTrait) -> Result<Vec<Tariff>, DbErr> {
    Entity::find()
        .filter(Column::Status.eq(TariffStatus::Active))
        .order_by_asc(Column::Name)
        .order_by_asc(Column::Id)
        .all(conn)
        .await
}

/// Takes over the newest state of each tariff; an older one changes nothing, however late it comes.
pub(crate) async fn replicate(conn: &impl ConnectionTrait, states: &[TariffChangedV1]) -> Result<(), DbErr> {
    // One row a tariff: a statement may touch no row twice. Sorted: the order to lock in.
    let mut newest: BTreeMap<TariffId, &TariffChangedV1> = BTreeMap::new();
    for state in states {
        let known = newest.entry(state.tariff_id).or_insert(state);
        if state.version > known.version {
            *known = state;
        }
    }
    if newest.is_empty() {
        return Ok(());
    }
    let rows = newest.into_values().map(|state| ActiveModel {
        id: Set(state.tariff_id),
        version: Set(state.version),
        name: Set(state.name.clone()),
        price: Set(state.price.amount),
        period: Set(state.period.clone()),
        status: Set(state.status),
    });
    let newer = OnConflict::column(Column::Id)
        .update_columns([
            Column::Version,
            Column::Name,
            Column::Price,
            Column::Period,
            Column::Status,
        ])
        .action_and_where(
            Expr::col((Entity, Column::Version)).lt(Expr::col((Alias::new("excluded"), Column::Version))),
        )
        .to_owned();
    Entity::insert_many(rows)
        .on_conflict(newer)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}
