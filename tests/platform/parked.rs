//! Messages that can't be applied, as an administrator deals with them at the shell.

use std::process::Output;

use sea_orm::{ActiveValue::Set, EntityTrait as _};
use serde_json::json;
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{
        Envelope, Locale, Message as _, ReportPurchaseV1, ServiceName, UserRegisteredV1, UserState,
        UserStatus,
    },
    db::{Db, url_of_file},
    ids::{MessageId, PurchaseId, UserId},
    inbox::{self, Status},
    testing::eventually,
    users,
};

use crate::{
    broker::Broker,
    platform::{Platform, run_command},
};

/// The stranger whom a message tells about.
fn stranger() -> (Envelope, UserId) {
    let now = SystemClock.now();
    let user_id = UserId::new(now);
    let message = UserRegisteredV1(UserState {
        user_id,
        version: 1,
        status: UserStatus::Active,
        locale: Locale::En,
        time_zone: None,
        registered_at: now,
    });
    let envelope = Envelope::seal(MessageId::new(now), "auth", now, None, &message).unwrap();
    (envelope, user_id)
}

async fn is_known(db: &Db, user: UserId) {
    eventually("the stranger is known", || async {
        users::find(db.reader(), user).await.unwrap()
    })
    .await;
}

/// `kopeck parked …` beside the platform.
async fn parked(platform: &Platform, arguments: &[&str]) -> Output {
    let arguments: Vec<_> = ["parked"].iter().chain(arguments).copied().collect();
    run_command(&arguments, platform.environment(), "").await
}

/// What a command shows that does what it is told.
async fn shown(platform: &Platform, arguments: &[&str]) -> String {
    let output = parked(platform, arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Why a command does not do what it is told.
async fn refused(platform: &Platform, arguments: &[&str]) -> String {
    let output = parked(platform, arguments).await;
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn eventually_shown(platform: &Platform, arguments: &[&str], expected: &str) -> String {
    eventually(&format!("{expected:?} is shown"), || async {
        let shown = shown(platform, arguments).await;
        shown.contains(expected).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_message_is_shown_replayed_and_dropped() {
    let platform = Platform::distributed().await;
    let broker = Broker::of(&platform);
    assert_eq!(shown(&platform, &["list"]).await, "nothing is parked\n");

    let (mut poison, _) = stranger();
    poison.data = json!({"user_id": "nobody"});
    broker.say(&poison).await;
    let list = eventually_shown(&platform, &["list"], "3 messages are parked").await;
    let id = poison.id.to_string();
    for expected in [
        &id,
        UserRegisteredV1::TYPE,
        &poison.subject.to_string(),
        "failed once",
        "can't be read",
    ] {
        assert_eq!(list.matches(expected).count(), 3, "{expected}:\n{list}");
    }
    for service in ["loyalty", "billing", "notifications"] {
        assert!(list.contains(&format!("{service}  {id}")), "{list}");
    }
    let page = shown(&platform, &["list", "--limit", "1"]).await;
    assert_eq!(page.matches(&id).count(), 1, "{page}");
    assert!(
        page.contains("3 messages are parked; these are the oldest 1"),
        "{page}"
    );
    let whole = shown(&platform, &["show", &id, "--only", "billing"]).await;
    assert!(whole.contains("\"user_id\": \"nobody\""), "{whole}");

    // It is no better than before.
    let replayed = shown(&platform, &["replay", &id]).await;
    assert_eq!(replayed.matches("will be tried again").count(), 3, "{replayed}");
    let list = eventually_shown(&platform, &["list"], "3 messages are parked").await;
    assert_eq!(list.matches("failed once").count(), 3, "{list}");

    let dropped = shown(&platform, &["drop", &id, "--only", "loyalty"]).await;
    assert!(
        dropped.contains("loyalty") && dropped.contains(": dropped"),
        "{dropped}"
    );
    let dropped = shown(&platform, &["drop", "--all"]).await;
    assert!(dropped.contains("2 messages dropped"), "{dropped}");
    let whole = shown(&platform, &["show", &id]).await;
    assert!(
        whole.contains("was dropped") && whole.contains("erased"),
        "{whole}"
    );

    // Each service keeps who decided: nobody but the command line.
    let log = platform
        .admin
        .get(&format!("/billing/v1/audit?subject={id}"))
        .await
        .expect(200);
    let log = log["items"].as_array().unwrap();
    let told: Vec<_> = log
        .iter()
        .map(|entry| (&entry["action"], entry.get("actor")))
        .collect();
    let (replayed, dropped) = (json!("parked.replay"), json!("parked.drop"));
    assert_eq!(told, [(&dropped, None), (&replayed, None)]);

    // The same again, and behind it somebody who is let in.
    broker.say(&poison).await;
    let (message, user) = stranger();
    broker.say(&message).await;
    for service in [
        ServiceName::Loyalty,
        ServiceName::Billing,
        ServiceName::Notifications,
    ] {
        is_known(&platform.database(service).await, user).await;
    }
    let nothing = shown(&platform, &["list", "--retrying"]).await;
    assert_eq!(nothing, "nothing is parked or tried again\n");

    let why = refused(&platform, &["replay", &id]).await;
    assert!(
        why.contains("is not parked") && why.contains("in billing it was dropped"),
        "{why}"
    );
    let why = refused(&platform, &["drop", &message.id.to_string()]).await;
    assert!(why.contains("in billing it was applied"), "{why}");
    let nobody = MessageId::new(SystemClock.now()).to_string();
    for command in ["replay", "drop"] {
        let why = refused(&platform, &[command, &nobody]).await;
        assert!(why.contains(&format!("{nobody} is not known")), "{why}");
    }
    assert!(refused(&platform, &["show", &nobody]).await.contains(&nobody));
    assert!(
        refused(&platform, &["drop", "nonsense"])
            .await
            .contains("kopeck parked list")
    );
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_gave_up_is_applied_once_however_many_replay_it() {
    let mut platform = Platform::distributed().await;
    let broker = Broker::of(&platform);
    let db = platform.database(ServiceName::Billing).await;
    let (message, user) = stranger();
    let body = serde_json::to_string(&message).unwrap();
    broker.publish("kopeck.dead", "billing.v1", &body).await;
    eventually_shown(&platform, &["list"], "the broker gave up delivering it").await;
    assert_eq!(users::find(db.reader(), user).await.unwrap(), None);

    let id = message.id.to_string();
    let replay = ["replay", id.as_str()];
    let replays = [(); 4].map(|()| parked(&platform, &replay));
    let replays = futures::future::join_all(replays).await;
    let done = replays.iter().filter(|output| output.status.success()).count();
    assert_eq!(done, 1, "{replays:?}");
    is_known(&db, user).await;
    eventually("it is applied", || async {
        let why = refused(&platform, &["replay", &id]).await;
        why.contains("in billing it was applied").then_some(())
    })
    .await;
    let log = platform.cluster().folder().join("billing-1.log");
    let log = std::fs::read_to_string(log).unwrap();
    // With its level: another line says that it "could not be applied".
    let applied = |line: &&str| line.contains(" INFO applied ") && line.contains(&id);
    let applied: Vec<_> = log.lines().filter(applied).collect();
    assert_eq!(applied.len(), 1, "{applied:#?}");
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_keeps_failing_is_shown_while_it_is_tried_and_counted_anew_when_replayed() {
    let platform = Platform::distributed().await;
    let broker = Broker::of(&platform);
    let db = platform.database(ServiceName::Billing).await;
    let now = SystemClock.now();
    let purchase_id = PurchaseId::new(now);
    let message = ReportPurchaseV1 { purchase_id };
    let message = Envelope::seal(MessageId::new(now), "loyalty", now, None, &message).unwrap();
    broker.say(&message).await;
    let list = eventually_shown(&platform, &["list", "--retrying"], "tried again at").await;
    assert!(
        list.contains(&format!("there is no purchase {purchase_id}")),
        "{list}"
    );
    assert_eq!(shown(&platform, &["list"]).await, "nothing is parked\n");
    let id = message.id.to_string();
    let why = refused(&platform, &["drop", &id]).await;
    assert!(why.contains("is tried again by itself"), "{why}");

    // Twenty minutes later.
    let nearly = inbox::entity::ActiveModel {
        id: Set(message.id),
        attempts: Set(11),
        next_attempt_at: Set(Some(now)),
        ..Default::default()
    };
    inbox::entity::Entity::update(nearly)
        .exec(db.writer())
        .await
        .unwrap();
    eventually_shown(&platform, &["list"], "failed 12 times, parked").await;
    shown(&platform, &["replay", "--all", "--only", "billing"]).await;
    // Counted anew: it is not parked at its next failure.
    let list = eventually_shown(&platform, &["list", "--retrying"], "tried again at").await;
    assert!(!list.contains("failed 12 times"), "{list}");
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_replayed_beside_a_platform_in_one_process() {
    let platform = Platform::embedded().await;
    let (_, folder) = &platform.environment()[0];
    let file = std::path::Path::new(folder).join("billing.db");
    let clock = std::sync::Arc::new(SystemClock);
    let db = Db::open_existing(ServiceName::Billing, &url_of_file(&file), clock)
        .await
        .unwrap();
    let (message, user) = stranger();
    let row = inbox::entity::ActiveModel {
        id: Set(message.id),
        status: Set(Status::Parked),
        received_at: Set(SystemClock.now()),
        attempts: Set(12),
        next_attempt_at: Set(None),
        error: Set(Some("\u{1b}[2Jit failed".to_owned())),
        body: Set(Some(serde_json::to_string(&message).unwrap())),
    };
    inbox::entity::Entity::insert(row)
        .exec_without_returning(db.writer())
        .await
        .unwrap();
    let list = shown(&platform, &["list"]).await;
    assert!(
        list.contains("1 message is parked") && list.contains("failed 12 times"),
        "{list}"
    );
    assert!(list.contains("it failed") && !list.contains('\u{1b}'), "{list}");
    shown(&platform, &["replay", &message.id.to_string()]).await;
    is_known(&db, user).await;
    assert_eq!(shown(&platform, &["list"]).await, "nothing is parked\n");
    db.close().await;
    platform.finish().await;
}

#[tokio::test]
async fn looking_for_parked_messages_makes_no_databases() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    for arguments in [vec!["list"], vec!["drop", "--all"]] {
        let arguments: Vec<_> = ["parked", "--data", &data].into_iter().chain(arguments).collect();
        let output = run_command(&arguments, &[], "").await;
        assert!(!output.status.success(), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
