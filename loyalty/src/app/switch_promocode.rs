//! Switches promocodes off and on.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{CampaignId, UserId},
};

use super::change_campaign::say_changed;
use crate::{
    domain::campaign::CampaignStatus,
    store::{self, promocodes::KeptPromocode},
};

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub(crate) struct SwitchPromocode {
    /// Who asks.
    pub by: UserId,
    /// Of which campaign.
    pub campaign_id: CampaignId,
    /// Which one, as they wrote it.
    pub code: String,
    /// Off, or on.
    pub disabled: bool,
    /// The version that they have seen; none if they don't care.
    pub version: Option<i64>,
}

/// Why a promocode can't be switched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwitchPromocodeError {
    #[error("there is no such promocode in the campaign")]
    NotFound,
    #[error("the campaign is archived")]
    Archived,
    #[error("the promocode is in version {0} by now")]
    OtherVersion(i64),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What is held goes on. Makes a new version of the campaign too, which is what replicas hear of;
/// its terms stay.
pub(crate) async fn switch_promocode(
    tx: &Tx,
    input: SwitchPromocode,
) -> Result<KeptPromocode, SwitchPromocodeError> {
    let campaign = store::campaigns::lock(tx.conn(), input.campaign_id).await?;
    let mut campaign = campaign.ok_or(SwitchPromocodeError::NotFound)?;
    if campaign.campaign.status == CampaignStatus::Archived {
        return Err(SwitchPromocodeError::Archived);
    }
    let found = store::promocodes::lock_of_campaign(tx.conn(), input.campaign_id, &input.code).await?;
    let mut kept = found.ok_or(SwitchPromocodeError::NotFound)?;
    let promocode = &mut kept.promocode;
    if input.version.is_some_and(|version| version != promocode.version) {
        return Err(SwitchPromocodeError::OtherVersion(promocode.version));
    }
    if promocode.disabled == input.disabled {
        return Ok(kept);
    }
    promocode.disabled = input.disabled;
    promocode.version += 1;
    store::promocodes::update(tx.conn(), promocode).await?;
    campaign.campaign = campaign.campaign.next_version();
    store::campaigns::update(tx.conn(), &campaign, input.by, tx.now()).await?;
    let deed = Deed {
        actor: Some(input.by),
        action: if input.disabled {
            "promocode.disable"
        } else {
            "promocode.enable"
        },
        subject: promocode.id.0,
        details: json!({
            "campaign_id": input.campaign_id,
            "promocode": promocode.code,
            "before": {"disabled": !input.disabled},
            "after": {"disabled": input.disabled},
        }),
    };
    audit::record(tx, deed).await?;
    say_changed(tx, &campaign.campaign)?;
    Ok(kept)
}
