//! The idempotency keys.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IntoActiveModel, QueryFilter, Statement,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};
use sha2::{Digest as _, Sha256};
use shared::{ids::UserId, users};

use super::unreadable;
use crate::domain::idempotency::IdempotencyKey;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::UserId};

    /// A key, and the operation that it names.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        /// Whose key.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        /// The key.
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        /// What kind of operation.
        pub operation: String,
        /// Which.
        pub operation_id: Uuid,
        /// What was asked for.
        pub request_hash: Vec<u8>,
        /// When it was first used.
        pub created_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{Column, Entity, Model};

/// The names of operations: whose, and the key.
pub type Names = BTreeSet<(UserId, IdempotencyKey)>;

/// Takes `names` for this transaction, without waiting; those that another transaction has at
/// this moment are left out. Until its end nobody erases what is known of their owners, as
/// [`users::deleted_among`] has it: so a key is there when it is to be forgotten, or its owner is
/// known to be deleted when the status is read next.
///
/// On SQLite there is one writing transaction at a time, so whoever comes here has them all.
///
/// # Errors
/// When the database does not answer.
pub async fn try_lock(conn: &impl ConnectionTrait, names: Names) -> Result<Names, DbErr> {
    if conn.get_database_backend() == DbBackend::Sqlite {
        return Ok(names);
    }
    let owners: BTreeSet<_> = names.iter().map(|(user, _)| *user).collect();
    let mut by_number: HashMap<i64, Vec<_>> = HashMap::new();
    for name in names {
        by_number.entry(number(&name)).or_default().push(name);
    }
    let places = |from: usize, many: usize| {
        let places: Vec<_> = (from..from + many).map(|place| format!("(${place})")).collect();
        places.join(", ")
    };
    let statement = Statement::from_sql_and_values(
        conn.get_database_backend(),
        format!(
            "WITH owned AS MATERIALIZED (SELECT {} FROM (VALUES {}) AS owner (id)) \
             SELECT number, pg_try_advisory_xact_lock(number) AS locked FROM (VALUES {}) AS name (number) \
             WHERE (SELECT count(*) FROM owned) > 0",
            users::SHARED_LOCK,
            places(by_number.len() + 1, owners.len()),
            places(1, by_number.len()),
        ),
        by_number
            .keys()
            .map(|number| (*number).into())
            .chain(owners.into_iter().map(Into::into)),
    );
    let mut locked = Names::new();
    for row in conn.query_all_raw(statement).await? {
        if row.try_get("", "locked")? {
            let number: i64 = row.try_get("", "number")?;
            locked.extend(by_number.remove(&number).unwrap_or_default());
        }
    }
    Ok(locked)
}

/// What stands for a name where only a number can be locked.
fn number((user, key): &(UserId, IdempotencyKey)) -> i64 {
    let hash = Sha256::new()
        .chain_update(user.0)
        .chain_update(key.as_str())
        .finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(number)
}

/// What is remembered under `names`.
///
/// # Errors
/// When the database does not answer, or keeps a key that can't be one.
pub async fn find(
    conn: &impl ConnectionTrait,
    names: &Names,
) -> Result<HashMap<(UserId, IdempotencyKey), Model>, DbErr> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = names.iter().map(|(user, key)| (*user, key.as_str()));
    let rows = Entity::find()
        .filter(Expr::tuple([Expr::col(Column::UserId), Expr::col(Column::Key)]).in_tuples(keys))
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|row| Ok(((row.user_id, row.key.parse().map_err(unreadable)?), row)))
        .collect()
}

/// Forgets the keys of these users.
///
/// # Errors
/// When the database refuses.
pub async fn forget(conn: &impl ConnectionTrait, users: &BTreeSet<UserId>) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.is_in(users.iter().copied()))
        .exec(conn)
        .await?;
    Ok(())
}

/// Remembers keys; false if somebody else was faster with one of them.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<bool, DbErr> {
    if rows.is_empty() {
        return Ok(true);
    }
    let expected = rows.len() as u64;
    let written = Entity::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model))
        .on_conflict(
            OnConflict::columns([Column::UserId, Column::Key])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await?;
    Ok(written == expected)
}
