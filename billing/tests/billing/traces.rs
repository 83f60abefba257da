//! One trace runs from a request through every message that follows from it.

use reqwest::Method;
use serde_json::json;
use shared::{
    contracts::{Envelope, HoldPromocodeV1, PromocodeHeldV1, PurchasePaidV1},
    ids::MessageId,
    telemetry::trace::{root, trace_id},
    testing::TestDatabase,
};

use crate::{Billing, LOYALTY, NOTIFICATIONS, held};

fn trace_of(envelope: &Envelope) -> &str {
    trace_id(envelope.traceparent.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_and_all_that_follows_share_one_trace() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let peers = &billing.service.peers;
    let tariff = billing.tariff(1_000).await;
    let mut purchases = Vec::new();
    for _ in 0..3 {
        let customer = billing.customer_with(10_000).await;
        let traceparent = root();
        let request = customer
            .api
            .request(Method::POST, "/billing/v1/purchases")
            .header("traceparent", &traceparent)
            .json(&json!({"tariff_id": tariff, "promocode": "SALE"}));
        let api = customer.api.clone();
        let answer = tokio::spawn(async move { api.send(request).await });
        let hold: HoldPromocodeV1 = peers
            .hears(LOYALTY, |hold: &HoldPromocodeV1| hold.user_id == customer.id)
            .await;
        purchases.push((traceparent, hold, answer));
    }
    for (traceparent, hold, _) in &purchases {
        let envelopes = peers.envelopes::<HoldPromocodeV1>(LOYALTY);
        let asked = envelopes
            .iter()
            .find(|envelope| envelope.subject == hold.purchase_id.0)
            .unwrap();
        assert_eq!(Some(trace_of(asked)), trace_id(traceparent));
        assert_ne!(
            asked.traceparent.as_deref(),
            Some(traceparent.as_str()),
            "each step has an id of its own"
        );
    }
    // Answered together: each outcome stays on the trace of its own purchase.
    let answers: Vec<_> = purchases
        .iter()
        .map(|(traceparent, hold, _)| {
            let message: PromocodeHeldV1 = held(hold, 100);
            let mut envelope = peers.seal(MessageId::new(peers.now()), &message);
            envelope.traceparent = Some(traceparent.clone());
            envelope
        })
        .collect();
    peers.deliver(&answers).await;
    for (traceparent, hold, answer) in purchases {
        assert_eq!(answer.await.unwrap().status.as_u16(), 201);
        peers
            .hears(NOTIFICATIONS, |paid: &PurchasePaidV1| {
                paid.purchase_id == hold.purchase_id
            })
            .await;
        let envelopes = peers.envelopes::<PurchasePaidV1>(NOTIFICATIONS);
        let paid = envelopes
            .iter()
            .find(|envelope| envelope.subject == hold.purchase_id.0)
            .unwrap();
        assert_eq!(Some(trace_of(paid)), trace_id(&traceparent));
    }
    billing.finish().await;
}
