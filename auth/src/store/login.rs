//! The table of who tried to log in, for the account's owner to see.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use shared::{clock::Instant, ids::UserId};
use uuid::Uuid;

use super::secret::SecretText;
use crate::domain::LoginOutcome;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::UserId};

    use super::SecretText;

    /// One try to log in to an account that there is.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "logins")]
    pub struct Model {
        /// The try.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// To whose account.
        pub user_id: UserId,
        /// When.
        pub at: Instant,
        /// What came of it.
        pub outcome: String,
        /// What the client calls itself.
        pub user_agent: Option<SecretText>,
        /// From where.
        pub address: Option<SecretText>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// One try to log in.
#[derive(Clone)]
pub struct Login {
    /// The try.
    pub id: Uuid,
    /// To whose account.
    pub user_id: UserId,
    /// When.
    pub at: Instant,
    /// What came of it.
    pub outcome: LoginOutcome,
    /// What the client calls itself, if it does.
    pub user_agent: Option<String>,
    /// From where, if that is known.
    pub address: Option<String>,
}

/// Adds one.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, login: Login) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(login.id),
        user_id: Set(login.user_id),
        at: Set(login.at),
        outcome: Set(login.outcome.as_str().to_owned()),
        user_agent: Set(login.user_agent.map(SecretText)),
        address: Set(login.address.map(SecretText)),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// At most `limit` tries on a user's account, newest first, from behind `after` on. One whose
/// outcome this program does not know (a newer one wrote it) is left out.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    conn: &impl ConnectionTrait,
    user: UserId,
    after: Option<(Instant, Uuid)>,
    limit: u64,
) -> Result<Vec<Login>, DbErr> {
    let mut query = Entity::find().filter(Column::UserId.eq(user));
    if let Some((at, id)) = after {
        let same_instant = Condition::all().add(Column::At.eq(at)).add(Column::Id.lt(id));
        query = query.filter(Condition::any().add(Column::At.lt(at)).add(same_instant));
    }
    let rows = query
        .order_by_desc(Column::At)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    let login = |row: entity::Model| {
        Some(Login {
            id: row.id,
            user_id: row.user_id,
            at: row.at,
            outcome: LoginOutcome::parse(&row.outcome)?,
            user_agent: row.user_agent.map(|text| text.0),
            address: row.address.map(|text| text.0),
        })
    };
    Ok(rows.into_iter().filter_map(login).collect())
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

/// Removes those from before `instant`.
///
/// # Errors
/// When the database refuses.
pub async fn forget_before(conn: &impl ConnectionTrait, instant: Instant) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::At.lt(instant))
        .exec(conn)
        .await?;
    Ok(())
}
