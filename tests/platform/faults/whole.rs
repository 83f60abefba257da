//! What must be true once everything has come to rest, whatever happened before.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement};
use shared::{contracts::ServiceName, db::Db, outbox};

use super::{
    DEADLINE_SECONDS,
    arena::{Arena, until_nothing},
    stream::{Intent, Outcome},
};
use crate::platform::{Platform, run_command};

/// How long things may take to come to rest after the last answer: what a fault has delayed most is a
/// message that waits for a lease or for loyalty's question at the deadline.
const REST: Duration = Duration::from_secs(DEADLINE_SECONDS + 25);
/// The same for acknowledgements: subscribers are asked again about what a process has left that was killed,
/// the later the older it is, two minutes apart at most.
const ACKNOWLEDGED: Duration = Duration::from_secs(150);

/// A message that the test itself made to fail.
#[derive(Clone, Debug)]
pub struct Poison {
    pub service: ServiceName,
    /// `retry` or `parked`.
    pub status: &'static str,
    /// What its error must tell.
    pub reason: &'static str,
}

/// The services' databases, reached directly.
pub struct Books(BTreeMap<ServiceName, Db>);

impl Books {
    pub async fn open(platform: &Platform) -> Self {
        let mut books = BTreeMap::new();
        for service in ServiceName::ALL {
            books.insert(service, platform.database(service).await);
        }
        Self(books)
    }

    pub fn of(&self, service: ServiceName) -> &Db {
        &self.0[&service]
    }

    pub async fn rows(&self, service: ServiceName, sql: &str) -> Vec<QueryResult> {
        let statement = Statement::from_string(DbBackend::Postgres, sql.to_owned());
        self.of(service).reader().query_all_raw(statement).await.unwrap()
    }

    pub async fn close(&self) {
        for db in self.0.values() {
            db.close().await;
        }
    }
}

fn text(row: &QueryResult, column: &str) -> String {
    row.try_get::<Option<String>>("", column)
        .unwrap()
        .unwrap_or_default()
}

/// A purchase as billing has it.
struct Purchase {
    id: String,
    user: String,
    key: String,
    state: String,
    failure: String,
    charged: i64,
}

impl Purchase {
    fn is(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Paid => self.state == "paid",
            Outcome::Failed(code) => {
                // The problem's code is the reason, but for `purchase_timed_out`.
                let reason = code.strip_prefix("purchase_").unwrap_or(code);
                self.state == "failed" && self.failure == reason
            }
        }
    }
}

impl Arena {
    /// Waits until everything that was asked for has come to its end and fits together.
    pub async fn assert_whole(&self) {
        until_nothing("the platform is not whole", REST, || self.findings()).await;
        let output = run_command(
            &["reconcile", "--older-than", "0"],
            self.platform.environment(),
            "",
        )
        .await;
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    async fn findings(&self) -> Vec<String> {
        let purchases = self.purchases().await;
        let mut findings = self.wrong_outcomes(&purchases);
        findings.extend(self.wrong_balances(&purchases).await);
        findings.extend(self.wrong_uses().await);
        findings.extend(self.wrong_letters(&purchases).await);
        findings.extend(self.stuck_messages().await);
        findings
    }

    async fn purchases(&self) -> Vec<Purchase> {
        let sql = "SELECT p.id::text AS id, p.user_id::text AS user_id, k.key, p.state, p.failure_reason, \
                   coalesce(p.charged, 0) AS charged FROM purchases p LEFT JOIN idempotency_keys k \
                   ON k.operation_id = p.id AND k.operation = 'purchase'";
        let rows = self.books.rows(ServiceName::Billing, sql).await;
        rows.iter()
            .map(|row| Purchase {
                id: text(row, "id"),
                user: text(row, "user_id"),
                key: text(row, "key"),
                state: text(row, "state"),
                failure: text(row, "failure_reason"),
                charged: row.try_get("", "charged").unwrap(),
            })
            .collect()
    }

    /// Each wish is one purchase, and ended as its customer was told.
    fn wrong_outcomes(&self, purchases: &[Purchase]) -> Vec<String> {
        let mut findings = Vec::new();
        if purchases.len() != self.intents.len() {
            findings.push(format!(
                "{} purchases were asked for, and there are {}",
                self.intents.len(),
                purchases.len()
            ));
        }
        let of_key: HashMap<_, _> = purchases
            .iter()
            .map(|purchase| ((purchase.user.as_str(), purchase.key.as_str()), purchase))
            .collect();
        for intent in &self.intents {
            let user = &self.buyers[intent.wish.buyer].user.id;
            let Some(purchase) = of_key.get(&(user.as_str(), intent.wish.key.as_str())) else {
                findings.push(format!("there is no purchase for {intent:?}"));
                continue;
            };
            if !intent.outcome().is_some_and(|outcome| purchase.is(outcome)) {
                let (state, failure) = (&purchase.state, &purchase.failure);
                findings.push(format!("the purchase is {state} {failure}, but {intent:?}"));
            }
        }
        findings
    }

    /// What was put into each wallet, less what was paid, is in it.
    async fn wrong_balances(&self, purchases: &[Purchase]) -> Vec<String> {
        let mut findings = Vec::new();
        for buyer in &self.buyers {
            let paid: i64 = purchases
                .iter()
                .filter(|purchase| purchase.user == buyer.user.id)
                .map(|purchase| purchase.charged)
                .sum();
            let balance = buyer.user.balance().await;
            if balance != buyer.funds - paid {
                let (id, funds) = (&buyer.user.id, buyer.funds);
                findings.push(format!(
                    "{id} put in {funds}, paid {paid}, and is left with {balance}"
                ));
            }
        }
        findings
    }

    /// As many uses are taken as purchases were paid, and none is held.
    async fn wrong_uses(&self) -> Vec<String> {
        let sql = "SELECT promocode, status, count(*) AS count FROM redemptions GROUP BY promocode, status";
        let rows = self.books.rows(ServiceName::Loyalty, sql).await;
        let count = |code: &str, status: &str| {
            rows.iter()
                .filter(|row| text(row, "promocode") == code && text(row, "status") == status)
                .map(|row| row.try_get::<i64>("", "count").unwrap())
                .sum::<i64>()
        };
        let mut findings = Vec::new();
        for hot in &self.hot {
            let code = hot.code.as_str();
            let is_paid =
                |intent: &&Intent| intent.is_paid() && intent.wish.promocode.as_deref() == Some(code);
            let paid = self.intents.iter().filter(is_paid).count();
            let (confirmed, held) = (count(code, "confirmed"), count(code, "held"));
            if confirmed != paid as i64 || held != 0 || paid > hot.max_uses {
                findings.push(format!(
                    "{code} has {} uses: {paid} were paid, {confirmed} confirmed, {held} are held",
                    hot.max_uses
                ));
            }
        }
        findings
    }

    /// Each purchase has one letter, which tells how it ended; so has each top-up.
    async fn wrong_letters(&self, purchases: &[Purchase]) -> Vec<String> {
        let sql = "SELECT about, kind, user_id::text AS user_id FROM letters";
        let rows = self.books.rows(ServiceName::Notifications, sql).await;
        let mut of_purchase: HashMap<String, Vec<String>> = HashMap::new();
        let mut credited: HashMap<String, usize> = HashMap::new();
        for row in &rows {
            let kind = text(row, "kind");
            if let Some(id) = text(row, "about").strip_prefix("purchase_ended:") {
                of_purchase.entry(id.to_owned()).or_default().push(kind);
            } else if kind == "wallet_credited" {
                *credited.entry(text(row, "user_id")).or_default() += 1;
            }
        }
        let mut findings = Vec::new();
        for purchase in purchases {
            let letters = of_purchase.remove(&purchase.id).unwrap_or_default();
            if letters != [format!("purchase_{}", purchase.state)] {
                let (id, state, key) = (&purchase.id, &purchase.state, &purchase.key);
                findings.push(format!(
                    "the purchase {id} ({key}) is {state}, its letters are {letters:?}"
                ));
            }
        }
        findings.extend(
            of_purchase
                .keys()
                .map(|id| format!("a letter about {id}, which is no purchase")),
        );
        for buyer in &self.buyers {
            let letters = credited.get(&buyer.user.id).copied().unwrap_or_default();
            if letters != buyer.top_ups {
                let (id, top_ups) = (&buyer.user.id, buyer.top_ups);
                findings.push(format!("{id} has {letters} letters about {top_ups} top-ups"));
            }
        }
        findings
    }

    /// Waits until subscribers have acknowledged all that was published to them.
    pub async fn assert_acknowledged(&self) {
        until_nothing("not all is acknowledged", ACKNOWLEDGED, || self.unacknowledged()).await;
    }

    /// What subscribers have not acknowledged.
    async fn unacknowledged(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for service in ServiceName::ALL {
            let lacking = outbox::count_unacknowledged(self.books.of(service).reader());
            let lacking = lacking.await.unwrap();
            if lacking > 0 {
                findings.push(format!("{lacking} messages of {service}"));
            }
        }
        findings
    }

    /// Nothing waits to be said, and nothing failed but what was made to, each for its reason.
    async fn stuck_messages(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut expected = self.poison.clone();
        for service in ServiceName::ALL {
            let waiting = outbox::count(self.books.of(service).reader()).await.unwrap();
            if waiting > 0 {
                findings.push(format!("{waiting} messages wait in the outbox of {service}"));
            }
            let sql = "SELECT id::text AS id, status, error, body FROM inbox WHERE status <> 'done'";
            for row in self.books.rows(service, sql).await {
                let (status, error) = (text(&row, "status"), text(&row, "error"));
                let place = expected.iter().position(|poison| {
                    poison.service == service && poison.status == status && error.contains(poison.reason)
                });
                match place {
                    Some(place) => drop(expected.swap_remove(place)),
                    None => findings.push(format!(
                        "{service} could not apply {} ({status}): {error}; {}",
                        text(&row, "id"),
                        text(&row, "body")
                    )),
                }
            }
        }
        findings.extend(
            expected
                .iter()
                .map(|poison| format!("nobody choked on {poison:?}")),
        );
        findings
    }
}
