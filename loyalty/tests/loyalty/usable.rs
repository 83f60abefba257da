//! Promocodes that their reader may use now.

use reqwest::Method;
use sea_orm::DbBackend;
use serde_json::{Value, json};
use shared::{
    contracts::{TariffChangedV1, TariffStatus, UserRegisteredV1, UserStatus},
    ids::{TariffId, UserId},
    money::Money,
};

use crate::{Loyalty, call, kopecks, on_both_databases, roubles, ten_percent_off, whole_list, with};

const USABLE: &str = "/loyalty/v1/promocodes";

/// The codes that `user` sees, newest first.
async fn codes(loyalty: &Loyalty, user: UserId) -> Vec<String> {
    let mine = whole_list(&loyalty.service.api_of(user), USABLE).await;
    let of_user = format!("{USABLE}?user_id={user}");
    assert_eq!(whole_list(&loyalty.admin, &of_user).await, mine);
    let code = |item: &Value| item["code"].as_str().unwrap().to_owned();
    mine.iter().map(code).collect()
}

fn listed(more: &Value) -> Value {
    with(with(ten_percent_off(), &json!({"listed": true})), more)
}

async fn tariff(loyalty: &Loyalty, name: &str, price: Money, status: TariffStatus) -> TariffId {
    let tariff_id = TariffId::new(loyalty.now());
    let state = TariffChangedV1 {
        tariff_id,
        version: 1,
        name: name.to_owned(),
        price,
        period: "P1M".to_owned(),
        status,
    };
    loyalty.service.peers.say(&state).await;
    tariff_id
}

async fn only_what_can_be_used_is_shown(loyalty: Loyalty) {
    let cheap = tariff(&loyalty, "Cheap", roubles(100), TariffStatus::Active).await;
    tariff(&loyalty, "Old", roubles(100_000), TariffStatus::Archived).await;
    let (user, other) = (loyalty.service.new_user(), loyalty.service.new_user());
    let mut state = loyalty.user_state(user, 1, UserStatus::Active);
    state.registered_at -= chrono::Duration::days(40);
    loyalty.service.peers.say(&UserRegisteredV1(state)).await;
    let group = loyalty
        .admin
        .post("/loyalty/v1/groups", &json!({"name": "G"}))
        .await
        .expect(201);
    let member = format!(
        "/loyalty/v1/groups/{}/members/{user}",
        group["id"].as_str().unwrap()
    );
    call(&loyalty.admin, Method::PUT, &member).await.expect(204);
    let is_shown = [
        ("OPEN", listed(&json!({}))),
        ("USERS", listed(&json!({"eligibility": {"users": [user]}}))),
        (
            "GROUP",
            listed(&json!({"eligibility": {"groups": [group["id"]]}})),
        ),
        ("TARIFF", listed(&json!({"eligibility": {"tariffs": [cheap]}}))),
        (
            "PRICE",
            listed(&json!({"eligibility": {"min_price": kopecks(10_000)}})),
        ),
        ("FIRST", listed(&json!({"eligibility": {"first_purchase": true}}))),
        (
            "NEW",
            listed(&json!({"eligibility": {"new_users": {"registered_within": "P2M"}}})),
        ),
        (
            "LIMITED",
            listed(&json!({"max_redemptions": 1, "max_per_user": 1})),
        ),
    ];
    let is_hidden = [
        ("UNLISTED", ten_percent_off()),
        ("EARLY", listed(&json!({"starts_at": "2999-01-01"}))),
        ("LATE", listed(&json!({"ends_at": "2026-01-01"}))),
        ("OTHERS", listed(&json!({"eligibility": {"users": [other]}}))),
        ("GRANTED", listed(&json!({"requires_grant": true}))),
        (
            "TARIFFS",
            listed(&json!({"eligibility": {"tariffs": [loyalty.archived_tariff().await]}})),
        ),
        // Met by what is not sold any more.
        (
            "PRICES",
            listed(&json!({"eligibility": {"min_price": kopecks(10_001)}})),
        ),
        (
            "NEWER",
            listed(&json!({"eligibility": {"new_users": {"registered_within": "P30D"}}})),
        ),
        ("PAUSED", listed(&json!({}))),
        ("OFF", listed(&json!({}))),
    ];
    for (code, terms) in is_shown.iter().chain(&is_hidden) {
        let campaign = loyalty.campaign(terms, code, None).await;
        let path = format!("/loyalty/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        match *code {
            "PAUSED" => {
                loyalty
                    .admin
                    .post(&format!("{path}/pause"), &json!({}))
                    .await
                    .expect(200);
            }
            "OFF" => {
                let off = json!({"status": "disabled"});
                loyalty
                    .admin
                    .patch(&format!("{path}/promocodes/off"), &off)
                    .await
                    .expect(200);
            }
            _ => {}
        }
    }
    let expected: Vec<_> = is_shown.iter().rev().map(|(code, _)| *code).collect();
    assert_eq!(codes(&loyalty, user).await, expected);

    // What was granted is shown, listed or not.
    for (code, grantee) in [
        ("GRANTED", json!({"user_id": user})),
        ("UNLISTED", json!({"group_id": group["id"]})),
    ] {
        let grant = with(json!({"promocode": code}), &grantee);
        loyalty.admin.post("/loyalty/v1/grants", &grant).await.expect(201);
    }
    let seen = codes(&loyalty, user).await;
    assert_eq!(seen[..2], ["GRANTED", "UNLISTED"]);
    assert_eq!(seen[2..], expected);
    let of_other = codes(&loyalty, other).await;
    assert!(of_other.contains(&"OTHERS".to_owned()) && !of_other.contains(&"GRANTED".to_owned()));
    assert!(!of_other.contains(&"UNLISTED".to_owned()));

    // What is used up, and what was the first purchase, goes.
    let hold = loyalty.hold(user, "LIMITED");
    loyalty.ask(&hold).await.held();
    loyalty.service.peers.say(&loyalty.paid(&hold)).await;
    let seen = codes(&loyalty, user).await;
    assert!(!seen.contains(&"LIMITED".to_owned()) && !seen.contains(&"FIRST".to_owned()));
    assert_eq!(seen.len(), expected.len());
    assert!(!codes(&loyalty, other).await.contains(&"LIMITED".to_owned()));
}

async fn each_is_shown_with_its_prices_and_uses_left(loyalty: Loyalty) {
    let cheap = tariff(&loyalty, "Cheap", roubles(100), TariffStatus::Active).await;
    let dear = tariff(&loyalty, "Dear", roubles(300), TariffStatus::Active).await;
    let user = loyalty.service.new_user();
    let terms = listed(&json!({
        "eligibility": {"min_price": kopecks(20_000)},
        "max_redemptions": 5, "max_per_user": 2, "ends_at": "2099-12-31",
    }));
    let campaign = loyalty.campaign(&terms, "DEAR", Some(9)).await;
    loyalty.campaign(&listed(&json!({})), "BOTH", None).await;
    loyalty.ask(&loyalty.hold(user, "DEAR")).await.held();
    let mine = loyalty.service.api_of(user).get(USABLE).await.expect(200);
    let price = |tariff, list: i64| {
        json!({
            "tariff_id": tariff,
            "list_price": kopecks(list),
            "discount": kopecks(list / 10),
            "final_price": kopecks(list - list / 10),
        })
    };
    assert_eq!(
        mine["items"][0]["prices"],
        json!([price(cheap, 10_000), price(dear, 30_000)])
    );
    assert!(mine["items"][0].get("uses_left").is_none());
    assert_eq!(
        mine["items"][1],
        json!({
            "id": campaign["promocode"]["id"],
            "code": "DEAR",
            "campaign_id": campaign["id"],
            "name": "DEAR",
            "discount": {"type": "percent", "percent": "10"},
            "ends_at": "2100-01-01T00:00:00Z",
            "uses_left": 1,
            "prices": [price(dear, 30_000)],
            "has_more_prices": false,
        })
    );
    let other = loyalty.service.api_of(loyalty.service.new_user());
    let theirs = other.get(USABLE).await.expect(200);
    assert_eq!(theirs["items"][1]["uses_left"], 2);
    let of_user = format!("{USABLE}?user_id={user}");
    other.get(&of_user).await.expect_problem(403, "forbidden");
    let nobody = &loyalty.service.api;
    nobody.get(USABLE).await.expect_problem(401, "unauthenticated");
    other
        .get(&format!("{USABLE}?limit=0"))
        .await
        .expect_problem(400, "invalid_query");
}

/// A page has promocodes times twenty prices at most, however many tariffs are sold.
async fn of_many_tariffs_each_promocode_shows_twenty_and_any_that_is_asked_for(loyalty: Loyalty) {
    let mut tariffs = Vec::new();
    for number in 0..45 {
        let name = format!("Tariff {number:02}");
        tariffs.push(tariff(&loyalty, &name, roubles(100 + number), TariffStatus::Active).await);
    }
    let archived = tariff(&loyalty, "Archived", roubles(5), TariffStatus::Archived).await;
    loyalty.campaign(&listed(&json!({})), "ALL", None).await;
    let few = json!({"eligibility": {"tariffs": &tariffs[..20]}});
    loyalty.campaign(&listed(&few), "TWENTY", None).await;
    let dear = json!({"eligibility": {"min_price": roubles(144)}});
    loyalty.campaign(&listed(&dear), "DEAREST", None).await;
    let user = loyalty.service.api_of(loyalty.service.new_user());
    let seen = async |query: String| {
        let page = user.get(&format!("{USABLE}{query}")).await.expect(200);
        let items = page["items"].as_array().unwrap();
        let seen = items.iter().map(|item| {
            let prices = item["prices"].as_array().unwrap();
            let code = item["code"].as_str().unwrap().to_owned();
            (code, prices.len(), item["has_more_prices"] == true)
        });
        seen.collect::<Vec<_>>()
    };
    let code = |code: &str, prices, has_more| (code.to_owned(), prices, has_more);
    assert_eq!(
        seen(String::new()).await,
        [
            code("DEAREST", 1, false),
            code("TWENTY", 20, false),
            code("ALL", 20, true)
        ]
    );
    assert_eq!(
        seen(format!("?tariff_id={}", tariffs[44])).await,
        [code("DEAREST", 1, false), code("ALL", 1, false)]
    );
    assert_eq!(
        seen(format!("?tariff_id={}", tariffs[0])).await,
        [code("TWENTY", 1, false), code("ALL", 1, false)]
    );
    assert_eq!(seen(format!("?tariff_id={archived}")).await, []);
}

/// More than is looked at together, of which only the oldest can be used.
async fn what_is_behind_hundreds_of_others_is_found(loyalty: Loyalty) {
    loyalty.tariff(roubles(100)).await;
    loyalty.campaign(&listed(&json!({})), "OLDEST", None).await;
    let campaign = loyalty
        .campaign(&listed(&json!({"requires_grant": true})), "GRANTED", None)
        .await;
    let campaign_id: uuid::Uuid = campaign["id"].as_str().unwrap().parse().unwrap();
    let (id, uuid) = if loyalty.service.db.reader().get_database_backend() == DbBackend::Postgres {
        (format!("'{campaign_id}'"), "gen_random_uuid()")
    } else {
        (format!("x'{}'", campaign_id.simple()), "randomblob(16)")
    };
    loyalty
        .rows(&format!(
            "INSERT INTO promocodes (id, campaign_id, code, disabled, created_at) \
             SELECT {uuid}, campaign_id, code || '-' || i, false, created_at FROM promocodes CROSS JOIN \
             (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) SELECT i FROM n) AS n \
             WHERE campaign_id = {id} RETURNING id"
        ))
        .await;
    let user = loyalty.service.new_user();
    assert_eq!(codes(&loyalty, user).await, ["OLDEST"]);
}

/// Adds `number` promocodes to the campaign of `code`, called like it and made at the same time.
async fn multiply(loyalty: &Loyalty, code: &str, number: usize, more: &str) {
    let uuid = match loyalty.service.db.reader().get_database_backend() {
        DbBackend::Postgres => "gen_random_uuid()",
        _ => "randomblob(16)",
    };
    let all = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) SELECT i FROM n"
    );
    loyalty
        .rows(&format!(
            "INSERT INTO promocodes (id, campaign_id, code, disabled, created_at, max_uses) \
             SELECT {uuid}, campaign_id, code || '-' || i, {more}, created_at, max_uses \
             FROM promocodes CROSS JOIN ({all}) AS n WHERE code = '{code}' RETURNING id"
        ))
        .await;
}

async fn thousands_of_promocodes_come_page_by_page_each_once(loyalty: Loyalty) {
    loyalty.tariff(roubles(100)).await;
    loyalty.campaign(&listed(&json!({})), "OLD", None).await;
    loyalty.campaign(&listed(&json!({})), "MANY", None).await;
    multiply(&loyalty, "MANY", 3_000, "i % 2 = 0").await;
    loyalty.campaign(&listed(&json!({})), "OFF", None).await;
    multiply(&loyalty, "OFF", 3_000, "true").await;
    let user = loyalty.service.new_user();
    let api = loyalty.service.api_of(user);
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = api.get(&format!("{USABLE}?limit=200{cursor}")).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 200);
        seen.extend(items.iter().map(|item| item["code"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(
        (seen.first().unwrap().as_str(), seen.last().unwrap().as_str()),
        ("OFF", "OLD")
    );
    let number = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), number), (1_503, 1_503));
    // Of those that are switched off, no request looks through all.
    let first = api.get(&format!("{USABLE}?limit=2")).await.expect(200);
    assert_eq!(first["items"], json!([]));
    assert!(first["next_cursor"].is_string() && pages > 8, "{pages}");
}

async fn of_many_campaigns_the_newest_promocodes_come_first(loyalty: Loyalty) {
    loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    let mut expected = Vec::new();
    for number in 0..130 {
        let code = format!("CODE-{number}");
        loyalty.campaign(&listed(&json!({})), &code, None).await;
        expected.push(code);
    }
    let granted = loyalty.campaign(&ten_percent_off(), "GRANTED", None).await;
    loyalty.promocode(&granted, "NOT-GRANTED").await;
    loyalty.register(user).await;
    let grant = json!({"promocode": "GRANTED", "user_id": user});
    loyalty.admin.post("/loyalty/v1/grants", &grant).await.expect(201);
    expected.push("GRANTED".to_owned());
    expected.reverse();
    let api = loyalty.service.api_of(user);
    let page = api.get(&format!("{USABLE}?limit=200")).await.expect(200);
    let items = page["items"].as_array().unwrap();
    let seen: Vec<_> = items.iter().map(|item| item["code"].as_str().unwrap()).collect();
    assert_eq!(seen, expected);
    assert!(page.get("next_cursor").is_none());
}

on_both_databases!(
    thousands_of_promocodes_come_page_by_page_each_once,
    of_many_campaigns_the_newest_promocodes_come_first,
    only_what_can_be_used_is_shown,
    each_is_shown_with_its_prices_and_uses_left,
    of_many_tariffs_each_promocode_shows_twenty_and_any_that_is_asked_for,
    what_is_behind_hundreds_of_others_is_found,
);
