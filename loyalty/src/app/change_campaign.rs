//! Changes the terms of a campaign.

use iso_currency::Currency;
use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    contracts::CampaignChangedV1,
    db::Tx,
    ids::{CampaignId, UserId},
};

use crate::{
    domain::{
        campaign::{Campaign, CampaignError, CampaignStatus, unless_unknown},
        campaign_change::CampaignChange,
        eligibility::EligibilityError,
    },
    store::{self, campaigns::KeptCampaign, recounts},
};

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub(crate) struct ChangeCampaign {
    /// Who asks.
    pub by: UserId,
    /// Of which campaign.
    pub campaign_id: CampaignId,
    /// The version that they have seen; none if they don't care.
    pub version: Option<i64>,
    /// What is to be other than it is.
    pub change: CampaignChange,
    /// What it names for the first time and that there is not.
    pub unknown: Vec<EligibilityError>,
    /// The platform's currency.
    pub currency: Currency,
}

/// Why a campaign can't be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeCampaignError {
    #[error("there is no such campaign")]
    NotFound,
    #[error("the campaign is in version {0} by now")]
    OtherVersion(i64),
    #[error("the campaign is archived")]
    Archived,
    #[error("fields of the campaign can't be taken")]
    Invalid(Vec<CampaignError>),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// From its commit on every use is admitted by the new terms; until then none is admitted at all.
/// Uses that are taken stay, also where a new limit would not have admitted them.
pub(crate) async fn change_campaign(
    tx: &Tx,
    input: ChangeCampaign,
) -> Result<KeptCampaign, ChangeCampaignError> {
    let found = store::campaigns::lock(tx.conn(), input.campaign_id).await?;
    let mut kept = found.ok_or(ChangeCampaignError::NotFound)?;
    let before = kept.campaign.clone();
    if input.version.is_some_and(|version| version != before.version) {
        return Err(ChangeCampaignError::OtherVersion(before.version));
    }
    if before.status == CampaignStatus::Archived {
        return Err(ChangeCampaignError::Archived);
    }
    let changed = input.change.apply(&before, input.currency);
    let changed = unless_unknown(changed, input.unknown).map_err(ChangeCampaignError::Invalid)?;
    let Some(changed) = changed else {
        return Ok(kept);
    };
    kept.campaign = changed;
    recount(tx, &before, &kept.campaign).await?;
    keep_version(tx, input.by, "campaign.change", &before, &kept).await?;
    Ok(kept)
}

/// Has every use counted that a new limit is to count. Holds wait meanwhile, so that nothing here
/// may take longer the more users there are.
async fn recount(tx: &Tx, before: &Campaign, after: &Campaign) -> Result<(), DbErr> {
    if before.recounted.total != after.recounted.total {
        recounts::begin_total(tx.conn(), after.id).await?;
    }
    if before.max_redemptions != after.max_redemptions {
        recounts::limit_total(tx.conn(), after.id, after.max_redemptions).await?;
    }
    if before.recounted.per_user != after.recounted.per_user {
        recounts::begin_users(tx.conn(), after.id).await?;
    }
    Ok(())
}

/// Keeps the version, writes down who made it, and says it.
pub(super) async fn keep_version(
    tx: &Tx,
    by: UserId,
    action: &'static str,
    before: &Campaign,
    after: &KeptCampaign,
) -> Result<(), DbErr> {
    store::campaigns::update(tx.conn(), after, by, tx.now()).await?;
    let deed = Deed {
        actor: Some(by),
        action,
        subject: before.id.0,
        details: json!({"before": before, "after": after.campaign}),
    };
    audit::record(tx, deed).await?;
    say_changed(tx, &after.campaign)
}

/// Says that the campaign is there, or changed. Whatever changes one calls it.
///
/// # Errors
/// When that can't be said.
pub(super) fn say_changed(tx: &Tx, campaign: &Campaign) -> Result<(), DbErr> {
    let (campaign_id, version) = (campaign.id, campaign.version);
    tx.emit(&CampaignChangedV1 { campaign_id, version }).map(drop)
}
