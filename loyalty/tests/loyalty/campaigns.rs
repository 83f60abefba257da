//! Making and listing campaigns and promocodes.

use serde_json::{Value, json};
use shared::{
    contracts::Permission,
    ids::{CampaignId, UserId},
};
use uuid::Uuid;

use crate::{Loyalty, kopecks, on_both_databases, ten_percent_off, with};

const CAMPAIGNS: &str = "/loyalty/v1/campaigns";

async fn a_campaign_is_made_with_its_first_promocode_and_shown_as_it_was_made(loyalty: Loyalty) {
    let body = json!({
        "name": " Summer ",
        "discount": {"type": "percent", "percent": "12.50"},
        "starts_at": "2026-06-01T00:00:00+03:00",
        "ends_at": "2026-09-01T00:00:00.1234567Z",
        "timezone": "Europe/Moscow",
        "max_redemptions": 100,
        "max_per_user": 1,
        "promocode": {"code": " summer26 ", "max_uses": 50},
    });
    let answer = loyalty.admin.post(CAMPAIGNS, &body).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let mut made = answer.expect(201);
    let promocode = made.as_object_mut().unwrap().remove("promocode").unwrap();
    assert_eq!(promocode["code"], "SUMMER26");
    assert_eq!(
        (&promocode["max_uses"], &promocode["disabled"]),
        (&json!(50), &json!(false))
    );
    assert_eq!(made["name"], "Summer");
    assert_eq!((&made["version"], &made["status"]), (&json!(1), &json!("active")));
    assert_eq!(made["discount"], json!({"type": "percent", "percent": "12.5"}));
    assert_eq!(made["starts_at"], "2026-05-31T21:00:00Z");
    assert_eq!(made["ends_at"], "2026-09-01T00:00:00.123456Z");
    assert_eq!(made["timezone"], "Europe/Moscow");
    assert_eq!(
        (&made["max_redemptions"], &made["max_per_user"]),
        (&json!(100), &json!(1))
    );

    assert_eq!(loyalty.admin.get(&location).await.expect(200), made);
    let list = loyalty.admin.get(CAMPAIGNS).await.expect(200);
    assert_eq!(list, json!({"items": [made]}));
    let promocodes = loyalty
        .admin
        .get(&format!("{location}/promocodes"))
        .await
        .expect(200);
    assert_eq!(promocodes["items"][0]["id"], promocode["id"]);
    assert_eq!(promocodes["items"][0]["campaign_id"], made["id"]);
}

async fn a_code_that_is_taken_is_refused_and_leaves_no_campaign_behind(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "TAKEN", None).await;
    let again = with(ten_percent_off(), &json!({"promocode": {"code": " taken "}}));
    loyalty
        .admin
        .post(CAMPAIGNS, &again)
        .await
        .expect_problem(409, "promocode_exists");
    let path = format!("{CAMPAIGNS}/{}/promocodes", campaign["id"].as_str().unwrap());
    loyalty
        .admin
        .post(&path, &json!({"code": "Taken"}))
        .await
        .expect_problem(409, "promocode_exists");
    let list = loyalty.admin.get(CAMPAIGNS).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "all or nothing");
    loyalty
        .admin
        .post(&path, &json!({"code": "free"}))
        .await
        .expect(201);
    let made = loyalty.admin.post(&path, &json!({"code": "more"})).await;
    assert!(made.headers.get("location").is_none(), "it has no address alone");
    made.expect(201);
    assert_eq!(
        loyalty.admin.get(&path).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

async fn lists_come_page_by_page_newest_first(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE-0", None).await;
    for number in 1..5 {
        loyalty.promocode(&campaign, &format!("CODE-{number}")).await;
    }
    let path = format!("{CAMPAIGNS}/{}/promocodes", campaign["id"].as_str().unwrap());
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = loyalty
            .admin
            .get(&format!("{path}?limit=2{cursor}"))
            .await
            .expect(200);
        for item in page["items"].as_array().unwrap() {
            seen.push(item["code"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["CODE-4", "CODE-3", "CODE-2", "CODE-1", "CODE-0"]);
}

async fn only_who_may_sees_and_makes_campaigns(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let path = format!("{CAMPAIGNS}/{}", campaign["id"].as_str().unwrap());
    let (user, other) = (loyalty.service.new_user(), loyalty.service.new_user());
    let nobody = &loyalty.service.api;
    let customer = loyalty.service.api_of(user);
    let reader = nobody.with_token(loyalty.service.token(user, &[Permission::CampaignsRead]));
    let writer = nobody.with_token(loyalty.service.token(user, &[Permission::CampaignsWrite]));
    let reads = [
        CAMPAIGNS.to_owned(),
        path.clone(),
        format!("{path}/promocodes"),
        format!("{path}/redemptions"),
        format!("/loyalty/v1/redemptions?user_id={other}"),
    ];
    for read in &reads {
        nobody.get(read).await.expect_problem(401, "unauthenticated");
        customer.get(read).await.expect_problem(403, "forbidden");
        writer.get(read).await.expect_problem(403, "forbidden");
        reader.get(read).await.expect(200);
    }
    customer
        .get(&format!("/loyalty/v1/redemptions?user_id={user}"))
        .await
        .expect(200);
    reader
        .get("/loyalty/v1/refusals")
        .await
        .expect_problem(403, "forbidden");
    loyalty.admin.get("/loyalty/v1/refusals").await.expect(200);
    for (write, body) in [
        (CAMPAIGNS.to_owned(), ten_percent_off()),
        (format!("{path}/promocodes"), json!({"code": "NEW"})),
    ] {
        nobody
            .post(&write, &body)
            .await
            .expect_problem(401, "unauthenticated");
        customer
            .post(&write, &body)
            .await
            .expect_problem(403, "forbidden");
        reader.post(&write, &body).await.expect_problem(403, "forbidden");
        writer.post(&write, &body).await.expect(201);
    }
}

fn wrong_campaigns() -> Vec<(Value, &'static [&'static str])> {
    let but = |more: Value| with(ten_percent_off(), &more);
    let discount = |discount: Value| with(ten_percent_off(), &json!({"discount": discount}));
    vec![
        (but(json!({"name": " "})), &["name"]),
        (but(json!({"name": "a\u{0}b"})), &["name"]),
        (but(json!({"name": "x".repeat(201)})), &["name"]),
        (but(json!({"max_redemptions": 0})), &["max_redemptions"]),
        (but(json!({"max_per_user": -1})), &["max_per_user"]),
        (but(json!({"timezone": "Mars/Olympus"})), &["timezone"]),
        (
            but(json!({"starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"})),
            &["ends_at"],
        ),
        (but(json!({"starts_at": "0001-01-01T00:00:00Z"})), &["starts_at"]),
        (but(json!({"ends_at": "+12026-01-01T00:00:00Z"})), &["ends_at"]),
        (
            but(json!({"promocode": {"code": "a b", "max_uses": 0}})),
            &["promocode.code", "promocode.max_uses"],
        ),
        (but(json!({"promocode": {"code": "a\u{0}"}})), &["promocode.code"]),
        (
            but(json!({"name": "", "promocode": {"code": ""}})),
            &["name", "promocode.code"],
        ),
        (
            discount(json!({"type": "amount_off", "amount": kopecks(0)})),
            &["discount.amount"],
        ),
        (
            discount(json!({"type": "fixed_price", "price": kopecks(-5)})),
            &["discount.price"],
        ),
        (
            discount(json!({"type": "amount_off", "amount": {"amount": 5, "currency": "USD"}})),
            &["discount.amount"],
        ),
        // What is no campaign at all names the first such field.
        (
            discount(json!({"type": "percent", "percent": "0"})),
            &["discount"],
        ),
        (
            discount(json!({"type": "percent", "percent": "100.01"})),
            &["discount"],
        ),
        (
            discount(json!({"type": "percent", "percent": 12.5})),
            &["discount"],
        ),
        (discount(json!({"type": "percent"})), &["discount"]),
        (discount(json!({"type": "bargain"})), &["discount.type"]),
        (discount(json!({"type": "free", "percent": "5"})), &["discount"]),
        (but(json!({"max_redemptions": 1.5})), &["max_redemptions"]),
        (
            but(json!({"max_redemptions": 9_223_372_036_854_775_808_u64})),
            &["max_redemptions"],
        ),
        (but(json!({"starts_at": "tomorrow"})), &["starts_at"]),
        (but(json!({"starts_at": "2026-02-29"})), &["starts_at"]),
        (but(json!({"starts_at": 5})), &["starts_at"]),
        (but(json!({"ends_at": "2026-01-02T00"})), &["ends_at"]),
        (but(json!({"ends_at": "9999-12-31"})), &["ends_at"]),
        (
            but(json!({"starts_at": "2026-01-02", "ends_at": "2026-01-01"})),
            &["ends_at"],
        ),
        // Absent is not null.
        (but(json!({"starts_at": null})), &["starts_at"]),
        (but(json!({"ends_at": null})), &["ends_at"]),
        (but(json!({"timezone": null})), &["timezone"]),
        (but(json!({"max_redemptions": null})), &["max_redemptions"]),
        (but(json!({"max_per_user": null})), &["max_per_user"]),
        (but(json!({"promocode": null})), &["promocode"]),
        (
            but(json!({"promocode": {"code": "A", "max_uses": null}})),
            &["promocode.max_uses"],
        ),
        (but(json!({"eligibility": null})), &["eligibility"]),
        (but(json!({"eligibility": []})), &["eligibility"]),
        (
            but(json!({"eligibility": {"cities": []}})),
            &["eligibility.cities"],
        ),
        (but(json!({"eligibility": {"users": []}})), &["eligibility.users"]),
        (
            but(json!({"eligibility": {"groups": ["staff"]}})),
            &["eligibility.groups[0]"],
        ),
        (
            but(json!({"eligibility": {"tariffs": null}})),
            &["eligibility.tariffs"],
        ),
        (
            but(json!({"eligibility": {"new_users": ["P30D"]}})),
            &["eligibility.new_users"],
        ),
        (
            but(json!({"eligibility": {"new_users": {"registered_within": "30 days"}}})),
            &["eligibility.new_users.registered_within"],
        ),
        (
            but(json!({"eligibility": {"min_price": kopecks(0)}})),
            &["eligibility.min_price"],
        ),
        (
            but(json!({"eligibility": {"min_price": {"amount": 5, "currency": "USD"}}})),
            &["eligibility.min_price"],
        ),
        (
            but(json!({"requires_grant": true, "eligibility": {"users": [UserId(Uuid::nil())]}})),
            &["requires_grant", "eligibility.users"],
        ),
        (but(json!({"requires_grant": null})), &["requires_grant"]),
        (but(json!({"listed": 1})), &["listed"]),
        (but(json!({"refund_policy": "burn"})), &["refund_policy"]),
        // An array is no object with these values.
        (but(json!({"discount": ["free"]})), &["discount"]),
        (but(json!({"promocode": ["CODE", 5]})), &["promocode"]),
        // More than anybody means.
        (
            but(json!({"max_redemptions": 1_000_000_000_001_i64})),
            &["max_redemptions"],
        ),
        (but(json!({"max_per_user": i64::MAX})), &["max_per_user"]),
        (
            but(json!({"promocode": {"code": "A", "max_uses": i64::MAX}})),
            &["promocode.max_uses"],
        ),
        (
            discount(json!({"type": "amount_off", "amount": kopecks(1_000_000_000_000_001)})),
            &["discount.amount"],
        ),
        (
            discount(json!({"type": "fixed_price", "price": kopecks(i64::MAX)})),
            &["discount.price"],
        ),
        (
            but(json!({"eligibility": {"min_price": kopecks(1_000_000_000_000_001)}})),
            &["eligibility.min_price"],
        ),
        (
            but(json!({"eligibility": {"new_users": {"registered_within": "P1001Y"}}})),
            &["eligibility.new_users.registered_within"],
        ),
        (
            but(json!({"eligibility": {"new_users": {"registered_within": "P030D"}}})),
            &["eligibility.new_users.registered_within"],
        ),
        (
            but(json!({"promocode": {"code": "A", "uses": 1}})),
            &["promocode.uses"],
        ),
        (json!({"name": "No discount"}), &[]),
        (json!([]), &[]),
    ]
}

async fn a_wrong_campaign_is_refused_with_every_field_that_is_wrong(loyalty: Loyalty) {
    for (body, fields) in wrong_campaigns() {
        let problem = loyalty
            .admin
            .post(CAMPAIGNS, &body)
            .await
            .expect_problem(422, "invalid_request");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let named: Vec<_> = errors
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(named, fields, "{body}");
        assert!(
            !errors.is_empty() || problem["detail"].is_string(),
            "{body}: {problem}"
        );
    }
    assert_eq!(
        loyalty.admin.get(CAMPAIGNS).await.expect(200),
        json!({"items": []})
    );
}

async fn wrong_paths_and_queries_are_the_clients_fault(loyalty: Loyalty) {
    let nobodys = format!("{CAMPAIGNS}/{}", CampaignId::new(loyalty.now()));
    for path in [
        nobodys.clone(),
        format!("{CAMPAIGNS}/1"),
        format!("{CAMPAIGNS}/%00"),
    ] {
        for suffix in ["", "/promocodes", "/redemptions"] {
            loyalty
                .admin
                .get(&format!("{path}{suffix}"))
                .await
                .expect_problem(404, "not_found");
        }
        let body = json!({"code": "CODE"});
        loyalty
            .admin
            .post(&format!("{path}/promocodes"), &body)
            .await
            .expect_problem(404, "not_found");
    }
    for (query, code) in [
        ("limit=0", "invalid_query"),
        ("limit=201", "invalid_query"),
        ("limit=many", "invalid_query"),
        ("cursor=nonsense", "invalid_cursor"),
    ] {
        for list in [CAMPAIGNS, "/loyalty/v1/redemptions", "/loyalty/v1/refusals"] {
            loyalty
                .admin
                .get(&format!("{list}?{query}"))
                .await
                .expect_problem(400, code);
        }
    }
    loyalty
        .admin
        .get("/loyalty/v1/redemptions?user_id=me")
        .await
        .expect_problem(400, "invalid_query");
    loyalty
        .admin
        .get("/loyalty/v1/nothing")
        .await
        .expect_problem(404, "not_found");
    let request = loyalty.admin.request(reqwest::Method::POST, CAMPAIGNS);
    let request = request.header("content-type", "application/json").body("{");
    loyalty
        .admin
        .send(request)
        .await
        .expect_problem(400, "malformed_json");
}

on_both_databases!(
    a_campaign_is_made_with_its_first_promocode_and_shown_as_it_was_made,
    a_code_that_is_taken_is_refused_and_leaves_no_campaign_behind,
    lists_come_page_by_page_newest_first,
    only_who_may_sees_and_makes_campaigns,
    a_wrong_campaign_is_refused_with_every_field_that_is_wrong,
    wrong_paths_and_queries_are_the_clients_fault,
);
