//! Loyalty from outside: its API and its messages, with the test in the place of auth and billing.

#![allow(clippy::expect_used, clippy::unwrap_used)] // a test fails by panicking

mod caching;
mod campaigns;
mod changes;
mod concurrency;
mod deleted_users;
mod eligibility;
mod exactness;
mod grants;
mod guesses;
mod hidden_codes;
mod holds;
mod local_times;
mod not_held;
mod old_codes;
mod promises;
mod reconcile;
mod refunds;
mod refusal_codes;
mod refusals;
mod routes;
mod shared_terms;
mod stale_holds;
mod usable;
mod users;
mod validation;
mod waiting;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::DateTime;
use iso_currency::Currency;
use reqwest::Method;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    clock::{Clock, Instant, ManualClock, SystemClock},
    contracts::{
        FailureReason, HoldPromocodeV1, Locale, PromocodeHeldV1, PromocodeNotHeldV1, PromocodeRefusedV1,
        PurchaseFailedV1, PurchasePaidV1, RefusalCode, ServiceName, TariffChangedV1, TariffStatus,
        UserRegisteredV1, UserState, UserStatus,
    },
    ids::{PurchaseId, SubscriptionId, TariffId, UserId},
    money::{Amount, Money},
    testing::{Answer, Api, TestDatabase, TestService},
};

/// Runs each test on both databases. On one thread, so that what is delivered together is there
/// together, and comes as one batch.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::Loyalty::start(shared::testing::TestDatabase::Sqlite).await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::Loyalty::start(shared::testing::TestDatabase::Postgres).await).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;

pub(crate) fn roubles(amount: i64) -> Money {
    Money::new(Amount(amount * 100), Currency::RUB)
}

pub(crate) fn kopecks(amount: i64) -> Value {
    json!({"amount": amount, "currency": "RUB"})
}

/// Ten percent off, without limits.
pub(crate) fn ten_percent_off() -> Value {
    json!({"name": "Ten percent", "discount": {"type": "percent", "percent": "10"}})
}

/// `base` with the members of `more`.
pub(crate) fn with(mut base: Value, more: &Value) -> Value {
    let members = more.as_object().unwrap().clone();
    base.as_object_mut().unwrap().extend(members);
    base
}

pub(crate) fn codes(problem: &Value) -> Vec<&str> {
    let reasons = problem["reasons"].as_array().unwrap();
    reasons
        .iter()
        .map(|reason| reason["code"].as_str().unwrap())
        .collect()
}

/// A request without a body.
pub(crate) async fn call(api: &Api, method: Method, path: &str) -> Answer {
    api.send(api.request(method, path)).await
}

/// Everything that a list has, page by page.
pub(crate) async fn whole_list(api: &Api, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    let joint = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = api
            .get(&format!("{path}{joint}limit=2{cursor}"))
            .await
            .expect(200);
        let page_items = page["items"].as_array().unwrap();
        assert!(page_items.len() <= 2);
        items.extend(page_items.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// What administrators did, the oldest first: the action and its subject.
pub(crate) async fn audit(loyalty: &Loyalty) -> Vec<Value> {
    let mut entries = whole_list(&loyalty.admin, "/loyalty/v1/audit").await;
    entries.reverse();
    entries
}

/// The service, with what tests ask of it most.
pub(crate) struct Loyalty {
    pub service: TestService,
    pub admin: Api,
    clock: Option<ManualClock>,
}

/// What billing heard about a hold.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Held(PromocodeHeldV1),
    Refused(PromocodeRefusedV1),
    NotHeld(PromocodeNotHeldV1),
}

impl Heard {
    pub fn held(self) -> PromocodeHeldV1 {
        match self {
            Self::Held(held) => held,
            other => panic!("not held: {other:?}"),
        }
    }

    pub fn not_held(self) -> PromocodeNotHeldV1 {
        match self {
            Self::NotHeld(not_held) => not_held,
            other => panic!("decided otherwise: {other:?}"),
        }
    }

    pub fn refused(self) -> Vec<RefusalCode> {
        match self {
            Self::Refused(refused) => refused.reasons.iter().map(|reason| reason.code).collect(),
            other => panic!("not refused: {other:?}"),
        }
    }
}

/// Where redemptions and counters stand.
#[derive(Debug, PartialEq)]
pub(crate) struct Standing {
    pub redemptions: Vec<(PurchaseId, String, i64)>,
    pub counters: Vec<(String, UserId, i64)>,
    pub refusals: i64,
}

impl Loyalty {
    pub async fn start(database: TestDatabase) -> Self {
        Self::of(TestService::start(loyalty::definition(), database).await, None)
    }

    /// With a clock that the test moves.
    pub async fn start_at(database: TestDatabase, start: Instant) -> Self {
        let clock = ManualClock::at(start);
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let service = TestService::start_with(loyalty::definition(), database, shared_clock, |_| {}).await;
        Self::of(service, Some(clock))
    }

    /// One of several copies on one database.
    pub async fn start_on(url: &str) -> Self {
        let url = SecretString::from(url);
        let service = TestService::start_with(
            loyalty::definition(),
            TestDatabase::Sqlite,
            Arc::new(SystemClock),
            |config| config.loyalty.database_url = Some(url),
        )
        .await;
        Self::of(service, None)
    }

    pub fn of(service: TestService, clock: Option<ManualClock>) -> Self {
        Self {
            admin: service.api_of_admin(),
            service,
            clock,
        }
    }

    pub fn advance(&self, by: Duration) {
        let clock = self.clock.as_ref().expect("a clock that can be moved");
        clock.advance(chrono::Duration::from_std(by).unwrap());
    }

    pub fn now(&self) -> Instant {
        self.service.peers.now()
    }

    /// A campaign with a promocode `code`.
    pub async fn campaign(&self, terms: &Value, code: &str, max_uses: Option<i64>) -> Value {
        let mut promocode = json!({"code": code});
        if let Some(uses) = max_uses {
            promocode["max_uses"] = json!(uses);
        }
        let body = with(terms.clone(), &json!({"promocode": promocode}));
        self.know_what_is_named(&body["eligibility"]).await;
        self.admin.post("/loyalty/v1/campaigns", &body).await.expect(201)
    }

    pub async fn promocode(&self, campaign: &Value, code: &str) -> Value {
        let path = format!(
            "/loyalty/v1/campaigns/{}/promocodes",
            campaign["id"].as_str().unwrap()
        );
        self.admin.post(&path, &json!({"code": code})).await.expect(201)
    }

    /// Loyalty hears of the users and tariffs that a campaign names.
    async fn know_what_is_named(&self, eligibility: &Value) {
        for user in eligibility["users"].as_array().into_iter().flatten() {
            self.register(user.as_str().unwrap().parse().unwrap()).await;
        }
        for tariff in eligibility["tariffs"].as_array().into_iter().flatten() {
            self.know_tariff(tariff.as_str().unwrap().parse().unwrap()).await;
        }
    }

    /// Loyalty hears that the user has registered.
    pub async fn register(&self, user: UserId) {
        let state = self.user_state(user, 1, UserStatus::Active);
        self.service.peers.say(&UserRegisteredV1(state)).await;
    }

    /// Loyalty hears of a tariff, unless it knows it already.
    pub async fn know_tariff(&self, tariff: TariffId) {
        self.hear_of_tariff(tariff, 1, roubles(1_000), TariffStatus::Active)
            .await;
    }

    /// A tariff that loyalty has heard of.
    pub async fn tariff(&self, price: Money) -> TariffId {
        let tariff_id = TariffId::new(self.now());
        self.hear_of_tariff(tariff_id, 1, price, TariffStatus::Active)
            .await;
        tariff_id
    }

    /// One that is not sold any more.
    pub async fn archived_tariff(&self) -> TariffId {
        let tariff_id = TariffId::new(self.now());
        self.hear_of_tariff(tariff_id, 2, roubles(100), TariffStatus::Archived)
            .await;
        tariff_id
    }

    async fn hear_of_tariff(&self, tariff_id: TariffId, version: i64, price: Money, status: TariffStatus) {
        self.service
            .peers
            .say(&TariffChangedV1 {
                tariff_id,
                version,
                name: "Standard".to_owned(),
                price,
                period: "P1M".to_owned(),
                status,
            })
            .await;
    }

    pub fn user_state(&self, user_id: UserId, version: i64, status: UserStatus) -> UserState {
        UserState {
            user_id,
            version,
            status,
            locale: Locale::En,
            time_zone: None,
            registered_at: self.now(),
        }
    }

    pub async fn validate(&self, user: UserId, code: &str, tariff: TariffId) -> Answer {
        let body = json!({"promocode": code, "tariff_id": tariff});
        self.service
            .api_of(user)
            .post("/loyalty/v1/promocodes/validate", &body)
            .await
    }

    /// What billing would ask for a new purchase of something for 1,000.00.
    pub fn hold(&self, user_id: UserId, code: &str) -> HoldPromocodeV1 {
        let now = self.now();
        HoldPromocodeV1 {
            has_purchased: false,
            purchase_id: PurchaseId::new(now),
            user_id,
            user_registered_at: None,
            promocode: code.to_owned(),
            tariff_id: TariffId::new(now),
            tariff_version: 1,
            price: roubles(1_000),
            requested_at: now,
            deadline: now + chrono::Duration::seconds(30),
            client_bucket: None,
            balance: None,
            expected_price: None,
        }
    }

    /// The same for somebody new.
    pub fn hold_of_anybody(&self, code: &str) -> HoldPromocodeV1 {
        self.hold(self.service.new_user(), code)
    }

    pub fn paid(&self, hold: &HoldPromocodeV1) -> PurchasePaidV1 {
        let now = self.now();
        PurchasePaidV1 {
            purchase_id: hold.purchase_id,
            version: 2,
            user_id: hold.user_id,
            tariff_id: hold.tariff_id,
            tariff_name: "Standard".to_owned(),
            with_promocode: true,
            list_price: hold.price,
            discount: roubles(0),
            charged: hold.price,
            balance_after: roubles(0),
            subscription_id: SubscriptionId::new(now),
            subscription_starts_at: now,
            subscription_ends_at: now,
            paid_at: now,
        }
    }

    pub fn failed(&self, hold: &HoldPromocodeV1) -> PurchaseFailedV1 {
        PurchaseFailedV1 {
            purchase_id: hold.purchase_id,
            version: 2,
            user_id: hold.user_id,
            tariff_id: hold.tariff_id,
            tariff_name: "Standard".to_owned(),
            with_promocode: true,
            cost: hold.price,
            balance: roubles(0),
            reason: FailureReason::InsufficientFunds,
            refusal_reasons: Vec::new(),
            failed_at: self.now(),
        }
    }

    /// The first answer that billing hears to the hold for this purchase.
    pub async fn answer(&self, purchase: PurchaseId) -> Heard {
        shared::testing::eventually("billing hears an answer", || {
            std::future::ready(self.answers(purchase).into_iter().next())
        })
        .await
    }

    /// All answers so far.
    pub fn answers(&self, purchase: PurchaseId) -> Vec<Heard> {
        let peers = &self.service.peers;
        let held = peers.heard::<PromocodeHeldV1>(ServiceName::Billing).into_iter();
        let refused = peers
            .heard::<PromocodeRefusedV1>(ServiceName::Billing)
            .into_iter();
        let not_held = peers
            .heard::<PromocodeNotHeldV1>(ServiceName::Billing)
            .into_iter();
        let held = held.filter(|held| held.purchase_id == purchase).map(Heard::Held);
        let refused = refused.filter(|refused| refused.purchase_id == purchase);
        let not_held = not_held.filter(|not_held| not_held.purchase_id == purchase);
        held.chain(refused.map(Heard::Refused))
            .chain(not_held.map(Heard::NotHeld))
            .collect()
    }

    /// Asks for a hold, and says what came back.
    pub async fn ask(&self, hold: &HoldPromocodeV1) -> Heard {
        self.service.peers.say(hold).await;
        self.answer(hold.purchase_id).await
    }

    /// Takes a use for good.
    pub async fn take(&self, hold: &HoldPromocodeV1) {
        self.ask(hold).await.held();
        self.service.peers.say(&self.paid(hold)).await;
    }

    /// Whether a use is held for it at once. A hold that would wait is cancelled.
    pub async fn admits(&self, hold: &HoldPromocodeV1) -> bool {
        self.service.peers.say(hold).await;
        if self.waiting_commands().await.contains(hold) {
            self.service.peers.say(&self.failed(hold)).await;
            return false;
        }
        matches!(self.answer(hold.purchase_id).await, Heard::Held(_))
    }

    /// Cancels all holds that wait.
    pub async fn cancel_waiting(&self) {
        loop {
            let waiting = self.waiting_commands().await;
            if waiting.is_empty() {
                return;
            }
            for hold in waiting {
                self.service.peers.say(&self.failed(&hold)).await;
            }
        }
    }

    async fn waiting_commands(&self) -> Vec<HoldPromocodeV1> {
        let rows = self
            .rows("SELECT command FROM waiting_holds ORDER BY position")
            .await;
        let commands = rows
            .iter()
            .map(|row| row.try_get::<String>("", "command").unwrap());
        commands
            .map(|command| serde_json::from_str(&command).unwrap())
            .collect()
    }

    /// Pays what is held of `holds`, until all are decided: by this copy or another one.
    pub async fn pay_all(&self, holds: &[HoldPromocodeV1]) {
        shared::testing::eventually("all are decided and paid", || async {
            let redemptions = self.standing().await.redemptions.into_iter();
            let status: HashMap<_, _> = redemptions.map(|(id, status, _)| (id, status)).collect();
            let mut is_open = false;
            for hold in holds {
                match status.get(&hold.purchase_id).map(String::as_str) {
                    Some("held") => self.service.peers.say(&self.paid(hold)).await,
                    Some(_) => continue,
                    None => {}
                }
                is_open = true;
            }
            (!is_open).then_some(())
        })
        .await;
    }

    async fn rows(&self, sql: &str) -> Vec<sea_orm::QueryResult> {
        let conn = self.service.db.reader();
        let backend: DbBackend = conn.get_database_backend();
        conn.query_all_raw(Statement::from_string(backend, sql))
            .await
            .unwrap()
    }

    /// How many redemptions stand at `status`.
    pub async fn count(&self, status: &str) -> i64 {
        let sql = format!("SELECT count(*) AS n FROM redemptions WHERE status = '{status}'");
        self.rows(&sql).await[0].try_get("", "n").unwrap()
    }

    /// Uses that are taken, by kind of counter, all of a kind together.
    pub async fn used(&self, scope: &str) -> i64 {
        let standing = self.standing().await;
        standing
            .counters
            .iter()
            .filter(|(of, _, _)| of == scope)
            .map(|(_, _, used)| used)
            .sum()
    }

    pub async fn standing(&self) -> Standing {
        let redemptions = self
            .rows("SELECT purchase_id, status, purchase_version FROM redemptions ORDER BY purchase_id")
            .await
            .iter()
            .map(|row| {
                (
                    row.try_get("", "purchase_id").unwrap(),
                    row.try_get("", "status").unwrap(),
                    row.try_get("", "purchase_version").unwrap(),
                )
            })
            .collect();
        let counters = self
            .rows(
                "SELECT scope, user_id, used - (SELECT count(*) FROM returned_uses r WHERE r.scope = c.scope \
                 AND r.scope_id = c.scope_id AND r.user_id = c.user_id) AS used \
                 FROM counters c ORDER BY scope, scope_id, user_id",
            )
            .await
            .iter()
            .map(|row| {
                (
                    row.try_get("", "scope").unwrap(),
                    row.try_get("", "user_id").unwrap(),
                    row.try_get("", "used").unwrap(),
                )
            })
            .collect();
        let refusals = self.rows("SELECT count(*) AS n FROM refusals").await[0]
            .try_get("", "n")
            .unwrap();
        Standing {
            redemptions,
            counters,
            refusals,
        }
    }

    /// Nothing that came in has failed.
    pub async fn nothing_failed(&self) {
        let rows = self.rows("SELECT error FROM inbox WHERE status <> 'done'").await;
        let errors: Vec<Option<String>> = rows.iter().map(|row| row.try_get("", "error").unwrap()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

pub(crate) fn noon() -> Instant {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}
