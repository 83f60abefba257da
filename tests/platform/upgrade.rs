//! A platform that was there before: what the first program that kept data had written is brought up
//! to date and worked with, on both databases.

mod rows;

use std::{path::Path, sync::Arc};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use sea_orm_migration::MigratorTrait as _;
use serde_json::{Value, json};
use shared::{
    clock::SystemClock,
    contracts::ServiceName,
    db::{Db, url_of_file},
    testing::{eventually, new_postgres_database},
};
use uuid::Uuid;

use crate::platform::{PASSWORD, Platform, User, interrupt, log_in, rub, run_command, run_embedded};
use rows::{ANNA, BORIS, CAMPAIGN, MONTH, OLD_KEY, PAID, PARKED, PENDING, REFUSED, TIMED_OUT, UNHEARD};

/// How many migrations of a service that program knew.
const fn known_then(service: ServiceName) -> u32 {
    match service {
        ServiceName::Auth => 2,
        ServiceName::Loyalty | ServiceName::Notifications => 3,
        ServiceName::Billing => 4,
    }
}

/// What can't be made up: a key, and the hash of [`PASSWORD`].
pub struct Samples {
    password_hash: String,
    kid: String,
    pkcs8: Vec<u8>,
    public_x: String,
}

impl Samples {
    async fn take() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let platform = run_embedded(folder.path()).await;
        let environment = vec![("KOPECK_DATA".to_owned(), folder.path().display().to_string())];
        let create = ["admin", "create", "--email", "sample@cinema.example"];
        let made = run_command(&create, &environment, PASSWORD).await;
        assert!(made.status.success(), "{made:?}");
        let db = open(ServiceName::Auth, &url_of_file(&folder.path().join("auth.db"))).await;
        let conn = db.reader();
        let user = one(conn, "SELECT password_hash FROM users").await;
        let key = one(conn, "SELECT kid, pkcs8, public_x FROM signing_keys").await;
        let samples = Self {
            password_hash: user.try_get("", "password_hash").unwrap(),
            kid: key.try_get("", "kid").unwrap(),
            pkcs8: key.try_get("", "pkcs8").unwrap(),
            public_x: key.try_get("", "public_x").unwrap(),
        };
        db.close().await;
        assert!(interrupt(platform.child).await.success());
        samples
    }
}

async fn one(conn: &DatabaseConnection, sql: &str) -> sea_orm::QueryResult {
    let query = Statement::from_string(conn.get_database_backend(), sql);
    conn.query_one_raw(query).await.unwrap().unwrap()
}

async fn open(service: ServiceName, url: &str) -> Db {
    Db::connect(service, url, Arc::new(SystemClock)).await.unwrap().0
}

/// Migrates as far as that program did, and leaves what it left.
async fn fill(service: ServiceName, url: &str, samples: &Samples) {
    let db = open(service, url).await;
    let (conn, then) = (db.writer(), Some(known_then(service)));
    match service {
        ServiceName::Auth => {
            migration::auth::Migrator::up(conn, then).await.unwrap();
            rows::auth(conn, samples).await;
        }
        ServiceName::Loyalty => {
            migration::loyalty::Migrator::up(conn, then).await.unwrap();
            rows::loyalty(conn).await;
        }
        ServiceName::Billing => {
            migration::billing::Migrator::up(conn, then).await.unwrap();
            rows::billing(conn).await;
        }
        ServiceName::Notifications => {
            migration::notifications::Migrator::up(conn, then).await.unwrap();
            rows::notifications(conn).await;
        }
    }
    db.close().await;
}

async fn everything_is_kept_and_goes_on(platform: &Platform, samples: &Samples) {
    let api = &platform.api;
    let anna = User {
        id: ANNA.to_string(),
        api: log_in(api, "ANNA@mail.example").await,
    };
    let blocked = json!({"email": "boris@mail.example", "password": PASSWORD});
    api.post("/auth/v1/login", &blocked)
        .await
        .expect_problem(403, "user_blocked");
    let keys = api.get("/auth/v1/jwks.json").await.expect(200);
    assert_eq!(keys["keys"][0]["kid"], samples.kid, "{keys:#}");
    let admin = log_in(api, "chief@cinema.example").await;
    let users = admin.get("/auth/v1/users").await.expect(200);
    let users = users["items"].as_array().unwrap();
    assert_eq!(users.len(), 3 + 1, "{users:#?}");
    let me = anna.api.get("/auth/v1/me").await.expect(200);
    assert_eq!(
        (&me["email"], &me["roles"]),
        (&json!("Anna@mail.example"), &json!(["user"])),
        "{me:#}"
    );

    what_was_begun_ends(platform, &anna).await;
    money_is_kept(&anna).await;
    campaigns_are_kept(platform, &anna).await;
    letters_are_kept(platform, &anna).await;

    let parked = run_command(&["parked", "list"], platform.environment(), "").await;
    let parked = String::from_utf8(parked.stdout).unwrap();
    assert!(
        parked.contains("1 message is parked") && parked.contains(&PARKED.to_string()),
        "{parked}"
    );
    it_is_worked_with(platform, &anna).await;
}

/// The pending purchase fails and gives its use back, the pending top-up is asked for, and what was
/// not said yet is said.
async fn what_was_begun_ends(platform: &Platform, anna: &User) {
    for (purchase, status) in [(PENDING, "failed"), (UNHEARD, "paid")] {
        let path = format!("/billing/v1/purchases/{purchase}");
        eventually("the purchase has ended", || async {
            let purchase = anna.api.get(&path).await.expect(200);
            (purchase["status"] == status).then_some(())
        })
        .await;
    }
    let redemptions = "/loyalty/v1/redemptions?limit=200";
    eventually("redemptions follow their purchases", || async {
        let page = anna.api.get(redemptions).await.expect(200);
        let status = |id: Uuid| {
            let items = page["items"].as_array().unwrap().iter();
            let mut those = items.filter(|item| item["purchase_id"] == json!(id));
            those.next().map(|item| item["status"].clone())
        };
        let stand = [PAID, UNHEARD, PENDING, TIMED_OUT].map(status);
        let wanted = ["confirmed", "confirmed", "cancelled", "cancelled"];
        (stand == wanted.map(|status| Some(json!(status)))).then_some(())
    })
    .await;
    eventually("the top-up is decided", || async {
        (anna.balance().await == 82_200).then_some(())
    })
    .await;
    let path = format!("/billing/v1/purchases?user_id={BORIS}");
    let purchases = platform.admin.get(&path).await.expect(200);
    let of_boris = purchases["items"].as_array().unwrap();
    assert_eq!(of_boris.len(), 2, "{purchases:#}");
    assert_eq!(of_boris[0]["id"], json!(REFUSED), "newest first");
    assert_eq!(
        of_boris[0]["refusal_reasons"][0]["code"], "unknown_promocode",
        "{of_boris:#?}"
    );
}

async fn money_is_kept(anna: &User) {
    let transfers = anna.api.get("/billing/v1/transfers").await.expect(200);
    let balances: Vec<_> = transfers["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|transfer| transfer["balance_after"]["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(
        balances,
        [82_200, 81_500, 90_000, 91_500, 100_000],
        "{transfers:#}"
    );
    let subscriptions = anna.api.get("/billing/v1/subscriptions").await.expect(200);
    let subscriptions = subscriptions["items"].as_array().unwrap();
    assert_eq!(subscriptions.len(), 2, "{subscriptions:#?}");
    assert!(
        subscriptions
            .iter()
            .all(|subscription| subscription.get("cancelled_at").is_none())
    );
    // The key of another request.
    let reused = anna
        .api
        .post_once("/billing/v1/balance/top-up", OLD_KEY, &rub(1))
        .await;
    reused.expect_problem(422, "idempotency_key_reused");
}

async fn campaigns_are_kept(platform: &Platform, anna: &User) {
    let campaign = platform
        .admin
        .get(&format!("/loyalty/v1/campaigns/{CAMPAIGN}"))
        .await
        .expect(200);
    assert_eq!(campaign["name"], "Осень");
    assert_eq!(campaign["discount"], json!({"type": "percent", "percent": "15"}));
    assert_eq!(campaign["max_redemptions"], 4);
    // For everybody, not shown to anybody, and its uses come back after a refund.
    assert_eq!(
        (&campaign["listed"], &campaign["refund_policy"]),
        (&json!(false), &json!("return_use"))
    );
    assert_eq!(campaign["eligibility"], json!({}), "{campaign:#}");
    let promocodes = platform
        .admin
        .get(&format!("/loyalty/v1/campaigns/{CAMPAIGN}/promocodes"))
        .await
        .expect(200);
    let newest = &promocodes["items"][0];
    assert_eq!(newest["code"], "ЗИМНИ\u{419}", "in its normal form: {newest}");
    assert!(newest.get("normal_form").is_none(), "it can be typed: {newest}");
    let refusals = platform
        .admin
        .get("/loyalty/v1/refusals?promocode=Autumn99")
        .await
        .expect(200);
    assert_eq!(
        refusals["items"][0]["purchase_id"],
        json!(REFUSED),
        "{refusals:#}"
    );
    // Who has bought is known by what they redeemed.
    let first = json!({
        "name": "First", "discount": {"type": "percent", "percent": "50"},
        "eligibility": {"first_purchase": true}, "promocode": {"code": "FIRST"},
    });
    platform.campaign(first).await;
    let validation = json!({"promocode": "FIRST", "tariff_id": MONTH});
    let answer = anna
        .api
        .post("/loyalty/v1/promocodes/validate", &validation)
        .await;
    assert!(
        answer.body.to_string().contains("not_first_purchase"),
        "{answer:?}"
    );
}

async fn letters_are_kept(platform: &Platform, anna: &User) {
    // Those of old, and of the two purchases and the top-up that have ended since. What was over long
    // before is not announced as ending.
    let letters = anna.letters(6 + 3).await;
    let of_old = letters
        .iter()
        .filter(|letter| letter["subject"] == "Тема того времени");
    assert_eq!(of_old.count(), 6, "{letters:#?}");
    let unread = anna
        .api
        .get("/notifications/v1/letters?unread=true")
        .await
        .expect(200);
    assert_eq!(unread["items"].as_array().unwrap().len(), 8);
    let path = format!("/notifications/v1/letters?user_id={BORIS}");
    let of_boris = platform.admin.get(&path).await.expect(200);
    assert_eq!(of_boris["items"].as_array().unwrap().len(), 2, "{of_boris:#}");
}

/// Two of four uses are taken: two more can be had, and one that is refunded comes back.
async fn it_is_worked_with(platform: &Platform, anna: &User) {
    let month = MONTH.to_string();
    for _ in 0..2 {
        let paid = anna.buy(&month, Some("autumn15")).await.expect(201);
        assert_eq!(paid["charged"], rub(8_500));
    }
    let refused = anna.buy(&month, Some("AUTUMN15")).await;
    assert!(
        refused
            .expect_problem(422, "promocode_refused")
            .to_string()
            .contains("uses_exhausted")
    );
    let path = format!("/billing/v1/purchases/{UNHEARD}/refund");
    let refund = platform
        .admin
        .post_once(&path, "refund", &json!({"reason": "asked for"}))
        .await;
    assert!(refund.status.is_success(), "{refund:?}");
    eventually("the use is back", || async {
        let paid = anna.buy(&month, Some("AUTUMN15")).await;
        (paid.status.as_u16() == 201).then_some(())
    })
    .await;
    let unblock = format!("/auth/v1/users/{BORIS}/unblock");
    platform.admin.post(&unblock, &json!({})).await.expect(200);
    log_in(&platform.api, "boris@mail.example").await;
    let letters = anna
        .api
        .get("/notifications/v1/letters?limit=200")
        .await
        .expect(200);
    let kinds = |kind: &Value| {
        letters["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|letter| letter["kind"] == *kind)
            .count()
    };
    assert_eq!(kinds(&json!("subscription_ending")), 0, "{letters:#}");
}

async fn upgraded(urls: impl AsyncFn(ServiceName, &Path) -> String, variables_name_urls: bool) {
    let samples = Samples::take().await;
    let folder = tempfile::tempdir().unwrap();
    let mut variables = Vec::new();
    for service in ServiceName::ALL {
        let url = urls(service, folder.path()).await;
        fill(service, &url, &samples).await;
        variables.push((
            format!("KOPECK_{}__DATABASE_URL", service.as_str().to_uppercase()),
            url,
        ));
    }
    if variables_name_urls {
        let up = run_command(&["migrate", "up"], &variables, "").await;
        assert!(up.status.success(), "{up:?}");
    } else {
        // It brings its files up to date by itself.
        variables.clear();
    }
    // The letters of old show their currency: no other one is taken for it.
    let mut dollars = variables.clone();
    dollars.push(("KOPECK_DATA".to_owned(), folder.path().display().to_string()));
    dollars.push(("KOPECK_CURRENCY".to_owned(), "USD".to_owned()));
    let refused = run_command(&["run", "--listen", "127.0.0.1:0"], &dollars, "").await;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("keeps amounts in RUB"),
        "{why}"
    );
    let platform = Platform::embedded_in(folder, &variables).await;
    everything_is_kept_and_goes_on(&platform, &samples).await;
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    upgraded(
        async |service, folder: &Path| url_of_file(&folder.join(format!("{service}.db"))),
        false,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    upgraded(async |_, _: &Path| new_postgres_database().await, true).await;
}
