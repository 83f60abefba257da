//! Every route against its description.

use serde_json::{Value, json};
use shared::{
    contracts::{UserStatus, UserUpdatedV1},
    ids::{GroupId, PromocodeId, TariffId, UserId},
    testing::{Call, Routes, TestDatabase},
};

use uuid::Uuid;

use crate::{Loyalty, deleted_users::deleted, kopecks, roubles, ten_percent_off, with};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A page of a list, small enough to have a next one.
fn page(template: &'static str) -> Call {
    Call::get(template).query("limit", 1)
}

/// Terms with everything in them that there is.
fn whole_terms(user: UserId, group: &str, tariff: TariffId) -> Value {
    json!({
        "name": "Summer",
        "title": {"en": "Summer sale", "ru": "Летняя распродажа"},
        "discount": {"type": "percent", "percent": "12.5"},
        "starts_at": "2026-01-01",
        "ends_at": "2099-12-31T23:59:59Z",
        "timezone": "Europe/Berlin",
        "max_redemptions": 10,
        "max_per_user": 2,
        "eligibility": {
            "users": [user], "groups": [group], "tariffs": [tariff], "first_purchase": true,
            "new_users": {"registered_within": "P30D"}, "min_price": kopecks(1),
        },
        "requires_grant": false,
        "listed": true,
        "refund_policy": "keep_use",
    })
}

/// The other discounts that there are.
fn other_discounts() -> [Value; 3] {
    [
        json!({"type": "amount_off", "amount": kopecks(100)}),
        json!({"type": "fixed_price", "price": kopecks(100)}),
        json!({"type": "free"}),
    ]
}

/// Creates, reads and changes campaigns; the one that there is in the end.
async fn campaigns(routes: &mut Routes<'_>, terms: &Value) -> Value {
    let new = |code: &str| {
        with(
            terms.clone(),
            &json!({"promocode": {"code": code, "max_uses": 5}}),
        )
    };
    let create = Call::post("/campaigns");
    let campaign = routes.check(create.clone().body(new("SUMMER"))).await;
    routes
        .refuse(create.clone().body(new(" summer ")), 409, "promocode_exists")
        .await;
    for discount in other_discounts() {
        let body = json!({"name": "Other", "discount": discount});
        routes.check(create.clone().body(body)).await;
    }

    let id = text(&campaign["id"]).to_owned();
    routes.check(page("/campaigns")).await;
    routes.check(Call::get("/campaigns/{id}").id(&id)).await;
    let change = Call::patch("/campaigns/{id}").id(&id);
    let renamed = json!({"name": "High summer", "version": campaign["version"]});
    let right = with(terms.clone(), &renamed);
    routes.check(change.clone().body(right.clone())).await;
    routes.refuse(change.body(right), 409, "version_conflict").await;
    for discount in other_discounts() {
        let change = Call::patch("/campaigns/{id}").id(&id);
        routes.check(change.body(json!({"discount": discount}))).await;
    }
    let none = json!({"starts_at": null, "ends_at": null, "timezone": null, "max_redemptions": null,
        "max_per_user": null, "eligibility": null, "title": null});
    let unlimited = Call::patch("/campaigns/{id}").id(&id).body(none);
    let campaign = routes.succeed(unlimited).await;
    for move_to in ["/campaigns/{id}/pause", "/campaigns/{id}/resume"] {
        routes.check(Call::post(move_to).id(&id)).await;
    }
    campaign
}

/// Ends a campaign, after which nothing can be changed in it.
async fn archived(routes: &mut Routes<'_>) {
    let body = with(ten_percent_off(), &json!({"promocode": {"code": "OVER"}}));
    let campaign = routes.succeed(Call::post("/campaigns").body(body)).await;
    let id = text(&campaign["id"]).to_owned();
    routes.check(Call::post("/campaigns/{id}/archive").id(&id)).await;
    for call in [
        Call::patch("/campaigns/{id}").body(json!({"name": "Again"})),
        Call::post("/campaigns/{id}/pause"),
        Call::post("/campaigns/{id}/resume"),
        Call::post("/campaigns/{id}/promocodes").body(json!({"code": "LATE"})),
        Call::patch("/campaigns/{id}/promocodes/{code}")
            .path("code", "OVER")
            .body(json!({"status": "disabled"})),
    ] {
        routes.refuse(call.id(&id), 409, "campaign_archived").await;
    }
}

async fn promocodes(routes: &mut Routes<'_>, campaign: &Value) {
    let id = text(&campaign["id"]);
    let create = Call::post("/campaigns/{id}/promocodes").id(id);
    let body = json!({"code": "WINTER", "max_uses": 3});
    let made = routes.check(create.clone().body(body.clone())).await;
    routes.refuse(create.body(body), 409, "promocode_exists").await;
    routes.check(page("/campaigns/{id}/promocodes").id(id)).await;
    let switch = Call::patch("/campaigns/{id}/promocodes/{code}")
        .id(id)
        .path("code", "winter");
    let body = json!({"status": "disabled", "version": made["version"]});
    let switch = switch.body(body);
    routes.check(switch.clone()).await;
    routes.refuse(switch, 409, "version_conflict").await;
    routes.check(page("/campaigns/{id}/redemptions").id(id)).await;
}

/// Makes a group with a member; its id.
async fn groups(routes: &mut Routes<'_>, member: UserId, deleted: UserId) -> String {
    let body = json!({"name": "Friends"});
    let group = routes.check(Call::post("/groups").body(body.clone())).await;
    let id = text(&group["id"]).to_owned();
    routes.check(page("/groups")).await;
    routes.check(Call::get("/groups/{id}").id(&id)).await;
    routes.check(Call::patch("/groups/{id}").id(&id).body(body)).await;
    // Who is a user, loyalty need not have heard.
    let add = Call::put("/groups/{id}/members/{user_id}").id(&id).any("user_id");
    routes.check(add.clone().path("user_id", member)).await;
    let own = add.clone().path("user_id", member).by(member);
    routes.refuse(own, 403, "own_membership").await;
    let add = add.path("user_id", deleted);
    routes.refuse(add, 409, "user_deleted").await;
    routes.check(page("/groups/{id}/members").id(&id)).await;
    id
}

async fn end_groups(routes: &mut Routes<'_>, group: &str, member: UserId) {
    let remove = Call::delete("/groups/{id}/members/{user_id}").id(group);
    routes.check(remove.path("user_id", member)).await;
    routes.check(Call::delete("/groups/{id}").id(group)).await;
}

async fn grants(routes: &mut Routes<'_>, user: UserId, deleted: UserId, group: &str) {
    let create = Call::post("/grants");
    let body = json!({"promocode": "SUMMER", "user_id": user});
    let grant = routes.check(create.clone().body(body.clone())).await;
    let own = create.clone().by(user).body(body.clone());
    routes.refuse(own, 403, "own_grant").await;
    let to_group = json!({"promocode_id": grant["promocode_id"], "group_id": group});
    routes.check(create.clone().body(to_group)).await;
    routes
        .refuse(create.clone().body(body), 409, "grant_exists")
        .await;
    let nowhere = GroupId(user.0);
    for (body, status, code) in [
        (json!({"promocode": "NOBODY", "user_id": user}), 404, "not_found"),
        (
            json!({"promocode": "SUMMER", "group_id": nowhere}),
            404,
            "not_found",
        ),
        (
            json!({"promocode": "SUMMER", "user_id": UserId(Uuid::from_u128(1))}),
            404,
            "not_found",
        ),
        (
            json!({"promocode": "OVER", "user_id": user}),
            409,
            "campaign_archived",
        ),
        (
            json!({"promocode": "SUMMER", "user_id": deleted}),
            409,
            "user_deleted",
        ),
        (json!({"promocode": "SUMMER"}), 422, "invalid_request"),
        (json!({"user_id": user}), 422, "invalid_request"),
    ] {
        routes.refuse(create.clone().body(body), status, code).await;
    }
    let list = page("/grants")
        .query("promocode", "SUMMER")
        .query("promocode_id", text(&grant["promocode_id"]));
    let found = routes.check(list.query("user_id", user)).await;
    assert_eq!(found["items"][0]["id"], grant["id"]);
    let of_group = routes.succeed(page("/grants").query("group_id", group)).await;
    assert_eq!(of_group["items"][0]["group_id"], *group);
    let id = text(&grant["id"]);
    routes.check(Call::delete("/grants/{id}").id(id)).await;
}

/// Promocodes that can't be used, by code and by what is said of them.
async fn unusable_grants(loyalty: &Loyalty, routes: &mut Routes<'_>) {
    let buyer = loyalty.service.new_user();
    loyalty.register(buyer).await;
    let day = chrono::Duration::days(1);
    let long_ago = loyalty.now() - day * 60;
    let mut state = loyalty.user_state(buyer, 2, UserStatus::Active);
    state.registered_at = long_ago;
    loyalty.service.peers.say(&UserUpdatedV1(state)).await;
    let new_users = json!({"new_users": {"registered_within": "P30D"}});
    for (code, terms, max_uses) in [
        ("ENDED", json!({"ends_at": "2020-01-01"}), None),
        ("PAUSED", json!({}), None),
        ("OFF", json!({}), None),
        ("TAKEN", json!({}), Some(1)),
        ("ONCE", json!({"max_per_user": 1}), None),
        ("FIRST", json!({"eligibility": {"first_purchase": true}}), None),
        ("NEW", json!({"eligibility": new_users}), None),
        ("OLD-FORM", json!({}), None),
    ] {
        loyalty
            .campaign(&with(ten_percent_off(), &terms), code, max_uses)
            .await;
    }
    for code in ["TAKEN", "ONCE"] {
        let hold = loyalty.hold(buyer, code);
        loyalty.ask(&hold).await.held();
        loyalty.service.peers.say(&loyalty.paid(&hold)).await;
    }
    for change in [
        "campaigns SET status = 'paused' WHERE id = (SELECT campaign_id FROM promocodes WHERE code = 'PAUSED')",
        "promocodes SET disabled = true WHERE code = 'OFF'",
        "promocodes SET code = 'Old-Form' WHERE code = 'OLD-FORM'",
    ] {
        loyalty.rows(&format!("UPDATE {change} RETURNING id")).await;
    }
    let old = "SELECT id FROM promocodes WHERE code = 'Old-Form'";
    let old: PromocodeId = loyalty.rows(old).await[0].try_get("", "id").unwrap();
    for (code, refused) in [
        ("ENDED", "campaign_ended"),
        ("PAUSED", "campaign_paused"),
        ("OFF", "promocode_disabled"),
        ("TAKEN", "uses_exhausted"),
        ("ONCE", "user_limit_reached"),
        ("FIRST", "not_first_purchase"),
        ("NEW", "not_new_user"),
    ] {
        let body = json!({"promocode": code, "user_id": buyer});
        routes
            .refuse(Call::post("/grants").body(body), 409, refused)
            .await;
    }
    let body = json!({"promocode_id": old, "user_id": buyer});
    routes
        .refuse(Call::post("/grants").body(body), 409, "promocode_unusable")
        .await;
}

/// What customers do, and what is kept of it.
async fn customers(routes: &mut Routes<'_>, user: UserId, tariff: TariffId, archived: TariffId) {
    let dry_run = |code: &str, tariff: TariffId, of: UserId| {
        let body = json!({"promocode": code, "tariff_id": tariff, "user_id": of});
        Call::post("/promocodes/validate").by(user).body(body)
    };
    routes.check(dry_run("SUMMER", tariff, user)).await;
    let other = UserId(tariff.0);
    let of_another = dry_run("SUMMER", tariff, other);
    routes.refuse(of_another.clone(), 403, "forbidden").await;
    routes.succeed(of_another.privileged()).await;
    let unknown = dry_run("SUMMER", TariffId(user.0), user);
    routes.refuse(unknown, 404, "not_found").await;
    let archived = dry_run("SUMMER", archived, user);
    routes.refuse(archived, 409, "tariff_not_sold").await;
    let refused = dry_run("NOBODY", tariff, user);
    let refused = routes.refuse(refused, 422, "promocode_refused").await;
    routes.reached_by(
        "guesses::after_so_many_unknown_promocodes_a_user_waits_and_no_other_does",
        "POST /promocodes/validate",
        429,
        "too_many_attempts",
    );
    assert_eq!(refused["reasons"][0]["code"], "unknown_promocode");

    routes
        .check(page("/promocodes").by(user).query("tariff_id", tariff))
        .await;
    routes.check(page("/redemptions").by(user)).await;
    let refusals = page("/refusals")
        .query("user_id", user)
        .query("promocode", "NOBODY")
        .query("code", "unknown_promocode")
        .query("source", "validation")
        .query("from", "2026-01-01T00:00:00Z")
        .query("to", "2099-01-01T00:00:00Z");
    let found = routes.check(refusals.clone()).await;
    assert_eq!(found["items"][0]["user_id"], json!(user));
    // Nothing is of a campaign that does not exist, or of a purchase that was not.
    let nowhere = refusals.query("campaign_id", user).query("purchase_id", user);
    assert_eq!(routes.check(nowhere).await["items"], json!([]));
}

#[tokio::test]
async fn every_route_keeps_to_its_description() {
    let loyalty = Loyalty::start(TestDatabase::Sqlite).await;
    let mut routes = Routes::of(&loyalty.service).await;
    let user = loyalty.service.new_user();
    let tariff = loyalty.tariff(roubles(100)).await;

    let archived_tariff = loyalty.archived_tariff().await;
    let gone = loyalty.service.new_user();
    loyalty.service.peers.say(&deleted(&loyalty, gone)).await;

    loyalty.register(user).await;
    let group = groups(&mut routes, user, gone).await;
    let campaign = campaigns(&mut routes, &whole_terms(user, &group, tariff)).await;
    promocodes(&mut routes, &campaign).await;
    archived(&mut routes).await;
    grants(&mut routes, user, gone, &group).await;
    unusable_grants(&loyalty, &mut routes).await;
    customers(&mut routes, user, tariff, archived_tariff).await;
    end_groups(&mut routes, &group, user).await;
    routes.check_operation().await;
    routes.finish();
}
