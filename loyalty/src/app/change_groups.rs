//! Makes, renames and deletes groups, and says who is in them.

use sea_orm::DbErr;
use serde_json::{Value, json};
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{GroupId, UserId},
    users,
};

use super::delete_grant::deletion;
use crate::{
    domain::group::{GroupName, GroupNameError},
    store,
};

pub(crate) use crate::store::groups::Group;

/// Why a group can't be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeGroupError {
    #[error("there is no such group")]
    NotFound,
    #[error("there is no such user in the group")]
    MemberNotFound,
    #[error("an account can't take itself into a group")]
    Own,
    #[error("the user is deleted")]
    UserDeleted,
    #[error("the group can't be called that")]
    Invalid(#[from] GroupNameError),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// A new group, with nobody in it.
pub(crate) async fn create_group(tx: &Tx, by: UserId, name: &str) -> Result<Group, ChangeGroupError> {
    let group = Group {
        id: GroupId::new(tx.now()),
        name: GroupName::parse(name)?.into(),
        created_at: tx.now(),
    };
    store::groups::insert(tx.conn(), &group).await?;
    write_down(
        tx,
        by,
        "group.create",
        group.id,
        json!({"after": {"name": group.name}}),
    )
    .await?;
    Ok(group)
}

/// Gives a group another name.
pub(crate) async fn rename_group(
    tx: &Tx,
    by: UserId,
    id: GroupId,
    name: &str,
) -> Result<Group, ChangeGroupError> {
    let name: String = GroupName::parse(name)?.into();
    let mut group = lock(tx, id).await?;
    if group.name != name {
        let details = json!({"before": {"name": group.name}, "after": {"name": name}});
        store::groups::rename(tx.conn(), id, &name).await?;
        write_down(tx, by, "group.change", id, details).await?;
        group.name = name;
    }
    Ok(group)
}

/// Deletes a group. What was granted to it is granted to nobody in it any more; a campaign that is
/// for it is for fewer then, and never for everybody.
pub(crate) async fn delete_group(tx: &Tx, by: UserId, id: GroupId) -> Result<(), ChangeGroupError> {
    let group = lock(tx, id).await?;
    let size = store::groups::sizes(tx.conn(), [id]).await?.remove(&id);
    let grants = store::grants::lock_of_group(tx.conn(), id).await?;
    store::groups::delete(tx.conn(), id).await?;
    let taken_back = grants.iter().map(|grant| deletion(by, grant)).collect();
    audit::record_all(tx, taken_back).await?;
    let details = json!({"before": {"name": group.name, "members": size.unwrap_or(0)}});
    Ok(write_down(tx, by, "group.delete", id, details).await?)
}

/// Takes a user into a group; nothing changes if they are in it. It may be somebody of whom nothing is
/// known here yet, and nobody who is known to be deleted.
pub(crate) async fn add_member(
    tx: &Tx,
    by: UserId,
    group_id: GroupId,
    user_id: UserId,
) -> Result<(), ChangeGroupError> {
    if user_id == by {
        return Err(ChangeGroupError::Own);
    }
    lock(tx, group_id).await?;
    if !users::deleted_among(tx.conn(), [user_id]).await?.is_empty() {
        return Err(ChangeGroupError::UserDeleted);
    }
    let member = store::groups::Member {
        group_id,
        user_id,
        added_at: tx.now(),
    };
    if store::groups::add_member(tx.conn(), &member).await? {
        write_down(tx, by, "group.add_member", group_id, json!({"user_id": user_id})).await?;
    }
    Ok(())
}

/// Takes a user out of a group.
pub(crate) async fn remove_member(
    tx: &Tx,
    by: UserId,
    group_id: GroupId,
    user_id: UserId,
) -> Result<(), ChangeGroupError> {
    lock(tx, group_id).await?;
    if !store::groups::remove_member(tx.conn(), group_id, user_id).await? {
        return Err(ChangeGroupError::MemberNotFound);
    }
    let details = json!({"user_id": user_id});
    Ok(write_down(tx, by, "group.remove_member", group_id, details).await?)
}

async fn lock(tx: &Tx, id: GroupId) -> Result<Group, ChangeGroupError> {
    let group = store::groups::lock(tx.conn(), id).await?;
    group.ok_or(ChangeGroupError::NotFound)
}

async fn write_down(
    tx: &Tx,
    by: UserId,
    action: &'static str,
    group: GroupId,
    details: Value,
) -> Result<(), DbErr> {
    let deed = Deed {
        actor: Some(by),
        action,
        subject: group.0,
        details,
    };
    audit::record(tx, deed).await
}
