//! The table of letters with a secret in them. The secret itself is not kept.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr,
};
use shared::{
    clock::Instant,
    contracts::MailPurpose,
    ids::{MailRequestId, UserId},
};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        contracts::MailPurpose,
        ids::{MailRequestId, UserId},
    };

    /// A letter with a secret in it.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mail_requests")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: MailRequestId,
        /// To whom.
        pub user_id: UserId,
        /// What for.
        pub purpose: MailPurpose,
        /// When it was asked for.
        pub requested_at: Instant,
        /// From when on its secret is good for nothing.
        pub expires_at: Instant,
        /// When its secret was used.
        pub used_at: Option<Instant>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub use entity::Model as MailRequest;
use entity::{ActiveModel, Column, Entity};

/// Adds one.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, request: &MailRequest) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(request.id),
        user_id: Set(request.user_id),
        purpose: Set(request.purpose),
        requested_at: Set(request.requested_at),
        expires_at: Set(request.expires_at),
        used_at: Set(request.used_at),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// The one of this id whose secret is still good.
///
/// # Errors
/// When the database refuses.
pub async fn find_good(
    conn: &impl ConnectionTrait,
    id: MailRequestId,
    now: Instant,
) -> Result<Option<MailRequest>, DbErr> {
    Entity::find_by_id(id)
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .one(conn)
        .await
}

/// Uses up the secret of this one; false if it was used, or has expired.
///
/// # Errors
/// When the database refuses.
pub async fn consume(conn: &impl ConnectionTrait, id: MailRequestId, now: Instant) -> Result<bool, DbErr> {
    let used = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec(conn)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Uses up all secrets that a user was sent for this.
///
/// # Errors
/// When the database refuses.
pub async fn consume_all(
    conn: &impl ConnectionTrait,
    user: UserId,
    purpose: MailPurpose,
    now: Instant,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::UserId.eq(user))
        .filter(Column::Purpose.eq(purpose))
        .filter(Column::UsedAt.is_null())
        .exec(conn)
        .await?;
    Ok(())
}

/// Removes a user's.
///
/// # Errors
/// When the database refuses.
pub async fn erase(conn: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user))
        .exec(conn)
        .await?;
    Ok(())
}

/// Removes those that expired before `instant`.
///
/// # Errors
/// When the database refuses.
pub async fn forget_before(conn: &impl ConnectionTrait, instant: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::ExpiresAt.lt(instant))
        .exec(conn)
        .await?;
    Ok(())
}
