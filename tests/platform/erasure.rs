//! What tells of a person who is gone is found nowhere: in no database, file, cache, queue, parked
//! message or log.

mod person;

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{ActiveValue::Set, ConnectionTrait as _, DbBackend, EntityTrait as _, Statement};
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{Envelope, Locale, ServiceName, UserState, UserStatus, UserUpdatedV1},
    db::Db,
    ids::{MessageId, UserId},
    inbox::{self, Status},
    testing::{MailServer, eventually, eventually_within},
    users,
};

use crate::{
    broker::Broker,
    platform::{Platform, log_in, mailing_through},
    traces::{Found, Traces},
};
use person::{NAMES, Person, TYPED};

const REPLICAS: [ServiceName; 3] = [
    ServiceName::Loyalty,
    ServiceName::Billing,
    ServiceName::Notifications,
];

/// What is kept of people, in auth's database alone.
const KEPT: [&str; 6] = [
    "name",
    "domain",
    "user agent",
    "address",
    "hash of the password",
    "hash of the account",
];

/// A mail server that was away is tried again within a minute.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(75);

/// Where what people typed is kept, which looks like nothing in particular.
const TYPED_IN: [&str; 6] = [
    "loyalty.refusals.promocode",
    "loyalty.refusals.code",
    "loyalty.refusals.reasons",
    "loyalty.redemptions.promocode",
    "billing.purchases.promocode",
    "billing.idempotency_keys.key",
];

/// Everything happens to both; then one deletes their account, and of the other an administrator does.
async fn nothing_of_a_deleted_person_is_found(platform: &Platform, server: &mut MailServer) {
    if platform.virtual_host().is_some() {
        // Keeps whatever is said.
        Broker::of(platform).listen().await;
    }
    let shop = Shop::open(platform).await;
    let mut reachable = Person::register(platform, NAMES[0]).await;
    // The server tells everybody of this name to come later.
    let mut busy = Person::register(platform, NAMES[1]).await;
    reachable.confirm_address(server).await;
    for person in [&mut reachable, &mut busy] {
        person.log_in_and_out().await;
        person.buy(&shop).await;
        shop.is_dealt_with_by_an_administrator(person).await;
        person.log_in_anew().await;
        park_a_message_about(platform, person.id).await;
    }
    reachable.have_letters_sent(server).await;
    assert_eq!(busy.mails(server), 0);
    server.kill().await;
    for person in [&reachable, &busy] {
        // Nobody can send what is due now: it waits, and is tried.
        person.forgets_the_password().await;
        person.top_up(700).await;
        waits_for_the_mail_server(platform, person.id).await;
    }

    let mut traces = Traces::default();
    let accounts = platform.database(ServiceName::Auth).await;
    for person in [&reachable, &busy] {
        person.leave(&mut traces);
        let hash = texts(
            &accounts,
            "SELECT password_hash AS t FROM users WHERE email_normal LIKE '%vorpal%'",
        );
        hash.await
            .iter()
            .for_each(|hash| traces.add("hash of the password", hash));
    }
    let counts = texts(
        &accounts,
        "SELECT DISTINCT account AS t FROM throttles WHERE account IS NOT NULL",
    );
    counts
        .await
        .iter()
        .for_each(|hash| traces.add("hash of the account", hash));
    if accounts.reader().get_database_backend() == DbBackend::Sqlite {
        // All of it is in the file, and not only in the log beside it.
        let checkpoint = accounts
            .writer()
            .execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)");
        checkpoint.await.unwrap();
    }
    accounts.close().await;
    let found = traces.find(platform).await;
    auth_alone_knows_them(&found);
    assert_eq!(
        found.contains_key("auth.db"),
        !platform.database_files().is_empty(),
        "{found:#?}"
    );

    let reached = reachable.mails(server);
    reachable.delete_the_account().await;
    let path = format!("/auth/v1/users/{}", busy.id);
    let request = platform.admin.request(reqwest::Method::DELETE, &path);
    let request = request.json(&json!({"confirm": true}));
    platform.admin.send(request).await.expect(204);
    for person in [&reachable, &busy] {
        is_gone_everywhere(platform, person.id).await;
    }
    server.start_again().await;
    somebody_else_gets_mail(platform, server).await;
    assert_eq!(
        reachable.mails(server),
        reached,
        "a letter reached an account that is gone"
    );
    traces.are_gone(platform).await;
}

/// A tariff, promocodes and a group.
pub struct Shop<'a> {
    platform: &'a Platform,
    pub tariff: String,
    group: String,
}

impl<'a> Shop<'a> {
    async fn open(platform: &'a Platform) -> Self {
        let campaign = json!({
            "name": "Half", "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "HALF"},
        });
        platform.campaign(campaign).await;
        let granted = json!({
            "name": "Friends", "discount": {"type": "percent", "percent": "10"}, "requires_grant": true,
            "promocode": {"code": "FRIENDS"},
        });
        platform.campaign(granted).await;
        let group = json!({"name": "Friends"});
        let group = platform
            .admin
            .post("/loyalty/v1/groups", &group)
            .await
            .expect(201);
        Self {
            platform,
            tariff: platform.tariff("Month", 10_000).await,
            group: group["id"].as_str().unwrap().to_owned(),
        }
    }

    /// They are searched for, put into a group, granted a promocode, mailed to again, blocked and
    /// unblocked.
    async fn is_dealt_with_by_an_administrator(&self, person: &Person) {
        let (admin, id) = (&self.platform.admin, &person.id);
        let search = format!("/auth/v1/users?email={}", person.name.to_uppercase());
        let found = admin.get(&search).await.expect(200);
        assert_eq!(found["items"][0]["id"], json!(id), "{found:#}");
        admin.get(&format!("/auth/v1/users/{id}")).await.expect(200);
        let member = format!("/loyalty/v1/groups/{}/members/{id}", self.group);
        let member = admin.send(admin.request(reqwest::Method::PUT, &member)).await;
        assert!(member.status.is_success(), "{member:?}");
        let grant = json!({"promocode": "FRIENDS", "user_id": id});
        admin.post("/loyalty/v1/grants", &grant).await.expect(201);
        let credit = json!({"amount": 100, "currency": "RUB", "reason": "a gift"});
        let credited = admin
            .post(&format!("/billing/v1/users/{id}/credit"), &credit)
            .await;
        assert!(credited.status.is_success(), "{credited:?}");
        let letters = admin
            .get(&format!("/notifications/v1/letters?user_id={id}"))
            .await
            .expect(200);
        let letter = letters["items"][0]["id"].as_str().unwrap();
        let resend = format!("/notifications/v1/letters/{letter}/resend");
        let again = admin.post(&resend, &json!({})).await;
        // Not while it waits to be mailed for the first time.
        assert!(
            again.status.is_success() || again.body["code"] == "already_waiting",
            "{again:?}"
        );
        for deed in ["block", "unblock"] {
            admin
                .post(&format!("/auth/v1/users/{id}/{deed}"), &json!({}))
                .await
                .expect(200);
        }
    }
}

/// Something is said about them that billing can't take.
async fn park_a_message_about(platform: &Platform, user_id: UserId) {
    let now = SystemClock.now();
    let message = UserUpdatedV1(UserState {
        user_id,
        version: 99,
        status: UserStatus::Active,
        locale: Locale::En,
        time_zone: None,
        registered_at: now,
    });
    let mut poison = Envelope::seal(MessageId::new(now), "auth", now, None, &message).unwrap();
    poison.data = json!({"user_id": user_id, "version": "unreadable"});
    let db = platform.database(ServiceName::Billing).await;
    if platform.virtual_host().is_some() {
        Broker::of(platform).say(&poison).await;
    } else {
        let row = inbox::entity::ActiveModel {
            id: Set(poison.id),
            status: Set(Status::Parked),
            received_at: Set(now),
            attempts: Set(1),
            next_attempt_at: Set(None),
            error: Set(Some("it can't be read".to_owned())),
            body: Set(Some(serde_json::to_string(&poison).unwrap())),
        };
        let insert = inbox::entity::Entity::insert(row);
        insert.exec_without_returning(db.writer()).await.unwrap();
    }
    eventually("the message is parked", || async {
        let row = inbox::entity::Entity::find_by_id(poison.id)
            .one(db.reader())
            .await;
        row.unwrap().filter(|row| row.status == Status::Parked)
    })
    .await;
    db.close().await;
}

/// Waits until a mail to them was tried and is due again.
async fn waits_for_the_mail_server(platform: &Platform, user: UserId) {
    let path = format!("/notifications/v1/letters?user_id={user}");
    eventually("a mail waits", || async {
        let letters = platform.admin.get(&path).await.expect(200);
        let waits = |letter: &Value| {
            let mail = &letter["mail"];
            mail["status"] == "waiting" && mail["error"].is_string()
        };
        letters["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(waits)
            .then_some(())
    })
    .await;
}

/// Waits until every service knows that they are gone, and no mail to them waits.
async fn is_gone_everywhere(platform: &Platform, id: UserId) {
    for service in REPLICAS {
        let db = platform.database(service).await;
        eventually("the replica of users knows", || async {
            let user = users::find(db.reader(), id).await.unwrap()?;
            (user.status == UserStatus::Deleted).then_some(())
        })
        .await;
        if service == ServiceName::Notifications {
            eventually("no mail waits", || async {
                // Others' may well wait: the mail server is away.
                (!waiting_for(&db).await.contains(&id)).then_some(())
            })
            .await;
        }
        db.close().await;
    }
}

async fn waiting_for(db: &Db) -> Vec<UserId> {
    let conn = db.reader();
    let sql = "SELECT user_id FROM mails WHERE status = 'waiting'";
    let rows = conn.query_all_raw(Statement::from_string(conn.get_database_backend(), sql));
    let user = |row: &sea_orm::QueryResult| row.try_get("", "user_id").unwrap();
    rows.await.unwrap().iter().map(user).collect()
}

async fn somebody_else_gets_mail(platform: &Platform, server: &MailServer) {
    let stranger = platform.user("stranger", 0).await;
    stranger.top_up(100).await.expect(200);
    log_in(&platform.api, "stranger@mail.example").await;
    let confirms = |mail: &shared::testing::Mail| {
        mail.to == "stranger@mail.example" && mail.secret("confirm-email").is_some()
    };
    eventually_within(AFTER_AN_OUTAGE, "a stranger is written to", || {
        std::future::ready(server.mails().iter().any(confirms).then_some(()))
    })
    .await;
}

fn auth_alone_knows_them(found: &Found) {
    for place in TYPED_IN {
        assert!(
            found.get(place).is_some_and(|found| found.contains(TYPED)),
            "{place}: {found:#?}"
        );
    }
    let mut found = found.clone();
    for kept in found.values_mut() {
        kept.remove(TYPED);
    }
    found.retain(|_, kept| !kept.is_empty());
    let found = &found;
    let known: BTreeSet<_> = found.values().flatten().copied().collect();
    assert_eq!(known, BTreeSet::from(KEPT), "{found:#?}");
    for place in found.keys() {
        assert!(place.starts_with("auth."), "{place} knows of them: {found:#?}");
    }
}

async fn texts(db: &Db, sql: &str) -> Vec<String> {
    let conn = db.reader();
    let rows = conn.query_all_raw(Statement::from_string(conn.get_database_backend(), sql));
    let text = |row: &sea_orm::QueryResult| row.try_get("", "t").unwrap();
    rows.await.unwrap().iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let mut server = MailServer::start().await;
    let platform = Platform::embedded_with(&mailing_through(server.address)).await;
    nothing_of_a_deleted_person_is_found(&platform, &mut server).await;
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn distributed() {
    let mut server = MailServer::start().await;
    let platform = Platform::distributed_with(1, &mailing_through(server.address)).await;
    nothing_of_a_deleted_person_is_found(&platform, &mut server).await;
    platform.finish().await;
}
