//! The dry run.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    contracts::{TariffChangedV1, TariffStatus},
    ids::TariffId,
    testing::TestDatabase,
};

use crate::{Loyalty, codes, kopecks, noon, on_both_databases, roubles, ten_percent_off, with};

/// Each kind of discount, what it takes off 333.33, and what is left.
fn discounts() -> [(Value, i64, i64); 6] {
    [
        (json!({"type": "percent", "percent": "12.5"}), 4_167, 29_166),
        (json!({"type": "percent", "percent": "100"}), 33_333, 0),
        (
            json!({"type": "amount_off", "amount": kopecks(10_001)}),
            10_001,
            23_332,
        ),
        (
            json!({"type": "amount_off", "amount": kopecks(99_999)}),
            33_333,
            0,
        ),
        (json!({"type": "fixed_price", "price": kopecks(100)}), 33_233, 100),
        (json!({"type": "free"}), 33_333, 0),
    ]
}

async fn every_kind_of_discount_is_priced_the_same_dry_and_held(loyalty: Loyalty) {
    let mut price = roubles(0);
    price.amount.0 = 33_333;
    let tariff = loyalty.tariff(price).await;
    let user = loyalty.service.new_user();
    for (number, (discount, off, left)) in discounts().into_iter().enumerate() {
        let code = format!("KIND-{number}");
        loyalty
            .campaign(&json!({"name": "Kind", "discount": discount}), &code, None)
            .await;
        let priced = loyalty
            .validate(user, &format!(" kind-{number} "), tariff)
            .await
            .expect(200);
        let expected = json!({
            "tariff_id": tariff,
            "promocode": code,
            "list_price": kopecks(33_333),
            "discount": kopecks(off),
            "final_price": kopecks(left),
        });
        assert_eq!(priced, expected);

        let mut hold = loyalty.hold(user, &code);
        hold.price = price;
        let held = loyalty.ask(&hold).await.held();
        assert_eq!(json!(held.discount), kopecks(off));
        assert_eq!(json!(held.final_price), kopecks(left));
        assert_eq!(held.list_price, price);
        assert_eq!(held.campaign_version, 1);
    }
}

async fn a_dry_run_takes_no_use(loyalty: Loyalty) {
    loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"max_per_user": 1})),
            "ONCE",
            Some(1),
        )
        .await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let before = loyalty.standing().await;
    for _ in 0..3 {
        loyalty.validate(user, "ONCE", tariff).await.expect(200);
    }
    assert_eq!(loyalty.standing().await, before);

    loyalty.take(&loyalty.hold(user, "ONCE")).await;
    let refused = loyalty
        .validate(user, "ONCE", tariff)
        .await
        .expect_problem(422, "promocode_refused");
    assert_eq!(codes(&refused), ["uses_exhausted", "user_limit_reached"]);
    let other = loyalty.service.new_user();
    let refused = loyalty
        .validate(other, "ONCE", tariff)
        .await
        .expect_problem(422, "promocode_refused");
    assert_eq!(codes(&refused), ["uses_exhausted"]);
}

async fn a_promocode_that_nobody_made_is_unknown_whatever_was_typed(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let typed = [
        "NOBODY",
        "",
        "  ",
        "two words",
        "\u{0}",
        "\u{202e}evil",
        &"x".repeat(10_000),
        "'; --",
        "ß",
    ];
    for code in typed {
        let refused = loyalty
            .validate(user, code, tariff)
            .await
            .expect_problem(422, "promocode_refused");
        assert_eq!(codes(&refused), ["unknown_promocode"], "{code:?}");
        assert!(refused["reasons"][0]["found"].is_string(), "{refused}");
    }
    let kept = loyalty
        .admin
        .get("/loyalty/v1/refusals?limit=200")
        .await
        .expect(200);
    // Nothing and nothing but space are the same.
    assert_eq!(kept["items"].as_array().unwrap().len(), typed.len() - 1);
    assert!(
        kept["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|kept| kept.get("purchase_id").is_none())
    );
}

async fn every_reason_is_kept_and_told_with_what_was_expected_and_found(loyalty: Loyalty) {
    let terms = json!({
        "name": "Over", "discount": {"type": "free"}, "max_per_user": 1,
        "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z",
    });
    let campaign = loyalty.campaign(&terms, "OVER", Some(1)).await;
    let user = loyalty.service.new_user();
    let mut hold = loyalty.hold(user, "OVER");
    hold.requested_at = "2026-01-01T12:00:00Z".parse().unwrap();
    loyalty.take(&hold).await;

    let tariff = loyalty.tariff(roubles(100)).await;
    let refused = loyalty
        .validate(user, "over", tariff)
        .await
        .expect_problem(422, "promocode_refused");
    assert_eq!(
        codes(&refused),
        ["campaign_ended", "uses_exhausted", "user_limit_reached"]
    );
    let exhausted = &refused["reasons"][1];
    assert_eq!(
        (&exhausted["expected"], &exhausted["found"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(refused["reasons"][0]["expected"], "2026-01-02T00:00:00Z");

    let kept = loyalty
        .admin
        .get(&format!("/loyalty/v1/refusals?user_id={user}"))
        .await
        .expect(200);
    let kept = &kept["items"][0];
    assert_eq!(
        codes(kept),
        ["campaign_ended", "uses_exhausted", "user_limit_reached"]
    );
    assert_eq!(
        (&kept["reasons"][1]["expected"], &kept["reasons"][1]["found"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&kept["promocode"], &kept["campaign_id"]),
        (&json!("over"), &campaign["id"])
    );
}

async fn one_customer_who_tries_wrong_codes_in_a_loop_does_not_fill_the_refusals(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let (user, other) = (loyalty.service.new_user(), loyalty.service.new_user());
    let refused = async |user, code: &str| {
        let refused = loyalty.validate(user, code, tariff).await;
        let refused = refused.expect_problem(422, "promocode_refused");
        assert_eq!(codes(&refused), ["unknown_promocode"]);
    };
    for _ in 0..5 {
        refused(user, "SAME").await;
    }
    assert_eq!(loyalty.standing().await.refusals, 1, "a repeat is not kept");
    // Known ones, so that it is no guessing.
    let campaign = loyalty.campaign(&ten_percent_off(), "KNOWN-0", None).await;
    let pause = format!("/loyalty/v1/campaigns/{}/pause", campaign["id"].as_str().unwrap());
    loyalty.admin.post(&pause, &json!({})).await.expect(200);
    for number in 0..40 {
        if number > 0 {
            loyalty.promocode(&campaign, &format!("KNOWN-{number}")).await;
        }
        let refused = loyalty.validate(user, &format!("KNOWN-{number}"), tariff).await;
        let refused = refused.expect_problem(422, "promocode_refused");
        assert_eq!(codes(&refused), ["campaign_paused"]);
    }
    assert_eq!(
        loyalty.standing().await.refusals,
        30,
        "no more than so many an hour"
    );
    refused(other, "SAME").await;
    assert_eq!(loyalty.standing().await.refusals, 31, "others are not hindered");
}

/// On SQLite there is only one writer.
#[tokio::test]
async fn a_dry_run_that_passes_waits_for_no_writer() {
    let loyalty = Loyalty::start(TestDatabase::Sqlite).await;
    loyalty.campaign(&ten_percent_off(), "CODE", Some(1)).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let written = loyalty.service.db.write(|_tx| {
        let loyalty = &loyalty;
        async move {
            let asked = loyalty.validate(user, "CODE", tariff);
            let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
            answer.expect("an answer beside a writer").expect(200);
            Ok::<_, sea_orm::DbErr>(())
        }
    });
    written.await.unwrap();
}

async fn a_tariff_that_is_not_sold_is_refused_and_an_unknown_one_not_found(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let user = loyalty.service.new_user();
    let unknown = TariffId::new(loyalty.now());
    loyalty
        .validate(user, "CODE", unknown)
        .await
        .expect_problem(404, "not_found");

    let tariff = loyalty.tariff(roubles(100)).await;
    let state = |version, price, status| TariffChangedV1 {
        tariff_id: tariff,
        version,
        name: "Standard".to_owned(),
        price: roubles(price),
        period: "P1M".to_owned(),
        status,
    };
    let (newer, older) = (
        state(3, 300, TariffStatus::Active),
        state(2, 200, TariffStatus::Archived),
    );
    let together = loyalty
        .service
        .peers
        .seal_all(&[older.clone(), newer, older.clone()]);
    loyalty.service.peers.deliver(&together).await;
    loyalty.service.peers.say(&older).await;
    let priced = loyalty.validate(user, "CODE", tariff).await.expect(200);
    assert_eq!(
        priced["list_price"],
        kopecks(30_000),
        "an older state changes nothing"
    );

    loyalty
        .service
        .peers
        .say(&state(4, 300, TariffStatus::Archived))
        .await;
    loyalty
        .validate(user, "CODE", tariff)
        .await
        .expect_problem(409, "tariff_not_sold");
}

async fn wrong_dry_runs_are_the_clients_fault(loyalty: Loyalty) {
    let customer = loyalty.service.api_of(loyalty.service.new_user());
    let tariff = TariffId::new(loyalty.now());
    for body in [
        json!({}),
        json!({"promocode": "CODE"}),
        json!({"promocode": "CODE", "tariff_id": "standard"}),
        json!({"promocode": 5, "tariff_id": tariff}),
        json!({"promocode": "CODE", "tariff_id": tariff, "user_id": null}),
        json!({"promocode": "CODE", "tariff_id": tariff, "user": tariff}),
    ] {
        customer
            .post("/loyalty/v1/promocodes/validate", &body)
            .await
            .expect_problem(422, "invalid_request");
    }
    let of_another = json!({"promocode": "CODE", "tariff_id": tariff, "user_id": tariff});
    customer
        .post("/loyalty/v1/promocodes/validate", &of_another)
        .await
        .expect_problem(403, "forbidden");
    let body = json!({"promocode": "CODE", "tariff_id": tariff});
    loyalty
        .service
        .api
        .post("/loyalty/v1/promocodes/validate", &body)
        .await
        .expect_problem(401, "unauthenticated");
}

on_both_databases!(
    every_kind_of_discount_is_priced_the_same_dry_and_held,
    a_dry_run_takes_no_use,
    a_promocode_that_nobody_made_is_unknown_whatever_was_typed,
    every_reason_is_kept_and_told_with_what_was_expected_and_found,
    one_customer_who_tries_wrong_codes_in_a_loop_does_not_fill_the_refusals,
    a_tariff_that_is_not_sold_is_refused_and_an_unknown_one_not_found,
    wrong_dry_runs_are_the_clients_fault,
);

#[tokio::test]
async fn a_campaign_is_open_from_its_start_to_its_end() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let loyalty = Loyalty::start_at(database, noon()).await;
        let tariff = loyalty.tariff(roubles(100)).await;
        let user = loyalty.service.new_user();
        let hour = chrono::Duration::hours(1);
        let times = json!({"starts_at": noon() + hour, "ends_at": noon() + hour * 2});
        loyalty
            .campaign(&with(ten_percent_off(), &times), "TIMED", None)
            .await;

        let early = loyalty
            .validate(user, "TIMED", tariff)
            .await
            .expect_problem(422, "promocode_refused");
        assert_eq!(codes(&early), ["campaign_not_started"]);
        assert_eq!(early["reasons"][0]["expected"], times["starts_at"]);
        loyalty.advance(Duration::from_secs(3_600));
        let fresh = loyalty.service.api_of(user);
        let body = json!({"promocode": "TIMED", "tariff_id": tariff});
        fresh
            .post("/loyalty/v1/promocodes/validate", &body)
            .await
            .expect(200);
        loyalty.advance(Duration::from_secs(3_599));
        loyalty.validate(user, "TIMED", tariff).await.expect(200);
        loyalty.advance(Duration::from_secs(1));
        let late = loyalty
            .validate(user, "TIMED", tariff)
            .await
            .expect_problem(422, "promocode_refused");
        assert_eq!(codes(&late), ["campaign_ended"]);
    }
}
