//! Who has paid for something: a replica, filled by billing's events. Serves validation only; a
//! hold carries what billing knows.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::OnConflict,
};
use shared::{clock::Instant, ids::UserId};

use super::CHUNK;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::UserId};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "purchasers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        pub heard_at: Instant,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// These users have paid for something. Sorted, so that replicas wait for each other in one
/// direction only.
pub(crate) async fn insert(
    conn: &impl ConnectionTrait,
    users: BTreeSet<UserId>,
    now: Instant,
) -> Result<(), DbErr> {
    let users: Vec<_> = users.into_iter().collect();
    for chunk in users.chunks(CHUNK) {
        let rows = chunk.iter().map(|user| ActiveModel {
            user_id: Set(*user),
            heard_at: Set(now),
        });
        Entity::insert_many(rows)
            .on_conflict(OnConflict::column(Column::UserId).do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(())
}

/// Those of `users` who have.
pub(crate) async fn among(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<BTreeSet<UserId>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.is_in(users))
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| row.user_id).collect())
}

/// Whether this user has.
pub(crate) async fn contains(conn: &impl ConnectionTrait, user: UserId) -> Result<bool, DbErr> {
    Ok(Entity::find_by_id(user).one(conn).await?.is_some())
}
