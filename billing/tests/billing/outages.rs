//! The database fails at the worst moment.

use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::{Billing, DATABASES, held};

/// An error would make a client without an idempotency key buy again.
#[tokio::test]
async fn a_purchase_that_was_begun_is_answered_as_pending_when_it_can_not_be_looked_at() {
    for database in DATABASES {
        let billing = Billing::start(database).await;
        let customer = billing.customer_with(10_000).await;
        let tariff = billing.tariff(1_000).await;
        let (answer, hold) = billing.begin(&customer, tariff).await;
        let by_hand = |sql: &'static str| billing.service.db.writer().execute_unprepared(sql);
        by_hand("ALTER TABLE purchases RENAME TO purchases_away")
            .await
            .unwrap();
        let answer = answer.await.unwrap();
        by_hand("ALTER TABLE purchases_away RENAME TO purchases")
            .await
            .unwrap();
        let location = answer.headers["location"].to_str().unwrap().to_owned();
        let body = answer.expect(202);
        assert_eq!(
            (&body["id"], &body["status"]),
            (&json!(hold.purchase_id), &json!("pending"))
        );
        billing.service.peers.say(&held(&hold, 0)).await;
        assert_eq!(customer.api.get(&location).await.expect(200)["status"], "paid");
        billing.finish().await;
    }
}
