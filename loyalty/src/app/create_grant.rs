//! Makes a promocode available to a user or to a group.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::Reason,
    db::Tx,
    ids::{GrantId, GroupId, PromocodeId, UserId},
    users,
};

use super::{
    read_grants::ShownGrant,
    tell_of_grants::{next_to_tell, say_granted},
    usable_grants::UsableGrants,
};
use crate::{
    domain::{campaign::CampaignStatus, decision::Found, promocode::PromocodeCode},
    store::{self, grants::Grant},
};

/// Which promocode is meant.
#[derive(Clone, Debug)]
pub(crate) enum ThePromocode {
    /// The one that is typed like that.
    Code(String),
    Id(PromocodeId),
}

/// To whom it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grantee {
    User(UserId),
    /// Whoever is in it at the moment of a use.
    Group(GroupId),
}

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub(crate) struct CreateGrant {
    /// Who asks.
    pub by: UserId,
    pub promocode: ThePromocode,
    pub to: Grantee,
}

/// Why a promocode can't be granted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateGrantError {
    #[error("there is no such promocode")]
    PromocodeNotFound,
    #[error("there is no such group")]
    GroupNotFound,
    #[error("an account can't grant itself a promocode")]
    Own,
    #[error("the campaign is archived")]
    Archived,
    #[error("there is no such user")]
    UserNotFound,
    #[error("the user is deleted")]
    UserDeleted,
    /// Another promocode has its normal form, or it has none.
    #[error("the promocode can't be typed")]
    NotTypeable,
    /// Why it can't be used by whom it was to be granted to; never empty.
    #[error("the promocode can't be used")]
    Unusable(Vec<Reason>),
    #[error("it is granted to them already")]
    GrantExists,
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Publishes it to each user who can use it: of a group, those who are in it now. Of a large one only the
/// first are here; [`tell_of_grants`](super::tell_of_grants) goes on.
pub(crate) async fn create_grant(tx: &Tx, input: CreateGrant) -> Result<ShownGrant, CreateGrantError> {
    if input.to == Grantee::User(input.by) {
        return Err(CreateGrantError::Own);
    }
    let found = match input.promocode {
        ThePromocode::Code(typed) => match PromocodeCode::parse(&typed) {
            Ok(code) => store::promocodes::find_by_code(tx.conn(), &code).await?,
            Err(_) => None,
        },
        ThePromocode::Id(id) => store::promocodes::find(tx.conn(), id).await?,
    };
    let promocode = found.ok_or(CreateGrantError::PromocodeNotFound)?;
    // It stays as it is until this is committed.
    let mut found = store::campaigns::share(tx.conn(), [promocode.campaign_id]).await?;
    let campaign = found.remove(&promocode.campaign_id);
    let campaign = campaign.ok_or(CreateGrantError::PromocodeNotFound)?;
    if campaign.status == CampaignStatus::Archived {
        return Err(CreateGrantError::Archived);
    }
    if !promocode.code.is_typeable() {
        return Err(CreateGrantError::NotTypeable);
    }
    let (user_id, group_id) = match input.to {
        Grantee::User(user) => (Some(user), None),
        Grantee::Group(group) => (None, Some(group)),
    };
    check_grantee(tx, input.to).await?;
    let mut grant = Grant {
        id: GrantId::new(tx.now()),
        promocode_id: promocode.id,
        user_id,
        group_id,
        granted_by: input.by,
        granted_at: tx.now(),
        tells_until: None,
        told_to: None,
    };
    let first = match group_id {
        Some(group) => {
            // By when they came, since clocks of replicas differ: everybody who is in it.
            grant.tells_until = store::groups::last_added(tx.conn(), group).await?;
            next_to_tell(tx, &mut grant).await?
        }
        None => user_id.into_iter().collect(),
    };
    let found = Found {
        promocode: &promocode,
        campaign: &campaign,
    };
    let usable = UsableGrants::load(tx.conn(), found, &first).await?;
    let obstacles = usable.obstacles(user_id, tx.now());
    if !obstacles.is_empty() {
        return Err(CreateGrantError::Unusable(obstacles));
    }
    if !store::grants::insert(tx.conn(), &grant).await? {
        return Err(CreateGrantError::GrantExists);
    }
    let deed = Deed {
        actor: Some(input.by),
        action: "grant.create",
        subject: grant.id.0,
        details: json!({
            "promocode_id": promocode.id,
            "promocode": promocode.code,
            "user_id": user_id,
            "group_id": group_id,
        }),
    };
    audit::record(tx, deed).await?;
    say_granted(tx, &grant, &usable.able(first, tx.now()), found)?;
    Ok(ShownGrant {
        grant,
        promocode: promocode.code.into(),
    })
}

/// Whether there is whom it is to be granted to; what is known of them stays until the end of the
/// transaction.
async fn check_grantee(tx: &Tx, to: Grantee) -> Result<(), CreateGrantError> {
    match to {
        Grantee::User(user) => {
            if !users::deleted_among(tx.conn(), [user]).await?.is_empty() {
                return Err(CreateGrantError::UserDeleted);
            }
            let known = users::find(tx.conn(), user).await?;
            known.map(drop).ok_or(CreateGrantError::UserNotFound)
        }
        Grantee::Group(group) => {
            let found = store::groups::lock(tx.conn(), group).await?;
            found.map(drop).ok_or(CreateGrantError::GroupNotFound)
        }
    }
}
