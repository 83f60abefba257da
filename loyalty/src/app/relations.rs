//! How users stand to promocodes: who is in which group, and to whom what was granted.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::{GroupId, PromocodeId, UserId};
use uuid::Uuid;

use crate::{
    domain::{decision::Found, eligibility::Relation},
    store,
};

/// What is known of everybody who asks.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    memberships: HashSet<(GroupId, UserId)>,
    grants: HashSet<(PromocodeId, UserId)>,
}

impl Relations {
    /// Reads it for all who ask, in a statement a kind; in none where no campaign asks for it. Of a
    /// promocode that does not exist it asks the same as of one that is meant for some.
    pub async fn load<'a>(
        conn: &impl ConnectionTrait,
        asked: impl IntoIterator<Item = (Option<Found<'a>>, UserId)>,
    ) -> Result<Self, DbErr> {
        let (mut users, mut promocodes) = (BTreeSet::new(), BTreeSet::new());
        for (found, user) in asked {
            let Some(Found { promocode, campaign }) = found else {
                users.insert(user);
                promocodes.insert(PromocodeId(Uuid::nil()));
                continue;
            };
            if campaign.asks_for_groups() || campaign.asks_for_grants() {
                users.insert(user);
            }
            if campaign.asks_for_grants() {
                promocodes.insert(promocode.id);
            }
        }
        if users.is_empty() {
            return Ok(Self::default());
        }
        Self::read(conn, &users, promocodes).await
    }

    /// Reads it for one who asks, in the same statements whatever they ask for.
    pub async fn load_of(
        conn: &impl ConnectionTrait,
        found: Option<Found<'_>>,
        user: UserId,
    ) -> Result<Self, DbErr> {
        let promocode = found.map_or(PromocodeId(Uuid::nil()), |found| found.promocode.id);
        Self::read(conn, &[user].into(), [promocode].into()).await
    }

    async fn read(
        conn: &impl ConnectionTrait,
        users: &BTreeSet<UserId>,
        promocodes: BTreeSet<PromocodeId>,
    ) -> Result<Self, DbErr> {
        // What is granted to a group is granted to whoever is in it at the moment.
        let memberships = store::groups::memberships(conn, users).await?;
        let mut relations = Self {
            memberships,
            grants: HashSet::new(),
        };
        if !promocodes.is_empty() {
            relations.load_grants(conn, &promocodes, users).await?;
        }
        Ok(relations)
    }

    async fn load_grants(
        &mut self,
        conn: &impl ConnectionTrait,
        promocodes: &BTreeSet<PromocodeId>,
        users: &BTreeSet<UserId>,
    ) -> Result<(), DbErr> {
        let mut members: HashMap<GroupId, Vec<UserId>> = HashMap::new();
        for (group, user) in &self.memberships {
            members.entry(*group).or_default().push(*user);
        }
        let groups = members.keys().copied().collect();
        for grant in store::grants::find_many(conn, promocodes, users, &groups).await? {
            let group = grant.group_id.and_then(|group| members.get(&group));
            let to = grant.user_id.iter().chain(group.into_iter().flatten());
            self.grants.extend(to.map(|user| (grant.promocode_id, *user)));
        }
        Ok(())
    }

    /// How `user` stands to `found`, which they were loaded for.
    pub fn of(&self, Found { promocode, campaign }: Found<'_>, user: UserId) -> Relation {
        let mut groups = campaign.eligibility.groups.iter();
        Relation {
            in_group: groups.any(|group| self.memberships.contains(&(*group, user))),
            granted: self.grants.contains(&(promocode.id, user)),
        }
    }
}
