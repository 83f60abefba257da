//! Who was blocked or deleted, whatever token is still valid.

use shared::{
    contracts::{
        Locale, UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserState, UserStatus, UserUnblockedV1,
        UserUpdatedV1,
    },
    ids::{LetterId, UserId},
    testing::{Api, TestDatabase, TestService},
};

use crate::{inbox_of, kinds, said, start};

fn state(service: &TestService, user: UserId, version: i64, status: UserStatus) -> UserState {
    said::state(user, version, status, Locale::En, service.peers.now())
}

async fn is_refused(service: &TestService, api: &Api, status: u16, code: &str) {
    let id = LetterId::new(service.peers.now());
    api.get("/notifications/v1/letters")
        .await
        .expect_problem(status, code);
    api.get("/notifications/v1/letters/unread-count")
        .await
        .expect_problem(status, code);
    let path = format!("/notifications/v1/letters/{id}/read");
    api.post(&path, &serde_json::json!({}))
        .await
        .expect_problem(status, code);
}

#[tokio::test]
async fn a_blocked_user_is_refused_as_soon_as_the_event_has_arrived() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let service = start(database).await;
        let user = service.new_user();
        let api = service.api_of(user);
        let registered = UserRegisteredV1(state(&service, user, 1, UserStatus::Active));
        service.peers.say(&registered).await;
        api.get("/notifications/v1/letters").await.expect(200);

        service
            .peers
            .say(&UserBlockedV1(state(&service, user, 3, UserStatus::Blocked)))
            .await;
        is_refused(&service, &api, 403, "user_blocked").await;

        // What is older changes nothing, under whatever message id.
        service.peers.say(&registered).await;
        service
            .peers
            .say(&UserUpdatedV1(state(&service, user, 2, UserStatus::Active)))
            .await;
        service
            .peers
            .say(&UserUnblockedV1(state(&service, user, 3, UserStatus::Active)))
            .await;
        is_refused(&service, &api, 403, "user_blocked").await;

        service
            .peers
            .say(&UserUnblockedV1(state(&service, user, 4, UserStatus::Active)))
            .await;
        api.get("/notifications/v1/letters").await.expect(200);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_block_that_overtakes_the_registration_holds() {
    let service = start(TestDatabase::Sqlite).await;
    let user = service.new_user();
    let api = service.api_of(user);
    service
        .peers
        .say(&UserBlockedV1(state(&service, user, 2, UserStatus::Blocked)))
        .await;
    service
        .peers
        .say(&UserRegisteredV1(state(&service, user, 1, UserStatus::Active)))
        .await;
    is_refused(&service, &api, 403, "user_blocked").await;

    service
        .peers
        .say(&UserUnblockedV1(state(&service, user, 3, UserStatus::Active)))
        .await;
    let letters = inbox_of(&service, user).await;
    let mut kinds = kinds(&letters);
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["account_blocked", "account_unblocked", "welcome"],
        "a late fact is not dropped"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_block_and_its_lift_in_one_batch_leave_the_newer() {
    let service = start(TestDatabase::Sqlite).await;
    let user = service.new_user();
    let api = service.api_of(user);
    let mut batch = service
        .peers
        .seal_all(&[UserUnblockedV1(state(&service, user, 3, UserStatus::Active))]);
    batch.extend(
        service
            .peers
            .seal_all(&[UserBlockedV1(state(&service, user, 4, UserStatus::Blocked))]),
    );
    batch.extend(
        service
            .peers
            .seal_all(&[UserBlockedV1(state(&service, user, 2, UserStatus::Blocked))]),
    );
    service.peers.deliver(&batch).await;
    is_refused(&service, &api, 403, "user_blocked").await;
    service.stop().await;
}

#[tokio::test]
async fn a_deleted_user_s_token_is_no_longer_good() {
    let service = start(TestDatabase::Sqlite).await;
    let user = service.new_user();
    let api = service.api_of(user);
    service
        .peers
        .say(&UserRegisteredV1(state(&service, user, 1, UserStatus::Active)))
        .await;
    service
        .peers
        .say(&UserDeletedV1(state(&service, user, 2, UserStatus::Deleted)))
        .await;
    is_refused(&service, &api, 401, "invalid_token").await;
    service
        .peers
        .say(&UserUnblockedV1(state(&service, user, 1, UserStatus::Active)))
        .await;
    is_refused(&service, &api, 401, "invalid_token").await;
    service.stop().await;
}

#[tokio::test]
async fn what_happens_to_a_blocked_user_s_money_still_has_its_letter() {
    let service = start(TestDatabase::Sqlite).await;
    let (user, now) = (service.new_user(), service.peers.now());
    service
        .peers
        .say(&UserBlockedV1(state(&service, user, 2, UserStatus::Blocked)))
        .await;
    service.peers.say(&said::debited(user, 1, 1, now)).await;
    let path = format!("/notifications/v1/letters?user_id={user}");
    let seen = service.api_of_admin().get(&path).await.expect(200);
    let letters = seen["items"].as_array().unwrap();
    assert!(kinds(letters).contains(&"wallet_debited"), "{seen:#}");
    service.stop().await;
}
