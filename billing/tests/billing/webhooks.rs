//! A payment provider that decides later, by signed webhook.

use billing::providers::signature::sign;
use chrono::Duration;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    config::SandboxMode,
    contracts::{TopUpFailedV1, UserDeletedV1, UserStatus, WalletCreditedV1},
    ids::TopUpId,
    testing::{Answer, Api, TestDatabase},
};

use crate::{Billing, Customer, DATABASES, NOTIFICATIONS, id_of, money, rub};

const SECRET: &str = "a secret of some length";
const PATH: &str = "/billing/v1/providers/sandbox/webhook";

async fn start(database: TestDatabase) -> Billing {
    Billing::configured(database, |config| {
        config.billing.sandbox_mode = SandboxMode::Asynchronous;
        config.billing.sandbox_webhook_secret = Some(SecretString::from(SECRET));
    })
    .await
}

async fn send(billing: &Billing, path: &str, signature: Option<&str>, body: &str) -> Answer {
    // Without a token: the signature is all there is.
    let api: &Api = &billing.service.api;
    let mut request = api
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .body(body.to_owned());
    if let Some(signature) = signature {
        request = request.header("Kopeck-Signature", signature);
    }
    api.send(request).await
}

async fn tell(billing: &Billing, body: &Value) -> Answer {
    let body = body.to_string();
    let signature = sign(SECRET.as_bytes(), body.as_bytes(), billing.service.peers.now());
    send(billing, PATH, Some(&signature), &body).await
}

fn approved(id: TopUpId) -> Value {
    json!({"top_up_id": id, "decision": "approved"})
}

fn declined(id: TopUpId) -> Value {
    json!({"top_up_id": id, "decision": "declined", "reason": "The card has expired."})
}

async fn begun(customer: &Customer, amount: i64) -> TopUpId {
    let answer = customer.top_up(amount).await;
    assert!(answer.headers.contains_key("location"));
    let shown = answer.expect(202);
    assert_eq!(shown["status"], "pending");
    id_of(&shown)
}

#[tokio::test]
async fn a_top_up_waits_until_its_webhook_and_is_credited_once() {
    for database in DATABASES {
        let billing = start(database).await;
        let customer = billing.customer();
        let id = begun(&customer, 5_000).await;
        assert_eq!(customer.balance().await, 0);
        let told = tell(&billing, &approved(id)).await.expect(200);
        assert_eq!(told, json!({"top_up_id": id, "status": "approved"}));
        assert_eq!(tell(&billing, &approved(id)).await.expect(200), told);
        assert_eq!(customer.balance().await, 5_000);
        tell(&billing, &declined(id))
            .await
            .expect_problem(409, "top_up_decided");
        assert_eq!(customer.balance().await, 5_000);
        assert_eq!(billing.said::<WalletCreditedV1>().await.len(), 1);
        billing.finish().await;
    }
}

#[tokio::test]
async fn a_declined_top_up_says_why_and_can_not_be_approved_afterwards() {
    for database in DATABASES {
        let billing = start(database).await;
        let customer = billing.customer();
        let id = begun(&customer, 5_000).await;
        for _ in 0..2 {
            let told = tell(&billing, &declined(id)).await.expect(200);
            assert_eq!(told["status"], "declined");
        }
        tell(&billing, &approved(id))
            .await
            .expect_problem(409, "top_up_decided");
        let path = format!("/billing/v1/top-ups/{id}");
        let shown = customer.api.get(&path).await.expect(200);
        assert_eq!(
            (&shown["status"], &shown["decline_reason"]),
            (&json!("declined"), &json!("The card has expired."))
        );
        assert_eq!(customer.balance().await, 0);
        let failed: TopUpFailedV1 = billing.service.peers.hears(NOTIFICATIONS, |_| true).await;
        assert_eq!((failed.top_up_id, failed.user_id), (id, customer.id));
        assert_eq!((failed.amount, failed.balance), (money(5_000), money(0)));
        assert_eq!(failed.reason.as_deref(), Some("The card has expired."));
        assert_eq!(json!(failed.failed_at), shown["settled_at"]);
        assert_eq!(billing.said::<TopUpFailedV1>().await.len(), 1, "once");
        assert!(billing.said::<WalletCreditedV1>().await.is_empty());
        billing.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_webhooks_at_once_the_first_stands_and_money_moves_once() {
    for database in DATABASES {
        let billing = start(database).await;
        let customer = billing.customer();
        for _ in 0..3 {
            let before = customer.balance().await;
            let id = begun(&customer, 1_000).await;
            let told = (0..8).map(|turn| {
                let body = if turn % 2 == 0 { approved(id) } else { declined(id) };
                let billing = &billing;
                async move { tell(billing, &body).await }
            });
            let answers = futures::future::join_all(told).await;
            let taken = answers.iter().filter(|answer| answer.status == 200).count();
            let refused = answers.iter().filter(|answer| answer.status == 409).count();
            assert_eq!((taken, refused), (4, 4), "{answers:#?}");
            let status = customer
                .api
                .get(&format!("/billing/v1/top-ups/{id}"))
                .await
                .expect(200);
            let expected = if status["status"] == "approved" { 1_000 } else { 0 };
            assert_eq!(customer.balance().await, before + expected);
        }
        let told = billing.said::<TopUpFailedV1>().await.len();
        let credited = billing.said::<WalletCreditedV1>().await.len();
        assert_eq!(told + credited, 3, "each is told one way");
        billing.finish().await;
    }
}

#[tokio::test]
async fn what_is_not_signed_as_it_should_be_moves_nothing() {
    let billing = start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let id = begun(&customer, 5_000).await;
    let (body, now) = (approved(id).to_string(), billing.service.peers.now());
    let good = sign(SECRET.as_bytes(), body.as_bytes(), now);
    let other_secret = sign(b"another secret, as long", body.as_bytes(), now);
    let other_body = sign(SECRET.as_bytes(), declined(id).to_string().as_bytes(), now);
    let old = sign(SECRET.as_bytes(), body.as_bytes(), now - Duration::minutes(6));
    let ahead = sign(SECRET.as_bytes(), body.as_bytes(), now + Duration::minutes(6));
    for signature in [&other_secret, &other_body, &old, &ahead, "", "t=1", "nonsense"] {
        send(&billing, PATH, Some(signature), &body)
            .await
            .expect_problem(401, "invalid_signature");
    }
    send(&billing, PATH, None, &body)
        .await
        .expect_problem(401, "invalid_signature");
    // Nobody is told what is wrong with a body that they did not sign.
    send(&billing, PATH, Some(&good), "{")
        .await
        .expect_problem(401, "invalid_signature");
    let elsewhere = "/billing/v1/providers/acme/webhook";
    send(&billing, elsewhere, Some(&good), &body)
        .await
        .expect_problem(404, "not_found");
    assert_eq!(customer.balance().await, 0);
    send(&billing, PATH, Some(&good), &body).await.expect(200);
    assert_eq!(customer.balance().await, 5_000);
    billing.finish().await;
}

#[tokio::test]
async fn what_is_signed_but_makes_no_sense_is_explained() {
    let billing = start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let id = begun(&customer, 5_000).await;
    let nobody = TopUpId::new(billing.service.peers.now());
    tell(&billing, &approved(nobody))
        .await
        .expect_problem(404, "not_found");
    for wrong in [
        json!({}),
        json!({"top_up_id": id}),
        json!({"top_up_id": id, "decision": "perhaps"}),
        json!({"top_up_id": id, "decision": "approved", "reason": "x"}),
        json!({"top_up_id": id, "decision": "declined", "reason": ""}),
        json!({"top_up_id": id, "decision": "declined", "reason": "a\u{0}b"}),
        json!({"top_up_id": id, "decision": "declined", "reason": "x".repeat(501)}),
        json!({"top_up_id": id, "decision": "declined", "reason": null}),
        json!({"top_up_id": id, "decision": "approved", "more": 1}),
    ] {
        tell(&billing, &wrong)
            .await
            .expect_problem(422, "invalid_request");
    }
    let signature = sign(SECRET.as_bytes(), b"{", billing.service.peers.now());
    send(&billing, PATH, Some(&signature), "{")
        .await
        .expect_problem(400, "malformed_json");
    let request = billing
        .service
        .api
        .request(Method::POST, PATH)
        .header("content-type", "text/plain")
        .body("{}");
    billing
        .service
        .api
        .send(request)
        .await
        .expect_problem(415, "unsupported_media_type");
    billing.finish().await;
}

#[tokio::test]
async fn a_sandbox_that_decides_at_once_takes_no_webhooks_without_a_secret() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let customer = billing.customer_with(5_000).await;
    let id = TopUpId::new(billing.service.peers.now());
    tell(&billing, &approved(id))
        .await
        .expect_problem(404, "not_found");
    assert_eq!(customer.balance().await, 5_000);
    billing.finish().await;
}

#[tokio::test]
async fn a_decline_without_a_reason_is_told_without_one() {
    let billing = start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    let id = begun(&customer, 5_000).await;
    let body = json!({"top_up_id": id, "decision": "declined"});
    tell(&billing, &body).await.expect(200);
    let path = format!("/billing/v1/top-ups/{id}");
    let shown = customer.api.get(&path).await.expect(200);
    assert_eq!(shown["decline_reason"], "It gave no reason.");
    let failed: TopUpFailedV1 = billing.service.peers.hears(NOTIFICATIONS, |_| true).await;
    assert_eq!((failed.top_up_id, failed.reason), (id, None));
    billing.finish().await;
}

#[tokio::test]
async fn a_deleted_user_is_told_of_no_decline() {
    let billing = start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    billing.register(&customer).await;
    let id = begun(&customer, 5_000).await;
    let deleted = billing.user_state(customer.id, 2, UserStatus::Deleted);
    billing.service.peers.say(&UserDeletedV1(deleted)).await;
    let told = tell(&billing, &declined(id)).await.expect(200);
    assert_eq!(told["status"], "declined");
    assert!(billing.said::<TopUpFailedV1>().await.is_empty());
    billing.finish().await;
}

#[tokio::test]
async fn an_approval_for_a_deleted_user_goes_where_their_money_went() {
    let billing = start(TestDatabase::Sqlite).await;
    let customer = billing.customer();
    billing.register(&customer).await;
    let id = begun(&customer, 5_000).await;
    let deleted = billing.user_state(customer.id, 2, UserStatus::Deleted);
    billing.service.peers.say(&UserDeletedV1(deleted)).await;
    tell(&billing, &approved(id)).await.expect(200);
    let path = format!("/billing/v1/balance?user_id={}", customer.id);
    assert_eq!(billing.admin.get(&path).await.expect(200)["balance"], rub(0));
    billing.finish().await;
}
