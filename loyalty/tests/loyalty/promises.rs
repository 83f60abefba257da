//! Letters promise only what works: what is granted can be used, and what a campaign names is there.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    contracts::{UserDeletedV1, UserStatus},
    ids::{GroupId, TariffId, UserId},
    testing::{Answer, TestDatabase, eventually},
};
use uuid::Uuid;

use crate::{
    Loyalty,
    grants::{GRANTS, fill, grant, granted, group, keep_what_is_said},
    noon, on_both_databases, roubles, ten_percent_off, with,
};

const CAMPAIGNS: &str = "/loyalty/v1/campaigns";

fn path_of(campaign: &Value) -> String {
    format!("{CAMPAIGNS}/{}", campaign["id"].as_str().unwrap())
}

async fn try_to_grant(loyalty: &Loyalty, code: &str, user: UserId) -> Answer {
    let body = json!({"promocode": code, "user_id": user});
    loyalty.admin.post(GRANTS, &body).await
}

async fn registered(loyalty: &Loyalty) -> UserId {
    let user = loyalty.service.new_user();
    loyalty.register(user).await;
    user
}

async fn what_nobody_can_use_is_not_granted(loyalty: Loyalty) {
    let user = registered(&loyalty).await;
    let crowd = group(&loyalty, "Crowd", &[user]).await;
    keep_what_is_said(&loyalty).await;
    let ended = with(ten_percent_off(), &json!({"ends_at": "2020-01-01"}));
    loyalty.campaign(&ended, "ENDED", None).await;
    let paused = loyalty.campaign(&ten_percent_off(), "PAUSED", None).await;
    let pause = format!("{}/pause", path_of(&paused));
    loyalty.admin.post(&pause, &json!({})).await.expect(200);
    let off = loyalty.campaign(&ten_percent_off(), "OFF", None).await;
    let path = format!("{}/promocodes/OFF", path_of(&off));
    loyalty
        .admin
        .patch(&path, &json!({"status": "disabled"}))
        .await
        .expect(200);
    loyalty.campaign(&ten_percent_off(), "TAKEN", Some(1)).await;
    let all_taken = with(ten_percent_off(), &json!({"max_redemptions": 1}));
    loyalty.campaign(&all_taken, "ALL-TAKEN", None).await;
    for code in ["TAKEN", "ALL-TAKEN"] {
        // A use that is only held may come back.
        let hold = loyalty.hold_of_anybody(code);
        loyalty.ask(&hold).await.held();
        let other = registered(&loyalty).await;
        try_to_grant(&loyalty, code, other).await.expect(201);
        loyalty.service.peers.say(&loyalty.paid(&hold)).await;
    }
    let said = loyalty.rows("SELECT body FROM said").await.len();
    for (code, expected) in [
        ("ENDED", "campaign_ended"),
        ("PAUSED", "campaign_paused"),
        ("OFF", "promocode_disabled"),
        ("TAKEN", "uses_exhausted"),
        ("ALL-TAKEN", "uses_exhausted"),
    ] {
        let refused = try_to_grant(&loyalty, code, user).await;
        let problem = refused.expect_problem(409, expected);
        assert_eq!(problem["reasons"][0]["code"], expected, "{problem}");
        let body = json!({"promocode": code, "group_id": crowd["id"]});
        let refused = loyalty.admin.post(GRANTS, &body).await;
        refused.expect_problem(409, expected);
    }
    assert_eq!(loyalty.rows("SELECT body FROM said").await.len(), said);
    assert_eq!(loyalty.rows("SELECT id FROM grants").await.len(), 2);
}

async fn what_the_user_can_not_use_is_not_granted_to_them(loyalty: Loyalty) {
    let user = registered(&loyalty).await;
    let once = with(ten_percent_off(), &json!({"max_per_user": 1}));
    loyalty.campaign(&once, "ONCE", None).await;
    let first = json!({"eligibility": {"first_purchase": true}});
    loyalty
        .campaign(&with(ten_percent_off(), &first), "FIRST", None)
        .await;
    for code in ["ONCE", "FIRST"] {
        let other = registered(&loyalty).await;
        try_to_grant(&loyalty, code, other).await.expect(201);
    }
    let hold = loyalty.hold(user, "ONCE");
    loyalty.ask(&hold).await.held();
    loyalty.service.peers.say(&loyalty.paid(&hold)).await;
    for (code, expected) in [("ONCE", "user_limit_reached"), ("FIRST", "not_first_purchase")] {
        let refused = try_to_grant(&loyalty, code, user).await;
        refused.expect_problem(409, expected);
    }
    // Of a group, those are told who can use it.
    let other = registered(&loyalty).await;
    let both = group(&loyalty, "Both", &[user, other]).await;
    keep_what_is_said(&loyalty).await;
    for code in ["ONCE", "FIRST"] {
        let to_both = grant(&loyalty, json!({"promocode": code, "group_id": both["id"]})).await;
        let told: Vec<_> = granted(&loyalty, &to_both).await;
        let told: Vec<_> = told.iter().map(|told| told.user_id).collect();
        assert_eq!(told, [other], "{code}");
    }
}

async fn old_users_are_not_promised_what_is_for_new_ones(database: TestDatabase) {
    let mut loyalty = Loyalty::start_at(database, noon()).await;
    let [old, new] = [registered(&loyalty).await, loyalty.service.new_user()];
    let new_users = json!({"eligibility": {"new_users": {"registered_within": "P30D"}}});
    loyalty
        .campaign(&with(ten_percent_off(), &new_users), "NEW", None)
        .await;
    loyalty.advance(Duration::from_secs(31 * 24 * 60 * 60));
    // The token of the administrator has expired.
    loyalty.admin = loyalty.service.api_of_admin();
    loyalty.register(new).await;
    try_to_grant(&loyalty, "NEW", new).await.expect(201);
    let refused = try_to_grant(&loyalty, "NEW", old).await;
    refused.expect_problem(409, "not_new_user");
}

#[tokio::test]
async fn old_users_are_not_promised_what_is_for_new_ones_on_sqlite() {
    old_users_are_not_promised_what_is_for_new_ones(TestDatabase::Sqlite).await;
}

#[tokio::test]
async fn old_users_are_not_promised_what_is_for_new_ones_on_postgres() {
    old_users_are_not_promised_what_is_for_new_ones(TestDatabase::Postgres).await;
}

async fn nothing_is_granted_to_whom_nobody_knows(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    // Made in December 2024, and by no clock.
    let long_ago = Uuid::from_u128(0x0193_8f00_0000_7000_8000_0000_0000_0001);
    for unknown in [UserId(long_ago), UserId(Uuid::from_u128(7))] {
        let refused = try_to_grant(&loyalty, "CODE", unknown).await;
        refused.expect_problem(404, "not_found");
    }
    // The event of a registration may come a moment later.
    let user = loyalty.service.new_user();
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        loyalty.register(user).await;
    };
    let (granted, ()) = tokio::join!(try_to_grant(&loyalty, "CODE", user), late);
    granted.expect(201);
}

async fn a_campaign_that_has_not_started_is_promised_with_its_start(loyalty: Loyalty) {
    let terms = json!({
        "starts_at": "2099-12-01", "ends_at": "2099-12-31", "timezone": "Europe/Moscow",
        "name": "Agency X, cold leads", "title": {"en": " Winter sale ", "ru": "Зимняя распродажа"},
    });
    loyalty
        .campaign(&with(ten_percent_off(), &terms), "WINTER", None)
        .await;
    loyalty.campaign(&ten_percent_off(), "PLAIN", None).await;
    keep_what_is_said(&loyalty).await;
    let user = registered(&loyalty).await;
    let winter = grant(&loyalty, json!({"promocode": "WINTER", "user_id": user})).await;
    let [said] = granted(&loyalty, &winter).await.try_into().unwrap();
    assert_eq!(json!(said.starts_at), "2099-11-30T21:00:00Z");
    assert_eq!(json!(said.ends_at), "2099-12-31T21:00:00Z");
    assert_eq!(said.timezone.as_deref(), Some("Europe/Moscow"));
    let title = json!({"en": "Winter sale", "ru": "Зимняя распродажа"});
    assert_eq!(json!(said.campaign_title), title);
    assert_eq!(said.campaign_name, "Winter sale");
    let plain = grant(&loyalty, json!({"promocode": "PLAIN", "user_id": user})).await;
    let [said] = granted(&loyalty, &plain).await.try_into().unwrap();
    assert_eq!(
        (said.campaign_title, said.campaign_name.as_str()),
        (None, "PLAIN")
    );
    for row in loyalty.rows("SELECT body FROM said").await {
        let body: String = row.try_get("", "body").unwrap();
        assert!(
            !body.contains("Agency X") && !body.contains("Ten percent"),
            "{body}"
        );
    }
}

async fn a_large_group_is_not_told_of_what_is_over_by_then(loyalty: Loyalty) {
    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let crowd = group(&loyalty, "Crowd", &[]).await;
    let group_id: GroupId = crowd["id"].as_str().unwrap().parse().unwrap();
    let users: Vec<_> = (0..1_200).map(|_| UserId::new(loyalty.now())).collect();
    fill(&loyalty, group_id, &users).await;
    keep_what_is_said(&loyalty).await;
    let to_tell = async || {
        loyalty
            .rows("SELECT id FROM grants WHERE tells_until IS NOT NULL")
            .await
            .len()
    };
    // As if it was granted just before the campaign was paused.
    let path = path_of(&campaign);
    let grant = grant(&loyalty, json!({"promocode": "CODE", "group_id": group_id})).await;
    loyalty
        .admin
        .post(&format!("{path}/pause"), &json!({}))
        .await
        .expect(200);
    let told = granted(&loyalty, &grant).await.len();
    if to_tell().await == 0 {
        return; // the job was quicker
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(granted(&loyalty, &grant).await.len(), told, "it is paused");
    assert_eq!(to_tell().await, 1, "the others are told later");
    let over = json!({"ends_at": "2020-01-01"});
    loyalty.admin.patch(&path, &over).await.expect(200);
    loyalty
        .admin
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    eventually("nobody is to be told", || async {
        (to_tell().await == 0).then_some(())
    })
    .await;
    assert_eq!(granted(&loyalty, &grant).await.len(), told, "it is over");
}

async fn a_campaign_names_only_what_there_is(loyalty: Loyalty) {
    let (user, tariff) = (registered(&loyalty).await, loyalty.tariff(roubles(100)).await);
    let gone = loyalty.service.new_user();
    let deleted = UserDeletedV1(loyalty.user_state(gone, 2, UserStatus::Deleted));
    loyalty.service.peers.say(&deleted).await;
    let friends = group(&loyalty, "Friends", &[]).await;
    let [no_user, no_group, no_tariff] = [1, 2, 3].map(Uuid::from_u128);
    let eligibility = json!({
        "users": [user, no_user, gone], "groups": [friends["id"], no_group], "tariffs": [no_tariff, tariff],
    });
    let wrong = with(
        ten_percent_off(),
        &json!({"name": " ", "eligibility": eligibility}),
    );
    let refused = loyalty.admin.post(CAMPAIGNS, &wrong).await;
    let mut expected = vec![
        ("name", "name".to_owned()),
        ("eligibility.users", no_user.to_string()),
        ("eligibility.users", gone.to_string()),
        ("eligibility.groups", no_group.to_string()),
        ("eligibility.tariffs", no_tariff.to_string()),
    ];
    are_named(refused, &expected);

    let right = json!({"eligibility": {"users": [user], "groups": [friends["id"]], "tariffs": [tariff]}});
    let right = with(ten_percent_off(), &right);
    let campaign = loyalty.admin.post(CAMPAIGNS, &right).await.expect(201);
    let path = path_of(&campaign);
    let refused = loyalty
        .admin
        .patch(&path, &json!({"eligibility": eligibility}))
        .await;
    expected.remove(0);
    are_named(refused, &expected);
    // What it names already may be gone.
    let delete = format!("/loyalty/v1/groups/{}", friends["id"].as_str().unwrap());
    crate::call(&loyalty.admin, reqwest::Method::DELETE, &delete)
        .await
        .expect(204);
    let fewer = json!({"eligibility": {"groups": [friends["id"]], "tariffs": [tariff]}});
    loyalty.admin.patch(&path, &fewer).await.expect(200);

    // The event of a tariff may come a moment later.
    let young = TariffId::new(loyalty.now());
    let change = json!({"eligibility": {"tariffs": [young]}});
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        loyalty.know_tariff(young).await;
    };
    let (changed, ()) = tokio::join!(loyalty.admin.patch(&path, &change), late);
    changed.expect(200);
}

/// Each field is named, with what is wrong in it.
fn are_named(refused: Answer, expected: &[(&str, String)]) {
    let problem = refused.expect_problem(422, "invalid_request");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), expected.len(), "{problem:#}");
    for (field, named) in expected {
        let is_named = errors
            .iter()
            .any(|error| error["field"] == *field && error["detail"].as_str().unwrap().contains(named));
        assert!(is_named, "{field} {named}: {problem:#}");
    }
}

async fn customers_see_the_title_and_never_the_name(loyalty: Loyalty) {
    let terms = json!({
        "name": "Agency X, cold leads", "listed": true,
        "title": {"en": "Winter sale", "ru": "Зимняя распродажа"},
    });
    let titled = loyalty
        .campaign(&with(ten_percent_off(), &terms), "WINTER", None)
        .await;
    assert_eq!(titled["title"], terms["title"]);
    let untitled = json!({"name": "Agency Y", "listed": true});
    loyalty
        .campaign(&with(ten_percent_off(), &untitled), "PLAIN", None)
        .await;
    loyalty.tariff(roubles(100)).await;
    let api = loyalty.service.api_of(loyalty.service.new_user());
    let shown = async || {
        let list = api.get("/loyalty/v1/promocodes").await.expect(200);
        assert!(!list.to_string().contains("Agency"), "{list}");
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| (item["title"].clone(), item["name"].clone()))
            .collect::<Vec<_>>()
    };
    let plain = (Value::Null, json!("PLAIN"));
    assert_eq!(
        shown().await,
        [plain.clone(), (terms["title"].clone(), json!("Winter sale"))]
    );
    let path = path_of(&titled);
    loyalty
        .admin
        .patch(&path, &json!({"title": null}))
        .await
        .expect(200);
    assert_eq!(shown().await, [plain, (Value::Null, json!("WINTER"))]);
    for (title, field) in [
        (json!({"en": "A", "ru": " "}), "title.ru"),
        (json!({"en": "A\u{1}", "ru": "Б"}), "title.en"),
        (json!({"en": "A".repeat(201), "ru": "Б"}), "title.en"),
        (json!({"en": "A"}), "title.ru"),
    ] {
        let refused = loyalty.admin.patch(&path, &json!({"title": title})).await;
        let problem = refused.expect_problem(422, "invalid_request");
        assert!(
            problem.to_string().contains(field) || field == "title.ru",
            "{problem}"
        );
    }
}

on_both_databases!(
    what_nobody_can_use_is_not_granted,
    what_the_user_can_not_use_is_not_granted_to_them,
    nothing_is_granted_to_whom_nobody_knows,
    a_campaign_that_has_not_started_is_promised_with_its_start,
    a_large_group_is_not_told_of_what_is_over_by_then,
    a_campaign_names_only_what_there_is,
    customers_see_the_title_and_never_the_name,
);
