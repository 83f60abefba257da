//! The databases as the first program that kept data left them: two customers, one of whom is blocked,
//! and everything that had happened to them by then.
//!
//! Written down by hand: nothing here follows when the program changes.

use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Value, sea_query::Query};
use serde_json::json;
use shared::clock::{Clock as _, SystemClock};
use uuid::Uuid;

use super::Samples;

/// Ids in the order in which they were given.
pub const fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_8f00_0000_7000_8000_0000_0000_0000 + number)
}

pub const ADMIN: Uuid = id(1);
pub const ANNA: Uuid = id(2);
pub const BORIS: Uuid = id(3);
pub const MONTH: Uuid = id(10);
pub const CAMPAIGN: Uuid = id(20);
pub const PROMOCODE: Uuid = id(21);
/// With a promocode, long over.
pub const PAID: Uuid = id(31);
pub const TOO_POOR: Uuid = id(32);
pub const REFUSED: Uuid = id(33);
/// Its deadline passes while nothing runs.
pub const PENDING: Uuid = id(34);
/// Nobody has heard of it yet: the message is still in the outbox.
pub const UNHEARD: Uuid = id(35);
/// Its use is given back, and not yet taken off the counters.
pub const TIMED_OUT: Uuid = id(36);
pub const PENDING_TOP_UP: Uuid = id(43);
pub const PARKED: Uuid = id(60);
pub const OLD_KEY: &str = "top-up-of-old";

fn now() -> DateTime<Utc> {
    SystemClock.now().trunc_subsecs(6)
}

fn days_ago(days: i64) -> DateTime<Utc> {
    now() - Duration::days(days)
}

fn rub(amount: i64) -> serde_json::Value {
    json!({"amount": amount, "currency": "RUB"})
}

async fn insert(conn: &DatabaseConnection, table: &'static str, cells: Vec<(&'static str, Value)>) {
    let (columns, values): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
    let mut insert = Query::insert();
    insert
        .into_table(table)
        .columns(columns)
        .values_panic(values.into_iter().map(sea_orm::sea_query::Expr::value));
    let statement = conn.get_database_backend().build(&insert);
    conn.execute_raw(statement)
        .await
        .unwrap_or_else(|error| panic!("{table}: {error}"));
}

macro_rules! row {
    ($conn:expr, $table:literal, $($column:ident: $value:expr),+ $(,)?) => {
        insert($conn, $table, vec![$((stringify!($column), Value::from($value))),+]).await
    };
}

const NONE: Option<DateTime<Utc>> = None;

pub async fn auth(conn: &DatabaseConnection, samples: &Samples) {
    for (user, email, status, role, version) in [
        (ADMIN, "Chief@cinema.example", "active", "admin", 1_i64),
        (ANNA, "Anna@mail.example", "active", "user", 1),
        (BORIS, "boris@mail.example", "blocked", "user", 2),
    ] {
        row!(conn, "users", id: user, email: email, email_normal: email.to_lowercase(),
            password_hash: samples.password_hash.as_str(), status: status, locale: "ru",
            version: version, registered_at: days_ago(90));
        row!(conn, "user_roles", user_id: user, role: role);
        row!(conn, "sessions", id: Uuid::from_u128(user.as_u128() + 0x100), user_id: user,
            created_at: days_ago(1), user_agent: "Firefox", address: "192.0.2.1");
    }
    row!(conn, "signing_keys", kid: samples.kid.as_str(), pkcs8: samples.pkcs8.clone(),
        public_x: samples.public_x.as_str(), created_at: days_ago(90), signs: true, retired_at: NONE);
    done_messages(conn).await;
}

/// Messages that were applied, in everybody's inbox.
async fn done_messages(conn: &DatabaseConnection) {
    row!(conn, "inbox", id: id(50), status: "done", received_at: days_ago(1), attempts: 1_i32,
        next_attempt_at: NONE, error: None::<String>, body: None::<String>);
}

async fn replicas_of_users(conn: &DatabaseConnection) {
    for (user, status, version) in [
        (ADMIN, "active", 1_i64),
        (ANNA, "active", 1),
        (BORIS, "blocked", 2),
    ] {
        row!(conn, "users", id: user, version: version, status: status, locale: "ru",
            registered_at: days_ago(90));
    }
}

const REVENUE: Uuid = id(70);
const PAYOUT: Uuid = id(71);
const PROVIDER: Uuid = id(72);
const FORFEITURE: Uuid = id(73);
const ANNAS: Uuid = id(74);
const BORISES: Uuid = id(75);

pub async fn billing(conn: &DatabaseConnection) {
    replicas_of_users(conn).await;
    done_messages(conn).await;
    for (account, kind, name) in [
        (REVENUE, "revenue", "revenue"),
        (PAYOUT, "payout", "payout"),
        (PROVIDER, "provider", "provider:sandbox"),
        (FORFEITURE, "forfeiture", "forfeiture"),
    ] {
        row!(conn, "accounts", id: account, kind: kind, name: name, user_id: None::<Uuid>,
            balance: None::<i64>, moved_at: NONE);
    }
    for (account, user, balance) in [(ANNAS, ANNA, 81_500_i64), (BORISES, BORIS, 5_000)] {
        row!(conn, "accounts", id: account, kind: "wallet", name: format!("wallet:{user}"),
            user_id: user, balance: balance, moved_at: days_ago(10));
    }
    movements(conn).await;
    for (tariff, name, status) in [(MONTH, "Месяц", "active"), (id(11), "Год", "archived")] {
        row!(conn, "tariffs", id: tariff, version: 1_i64, name: name, price: 10_000_i64, period: "P1M",
            status: status, created_at: days_ago(90));
    }
    purchases(conn).await;
    for (subscription, purchase, from) in [(id(81), PAID, 70), (id(85), UNHEARD, 10)] {
        row!(conn, "subscriptions", id: subscription, purchase_id: purchase, user_id: ANNA,
            tariff_id: MONTH, starts_at: days_ago(from), ends_at: days_ago(from - 30));
    }
    let unheard = json!({
        "purchase_id": UNHEARD, "version": 2, "user_id": ANNA, "tariff_id": MONTH, "tariff_name": "Месяц",
        "with_promocode": true, "list_price": rub(10_000), "discount": rub(1_500), "charged": rub(8_500),
        "balance_after": rub(81_500), "subscription_id": id(85), "subscription_starts_at": days_ago(10),
        "subscription_ends_at": days_ago(-20), "paid_at": days_ago(10),
    });
    let message = json!({
        "specversion": "1.0", "id": id(51), "source": "/billing", "type": "kopeck.billing.purchase_paid.v1",
        "subject": UNHEARD, "time": days_ago(10), "datacontenttype": "application/json",
        "aggregateversion": 2, "data": unheard,
    });
    row!(conn, "outbox", id: id(51), body: message.to_string(), created_at: days_ago(10),
        leased_until: days_ago(10));
}

async fn movements(conn: &DatabaseConnection) {
    for (number, kind, cause, source, destination, amount, user, after, ago) in [
        (
            91,
            "top_up",
            id(41),
            PROVIDER,
            ANNAS,
            100_000_i64,
            ANNA,
            100_000_i64,
            80,
        ),
        (92, "purchase", PAID, ANNAS, REVENUE, 8_500, ANNA, 91_500, 70),
        (93, "withdrawal", id(45), ANNAS, PAYOUT, 1_500, ANNA, 90_000, 60),
        (94, "purchase", UNHEARD, ANNAS, REVENUE, 8_500, ANNA, 81_500, 10),
        (95, "top_up", id(42), PROVIDER, BORISES, 5_000, BORIS, 5_000, 80),
    ] {
        row!(conn, "transfers", id: id(number), cause_kind: kind, cause_id: cause, source_id: source,
            destination_id: destination, amount: amount, user_id: user, balance_after: after,
            at: days_ago(ago));
        for (account, amount) in [(source, -amount), (destination, amount)] {
            row!(conn, "postings", transfer_id: id(number), account_id: account, amount: amount);
        }
    }
    for (top_up, user, amount, state, after, reason) in [
        (id(41), ANNA, 100_000_i64, "approved", Some(100_000_i64), None),
        (id(42), BORIS, 5_000, "approved", Some(5_000), None),
        (id(44), ANNA, 713, "declined", None, Some("the card was declined")),
        (PENDING_TOP_UP, ANNA, 700, "pending", None, None),
    ] {
        let pending = state == "pending";
        row!(conn, "top_ups", id: top_up, user_id: user, provider: "sandbox", amount: amount, state: state,
            decline_reason: reason, balance_after: after, requested_at: days_ago(80),
            settled_at: (!pending).then(|| days_ago(80)), asks: 1_i32,
            next_ask_at: pending.then(|| days_ago(1)), in_hand_until: NONE);
    }
    for (withdrawal, amount, state) in [(id(45), 1_500_i64, "done"), (id(46), 500_000, "failed")] {
        row!(conn, "withdrawals", id: withdrawal, user_id: ANNA, amount: amount, state: state,
            balance_after: 90_000_i64, requested_at: days_ago(60));
    }
    row!(conn, "idempotency_keys", user_id: ANNA, key: OLD_KEY, operation: "top_up", operation_id: id(41),
        request_hash: vec![7_u8; 32], created_at: days_ago(0));
}

async fn purchases(conn: &DatabaseConnection) {
    let reasons = json!([{"code": "unknown_promocode", "detail": "There is no such promocode."}]).to_string();
    for (purchase, user, version, promocode, state, failure, discount, after, ago) in [
        (
            PAID,
            ANNA,
            2_i64,
            Some("AUTUMN15"),
            "paid",
            None,
            1_500_i64,
            Some(91_500_i64),
            70,
        ),
        (
            TOO_POOR,
            BORIS,
            1,
            None,
            "failed",
            Some("insufficient_funds"),
            0,
            Some(5_000),
            69,
        ),
        (
            REFUSED,
            BORIS,
            2,
            Some("autumn99"),
            "failed",
            Some("promocode_refused"),
            0,
            Some(5_000),
            68,
        ),
        (PENDING, ANNA, 1, Some("AUTUMN15"), "pending", None, 0, None, 1),
        (
            UNHEARD,
            ANNA,
            2,
            Some("AUTUMN15"),
            "paid",
            None,
            1_500,
            Some(81_500),
            10,
        ),
        (
            TIMED_OUT,
            ANNA,
            2,
            Some("AUTUMN15"),
            "failed",
            Some("timed_out"),
            0,
            Some(90_000),
            50,
        ),
    ] {
        row!(conn, "purchases", id: purchase, version: version, user_id: user, tariff_id: MONTH,
            tariff_version: 1_i64, tariff_name: "Месяц", list_price: 10_000_i64, discount: discount,
            charged: (state == "paid").then_some(10_000 - discount), period: "P1M", promocode: promocode,
            state: state, failure_reason: failure,
            refusal_reasons: (purchase == REFUSED).then(|| reasons.clone()), requested_at: days_ago(ago),
            deadline: days_ago(ago) + Duration::seconds(30),
            settled_at: (state != "pending").then(|| days_ago(ago)), balance_after: after);
    }
}

pub async fn loyalty(conn: &DatabaseConnection) {
    replicas_of_users(conn).await;
    done_messages(conn).await;
    for (tariff, name, status) in [(MONTH, "Месяц", "active"), (id(11), "Год", "archived")] {
        row!(conn, "tariffs", id: tariff, version: 1_i64, name: name, price: 10_000_i64, period: "P1M",
            status: status);
    }
    let discount = json!({"type": "percent", "percent": "15"});
    row!(conn, "campaigns", id: CAMPAIGN, version: 1_i64, status: "active", name: "Осень",
        discount: discount.to_string(), starts_at: days_ago(90), ends_at: NONE, timezone: "Europe/Moscow",
        max_redemptions: 4_i64, max_per_user: None::<i64>, created_at: days_ago(90));
    let terms = json!({
        "name": "Осень", "discount": discount, "starts_at": days_ago(90), "timezone": "Europe/Moscow",
        "max_redemptions": 4,
    });
    row!(conn, "campaign_versions", campaign_id: CAMPAIGN, version: 1_i64, terms: terms.to_string(),
        changed_by: ADMIN, changed_at: days_ago(90));
    row!(conn, "promocodes", id: PROMOCODE, campaign_id: CAMPAIGN, code: "AUTUMN15", max_uses: 4_i64,
        disabled: false, created_at: days_ago(90));
    // Letter and mark apart, as some keyboards and files have them.
    row!(conn, "promocodes", id: Uuid::from_u128(0xc0de), campaign_id: CAMPAIGN, code: "ЗИМНИ\u{418}\u{306}",
        disabled: false, created_at: days_ago(80));
    for (scope, of) in [("campaign", CAMPAIGN), ("promocode", PROMOCODE)] {
        row!(conn, "counters", scope: scope, scope_id: of, user_id: Uuid::nil(), used: 4_i64,
            max_uses: 4_i64);
        row!(conn, "returned_uses", purchase_id: TIMED_OUT, scope: scope, scope_id: of,
            user_id: Uuid::nil());
    }
    for (purchase, status, purchase_version, ago) in [
        (PAID, "confirmed", 2_i64, 70),
        (PENDING, "held", 0, 1),
        (UNHEARD, "held", 0, 10),
        (TIMED_OUT, "cancelled", 2, 50),
    ] {
        row!(conn, "redemptions", purchase_id: purchase, status: status, user_id: ANNA, tariff_id: MONTH,
            promocode: "AUTUMN15", promocode_id: PROMOCODE, campaign_id: CAMPAIGN, campaign_version: 1_i64,
            list_price: 10_000_i64, discount: 1_500_i64, final_price: 8_500_i64,
            purchase_version: purchase_version, counted_campaign: true, counted_promocode: true,
            counted_user: false, requested_at: days_ago(ago),
            next_report_at: (status == "held").then(|| days_ago(1)), reports: 0_i32,
            created_at: days_ago(ago), updated_at: days_ago(ago));
    }
    row!(conn, "redemptions", purchase_id: REFUSED, status: "refused", user_id: BORIS, tariff_id: MONTH,
        promocode: "autumn99", promocode_id: None::<Uuid>, campaign_id: None::<Uuid>,
        campaign_version: None::<i64>, list_price: None::<i64>, discount: None::<i64>,
        final_price: None::<i64>, purchase_version: 2_i64, counted_campaign: false,
        counted_promocode: false, counted_user: false, requested_at: days_ago(68), next_report_at: NONE,
        reports: 0_i32, created_at: days_ago(68), updated_at: days_ago(68));
    let reasons = json!([{"code": "unknown_promocode", "detail": "There is no such promocode."}]);
    row!(conn, "refusals", id: id(65), purchase_id: REFUSED, user_id: BORIS, tariff_id: MONTH,
        promocode: " autumn99", promocode_id: None::<Uuid>, campaign_id: None::<Uuid>,
        reasons: reasons.to_string(), refused_at: days_ago(68));
    row!(conn, "inbox", id: PARKED, status: "parked", received_at: days_ago(5), attempts: 12_i32,
        next_attempt_at: NONE, error: "it failed", body: "{\"no\": \"envelope\"}");
}

pub async fn notifications(conn: &DatabaseConnection) {
    replicas_of_users(conn).await;
    done_messages(conn).await;
    let letter =
        async |number, user: Uuid, kind: &'static str, about: String, data: serde_json::Value, ago| {
            row!(conn, "letters", id: id(number), user_id: user, kind: kind, about: about,
            subject: "Тема того времени", body: "Письмо того времени", data: data.to_string(),
            occurred_at: days_ago(ago), created_at: days_ago(ago), read_at: (number == 100).then(now));
        };
    letter(100, ANNA, "welcome", format!("welcome:{ANNA}"), json!({}), 90).await;
    let movement = json!({"transfer_id": id(91), "amount": rub(100_000), "balance": rub(100_000)});
    letter(
        101,
        ANNA,
        "wallet_credited",
        format!("wallet_credited:{}", id(91)),
        movement,
        80,
    )
    .await;
    let movement = json!({"transfer_id": id(93), "amount": rub(1_500), "balance": rub(90_000)});
    letter(
        102,
        ANNA,
        "wallet_debited",
        format!("wallet_debited:{}", id(93)),
        movement,
        60,
    )
    .await;
    let refused = json!({
        "withdrawal_id": id(46), "amount": rub(500_000), "balance": rub(90_000),
        "reason": "insufficient_funds",
    });
    letter(
        103,
        ANNA,
        "withdrawal_failed",
        format!("withdrawal_failed:{}", id(46)),
        refused,
        60,
    )
    .await;
    let paid = json!({
        "purchase_id": PAID, "tariff_id": MONTH, "tariff_name": "Месяц", "list_price": rub(10_000),
        "discount": rub(1_500), "cost": rub(8_500), "balance": rub(91_500), "subscription_id": id(81),
        "subscription_starts_at": days_ago(70), "subscription_ends_at": days_ago(40),
    });
    letter(
        104,
        ANNA,
        "purchase_paid",
        format!("purchase_ended:{PAID}"),
        paid,
        70,
    )
    .await;
    for (number, user, purchase, reason, ago) in [
        (105, BORIS, TOO_POOR, "insufficient_funds", 69),
        (106, BORIS, REFUSED, "promocode_refused", 68),
        (107, ANNA, TIMED_OUT, "timed_out", 50),
    ] {
        let failed = json!({
            "purchase_id": purchase, "tariff_id": MONTH, "tariff_name": "Месяц", "cost": rub(10_000),
            "balance": rub(5_000), "reason": reason,
        });
        letter(
            number,
            user,
            "purchase_failed",
            format!("purchase_ended:{purchase}"),
            failed,
            ago,
        )
        .await;
    }
}
