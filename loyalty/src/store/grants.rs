//! Grants: promocodes made available, each to a user or to a group.

use std::collections::{BTreeSet, HashSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, OnConflict, Query},
};
use shared::ids::{GrantId, GroupId, PromocodeId, UserId};

use super::{campaigns, page::Part, promocodes};
use crate::domain::campaign::CampaignStatus;

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{GrantId, GroupId, PromocodeId, UserId},
    };

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "grants")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: GrantId,
        pub promocode_id: PromocodeId,
        /// To whom, unless it is to a group.
        pub user_id: Option<UserId>,
        pub group_id: Option<GroupId>,
        pub granted_by: UserId,
        pub granted_at: Instant,
        /// Some of the group are to be told of it yet: of those who have been in it since then.
        pub tells_until: Option<Instant>,
        /// Whom of them was told last, by id.
        pub told_to: Option<UserId>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) use entity::Model as Grant;
pub(super) use entity::{Column, Entity};

/// Keeps a grant; false if the promocode is granted to them already.
pub(crate) async fn insert(conn: &impl ConnectionTrait, grant: &Grant) -> Result<bool, DbErr> {
    let row = entity::ActiveModel {
        id: Set(grant.id),
        promocode_id: Set(grant.promocode_id),
        user_id: Set(grant.user_id),
        group_id: Set(grant.group_id),
        granted_by: Set(grant.granted_by),
        granted_at: Set(grant.granted_at),
        tells_until: Set(grant.tells_until),
        told_to: Set(grant.told_to),
    };
    let grantee = if grant.user_id.is_some() {
        Column::UserId
    } else {
        Column::GroupId
    };
    let inserted = Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::PromocodeId, grantee])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(conn)
        .await?;
    Ok(inserted == 1)
}

/// The grant, locked until the end of the transaction.
pub(crate) async fn lock(conn: &impl ConnectionTrait, id: GrantId) -> Result<Option<Grant>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(conn).await
}

/// The grants to a group, locked in their order until the end of the transaction.
pub(crate) async fn lock_of_group(conn: &impl ConnectionTrait, group: GroupId) -> Result<Vec<Grant>, DbErr> {
    Entity::find()
        .filter(Column::GroupId.eq(group))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await
}

/// Whether there is a grant that somebody is to be told of yet.
pub(crate) async fn any_to_tell(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(to_tell().one(conn).await?.is_some())
}

/// The oldest of them, locked; those that another replica has in hand are left to it.
pub(crate) async fn lock_to_tell(conn: &impl ConnectionTrait) -> Result<Option<Grant>, DbErr> {
    to_tell()
        .order_by_asc(Column::Id)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(conn)
        .await
}

fn to_tell() -> sea_orm::Select<Entity> {
    // What is paused or switched off may be taken again: until then it waits.
    let may_be_told = Query::select()
        .expr(Expr::val(1))
        .from(promocodes::Entity)
        .inner_join(
            campaigns::Entity,
            Expr::col((campaigns::Entity, campaigns::Column::Id))
                .equals((promocodes::Entity, promocodes::Column::CampaignId)),
        )
        .and_where(
            Expr::col((promocodes::Entity, promocodes::Column::Id)).equals((Entity, Column::PromocodeId)),
        )
        .and_where(promocodes::Column::Disabled.eq(false))
        .and_where(campaigns::Column::Status.ne(CampaignStatus::Paused.as_str()))
        .take();
    Entity::find()
        .filter(Column::TellsUntil.is_not_null())
        .filter(Expr::exists(may_be_told))
}

/// Writes who of the group was told of a grant that this transaction has locked.
pub(crate) async fn update_told(conn: &impl ConnectionTrait, grant: &Grant) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::TellsUntil, Expr::value(grant.tells_until))
        .col_expr(Column::ToldTo, Expr::value(grant.told_to))
        .filter(Column::Id.eq(grant.id))
        .exec(conn)
        .await?;
    Ok(())
}

/// Takes a grant back.
pub(crate) async fn delete(conn: &impl ConnectionTrait, id: GrantId) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(conn).await?;
    Ok(())
}

/// Takes back what was granted to these users, and not to groups that they were in.
pub(crate) async fn delete_of_users(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.is_in(users.iter().copied()))
        .exec(conn)
        .await?;
    Ok(())
}

/// Which grants are asked for; all where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WhichGrants {
    pub promocode_id: Option<PromocodeId>,
    pub user_id: Option<UserId>,
    pub group_id: Option<GroupId>,
}

/// Grants, newest first.
pub(crate) async fn list(
    conn: &impl ConnectionTrait,
    which: WhichGrants,
    part: Part,
) -> Result<Vec<Grant>, DbErr> {
    let mut select = Entity::find();
    if let Some(promocode) = which.promocode_id {
        select = select.filter(Column::PromocodeId.eq(promocode));
    }
    if let Some(user) = which.user_id {
        select = select.filter(Column::UserId.eq(user));
    }
    if let Some(group) = which.group_id {
        select = select.filter(Column::GroupId.eq(group));
    }
    part.of(select, Column::GrantedAt, Column::Id).all(conn).await
}

/// To whom of these users and groups which of these promocodes are granted.
pub(crate) async fn find_many(
    conn: &impl ConnectionTrait,
    promocodes: &BTreeSet<PromocodeId>,
    users: &BTreeSet<UserId>,
    groups: &HashSet<GroupId>,
) -> Result<Vec<Grant>, DbErr> {
    Entity::find()
        .filter(Column::PromocodeId.is_in(promocodes.iter().copied()))
        .filter(to(users.iter().copied(), groups.iter().copied()))
        .all(conn)
        .await
}

/// Grants to these.
pub(super) fn to(users: impl Iterator<Item = UserId>, groups: impl Iterator<Item = GroupId>) -> Condition {
    Condition::any()
        .add(Column::UserId.is_in(users))
        .add(Column::GroupId.is_in(groups))
}
