//! Makes a campaign, and its first promocode with it if one is wanted.

use iso_currency::Currency;
use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{CampaignId, PromocodeId, UserId},
};

use super::change_campaign::say_changed;
use crate::{
    domain::{
        campaign::{CampaignError, NewCampaign, unless_unknown},
        eligibility::EligibilityError,
        promocode::{NewPromocode, Promocode, PromocodeError},
    },
    store,
};

pub(crate) use crate::store::campaigns::KeptCampaign;

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub(crate) struct CreateCampaign {
    /// Who asks.
    pub by: UserId,
    /// The terms.
    pub campaign: NewCampaign,
    /// What its eligibility names and that there is not.
    pub unknown: Vec<EligibilityError>,
    /// The first promocode.
    pub promocode: Option<NewPromocode>,
    /// The platform's currency.
    pub currency: Currency,
}

/// What was made.
#[derive(Clone, Debug)]
pub(crate) struct CreatedCampaign {
    pub campaign: KeptCampaign,
    pub promocode: Option<Promocode>,
}

/// Why a campaign can't be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateCampaignError {
    #[error("fields of the campaign or its promocode can't be taken")]
    Invalid {
        campaign: Vec<CampaignError>,
        promocode: Vec<PromocodeError>,
    },
    #[error("there is such a promocode already")]
    PromocodeExists,
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// All or nothing.
pub(crate) async fn create_campaign(
    tx: &Tx,
    input: CreateCampaign,
) -> Result<CreatedCampaign, CreateCampaignError> {
    let id = CampaignId::new(tx.now());
    let campaign = input.campaign.into_campaign(id, input.currency);
    let campaign = unless_unknown(campaign, input.unknown);
    let promocode = input
        .promocode
        .map(|promocode| promocode.into_promocode(PromocodeId::new(tx.now()), id))
        .transpose();
    let (campaign, promocode) = match (campaign, promocode) {
        (Ok(campaign), Ok(promocode)) => (campaign, promocode),
        (campaign, promocode) => {
            return Err(CreateCampaignError::Invalid {
                campaign: campaign.err().unwrap_or_default(),
                promocode: promocode.err().unwrap_or_default(),
            });
        }
    };
    store::campaigns::insert(tx.conn(), &campaign, input.by, tx.now()).await?;
    if let Some(promocode) = &promocode
        && !store::promocodes::insert(tx.conn(), promocode, tx.now()).await?
    {
        return Err(CreateCampaignError::PromocodeExists);
    }
    let deed = Deed {
        actor: Some(input.by),
        action: "campaign.create",
        subject: id.0,
        details: json!({"after": campaign, "promocode": promocode}),
    };
    audit::record(tx, deed).await?;
    say_changed(tx, &campaign)?;
    let campaign = KeptCampaign {
        campaign,
        created_at: tx.now(),
    };
    Ok(CreatedCampaign { campaign, promocode })
}
