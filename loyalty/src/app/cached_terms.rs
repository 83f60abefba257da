//! What a dry run stands on, and what of it need not be read again: tariffs, promocodes, their
//! campaigns' terms, and users. Not what is counted, which changes with every purchase; and
//! nothing of it for a hold, which reads all in its transaction.
//!
//! A promocode's entry leads to its campaign's, which has the terms: so a campaign that changes
//! changes them for all its promocodes at once.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    cache::{Cached, ServiceCache, Versioned},
    contracts::{CampaignChangedV1, Envelope, Message as _, TariffChangedV1},
    db::Tx,
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
    const KIND: &'static str = "campaign";

    fn version(&self) -> i64 {
        self.version
    }
}

impl Cached for Promocode {
    const KIND: &'static str = "promocode";

    /// Nothing changes a promocode once it is made.
    fn version(&self) -> i64 {
        1
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
    promocodes: Versioned<Promocode>,
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
            Some((code, seen)) => {
                let read = store::promocodes::find_by_code(conn, code);
                self.promocodes.or_read(seen, read).await?
            }
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
        promocode: Promocode,
    ) -> Result<Option<(Promocode, Campaign)>, DbErr> {
        let id = promocode.campaign_id;
        let read = async {
            let kept = store::campaigns::find(conn, id).await?;
            Ok(kept.map(|kept| kept.campaign))
        };
        let campaign: Result<_, DbErr> = self.campaigns.get_or_read(id, read).await;
        Ok(campaign?.map(|campaign| (promocode, campaign)))
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
