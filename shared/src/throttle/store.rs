//! The table of counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, ExprTrait as _, OnConflict},
};

use super::{Count, WINDOW};
use crate::clock::Instant;

/// Rows in one statement, well under both databases' limits of parameters.
const CHUNK: usize = 1_000;

mod entity {
    use sea_orm::entity::prelude::*;

    use crate::clock::Instant;

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

use entity::{ActiveModel, Column, Entity, Model};

impl From<Model> for Count {
    fn from(row: Model) -> Self {
        Self {
            began_at: row.began_at,
            count: row.count,
        }
    }
}

/// What was counted under this key.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, key: &str) -> Result<Option<Count>, DbErr> {
    Ok(Entity::find_by_id(key).one(conn).await?.map(Count::from))
}

/// What was counted under these keys; a key without a count is not among them.
///
/// # Errors
/// When the database refuses.
pub async fn find_many(
    conn: &impl ConnectionTrait,
    keys: &BTreeSet<String>,
) -> Result<HashMap<String, Count>, DbErr> {
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let mut counts = HashMap::new();
    for chunk in keys.chunks(CHUNK) {
        let rows = Entity::find()
            .filter(Column::Key.is_in(chunk.iter().copied()))
            .all(conn)
            .await?;
        counts.extend(rows.into_iter().map(|row| (row.key.clone(), row.into())));
    }
    Ok(counts)
}

/// Counts one more under this key, anew if the window of the count is over; returns the count with
/// it. However many do this at once, each gets another number.
///
/// # Errors
/// When the database refuses.
pub async fn add(
    conn: &impl ConnectionTrait,
    key: &str,
    account: Option<&str>,
    now: Instant,
) -> Result<Count, DbErr> {
    let row = ActiveModel {
        key: Set(key.to_owned()),
        account: Set(account.map(str::to_owned)),
        began_at: Set(now),
        count: Set(1),
    };
    let added = Entity::insert(row)
        .on_conflict(added_or_begun_anew(now))
        .exec_with_returning(conn)
        .await?;
    Ok(added.into())
}

/// Counts so many more under each key. In sorted order, so that concurrent transactions wait for each
/// other in the same order; the counts stay locked until this one ends.
///
/// # Errors
/// When the database refuses.
pub async fn add_many(
    conn: &impl ConnectionTrait,
    added: &BTreeMap<String, i64>,
    now: Instant,
) -> Result<(), DbErr> {
    let rows: Vec<_> = added
        .iter()
        .map(|(key, count)| ActiveModel {
            key: Set(key.clone()),
            account: Set(None),
            began_at: Set(now),
            count: Set(*count),
        })
        .collect();
    for chunk in rows.chunks(CHUNK) {
        Entity::insert_many(chunk.to_vec())
            .on_conflict(added_or_begun_anew(now))
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Takes back one that was counted under this key.
///
/// # Errors
/// When the database refuses.
pub async fn take_back(conn: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Count, Expr::col(Column::Count).sub(1_i64))
        .filter(Column::Key.eq(key))
        .filter(Column::Count.gt(0))
        .exec(conn)
        .await?;
    Ok(())
}

/// Adds what is inserted to the count that is there, or replaces one whose window is over.
fn added_or_begun_anew(now: Instant) -> OnConflict {
    // Where all was taken back, nothing has begun.
    let is_over = || {
        let too_old = Expr::col((Entity, Column::BeganAt)).lte(now - WINDOW);
        too_old.or(Expr::col((Entity, Column::Count)).lte(0_i64))
    };
    let inserted = || Expr::col(("excluded", Column::Count));
    let count: Expr = CaseStatement::new()
        .case(is_over(), inserted())
        .finally(Expr::col((Entity, Column::Count)).add(inserted()))
        .into();
    let began_at: Expr = CaseStatement::new()
        .case(is_over(), Expr::value(now))
        .finally(Expr::col((Entity, Column::BeganAt)))
        .into();
    OnConflict::column(Column::Key)
        .values([(Column::Count, count), (Column::BeganAt, began_at)])
        .to_owned()
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
