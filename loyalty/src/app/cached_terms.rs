//! What a dry run stands on, and what of it need not be read again: tariffs, promocodes, their
//! campaigns' terms, and users. Not what is counted, which changes with every purchase; and
//! nothing of it for a hold, which reads all in its transaction.
//!
//! A promocode's entry leads to its campaign's, which has the terms: so a campaign that changes
//! changes them for all its promocodes at once.

use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Serialize};
use shared::{
    cache::{Cached, ServiceCache, Versioned},
    contracts::{CampaignChangedV1, Envelope, Message as _, TariffChangedV1},
    db::Tx,
    ids::CampaignId,
    users::{self, entity::Model as User},
};

use super::validate_promocode::ValidatePromocode;
use crate::{
    domain::{
        campaign::Campaign,
        promocode::{Promocode, PromocodeCode},
    },
    store::{self, tariffs::Tariff},
};

impl Cached for Tariff {
    const KIND: &'static str = "tariff";

    fn version(&self) -> i64 {
        self.version
    }
}

impl Cached for Campaign {
    /// The third, since what knows nothing of uses that were not counted must not be read as
    /// having none.
    const KIND: &'static str = "campaign.v3";

    fn version(&self) -> i64 {
        self.version
    }
}

/// A promocode as it was when its campaign was in some version: whatever changes a promocode
/// makes a new version of its campaign too, and that is what replicas hear of.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KnownPromocode {
    promocode: Promocode,
    campaign_version: i64,
}

impl Cached for KnownPromocode {
    const KIND: &'static str = "promocode.v2";

    fn version(&self) -> i64 {
        self.promocode.version
    }
}

/// What the cache knows.
#[derive(Clone)]
pub(crate) struct CachedTerms {
    cache: ServiceCache,
    /// What is known of users.
    pub users: Versioned<User>,
    tariffs: Versioned<Tariff>,
    /// By their codes, in the normal form.
    promocodes: Versioned<KnownPromocode>,
    campaigns: Versioned<Campaign>,
}

/// What there is of what was asked for.
pub(crate) struct Terms {
    pub tariff: Option<Tariff>,
    pub user: Option<User>,
    pub promocode: Option<(Promocode, Campaign)>,
}

impl CachedTerms {
    /// In this part of the cache.
    pub fn new(cache: ServiceCache) -> Self {
        Self {
            users: cache.versioned(),
            tariffs: cache.versioned(),
            promocodes: cache.versioned(),
            campaigns: cache.versioned(),
            cache,
        }
    }

    /// All that a dry run asks for, in two round trips if the cache has it.
    pub async fn find(&self, conn: &impl ConnectionTrait, input: &ValidatePromocode) -> Result<Terms, DbErr> {
        let tariff = self.tariffs.key(input.tariff_id);
        let user = self.users.key(input.user_id);
        let code = PromocodeCode::parse(&input.promocode).ok();
        let (tariff, user, promocode) = match &code {
            Some(code) => {
                let keys = [tariff, user, self.promocodes.key(code)];
                let [tariff, user, promocode] = self.cache.look_up(keys).await;
                (tariff, user, Some((code, promocode)))
            }
            None => {
                let [tariff, user] = self.cache.look_up([tariff, user]).await;
                (tariff, user, None)
            }
        };
        let read = store::tariffs::find(conn, input.tariff_id);
        let tariff = self.tariffs.or_read(tariff, read).await?;
        let user = self.users.or_read(user, users::find(conn, input.user_id)).await?;
        let promocode = match promocode {
            Some((code, seen)) => self.promocodes.or_read(seen, read_promocode(conn, code)).await?,
            None => None,
        };
        Ok(Terms {
            tariff,
            user,
            promocode: match promocode {
                Some(promocode) => self.with_campaign(conn, promocode).await?,
                None => None,
            },
        })
    }

    async fn with_campaign(
        &self,
        conn: &impl ConnectionTrait,
        known: KnownPromocode,
    ) -> Result<Option<(Promocode, Campaign)>, DbErr> {
        let id = known.promocode.campaign_id;
        let mut campaign = self.campaign(conn, id).await?;
        if campaign
            .as_ref()
            .is_some_and(|campaign| campaign.version < known.campaign_version)
        {
            // Another replica has changed it, and its event has not come yet.
            self.campaigns.hear(id, known.campaign_version);
            campaign = self.campaign(conn, id).await?;
        }
        let Some(campaign) = campaign else {
            return Ok(None);
        };
        if known.campaign_version >= campaign.version {
            return Ok(Some((known.promocode, campaign)));
        }
        // It may be the promocode that has changed since, and another replica that did it.
        let promocode = read_promocode(conn, &known.promocode.code).await?;
        Ok(promocode.map(|read| (read.promocode, campaign)))
    }

    async fn campaign(&self, conn: &impl ConnectionTrait, id: CampaignId) -> Result<Option<Campaign>, DbErr> {
        let read = async {
            let kept = store::campaigns::find(conn, id).await?;
            Ok(kept.map(|kept| kept.campaign))
        };
        self.campaigns.get_or_read(id, read).await
    }

    /// Once `tx` has committed, forgets what the promocode was before. Whatever changes one calls
    /// it, beside [`Self::campaign_changed`].
    pub fn promocode_changed(&self, tx: &Tx, promocode: &Promocode) {
        let (code, version) = (promocode.code.clone(), promocode.version);
        let promocodes = self.promocodes.clone();
        tx.after_commit(async move { promocodes.changed([(code, version)]).await });
    }

    /// Once `tx` has committed, forgets what tariffs were before.
    pub fn tariffs_changed(&self, tx: &Tx, states: &[TariffChangedV1]) {
        let tariffs = self.tariffs.clone();
        let changed: Vec<_> = states
            .iter()
            .map(|state| (state.tariff_id, state.version))
            .collect();
        tx.after_commit(async move { tariffs.changed(changed).await });
    }

    /// Says that `tx` makes or changes the campaign, and once it has committed, forgets in every
    /// replica what its terms were before. Whatever changes a campaign calls it.
    ///
    /// # Errors
    /// When that can't be said.
    pub fn campaign_changed(&self, tx: &Tx, campaign: &Campaign) -> Result<(), DbErr> {
        let (campaign_id, version) = (campaign.id, campaign.version);
        tx.emit(&CampaignChangedV1 { campaign_id, version })?;
        let campaigns = self.campaigns.clone();
        tx.after_commit(async move { campaigns.changed([(campaign_id, version)]).await });
        Ok(())
    }

    /// What some replica applies.
    pub fn hear(&self, envelope: &Envelope) {
        users::hear(&self.users, envelope);
        let (id, version) = (envelope.subject, envelope.aggregateversion);
        match envelope.message_type.as_str() {
            TariffChangedV1::TYPE => self.tariffs.hear(id, version),
            CampaignChangedV1::TYPE => self.campaigns.hear(id, version),
            _ => {}
        }
    }
}

async fn read_promocode(
    conn: &impl ConnectionTrait,
    code: &PromocodeCode,
) -> Result<Option<KnownPromocode>, DbErr> {
    let found = store::promocodes::find_with_version_of_campaign(conn, code).await?;
    Ok(found.map(|(promocode, campaign_version)| KnownPromocode {
        promocode,
        campaign_version,
    }))
}
