//! Good promocodes of which no use is taken, since their purchases would fail at the price.

use serde_json::json;
use shared::{
    contracts::{HoldPromocodeV1, NotHeldReason, RefusalCode},
    ids::MessageId,
};

use crate::{Loyalty, kopecks, on_both_databases, roubles, ten_percent_off, with};

/// Costs 900.00 with ten percent off.
fn hold(loyalty: &Loyalty, balance: Option<i64>, expected: Option<i64>) -> HoldPromocodeV1 {
    HoldPromocodeV1 {
        balance: balance.map(roubles),
        expected_price: expected.map(roubles),
        ..loyalty.hold_of_anybody("CODE")
    }
}

async fn a_buyer_without_the_money_takes_no_use_and_is_answered_with_the_price(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", Some(1)).await;
    for _ in 0..3 {
        let poor = hold(&loyalty, Some(899), None);
        let answer = loyalty.ask(&poor).await.not_held();
        assert_eq!(answer.reason, NotHeldReason::InsufficientFunds);
        assert_eq!(
            (answer.list_price, answer.discount, answer.final_price),
            (roubles(1_000), roubles(100), roubles(900))
        );
        assert_eq!(loyalty.used("promocode").await, 0);
    }
    let rich = hold(&loyalty, Some(900), None);
    loyalty.ask(&rich).await.held();
    assert_eq!(loyalty.used("promocode").await, 1);

    let path = format!(
        "/loyalty/v1/campaigns/{}/redemptions",
        campaign["id"].as_str().unwrap()
    );
    let shown = loyalty.admin.get(&path).await.expect(200);
    assert_eq!(shown["items"][0]["status"], "held");
    let poor = &shown["items"][1];
    assert_eq!(
        (&poor["status"], &poor["not_held"], &poor["final_price"]),
        (
            &json!("cancelled"),
            &json!("insufficient_funds"),
            &kopecks(90_000)
        )
    );
    assert_eq!(loyalty.count("refused").await, 0);
    loyalty.nothing_failed().await;
}

async fn another_price_than_the_expected_one_takes_no_use(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(1)).await;
    for expected in [899, 901, 1_000] {
        let answer = loyalty
            .ask(&hold(&loyalty, Some(5_000), Some(expected)))
            .await
            .not_held();
        assert_eq!(
            (answer.reason, answer.final_price),
            (NotHeldReason::PriceChanged, roubles(900))
        );
    }
    assert_eq!(loyalty.used("promocode").await, 0);
    loyalty.ask(&hold(&loyalty, None, Some(900))).await.held();
    assert_eq!(loyalty.used("promocode").await, 1);
}

async fn the_answer_without_a_use_is_one_decision_that_is_repeated(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let poor = hold(&loyalty, Some(0), None);
    let first = loyalty.ask(&poor).await;
    let before = loyalty.standing().await;
    // By now the wallet holds enough, and the decision stands all the same.
    let again = HoldPromocodeV1 {
        balance: Some(roubles(5_000)),
        ..poor.clone()
    };
    let peers = &loyalty.service.peers;
    let envelopes = [&poor, &again, &again].map(|hold| peers.seal(MessageId::new(loyalty.now()), hold));
    peers.deliver(&envelopes).await;
    let answers = loyalty.answers(poor.purchase_id);
    assert!(
        answers.len() > 1 && answers.iter().all(|answer| *answer == first),
        "{answers:?}"
    );
    assert_eq!(loyalty.standing().await, before);
    // Its purchase fails: there is no use to give back.
    peers.say(&loyalty.failed(&poor)).await;
    peers.say(&loyalty.failed(&poor)).await;
    assert_eq!(
        (loyalty.count("cancelled").await, loyalty.used("promocode").await),
        (1, 0)
    );
    let before = loyalty.now() - chrono::Duration::days(1);
    let found = loyalty::reconcile(loyalty.service.db.reader(), before)
        .await
        .unwrap();
    assert_eq!(found, []);
}

async fn a_discount_of_nothing_is_refused_and_takes_no_use(loyalty: Loyalty) {
    let fixed =
        |price| json!({"name": "Fixed", "discount": {"type": "fixed_price", "price": kopecks(price)}});
    loyalty
        .campaign(&with(fixed(100_000), &json!({"listed": true})), "CODE", Some(1))
        .await;
    let (same, dearer) = (
        loyalty.tariff(roubles(1_000)).await,
        loyalty.tariff(roubles(1_001)).await,
    );
    let user = loyalty.service.new_user();
    let refused = loyalty.ask(&loyalty.hold(user, "CODE")).await.refused();
    assert_eq!(refused, [RefusalCode::NoDiscount]);
    assert_eq!(loyalty.used("promocode").await, 0);

    let problem = loyalty.validate(user, "CODE", same).await;
    let problem = problem.expect_problem(422, "promocode_refused");
    assert_eq!(crate::codes(&problem), ["no_discount"]);
    loyalty.validate(user, "CODE", dearer).await.expect(200);
    let api = loyalty.service.api_of(user);
    let usable = api.get("/loyalty/v1/promocodes").await.expect(200);
    let prices = usable["items"][0]["prices"].as_array().unwrap();
    assert_eq!(prices.len(), 1, "{usable}");
    assert_eq!(prices[0]["tariff_id"], json!(dearer));
}

on_both_databases!(
    a_buyer_without_the_money_takes_no_use_and_is_answered_with_the_price,
    another_price_than_the_expected_one_takes_no_use,
    the_answer_without_a_use_is_one_decision_that_is_repeated,
    a_discount_of_nothing_is_refused_and_takes_no_use,
);
