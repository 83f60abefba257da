//! Shows groups to administrators, and who is in them.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::GroupId;

use super::Part;
use crate::store;

pub(crate) use crate::store::groups::{Group, Member};

/// A group as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct ShownGroup {
    pub group: Group,
    /// How many users are in it.
    pub members: i64,
}

/// One group, if there is such a one.
pub(crate) async fn read_group(
    conn: &impl ConnectionTrait,
    id: GroupId,
) -> Result<Option<ShownGroup>, DbErr> {
    let found = store::groups::find(conn, id).await?;
    Ok(with_sizes(conn, found.into_iter().collect()).await?.pop())
}

/// All, newest first.
pub(crate) async fn read_groups(conn: &impl ConnectionTrait, part: Part) -> Result<Vec<ShownGroup>, DbErr> {
    let groups = store::groups::list(conn, part).await?;
    with_sizes(conn, groups).await
}

async fn with_sizes(conn: &impl ConnectionTrait, groups: Vec<Group>) -> Result<Vec<ShownGroup>, DbErr> {
    let sizes = store::groups::sizes(conn, groups.iter().map(|group| group.id)).await?;
    let shown = groups.into_iter().map(|group| ShownGroup {
        members: sizes.get(&group.id).copied().unwrap_or(0),
        group,
    });
    Ok(shown.collect())
}

/// Who is in a group, who came last first; none if there is no such group.
pub(crate) async fn read_members(
    conn: &impl ConnectionTrait,
    group: GroupId,
    part: Part,
) -> Result<Option<Vec<Member>>, DbErr> {
    if store::groups::find(conn, group).await?.is_none() {
        return Ok(None);
    }
    store::groups::list_members(conn, group, part).await.map(Some)
}
