//! What administrators put into wallets and took out.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use shared::ids::AdjustmentId;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::{entity::prelude::*, sea_query::StringLen};
    use shared::{
        clock::Instant,
        ids::{AdjustmentId, UserId},
        money::Amount,
    };

    /// Which way money moved.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
    pub enum Direction {
        /// Into the wallet.
        #[sea_orm(string_value = "credit")]
        Credit,
        /// Out of it.
        #[sea_orm(string_value = "debit")]
        Debit,
    }

    /// Money that an administrator moved.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "adjustments")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: AdjustmentId,
        /// Whose wallet.
        pub user_id: UserId,
        /// The administrator.
        pub made_by: UserId,
        /// Which way.
        pub direction: Direction,
        /// How much.
        pub amount: Amount,
        /// Why.
        pub reason: String,
        /// What the wallet held after it.
        pub balance_after: Amount,
        /// When.
        pub made_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// Writes an adjustment.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, adjustment: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(adjustment))
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// The adjustment `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: AdjustmentId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// Why each of `ids` was made; a page of a list asks for few.
///
/// # Errors
/// When the database does not answer.
pub async fn reasons(
    conn: &impl ConnectionTrait,
    ids: &[AdjustmentId],
) -> Result<HashMap<AdjustmentId, String>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(AdjustmentId, String)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::Reason])
        .filter(Column::Id.is_in(ids.iter().copied()))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().collect())
}
