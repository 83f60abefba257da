//! Every outcome has its letter.

use chrono::{Duration, SubsecRound as _};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use shared::{
    contracts::{Locale, MailPurpose, UserState, UserStatus, UserUpdatedV1},
    testing::{TestDatabase, TestService},
};

use crate::{
    inbox_of, kinds, plain,
    said::{self, credited, debited, failed, paid, refused, registered, top_up_failed, withdrawal_failed},
    start,
};

async fn the_whole_story(database: TestDatabase) {
    let service = start(database).await;
    let (user, began) = (service.new_user(), service.peers.now());
    let at = |minutes| began + Duration::minutes(minutes);

    service.peers.say(&registered(user, Locale::En, at(0))).await;
    service.peers.say(&credited(user, 100_000, 100_000, at(1))).await;
    service.peers.say(&debited(user, 10_000, 90_000, at(2))).await;
    service
        .peers
        .say(&withdrawal_failed(user, 500_000, 90_000, at(3)))
        .await;
    service.peers.say(&paid(user, 1_000, 89_000, at(4))).await;
    service.peers.say(&failed(user, 120_000, 89_000, at(5))).await;
    service.peers.say(&refused(user, 1_000, 89_000, at(6))).await;
    service
        .peers
        .say(&top_up_failed(user, 500_000, 89_000, at(7)))
        .await;

    let letters = inbox_of(&service, user).await;
    assert_eq!(
        kinds(&letters),
        [
            "top_up_failed",
            "purchase_failed",
            "purchase_failed",
            "purchase_paid",
            "withdrawal_failed",
            "wallet_debited",
            "wallet_credited",
            "welcome",
        ]
    );
    let holds = |letter: &Value, words: &[&str]| {
        for word in words {
            assert!(plain(&letter["body"]).contains(word), "{word} in {letter:#}");
        }
    };
    holds(
        &letters[0],
        &["RUB 5,000.00", "RUB 890.00", "Reason: The card has expired."],
    );
    holds(
        &letters[1],
        &[
            "RUB 10.00",
            "RUB 890.00",
            "the promocode was refused",
            "All 10 uses are taken.",
        ],
    );
    holds(&letters[2], &["RUB 1,200.00", "RUB 890.00", "not enough money"]);
    holds(&letters[3], &["“Basic”", "RUB 10.00", "RUB 890.00"]);
    holds(&letters[4], &["RUB 5,000.00", "RUB 900.00", "not enough money"]);
    holds(&letters[5], &["RUB 100.00", "RUB 900.00"]);
    holds(&letters[6], &["RUB 1,000.00"]);

    assert_eq!(letters[1]["data"]["reasons"][0]["code"], "uses_exhausted");
    assert_eq!(
        letters[2]["data"]["cost"],
        json!({"amount": 120_000, "currency": "RUB"})
    );
    assert_eq!(
        letters[2]["data"]["balance"],
        json!({"amount": 89_000, "currency": "RUB"})
    );
    assert_eq!(
        letters[3]["data"]["cost"],
        json!({"amount": 1_000, "currency": "RUB"})
    );
    assert_eq!(
        letters[3]["data"]["balance"],
        json!({"amount": 89_000, "currency": "RUB"})
    );
    for (letter, minutes) in letters.iter().rev().zip(0..) {
        assert_eq!(letter["occurred_at"], json!(at(minutes).trunc_subsecs(6)));
        assert!(letter.get("read_at").is_none(), "absent is not null: {letter:#}");
    }
    service.stop().await;
}

#[tokio::test]
async fn every_outcome_has_its_letter() {
    the_whole_story(TestDatabase::Sqlite).await;
}

#[tokio::test]
async fn every_outcome_has_its_letter_on_postgres() {
    the_whole_story(TestDatabase::Postgres).await;
}

#[tokio::test]
async fn letters_are_written_in_the_reader_s_language() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service.peers.say(&registered(user, Locale::Ru, now)).await;
    service
        .peers
        .say(&paid(user, 1_000, 89_000, now + Duration::seconds(1)))
        .await;

    let in_english = said::state(user, 2, UserStatus::Active, Locale::En, now);
    service.peers.say(&UserUpdatedV1(in_english)).await;
    service
        .peers
        .say(&failed(user, 1_000, 0, now + Duration::seconds(2)))
        .await;

    let letters = inbox_of(&service, user).await;
    assert_eq!(plain(&letters[0]["subject"]), "Your purchase of “Pro” failed");
    assert_eq!(plain(&letters[1]["subject"]), "«Basic» оплачен: 10,00 ₽");
    assert_eq!(plain(&letters[2]["subject"]), "Добро пожаловать");
    service.stop().await;
}

#[tokio::test]
async fn a_language_that_comes_in_the_same_batch_is_used() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    let mut batch = service.peers.seal_all(&[credited(user, 100, 100, now)]);
    batch.extend(service.peers.seal_all(&[registered(user, Locale::Ru, now)]));
    service.peers.deliver(&batch).await;
    let letters = inbox_of(&service, user).await;
    assert_eq!(letters.len(), 2);
    for letter in letters {
        let subject = plain(&letter["subject"]);
        assert!(
            ["Добро пожаловать", "Кошелёк пополнен на 1,00 ₽"].contains(&subject.as_str()),
            "{subject}"
        );
    }
    service.stop().await;
}

#[tokio::test]
async fn somebody_not_known_yet_is_written_to_in_english() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service.peers.say(&credited(user, 100, 100, now)).await;
    let letters = inbox_of(&service, user).await;
    assert_eq!(
        plain(&letters[0]["subject"]),
        "Your wallet was topped up by RUB 1.00"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_batch_of_many_makes_a_letter_for_each_of_its_readers() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let now = service.peers.now();
        let users: Vec<_> = (0..20).map(|_| service.new_user()).collect();
        let mut batch = Vec::new();
        for user in &users {
            batch.extend(
                service
                    .peers
                    .seal_all(&[paid(*user, 100, 900, now), paid(*user, 200, 700, now)]),
            );
            batch.extend(service.peers.seal_all(&[credited(*user, 1_000, 1_000, now)]));
            batch.extend(service.peers.seal_all(&[registered(*user, Locale::En, now)]));
            batch.extend(service.peers.seal_all(&[failed(*user, 5_000, 700, now)]));
        }
        service.peers.deliver(&batch).await;
        for user in users {
            let letters = inbox_of(&service, user).await;
            let mut kinds = kinds(&letters);
            kinds.sort_unstable();
            assert_eq!(
                kinds,
                [
                    "purchase_failed",
                    "purchase_paid",
                    "purchase_paid",
                    "wallet_credited",
                    "welcome"
                ]
            );
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn late_and_reordered_events_take_their_place_by_time() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let (user, now) = (service.new_user(), service.peers.now());
        // Whole seconds, milliseconds, microseconds: order must not depend on how many digits an
        // instant has.
        let first = now.trunc_subsecs(0);
        let at = [
            first - Duration::days(40),
            first,
            first + Duration::milliseconds(500),
            first + Duration::microseconds(500_001),
            first + Duration::seconds(1),
        ];
        for index in [3, 0, 4, 2, 1] {
            let amount = i64::try_from(index).unwrap() + 1;
            service
                .peers
                .say(&credited(user, amount, amount, at[index]))
                .await;
        }
        let letters = inbox_of(&service, user).await;
        let amounts: Vec<_> = letters
            .iter()
            .map(|letter| letter["data"]["amount"]["amount"].as_i64().unwrap())
            .collect();
        assert_eq!(amounts, [5, 4, 3, 2, 1], "{database:?}");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_tariff_s_name_with_control_characters_still_makes_a_letter() {
    let service = start(TestDatabase::Postgres).await;
    let (user, now) = (service.new_user(), service.peers.now());
    let mut event = paid(user, 100, 100, now);
    event.tariff_name = "Ba\0sic\r\nBcc: x".to_owned();
    service.peers.say(&event).await;
    let letters = inbox_of(&service, user).await;
    assert_eq!(
        plain(&letters[0]["subject"]),
        "“Ba sic  Bcc: x” is paid: RUB 1.00"
    );
    service.stop().await;
}

#[tokio::test]
async fn what_others_do_with_a_user_s_purchases_and_account_has_its_letter() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let (user, now) = (service.new_user(), service.peers.now());
        let peers = &service.peers;
        let paid = paid(user, 89_000, 0, now - Duration::hours(4));
        let mut refund = said::refunded(user, 89_000, 89_000, now - Duration::hours(3));
        refund.purchase_id = paid.purchase_id;
        let reset = said::mail_requested(user, MailPurpose::ResetPassword, now - Duration::hours(1));
        let mut by_administrator = credited(user, 5_000, 94_000, now - Duration::minutes(30));
        by_administrator.by_administrator = true;
        by_administrator.reason = Some("paid twice".to_owned());
        let confirmation = said::mail_requested(user, MailPurpose::ConfirmEmail, now);
        for _ in 0..2 {
            peers.say(&paid).await;
            peers.say(&refund).await;
            peers.say(&said::granted(user, now - Duration::hours(2))).await;
            peers.say(&reset).await;
            peers.say(&by_administrator).await;
            peers.say(&confirmation).await;
        }
        let letters = inbox_of(&service, user).await;
        assert_eq!(
            kinds(&letters),
            [
                "wallet_credited",
                "password_reset",
                "promocode_granted",
                "promocode_granted",
                "purchase_refunded",
                "purchase_paid",
            ],
            "each once (two grants), and none about an address to be confirmed"
        );
        assert!(plain(&letters[0]["subject"]).starts_with("An administrator put RUB 50.00"));
        assert!(plain(&letters[0]["body"]).ends_with("Reason: paid twice"));
        assert_eq!(letters[0]["data"]["reason"], "paid twice");
        assert_eq!(plain(&letters[4]["subject"]), "“Basic” was refunded: RUB 890.00");
        assert!(plain(&letters[4]["body"]).ends_with("Reason: asked for by telephone"));
        assert!(!letters[1].to_string().contains("token"), "{:#}", letters[1]);
        service.stop().await;
    }
}

#[tokio::test]
async fn what_tells_no_time_of_its_own_is_told_as_of_when_it_is_heard() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, before) = (service.new_user(), service.peers.now());
    let (ending, blocked) = (said::ending(user, before), said::blocked(user, 2, before));
    for _ in 0..2 {
        service.peers.say(&ending).await;
        service.peers.say(&blocked).await;
    }
    let lifted = said::unblocked(user, 3, before);
    service.peers.say(&lifted).await;
    service.peers.say(&said::blocked(user, 4, before)).await;
    service.peers.say(&said::unblocked(user, 5, before)).await;
    let letters = inbox_of(&service, user).await;
    assert_eq!(
        kinds(&letters),
        [
            "account_unblocked",
            "account_blocked",
            "account_unblocked",
            "account_blocked",
            "subscription_ending",
        ]
    );
    for letter in &letters {
        let at: shared::clock::Instant = letter["occurred_at"].as_str().unwrap().parse().unwrap();
        assert!((before..=service.peers.now()).contains(&at), "{letter:#}");
    }
    service.stop().await;
}

/// Until letters stopped to repeat it.
#[tokio::test]
async fn what_an_older_program_left_in_letters_of_what_was_typed_is_cleared() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let (user, now) = (service.new_user(), service.peers.now());
        for _ in 0..2 {
            service.peers.say(&refused(user, 1_000, 89_000, now)).await;
        }
        let unknown = |found: &str| {
            let mut reason = json!({"code": "unknown_promocode", "detail": "No.", "expected": "x"});
            reason["found"] = json!(found);
            reason
        };
        let conn = service.db.writer();
        for (sql, rows) in [
            (
                "DELETE FROM seaql_migrations WHERE version LIKE '%_typed'".to_owned(),
                1,
            ),
            (
                format!(
                    "UPDATE letters SET data = '{}'",
                    json!({"cost": 1, "reasons": [unknown("john.doe")]})
                ),
                2,
            ),
        ] {
            let done = conn.execute_unprepared(&sql).await.unwrap();
            assert_eq!(done.rows_affected(), rows, "{sql}");
        }
        (notifications::definition().migrate)(conn).await.unwrap();
        for letter in inbox_of(&service, user).await {
            let expected = json!([{"code": "unknown_promocode", "detail": "No.", "expected": "x"}]);
            assert_eq!(letter["data"], json!({"cost": 1, "reasons": expected}));
        }
        service.stop().await;
    }
}

#[tokio::test]
async fn letters_tell_the_time_in_the_zone_of_their_reader_or_of_the_platform() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let clock = std::sync::Arc::new(shared::clock::SystemClock);
        let service = TestService::start_with(notifications::definition(), database, clock, |config| {
            config.time_zone = "Asia/Kolkata".parse().unwrap();
        })
        .await;
        let (user, other) = (service.new_user(), service.new_user());
        let now = service.peers.now();
        for reader in [user, other] {
            service.peers.say(&registered(reader, Locale::En, now)).await;
        }
        let chosen = UserState {
            time_zone: "Asia/Tokyo".parse().ok(),
            ..said::state(user, 2, UserStatus::Active, Locale::Ru, now)
        };
        service.peers.say(&UserUpdatedV1(chosen)).await;
        for reader in [user, other] {
            service.peers.say(&paid(reader, 1_000, 89_000, now)).await;
        }
        for (reader, zone) in [(user, "UTC+9."), (other, "UTC+5:30.")] {
            let letters = inbox_of(&service, reader).await;
            let body = plain(&letters[0]["body"]);
            assert!(body.ends_with(zone), "{body}");
        }
        service.stop().await;
    }
}
