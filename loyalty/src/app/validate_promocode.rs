//! A dry run: prices a tariff with a promocode and changes nothing. A refusal is kept, so that an
//! administrator can look it up.

use sea_orm::DbErr;
use shared::{
    contracts::{Reason, TariffStatus},
    db::Tx,
    ids::{RefusalId, TariffId, UserId},
    users,
};

use crate::{
    domain::{
        batch::{CounterNotLoaded, counters_needed, usage},
        decision::{Decision, Found, HoldRequest, Usage, decide, mask},
        discount::Priced,
        promocode::{Promocode, PromocodeCode, as_shown},
    },
    store::{self, campaigns::KeptCampaign, refusals::Refusal, tariffs::Tariff},
};

/// What a customer asks.
#[derive(Clone, Debug)]
pub(crate) struct ValidatePromocode {
    pub user_id: UserId,
    /// As they typed it.
    pub promocode: String,
    pub tariff_id: TariffId,
}

/// The answer.
#[derive(Clone, Debug)]
pub(crate) enum Validation {
    /// What the tariff would cost.
    Priced { code: PromocodeCode, priced: Priced },
    /// Why the promocode can't be used: the customer's copy.
    Refused(Vec<Reason>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValidatePromocodeError {
    #[error("there is no such tariff")]
    TariffNotFound,
    #[error(transparent)]
    CounterNotLoaded(#[from] CounterNotLoaded),
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Takes no use and no lock: what it says may be otherwise a moment later.
pub(crate) async fn validate_promocode(
    tx: &Tx,
    input: &ValidatePromocode,
) -> Result<Validation, ValidatePromocodeError> {
    let tariff = store::tariffs::find(tx.conn(), input.tariff_id)
        .await?
        .filter(|tariff| tariff.status == TariffStatus::Active)
        .ok_or(ValidatePromocodeError::TariffNotFound)?;
    let kept = find(tx, &input.promocode).await?;
    let found = kept.as_ref().map(|(promocode, campaign)| Found {
        promocode,
        campaign: &campaign.campaign,
    });
    let usage = match found {
        Some(found) => count(tx, found, input.user_id).await?,
        None => Usage::default(),
    };
    let user = users::find(tx.conn(), input.user_id).await?;
    let request = request(tx, input, &tariff, user.as_ref());
    match (
        decide(&request, found, &usage, user.map(|user| user.status)),
        found,
    ) {
        (Decision::Held(priced), Some(found)) => {
            let code = found.promocode.code.clone();
            Ok(Validation::Priced { code, priced })
        }
        (Decision::Refused(reasons), found) => {
            let masked = mask(&reasons);
            let refusal = Refusal {
                id: RefusalId::new(tx.now()),
                purchase_id: None,
                user_id: input.user_id,
                tariff_id: input.tariff_id,
                promocode: as_shown(&input.promocode),
                found: found.map(|found| (found.promocode.id, found.campaign.id)),
                reasons,
                refused_at: tx.now(),
            };
            store::refusals::insert(tx.conn(), &[refusal]).await?;
            Ok(Validation::Refused(masked))
        }
        // The domain prices nothing that was not found.
        (Decision::Held(_), None) => Err(DbErr::RecordNotFound(input.promocode.clone()).into()),
    }
}

async fn find(tx: &Tx, typed: &str) -> Result<Option<(Promocode, KeptCampaign)>, DbErr> {
    let Ok(code) = PromocodeCode::parse(typed) else {
        return Ok(None);
    };
    let Some(promocode) = store::promocodes::find_by_codes(tx.conn(), [&code]).await?.pop() else {
        return Ok(None);
    };
    let campaign = store::campaigns::find(tx.conn(), promocode.campaign_id).await?;
    Ok(campaign.map(|campaign| (promocode, campaign)))
}

/// What is counted by now; nothing where no use was ever taken.
async fn count(tx: &Tx, found: Found<'_>, user: UserId) -> Result<Usage, ValidatePromocodeError> {
    let needed = counters_needed(found, user);
    let mut counters = store::counters::find(tx.conn(), needed.iter().copied()).await?;
    for key in needed {
        counters.entry(key).or_default();
    }
    Ok(usage(found, user, &counters)?)
}

fn request(
    tx: &Tx,
    input: &ValidatePromocode,
    tariff: &Tariff,
    user: Option<&users::entity::Model>,
) -> HoldRequest {
    HoldRequest {
        promocode: input.promocode.clone(),
        user_id: input.user_id,
        user_registered_at: user.map(|user| user.registered_at),
        tariff_id: tariff.id,
        price: tariff.price,
        requested_at: tx.now(),
    }
}
