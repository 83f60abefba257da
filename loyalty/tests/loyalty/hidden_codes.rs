//! Promocodes that are meant for others, and those that there are not: the database is asked the same
//! about both, so that no clock tells one from the other.

use serde_json::json;
use shared::{
    contracts::RefusalCode,
    ids::{TariffId, UserId},
};

use crate::{Loyalty, on_both_databases, roubles, ten_percent_off, with};

/// What the service does by itself from time to time.
const BACKGROUND: [&str; 8] = [
    "ended_sessions",
    "outbox",
    "inbox",
    "tells_until",
    "next_report_at",
    "pragma",
    "seaql_migrations",
    "ORDER BY \"waiting_holds\".\"position\" ASC",
];

/// What a purchase asks of the database.
async fn asked_to_buy(loyalty: &Loyalty, user: UserId, code: &str) -> Vec<String> {
    loyalty.service.listen_to_database();
    let refused = loyalty.ask(&loyalty.hold(user, code)).await.refused();
    assert_eq!(refused, [RefusalCode::UnknownPromocode], "{code:?}");
    without_background(loyalty.service.asked_of_database())
}

fn without_background(mut asked: Vec<String>) -> Vec<String> {
    asked.retain(|sql| !BACKGROUND.iter().any(|table| sql.contains(table)));
    assert!(!asked.is_empty(), "nothing was asked");
    asked
}

/// What a dry run asks of the database.
async fn asked(loyalty: &Loyalty, user: UserId, code: &str, tariff: TariffId) -> Vec<String> {
    loyalty.service.listen_to_database();
    let refused = loyalty.validate(user, code, tariff).await;
    refused.expect_problem(422, "promocode_refused");
    without_background(loyalty.service.asked_of_database())
}

async fn the_database_is_asked_the_same_about_every_code_that_reads_as_unknown(loyalty: Loyalty) {
    let other = loyalty.service.new_user();
    let group = crate::grants::group(&loyalty, "Others", &[other]).await;
    let limits = json!({"max_redemptions": 9, "max_per_user": 1});
    let hidden = [
        ("GRANTED-TO-OTHERS", json!({"requires_grant": true})),
        ("FOR-A-GROUP", json!({"eligibility": {"groups": [group["id"]]}})),
        (
            "FOR-A-USER",
            json!({"eligibility": {"users": [other], "first_purchase": true}}),
        ),
        ("WITH-LIMITS", with(limits, &json!({"requires_grant": true}))),
        (
            "OVER",
            json!({"requires_grant": true, "ends_at": "2020-01-01", "starts_at": "2019-01-01"}),
        ),
    ];
    for (code, terms) in &hidden {
        loyalty
            .campaign(&with(ten_percent_off(), terms), code, Some(3))
            .await;
    }
    // A limit for each user that began when uses were taken already.
    let late = loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"requires_grant": true})),
            "LATE",
            None,
        )
        .await;
    let path = format!("/loyalty/v1/campaigns/{}", late["id"].as_str().unwrap());
    loyalty
        .admin
        .patch(&path, &json!({"max_per_user": 1}))
        .await
        .expect(200);
    // Their owner has tried them all, so that whatever is remembered of them is.
    let tariff = loyalty.tariff(roubles(100)).await;
    let hidden = hidden.iter().map(|(code, _)| *code).chain(["LATE"]);
    let hidden: Vec<_> = hidden.collect();
    for code in &hidden {
        loyalty.validate(other, code, tariff).await;
    }

    let user = loyalty.service.new_user();
    // What the first request of anybody looks up.
    asked(&loyalty, user, "WARM-UP", tariff).await;
    let unknown = asked(&loyalty, user, "UNKNOWN", tariff).await;
    let wrong_shapes = ["two words", "\u{0}", "\u{200b}", &"x".repeat(10_000)];
    for code in hidden.iter().copied().chain(wrong_shapes) {
        let asked = asked(&loyalty, user, code, tariff).await;
        assert_eq!(asked, unknown, "{code:?}");
    }
    // And again, when each was refused already.
    let unknown = asked(&loyalty, user, "UNKNOWN", tariff).await;
    for code in &hidden {
        assert_eq!(asked(&loyalty, user, code, tariff).await, unknown, "{code:?}");
    }
    // A purchase likewise.
    let buyer = loyalty.service.new_user();
    let unknown = asked_to_buy(&loyalty, buyer, "UNKNOWN").await;
    for code in hidden.into_iter().chain(["two words", "\u{200b}"]) {
        assert_eq!(asked_to_buy(&loyalty, buyer, code).await, unknown, "{code:?}");
    }
    loyalty.nothing_failed().await;
}

on_both_databases!(the_database_is_asked_the_same_about_every_code_that_reads_as_unknown);
