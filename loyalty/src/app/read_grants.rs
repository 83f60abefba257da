//! Shows administrators to whom what is granted.

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::{GroupId, PromocodeId, UserId};

use super::Part;
use crate::{
    domain::promocode::PromocodeCode,
    store::{self, grants::WhichGrants},
};

pub(crate) use crate::store::grants::Grant;

/// A grant, with what is typed to use it.
#[derive(Clone, Debug)]
pub(crate) struct ShownGrant {
    pub grant: Grant,
    pub promocode: String,
}

/// Which grants are asked for; all where nothing is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrantFilter {
    /// As it was typed.
    pub promocode: Option<String>,
    pub promocode_id: Option<PromocodeId>,
    /// Granted to this user, and not to a group that they are in.
    pub user_id: Option<UserId>,
    pub group_id: Option<GroupId>,
}

/// Grants, newest first.
pub(crate) async fn read_grants(
    conn: &impl ConnectionTrait,
    filter: GrantFilter,
    part: Part,
) -> Result<Vec<ShownGrant>, DbErr> {
    let mut promocode_id = filter.promocode_id;
    if let Some(typed) = &filter.promocode {
        let found = match PromocodeCode::parse(typed) {
            Ok(code) => store::promocodes::find_by_code(conn, &code).await?,
            Err(_) => None,
        };
        match found.map(|promocode| promocode.id) {
            Some(id) if promocode_id.is_none_or(|other| other == id) => promocode_id = Some(id),
            _ => return Ok(Vec::new()),
        }
    }
    let which = WhichGrants {
        promocode_id,
        user_id: filter.user_id,
        group_id: filter.group_id,
    };
    let grants = store::grants::list(conn, which, part).await?;
    let codes = store::promocodes::codes_of(conn, grants.iter().map(|grant| grant.promocode_id)).await?;
    let shown = grants.into_iter().map(|grant| ShownGrant {
        promocode: codes.get(&grant.promocode_id).cloned().unwrap_or_default(),
        grant,
    });
    Ok(shown.collect())
}
