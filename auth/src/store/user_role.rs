//! The table of who is what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait as _, sea_query::SelectStatement,
};
use shared::ids::UserId;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::ids::UserId;

    /// One role of one user.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "user_roles")]
    pub struct Model {
        /// Whose.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub role: String,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// Gives `user` these roles, which they do not have yet.
pub(super) async fn insert(
    conn: &impl ConnectionTrait,
    user: UserId,
    roles: &BTreeSet<String>,
) -> Result<(), DbErr> {
    let rows = roles.iter().map(|role| ActiveModel {
        user_id: Set(user),
        role: Set(role.clone()),
    });
    Entity::insert_many(rows).exec_without_returning(conn).await?;
    Ok(())
}

/// Who has this role.
pub(super) async fn holders(conn: &impl ConnectionTrait, role: &str) -> Result<Vec<UserId>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::Role.eq(role))
        .into_tuple()
        .all(conn)
        .await
}

/// At most `limit` of those who have this role, in order of their ids, from behind `after` on, each with
/// all of their roles.
///
/// # Errors
/// When the database refuses.
pub async fn holders_after(
    conn: &impl ConnectionTrait,
    role: &str,
    after: Option<UserId>,
    limit: u64,
) -> Result<BTreeMap<UserId, BTreeSet<String>>, DbErr> {
    let mut query = Entity::find().filter(Column::Role.eq(role));
    if let Some(after) = after {
        query = query.filter(Column::UserId.gt(after));
    }
    let holders: Vec<UserId> = query
        .select_only()
        .column(Column::UserId)
        .order_by_asc(Column::UserId)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    if holders.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(of(conn, holders).await?.into_iter().collect())
}

/// Those who have this role, for a condition on users.
pub(super) fn having(role: &str) -> SelectStatement {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::Role.eq(role))
        .into_query()
}

/// Whether anybody has this role.
pub(super) async fn has_anybody(conn: &impl ConnectionTrait, role: &str) -> Result<bool, DbErr> {
    let one = Entity::find()
        .filter(Column::Role.eq(role))
        .limit(1)
        .one(conn)
        .await?;
    Ok(one.is_some())
}

/// Takes all roles of `user`.
pub(super) async fn erase(conn: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user))
        .exec(conn)
        .await?;
    Ok(())
}

/// The roles of `users`.
pub(super) async fn of(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<HashMap<UserId, BTreeSet<String>>, DbErr> {
    let rows = Entity::find()
        .filter(Column::UserId.is_in(users))
        .all(conn)
        .await?;
    let mut roles: HashMap<UserId, BTreeSet<String>> = HashMap::new();
    for row in rows {
        roles.entry(row.user_id).or_default().insert(row.role);
    }
    Ok(roles)
}
