//! Tells the users of large groups what was granted to their group: so many in a transaction, from
//! where the one before ended. Each is told once, since who was told last commits with what is said.
//! Nobody is told of what they can't use: while it is paused or switched off, it waits.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{contracts::PromocodeGrantedV1, db::Tx, ids::UserId};

use super::usable_grants::UsableGrants;
use crate::{
    domain::decision::Found,
    store::{self, grants::Grant},
};

/// Users who are told in one transaction.
const BATCH: u64 = 500;

/// Whether somebody is to be told yet; changes nothing.
pub(crate) async fn anybody_to_tell(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    store::grants::any_to_tell(conn).await
}

/// Tells the next of one grant. Returns false if there is none that no other replica has in hand.
pub(crate) async fn tell_of_grants(tx: &Tx) -> Result<bool, DbErr> {
    let Some(mut grant) = store::grants::lock_to_tell(tx.conn()).await? else {
        return Ok(false);
    };
    let users = next_to_tell(tx, &mut grant).await?;
    if let Some(promocode) = store::promocodes::find(tx.conn(), grant.promocode_id).await?
        && let Some(kept) = store::campaigns::find(tx.conn(), promocode.campaign_id).await?
    {
        let found = Found {
            promocode: &promocode,
            campaign: &kept.campaign,
        };
        let usable = UsableGrants::load(tx.conn(), found, &users).await?;
        if usable.obstacles(None, tx.now()).is_empty() {
            say_granted(tx, &grant, &usable.able(users, tx.now()), found)?;
        } else {
            // It is over by now, or all its uses are taken: the others are not promised it.
            (grant.tells_until, grant.told_to) = (None, None);
        }
    }
    store::grants::update_told(tx.conn(), &grant).await?;
    Ok(true)
}

/// Who is told next: of those who were in the group when it was granted, and still are. Notes in
/// `grant` that they were.
pub(super) async fn next_to_tell(tx: &Tx, grant: &mut Grant) -> Result<Vec<UserId>, DbErr> {
    let (Some(group), Some(until)) = (grant.group_id, grant.tells_until) else {
        return Ok(Vec::new());
    };
    let users = store::groups::members_after(tx.conn(), group, until, grant.told_to, BATCH).await?;
    if (users.len() as u64) < BATCH {
        grant.tells_until = None;
        grant.told_to = None;
    } else {
        grant.told_to = users.last().copied();
    }
    Ok(users)
}

/// Says to each of these users that it was granted.
pub(super) fn say_granted(
    tx: &Tx,
    grant: &Grant,
    users: &[UserId],
    Found { promocode, campaign }: Found<'_>,
) -> Result<(), DbErr> {
    for user in users {
        let title = campaign.title.as_ref();
        let code = promocode.code.as_str();
        tx.emit(&PromocodeGrantedV1 {
            grant_id: grant.id,
            user_id: *user,
            campaign_id: campaign.id,
            // Not its name, which is for administrators.
            campaign_name: title.map_or(code, |title| &title.en).to_owned(),
            campaign_title: title.cloned(),
            promocode: code.to_owned(),
            starts_at: campaign.starts_at,
            ends_at: campaign.ends_at,
            timezone: campaign.timezone.map(|zone| zone.name().to_owned()),
            granted_at: grant.granted_at,
        })?;
    }
    Ok(())
}
