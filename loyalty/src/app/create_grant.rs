//! Makes a promocode available to a user or to a group.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::PromocodeGrantedV1,
    db::Tx,
    ids::{GrantId, GroupId, PromocodeId, UserId},
};

use super::read_grants::ShownGrant;
use crate::{
    domain::{
        campaign::{Campaign, CampaignStatus},
        promocode::{Promocode, PromocodeCode},
    },
    store::{self, grants::Grant},
};

/// Users of a group that are read at once.
const BATCH: u64 = 1_000;

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
    #[error("the campaign is archived")]
    Archived,
    #[error("it is granted to them already")]
    GrantExists,
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Each user hears of it: of a group, those who are in it now.
pub(crate) async fn create_grant(tx: &Tx, input: CreateGrant) -> Result<ShownGrant, CreateGrantError> {
    let found = match input.promocode {
        ThePromocode::Code(typed) => match PromocodeCode::parse(&typed) {
            Ok(code) => store::promocodes::find_by_code(tx.conn(), &code).await?,
            Err(_) => None,
        },
        ThePromocode::Id(id) => store::promocodes::find(tx.conn(), id).await?,
    };
    let promocode = found.ok_or(CreateGrantError::PromocodeNotFound)?;
    let campaign = store::campaigns::find(tx.conn(), promocode.campaign_id).await?;
    let campaign = campaign.ok_or(CreateGrantError::PromocodeNotFound)?.campaign;
    if campaign.status == CampaignStatus::Archived {
        return Err(CreateGrantError::Archived);
    }
    let (user_id, group_id) = match input.to {
        Grantee::User(user) => (Some(user), None),
        Grantee::Group(group) => (None, Some(group)),
    };
    if let Some(group) = group_id
        && store::groups::lock(tx.conn(), group).await?.is_none()
    {
        return Err(CreateGrantError::GroupNotFound);
    }
    let grant = Grant {
        id: GrantId::new(tx.now()),
        promocode_id: promocode.id,
        user_id,
        group_id,
        granted_by: input.by,
        granted_at: tx.now(),
    };
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
    match input.to {
        Grantee::User(user) => say_granted(tx, &grant, user, &promocode, &campaign)?,
        Grantee::Group(group) => {
            let mut last = None;
            loop {
                let users = store::groups::members_after(tx.conn(), group, last, BATCH).await?;
                let Some(end) = users.last() else { break };
                last = Some(*end);
                for user in users {
                    say_granted(tx, &grant, user, &promocode, &campaign)?;
                }
            }
        }
    }
    Ok(ShownGrant {
        grant,
        promocode: promocode.code.into(),
    })
}

fn say_granted(
    tx: &Tx,
    grant: &Grant,
    user_id: UserId,
    promocode: &Promocode,
    campaign: &Campaign,
) -> Result<(), DbErr> {
    tx.emit(&PromocodeGrantedV1 {
        grant_id: grant.id,
        user_id,
        campaign_id: campaign.id,
        campaign_name: campaign.name.clone(),
        promocode: promocode.code.as_str().to_owned(),
        ends_at: campaign.ends_at,
        granted_at: grant.granted_at,
    })
    .map(drop)
}
