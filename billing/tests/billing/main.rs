//! Billing over HTTP: the real service on real databases, with the test in everybody else's place.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod adjustments;
mod asking_again;
mod clocks;
mod concurrency;
mod deadlines;
mod deleted_users;
mod endings;
mod expected_prices;
mod floods;
mod forgotten_users;
mod idempotency;
mod input;
mod lists;
mod messages;
mod migrating;
mod outages;
mod promocodes;
mod reconciliation;
mod refunds;
mod routes;
mod story;
mod subscriptions;
mod tariffs;
mod together;
mod top_ups;
mod traces;
mod users;
mod webhooks;

use std::sync::Arc;

use billing::app::reconcile::reconcile;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::{Value, json};
use shared::{
    clock::{Clock, SystemClock},
    config::Config,
    contracts::{
        Envelope, HoldPromocodeV1, Locale, Message, NotHeldReason, PromocodeHeldV1, PromocodeNotHeldV1,
        ServiceName, UserRegisteredV1, UserState, UserStatus,
    },
    ids::{CampaignId, PromocodeId, PurchaseId, TariffId, UserId},
    money::{Amount, Money},
    testing::{Answer, Api, TestDatabase, TestService},
};

/// Where what differs between the databases is tested.
const DATABASES: [TestDatabase; 2] = [TestDatabase::Sqlite, TestDatabase::Postgres];

const LOYALTY: ServiceName = ServiceName::Loyalty;
const NOTIFICATIONS: ServiceName = ServiceName::Notifications;

/// Billing under test.
struct Billing {
    service: TestService,
    admin: Api,
}

/// A customer with their token.
#[derive(Clone)]
struct Customer {
    id: UserId,
    api: Api,
}

impl Billing {
    async fn start(database: TestDatabase) -> Self {
        Self::configured(database, |_| {}).await
    }

    async fn configured(database: TestDatabase, configure: impl FnOnce(&mut Config)) -> Self {
        Self::with(database, Arc::new(SystemClock), configure).await
    }

    async fn with(
        database: TestDatabase,
        clock: Arc<dyn Clock>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let service = TestService::start_with(billing::definition(), database, clock, |config| {
            // A test that takes its time to answer is asked once.
            config.billing.ask_again_milliseconds = 0;
            // Tests fail things in a row; what that costs a user is the subject of `floods` alone.
            config.billing.max_failed_purchases = u32::MAX;
            config.billing.max_failed_withdrawals = u32::MAX;
            config.billing.max_unpaid_top_ups = u32::MAX;
            configure(config);
        })
        .await;
        keep_what_is_said(&service).await;
        let admin = service.api_of_admin();
        Self { service, admin }
    }

    /// All of kind `M` that billing has said so far, whoever listens, in order.
    async fn said<M: Message>(&self) -> Vec<M> {
        let conn = self.service.db.reader();
        let statement =
            Statement::from_string(conn.get_database_backend(), "SELECT body FROM said ORDER BY id");
        let rows = conn.query_all_raw(statement).await.unwrap();
        let envelopes = rows.iter().map(|row| {
            let body: String = row.try_get("", "body").unwrap();
            serde_json::from_str::<Envelope>(&body).unwrap()
        });
        envelopes
            .filter(|envelope| envelope.message_type == M::TYPE)
            .map(|envelope| envelope.open().unwrap())
            .collect()
    }

    /// Stops; whatever happened in the test, the books must balance.
    async fn finish(self) {
        let findings = reconcile(self.service.db.reader(), self.service.peers.now())
            .await
            .unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
        let parked = shared::inbox::parked(self.service.db.reader(), 10).await.unwrap();
        assert!(parked.is_empty(), "{parked:#?}");
        self.service.stop().await;
    }

    fn customer(&self) -> Customer {
        let id = self.service.new_user();
        Customer {
            id,
            api: self.service.api_of(id),
        }
    }

    /// A customer with this much in the wallet.
    async fn customer_with(&self, amount: i64) -> Customer {
        let customer = self.customer();
        customer.top_up(amount).await.expect(200);
        customer
    }

    /// A new tariff; its id.
    async fn tariff(&self, price: i64) -> TariffId {
        let body = json!({"name": "Basic", "price": rub(price), "period": "P1M"});
        id_of(&self.admin.post("/billing/v1/tariffs", &body).await.expect(201))
    }

    fn user_state(&self, user_id: UserId, version: i64, status: UserStatus) -> UserState {
        UserState {
            user_id,
            version,
            status,
            locale: Locale::En,
            time_zone: None,
            registered_at: self.service.peers.now(),
        }
    }

    async fn register(&self, customer: &Customer) {
        let state = self.user_state(customer.id, 1, UserStatus::Active);
        self.service.peers.say(&UserRegisteredV1(state)).await;
    }

    /// Begins a purchase with a promocode, and waits until loyalty is asked for it.
    async fn begin(
        &self,
        customer: &Customer,
        tariff: TariffId,
    ) -> (tokio::task::JoinHandle<Answer>, HoldPromocodeV1) {
        let customer = customer.clone();
        let user_id = customer.id;
        let already: Vec<_> = self
            .service
            .peers
            .heard::<HoldPromocodeV1>(LOYALTY)
            .iter()
            .map(|hold| hold.purchase_id)
            .collect();
        let answer = tokio::spawn(async move { customer.buy_with(tariff, "SALE").await });
        let is_new = |hold: &HoldPromocodeV1| hold.user_id == user_id && !already.contains(&hold.purchase_id);
        let hold = self.service.peers.hears(LOYALTY, is_new).await;
        (answer, hold)
    }
}

impl Customer {
    async fn top_up(&self, amount: i64) -> Answer {
        self.api.post("/billing/v1/balance/top-up", &rub(amount)).await
    }

    async fn withdraw(&self, amount: i64) -> Answer {
        self.api.post("/billing/v1/balance/withdraw", &rub(amount)).await
    }

    async fn buy(&self, tariff: TariffId) -> Answer {
        self.api
            .post("/billing/v1/purchases", &json!({"tariff_id": tariff}))
            .await
    }

    async fn buy_with(&self, tariff: TariffId, promocode: &str) -> Answer {
        self.api
            .post(
                "/billing/v1/purchases",
                &json!({"tariff_id": tariff, "promocode": promocode}),
            )
            .await
    }

    async fn balance(&self) -> i64 {
        let body = self.api.get("/billing/v1/balance").await.expect(200);
        assert_eq!(body["user_id"], json!(self.id));
        assert_eq!(body["balance"]["currency"], "RUB");
        body["balance"]["amount"].as_i64().unwrap()
    }

    async fn purchase(&self, id: PurchaseId) -> Value {
        self.api
            .get(&format!("/billing/v1/purchases/{id}"))
            .await
            .expect(200)
    }

    async fn items(&self, list: &str) -> Vec<Value> {
        let page = self.api.get(&format!("/billing/v1/{list}")).await.expect(200);
        page["items"].as_array().unwrap().clone()
    }
}

/// Keeps a copy of everything that goes through the outbox, also of what no other service takes.
async fn keep_what_is_said(service: &TestService) {
    let conn = service.db.writer();
    let statements: &[&str] = match conn.get_database_backend() {
        DbBackend::Sqlite => &[
            "CREATE TABLE IF NOT EXISTS said (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)",
            "CREATE TRIGGER IF NOT EXISTS keep_said AFTER INSERT ON outbox BEGIN INSERT INTO said (body) VALUES (NEW.body); END",
        ],
        _ => &[
            "CREATE TABLE IF NOT EXISTS said (id BIGSERIAL PRIMARY KEY, body TEXT NOT NULL)",
            "CREATE OR REPLACE FUNCTION keep_said() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO said (body) VALUES (NEW.body); RETURN NULL; END $$",
            "CREATE OR REPLACE TRIGGER keep_said AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep_said()",
        ],
    };
    for statement in statements {
        conn.execute_unprepared(statement).await.unwrap();
    }
}

fn rub(amount: i64) -> Value {
    json!({"amount": amount, "currency": "RUB"})
}

fn money(amount: i64) -> Money {
    Money::new(Amount(amount), iso_currency::Currency::RUB)
}

fn id_of<T: std::str::FromStr<Err: std::fmt::Debug>>(body: &Value) -> T {
    body["id"].as_str().unwrap().parse().unwrap()
}

/// Loyalty's answer to `hold`: this much off.
fn held(hold: &HoldPromocodeV1, discount: i64) -> PromocodeHeldV1 {
    PromocodeHeldV1 {
        first_purchase_only: false,
        purchase_id: hold.purchase_id,
        user_id: hold.user_id,
        promocode_id: PromocodeId::new(hold.requested_at),
        campaign_id: CampaignId::new(hold.requested_at),
        campaign_version: 1,
        list_price: hold.price,
        discount: money(discount),
        final_price: money(hold.price.amount.0 - discount),
    }
}

/// Loyalty's answer to `hold`: it would be this much off, and no use is taken.
fn not_held(hold: &HoldPromocodeV1, discount: i64, reason: NotHeldReason) -> PromocodeNotHeldV1 {
    PromocodeNotHeldV1 {
        purchase_id: hold.purchase_id,
        user_id: hold.user_id,
        list_price: hold.price,
        discount: money(discount),
        final_price: money(hold.price.amount.0 - discount),
        reason,
    }
}
