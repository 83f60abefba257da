//! Promocodes that were made when texts that look alike were different codes.

use std::sync::Arc;

use migration::loyalty::Migrator;
use reqwest::Method;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, Value};
use sea_orm_migration::MigratorTrait as _;
use serde_json::json;
use shared::{
    clock::SystemClock,
    contracts::{PromocodeGrantedV1, ServiceName},
    db::{Db, url_of_file},
    testing::new_postgres_database,
};
use uuid::Uuid;

use crate::{Loyalty, noon, on_both_databases, roubles, ten_percent_off, whole_list};

/// The migrations of the program before.
const THEN: u32 = 9;

/// What that program kept, oldest first, and what is kept now.
const CODES: [(&str, &str); 8] = [
    // A younger one has the normal form already.
    ("CAFE\u{301}", "CAFE\u{301}"),
    ("CAF\u{c9}", "CAF\u{c9}"),
    ("\u{418}\u{306}ОД", "ЙОД"),
    // The oldest of three gets it.
    ("ＳＡＬＥ", "SALE"),
    ("SALE\u{fe0f}", "SALE\u{fe0f}"),
    ("\u{ff33}ALE", "\u{ff33}ALE"),
    // Nothing is left of it.
    ("\u{3164}", "\u{3164}"),
    ("PLAIN", "PLAIN"),
];

pub(crate) async fn insert<const N: usize>(
    conn: &DatabaseConnection,
    table: &str,
    cells: [(&str, Value); N],
) {
    let columns = cells.each_ref().map(|(column, _)| *column).join(", ");
    let places: Vec<_> = (1..=N).map(|place| format!("${place}")).collect();
    let sql = format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "));
    let values = cells.map(|(_, value)| value);
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    conn.execute_raw(statement).await.unwrap();
}

async fn fill(conn: &DatabaseConnection) {
    let campaign = Uuid::from_u128(1);
    let campaign_row = [
        ("id", campaign.into()),
        ("version", 1_i64.into()),
        ("status", "active".into()),
        ("name", "Old".into()),
        ("discount", r#"{"type":"percent","percent":"10"}"#.into()),
        ("created_at", noon().into()),
        ("eligibility", "{}".into()),
        ("requires_grant", false.into()),
        ("listed", true.into()),
        ("refund_policy", "return_use".into()),
    ];
    insert(conn, "campaigns", campaign_row).await;
    for (number, (code, _)) in (1..).zip(CODES) {
        let row = [
            ("id", Uuid::from_u128(number).into()),
            ("campaign_id", campaign.into()),
            ("code", code.into()),
            ("disabled", false.into()),
            ("created_at", noon().into()),
            ("version", 1_i64.into()),
        ];
        insert(conn, "promocodes", row).await;
    }
    let refused = [
        ("cafe\u{301}", Some("CAFE\u{301}")),
        ("s\u{200b}ale", None),
        ("one\u{fffd}two", Some("ONE\u{fffd}TWO")),
    ];
    for (number, (typed, code)) in (1..).zip(refused) {
        let row = [
            ("id", Uuid::from_u128(number).into()),
            ("user_id", Uuid::from_u128(9).into()),
            ("tariff_id", Uuid::from_u128(9).into()),
            ("promocode", typed.into()),
            ("reasons", "[]".into()),
            ("refused_at", noon().into()),
            ("code", code.into()),
        ];
        insert(conn, "refusals", row).await;
    }
}

/// The service on what that program has left behind `url`.
async fn start(url: &str) -> Loyalty {
    let (db, _) = Db::connect(ServiceName::Loyalty, url, Arc::new(SystemClock))
        .await
        .unwrap();
    Migrator::up(db.writer(), Some(THEN)).await.unwrap();
    fill(db.writer()).await;
    db.close().await;
    Loyalty::start_on(url).await
}

async fn old_codes_have_their_normal_form_and_clashes_are_reported(loyalty: Loyalty) {
    let campaign = format!("/loyalty/v1/campaigns/{}", Uuid::from_u128(1));
    let mut kept = whole_list(&loyalty.admin, &format!("{campaign}/promocodes")).await;
    kept.sort_by_key(|promocode| promocode["id"].as_str().unwrap().to_owned());
    let expected = CODES.map(|(_, now)| now);
    let codes: Vec<_> = kept.iter().map(|kept| kept["code"].as_str().unwrap()).collect();
    assert_eq!(codes, expected);
    let normal: Vec<_> = kept.iter().map(|kept| kept["normal_form"].as_str()).collect();
    let cafe = Some("CAF\u{c9}");
    let expected = [cafe, None, None, None, Some("SALE"), Some("SALE"), Some(""), None];
    assert_eq!(normal, expected);

    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    for (typed, code) in [
        ("cafe\u{301}", "CAF\u{c9}"),
        ("caf\u{e9}", "CAF\u{c9}"),
        ("йод", "ЙОД"),
        ("sale\u{200b}", "SALE"),
    ] {
        let priced = loyalty.validate(user, typed, tariff).await.expect(200);
        assert_eq!(priced["promocode"], code, "{typed:?}");
        loyalty.ask(&loyalty.hold(user, typed)).await.held();
    }
    let usable = whole_list(&loyalty.service.api_of(user), "/loyalty/v1/promocodes").await;
    let usable: Vec<_> = usable
        .iter()
        .map(|usable| usable["code"].as_str().unwrap())
        .collect();
    assert_eq!(usable, ["PLAIN", "SALE", "ЙОД", "CAF\u{c9}"]);

    for (searched, found) in [("CAF%C3%A9", 1), ("sale", 1), ("one%EF%BF%BDtwo", 0)] {
        let refusals = whole_list(
            &loyalty.admin,
            &format!("/loyalty/v1/refusals?promocode={searched}"),
        )
        .await;
        assert_eq!(refusals.len(), found, "{searched}");
    }
    administrators_switch_off_what_can_not_be_typed(&loyalty, &campaign).await;
}

async fn administrators_switch_off_what_can_not_be_typed(loyalty: &Loyalty, campaign: &str) {
    let clashes = async || {
        let found = loyalty::reconcile(loyalty.service.db.reader(), noon())
            .await
            .unwrap();
        let mut ids: Vec<_> = found
            .iter()
            .filter(|finding| finding.rule.ends_with("can be typed"))
            .map(|finding| finding.id.as_u128())
            .collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(clashes().await, [1, 5, 6, 7]);
    for (written, id) in [("CAFE%CC%81", 1), ("%E3%85%A4", 7), ("cafe%CC%81", 2)] {
        let path = format!("{campaign}/promocodes/{written}");
        let off = loyalty
            .admin
            .patch(&path, &json!({"status": "disabled"}))
            .await
            .expect(200);
        assert_eq!(off["id"], json!(Uuid::from_u128(id)), "{written}");
    }
    assert_eq!(clashes().await, [5, 6]);
}

#[tokio::test]
async fn old_codes_have_their_normal_form_and_clashes_are_reported_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let loyalty = start(&url_of_file(&folder.path().join("loyalty.db"))).await;
    old_codes_have_their_normal_form_and_clashes_are_reported(loyalty).await;
}

#[tokio::test]
async fn old_codes_have_their_normal_form_and_clashes_are_reported_on_postgres() {
    let loyalty = start(&new_postgres_database().await).await;
    old_codes_have_their_normal_form_and_clashes_are_reported(loyalty).await;
}

async fn texts_that_look_alike_are_one_promocode(loyalty: Loyalty) {
    let campaign = loyalty
        .campaign(&ten_percent_off(), "caf\u{e9}\u{200b}", None)
        .await;
    assert_eq!(campaign["promocode"]["code"], "CAF\u{c9}");
    let path = format!(
        "/loyalty/v1/campaigns/{}/promocodes",
        campaign["id"].as_str().unwrap()
    );
    let twin = loyalty.admin.post(&path, &json!({"code": "CAFE\u{301}"})).await;
    twin.expect_problem(409, "promocode_exists");
    for wrong in ["A\u{a0}B", "A\u{1}B", "\u{200b}", "A\u{2800}"] {
        let refused = loyalty.admin.post(&path, &json!({"code": wrong})).await;
        let problem = refused.expect_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "code", "{wrong:?}");
    }

    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    let typed = "\u{feff} cafe\u{301} ";
    loyalty.validate(user, typed, tariff).await.expect(200);
    assert_eq!(
        loyalty
            .ask(&loyalty.hold(user, typed))
            .await
            .held()
            .campaign_version,
        1
    );
    loyalty.register(user).await;
    let granted = loyalty
        .admin
        .post(
            "/loyalty/v1/grants",
            &json!({"promocode": typed, "user_id": user}),
        )
        .await
        .expect(201);
    assert_eq!(granted["promocode"], "CAF\u{c9}");
    let said: Vec<PromocodeGrantedV1> = shared::testing::eventually("it is granted", || async {
        let said = loyalty.service.peers.heard(ServiceName::Notifications);
        (!said.is_empty()).then_some(said)
    })
    .await;
    assert_eq!(said[0].promocode, "CAF\u{c9}");
    let found = whole_list(&loyalty.admin, "/loyalty/v1/grants?promocode=cafe%CC%81").await;
    assert_eq!(found.len(), 1);

    let patch = format!("{path}/cafe%CC%81%E2%80%8B");
    loyalty
        .admin
        .patch(&patch, &json!({"status": "disabled"}))
        .await
        .expect(200);
    loyalty
        .validate(user, typed, tariff)
        .await
        .expect_problem(422, "promocode_refused");
    let deleted = loyalty.admin.send(
        loyalty
            .admin
            .request(Method::GET, "/loyalty/v1/refusals?promocode=Caf%C3%A9"),
    );
    assert_eq!(deleted.await.expect(200)["items"].as_array().unwrap().len(), 1);
}

/// What is too long for the column of what was typed is not found as something shorter.
async fn what_was_typed_is_searched_as_it_was_typed(loyalty: Loyalty) {
    let (user, tariff) = (loyalty.service.new_user(), loyalty.tariff(roubles(100)).await);
    let letters = "e\u{301}".repeat(60);
    for typed in [letters.as_str(), &"X".repeat(65)] {
        loyalty
            .validate(user, typed, tariff)
            .await
            .expect_problem(422, "promocode_refused");
    }
    let found = async |promocode: &str| {
        let path = format!("/loyalty/v1/refusals?promocode={promocode}");
        whole_list(&loyalty.admin, &path).await.len()
    };
    assert_eq!(found(&"%C3%A9".repeat(60)).await, 1);
    assert_eq!(found(&"X".repeat(64)).await, 0);
}

on_both_databases!(
    texts_that_look_alike_are_one_promocode,
    what_was_typed_is_searched_as_it_was_typed,
);
