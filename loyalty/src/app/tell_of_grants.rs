//! Tells the users of large groups what was granted to their group: so many in a transaction, from
//! where the one before ended. Each is told once, since who was told last commits with what is said.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{contracts::PromocodeGrantedV1, db::Tx, ids::UserId};

use crate::{
    domain::{campaign::Campaign, promocode::Promocode},
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
    store::grants::update_told(tx.conn(), &grant).await?;
    let Some(promocode) = store::promocodes::find(tx.conn(), grant.promocode_id).await? else {
        return Ok(true);
    };
    if let Some(kept) = store::campaigns::find(tx.conn(), promocode.campaign_id).await? {
        say_granted(tx, &grant, &users, &promocode, &kept.campaign)?;
    }
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
    promocode: &Promocode,
    campaign: &Campaign,
) -> Result<(), DbErr> {
    for user in users {
        tx.emit(&PromocodeGrantedV1 {
            grant_id: grant.id,
            user_id: *user,
            campaign_id: campaign.id,
            campaign_name: campaign.name.clone(),
            promocode: promocode.code.as_str().to_owned(),
            ends_at: campaign.ends_at,
            granted_at: grant.granted_at,
        })?;
    }
    Ok(())
}
