//! Letters are mailed, at least once, and to nobody who should not get them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::Ordering},
};

use chrono::Duration;
use futures::future::join_all;
use sea_orm::ConnectionTrait as _;
use secrecy::SecretString;
use serde_json::json;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{Locale, MailPurpose, UserDeletedV1, UserStatus},
    testing::{MailServer, TestDatabase, eventually, new_postgres_database},
};

use crate::{
    post_office::Mailing,
    said::{self, credited, paid, registered},
    start,
};

const BOTH: [TestDatabase; 2] = [TestDatabase::Sqlite, TestDatabase::Postgres];

#[tokio::test]
async fn a_letter_is_mailed_once() {
    for database in BOTH {
        let mailing = Mailing::start(database).await;
        let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
        let peers = &mailing.service.peers;
        let bought = paid(user, 1_000, 89_000, now);
        peers.say(&registered(user, Locale::En, now)).await;
        peers.say(&bought).await;
        peers.say(&bought).await;
        let mails = mailing.server.take(2).await;
        let mail = mails
            .iter()
            .find(|mail| mail.body.contains("You bought"))
            .unwrap();
        assert_eq!(mail.to, "anna@example.com");
        assert_eq!(mail.from, "noreply@example.com");
        assert!(
            mail.body.contains("Cost: RUB 10.00\nBalance: RUB 890.00"),
            "{mail:?}"
        );

        peers.say(&bought).await;
        peers.say(&credited(user, 1, 1, now + Duration::seconds(1))).await;
        let mails = mailing.server.take(3).await;
        assert!(mails[2].body.contains("RUB 0.01"), "{mails:?}");
        let ids: BTreeSet<_> = mails.iter().map(|mail| &mail.id).collect();
        assert_eq!(ids.len(), 3);
        let known = mailing
            .mail_of(user, "it is known to be sent", |mail| mail["status"] == "sent")
            .await;
        let id = format!("<{}@example.com>", known["id"].as_str().unwrap());
        assert_eq!(mails[2].id, id);
        assert_eq!(known["attempts"], 1);
        assert!(known.get("next_attempt_at").is_none() && known["finished_at"].is_string());

        let own = mailing
            .service
            .api_of(user)
            .get("/notifications/v1/letters")
            .await
            .expect(200);
        assert!(
            !own.to_string().contains("\"mail\""),
            "it is for administrators: {own:#}"
        );
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn a_reason_of_any_length_is_mailed_as_it_was_put() {
    let mailing = Mailing::start(TestDatabase::Sqlite).await;
    let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
    let peers = &mailing.service.peers;
    // More bytes than a line of a mail may have.
    let reason = format!("<b>Дважды</b> & {}", "ы".repeat(500));
    let mut credited = credited(user, 100, 100, now);
    credited.by_administrator = true;
    credited.reason = Some(reason.clone());
    peers.say(&credited).await;
    let mails = mailing.server.take(1).await;
    assert!(mails[0].body.contains(&format!("Reason: {reason}")), "{mails:?}");
    mailing.service.stop().await;
}

#[tokio::test]
async fn a_secret_link_goes_into_the_mail_alone() {
    for database in BOTH {
        let mailing = Mailing::start(database).await;
        let user = mailing.service.new_user();
        let now = mailing.service.peers.now();
        let reset = said::mail_requested(user, MailPurpose::ResetPassword, now);
        let mut confirm = said::mail_requested(user, MailPurpose::ConfirmEmail, now);
        confirm.locale = Locale::Ru;
        mailing.auth.has_secret(&reset, "anna@example.com", "s3cr3t+1");
        mailing.auth.has_secret(&confirm, "anna@example.com", "s3cr3t2");
        for _ in 0..2 {
            mailing.service.peers.say(&reset).await;
            mailing.service.peers.say(&confirm).await;
        }
        let mails = mailing.server.take(2).await;
        let has = |line: &str| {
            mails
                .iter()
                .any(|mail| mail.body.lines().any(|found| found == line))
        };
        assert!(
            has("https://example.com/reset-password?token=s3cr3t%2B1"),
            "{mails:?}"
        );
        assert!(
            has("https://example.com/confirm-email?token=s3cr3t2"),
            "{mails:?}"
        );

        let letters = json!(mailing.letters(user).await);
        assert_eq!(letters.as_array().unwrap().len(), 1);
        assert_eq!(letters[0]["kind"], "password_reset");
        assert!(!letters.to_string().contains("s3cr3t"), "{letters:#}");
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn what_can_t_go_out_waits_until_the_server_is_back() {
    for database in BOTH {
        let mut mailing = Mailing::start(database).await;
        mailing.server.kill().await;
        let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
        mailing.service.peers.say(&credited(user, 1, 1, now)).await;
        let waiting = mailing
            .mail_of(user, "it was tried", |mail| mail["error"].is_string())
            .await;
        assert_eq!(waiting["status"], "waiting");
        assert!(waiting["next_attempt_at"].is_string());
        mailing.server.start_again().await;
        let mails = mailing.server.take(1).await;
        let sent = mailing
            .mail_of(user, "it is sent", |mail| mail["status"] == "sent")
            .await;
        assert_eq!(sent["id"], waiting["id"]);
        assert_eq!(
            mails[0].id,
            format!("<{}@example.com>", waiting["id"].as_str().unwrap())
        );
        assert_eq!(sent["attempts"], 1, "nobody was there to refuse it");
        assert!(sent.get("error").is_none());
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    let mailing = Mailing::start(TestDatabase::Sqlite).await;
    for (email, error) in [
        ("nobody@example.com", "the mail server answers 550 5.1.1"),
        ("spam@example.com", "the mail server answers 554 5.6.0"),
    ] {
        let (user, now) = (mailing.new_user(email), mailing.service.peers.now());
        mailing.service.peers.say(&credited(user, 1, 1, now)).await;
        let failed = mailing
            .mail_of(user, "it is given up", |mail| mail["status"] == "failed")
            .await;
        assert_eq!(failed["attempts"], 1);
        assert_eq!(failed["error"], error);
        assert!(
            !failed.to_string().contains(email),
            "an address is kept nowhere: {failed:#}"
        );
    }
    mailing.service.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_us_ends_no_mail_and_does_not_count() {
    for database in BOTH {
        for (mood, error) in [
            (
                "sender",
                "answers 550 5.7.1 to our sender (`notifications.mail_from`)",
            ),
            ("late_sender", "answers 550 5.1.8"),
            ("hello", "answers 550 when we connect"),
            ("closed", "answers 554 5.3.2 when we connect"),
        ] {
            let mut mailing = Mailing::start(database).await;
            mailing.server.changes_to(Some(mood)).await;
            let now = mailing.service.peers.now();
            let users =
                ["anna", "boris", "nobody"].map(|name| mailing.new_user(&format!("{name}@example.com")));
            for user in users {
                mailing.service.peers.say(&credited(user, 1, 1, now)).await;
            }
            let held = mailing
                .mail_of(users[0], "it was tried", |mail| mail["error"].is_string())
                .await;
            assert_eq!(
                (&held["status"], &held["attempts"]),
                (&json!("waiting"), &json!(0)),
                "{held:#}"
            );
            assert!(
                held["error"].as_str().unwrap().ends_with(error),
                "{mood}: {held:#}"
            );

            mailing.server.changes_to(None).await;
            let mails = mailing.server.take(2).await;
            let to: BTreeSet<_> = mails.iter().map(|mail| mail.to.as_str()).collect();
            assert_eq!(to, BTreeSet::from(["anna@example.com", "boris@example.com"]));
            for (user, status) in users.into_iter().zip(["sent", "sent", "failed"]) {
                let mail = mailing
                    .mail_of(user, "it is done with", |mail| mail["status"] == status)
                    .await;
                assert_eq!(mail["attempts"], 1, "{mail:#}");
            }
            mailing.service.stop().await;
        }
    }
}

#[tokio::test]
async fn a_refusal_that_may_mean_us_or_the_recipient_is_tried_again() {
    let mut mailing = Mailing::start(TestDatabase::Sqlite).await;
    mailing.server.changes_to(Some("relay")).await;
    let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
    mailing.service.peers.say(&credited(user, 1, 1, now)).await;
    let waiting = mailing
        .mail_of(user, "it was tried", |mail| mail["error"].is_string())
        .await;
    assert_eq!(waiting["status"], "waiting", "{waiting:#}");
    assert_eq!(waiting["error"], "the mail server answers 554 5.7.1");
    mailing.server.changes_to(None).await;
    mailing.server.take(1).await;
    mailing.service.stop().await;
}

#[tokio::test]
async fn during_an_outage_of_days_no_mail_is_given_up() {
    let clock = ManualClock::at(SystemClock.now());
    let mut mailing = Mailing::start_with(TestDatabase::Sqlite, Arc::new(clock.clone()), |_| {}).await;
    mailing.server.kill().await;
    let (user, now) = (mailing.new_user("anna@example.com"), clock.now());
    mailing.service.peers.say(&credited(user, 1, 1, now)).await;
    let tried = Mutex::new(BTreeSet::new());
    mailing
        .mail_of(user, "it was tried for days", |mail| {
            assert_eq!(mail["status"], "waiting", "{mail:#}");
            let mut tried = tried.lock().unwrap();
            if mail["error"].is_string() && tried.insert(mail["next_attempt_at"].to_string()) {
                clock.advance(Duration::hours(2));
            }
            tried.len() > 36
        })
        .await;
    mailing.server.start_again().await;
    clock.advance(Duration::hours(2));
    mailing.server.take(1).await;
    mailing.service.stop().await;
}

#[tokio::test]
async fn what_is_refused_for_now_is_given_up_at_last() {
    let clock = ManualClock::at(SystemClock.now());
    let mailing = Mailing::start_with(TestDatabase::Sqlite, Arc::new(clock.clone()), |_| {}).await;
    let (user, now) = (mailing.new_user("busy@example.com"), clock.now());
    mailing.service.peers.say(&credited(user, 1, 1, now)).await;
    let first = mailing
        .mail_of(user, "it was tried", |mail| mail["error"].is_string())
        .await;
    assert_eq!(first["status"], "waiting");
    assert_eq!(first["error"], "the mail server answers 451 4.2.1");
    let last = mailing
        .mail_of(user, "it is given up", |mail| {
            // Past any pause.
            clock.advance(Duration::hours(2));
            mail["status"] == "failed"
        })
        .await;
    assert_eq!(last["error"], "the mail server answers 451 4.2.1");
    let tried = last["attempts"].as_i64().unwrap();
    assert!((30..=40).contains(&tried), "{last:#}");
    assert!(mailing.server.mails().is_empty());
    mailing.service.stop().await;
}

#[tokio::test]
async fn what_is_no_fault_of_a_mail_does_not_end_it() {
    let server = MailServer::start_with_passwords().await;
    let address = server.address;
    for url in [
        format!("smtp://u:wrong@{address}"),
        format!("smtp://{address}?tls=required"),
        format!("smtps://{address}"),
    ] {
        let mailing = Mailing::start_with(TestDatabase::Sqlite, Arc::new(SystemClock), |config| {
            config.notifications.mail_url = Some(SecretString::from(url.as_str()));
        })
        .await;
        let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
        mailing.service.peers.say(&credited(user, 1, 1, now)).await;
        let mail = mailing
            .mail_of(user, "it was tried", |mail| mail["error"].is_string())
            .await;
        assert_eq!(mail["status"], "waiting", "{url}: {mail:#}");
        assert!(!mail.to_string().contains("wrong"), "{mail:#}");
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn while_auth_is_away_mail_waits_and_a_deleted_user_gets_none() {
    for database in BOTH {
        let mailing = Mailing::start(database).await;
        mailing.auth.is_down.store(true, Ordering::SeqCst);
        let now = mailing.service.peers.now();
        let (gone, stays) = (
            mailing.new_user("gone@example.com"),
            mailing.new_user("stays@example.com"),
        );
        for user in [gone, stays] {
            mailing.service.peers.say(&credited(user, 1, 1, now)).await;
            let waiting = mailing
                .mail_of(user, "it was tried", |mail| mail["error"].is_string())
                .await;
            assert_eq!(waiting["status"], "waiting");
        }
        let deleted = said::state(gone, 2, UserStatus::Deleted, Locale::En, now);
        mailing.service.peers.say(&UserDeletedV1(deleted)).await;
        let skipped = mailing
            .mail_of(gone, "it is given up", |mail| mail["status"] == "skipped")
            .await;
        assert_eq!(skipped["error"], "the account is deleted");
        // What comes after the deletion is not mailed either.
        mailing
            .service
            .peers
            .say(&credited(gone, 1, 1, now + Duration::seconds(1)))
            .await;
        mailing
            .mail_of(gone, "that is given up too", |mail| mail["status"] == "skipped")
            .await;

        mailing.auth.is_down.store(false, Ordering::SeqCst);
        let mails = mailing.server.take(1).await;
        assert_eq!(mails[0].to, "stays@example.com");
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn whoever_auth_does_not_know_gets_nothing_and_new_keys_do_not_stop_the_mail() {
    let mailing = Mailing::start(TestDatabase::Sqlite).await;
    let now = mailing.service.peers.now();
    let (unknown, known) = (mailing.service.new_user(), mailing.new_user("anna@example.com"));
    mailing.auth.forgets(unknown);
    mailing.service.peers.say(&credited(unknown, 1, 1, now)).await;
    mailing
        .mail_of(unknown, "it is not sent", |mail| mail["status"] == "skipped")
        .await;
    mailing.auth.changes_its_keys();
    mailing.service.peers.say(&credited(known, 1, 1, now)).await;
    mailing.server.take(1).await;
    // An upgraded auth asks for a permission that tokens of the older one lack.
    mailing.auth.asks_for_more.store(true, Ordering::SeqCst);
    mailing.auth.changes_its_keys();
    mailing.service.peers.say(&credited(known, 2, 2, now)).await;
    mailing.server.take(2).await;
    mailing.service.stop().await;
}

#[tokio::test]
async fn a_link_that_is_good_no_more_is_not_sent() {
    let mailing = Mailing::start(TestDatabase::Sqlite).await;
    let now = mailing.service.peers.now();
    let user = mailing.new_user("anna@example.com");
    let old = said::mail_requested(user, MailPurpose::ResetPassword, now - Duration::days(2));
    mailing.auth.has_secret(&old, "anna@example.com", "old");
    mailing.service.peers.say(&old).await;
    // Auth has none any more: it was used, or another was asked for.
    let used = said::mail_requested(user, MailPurpose::ResetPassword, now);
    mailing.service.peers.say(&used).await;
    mailing.service.peers.say(&credited(user, 1, 1, now)).await;
    mailing.server.take(1).await;
    let sql = "SELECT count(*) AS found FROM mails WHERE status = 'skipped'";
    eventually("both are given up", || async {
        (count(&mailing.service.db, sql).await == 2).then_some(())
    })
    .await;
    mailing.service.stop().await;
}

#[tokio::test]
async fn an_unconfirmed_address_gets_what_is_about_the_account_only() {
    let mailing = Mailing::start(TestDatabase::Sqlite).await;
    let (user, now) = (mailing.service.new_user(), mailing.service.peers.now());
    mailing.auth.knows(user, "anna@example.com", false);
    let peers = &mailing.service.peers;
    peers.say(&credited(user, 1, 1, now)).await;
    let skipped = mailing
        .mail_of(user, "it is not sent", |mail| mail["status"] == "skipped")
        .await;
    assert_eq!(skipped["error"], "the address is not confirmed");
    peers.say(&registered(user, Locale::En, now)).await;
    peers.say(&said::blocked(user, 2, now)).await;
    let mut subjects: Vec<_> = mailing
        .server
        .take(2)
        .await
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    subjects.sort();
    assert_eq!(subjects, ["Welcome", "Your account was blocked"]);
    mailing.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_mail_each_letter_once() {
    const USERS: usize = 60;
    let url = new_postgres_database().await;
    let on_it = |config: &mut shared::config::Config| {
        config.notifications.database_url = Some(SecretString::from(url.as_str()));
    };
    let clock = || Arc::new(SystemClock);
    let first = Mailing::start_with(TestDatabase::Postgres, clock(), on_it).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        let (server, auth) = (first.server.address, first.auth_url.clone());
        let other = Mailing::start_with(TestDatabase::Postgres, clock(), |config| {
            on_it(config);
            config.notifications.mail_url = Some(SecretString::from(format!("smtp://{server}")));
            config.auth.url = Some(auth);
        })
        .await;
        others.push(other);
    }
    let now = first.service.peers.now();
    let said: Vec<_> = (0..USERS)
        .map(|number| credited(first.new_user(&format!("u{number}@example.com")), 1, 1, now))
        .collect();
    join_all(others.iter().chain([&first]).map(|replica| async {
        replica
            .service
            .peers
            .deliver(&replica.service.peers.seal_all(&said))
            .await
    }))
    .await;
    let mails = first.server.take(USERS).await;
    let to: BTreeSet<_> = mails.iter().map(|mail| &mail.to).collect();
    assert_eq!(to.len(), USERS);
    for mailing in others.into_iter().chain([first]) {
        mailing.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_had_in_hand_when_it_ended_another_takes_up_in_time() {
    let url = new_postgres_database().await;
    let on_it = |config: &mut shared::config::Config| {
        config.notifications.database_url = Some(SecretString::from(url.as_str()));
    };
    let clock = ManualClock::at(SystemClock.now());
    let first = Mailing::start_with(TestDatabase::Postgres, Arc::new(clock.clone()), on_it).await;
    first.auth.hangs.store(true, Ordering::SeqCst);
    let (user, now) = (first.new_user("anna@example.com"), clock.now());
    first.service.peers.say(&credited(user, 1, 1, now)).await;
    first
        .mail_of(user, "it is taken up", |mail| mail["attempts"] == 1)
        .await;
    // It ends, with the mail in its hand.
    first.service.stop().await;

    let second = Mailing::start_with(TestDatabase::Postgres, Arc::new(clock.clone()), on_it).await;
    second.auth.knows(user, "anna@example.com", true);
    let other = second.new_user("boris@example.com");
    second.service.peers.say(&credited(other, 1, 1, now)).await;
    assert_eq!(
        second.server.take(1).await[0].to,
        "boris@example.com",
        "what somebody may have in hand is left to them"
    );
    clock.advance(Duration::minutes(3));
    assert_eq!(second.server.take(2).await[1].to, "anna@example.com");
    let sent = second
        .mail_of(user, "it is sent", |mail| mail["status"] == "sent")
        .await;
    assert_eq!(sent["attempts"], 2);
    second.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_took_is_not_sent_again_when_the_process_ends_over_another() {
    let url = new_postgres_database().await;
    let on_it = |config: &mut shared::config::Config| {
        config.notifications.database_url = Some(SecretString::from(url.as_str()));
    };
    let clock = ManualClock::at(SystemClock.now());
    let first = Mailing::start_with(TestDatabase::Postgres, Arc::new(clock.clone()), on_it).await;
    let now = clock.now();
    let users = ["anna", "boris", "slow", "vera"].map(|name| {
        let email = format!("{name}@example.com");
        (first.new_user(&email), email)
    });
    // All in one batch, so that they are taken up together.
    let said: Vec<_> = users.iter().map(|(user, _)| credited(*user, 1, 1, now)).collect();
    let peers = &first.service.peers;
    peers.deliver(&peers.seal_all(&said)).await;
    first.server.take(3).await;
    for (user, email) in &users {
        if email.starts_with("slow") {
            continue;
        }
        let status = format!("{email} is noted though another is in hand");
        first
            .mail_of(*user, &status, |mail| mail["status"] == "sent")
            .await;
    }
    // It ends, with one mail in its hand.
    first.service.stop().await;

    let second = Mailing::start_with(TestDatabase::Postgres, Arc::new(clock.clone()), |config| {
        on_it(config);
        config.notifications.mail_url = Some(SecretString::from(format!("smtp://{}", first.server.address)));
        config.auth.url = Some(first.auth_url.clone());
    })
    .await;
    clock.advance(Duration::minutes(3));
    let mails = first.server.take(4).await;
    let to: BTreeSet<_> = mails.iter().map(|mail| mail.to.clone()).collect();
    assert_eq!(to, users.iter().map(|(_, email)| email.clone()).collect());
    second.service.stop().await;
}

#[tokio::test]
async fn without_a_mail_server_nothing_piles_up() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service.peers.say(&credited(user, 1, 1, now)).await;
    service
        .peers
        .say(&said::mail_requested(user, MailPurpose::ResetPassword, now))
        .await;
    assert_eq!(count(&service.db, "SELECT count(*) AS found FROM mails").await, 0);
    service.stop().await;
}

async fn count(db: &shared::db::Db, sql: &str) -> i64 {
    let row = db.reader().query_one_raw(sea_orm::Statement::from_string(
        db.reader().get_database_backend(),
        sql.to_owned(),
    ));
    row.await.unwrap().unwrap().try_get("", "found").unwrap()
}
