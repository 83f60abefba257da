//! What is known of users whose account is deleted.

use reqwest::Method;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use shared::{
    contracts::{PromocodeRefusedV1, ServiceName, UserDeletedV1, UserStatus},
    ids::{TariffId, UserId},
    testing::eventually,
    users,
};
use tokio::sync::Notify;

use crate::{
    Loyalty, call,
    grants::{GRANTS, GROUPS, grant, granted, group, keep_what_is_said, member, put},
    on_both_databases, roubles, ten_percent_off, whole_list,
};

/// Looks like somebody's address.
const TYPED: &str = "john.doe";

pub(crate) fn deleted(loyalty: &Loyalty, user: UserId) -> UserDeletedV1 {
    UserDeletedV1(loyalty.user_state(user, 2, UserStatus::Deleted))
}

async fn members_of(loyalty: &Loyalty, group: &Value) -> Vec<Value> {
    let path = format!("{GROUPS}/{}", group["id"].as_str().unwrap());
    let in_it = whole_list(&loyalty.admin, &format!("{path}/members")).await;
    let size = loyalty.admin.get(&path).await.expect(200)["members"].clone();
    assert_eq!(size, json!(in_it.len()));
    in_it.iter().map(|member| member["user_id"].clone()).collect()
}

async fn granted_to(loyalty: &Loyalty, user: UserId) -> usize {
    let grants = whole_list(&loyalty.admin, &format!("{GRANTS}?user_id={user}")).await;
    grants.len()
}

async fn a_deleted_user_is_in_no_group_and_is_granted_nothing(loyalty: Loyalty) {
    for code in ["CODE", "OTHER", "THIRD"] {
        loyalty.campaign(&ten_percent_off(), code, None).await;
    }
    let [gone, also_gone, stays] = [(); 3].map(|()| loyalty.service.new_user());
    let groups = [
        group(&loyalty, "Staff", &[gone, stays]).await,
        group(&loyalty, "Friends", &[stays, also_gone, gone]).await,
    ];
    for code in ["CODE", "OTHER"] {
        for user in [gone, also_gone, stays] {
            grant(&loyalty, json!({"promocode": code, "user_id": user})).await;
        }
    }
    let peers = &loyalty.service.peers;
    // Together, one of them twice, and once more later.
    let events = [gone, also_gone, gone].map(|user| deleted(&loyalty, user));
    peers.deliver(&peers.seal_all(&events)).await;
    peers.say(&deleted(&loyalty, gone)).await;
    for group in &groups {
        assert_eq!(members_of(&loyalty, group).await, [json!(stays)]);
    }
    for (user, grants) in [(gone, 0), (also_gone, 0), (stays, 2)] {
        assert_eq!(granted_to(&loyalty, user).await, grants);
    }

    keep_what_is_said(&loyalty).await;
    for user in [gone, also_gone] {
        let put = call(&loyalty.admin, Method::PUT, &member(&groups[0], user)).await;
        put.expect_problem(409, "user_deleted");
        let body = json!({"promocode": "THIRD", "user_id": user});
        let answer = loyalty.admin.post(GRANTS, &body).await;
        answer.expect_problem(409, "user_deleted");
        assert_eq!(granted_to(&loyalty, user).await, 0);
    }
    // What is granted to a group is told to who is in it.
    let body = json!({"promocode": "THIRD", "group_id": groups[1]["id"]});
    let to_group = grant(&loyalty, body).await;
    let told: Vec<_> = granted(&loyalty, &to_group)
        .await
        .iter()
        .map(|said| said.user_id)
        .collect();
    assert_eq!(told, [stays]);
    assert_eq!(loyalty.rows("SELECT body FROM said").await.len(), 1);
    // Of whom nothing is known yet, they may be in a group; what is granted waits until they are known.
    let unknown = loyalty.service.new_user();
    put(&loyalty, &groups[0], unknown).await;
    grant(&loyalty, json!({"promocode": "CODE", "user_id": unknown})).await;
    loyalty.nothing_failed().await;
}

/// Somebody who is told of is in the middle of being written down.
async fn whoever_is_deleted_meanwhile_is_in_no_group(loyalty: Loyalty) {
    let staff = group(&loyalty, "Staff", &[]).await;
    // One of whom nothing is known before.
    for user in [loyalty.service.new_user(), loyalty.service.new_user()] {
        let event = deleted(&loyalty, user);
        let (group_id, written) = (staff["id"].as_str().unwrap(), &Notify::new());
        let postgres = loyalty.service.db.reader().get_database_backend() == DbBackend::Postgres;
        let loyalty = &loyalty;
        let adds = loyalty.service.db.write(|tx| async move {
            assert!(users::deleted_among(tx.conn(), [user]).await?.is_empty());
            let id = |id: &str| match postgres {
                true => format!("'{id}'"),
                false => format!("x'{}'", id.replace('-', "")),
            };
            let sql = format!(
                "INSERT INTO group_members (group_id, user_id, added_at) VALUES ({}, {}, '2026-01-01T00:00:00+00:00')",
                id(group_id),
                id(&user.to_string())
            );
            tx.conn().execute_unprepared(&sql).await?;
            written.notify_one();
            if postgres {
                // The deletion comes as far as it can; on SQLite it can't even begin.
                let waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
                    (SELECT oid FROM pg_database WHERE datname = current_database())";
                let waits = || async {
                    let asked = Statement::from_string(DbBackend::Postgres, waiting);
                    loyalty.service.db.reader().query_one_raw(asked).await.unwrap()
                };
                eventually("the deletion waits", waits).await;
            }
            Ok::<_, sea_orm::DbErr>(())
        });
        let deletes = async {
            written.notified().await;
            loyalty.service.peers.say(&event).await;
        };
        let (added, ()) = tokio::join!(adds, deletes);
        added.unwrap();
        eventually("the deletion is applied", || async {
            let known = users::find(loyalty.service.db.reader(), user).await.unwrap()?;
            (known.status == UserStatus::Deleted).then_some(())
        })
        .await;
        assert_eq!(members_of(loyalty, &staff).await, Vec::<Value>::new());
    }
}

/// What `user` tried: a dry run and a purchase with what is no promocode, and with one that is.
async fn try_promocodes(loyalty: &Loyalty, user: UserId, tariff: TariffId) {
    for typed in [TYPED, "ENDED"] {
        loyalty.validate(user, typed, tariff).await.expect(422);
        loyalty.ask(&loyalty.hold(user, typed)).await.refused();
    }
}

/// What is shown of refusals and redemptions: what was typed.
async fn shown(loyalty: &Loyalty, user: UserId) -> (Vec<String>, Vec<String>) {
    let typed = |items: Vec<Value>| {
        let typed = items
            .iter()
            .map(|item| item["promocode"].as_str().unwrap().to_owned());
        typed.collect::<Vec<_>>()
    };
    let refusals = whole_list(&loyalty.admin, &format!("/loyalty/v1/refusals?user_id={user}")).await;
    let redemptions = whole_list(&loyalty.admin, &format!("/loyalty/v1/redemptions?user_id={user}")).await;
    (typed(refusals), typed(redemptions))
}

/// Every value of the tables in which it could be.
async fn is_kept(loyalty: &Loyalty) -> bool {
    let sql = "SELECT promocode || COALESCE(code, '') || reasons AS t FROM refusals \
               UNION ALL SELECT promocode AS t FROM redemptions";
    let rows = loyalty.rows(sql).await;
    let mut texts = rows.iter().map(|row| row.try_get::<String>("", "t").unwrap());
    texts.any(|text| text.to_lowercase().contains(TYPED))
}

async fn ended_campaign(loyalty: &Loyalty) {
    let mut terms = ten_percent_off();
    terms["ends_at"] = json!("2026-01-01");
    loyalty.campaign(&terms, "ENDED", None).await;
}

async fn what_a_deleted_user_typed_is_gone_and_promocodes_stay(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    ended_campaign(&loyalty).await;
    let [gone, stays] = [(); 2].map(|()| loyalty.service.new_user());
    for user in [gone, stays] {
        try_promocodes(&loyalty, user, tariff).await;
    }
    let before = (
        vec![
            "ENDED".to_owned(),
            "ENDED".to_owned(),
            TYPED.to_owned(),
            TYPED.to_owned(),
        ],
        vec!["ENDED".to_owned(), TYPED.to_owned()],
    );
    assert_eq!(shown(&loyalty, gone).await, before);
    loyalty.service.peers.say(&deleted(&loyalty, gone)).await;
    assert_eq!(shown(&loyalty, stays).await, before);
    let empty = String::new;
    let after = (
        vec!["ENDED".to_owned(), "ENDED".to_owned(), empty(), empty()],
        vec!["ENDED".to_owned(), empty()],
    );
    assert_eq!(shown(&loyalty, gone).await, after);
    let found = whole_list(&loyalty.admin, &format!("/loyalty/v1/refusals?promocode={TYPED}")).await;
    assert!(
        found.iter().all(|refusal| refusal["user_id"] == json!(stays)),
        "{found:?}"
    );
    let path = format!("/loyalty/v1/refusals?user_id={gone}&code=unknown_promocode");
    for refusal in whole_list(&loyalty.admin, &path).await {
        assert_eq!(refusal["reasons"][0]["found"], Value::Null, "{refusal}");
        assert!(refusal["reasons"][0]["expected"].is_string(), "{refusal}");
    }
    loyalty.service.peers.say(&deleted(&loyalty, stays)).await;
    assert!(!is_kept(&loyalty).await);

    // A purchase that was under way, and its repeat.
    let late = loyalty.hold(gone, TYPED);
    for _ in 0..2 {
        loyalty.ask(&late).await.refused();
    }
    assert!(!is_kept(&loyalty).await);
    let said = loyalty
        .service
        .peers
        .heard::<PromocodeRefusedV1>(ServiceName::Billing);
    let said: Vec<_> = said
        .iter()
        .filter(|said| said.purchase_id == late.purchase_id)
        .collect();
    assert!(
        !said.is_empty() && !format!("{said:?}").contains(TYPED),
        "{said:?}"
    );
    // An administrator tries for them; of that nothing is kept.
    let (kept, _) = shown(&loyalty, gone).await;
    let body = json!({"promocode": TYPED, "tariff_id": tariff, "user_id": gone});
    let tried = loyalty.admin.post("/loyalty/v1/promocodes/validate", &body).await;
    tried.expect_problem(422, "promocode_refused");
    assert_eq!(shown(&loyalty, gone).await.0, kept);
    loyalty.nothing_failed().await;
}

/// More than are read at once.
async fn thousands_of_refusals_are_emptied(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    let user = loyalty.service.new_user();
    loyalty.validate(user, TYPED, tariff).await.expect(422);
    let postgres = loyalty.service.db.reader().get_database_backend() == DbBackend::Postgres;
    let (id, series) = match postgres {
        true => ("gen_random_uuid()", "generate_series(1, 2500) AS s (n)"),
        false => (
            "randomblob(16)",
            "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2500) SELECT n FROM s)",
        ),
    };
    let sql = format!(
        "INSERT INTO refusals (id, user_id, tariff_id, promocode, reasons, refused_at, code) \
         SELECT {id}, user_id, tariff_id, promocode || n, reasons, refused_at, code FROM refusals, {series} RETURNING code"
    );
    assert_eq!(loyalty.rows(&sql).await.len(), 2_500);
    loyalty.service.peers.say(&deleted(&loyalty, user)).await;
    assert!(!is_kept(&loyalty).await);
    loyalty.nothing_failed().await;
}

/// An older program only noted that they are deleted.
async fn what_was_left_by_an_older_program_is_cleared(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(100)).await;
    ended_campaign(&loyalty).await;
    loyalty.campaign(&ten_percent_off(), "CODE", None).await;
    let [gone, stays] = [(); 2].map(|()| loyalty.service.new_user());
    let staff = group(&loyalty, "Staff", &[gone, stays]).await;
    for user in [gone, stays] {
        try_promocodes(&loyalty, user, tariff).await;
        grant(&loyalty, json!({"promocode": "CODE", "user_id": user})).await;
    }
    let before = shown(&loyalty, stays).await;
    let peers = &loyalty.service.peers;
    let state = |user, status| loyalty.user_state(user, 1, status);
    for user in [gone, stays] {
        peers
            .say(&shared::contracts::UserRegisteredV1(state(
                user,
                UserStatus::Active,
            )))
            .await;
    }
    let postgres = loyalty.service.db.reader().get_database_backend() == DbBackend::Postgres;
    let id = match postgres {
        true => format!("'{gone}'"),
        false => format!("x'{}'", gone.0.simple()),
    };
    for sql in [
        format!("UPDATE users SET status = 'deleted' WHERE id = {id} RETURNING status"),
        "DELETE FROM seaql_migrations WHERE version LIKE '%forgotten_users' RETURNING version".to_owned(),
    ] {
        assert_eq!(loyalty.rows(&sql).await.len(), 1, "{sql}");
    }
    let migrate = loyalty::definition().migrate;
    migrate(loyalty.service.db.writer()).await.unwrap();
    assert_eq!(members_of(&loyalty, &staff).await, [json!(stays)]);
    assert_eq!(
        (
            granted_to(&loyalty, gone).await,
            granted_to(&loyalty, stays).await
        ),
        (0, 1)
    );
    assert_eq!(shown(&loyalty, stays).await, before);
    let (refusals, redemptions) = shown(&loyalty, gone).await;
    assert_eq!(
        (refusals, redemptions),
        (
            vec![
                "ENDED".to_owned(),
                "ENDED".to_owned(),
                String::new(),
                String::new()
            ],
            vec!["ENDED".to_owned(), String::new()]
        )
    );
    peers.say(&deleted(&loyalty, stays)).await;
    assert!(!is_kept(&loyalty).await);
}

on_both_databases!(
    a_deleted_user_is_in_no_group_and_is_granted_nothing,
    whoever_is_deleted_meanwhile_is_in_no_group,
    what_a_deleted_user_typed_is_gone_and_promocodes_stay,
    thousands_of_refusals_are_emptied,
    what_was_left_by_an_older_program_is_cleared,
);
