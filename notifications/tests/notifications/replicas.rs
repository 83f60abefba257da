//! Replicas of the service on one database.

use chrono::Duration;
use futures::future::join_all;
use secrecy::SecretString;
use shared::{
    clock::SystemClock,
    contracts::{Envelope, Locale},
    testing::{TestDatabase, TestService, new_postgres_database},
};

use crate::{
    inbox_of,
    said::{credited, failed, paid, registered},
};

async fn replica(url: &str) -> TestService {
    let url = SecretString::from(url);
    TestService::start_with(
        notifications::definition(),
        TestDatabase::Postgres,
        std::sync::Arc::new(SystemClock),
        |config| config.notifications.database_url = Some(url),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_duplicates_over_several_replicas_makes_one_letter_each() {
    const USERS: usize = 10;
    let url = new_postgres_database().await;
    let replicas = [replica(&url).await, replica(&url).await, replica(&url).await];
    let (first, now) = (&replicas[0], replicas[0].peers.now());
    let users: Vec<_> = (0..USERS).map(|_| first.new_user()).collect();
    let (mut registrations, mut credits, mut payments, mut failures) = (vec![], vec![], vec![], vec![]);
    for user in &users {
        registrations.push(registered(*user, Locale::En, now));
        for second in 1..=4 {
            let at = now + Duration::seconds(second);
            credits.push(credited(*user, second, second, at));
            payments.push(paid(*user, second, second, at));
            failures.push(failed(*user, second, second, at));
        }
    }
    let said = || -> Vec<Envelope> {
        let mut said = first.peers.seal_all(&registrations);
        said.extend(first.peers.seal_all(&credits));
        said.extend(first.peers.seal_all(&payments));
        said.extend(first.peers.seal_all(&failures));
        said
    };
    // The same ids everywhere, and the same content under other ids, in different orders.
    let same = said();
    join_all(
        replicas
            .iter()
            .enumerate()
            .flat_map(|(index, replica)| {
                let mut again = same.clone();
                let mut anew = said();
                let turn = index * again.len() / 3;
                again.rotate_left(turn);
                anew.rotate_right(turn);
                anew.reverse();
                [(replica, again), (replica, anew)]
            })
            .map(|(replica, said)| async move {
                for batch in said.chunks(25) {
                    replica.peers.deliver(batch).await;
                }
            }),
    )
    .await;

    for user in users {
        assert_eq!(inbox_of(first, user).await.len(), 1 + 3 * 4);
    }
    for replica in replicas {
        let stuck = shared::inbox::parked(replica.db.reader(), 10).await.unwrap();
        assert_eq!(stuck, []);
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_read_by_many_at_once_was_read_once() {
    let url = new_postgres_database().await;
    let service = replica(&url).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service.peers.say(&credited(user, 1, 1, now)).await;
    let id = inbox_of(&service, user).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/notifications/v1/letters/{id}/read");
    let api = service.api_of(user);
    let body = serde_json::json!({});
    let answers = join_all((0..20).map(|_| api.post(&path, &body))).await;
    let mut read_at: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect(200)["read_at"].as_str().unwrap().to_owned())
        .collect();
    read_at.dedup();
    assert_eq!(read_at.len(), 1);
    service.stop().await;
}
