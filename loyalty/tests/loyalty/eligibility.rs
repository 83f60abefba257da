//! For whom and for what campaigns are, and every "no" with what was expected and found: of a dry
//! run and of a purchase alike.

use serde_json::{Value, json};
use shared::{
    contracts::{HoldPromocodeV1, RefusalCode, UserBlockedV1, UserRegisteredV1, UserStatus},
    ids::{PurchaseId, TariffId, UserId},
};

use crate::{Heard, Loyalty, codes, kopecks, on_both_databases, roubles, ten_percent_off, with};

/// Ten percent off, for whom `eligibility` says.
fn for_whom(eligibility: &Value) -> Value {
    with(ten_percent_off(), &json!({"eligibility": eligibility}))
}

/// What a customer is told by a dry run, or what it costs.
async fn tried(loyalty: &Loyalty, user: UserId, code: &str, tariff: TariffId) -> Vec<Value> {
    let answer = loyalty.validate(user, code, tariff).await;
    if answer.status.as_u16() == 200 {
        return Vec::new();
    }
    let problem = answer.expect_problem(422, "promocode_refused");
    problem["reasons"].as_array().unwrap().clone()
}

/// What billing hears of a purchase, which is what its customer is told.
async fn bought(loyalty: &Loyalty, hold: &HoldPromocodeV1) -> Vec<Value> {
    match loyalty.ask(hold).await {
        Heard::Held(_) => Vec::new(),
        Heard::Refused(refused) => refused.reasons.iter().map(|reason| json!(reason)).collect(),
        Heard::NotHeld(not_held) => panic!("{not_held:?}"),
    }
}

/// Of each reason its code, what was expected and what was found.
fn facts(reasons: &[Value]) -> Vec<(&str, Value, Value)> {
    let fact = |reason: &'_ Value| (reason["expected"].clone(), reason["found"].clone());
    reasons
        .iter()
        .map(|reason| {
            let (expected, found) = fact(reason);
            assert!(!expected.is_null() && !found.is_null(), "{reason}");
            assert!(reason["detail"].as_str().unwrap().ends_with('.'));
            (reason["code"].as_str().unwrap(), expected, found)
        })
        .collect()
}

/// A hold for this tariff.
fn hold_of(loyalty: &Loyalty, user: UserId, code: &str, tariff: TariffId, price: i64) -> HoldPromocodeV1 {
    HoldPromocodeV1 {
        tariff_id: tariff,
        price: roubles(price),
        ..loyalty.hold(user, code)
    }
}

async fn each_condition_refuses_alone_the_same_dry_and_bought(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let other = TariffId::new(loyalty.now());
    let user = loyalty.service.new_user();
    let cases = [
        (
            "TARIFF",
            json!({"tariffs": [other]}),
            "tariff_not_eligible",
            json!({"tariffs": [other], "count": 1}),
            json!(tariff),
        ),
        (
            "PRICE",
            json!({"min_price": kopecks(10_001)}),
            "price_below_minimum",
            kopecks(10_001),
            kopecks(10_000),
        ),
    ];
    for (code, eligibility, refusal, expected, found) in cases {
        loyalty.campaign(&for_whom(&eligibility), code, None).await;
        let dry = tried(&loyalty, user, code, tariff).await;
        assert_eq!(facts(&dry), [(refusal, expected, found)]);
        let hold = hold_of(&loyalty, user, code, tariff, 100);
        assert_eq!(bought(&loyalty, &hold).await, dry, "{code}");
    }
    let met = json!({"tariffs": [other, tariff], "min_price": kopecks(10_000)});
    loyalty.campaign(&for_whom(&met), "MET", None).await;
    assert_eq!(tried(&loyalty, user, "MET", tariff).await, [] as [Value; 0]);
    let hold = hold_of(&loyalty, user, "MET", tariff, 100);
    assert_eq!(bought(&loyalty, &hold).await, [] as [Value; 0]);
}

async fn a_first_purchase_is_told_by_billing_and_by_what_was_paid(loyalty: Loyalty) {
    loyalty
        .campaign(&for_whom(&json!({"first_purchase": true})), "FIRST", None)
        .await;
    loyalty.campaign(&ten_percent_off(), "ANY", None).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    assert!(tried(&loyalty, user, "FIRST", tariff).await.is_empty());
    let first = loyalty.hold(user, "FIRST");
    let held = loyalty.ask(&first).await.held();
    assert!(held.first_purchase_only, "billing is to look again");
    // The stored answer says it too.
    loyalty.service.peers.say(&first).await;
    let answers = loyalty.answers(first.purchase_id);
    assert_eq!(answers, [Heard::Held(held.clone()), Heard::Held(held)]);
    let any = loyalty.ask(&loyalty.hold(user, "ANY")).await.held();
    assert!(!any.first_purchase_only);

    // Without a promocode, it is a purchase all the same.
    let buyer = loyalty.service.new_user();
    let mut paid = loyalty.paid(&loyalty.hold(buyer, "none"));
    paid.with_promocode = false;
    loyalty.service.peers.say(&paid).await;
    let dry = tried(&loyalty, buyer, "FIRST", tariff).await;
    assert_eq!(codes(&json!({"reasons": dry})), ["not_first_purchase"]);
    facts(&dry);
    // A purchase is judged by what billing says, which knows best.
    assert!(bought(&loyalty, &loyalty.hold(buyer, "FIRST")).await.is_empty());
    let later = HoldPromocodeV1 {
        has_purchased: true,
        ..loyalty.hold(user, "FIRST")
    };
    assert_eq!(bought(&loyalty, &later).await, dry);
    loyalty.nothing_failed().await;
}

async fn new_users_are_those_who_registered_lately_or_are_not_known_yet(loyalty: Loyalty) {
    let new = json!({"new_users": {"registered_within": "P30D"}});
    loyalty.campaign(&for_whom(&new), "NEW", None).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let days = chrono::Duration::days(1);
    for (age, is_new) in [(29, true), (31, false)] {
        let user = loyalty.service.new_user();
        assert!(tried(&loyalty, user, "NEW", tariff).await.is_empty(), "unknown");
        assert!(bought(&loyalty, &loyalty.hold(user, "NEW")).await.is_empty());
        let mut state = loyalty.user_state(user, 1, UserStatus::Active);
        state.registered_at -= days * age;
        loyalty.service.peers.say(&UserRegisteredV1(state.clone())).await;
        let hold = HoldPromocodeV1 {
            user_registered_at: Some(state.registered_at),
            ..loyalty.hold(user, "NEW")
        };
        for reasons in [
            tried(&loyalty, user, "NEW", tariff).await,
            bought(&loyalty, &hold).await,
        ] {
            if is_new {
                assert!(reasons.is_empty(), "{reasons:?}");
                continue;
            }
            let facts = facts(&reasons);
            assert_eq!(facts.len(), 1);
            assert_eq!(facts[0].0, "not_new_user");
            assert_eq!(facts[0].1["registered_within"], "P30D");
            assert_eq!(facts[0].2, json!(state.registered_at));
        }
    }
}

async fn a_promocode_for_others_reads_as_unknown_and_its_truth_is_kept(loyalty: Loyalty) {
    let (named, stranger) = (loyalty.service.new_user(), loyalty.service.new_user());
    let terms = with(
        for_whom(&json!({"users": [named], "min_price": kopecks(100_000_000)})),
        &json!({"ends_at": "2026-01-01"}),
    );
    let campaign = loyalty.campaign(&terms, "OURS", Some(1)).await;
    let tariff = loyalty.tariff(roubles(100)).await;
    for code in ["OURS", "NOBODYS"] {
        let dry = tried(&loyalty, stranger, code, tariff).await;
        let hold = hold_of(&loyalty, stranger, code, tariff, 100);
        assert_eq!(bought(&loyalty, &hold).await, dry);
        let expected = [("unknown_promocode", json!("a promocode that exists"), json!(code))];
        assert_eq!(facts(&dry), expected, "that of one that does not exist");
        let api = loyalty.service.api_of(stranger);
        let mine = api.get("/loyalty/v1/redemptions").await.expect(200);
        let refused = &mine["items"][0];
        assert_eq!(refused["reasons"], json!(dry));
        assert!(refused.get("campaign_id").is_none(), "{refused}");
    }
    let ours = ["campaign_ended", "price_below_minimum"];
    let dry = tried(&loyalty, named, "OURS", tariff).await;
    assert_eq!(codes(&json!({"reasons": dry})), ours);

    let path = format!(
        "/loyalty/v1/refusals?user_id={stranger}&campaign_id={}",
        campaign["id"].as_str().unwrap()
    );
    let kept = loyalty.admin.get(&path).await.expect(200);
    assert_eq!(kept["items"].as_array().unwrap().len(), 2, "dry and bought");
    for kept in kept["items"].as_array().unwrap() {
        assert_eq!(codes(kept), ["not_granted", ours[0], ours[1]]);
        facts(kept["reasons"].as_array().unwrap());
    }
}

async fn everything_that_fails_is_named_at_once(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let other = TariffId::new(loyalty.now());
    let user = loyalty.service.new_user();
    let terms = with(
        for_whom(&json!({
            "tariffs": [other],
            "first_purchase": true,
            "new_users": {"registered_within": "P1D"},
            "min_price": kopecks(10_001),
        })),
        &json!({"max_redemptions": 1, "max_per_user": 1}),
    );
    let campaign = loyalty.campaign(&terms, "ALL", Some(1)).await;
    // The one use, by the same user, at another tariff.
    let used = hold_of(&loyalty, user, "ALL", other, 101);
    assert!(bought(&loyalty, &used).await.is_empty());
    loyalty.service.peers.say(&loyalty.paid(&used)).await;
    let id = campaign["id"].as_str().unwrap();
    let path = format!("/loyalty/v1/campaigns/{id}");
    let ended = json!({"starts_at": "2026-01-01", "ends_at": "2026-01-31"});
    loyalty.admin.patch(&path, &ended).await.expect(200);
    let pause = loyalty.admin.post(&format!("{path}/pause"), &json!({})).await;
    pause.expect(200);
    let off = json!({"status": "disabled"});
    let code = format!("{path}/promocodes/all");
    loyalty.admin.patch(&code, &off).await.expect(200);
    let mut state = loyalty.user_state(user, 1, UserStatus::Active);
    state.registered_at -= chrono::Duration::days(2);
    loyalty.service.peers.say(&UserRegisteredV1(state.clone())).await;

    let expected = [
        "promocode_disabled",
        "campaign_ended",
        "campaign_paused",
        "uses_exhausted",
        "user_limit_reached",
        "tariff_not_eligible",
        "price_below_minimum",
        "not_first_purchase",
        "not_new_user",
    ];
    let dry = tried(&loyalty, user, "ALL", tariff).await;
    assert_eq!(codes(&json!({"reasons": dry})), expected);
    facts(&dry);
    let hold = HoldPromocodeV1 {
        has_purchased: true,
        user_registered_at: Some(state.registered_at),
        ..hold_of(&loyalty, user, "ALL", tariff, 100)
    };
    let of_purchase = bought(&loyalty, &hold).await;
    assert_eq!(codes(&json!({"reasons": of_purchase})), expected);
    facts(&of_purchase);

    // A blocked user can ask nothing; an administrator sees what they would be told.
    let mut blocked = state;
    (blocked.version, blocked.status) = (2, UserStatus::Blocked);
    loyalty.service.peers.say(&UserBlockedV1(blocked)).await;
    let dry_run = json!({"promocode": "ALL", "tariff_id": tariff, "user_id": user});
    let answer = loyalty
        .admin
        .post("/loyalty/v1/promocodes/validate", &dry_run)
        .await;
    let problem = answer.expect_problem(422, "promocode_refused");
    assert_eq!(codes(&problem)[0], "user_blocked");
    assert_eq!(codes(&problem)[1..], expected);
    facts(problem["reasons"].as_array().unwrap());
    // A purchase is not refused for it: billing judges that.
    let hold = HoldPromocodeV1 {
        purchase_id: PurchaseId::new(loyalty.now()),
        ..hold
    };
    let of_purchase = bought(&loyalty, &hold).await;
    assert_eq!(codes(&json!({"reasons": of_purchase})), expected);
}

async fn what_has_not_started_is_paused_or_off_is_told_alone(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    for (code, terms, action, expected) in [
        (
            "EARLY",
            json!({"starts_at": "2999-01-01"}),
            None,
            "campaign_not_started",
        ),
        ("PAUSED", json!({}), Some("pause"), "campaign_paused"),
        ("ARCHIVED", json!({}), Some("archive"), "campaign_ended"),
        ("LATE", json!({"ends_at": "1999-12-31"}), None, "campaign_ended"),
    ] {
        let campaign = loyalty
            .campaign(&with(ten_percent_off(), &terms), code, None)
            .await;
        if let Some(action) = action {
            let path = format!(
                "/loyalty/v1/campaigns/{}/{action}",
                campaign["id"].as_str().unwrap()
            );
            loyalty.admin.post(&path, &json!({})).await.expect(200);
        }
        let dry = tried(&loyalty, user, code, tariff).await;
        assert_eq!(codes(&json!({"reasons": dry})), [expected], "{code}");
        facts(&dry);
        let of_purchase = bought(&loyalty, &loyalty.hold(user, code)).await;
        assert_eq!(codes(&json!({"reasons": of_purchase})), [expected], "{code}");
        facts(&of_purchase);
    }
}

/// Each hold of a batch is judged by who asks.
async fn a_batch_of_restricted_and_free_promocodes_is_decided_one_by_one(loyalty: Loyalty) {
    let users: Vec<_> = (0..6).map(|_| loyalty.service.new_user()).collect();
    loyalty
        .campaign(&for_whom(&json!({"users": users[..3]})), "NAMED", None)
        .await;
    loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"requires_grant": true})),
            "GRANTED",
            None,
        )
        .await;
    loyalty.campaign(&ten_percent_off(), "FREE", None).await;
    loyalty.register(users[4]).await;
    let grant = json!({"promocode": "granted", "user_id": users[4]});
    loyalty.admin.post("/loyalty/v1/grants", &grant).await.expect(201);
    let holds: Vec<_> = ["NAMED", "GRANTED", "FREE"]
        .iter()
        .flat_map(|code| users.iter().map(|user| loyalty.hold(*user, code)))
        .collect();
    let envelopes = loyalty.service.peers.seal_all(&holds);
    loyalty.service.peers.deliver(&envelopes).await;
    for (number, hold) in holds.iter().enumerate() {
        let answer = loyalty.answer(hold.purchase_id).await;
        if matches!(number, 0..3 | 10 | 12..) {
            answer.held();
        } else {
            assert_eq!(answer.refused(), [RefusalCode::UnknownPromocode]);
        }
    }
}

/// Loyalty has heard of no purchase that was made before it listened; billing knows of them.
async fn who_was_refused_for_having_bought_is_known_to_have_bought(loyalty: Loyalty) {
    loyalty
        .campaign(&for_whom(&json!({"first_purchase": true})), "FIRST", None)
        .await;
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    assert!(tried(&loyalty, user, "FIRST", tariff).await.is_empty());
    let hold = HoldPromocodeV1 {
        has_purchased: true,
        ..loyalty.hold(user, "FIRST")
    };
    loyalty.ask(&hold).await.refused();
    let dry = tried(&loyalty, user, "FIRST", tariff).await;
    assert_eq!(codes(&json!({"reasons": dry})), ["not_first_purchase"]);
}

on_both_databases!(
    who_was_refused_for_having_bought_is_known_to_have_bought,
    each_condition_refuses_alone_the_same_dry_and_bought,
    a_first_purchase_is_told_by_billing_and_by_what_was_paid,
    new_users_are_those_who_registered_lately_or_are_not_known_yet,
    a_promocode_for_others_reads_as_unknown_and_its_truth_is_kept,
    everything_that_fails_is_named_at_once,
    what_has_not_started_is_paused_or_off_is_told_alone,
    a_batch_of_restricted_and_free_promocodes_is_decided_one_by_one,
);
