//! What a user wants mailed, and what an administrator has mailed again.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    contracts::{Locale, Permission},
    ids::LetterId,
    testing::TestDatabase,
};

use crate::{
    inbox_of,
    post_office::Mailing,
    said::{self, credited, registered},
    start,
};

const PREFERENCES: &str = "/notifications/v1/preferences";
const BOTH: [TestDatabase; 2] = [TestDatabase::Sqlite, TestDatabase::Postgres];

#[tokio::test]
async fn a_kind_that_is_not_wanted_stays_in_the_inbox() {
    for database in BOTH {
        let mailing = Mailing::start(database).await;
        let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
        let api = mailing.service.api_of(user);
        let mut all = api.get(PREFERENCES).await.expect(200);
        assert!(
            all["mail"]
                .as_object()
                .unwrap()
                .values()
                .all(|mailed| *mailed == true),
            "{all:#}"
        );
        let wanted = json!({"mail": {"wallet_credited": false}});
        all["mail"]["wallet_credited"] = json!(false);
        for _ in 0..2 {
            let answer = api
                .send(api.request(Method::PUT, PREFERENCES).json(&wanted))
                .await;
            assert_eq!(answer.expect(200), all);
        }
        assert_eq!(api.get(PREFERENCES).await.expect(200), all);

        let peers = &mailing.service.peers;
        peers.say(&credited(user, 1, 1, now)).await;
        peers.say(&said::blocked(user, 2, now)).await;
        peers.say(&said::unblocked(user, 3, now)).await;
        let stranger = mailing.new_user("boris@example.com");
        peers.say(&credited(stranger, 1, 1, now)).await;
        let mails = mailing.server.take(3).await;
        let to_boris = mails.iter().filter(|mail| mail.to == "boris@example.com");
        assert_eq!(to_boris.count(), 1, "one's preferences are one's own");
        assert!(
            !mails
                .iter()
                .any(|mail| mail.to == "anna@example.com" && mail.body.contains("RUB"))
        );
        assert_eq!(inbox_of(&mailing.service, user).await.len(), 3);

        // What is left out is wanted again.
        let answer = api
            .send(api.request(Method::PUT, PREFERENCES).json(&json!({"mail": {}})))
            .await;
        assert_eq!(answer.expect(200)["mail"]["wallet_credited"], true);
        peers.say(&credited(user, 2, 3, now)).await;
        mailing.server.take(4).await;
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn preferences_that_make_no_sense_are_refused() {
    let service = start(TestDatabase::Sqlite).await;
    let api = service.api_of(service.new_user());
    for wrong in [
        json!({}),
        json!({"mail": null}),
        json!({"mail": []}),
        json!({"mail": {"welcome": null}}),
        json!({"mail": {"welcome": "no"}}),
        json!({"mail": {"account_blocked": false}}),
        json!({"mail": {"love_letter": true}}),
        json!({"mail": {}, "sms": {}}),
    ] {
        let answer = api.send(api.request(Method::PUT, PREFERENCES).json(&wrong)).await;
        answer.expect_problem(422, "invalid_request");
    }
    let text = api.request(Method::PUT, PREFERENCES).body("{}");
    api.send(text).await.expect_problem(415, "unsupported_media_type");
    for method in [Method::GET, Method::PUT] {
        let request = service
            .api
            .request(method, PREFERENCES)
            .json(&json!({"mail": {}}));
        service
            .api
            .send(request)
            .await
            .expect_problem(401, "unauthenticated");
    }
    service.stop().await;
}

fn resend_path(letter: &Value) -> String {
    let id = letter["id"].as_str().unwrap();
    format!("/notifications/v1/letters/{id}/resend")
}

#[tokio::test]
async fn a_letter_is_mailed_again_under_an_id_of_its_own() {
    for database in BOTH {
        let mailing = Mailing::start(database).await;
        let (user, now) = (mailing.new_user("anna@example.com"), mailing.service.peers.now());
        mailing
            .service
            .peers
            .say(&registered(user, Locale::En, now))
            .await;
        let first = mailing.server.take(1).await;
        mailing
            .mail_of(user, "it is sent", |mail| mail["status"] == "sent")
            .await;
        let letter = &mailing.letters(user).await[0];
        let admin = mailing.service.api_of_admin();
        let answer = admin.post(&resend_path(letter), &json!({})).await.expect(202);
        assert_eq!(answer["mail"]["status"], "waiting");
        let both = mailing.server.take(2).await;
        assert_eq!(both[1].body, first[0].body);
        assert_ne!(both[1].id, first[0].id);
        assert_eq!(
            both[1].id,
            format!("<{}@example.com>", answer["mail"]["id"].as_str().unwrap())
        );

        let audit = admin.get("/notifications/v1/audit").await.expect(200);
        let entry = &audit["items"][0];
        assert_eq!(entry["action"], "letter.resend");
        assert_eq!(entry["subject"], letter["id"]);
        assert_eq!(
            entry["details"],
            json!({"user_id": user, "kind": "welcome", "last_mail": "sent"})
        );
        assert_eq!(audit["items"].as_array().unwrap().len(), 1);
        mailing.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_resend_at_once_one_does() {
    for database in BOTH {
        let mailing = Mailing::start(database).await;
        let (user, now) = (
            mailing.new_user("nobody@example.com"),
            mailing.service.peers.now(),
        );
        mailing.service.peers.say(&credited(user, 1, 1, now)).await;
        mailing
            .mail_of(user, "it has failed", |mail| mail["status"] == "failed")
            .await;
        mailing.auth.knows(user, "busy@example.com", true);
        let letter = &mailing.letters(user).await[0];
        let (admin, body, path) = (mailing.service.api_of_admin(), json!({}), resend_path(letter));
        let answers = join_all((0..8).map(|_| admin.post(&path, &body)).collect::<Vec<_>>()).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
        assert_eq!(done.len(), 1);
        for answer in refused {
            answer.expect_problem(409, "already_waiting");
        }
        mailing.service.stop().await;
    }
}

#[tokio::test]
async fn who_may_not_resend_does_not_and_what_can_t_be_is_refused() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service.peers.say(&credited(user, 1, 1, now)).await;
    let path = resend_path(&inbox_of(&service, user).await[0]);
    let unknown = resend_path(&json!({"id": LetterId::new(now)}));
    let body = json!({});
    service
        .api
        .post(&path, &body)
        .await
        .expect_problem(401, "unauthenticated");
    for permissions in [&[][..], &[Permission::LettersRead]] {
        let api = service.api.with_token(service.token(user, permissions));
        api.post(&path, &body).await.expect_problem(403, "forbidden");
    }
    let admin = service.api_of_admin();
    admin.post(&unknown, &body).await.expect_problem(404, "not_found");
    admin
        .post(&path, &body)
        .await
        .expect_problem(409, "mail_not_configured");
    let audit = admin.get("/notifications/v1/audit").await.expect(200);
    assert_eq!(audit, json!({"items": []}), "nothing was done");
    service.stop().await;
}
