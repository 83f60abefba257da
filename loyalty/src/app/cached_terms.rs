//! What a dry run stands on: tariffs and users, which need not be read again each time, and the
//! promocode with its campaign's terms, which are.
//!
//! Those are never cached: an answer from the cache comes sooner than one from the database, and
//! whether somebody has used a promocode a moment ago tells that there is such a one. A hold reads all
//! in its transaction.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    cache::{Cached, ServiceCache, Versioned},
    contracts::{Envelope, Message as _, TariffChangedV1},
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

/// What the cache knows.
#[derive(Clone)]
pub(crate) struct CachedTerms {
    cache: ServiceCache,
    /// What is known of users.
    pub users: Versioned<User>,
    tariffs: Versioned<Tariff>,
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
            cache,
        }
    }

    /// All that a dry run asks for. Whatever was typed, the database is asked the same about it.
    pub async fn find(&self, conn: &impl ConnectionTrait, input: &ValidatePromocode) -> Result<Terms, DbErr> {
        let keys = [self.tariffs.key(input.tariff_id), self.users.key(input.user_id)];
        let [tariff, user] = self.cache.look_up(keys).await;
        let read = store::tariffs::find(conn, input.tariff_id);
        let tariff = self.tariffs.or_read(tariff, read).await?;
        let user = self.users.or_read(user, users::find(conn, input.user_id)).await?;
        let code = PromocodeCode::parse(&input.promocode).ok();
        let promocode = store::promocodes::find_with_campaign(conn, code.as_ref()).await?;
        Ok(Terms {
            tariff,
            user,
            promocode,
        })
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

    /// What some replica applies.
    pub fn hear(&self, envelope: &Envelope) {
        users::hear(&self.users, envelope);
        if envelope.message_type == TariffChangedV1::TYPE {
            self.tariffs.hear(envelope.subject, envelope.aggregateversion);
        }
    }
}
