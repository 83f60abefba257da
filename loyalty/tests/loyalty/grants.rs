//! Groups, who is in them, and to whom what is granted.

use std::collections::HashMap;

use reqwest::Method;
use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::{Value, json};
use shared::{
    contracts::{Envelope, Message as _, Permission, PromocodeGrantedV1},
    ids::{GrantId, GroupId, PromocodeId, UserId},
    testing::eventually,
};

use crate::{
    Loyalty, audit, call, concurrency::two_copies, on_both_databases, roubles, ten_percent_off, whole_list,
    with,
};

pub(crate) const GROUPS: &str = "/loyalty/v1/groups";
pub(crate) const GRANTS: &str = "/loyalty/v1/grants";

pub(crate) async fn group(loyalty: &Loyalty, name: &str, members: &[UserId]) -> Value {
    let group = loyalty
        .admin
        .post(GROUPS, &json!({"name": name}))
        .await
        .expect(201);
    for user in members {
        put(loyalty, &group, *user).await;
    }
    group
}

pub(crate) fn member(group: &Value, user: UserId) -> String {
    format!("{GROUPS}/{}/members/{user}", group["id"].as_str().unwrap())
}

pub(crate) async fn put(loyalty: &Loyalty, group: &Value, user: UserId) {
    call(&loyalty.admin, Method::PUT, &member(group, user))
        .await
        .expect(204);
}

pub(crate) async fn grant(loyalty: &Loyalty, body: Value) -> Value {
    if let Some(user) = body["user_id"].as_str() {
        loyalty.register(user.parse().unwrap()).await;
    }
    loyalty.admin.post(GRANTS, &body).await.expect(201)
}

/// Keeps everything that loyalty says from now on, whoever hears it.
pub(crate) async fn keep_what_is_said(loyalty: &Loyalty) {
    let conn = loyalty.service.db.writer();
    let trigger = match conn.get_database_backend() {
        DbBackend::Postgres => {
            "CREATE FUNCTION keep_said() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO said VALUES (NEW.body); RETURN NULL; END $$; \
             CREATE TRIGGER keep_said AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep_said()"
        }
        _ => "CREATE TRIGGER keep_said AFTER INSERT ON outbox BEGIN INSERT INTO said VALUES (NEW.body); END",
    };
    for sql in ["CREATE TABLE said (body text)", trigger] {
        conn.execute_unprepared(sql).await.unwrap();
    }
}

/// What was said of this grant, by user.
pub(crate) async fn granted(loyalty: &Loyalty, grant: &Value) -> Vec<PromocodeGrantedV1> {
    let said = loyalty.rows("SELECT body FROM said").await;
    let envelopes = said.iter().map(|row| {
        let body: String = row.try_get("", "body").unwrap();
        serde_json::from_str::<Envelope>(&body).unwrap()
    });
    let mut of_grant: Vec<PromocodeGrantedV1> = envelopes
        .filter(|envelope| envelope.message_type == PromocodeGrantedV1::TYPE)
        .map(|envelope| envelope.open().unwrap())
        .filter(|said: &PromocodeGrantedV1| json!(said.grant_id) == grant["id"])
        .collect();
    of_grant.sort_by_key(|said| said.user_id);
    of_grant
}

async fn groups_are_made_renamed_listed_and_deleted(loyalty: Loyalty) {
    let answer = loyalty.admin.post(GROUPS, &json!({"name": " Staff "})).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let staff = answer.expect(201);
    assert_eq!((&staff["name"], &staff["members"]), (&json!("Staff"), &json!(0)));
    assert_eq!(loyalty.admin.get(&location).await.expect(200), staff);
    let users: Vec<_> = (0..5).map(|_| loyalty.service.new_user()).collect();
    let friends = group(&loyalty, "Friends", &users).await;
    put(&loyalty, &friends, users[0]).await;
    group(&loyalty, "Friends", &[]).await;
    let all = whole_list(&loyalty.admin, GROUPS).await;
    let sizes: Vec<_> = all
        .iter()
        .map(|group| group["members"].as_i64().unwrap())
        .collect();
    assert_eq!(sizes, [0, 5, 0]);

    let members = format!("{GROUPS}/{}/members", friends["id"].as_str().unwrap());
    let in_it = whole_list(&loyalty.admin, &members).await;
    let in_it: Vec<_> = in_it.iter().map(|member| member["user_id"].clone()).collect();
    let newest_first: Vec<_> = users.iter().rev().map(|user| json!(user)).collect();
    assert_eq!(in_it, newest_first);
    let removed = member(&friends, users[2]);
    call(&loyalty.admin, Method::DELETE, &removed).await.expect(204);
    let again = call(&loyalty.admin, Method::DELETE, &removed).await;
    again.expect_problem(404, "not_found");

    let renamed = loyalty
        .admin
        .patch(&location, &json!({"name": "Crew"}))
        .await
        .expect(200);
    assert_eq!(renamed["name"], "Crew");
    loyalty
        .admin
        .patch(&location, &json!({"name": "Crew"}))
        .await
        .expect(200);
    call(&loyalty.admin, Method::DELETE, &location).await.expect(204);
    let gone = call(&loyalty.admin, Method::DELETE, &location).await;
    gone.expect_problem(404, "not_found");

    let entries = audit(&loyalty).await;
    let of_staff: Vec<_> = entries
        .iter()
        .filter(|entry| entry["subject"] == staff["id"])
        .collect();
    let actions: Vec<_> = of_staff.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["group.create", "group.change", "group.delete"]);
    assert_eq!(of_staff[1]["details"]["before"], json!({"name": "Staff"}));
    let added = entries
        .iter()
        .filter(|entry| entry["action"] == "group.add_member");
    assert_eq!(added.count(), 5, "once in is in");
    let removed = entries
        .iter()
        .find(|entry| entry["action"] == "group.remove_member");
    assert_eq!(removed.unwrap()["details"], json!({"user_id": users[2]}));
}

async fn wrong_groups_and_grants_are_refused(loyalty: Loyalty) {
    for name in [
        json!(""),
        json!("a\u{0}b"),
        json!("x".repeat(201)),
        json!(null),
        json!(5),
    ] {
        let answer = loyalty.admin.post(GROUPS, &json!({"name": name})).await;
        let problem = answer.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "name");
    }
    let user = loyalty.service.new_user();
    let nobody = format!("{GROUPS}/{}", GroupId::new(loyalty.now()));
    for (method, path) in [
        (Method::GET, nobody.clone()),
        (Method::DELETE, nobody.clone()),
        (Method::GET, format!("{nobody}/members")),
        (Method::PUT, format!("{nobody}/members/{user}")),
        (Method::DELETE, format!("{nobody}/members/{user}")),
        (
            Method::DELETE,
            format!("{GRANTS}/{}", GrantId::new(loyalty.now())),
        ),
        (Method::DELETE, format!("{GRANTS}/1")),
    ] {
        call(&loyalty.admin, method, &path)
            .await
            .expect_problem(404, "not_found");
    }
    let answer = loyalty.admin.patch(&nobody, &json!({"name": "X"})).await;
    answer.expect_problem(404, "not_found");

    let campaign = loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let promocode_id = campaign["promocode"]["id"].clone();
    let group = group(&loyalty, "Staff", &[]).await;
    for (body, fields) in [
        (json!({}), vec!["promocode", "user_id"]),
        (json!({"promocode": "CODE"}), vec!["user_id"]),
        (json!({"user_id": user}), vec!["promocode"]),
        (
            json!({"promocode": "CODE", "promocode_id": promocode_id, "user_id": user}),
            vec!["promocode"],
        ),
        (
            json!({"promocode": "CODE", "user_id": user, "group_id": group["id"]}),
            vec!["user_id"],
        ),
        (json!({"promocode": "CODE", "user_id": null}), vec!["user_id"]),
        (json!({"promocode": "CODE", "users": [user]}), vec!["users"]),
    ] {
        let answer = loyalty.admin.post(GRANTS, &body).await;
        let problem = answer.expect_problem(422, "invalid_request");
        let named: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| &error["field"])
            .collect();
        assert_eq!(named, fields, "{body}");
    }
    for body in [
        json!({"promocode": "NOBODYS", "user_id": user}),
        json!({"promocode": "a\u{0}b", "user_id": user}),
        json!({"promocode_id": PromocodeId::new(loyalty.now()), "user_id": user}),
        json!({"promocode": "CODE", "group_id": GroupId::new(loyalty.now())}),
    ] {
        let answer = loyalty.admin.post(GRANTS, &body).await;
        answer.expect_problem(404, "not_found");
    }
    let archive = format!(
        "/loyalty/v1/campaigns/{}/archive",
        campaign["id"].as_str().unwrap()
    );
    loyalty.admin.post(&archive, &json!({})).await.expect(200);
    loyalty.register(user).await;
    let body = json!({"promocode": "CODE", "user_id": user});
    let answer = loyalty.admin.post(GRANTS, &body).await;
    answer.expect_problem(409, "campaign_archived");
}

async fn only_who_may_sees_and_changes_groups_and_grants(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let (user, other) = (loyalty.service.new_user(), loyalty.service.new_user());
    let group = group(&loyalty, "Staff", &[]).await;
    let at = format!("{GROUPS}/{}", group["id"].as_str().unwrap());
    let nobody = &loyalty.service.api;
    let customer = loyalty.service.api_of(user);
    let reader = nobody.with_token(loyalty.service.token(user, &[Permission::CampaignsRead]));
    let writer = nobody.with_token(loyalty.service.token(user, &[Permission::CampaignsWrite]));
    for read in [GROUPS, GRANTS, &at, &format!("{at}/members")] {
        nobody.get(read).await.expect_problem(401, "unauthenticated");
        customer.get(read).await.expect_problem(403, "forbidden");
        writer.get(read).await.expect_problem(403, "forbidden");
        reader.get(read).await.expect(200);
    }
    for api in [&customer, &reader] {
        let answers = [
            api.post(GROUPS, &json!({"name": "X"})).await,
            api.patch(&at, &json!({"name": "X"})).await,
            call(api, Method::PUT, &member(&group, user)).await,
            call(api, Method::DELETE, &member(&group, user)).await,
            call(api, Method::DELETE, &at).await,
            api.post(GRANTS, &json!({"promocode": "CODE", "user_id": user}))
                .await,
            call(
                api,
                Method::DELETE,
                &format!("{GRANTS}/{}", GrantId::new(loyalty.now())),
            )
            .await,
        ];
        for answer in answers {
            answer.expect_problem(403, "forbidden");
        }
    }
    loyalty.register(other).await;
    let granted = writer
        .post(GRANTS, &json!({"promocode": "CODE", "user_id": other}))
        .await;
    granted.expect(201);
}

async fn a_grant_opens_what_is_meant_for_others_until_it_is_taken_back(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let [named, granted, member, late, stranger] = [(); 5].map(|()| loyalty.service.new_user());
    let staff = group(&loyalty, "Staff", &[member]).await;
    let listed = json!({"eligibility": {"users": [named]}});
    loyalty
        .campaign(&with(ten_percent_off(), &listed), "NAMED", None)
        .await;
    let only = json!({"requires_grant": true});
    loyalty
        .campaign(&with(ten_percent_off(), &only), "GRANTED", None)
        .await;
    let admits = async |user, code: &str| {
        let dry = loyalty.validate(user, code, tariff).await.status.as_u16() == 200;
        let hold = matches!(
            loyalty.ask(&loyalty.hold(user, code)).await,
            crate::Heard::Held(_)
        );
        assert_eq!(dry, hold, "{code}");
        hold
    };
    for code in ["NAMED", "GRANTED"] {
        assert_eq!(admits(named, code).await, code == "NAMED");
        for user in [granted, member, late, stranger] {
            assert!(!admits(user, code).await);
        }
        let to_user = grant(
            &loyalty,
            json!({"promocode": code.to_lowercase(), "user_id": granted}),
        )
        .await;
        let to_group = grant(&loyalty, json!({"promocode": code, "group_id": staff["id"]})).await;
        assert!(admits(granted, code).await && admits(member, code).await);
        assert!(!admits(stranger, code).await && !admits(late, code).await);
        // Whoever comes into the group later has it too, and who leaves has not.
        put(&loyalty, &staff, late).await;
        assert!(admits(late, code).await);
        let leaves = self::member(&staff, late);
        call(&loyalty.admin, Method::DELETE, &leaves).await.expect(204);
        assert!(!admits(late, code).await);
        for grant in [to_user, to_group] {
            let path = format!("{GRANTS}/{}", grant["id"].as_str().unwrap());
            call(&loyalty.admin, Method::DELETE, &path).await.expect(204);
            let again = call(&loyalty.admin, Method::DELETE, &path).await;
            again.expect_problem(404, "not_found");
        }
        assert!(!admits(granted, code).await && !admits(member, code).await);
    }
}

async fn a_campaign_for_a_group_is_for_whoever_is_in_it(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let [one, two] = [(); 2].map(|()| loyalty.service.new_user());
    let staff = group(&loyalty, "Staff", &[one]).await;
    let empty = group(&loyalty, "Nobody", &[]).await;
    let groups = json!({"eligibility": {"groups": [staff["id"], empty["id"]]}});
    loyalty
        .campaign(&with(ten_percent_off(), &groups), "STAFF", None)
        .await;
    let status = async |user| loyalty.validate(user, "STAFF", tariff).await.status.as_u16();
    assert_eq!((status(one).await, status(two).await), (200, 422));
    loyalty.ask(&loyalty.hold(one, "STAFF")).await.held();
    loyalty.ask(&loyalty.hold(two, "STAFF")).await.refused();
    put(&loyalty, &empty, two).await;
    assert_eq!(status(two).await, 200);
    // It does not become for everybody with its last group.
    for group in [staff, empty] {
        let path = format!("{GROUPS}/{}", group["id"].as_str().unwrap());
        call(&loyalty.admin, Method::DELETE, &path).await.expect(204);
    }
    assert_eq!((status(one).await, status(two).await), (422, 422));
}

async fn a_grant_is_told_to_each_user_once_and_listed(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"ends_at": "2099-12-31"}));
    let campaign = loyalty.campaign(&terms, "CODE", None).await;
    loyalty.campaign(&ten_percent_off(), "OTHER", None).await;
    let mut users: Vec<_> = (0..4).map(|_| loyalty.service.new_user()).collect();
    users.sort_unstable();
    let staff = group(&loyalty, "Staff", &users).await;
    keep_what_is_said(&loyalty).await;
    let to_group = grant(&loyalty, json!({"promocode": "CODE", "group_id": staff["id"]})).await;
    let by_id = json!({"promocode_id": campaign["promocode"]["id"], "user_id": users[0]});
    let to_user = grant(&loyalty, by_id.clone()).await;
    assert_eq!(to_user["promocode"], "CODE");
    for again in [by_id, json!({"promocode": " code ", "group_id": staff["id"]})] {
        let answer = loyalty.admin.post(GRANTS, &again).await;
        answer.expect_problem(409, "grant_exists");
    }
    let other = grant(&loyalty, json!({"promocode": "OTHER", "user_id": users[0]})).await;

    let said = granted(&loyalty, &to_group).await;
    let to: Vec<_> = said.iter().map(|said| said.user_id).collect();
    assert_eq!(to, users);
    assert_eq!(
        (said[0].promocode.as_str(), said[0].campaign_name.as_str()),
        ("CODE", "CODE")
    );
    assert_eq!(json!(said[0].campaign_id), campaign["id"]);
    assert_eq!(json!(said[0].ends_at), "2100-01-01T00:00:00Z");
    assert_eq!(granted(&loyalty, &to_user).await.len(), 1);

    let group_id = staff["id"].as_str().unwrap();
    for (query, expected) in [
        (String::new(), vec![&other, &to_user, &to_group]),
        ("?promocode=code".to_owned(), vec![&to_user, &to_group]),
        (format!("?user_id={}", users[0]), vec![&other, &to_user]),
        (format!("?group_id={group_id}"), vec![&to_group]),
        (format!("?promocode=CODE&user_id={}", users[0]), vec![&to_user]),
        (
            format!("?promocode_id={}", other["promocode_id"].as_str().unwrap()),
            vec![&other],
        ),
        ("?promocode=NOBODYS".to_owned(), vec![]),
        ("?promocode=a%00b".to_owned(), vec![]),
    ] {
        let listed = whole_list(&loyalty.admin, &format!("{GRANTS}{query}")).await;
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    // A group takes its grants with it.
    let path = format!("{GROUPS}/{group_id}");
    call(&loyalty.admin, Method::DELETE, &path).await.expect(204);
    let entries = audit(&loyalty).await;
    let deleted = &entries[entries.len() - 2];
    assert_eq!(
        (&deleted["action"], &deleted["subject"], &deleted["details"]),
        (
            &json!("grant.delete"),
            &to_group["id"],
            &json!({"promocode_id": to_group["promocode_id"], "user_id": null, "group_id": group_id})
        )
    );
    assert_eq!(whole_list(&loyalty.admin, GRANTS).await, [other, to_user.clone()]);
    let path = format!("{GRANTS}/{}", to_user["id"].as_str().unwrap());
    call(&loyalty.admin, Method::DELETE, &path).await.expect(204);
    let entries = audit(&loyalty).await;
    let of_grant: Vec<_> = entries
        .iter()
        .filter(|entry| entry["subject"] == to_user["id"])
        .collect();
    assert_eq!(
        (&of_grant[0]["action"], &of_grant[1]["action"]),
        (&json!("grant.create"), &json!("grant.delete"))
    );
    assert_eq!(of_grant[0]["details"]["user_id"], json!(users[0]));
}

/// More users than are read at once.
async fn a_group_of_thousands_is_told_whole(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let crowd = group(&loyalty, "Crowd", &[]).await;
    let group_id: GroupId = crowd["id"].as_str().unwrap().parse().unwrap();
    let users: Vec<_> = (0..2_500).map(|_| UserId::new(loyalty.now())).collect();
    fill(&loyalty, group_id, &users).await;
    keep_what_is_said(&loyalty).await;
    let grant = grant(&loyalty, json!({"promocode": "CODE", "group_id": group_id})).await;
    // Who comes now may use it, and is not told.
    put(&loyalty, &crowd, loyalty.service.new_user()).await;
    assert_eq!(told_in_the_end(&loyalty, &grant).await, users);
    let times = "SELECT body FROM said";
    let mut at_once: HashMap<chrono::DateTime<chrono::Utc>, usize> = HashMap::new();
    for row in loyalty.rows(times).await {
        let body: String = row.try_get("", "body").unwrap();
        let envelope: Envelope = serde_json::from_str(&body).unwrap();
        *at_once.entry(envelope.time).or_default() += 1;
    }
    assert!(at_once.values().all(|number| *number <= 500), "{at_once:?}");
}

/// Who was told of the grant when nobody is to be told any more.
async fn told_in_the_end(loyalty: &Loyalty, grant: &Value) -> Vec<UserId> {
    eventually("everybody is told", || async {
        let sql = "SELECT id FROM grants WHERE tells_until IS NOT NULL";
        loyalty.rows(sql).await.is_empty().then_some(())
    })
    .await;
    let said = granted(loyalty, grant).await;
    said.iter().map(|said| said.user_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_tell_a_large_group_once() {
    let [one, two] = two_copies().await;
    one.campaign(&ten_percent_off(), "CODE", None).await;
    one.campaign(&ten_percent_off(), "OTHER", None).await;
    let crowd = group(&one, "Crowd", &[]).await;
    let group_id: GroupId = crowd["id"].as_str().unwrap().parse().unwrap();
    let users: Vec<_> = (0..4_000).map(|_| UserId::new(one.now())).collect();
    fill(&one, group_id, &users).await;
    keep_what_is_said(&one).await;
    let (code, other) = tokio::join!(
        grant(&one, json!({"promocode": "CODE", "group_id": group_id})),
        grant(&two, json!({"promocode": "OTHER", "group_id": group_id})),
    );
    for grant in [code, other] {
        let told = told_in_the_end(&one, &grant).await;
        assert!(told == users, "{} are told", told.len());
    }
}

/// As many requests would.
pub(crate) async fn fill(loyalty: &Loyalty, group: GroupId, users: &[UserId]) {
    let postgres = loyalty.service.db.reader().get_database_backend() == DbBackend::Postgres;
    let id = |id: uuid::Uuid| {
        if postgres {
            format!("'{id}'")
        } else {
            format!("x'{}'", id.simple())
        }
    };
    let rows: Vec<_> = users
        .iter()
        .map(|user| format!("({}, {}, '2026-01-01T00:00:00+00:00')", id(group.0), id(user.0)))
        .collect();
    let sql = format!(
        "INSERT INTO group_members (group_id, user_id, added_at) VALUES {} RETURNING user_id",
        rows.join(", ")
    );
    assert_eq!(loyalty.rows(&sql).await.len(), users.len());
}

on_both_databases!(
    groups_are_made_renamed_listed_and_deleted,
    wrong_groups_and_grants_are_refused,
    only_who_may_sees_and_changes_groups_and_grants,
    a_grant_opens_what_is_meant_for_others_until_it_is_taken_back,
    a_campaign_for_a_group_is_for_whoever_is_in_it,
    a_grant_is_told_to_each_user_once_and_listed,
    a_group_of_thousands_is_told_whole,
);
