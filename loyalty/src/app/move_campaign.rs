//! Pauses, resumes and archives campaigns.

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{CampaignId, UserId},
};

use super::change_campaign::keep_version;
use crate::{
    domain::campaign::CampaignStatus,
    store::{self, campaigns::KeptCampaign},
};

/// Why a campaign can't be moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveCampaignError {
    #[error("there is no such campaign")]
    NotFound,
    #[error("the campaign is archived")]
    Archived,
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Has the campaign stand at `status`; nothing changes if it stands there already. What is held
/// goes on, whatever becomes of its campaign.
pub(crate) async fn move_campaign(
    tx: &Tx,
    by: UserId,
    id: CampaignId,
    status: CampaignStatus,
) -> Result<KeptCampaign, MoveCampaignError> {
    let found = store::campaigns::lock(tx.conn(), id).await?;
    let mut kept = found.ok_or(MoveCampaignError::NotFound)?;
    let moved = kept
        .campaign
        .moved_to(status)
        .map_err(|_| MoveCampaignError::Archived)?;
    let Some(moved) = moved else {
        return Ok(kept);
    };
    let before = std::mem::replace(&mut kept.campaign, moved);
    let action = match status {
        CampaignStatus::Active => "campaign.resume",
        CampaignStatus::Paused => "campaign.pause",
        CampaignStatus::Archived => "campaign.archive",
    };
    keep_version(tx, by, action, &before, &kept).await?;
    Ok(kept)
}
