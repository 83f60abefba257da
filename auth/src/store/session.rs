//! The table of logins.

use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use shared::{
    clock::Instant,
    ids::{SessionId, UserId},
};

use super::secret::SecretText;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{SessionId, UserId},
    };

    use super::SecretText;

    /// One login of one client.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sessions")]
    pub struct Model {
        /// The `sid` of its tokens.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SessionId,
        /// Whose.
        pub user_id: UserId,
        /// When they logged in.
        pub created_at: Instant,
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

use entity::{ActiveModel, Entity};

/// A login.
#[derive(Clone)]
pub struct Session {
    /// The `sid` of its tokens.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When they logged in.
    pub created_at: Instant,
    /// What the client calls itself, if it does.
    pub user_agent: Option<String>,
    /// From where, if that is known.
    pub address: Option<String>,
}

/// Adds a login.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, session: Session) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(session.id),
        user_id: Set(session.user_id),
        created_at: Set(session.created_at),
        user_agent: Set(session.user_agent.map(SecretText)),
        address: Set(session.address.map(SecretText)),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}
