//! What users prefer not to be mailed. Whoever has said nothing is mailed everything.

use std::collections::HashSet;

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use shared::ids::UserId;

use crate::domain::letter::LetterKind;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::ids::UserId;

    /// A kind of letter that a user wants in the inbox only.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "unmailed")]
    pub struct Model {
        /// Who.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        /// `LetterKind` by its name.
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// What each of `users` prefers not to be mailed. A kind that this program does not know is left out.
pub async fn unmailed(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<HashSet<(UserId, LetterKind)>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.is_in(users))
        .all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.user_id, LetterKind::parse(&row.kind)?)))
        .collect())
}

/// Forgets what `users` preferred.
pub async fn forget(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.is_in(users))
        .exec(conn)
        .await?;
    Ok(())
}

/// From now on `user` is mailed everything but `kinds`.
pub async fn replace(conn: &impl ConnectionTrait, user: UserId, kinds: &[LetterKind]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user))
        .exec(conn)
        .await?;
    if kinds.is_empty() {
        return Ok(());
    }
    let rows = kinds.iter().map(|kind| ActiveModel {
        user_id: Set(user),
        kind: Set(kind.as_str().to_owned()),
    });
    Entity::insert_many(rows)
        .on_conflict(
            sea_orm::sea_query::OnConflict::columns([Column::UserId, Column::Kind])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await?;
    Ok(())
}
