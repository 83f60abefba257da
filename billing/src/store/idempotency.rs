//! The idempotency keys.

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement, sea_query::OnConflict,
};
use sha2::{Digest as _, Sha256};
use shared::ids::UserId;

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

use entity::{ActiveModel, Column, Entity, Model};

/// Takes the key for this transaction; false if another transaction has it at this moment.
///
/// On SQLite there is one writing transaction at a time, so whoever comes here has it.
///
/// # Errors
/// When the database does not answer.
pub async fn try_lock(
    conn: &impl ConnectionTrait,
    user: UserId,
    key: &IdempotencyKey,
) -> Result<bool, DbErr> {
    if conn.get_database_backend() == DbBackend::Sqlite {
        return Ok(true);
    }
    let hash = Sha256::new()
        .chain_update(user.0)
        .chain_update(key.as_str())
        .finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&hash[..8]);
    let statement = Statement::from_sql_and_values(
        conn.get_database_backend(),
        "SELECT pg_try_advisory_xact_lock($1) AS locked",
        [i64::from_be_bytes(number).into()],
    );
    match conn.query_one_raw(statement).await? {
        Some(row) => row.try_get("", "locked"),
        None => Ok(false),
    }
}

/// What is remembered under the key.
///
/// # Errors
/// When the database does not answer.
pub async fn find(
    conn: &impl ConnectionTrait,
    user: UserId,
    key: &IdempotencyKey,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((user, key.as_str().to_owned()))
        .one(conn)
        .await
}

/// Remembers a key; false if somebody else was faster.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    let row = ActiveModel {
        user_id: Set(row.user_id),
        key: Set(row.key),
        operation: Set(row.operation),
        operation_id: Set(row.operation_id),
        request_hash: Set(row.request_hash),
        created_at: Set(row.created_at),
    };
    let written = Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::UserId, Column::Key])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await?;
    Ok(written == 1)
}
