//! What services replicate of each other, compared with its owner, and announced again where it differs.

use std::{collections::BTreeSet, time::Duration};

use billing::app::announce_tariffs::{announce_tariffs, owned_tariffs};
use shared::{
    clock::Instant,
    config::Config,
    db::Db,
    ids::{PurchaseId, SessionId, TariffId, UserId},
    reconcile::{Finding, Replicated, compare},
    sessions, users,
};

/// What is compared at once.
const PAGE: u64 = 1_000;
/// Ends of sessions matter for as long as an access token can live.
const SESSIONS_MATTER: chrono::Duration = chrono::Duration::hours(24);

pub(super) const USERS: &str = "a replica of users is as auth has it";
pub(super) const TARIFFS: &str = "the replica of tariffs is as billing has it";
pub(super) const SESSIONS: &str = "a session that has ended is known to have ended";

/// The databases that have replicas, and those of the owners.
pub(super) struct Replicas<'a> {
    pub auth: &'a Db,
    pub loyalty: &'a Db,
    pub billing: &'a Db,
    pub notifications: &'a Db,
}

/// Which ids are looked at.
#[derive(Default)]
struct Ids {
    users: BTreeSet<UserId>,
    sessions: BTreeSet<SessionId>,
}

impl Replicas<'_> {
    /// How replicas differ from their owners, now and again after `pause`: what has just changed may be
    /// on its way.
    pub(super) async fn compare(&self, before: Instant, pause: Duration) -> anyhow::Result<Vec<Finding>> {
        let looks_wrong = self.look_at_all(before).await?;
        if looks_wrong.is_empty() {
            return Ok(looks_wrong);
        }
        tokio::time::sleep(pause).await;
        let mut ids = Ids::default();
        for finding in &looks_wrong {
            match finding.rule {
                USERS => drop(ids.users.insert(UserId(finding.id))),
                SESSIONS => drop(ids.sessions.insert(SessionId(finding.id))),
                _ => {}
            }
        }
        let again = self.look_at(&ids).await?;
        // What differs otherwise than before has moved on meanwhile.
        Ok(again
            .into_iter()
            .filter(|finding| looks_wrong.contains(finding))
            .collect())
    }

    async fn look_at_all(&self, before: Instant) -> anyhow::Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let mut after = None;
        loop {
            let page = users::page(self.auth.reader(), after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            findings.extend(self.users(&page.iter().map(|user| user.id).collect()).await?);
        }
        let (since, mut after) = (before - SESSIONS_MATTER, None);
        loop {
            let page = sessions::ended_page(self.auth.reader(), since, before, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            findings.extend(self.sessions(&page.into_iter().collect()).await?);
        }
        findings.extend(self.tariffs().await?);
        Ok(findings)
    }

    async fn look_at(&self, ids: &Ids) -> anyhow::Result<Vec<Finding>> {
        let mut findings = self.users(&ids.users).await?;
        findings.extend(self.sessions(&ids.sessions).await?);
        findings.extend(self.tariffs().await?);
        Ok(findings)
    }

    fn subscribers(&self) -> [&Db; 3] {
        [self.loyalty, self.billing, self.notifications]
    }

    async fn users(&self, ids: &BTreeSet<UserId>) -> anyhow::Result<Vec<Finding>> {
        let ids: Vec<_> = ids.iter().copied().collect();
        let mut findings = Vec::new();
        for ids in ids.chunks(PAGE as usize) {
            let owned = rows(self.auth, ids).await?;
            for db in self.subscribers() {
                let known = rows(db, ids).await?;
                findings.extend(compare(USERS, &owned, db.service(), &known));
            }
        }
        Ok(findings)
    }

    async fn sessions(&self, ids: &BTreeSet<SessionId>) -> anyhow::Result<Vec<Finding>> {
        let ids: Vec<_> = ids.iter().copied().collect();
        let mut findings = Vec::new();
        for ids in ids.chunks(PAGE as usize) {
            for db in self.subscribers() {
                let known = sessions::ended_among(db.reader(), ids).await?;
                let lacking = ids.iter().filter(|id| !known.contains(id));
                findings.extend(lacking.map(|id| Finding {
                    rule: SESSIONS,
                    id: id.0,
                    detail: format!("{} does not know it", db.service()),
                }));
            }
        }
        Ok(findings)
    }

    async fn tariffs(&self) -> anyhow::Result<Vec<Finding>> {
        let owned = owned_tariffs(self.billing.reader()).await?;
        let known = loyalty::replicated_tariffs(self.loyalty.reader()).await?;
        Ok(compare(TARIFFS, &owned, self.loyalty.service(), &known))
    }

    /// Has the owners announce again what the findings are about; says how many announcements that makes.
    /// What is found of a purchase, billing announces at loyalty's request.
    pub(super) async fn announce_again(
        &self,
        findings: &[Finding],
        of_purchases: &[&str],
        config: &Config,
    ) -> anyhow::Result<usize> {
        let about = |rules: &[&str]| -> Vec<_> {
            let ids: BTreeSet<_> = findings
                .iter()
                .filter(|finding| rules.contains(&finding.rule))
                .map(|finding| finding.id)
                .collect();
            ids.into_iter().collect()
        };
        let mut announced = 0;
        for ids in about(&[USERS]).chunks(PAGE as usize) {
            let ids: Vec<_> = ids.iter().copied().map(UserId).collect();
            announced += auth::announce_users(self.auth, &ids).await?;
        }
        for ids in about(&[SESSIONS]).chunks(PAGE as usize) {
            let ids: Vec<_> = ids.iter().copied().map(SessionId).collect();
            announced += auth::announce_ended_sessions(self.auth, &ids).await?;
        }
        for ids in about(&[TARIFFS]).chunks(PAGE as usize) {
            let ids: Vec<_> = ids.iter().copied().map(TariffId).collect();
            announced += announce_tariffs(self.billing, config.currency, &ids).await?;
        }
        for ids in about(of_purchases).chunks(PAGE as usize) {
            let ids: Vec<_> = ids.iter().copied().map(PurchaseId).collect();
            loyalty::ask_for_outcomes(self.loyalty, &ids).await?;
            announced += ids.len();
        }
        Ok(announced)
    }
}

async fn rows(db: &Db, ids: &[UserId]) -> anyhow::Result<Vec<Replicated>> {
    let users = users::find_many(db.reader(), ids.iter().copied()).await?;
    let rows = users.into_values().map(|user| Replicated {
        id: user.id.0,
        version: user.version,
        content: format!("{:?}, {:?}", user.status, user.locale),
    });
    Ok(rows.collect())
}
