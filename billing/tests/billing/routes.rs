//! Every route against its description.

use billing::providers::signature::sign;
use chrono::Duration;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::{
    clock::{Clock as _, SystemClock},
    config::SandboxMode,
    contracts::{PromocodeRefusedV1, Reason, RefusalCode, UserBlockedV1, UserDeletedV1, UserStatus},
    ids::{PurchaseId, UserId},
    testing::{Call, Cast, Routes, TestDatabase, eventually},
};

use crate::{Billing, Customer, id_of, rub};

const SECRET: &str = "a secret of some length";
const KEY: &str = "Idempotency-Key";

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A page of a list, small enough to have a next one.
fn page(template: &'static str) -> Call {
    Call::get(template).query("limit", 1)
}

fn in_this_hour(call: Call) -> Call {
    let now = SystemClock.now();
    call.query("from", now - Duration::hours(1))
        .query("to", now + Duration::hours(1))
}

fn signed(body: &[u8]) -> (String, String) {
    let signature = sign(SECRET.as_bytes(), body, SystemClock.now());
    ("Kopeck-Signature".to_owned(), signature)
}

fn wrongly_signed(body: &[u8]) -> (String, String) {
    let signature = sign(b"another secret of some length", body, SystemClock.now());
    ("Kopeck-Signature".to_owned(), signature)
}

/// Sells tariffs; one that is sold and one that no longer is.
async fn tariffs(routes: &mut Routes<'_>) -> (String, String) {
    let new = json!({"name": "Basic", "price": rub(1_000), "period": "P1M"});
    let create = Call::post("/tariffs").body(new.clone());
    let sold = text(&routes.check(create.clone()).await["id"]).to_owned();
    let archived = text(&routes.succeed(create).await["id"]).to_owned();
    let archive = Call::post("/tariffs/{id}/archive").id(&archived);
    for _ in 0..2 {
        assert_eq!(routes.check(archive.clone()).await["status"], "archived");
    }
    routes
        .check(Call::get("/tariffs/{id}").id(&sold).for_everybody())
        .await;
    let change = Call::patch("/tariffs/{id}").id(&sold);
    assert_eq!(routes.check(change.clone().body(new.clone())).await["version"], 1);
    routes
        .refuse(change.id(&archived).body(new), 409, "tariff_archived")
        .await;
    let list = page("/tariffs").for_everybody();
    routes.check(list.clone().query("status", "active")).await;
    for status in ["archived", "all"] {
        let hidden = list.clone().query("status", status);
        routes.refuse(hidden.clone(), 403, "forbidden").await;
        routes.succeed(hidden.privileged()).await;
    }
    (sold, archived)
}

/// Every route that moves money takes a key, which names one request.
async fn keys(routes: &mut Routes<'_>, key: &str, call: &Call, other_body: Value) {
    let keyed = call.clone().header(KEY, key);
    routes.succeed(keyed.clone()).await;
    routes
        .refuse(keyed.body(other_body), 422, "idempotency_key_reused")
        .await;
}

async fn wallet(routes: &mut Routes<'_>, anna: &Customer, deleted: UserId) {
    let top_up = Call::post("/balance/top-up").by(anna.id).header(KEY, "top-up");
    routes.check(top_up.clone().body(rub(100_000))).await;
    keys(routes, "one-top-up", &top_up.clone().body(rub(5)), rub(6)).await;
    let declined = top_up.header(KEY, "declined").body(rub(1_013));
    routes.refuse(declined, 402, "payment_declined").await;

    let withdraw = Call::post("/balance/withdraw")
        .by(anna.id)
        .header(KEY, "withdraw");
    routes.check(withdraw.clone().body(rub(100))).await;
    keys(routes, "one-withdrawal", &withdraw.clone().body(rub(5)), rub(6)).await;
    let too_much = withdraw.header(KEY, "too-much").body(rub(1_000_000));
    routes.refuse(too_much, 402, "insufficient_funds").await;
    let waits = "floods::of_many_at_once_no_more_are_recorded";
    for operation in [
        "POST /balance/top-up",
        "POST /balance/withdraw",
        "POST /purchases",
    ] {
        routes.reached_by(waits, operation, 429, "too_many_attempts");
    }

    let body = |amount: i64| json!({"amount": amount, "currency": "RUB", "reason": "paid twice"});
    for template in ["/users/{id}/credit", "/users/{id}/debit"] {
        let adjust = Call::post(template).id(anna.id).header(KEY, template);
        routes.check(adjust.clone().body(body(500))).await;
        let named = adjust.clone().header(KEY, format!("{template}-once"));
        routes.succeed(named.clone().body(body(5))).await;
        routes
            .refuse(named.body(body(6)), 422, "idempotency_key_reused")
            .await;
        let of_deleted = adjust.id(deleted).header(KEY, "deleted").body(body(500));
        routes.refuse(of_deleted, 409, "user_deleted").await;
    }
    for template in ["/users/{id}/credit", "/users/{id}/debit"] {
        let own = Call::post(template).id(anna.id).by(anna.id).body(body(500));
        routes.refuse(own, 403, "own_wallet").await;
    }
    let too_much = Call::post("/users/{id}/debit").id(anna.id).body(body(1_000_000));
    routes.refuse(too_much, 402, "insufficient_funds").await;

    routes.check(Call::get("/balance").by(anna.id)).await;
    let transfers = page("/transfers").by(anna.id).query("cause", "top_up");
    let found = routes.check(in_this_hour(transfers)).await;
    assert_eq!(found["items"][0]["cause"], "top_up");
}

/// Buys, cancels and gives back; what is bought in the end.
async fn purchases(routes: &mut Routes<'_>, billing: &Billing, anna: &Customer, sold: &str, archived: &str) {
    let buy = Call::post("/purchases").by(anna.id).header(KEY, "waits");
    let with_promocode = json!({"tariff_id": sold, "promocode": "SALE"});
    let without = json!({"tariff_id": sold});
    // Nobody answers: it waits, also when it is asked for again.
    let waits = routes.check(buy.clone().body(with_promocode.clone())).await;
    assert_eq!(waits["status"], "pending");
    let bought = buy.clone().header(KEY, "bought").body(without.clone());
    let paid = routes.succeed(bought.clone()).await;
    assert_eq!(paid["status"], "paid");
    routes
        .refuse(bought.body(with_promocode.clone()), 422, "idempotency_key_reused")
        .await;
    let off_sale = buy
        .clone()
        .header(KEY, "off-sale")
        .body(json!({"tariff_id": archived}));
    routes.refuse(off_sale, 409, "tariff_not_sold").await;
    let unknown = json!({"tariff_id": PurchaseId::new(SystemClock.now())});
    let unknown = buy.clone().header(KEY, "unknown").body(unknown);
    routes.refuse(unknown, 404, "not_found").await;
    let other_price = json!({"tariff_id": sold, "expected_price": rub(999)});
    let other_price = buy.clone().header(KEY, "other-price").body(other_price);
    routes.refuse(other_price, 409, "price_changed").await;
    let poor = billing.customer();
    let by_poor = Call::post("/purchases").by(poor.id).body(without);
    routes.refuse(by_poor, 402, "insufficient_funds").await;

    let one = |purchase: &Value| text(&purchase["id"]).to_owned();
    routes
        .check(Call::get("/purchases/{id}").id(one(&paid)).by(anna.id))
        .await;
    let cancel = Call::post("/purchases/{id}/cancel").by(anna.id);
    for _ in 0..2 {
        routes.check(cancel.clone().id(one(&waits))).await;
    }
    routes
        .refuse(cancel.id(one(&paid)), 409, "purchase_not_pending")
        .await;
    let again = buy.clone().body(with_promocode.clone());
    routes.refuse(again, 409, "purchase_cancelled").await;

    let refused = buy.header(KEY, "refused").body(with_promocode);
    let waits = routes.succeed(refused.clone()).await;
    billing
        .service
        .peers
        .say(&PromocodeRefusedV1 {
            purchase_id: id_of(&waits),
            user_id: anna.id,
            reasons: vec![Reason {
                code: RefusalCode::UnknownPromocode,
                detail: "There is no such promocode.".to_owned(),
                expected: None,
                found: None,
            }],
        })
        .await;
    let problem = routes.refuse(refused, 422, "promocode_refused").await;
    assert_eq!(problem["reasons"][0]["code"], "unknown_promocode");

    let list = page("/purchases").by(anna.id).query("status", "paid");
    routes.check(in_this_hour(list.query("tariff_id", sold))).await;
    subscriptions(routes, anna, &paid).await;
}

/// Cancels what `paid` gave, and gives it back.
async fn subscriptions(routes: &mut Routes<'_>, anna: &Customer, paid: &Value) {
    let (purchase, tariff) = (text(&paid["id"]), text(&paid["tariff_id"]));
    let list = page("/subscriptions").by(anna.id).query("active", true);
    let found = routes.check(list.query("tariff_id", tariff)).await;
    let subscription = text(&found["items"][0]["id"]);
    let cancel = Call::post("/subscriptions/{id}/cancel")
        .by(anna.id)
        .id(subscription);
    routes.check(cancel.clone()).await;

    let refund = Call::post("/purchases/{id}/refund")
        .id(purchase)
        .header(KEY, "refund");
    let own = refund.clone().by(anna.id).body(json!({"reason": "a mistake"}));
    routes.refuse(own, 403, "own_purchase").await;
    let refunded = routes
        .check(refund.clone().body(json!({"reason": "a mistake"})))
        .await;
    assert_eq!(refunded["status"], "refunded");
    let other = json!({"reason": "another"});
    routes
        .refuse(refund.clone().body(other.clone()), 422, "idempotency_key_reused")
        .await;
    routes
        .refuse(refund.header(KEY, "again").body(other), 409, "purchase_not_paid")
        .await;
    // One that was cancelled stays so: another that has ended is needed.
    let buy = Call::post("/purchases")
        .by(anna.id)
        .body(json!({"tariff_id": tariff}));
    let paid = routes.succeed(buy).await;
    let refund = Call::post("/purchases/{id}/refund").id(text(&paid["id"]));
    routes.succeed(refund.body(json!({"reason": "a mistake"}))).await;
    let ended = Call::post("/subscriptions/{id}/cancel").by(anna.id);
    let ended = ended.id(text(&paid["subscription"]["id"]));
    routes.refuse(ended, 409, "subscription_ended").await;
}

/// Top-ups of a provider that decides by webhook.
async fn webhooks(routes: &mut Routes<'_>, anna: &Customer) {
    let top_up = Call::post("/balance/top-up").by(anna.id).body(rub(500));
    let begun = routes.succeed(top_up).await;
    assert_eq!(begun["status"], "pending");
    let id = text(&begun["id"]);
    routes.check(Call::get("/top-ups/{id}").id(id).by(anna.id)).await;

    let declined = json!({"top_up_id": id, "decision": "declined", "reason": "The card has expired."});
    let webhook = Call::post("/providers/{name}/webhook").path("name", "sandbox");
    let told = webhook.clone().body(declined.clone());
    routes.refuse(told.clone(), 401, "invalid_signature").await;
    routes
        .refuse(told.clone().signed(wrongly_signed), 401, "invalid_signature")
        .await;
    routes.check(told.signed(signed)).await;
    let otherwise = webhook.body(json!({"top_up_id": id, "decision": "approved"}));
    routes
        .refuse(otherwise.signed(signed), 409, "top_up_decided")
        .await;
}

/// Requests whose key another one has in hand at this moment.
async fn in_flight(routes: &mut Routes<'_>, billing: &Billing, by: UserId) {
    let adjustment = json!({"amount": 1, "currency": "RUB", "reason": "paid twice"});
    let id = PurchaseId::new(SystemClock.now());
    let transaction = billing.service.db.writer().begin().await.unwrap();
    for (call, body) in [
        (Call::post("/balance/top-up"), rub(1)),
        (Call::post("/balance/withdraw"), rub(1)),
        (Call::post("/purchases"), json!({"tariff_id": id})),
        (
            Call::post("/purchases/{id}/refund").id(id),
            json!({"reason": "x"}),
        ),
        (Call::post("/users/{id}/credit").id(id), adjustment.clone()),
        (Call::post("/users/{id}/debit").id(id), adjustment),
    ] {
        let key = "in-flight";
        let hash = Sha256::new().chain_update(by.0).chain_update(key).finalize();
        let number = i64::from_be_bytes(hash[..8].try_into().unwrap());
        transaction
            .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({number})"))
            .await
            .unwrap();
        let call = call.by(by).header(KEY, key).body(body);
        routes.refuse(call, 409, "idempotency_key_in_flight").await;
    }
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn every_route_keeps_to_its_description() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let cast = Cast::told_by_auth(&billing.service).await;
    let mut routes = Routes::with(&billing.service, cast).await;
    let anna = billing.customer();
    billing.register(&anna).await;
    let (sold, archived) = tariffs(&mut routes).await;
    wallet(&mut routes, &anna, cast.deleted).await;
    purchases(&mut routes, &billing, &anna, &sold, &archived).await;
    routes.check_operation().await;

    let by_webhook = Billing::configured(TestDatabase::Sqlite, |config| {
        config.billing.sandbox_mode = SandboxMode::Asynchronous;
        config.billing.sandbox_webhook_secret = Some(SecretString::from(SECRET));
    })
    .await;
    // The people are the same, and are known there too.
    let peers = &by_webhook.service.peers;
    let blocked = by_webhook.user_state(cast.blocked, 2, UserStatus::Blocked);
    peers.say(&UserBlockedV1(blocked)).await;
    let deleted = by_webhook.user_state(cast.deleted, 2, UserStatus::Deleted);
    peers.say(&UserDeletedV1(deleted)).await;
    routes.go_on_at(&by_webhook.service);
    webhooks(&mut routes, &anna).await;

    let impatient = Billing::configured(TestDatabase::Sqlite, |config| {
        config.billing.purchase_deadline_seconds = 1;
        config.billing.sandbox = Some(false);
    })
    .await;
    let tariff = impatient.tariff(1_000).await;
    routes.go_on_at(&impatient.service);
    let top_up = Call::post("/balance/top-up").by(anna.id).body(rub(500));
    routes.refuse(top_up, 503, "no_payment_provider").await;
    let late = json!({"tariff_id": tariff, "promocode": "SALE"});
    let there = Customer {
        id: anna.id,
        api: impatient.service.api_of(anna.id),
    };
    // It ends at its deadline, which may be later than the request waits.
    there.api.post_once("/billing/v1/purchases", "late", &late).await;
    eventually("the purchase is given up", || async {
        (there.items("purchases").await[0]["status"] == "failed").then_some(())
    })
    .await;
    let late = Call::post("/purchases")
        .by(anna.id)
        .header(KEY, "late")
        .body(late);
    routes.refuse(late, 422, "purchase_timed_out").await;

    let server = Billing::start(TestDatabase::Postgres).await;
    routes.go_on_at(&server.service);
    in_flight(&mut routes, &server, anna.id).await;
    routes.finish();
    // Of its messages some are parked, for the routes that show them.
    billing.service.stop().await;
    for billing in [by_webhook, impatient, server] {
        billing.finish().await;
    }
}
