//! The table of what was counted against whom, so that it holds in every replica.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, ExprTrait as _, OnConflict},
};
use shared::clock::Instant;

use crate::domain::Count;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::clock::Instant;

    /// How often something was tried.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "throttles")]
    pub struct Model {
        /// What, by whom: a hash.
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        /// On which account: a hash of its e-mail address.
        pub account: Option<String>,
        /// Since when.
        pub began_at: Instant,
        /// How often since then.
        pub count: i64,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// What was counted under this key.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, key: &str) -> Result<Option<Count>, DbErr> {
    let row = Entity::find_by_id(key).one(conn).await?;
    Ok(row.map(|row| Count {
        began_at: row.began_at,
        count: row.count,
    }))
}

/// Counts one more under this key, anew if the count began at `over` or before; returns the count
/// with it. However many do this at once, each gets another number.
///
/// # Errors
/// When the database refuses.
pub async fn add(
    conn: &impl ConnectionTrait,
    key: &str,
    account: Option<&str>,
    now: Instant,
    over: Instant,
) -> Result<Count, DbErr> {
    let row = ActiveModel {
        key: Set(key.to_owned()),
        account: Set(account.map(str::to_owned)),
        began_at: Set(now),
        count: Set(1),
    };
    let is_over = || Expr::col((Entity, Column::BeganAt)).lte(over);
    let count: Expr = CaseStatement::new()
        .case(is_over(), 1_i64)
        .finally(Expr::col((Entity, Column::Count)).add(1_i64))
        .into();
    let began_at: Expr = CaseStatement::new()
        .case(is_over(), Expr::value(now))
        .finally(Expr::col((Entity, Column::BeganAt)))
        .into();
    let added = Entity::insert(row)
        .on_conflict(
            OnConflict::column(Column::Key)
                .values([(Column::Count, count), (Column::BeganAt, began_at)])
                .to_owned(),
        )
        .exec_with_returning(conn)
        .await?;
    Ok(Count {
        began_at: added.began_at,
        count: added.count,
    })
}

/// Forgets what was counted under this key.
///
/// # Errors
/// When the database refuses.
pub async fn forget(conn: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    Entity::delete_by_id(key).exec(conn).await?;
    Ok(())
}

/// Forgets what was counted on an account.
///
/// # Errors
/// When the database refuses.
pub async fn forget_account(conn: &impl ConnectionTrait, account: &str) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Account.eq(account))
        .exec(conn)
        .await?;
    Ok(())
}

/// Forgets counts that began before `instant`.
///
/// # Errors
/// When the database refuses.
pub async fn forget_before(conn: &impl ConnectionTrait, instant: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::BeganAt.lt(instant))
        .exec(conn)
        .await?;
    Ok(())
}
