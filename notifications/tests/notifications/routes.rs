//! Every route against its description.

use std::sync::atomic::Ordering;

use serde_json::json;
use shared::{
    ids::UserId,
    testing::{Call, Routes, TestDatabase, TestService},
};

use crate::{inbox_of, post_office::Mailing, said::credited, start};

/// The id of a letter that `user` has got.
async fn letter_of(service: &TestService, user: UserId) -> String {
    let now = service.peers.now();
    service.peers.say(&credited(user, 100, 100, now)).await;
    let letters = inbox_of(service, user).await;
    letters[0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_route_keeps_to_its_description() {
    let mailing = Mailing::start(TestDatabase::Sqlite).await;
    let service = &mailing.service;
    let mut routes = Routes::of(service).await;
    let anna = mailing.new_user("anna@example.com");
    let letter = &letter_of(service, anna).await;

    let list = Call::get("/letters").by(anna).query("unread", true);
    let page = routes.check(list.query("limit", 1)).await;
    assert_eq!(page["items"][0]["id"], *letter);
    let count = Call::get("/letters/unread-count").by(anna);
    assert_eq!(routes.check(count).await["unread"], 1);
    let one = Call::get("/letters/{id}").id(letter).by(anna);
    routes.check(one).await;
    for route in ["/letters/{id}/read", "/letters/{id}/unread"] {
        routes.check(Call::post(route).id(letter).by(anna)).await;
    }

    let resend = Call::post("/letters/{id}/resend").id(letter);
    mailing
        .mail_of(anna, "it is mailed", |mail| mail["status"] == "sent")
        .await;
    mailing.auth.hangs.store(true, Ordering::SeqCst);
    routes.check(resend.clone()).await;
    routes.refuse(resend, 409, "already_waiting").await;

    routes.check(Call::get("/preferences").by(anna)).await;
    let wanted = json!({"mail": {"welcome": false, "wallet_credited": true}});
    routes
        .check(Call::put("/preferences").by(anna).body(wanted))
        .await;

    routes.check_operation().await;

    let without_mail = start(TestDatabase::Sqlite).await;
    let letter = letter_of(&without_mail, anna).await;
    routes.go_on_at(&without_mail);
    let resend = Call::post("/letters/{id}/resend").id(letter);
    routes.refuse(resend, 409, "mail_not_configured").await;
    routes.finish();
}
