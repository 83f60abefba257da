//! No outcome has a second letter.

use chrono::Duration;
use shared::{
    contracts::{Envelope, Locale, Message},
    ids::MessageId,
    testing::{Peers, TestDatabase},
};

use crate::{
    inbox_of, kinds,
    said::{credited, debited, failed, paid, refused, registered, top_up_failed, withdrawal_failed},
    start, unread,
};

/// One envelope three times, and the content twice more under ids of their own.
fn repeated<M: Message>(peers: &Peers, message: &M) -> Vec<Envelope> {
    let seal = || peers.seal(MessageId::new(peers.now()), message);
    let original = seal();
    vec![original.clone(), seal(), original.clone(), seal(), original]
}

async fn no_repeat_makes_a_second_letter(database: TestDatabase) {
    let service = start(database).await;
    let (user, now) = (service.new_user(), service.peers.now());
    let peers = &service.peers;
    let mut said = Vec::new();
    said.extend(repeated(peers, &registered(user, Locale::En, now)));
    said.extend(repeated(peers, &credited(user, 100, 100, now)));
    said.extend(repeated(peers, &debited(user, 50, 50, now)));
    said.extend(repeated(peers, &withdrawal_failed(user, 500, 50, now)));
    said.extend(repeated(peers, &top_up_failed(user, 500, 50, now)));
    said.extend(repeated(peers, &paid(user, 10, 40, now)));
    said.extend(repeated(peers, &failed(user, 500, 40, now)));
    said.extend(repeated(peers, &refused(user, 10, 40, now)));

    // All at once, then one by one, then the other way round.
    peers.deliver(&said).await;
    for envelope in &said {
        peers.deliver(std::slice::from_ref(envelope)).await;
    }
    said.reverse();
    peers.deliver(&said).await;

    let letters = inbox_of(&service, user).await;
    let mut kinds = kinds(&letters);
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "purchase_failed",
            "purchase_failed",
            "purchase_paid",
            "top_up_failed",
            "wallet_credited",
            "wallet_debited",
            "welcome",
            "withdrawal_failed",
        ]
    );
    service.stop().await;
}

#[tokio::test]
async fn a_repeat_makes_no_second_letter() {
    no_repeat_makes_a_second_letter(TestDatabase::Sqlite).await;
}

#[tokio::test]
async fn a_repeat_makes_no_second_letter_on_postgres() {
    no_repeat_makes_a_second_letter(TestDatabase::Postgres).await;
}

#[tokio::test]
async fn an_outcome_said_again_leaves_its_letter_read() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    let event = paid(user, 10, 40, now);
    service.peers.say(&event).await;
    let api = service.api_of(user);
    let before = crate::inbox(&api).await;
    let path = format!(
        "/notifications/v1/letters/{}/read",
        before[0]["id"].as_str().unwrap()
    );
    let read = api.post(&path, &serde_json::json!({})).await.expect(200);

    service.peers.say(&event).await;
    assert_eq!(crate::inbox(&api).await, [read]);
    assert_eq!(unread(&api).await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_purchase_has_one_outcome() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    let paid = paid(user, 10, 40, now);
    let mut failed = failed(user, 10, 40, now + Duration::seconds(1));
    failed.purchase_id = paid.purchase_id;
    service.peers.say(&paid).await;
    service.peers.say(&failed).await;
    assert_eq!(kinds(&inbox_of(&service, user).await), ["purchase_paid"]);
    service.stop().await;
}
