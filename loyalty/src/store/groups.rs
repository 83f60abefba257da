//! Groups and who is in them.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict, Query, SelectStatement},
};
use shared::{
    clock::Instant,
    ids::{GroupId, UserId},
};

use super::page::Part;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{clock::Instant, ids::GroupId};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "groups")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: GroupId,
        pub name: String,
        pub created_at: Instant,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod members {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{GroupId, UserId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "group_members")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub group_id: GroupId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        pub added_at: Instant,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use entity::Model as Group;
use entity::{Column, Entity};
pub(crate) use members::Model as Member;

/// Keeps a new group.
pub(crate) async fn insert(conn: &impl ConnectionTrait, group: &Group) -> Result<(), DbErr> {
    let row = entity::ActiveModel {
        id: Set(group.id),
        name: Set(group.name.clone()),
        created_at: Set(group.created_at),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(())
}

/// The group.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: GroupId) -> Result<Option<Group>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// The group, locked until the end of the transaction.
pub(crate) async fn lock(conn: &impl ConnectionTrait, id: GroupId) -> Result<Option<Group>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(conn).await
}

/// Those of `ids` that are groups.
pub(crate) async fn existing(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = GroupId>,
) -> Result<HashSet<GroupId>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Gives the group another name.
pub(crate) async fn rename(conn: &impl ConnectionTrait, id: GroupId, name: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Name, Expr::value(name))
        .filter(Column::Id.eq(id))
        .exec(conn)
        .await?;
    Ok(())
}

/// Deletes the group, and with it who is in it and what was granted to it.
pub(crate) async fn delete(conn: &impl ConnectionTrait, id: GroupId) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(conn).await?;
    Ok(())
}

/// All groups, newest first.
pub(crate) async fn list(conn: &impl ConnectionTrait, part: Part) -> Result<Vec<Group>, DbErr> {
    part.of(Entity::find(), Column::CreatedAt, Column::Id)
        .all(conn)
        .await
}

/// How many users are in these groups; a group without any is absent.
pub(crate) async fn sizes(
    conn: &impl ConnectionTrait,
    groups: impl IntoIterator<Item = GroupId>,
) -> Result<HashMap<GroupId, i64>, DbErr> {
    let counted: Vec<(GroupId, i64)> = members::Entity::find()
        .select_only()
        .column(members::Column::GroupId)
        .column_as(members::Column::UserId.count(), "size")
        .filter(members::Column::GroupId.is_in(groups))
        .group_by(members::Column::GroupId)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(counted.into_iter().collect())
}

/// Takes a user into a group; false if they are in it already.
pub(crate) async fn add_member(conn: &impl ConnectionTrait, member: &Member) -> Result<bool, DbErr> {
    let row = members::ActiveModel {
        group_id: Set(member.group_id),
        user_id: Set(member.user_id),
        added_at: Set(member.added_at),
    };
    let key = OnConflict::columns([members::Column::GroupId, members::Column::UserId])
        .do_nothing()
        .to_owned();
    let added = members::Entity::insert(row)
        .on_conflict(key)
        .exec_without_returning(conn)
        .await?;
    Ok(added == 1)
}

/// Takes a user out of a group; false if they are not in it.
pub(crate) async fn remove_member(
    conn: &impl ConnectionTrait,
    group: GroupId,
    user: UserId,
) -> Result<bool, DbErr> {
    let removed = members::Entity::delete_by_id((group, user)).exec(conn).await?;
    Ok(removed.rows_affected == 1)
}

/// Takes these users out of all groups.
pub(crate) async fn remove_everywhere(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<(), DbErr> {
    members::Entity::delete_many()
        .filter(members::Column::UserId.is_in(users.iter().copied()))
        .exec(conn)
        .await?;
    Ok(())
}

/// Who is in a group, who came last first.
pub(crate) async fn list_members(
    conn: &impl ConnectionTrait,
    group: GroupId,
    part: Part,
) -> Result<Vec<Member>, DbErr> {
    let of_group = members::Entity::find().filter(members::Column::GroupId.eq(group));
    part.of(of_group, members::Column::AddedAt, members::Column::UserId)
        .all(conn)
        .await
}

/// When the last of those came who are in a group; none if nobody is in it.
pub(crate) async fn last_added(
    conn: &impl ConnectionTrait,
    group: GroupId,
) -> Result<Option<Instant>, DbErr> {
    let last = members::Entity::find()
        .filter(members::Column::GroupId.eq(group))
        .order_by_desc(members::Column::AddedAt)
        .one(conn)
        .await?;
    Ok(last.map(|member| member.added_at))
}

/// At most `limit` users who have been in a group since `until` or longer, by id, from behind
/// `after` on.
pub(crate) async fn members_after(
    conn: &impl ConnectionTrait,
    group: GroupId,
    until: Instant,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<UserId>, DbErr> {
    let mut select = members::Entity::find()
        .filter(members::Column::GroupId.eq(group))
        .filter(members::Column::AddedAt.lte(until));
    if let Some(after) = after {
        select = select.filter(members::Column::UserId.gt(after));
    }
    let rows = select
        .order_by_asc(members::Column::UserId)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| row.user_id).collect())
}

/// In which groups these users are.
pub(crate) async fn memberships(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<HashSet<(GroupId, UserId)>, DbErr> {
    let of_users = members::Entity::find().filter(members::Column::UserId.is_in(users.iter().copied()));
    let rows = of_users.all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.group_id, row.user_id)).collect())
}

/// The ids of the groups that a user is in, for other queries.
pub(super) fn of_user(user: UserId) -> SelectStatement {
    Query::select()
        .column(members::Column::GroupId)
        .from(members::Entity)
        .and_where(members::Column::UserId.eq(user))
        .take()
}
