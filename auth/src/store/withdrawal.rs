//! The table of permissions that were withdrawn from a role, while sessions that carry them are left to end.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType, OnConflict},
};
use shared::{clock::Instant, contracts::Permission, ids::UserId};
use uuid::Uuid;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::UserId};

    /// Permissions that a role had.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "withdrawals")]
    pub struct Model {
        /// The withdrawal.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// The name of the role.
        pub role: String,
        /// What it allows no more, as a JSON array.
        pub permissions: String,
        /// Since when.
        pub withdrawn_at: Instant,
        /// Whose sessions were ended last.
        pub done_to: UserId,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// Permissions that were withdrawn from a role.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    /// The withdrawal.
    pub id: Uuid,
    /// The name of the role.
    pub role: String,
    /// What it allows no more.
    pub permissions: BTreeSet<Permission>,
    /// Since when.
    pub withdrawn_at: Instant,
    /// Whose sessions were ended last; those of users with a higher id are left.
    pub done_to: Option<UserId>,
}

impl From<Model> for Withdrawal {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            role: row.role,
            permissions: super::permissions::read(&row.permissions),
            withdrawn_at: row.withdrawn_at,
            done_to: Some(row.done_to),
        }
    }
}

/// Writes down how far a withdrawal has come, `done_to`.
///
/// # Errors
/// When the database refuses.
pub async fn upsert(
    conn: &impl ConnectionTrait,
    withdrawal: &Withdrawal,
    done_to: UserId,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(withdrawal.id),
        role: Set(withdrawal.role.clone()),
        permissions: Set(super::permissions::write(&withdrawal.permissions)),
        withdrawn_at: Set(withdrawal.withdrawn_at),
        done_to: Set(done_to),
    };
    let further = OnConflict::column(Column::Id)
        .update_column(Column::DoneTo)
        .to_owned();
    Entity::insert(row)
        .on_conflict(further)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// Forgets a withdrawal that is done.
///
/// # Errors
/// When the database refuses.
pub async fn delete(conn: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(conn).await?;
    Ok(())
}

/// Whether one is left, of any role or of one of these.
///
/// # Errors
/// When the database refuses.
pub async fn any(conn: &impl ConnectionTrait, roles: Option<&BTreeSet<String>>) -> Result<bool, DbErr> {
    let mut query = Entity::find();
    if let Some(roles) = roles {
        query = query.filter(Column::Role.is_in(roles));
    }
    Ok(query.one(conn).await?.is_some())
}

/// The oldest that is left, locked; one that another replica has locked is left to it.
///
/// # Errors
/// When the database refuses.
pub async fn lock_next(conn: &impl ConnectionTrait) -> Result<Option<Withdrawal>, DbErr> {
    let row = Entity::find()
        .order_by_asc(Column::Id)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(conn)
        .await?;
    Ok(row.map(Into::into))
}
