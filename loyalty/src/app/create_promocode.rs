//! Makes a promocode of a campaign.

use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::Tx,
    ids::{CampaignId, PromocodeId, UserId},
};

use crate::{
    domain::{
        campaign::CampaignStatus,
        promocode::{NewPromocode, PromocodeError},
    },
    store,
};

pub(crate) use crate::store::promocodes::KeptPromocode;

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub(crate) struct CreatePromocode {
    /// Who asks.
    pub by: UserId,
    /// Whose terms it is to give.
    pub campaign_id: CampaignId,
    /// The promocode.
    pub promocode: NewPromocode,
}

/// Why a promocode can't be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreatePromocodeError {
    #[error("there is no such campaign")]
    CampaignNotFound,
    #[error("the campaign is archived")]
    Archived,
    #[error("fields of the promocode can't be taken")]
    Invalid(Vec<PromocodeError>),
    #[error("there is such a promocode already")]
    PromocodeExists,
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Codes are unique on the whole platform.
pub(crate) async fn create_promocode(
    tx: &Tx,
    input: CreatePromocode,
) -> Result<KeptPromocode, CreatePromocodeError> {
    // It stays as it is until this is committed.
    let mut found = store::campaigns::share(tx.conn(), [input.campaign_id]).await?;
    let campaign = found
        .remove(&input.campaign_id)
        .ok_or(CreatePromocodeError::CampaignNotFound)?;
    if campaign.status == CampaignStatus::Archived {
        return Err(CreatePromocodeError::Archived);
    }
    let promocode = input
        .promocode
        .into_promocode(PromocodeId::new(tx.now()), input.campaign_id)
        .map_err(CreatePromocodeError::Invalid)?;
    if !store::promocodes::insert(tx.conn(), &promocode, tx.now()).await? {
        return Err(CreatePromocodeError::PromocodeExists);
    }
    let deed = Deed {
        actor: Some(input.by),
        action: "promocode.create",
        subject: promocode.id.0,
        details: json!({"after": promocode}),
    };
    audit::record(tx, deed).await?;
    Ok(KeptPromocode {
        promocode,
        created_at: tx.now(),
    })
}
