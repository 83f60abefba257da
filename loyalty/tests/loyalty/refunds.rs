//! What becomes of a use when its purchase is refunded.

use serde_json::json;
use shared::{
    contracts::{Envelope, HoldPromocodeV1, PurchaseRefundedV1, RefusalCode},
    ids::{MessageId, SubscriptionId},
};

use crate::{Loyalty, on_both_databases, roubles, ten_percent_off, with};

fn refunded(loyalty: &Loyalty, hold: &HoldPromocodeV1) -> PurchaseRefundedV1 {
    let now = loyalty.now();
    PurchaseRefundedV1 {
        purchase_id: hold.purchase_id,
        version: 3,
        user_id: hold.user_id,
        tariff_id: hold.tariff_id,
        tariff_name: "Standard".to_owned(),
        with_promocode: true,
        refunded: hold.price,
        balance_after: roubles(0),
        subscription_id: SubscriptionId::new(now),
        moved: Vec::new(),
        reason: Some("a mistake".to_owned()),
        refunded_at: now,
    }
}

async fn findings(loyalty: &Loyalty) -> usize {
    let before = loyalty.now() - chrono::Duration::days(1);
    let found = loyalty::reconcile(loyalty.service.db.reader(), before).await;
    found.unwrap().len()
}

async fn a_use_goes_back_or_stays_as_the_terms_say_that_priced_it(loyalty: Loyalty) {
    for (policy, code) in [
        (None, "DEFAULT"),
        (Some("return_use"), "RETURN"),
        (Some("keep_use"), "KEEP"),
    ] {
        let mut terms = with(
            ten_percent_off(),
            &json!({"max_redemptions": 1, "max_per_user": 1}),
        );
        if let Some(policy) = policy {
            terms["refund_policy"] = json!(policy);
        }
        let campaign = loyalty.campaign(&terms, code, Some(1)).await;
        let returns = policy != Some("keep_use");
        let hold = loyalty.hold_of_anybody(code);
        loyalty.ask(&hold).await.held();
        loyalty.service.peers.say(&loyalty.paid(&hold)).await;
        // What it is changed to afterwards is for later purchases.
        let other = if returns { "keep_use" } else { "return_use" };
        let path = format!("/loyalty/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        let change = json!({"refund_policy": other});
        loyalty.admin.patch(&path, &change).await.expect(200);
        loyalty.service.peers.say(&refunded(&loyalty, &hold)).await;
        let mine = loyalty.service.api_of(hold.user_id);
        let mine = mine.get("/loyalty/v1/redemptions").await.expect(200);
        let expected = if returns { "returned" } else { "confirmed" };
        assert_eq!(mine["items"][0]["status"], expected, "{code}");
        let next = loyalty.ask(&loyalty.hold_of_anybody(code)).await;
        if returns {
            next.held();
        } else {
            assert_eq!(next.refused(), [RefusalCode::UsesExhausted]);
        }
    }
    assert_eq!(findings(&loyalty).await, 0);
    loyalty
        .rows("UPDATE redemptions SET returns_use = false WHERE status = 'returned' RETURNING status")
        .await;
    assert_eq!(findings(&loyalty).await, 2, "two were returned that were to stay");
}

async fn every_order_of_a_refunded_purchase_ends_the_same(loyalty: Loyalty) {
    let peers = &loyalty.service.peers;
    for (policy, left, status) in [("return_use", 0, "returned"), ("keep_use", 1, "confirmed")] {
        for (number, order) in ["PR", "RP", "PRP", "RRPP", "PPRR", "HPR", "PHRH", "RHP"]
            .iter()
            .enumerate()
        {
            for together in [false, true] {
                let code = format!("{policy}-{number}-{together}").replace('_', "-");
                let terms = with(
                    ten_percent_off(),
                    &json!({"refund_policy": policy, "max_redemptions": 5}),
                );
                let campaign = loyalty.campaign(&terms, &code, None).await;
                let hold = loyalty.hold_of_anybody(&code);
                loyalty.ask(&hold).await.held();
                let (paid, refunded) = (loyalty.paid(&hold), refunded(&loyalty, &hold));
                let envelopes: Vec<Envelope> = order
                    .chars()
                    .map(|letter| {
                        let id = MessageId::new(loyalty.now());
                        match letter {
                            'H' => peers.seal(id, &hold),
                            'P' => peers.seal(id, &paid),
                            _ => peers.seal(id, &refunded),
                        }
                    })
                    .collect();
                if together {
                    peers.deliver(&envelopes).await;
                } else {
                    for envelope in &envelopes {
                        peers.deliver(std::slice::from_ref(envelope)).await;
                    }
                }
                let path = format!(
                    "/loyalty/v1/campaigns/{}/redemptions",
                    campaign["id"].as_str().unwrap()
                );
                let all = loyalty.admin.get(&path).await.expect(200);
                assert_eq!(all["items"][0]["status"], status, "{policy} {order} {together}");
                let used: i64 = loyalty
                    .rows(&format!(
                        "SELECT used - (SELECT COUNT(*) FROM returned_uses r WHERE r.scope_id = c.scope_id) AS used \
                         FROM counters c JOIN redemptions d ON d.campaign_id = c.scope_id AND d.promocode = '{}'",
                        code.to_uppercase()
                    ))
                    .await[0]
                    .try_get("", "used")
                    .unwrap();
                assert_eq!(used, left, "{policy} {order} {together}");
            }
        }
    }
    loyalty.nothing_failed().await;
    assert_eq!(findings(&loyalty).await, 0);
}

async fn a_refunded_first_purchase_was_a_purchase(loyalty: Loyalty) {
    let first = json!({"eligibility": {"first_purchase": true}});
    loyalty
        .campaign(&with(ten_percent_off(), &first), "FIRST", None)
        .await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let hold = loyalty.hold_of_anybody("none");
    // Without a promocode, and before its payment is heard of.
    let mut refund = refunded(&loyalty, &hold);
    refund.with_promocode = false;
    loyalty.service.peers.say(&refund).await;
    let refused = loyalty.validate(hold.user_id, "FIRST", tariff).await;
    let refused = refused.expect_problem(422, "promocode_refused");
    assert_eq!(crate::codes(&refused), ["not_first_purchase"]);
    assert_eq!(loyalty.standing().await.redemptions, []);
}

on_both_databases!(
    a_use_goes_back_or_stays_as_the_terms_say_that_priced_it,
    every_order_of_a_refunded_purchase_ends_the_same,
    a_refunded_first_purchase_was_a_purchase,
);
