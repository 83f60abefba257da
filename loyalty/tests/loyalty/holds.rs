//! The way of a hold: held, then confirmed or cancelled, or refused.

use serde_json::json;
use shared::contracts::RefusalCode;

use crate::{Loyalty, kopecks, on_both_databases, roubles, ten_percent_off, with};

async fn a_hold_is_confirmed_when_its_purchase_is_paid(loyalty: Loyalty) {
    let campaign = loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"max_redemptions": 5})),
            "CODE",
            Some(2),
        )
        .await;
    let user = loyalty.service.new_user();
    let hold = loyalty.hold(user, " code ");
    let held = loyalty.ask(&hold).await.held();
    assert_eq!((held.purchase_id, held.user_id), (hold.purchase_id, user));
    assert_eq!(json!(held.campaign_id), campaign["id"]);
    assert_eq!(json!(held.promocode_id), campaign["promocode"]["id"]);
    assert_eq!(
        (held.list_price, held.discount, held.final_price),
        (roubles(1_000), roubles(100), roubles(900))
    );

    let mine = loyalty
        .service
        .api_of(user)
        .get("/loyalty/v1/redemptions")
        .await
        .expect(200);
    let redemption = &mine["items"][0];
    assert_eq!(
        (&redemption["status"], &redemption["promocode"]),
        (&json!("held"), &json!("CODE"))
    );
    assert_eq!(redemption["final_price"], kopecks(90_000));

    loyalty.service.peers.say(&loyalty.paid(&hold)).await;
    let of_campaign = format!(
        "/loyalty/v1/campaigns/{}/redemptions",
        campaign["id"].as_str().unwrap()
    );
    let all = loyalty.admin.get(&of_campaign).await.expect(200);
    assert_eq!(all["items"][0]["status"], "confirmed");
    assert_eq!(all["items"][0]["campaign_version"], 1);
    assert_eq!(
        (loyalty.used("campaign").await, loyalty.used("promocode").await),
        (1, 1)
    );

    let other = loyalty.service.api_of(loyalty.service.new_user());
    assert_eq!(
        other.get("/loyalty/v1/redemptions").await.expect(200),
        json!({"items": []})
    );
    let of_user = format!("/loyalty/v1/redemptions?user_id={user}");
    assert_eq!(loyalty.admin.get(&of_user).await.expect(200), all);
}

async fn a_failed_purchase_gives_the_use_back_to_the_next_buyer(loyalty: Loyalty) {
    loyalty
        .campaign(
            &with(
                ten_percent_off(),
                &json!({"max_redemptions": 1, "max_per_user": 1}),
            ),
            "ONCE",
            Some(1),
        )
        .await;
    let first = loyalty.hold_of_anybody("ONCE");
    loyalty.ask(&first).await.held();
    let second = loyalty.hold_of_anybody("ONCE");
    loyalty.service.peers.say(&second).await;
    assert_eq!(
        loyalty.answers(second.purchase_id),
        [],
        "a held use is not free, nor gone"
    );

    loyalty.service.peers.say(&loyalty.failed(&first)).await;
    loyalty.answer(second.purchase_id).await.held();
    for scope in ["campaign", "promocode", "user"] {
        assert_eq!(loyalty.used(scope).await, 1, "{scope}");
    }
    loyalty.service.peers.say(&loyalty.paid(&second)).await;
    let third = loyalty.ask(&loyalty.hold_of_anybody("ONCE")).await;
    assert_eq!(third.refused(), [RefusalCode::UsesExhausted]);
    assert_eq!(
        (
            loyalty.count("cancelled").await,
            loyalty.count("confirmed").await,
            loyalty.count("refused").await
        ),
        (1, 1, 1)
    );
    loyalty.nothing_failed().await;
}

async fn a_failure_that_comes_before_its_hold_takes_no_use(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    let late = loyalty.hold_of_anybody("ONCE");
    loyalty.service.peers.say(&loyalty.failed(&late)).await;
    loyalty.service.peers.say(&late).await;
    assert_eq!(loyalty.used("promocode").await, 0);
    let other = loyalty.hold_of_anybody("ONCE");
    loyalty.ask(&other).await.held();
    assert!(
        loyalty.answers(late.purchase_id).is_empty(),
        "nobody waits for it"
    );
    let mine = loyalty
        .service
        .api_of(late.user_id)
        .get("/loyalty/v1/redemptions")
        .await
        .expect(200);
    assert_eq!(mine["items"][0]["status"], "cancelled");
    assert!(mine["items"][0].get("final_price").is_none());
}

async fn each_limit_admits_exactly_what_it_says(loyalty: Loyalty) {
    let user = loyalty.service.new_user();
    loyalty.campaign(&ten_percent_off(), "THRICE", Some(3)).await;
    loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"max_per_user": 2})),
            "TWICE-EACH",
            None,
        )
        .await;
    loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"max_redemptions": 3})),
            "THREE-IN-ALL",
            None,
        )
        .await;
    loyalty.campaign(&ten_percent_off(), "ENDLESS", None).await;
    for (code, admitted, refusal) in [
        ("THRICE", 3, RefusalCode::UsesExhausted),
        ("TWICE-EACH", 2, RefusalCode::UserLimitReached),
        ("THREE-IN-ALL", 3, RefusalCode::UsesExhausted),
    ] {
        for _ in 0..admitted {
            loyalty.take(&loyalty.hold(user, code)).await;
        }
        assert_eq!(
            loyalty.ask(&loyalty.hold(user, code)).await.refused(),
            [refusal],
            "{code}"
        );
    }
    loyalty.ask(&loyalty.hold_of_anybody("TWICE-EACH")).await.held();
    for _ in 0..8 {
        loyalty.ask(&loyalty.hold(user, "ENDLESS")).await.held();
    }
    let kept = loyalty
        .admin
        .get(&format!("/loyalty/v1/refusals?user_id={user}"))
        .await
        .expect(200);
    assert_eq!(kept["items"].as_array().unwrap().len(), 3);
}

async fn a_refused_hold_is_explained_masked_to_billing_and_whole_to_administrators(loyalty: Loyalty) {
    let terms = with(
        ten_percent_off(),
        &json!({"ends_at": loyalty.now() + chrono::Duration::hours(1)}),
    );
    loyalty.campaign(&terms, "ONCE", Some(1)).await;
    loyalty.take(&loyalty.hold_of_anybody("ONCE")).await;
    let mut hold = loyalty.hold_of_anybody("once");
    hold.requested_at += chrono::Duration::hours(2);
    let crate::Heard::Refused(refused) = loyalty.ask(&hold).await else {
        panic!("it is over and used up");
    };
    let codes: Vec<_> = refused.reasons.iter().map(|reason| reason.code).collect();
    assert_eq!(codes, [RefusalCode::CampaignEnded, RefusalCode::UsesExhausted]);
    assert_eq!(
        (&refused.reasons[1].expected, &refused.reasons[1].found),
        (&Some(json!(1)), &Some(json!(1)))
    );

    let of_purchase = format!("/loyalty/v1/refusals?purchase_id={}", hold.purchase_id);
    let kept = loyalty.admin.get(&of_purchase).await.expect(200);
    assert_eq!(kept["items"][0]["reasons"][1]["found"], 1);
    assert_eq!(kept["items"][0]["user_id"], json!(hold.user_id));
    let mine = loyalty
        .service
        .api_of(hold.user_id)
        .get("/loyalty/v1/redemptions")
        .await
        .expect(200);
    assert_eq!(mine["items"][0]["status"], "refused");
    assert_eq!(
        mine["items"][0]["reasons"],
        json!(refused.reasons),
        "the customer's copy"
    );

    let unknown = loyalty.hold_of_anybody("\u{0}nobody\u{0}");
    assert_eq!(
        loyalty.ask(&unknown).await.refused(),
        [RefusalCode::UnknownPromocode]
    );
}

async fn start_and_end_are_judged_at_the_moment_of_the_request(loyalty: Loyalty) {
    let second = chrono::Duration::seconds(1);
    let (start, end) = (loyalty.now() - second * 60, loyalty.now() - second * 30);
    loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"starts_at": start, "ends_at": end})),
            "TIMED",
            None,
        )
        .await;
    let at = |requested_at| shared::contracts::HoldPromocodeV1 {
        requested_at,
        ..loyalty.hold_of_anybody("TIMED")
    };
    assert_eq!(
        loyalty.ask(&at(start - second)).await.refused(),
        [RefusalCode::CampaignNotStarted]
    );
    loyalty.ask(&at(start)).await.held();
    // Asked in time, and only here now.
    loyalty.ask(&at(end - second)).await.held();
    assert_eq!(
        loyalty.ask(&at(end)).await.refused(),
        [RefusalCode::CampaignEnded]
    );
}

async fn a_campaign_without_a_start_takes_what_was_asked_by_a_clock_that_lags_behind(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    assert!(campaign.get("starts_at").is_none(), "{campaign}");
    let mut hold = loyalty.hold_of_anybody("CODE");
    hold.requested_at -= chrono::Duration::minutes(1);
    loyalty.ask(&hold).await.held();
}

async fn administrators_find_what_was_refused_among_a_campaigns_redemptions_with_its_reasons(
    loyalty: Loyalty,
) {
    let campaign = loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    loyalty.take(&loyalty.hold_of_anybody("ONCE")).await;
    loyalty
        .rows("UPDATE promocodes SET disabled = true RETURNING id")
        .await;
    let hold = loyalty.hold_of_anybody("ONCE");
    assert_eq!(
        loyalty.ask(&hold).await.refused(),
        [RefusalCode::PromocodeDisabled, RefusalCode::UsesExhausted]
    );

    let path = format!(
        "/loyalty/v1/campaigns/{}/redemptions",
        campaign["id"].as_str().unwrap()
    );
    let all = loyalty.admin.get(&path).await.expect(200);
    let refused = &all["items"][0];
    assert_eq!(
        (&refused["status"], &refused["purchase_id"]),
        (&json!("refused"), &json!(hold.purchase_id))
    );
    assert_eq!(
        crate::codes(refused),
        ["promocode_disabled", "uses_exhausted"],
        "whole"
    );
    let of_user = format!("/loyalty/v1/redemptions?user_id={}", hold.user_id);
    assert_eq!(
        loyalty.admin.get(&of_user).await.expect(200)["items"][0],
        *refused
    );

    let own = loyalty.service.api_of(hold.user_id);
    let mine = own.get("/loyalty/v1/redemptions").await.expect(200);
    assert_eq!(mine["items"][0], *refused, "nothing of it is meant for others");
}

async fn a_batch_that_is_refused_leaves_its_counters_alone(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    loyalty.take(&loyalty.hold_of_anybody("ONCE")).await;
    // Nor is what the database sees to: only a use that is taken puts it under its limit.
    loyalty
        .rows("UPDATE counters SET max_uses = 7 RETURNING used")
        .await;
    let counted = async || -> (i64, i64) {
        let row = &loyalty.rows("SELECT used, max_uses FROM counters").await[0];
        (
            row.try_get("", "used").unwrap(),
            row.try_get("", "max_uses").unwrap(),
        )
    };
    loyalty.ask(&loyalty.hold_of_anybody("ONCE")).await.refused();
    assert_eq!(counted().await, (1, 7));
    loyalty
        .rows("UPDATE promocodes SET max_uses = 2 RETURNING id")
        .await;
    loyalty.ask(&loyalty.hold_of_anybody("ONCE")).await.held();
    assert_eq!(counted().await, (2, 2));
}

async fn a_purchase_without_a_promocode_is_none_of_loyaltys_business(loyalty: Loyalty) {
    let hold = loyalty.hold_of_anybody("ANY");
    let before = loyalty.standing().await;
    let mut paid = loyalty.paid(&hold);
    paid.with_promocode = false;
    let mut failed = loyalty.failed(&loyalty.hold_of_anybody("ANY"));
    failed.with_promocode = false;
    loyalty.service.peers.say(&paid).await;
    loyalty.service.peers.say(&failed).await;
    assert_eq!(loyalty.standing().await, before);
}

async fn a_hold_in_other_money_is_parked_and_its_neighbours_are_decided(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let mut wrong = loyalty.hold_of_anybody("CODE");
    wrong.price.currency = iso_currency::Currency::USD;
    let right = loyalty.hold_of_anybody("CODE");
    let together = loyalty.service.peers.seal_all(&[wrong, right.clone()]);
    loyalty.service.peers.deliver(&together).await;
    loyalty.answer(right.purchase_id).await.held();
    assert_eq!(loyalty.used("promocode").await, 1);
    let parked = shared::inbox::parked(loyalty.service.db.reader(), 10)
        .await
        .unwrap();
    assert_eq!(parked.len(), 1);
}

on_both_databases!(
    a_hold_is_confirmed_when_its_purchase_is_paid,
    a_failed_purchase_gives_the_use_back_to_the_next_buyer,
    a_failure_that_comes_before_its_hold_takes_no_use,
    each_limit_admits_exactly_what_it_says,
    a_refused_hold_is_explained_masked_to_billing_and_whole_to_administrators,
    start_and_end_are_judged_at_the_moment_of_the_request,
    a_campaign_without_a_start_takes_what_was_asked_by_a_clock_that_lags_behind,
    administrators_find_what_was_refused_among_a_campaigns_redemptions_with_its_reasons,
    a_batch_that_is_refused_leaves_its_counters_alone,
    a_purchase_without_a_promocode_is_none_of_loyaltys_business,
    a_hold_in_other_money_is_parked_and_its_neighbours_are_decided,
);
