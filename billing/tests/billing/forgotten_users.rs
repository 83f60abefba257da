//! What deleted users typed: promocodes that there are not, and idempotency keys.

use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};
use shared::{
    contracts::{
        FailureReason, HoldPromocodeV1, Permission, PromocodeRefusedV1, PurchaseFailedV1, Reason,
        RefusalCode, UserDeletedV1, UserStatus,
    },
    ids::{PurchaseId, TariffId, UserId},
    testing::{Answer, TestDatabase},
};

use crate::{Billing, Customer, DATABASES, LOYALTY, held, rub};

/// Looks like somebody's address.
const TYPED: &str = "john.doe";

fn deleted(billing: &Billing, user: UserId) -> UserDeletedV1 {
    UserDeletedV1(billing.user_state(user, 2, UserStatus::Deleted))
}

/// Loyalty's answer where there is no such promocode.
fn unknown(hold: &HoldPromocodeV1) -> PromocodeRefusedV1 {
    PromocodeRefusedV1 {
        purchase_id: hold.purchase_id,
        user_id: hold.user_id,
        reasons: vec![Reason {
            code: RefusalCode::UnknownPromocode,
            detail: "There is no such promocode.".to_owned(),
            expected: Some(json!("a promocode that exists")),
            found: Some(json!(hold.promocode)),
        }],
    }
}

/// Sends it under a key that looks like somebody's address, too.
async fn keyed(customer: &Customer, path: &str, body: &Value) -> Answer {
    let request = customer.api.request(reqwest::Method::POST, path);
    let key = format!("{TYPED}@{}", path.rsplit('/').next().unwrap());
    let request = request.header("idempotency-key", key).json(body);
    customer.api.send(request).await
}

/// Begins a purchase with what is no promocode.
async fn begin(
    billing: &Billing,
    customer: &Customer,
    tariff: TariffId,
) -> (tokio::task::JoinHandle<Answer>, HoldPromocodeV1) {
    let (buyer, user) = (customer.clone(), customer.id);
    let body = json!({"tariff_id": tariff, "promocode": TYPED});
    let answer = tokio::spawn(async move { keyed(&buyer, "/billing/v1/purchases", &body).await });
    let is_it = |hold: &HoldPromocodeV1| hold.user_id == user && hold.promocode == TYPED;
    (answer, billing.service.peers.hears(LOYALTY, is_it).await)
}

async fn rows(billing: &Billing, sql: &str) -> Vec<String> {
    let conn = billing.service.db.reader();
    let rows = conn.query_all_raw(Statement::from_string(conn.get_database_backend(), sql));
    let text = |row: &sea_orm::QueryResult| row.try_get("", "t").unwrap();
    rows.await.unwrap().iter().map(text).collect()
}

/// Everything in which it could be.
async fn kept(billing: &Billing) -> Vec<String> {
    let kept = rows(
        billing,
        "SELECT COALESCE(promocode, '') || COALESCE(refusal_reasons, '') AS t FROM purchases \
         UNION ALL SELECT key AS t FROM idempotency_keys",
    )
    .await;
    kept.into_iter().filter(|text| text.contains(TYPED)).collect()
}

async fn shown(billing: &Billing, purchase: PurchaseId) -> Value {
    let path = format!("/billing/v1/purchases/{purchase}");
    billing.admin.get(&path).await.expect(200)
}

/// Somebody who has bought something with a promocode, tried one that is none, and topped up.
async fn somebody(billing: &Billing, tariff: TariffId) -> (Customer, PurchaseId, PurchaseId) {
    let customer = billing.customer();
    billing.register(&customer).await;
    keyed(&customer, "/billing/v1/balance/top-up", &rub(5_000))
        .await
        .expect(200);
    let (answer, paid) = billing.begin(&customer, tariff).await;
    billing.service.peers.say(&held(&paid, 100)).await;
    answer.await.unwrap().expect(201);
    let (answer, refused) = begin(billing, &customer, tariff).await;
    billing.service.peers.say(&unknown(&refused)).await;
    answer.await.unwrap().expect_problem(422, "promocode_refused");
    (customer, paid.purchase_id, refused.purchase_id)
}

#[tokio::test]
async fn what_a_deleted_user_typed_is_gone_and_what_was_paid_stays() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let tariff = billing.tariff(1_000).await;
        let (gone, paid, refused) = somebody(&billing, tariff).await;
        let (stays, ..) = somebody(&billing, tariff).await;
        let before = kept(&billing).await.len();
        assert_eq!(before, 2 * 3);
        billing.service.peers.say(&deleted(&billing, gone.id)).await;
        assert_eq!(kept(&billing).await.len(), 3, "those of the other stay");
        let purchase = shown(&billing, refused).await;
        assert_eq!(purchase["promocode"], "", "{purchase:#}");
        assert_eq!(purchase["failure_reason"], "promocode_refused");
        let reason = &purchase["refusal_reasons"][0];
        assert_eq!(
            (&reason["code"], &reason["found"]),
            (&json!("unknown_promocode"), &Value::Null)
        );
        assert_eq!(shown(&billing, paid).await["promocode"], "SALE");
        billing.service.peers.say(&deleted(&billing, stays.id)).await;
        assert!(kept(&billing).await.is_empty());
        billing.finish().await;
    }
}

#[tokio::test]
async fn what_ends_after_its_buyer_was_deleted_keeps_nothing_that_they_typed() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let tariff = billing.tariff(1_000).await;
        let customer = billing.customer();
        billing.register(&customer).await;
        let (_answer, hold) = begin(&billing, &customer, tariff).await;
        billing.service.peers.say(&deleted(&billing, customer.id)).await;
        assert_eq!(shown(&billing, hold.purchase_id).await["status"], "pending");
        billing.service.peers.say(&unknown(&hold)).await;
        assert_eq!(shown(&billing, hold.purchase_id).await["promocode"], "");
        assert!(kept(&billing).await.is_empty());
        let failed: Vec<PurchaseFailedV1> = billing.said().await;
        assert_eq!(failed.len(), 1);
        assert_eq!(
            (failed[0].reason, failed[0].with_promocode),
            (FailureReason::PromocodeRefused, true)
        );
        assert!(!format!("{failed:?}").contains(TYPED), "{failed:?}");
        billing.finish().await;
    }
}

/// Customers' keys, and those of who credits them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_among_requests_leaves_no_key() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let peers = &billing.service.peers;
    let tariff = billing.tariff(0).await;
    for _ in 0..10 {
        let customer = billing.customer_with(10_000).await;
        billing.register(&customer).await;
        let id = billing.service.new_user();
        let manager = Customer {
            id,
            api: billing
                .service
                .api
                .with_token(billing.service.token(id, &[Permission::WalletsAdjust])),
        };
        billing.register(&manager).await;
        let credit = format!("/billing/v1/users/{}/credit", customer.id);
        for gone in [&manager, &customer] {
            let event = deleted(&billing, gone.id);
            tokio::join!(
                async {
                    for number in 0..10 {
                        let request = |who: &Customer, path: &str, body: Value| {
                            let request = who.api.request(reqwest::Method::POST, path);
                            let key = format!("{TYPED}-{number}-{}", gone.id);
                            let request = request.header("idempotency-key", key).json(&body);
                            let api = who.api.clone();
                            async move { api.send(request).await }
                        };
                        let mut reason = rub(100);
                        reason["reason"] = json!("a gift");
                        tokio::join!(
                            request(&customer, "/billing/v1/balance/top-up", rub(100)),
                            request(&customer, "/billing/v1/purchases", json!({"tariff_id": tariff})),
                            request(&manager, &credit, reason),
                        );
                    }
                },
                peers.say(&event),
            );
            let theirs = format!(
                "SELECT key AS t FROM idempotency_keys WHERE user_id = '{}'",
                gone.id
            );
            assert!(rows(&billing, &theirs).await.is_empty());
        }
        assert!(kept(&billing).await.is_empty());
    }
    billing.finish().await;
}

/// More than there is time for one by one: it would be tried again and again.
#[tokio::test]
async fn however_much_somebody_tried_it_is_forgotten_at_once() {
    let billing = Billing::start(TestDatabase::Postgres).await;
    let tariff = billing.tariff(1_000).await;
    let (gone, paid, _) = somebody(&billing, tariff).await;
    let again = "INSERT INTO purchases SELECT (jsonb_populate_record(p, \
        jsonb_build_object('id', gen_random_uuid()))).* FROM purchases p, generate_series(1, 60000) \
        WHERE p.state = 'failed'";
    let done = billing
        .service
        .db
        .writer()
        .execute_unprepared(again)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 60_000);
    billing.service.peers.say(&deleted(&billing, gone.id)).await;
    assert!(kept(&billing).await.is_empty());
    assert_eq!(shown(&billing, paid).await["promocode"], "SALE");
    billing.finish().await;
}

/// An older program only noted that they are deleted.
#[tokio::test]
async fn what_was_left_by_an_older_program_is_cleared() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let tariff = billing.tariff(1_000).await;
        let (gone, paid, refused) = somebody(&billing, tariff).await;
        let conn = billing.service.db.writer();
        for sql in [
            "UPDATE users SET status = 'deleted'",
            "DELETE FROM seaql_migrations WHERE version LIKE '%forgotten_users'",
        ] {
            let done = conn.execute_unprepared(sql).await.unwrap();
            assert_eq!(done.rows_affected(), 1, "{sql}");
        }
        let (stays, ..) = somebody(&billing, tariff).await;
        migration::up(billing.service.db.service(), conn).await.unwrap();
        assert_eq!(kept(&billing).await.len(), 3, "those of the other stay");
        assert_eq!(shown(&billing, refused).await["promocode"], "");
        assert_eq!(shown(&billing, paid).await["promocode"], "SALE");
        for user in [gone.id, stays.id] {
            billing.service.peers.say(&deleted(&billing, user)).await;
        }
        assert!(kept(&billing).await.is_empty());
        billing.finish().await;
    }
}
