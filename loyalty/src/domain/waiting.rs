//! Purchases that wait for a use: how many may, and when one of them is worth another look.

use std::collections::HashMap;

use shared::{
    clock::Instant,
    ids::{CampaignId, UserId},
};

use super::{batch::CounterKey, decision::Uses};

/// The most purchases that wait for uses of one campaign.
pub const MOST_OF_CAMPAIGN: usize = 1_000;

/// The most of them that are one user's, so that one user does not fill the queue.
pub const MOST_OF_USER: usize = 10;

/// The most that wait in all.
pub const MOST_IN_ALL: usize = 10_000;

/// How many purchases wait, and so how many more may.
#[derive(Clone, Debug, Default)]
pub struct WaitingRoom {
    is_endless: bool,
    all: usize,
    of_campaigns: HashMap<CampaignId, usize>,
    of_users: HashMap<(CampaignId, UserId), usize>,
}

impl WaitingRoom {
    /// A room where `all` wait in total, and `near` lists those of the campaigns that matter.
    pub fn with(all: usize, near: impl IntoIterator<Item = (CampaignId, UserId)>) -> Self {
        let mut room = Self::default();
        for (campaign, user) in near {
            room.count(campaign, user);
        }
        room.all = room.all.max(all);
        room
    }

    /// A room without limits, for holds that wait already.
    #[must_use]
    pub fn endless() -> Self {
        Self {
            is_endless: true,
            ..Self::default()
        }
    }

    /// Admits one more hold, if there is room.
    #[must_use]
    pub fn admit(&mut self, campaign: CampaignId, user: UserId) -> bool {
        let of_campaign = self.of_campaigns.get(&campaign).copied().unwrap_or_default();
        let of_user = self.of_users.get(&(campaign, user)).copied().unwrap_or_default();
        let has_room = self.all < MOST_IN_ALL && of_campaign < MOST_OF_CAMPAIGN && of_user < MOST_OF_USER;
        if !has_room && !self.is_endless {
            return false;
        }
        self.count(campaign, user);
        true
    }

    fn count(&mut self, campaign: CampaignId, user: UserId) {
        self.all += 1;
        *self.of_campaigns.entry(campaign).or_default() += 1;
        *self.of_users.entry((campaign, user)).or_default() += 1;
    }
}

/// A purchase that waits, as far as it takes to see whether it may be decided by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose promocode it wants.
    pub campaign_id: CampaignId,
    /// The version of the campaign that it was judged by last.
    pub campaign_version: i64,
    /// The counters that kept it waiting then.
    pub waits_for: Vec<CounterKey>,
    /// When it is given up.
    pub gives_up_at: Instant,
}

impl Waiting {
    /// Whether it may be decided at `now`: other terms are in force, a counter that it waits for has
    /// room or will never have it, or it is to be given up. `uses` and `limit` say what counts by now;
    /// a limit that was removed keeps no hold waiting.
    pub fn is_ripe(
        &self,
        now: Instant,
        campaign_version: i64,
        uses: impl Fn(CounterKey) -> Uses,
        limit: impl Fn(CounterKey) -> Option<i64>,
    ) -> bool {
        let may_change = |key: &CounterKey| {
            let uses = uses(*key);
            limit(*key).is_none_or(|limit| uses.taken < limit || uses.are_gone(limit))
        };
        self.gives_up_at <= now
            || self.campaign_version != campaign_version
            || self.waits_for.iter().any(may_change)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration};
    use shared::ids::PromocodeId;
    use uuid::Uuid;

    use super::*;

    const CAMPAIGN: CampaignId = CampaignId(Uuid::nil());

    fn user(number: usize) -> UserId {
        UserId(Uuid::from_u128(number as u128))
    }

    #[test]
    fn so_many_may_wait_of_a_user_of_a_campaign_and_in_all() {
        let mut room = WaitingRoom::default();
        for _ in 0..MOST_OF_USER {
            assert!(room.admit(CAMPAIGN, user(0)));
        }
        assert!(!room.admit(CAMPAIGN, user(0)));
        let other = CampaignId(Uuid::max());
        assert!(room.admit(other, user(0)), "it is one campaign that they fill");
        for number in MOST_OF_USER..MOST_OF_CAMPAIGN {
            assert!(room.admit(CAMPAIGN, user(number)));
        }
        assert!(!room.admit(CAMPAIGN, user(1)));
        assert!(room.admit(other, user(1)));

        let waiting = (0..MOST_OF_CAMPAIGN).map(|number| (CAMPAIGN, user(number)));
        assert!(!WaitingRoom::with(0, waiting).admit(CAMPAIGN, user(1)));
        assert!(!WaitingRoom::with(MOST_IN_ALL, []).admit(CAMPAIGN, user(1)));
        let mut endless = WaitingRoom::endless();
        assert!((0..2 * MOST_OF_USER).all(|_| endless.admit(CAMPAIGN, user(0))));
    }

    #[test]
    fn one_is_worth_a_look_when_a_use_came_back_none_can_or_the_terms_or_its_time_are_over() {
        let now = DateTime::UNIX_EPOCH;
        let promocode = CounterKey::Promocode(PromocodeId(Uuid::nil()));
        let waiting = Waiting {
            campaign_id: CAMPAIGN,
            campaign_version: 3,
            waits_for: vec![promocode, CounterKey::User(CAMPAIGN, user(1))],
            gives_up_at: now + Duration::seconds(1),
        };
        let full = Uses {
            taken: 2,
            held: 1,
            awaited: true,
        };
        let look = |now, version, of_promocode: Uses, limit: Option<i64>| {
            let uses = |key| if key == promocode { of_promocode } else { full };
            waiting.is_ripe(
                now,
                version,
                uses,
                |key| if key == promocode { limit } else { Some(2) },
            )
        };
        assert!(!look(now, 3, full, Some(2)));
        assert!(look(now, 3, Uses { taken: 1, ..full }, Some(2)), "one came back");
        assert!(look(now, 3, Uses { held: 0, ..full }, Some(2)), "none comes back");
        assert!(
            look(now, 3, full, Some(3)) && look(now, 3, full, None),
            "another limit"
        );
        assert!(look(now, 4, full, Some(2)), "other terms");
        assert!(
            look(now + Duration::seconds(1), 3, full, Some(2)),
            "its time is over"
        );
    }
}
