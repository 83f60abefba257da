//! Whether a promocode can be used by those to whom it is granted: letters promise nothing else.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    contracts::Reason,
    ids::{PromocodeId, TariffId, UserId},
    money::Amount,
    users::{self, entity::Model as User},
};
use uuid::Uuid;

use crate::{
    domain::{
        batch::{CounterKey, Counters, limits, recounts_users},
        decision::{Found, HoldRequest, Usage, Uses, obstacles},
    },
    store,
};

/// What decides whether a promocode can be used by some users.
pub(super) struct UsableGrants<'a> {
    found: Found<'a>,
    counters: Counters,
    held: Vec<(Option<PromocodeId>, UserId)>,
    purchasers: BTreeSet<UserId>,
    known: HashMap<UserId, User>,
}

impl<'a> UsableGrants<'a> {
    /// Reads it for all of `users`, as far as the campaign asks for it.
    pub async fn load(
        conn: &impl ConnectionTrait,
        found: Found<'a>,
        users: &[UserId],
    ) -> Result<Self, DbErr> {
        // Limits that all share are asked for even of nobody.
        let nobody = [UserId(Uuid::nil())];
        let asked = users.iter().chain(&nobody);
        let keys: BTreeSet<_> = asked.flat_map(|user| limits(found, *user)).collect();
        let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
        let recounted = recounts_users(found.campaign).into_iter().collect();
        let eligibility = &found.campaign.eligibility;
        let mut usable = Self {
            found,
            counters: store::counters::find(conn, &keys, &recounted).await?,
            held: Vec::new(),
            purchasers: BTreeSet::new(),
            known: HashMap::new(),
        };
        if !keys.is_empty() {
            usable.held = store::redemptions::held_of_campaign(conn, found.campaign.id).await?;
        }
        if eligibility.first_purchase && !users.is_empty() {
            usable.purchasers = store::purchasers::among(conn, users.iter().copied()).await?;
        }
        if eligibility.new_users.is_some() && !users.is_empty() {
            usable.known = users::find_many(conn, users.iter().copied()).await?;
        }
        Ok(usable)
    }

    /// Why it can't be used by `user`, or by anybody if there is none. Its campaign may start later.
    pub fn obstacles(&self, user: Option<UserId>, now: Instant) -> Vec<Reason> {
        let starts_at = self.found.campaign.starts_at;
        let user_id = user.unwrap_or(UserId(Uuid::nil()));
        let request = HoldRequest {
            promocode: String::new(),
            user_id,
            user_registered_at: self.known.get(&user_id).map(|user| user.registered_at),
            has_purchased: self.purchasers.contains(&user_id),
            // Whatever they buy.
            tariff_id: TariffId(Uuid::nil()),
            price: Amount::ZERO,
            requested_at: starts_at.map_or(now, |starts_at| starts_at.max(now)),
            balance: None,
            expected_price: None,
        };
        obstacles(&request, self.found, &self.usage(user_id))
    }

    /// Those of `users` who can use it.
    pub fn able(&self, users: Vec<UserId>, now: Instant) -> Vec<UserId> {
        let is_able = |user: &UserId| self.obstacles(Some(*user), now).is_empty();
        users.into_iter().filter(is_able).collect()
    }

    /// The uses that are taken for good: one that is held may come back.
    fn usage(&self, user: UserId) -> Usage {
        let Found { promocode, campaign } = self.found;
        let used = |key, held: usize| {
            let uses = self.counters.get(&key).copied().unwrap_or_default();
            Uses::taken(uses.taken - i64::try_from(held).unwrap_or_default())
        };
        let held = || self.held.iter();
        let of_promocode = held().filter(|(of, _)| *of == Some(promocode.id)).count();
        let of_user = held().filter(|(_, of)| *of == user).count();
        Usage {
            campaign: used(CounterKey::Campaign(campaign.id), held().count()),
            promocode: used(CounterKey::Promocode(promocode.id), of_promocode),
            user: used(CounterKey::User(campaign.id, user), of_user),
        }
    }
}
