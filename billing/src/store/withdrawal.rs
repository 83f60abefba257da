//! The withdrawals.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use shared::ids::WithdrawalId;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::{entity::prelude::*, sea_query::StringLen};
    use shared::{
        clock::Instant,
        ids::{UserId, WithdrawalId},
        money::Amount,
    };

    /// How a withdrawal ended.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::None)")]
    pub enum State {
        /// The money has left the wallet.
        #[sea_orm(string_value = "done")]
        Done,
        /// The wallet held too little.
        #[sea_orm(string_value = "failed")]
        Failed,
    }

    /// A request to take money out of a wallet.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "withdrawals")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: WithdrawalId,
        /// Whose wallet.
        pub user_id: UserId,
        /// How much.
        pub amount: Amount,
        /// How it ended.
        pub state: State,
        /// What the wallet held after it; where it failed, what it held.
        pub balance_after: Amount,
        /// When.
        pub requested_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Entity, Model};

/// Writes a withdrawal with its outcome.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, withdrawal: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(withdrawal))
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// The withdrawal `id`.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, id: WithdrawalId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}
