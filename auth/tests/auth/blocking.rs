//! Blocked users can do nothing.

use futures::future::join_all;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::json;
use shared::{
    contracts::{Permission, ServiceName, UserBlockedV1, UserStatus, UserUnblockedV1},
    ids::UserId,
    testing::{Answer, Api, TestDatabase},
};

use crate::{DATABASES, PASSWORD, admin, log_in, program, staff, start, user};

async fn block(api: &Api, user: UserId) -> Answer {
    api.post(&format!("/auth/v1/users/{user}/block"), &json!({}))
        .await
}

async fn unblock(api: &Api, user: UserId) -> Answer {
    api.post(&format!("/auth/v1/users/{user}/unblock"), &json!({}))
        .await
}

#[tokio::test]
async fn a_block_is_felt_at_once_and_lifted_again() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, admin) = admin(&service, "root@example.com").await;
        let (ann, api) = user(&service, "ann@example.com").await;
        let before = api.get("/auth/v1/me").await.expect(200);

        let blocked = block(&admin, ann).await.expect(200);
        assert_eq!(blocked["status"], "blocked");
        assert_eq!(blocked["id"], json!(ann));
        api.get("/auth/v1/me").await.expect_problem(403, "user_blocked");
        let login = |password: &str| {
            let body = json!({"email": "ann@example.com", "password": password});
            let api = service.api.clone();
            async move { api.post("/auth/v1/login", &body).await }
        };
        login(PASSWORD).await.expect_problem(403, "user_blocked");
        login("wrong password")
            .await
            .expect_problem(401, "invalid_credentials");

        let unblocked = unblock(&admin, ann).await.expect(200);
        assert_eq!(unblocked, before);
        // The sessions from before have ended; they may be why somebody was blocked.
        api.get("/auth/v1/me").await.expect_problem(401, "invalid_token");
        let fresh = log_in(&service.api, "ann@example.com").await;
        service.api.with_token(fresh).get("/auth/v1/me").await.expect(200);

        let blocked = service
            .peers
            .hears::<UserBlockedV1>(ServiceName::Loyalty, |_| true)
            .await
            .0;
        assert_eq!(
            (blocked.user_id, blocked.version, blocked.status),
            (ann, 2, UserStatus::Blocked)
        );
        let unblocked = service
            .peers
            .hears::<UserUnblockedV1>(ServiceName::Loyalty, |_| true)
            .await
            .0;
        assert_eq!(
            (unblocked.user_id, unblocked.version, unblocked.status),
            (ann, 3, UserStatus::Active)
        );
        assert_eq!(
            json!(unblocked.registered_at),
            before["registered_at"],
            "the whole state"
        );
    }
}

#[tokio::test]
async fn blocking_twice_is_said_once_and_versions_grow_by_one() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, admin) = admin(&service, "root@example.com").await;
    let (ann, _) = user(&service, "ann@example.com").await;
    unblock(&admin, ann).await.expect(200);
    for _ in 0..3 {
        assert_eq!(block(&admin, ann).await.expect(200)["status"], "blocked");
    }
    for _ in 0..2 {
        assert_eq!(unblock(&admin, ann).await.expect(200)["status"], "active");
    }
    block(&admin, ann).await.expect(200);
    service
        .peers
        .hears::<UserBlockedV1>(ServiceName::Billing, |event| event.0.version == 4)
        .await;
    let mut versions: Vec<_> = service
        .peers
        .heard::<UserBlockedV1>(ServiceName::Billing)
        .iter()
        .map(|event| event.0.version)
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 4]);
    let unblocked = service
        .peers
        .hears::<UserUnblockedV1>(ServiceName::Billing, |_| true)
        .await;
    assert_eq!(unblocked.0.version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_has_a_version_of_its_own_however_many_are_made_at_once() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, admin) = admin(&service, "root@example.com").await;
        let (ann, _) = user(&service, "ann@example.com").await;
        join_all((0..40).map(|n| {
            let admin = &admin;
            async move {
                if n % 2 == 0 {
                    block(admin, ann).await
                } else {
                    unblock(admin, ann).await
                }
                .expect(200)
            }
        }))
        .await;
        // One more of each: whatever was last before, one of them is a change, and is heard last.
        unblock(&admin, ann).await.expect(200);
        block(&admin, ann).await.expect(200);
        let versions = shared::testing::eventually("no version is missing", || {
            let blocked = service.peers.heard::<UserBlockedV1>(ServiceName::Billing);
            let unblocked = service.peers.heard::<UserUnblockedV1>(ServiceName::Billing);
            let mut versions: Vec<_> = blocked.iter().map(|event| event.0.version).collect();
            versions.extend(unblocked.iter().map(|event| event.0.version));
            versions.sort_unstable();
            let changes = i64::try_from(versions.len()).unwrap();
            let ends_blocked = blocked.iter().any(|event| event.0.version == changes + 1);
            std::future::ready((changes >= 1 && ends_blocked).then_some(versions))
        })
        .await;
        let expected: Vec<_> = (2..).take(versions.len()).collect();
        assert_eq!(versions, expected);
    }
}

#[tokio::test]
async fn administrators_cannot_block_themselves() {
    let service = start(TestDatabase::Sqlite).await;
    let (root, admin) = admin(&service, "root@example.com").await;
    block(&admin, root).await.expect_problem(409, "own_account");
    admin.get("/auth/v1/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_administrators_who_block_each_other_one_stays() {
    for database in DATABASES {
        let service = start(database).await;
        let (one, _) = admin(&service, "one@example.com").await;
        let (two, _) = admin(&service, "two@example.com").await;
        for _ in 0..5 {
            let api_of_one = &service
                .api
                .with_token(log_in(&service.api, "one@example.com").await);
            let api_of_two = &service
                .api
                .with_token(log_in(&service.api, "two@example.com").await);
            let (first, second) = tokio::join!(block(api_of_one, two), block(api_of_two, one));
            let (stays, blocked, loser) = match (first.status.as_u16(), second.status.as_u16()) {
                (200, 403) => (api_of_one, two, second),
                (403, 200) => (api_of_two, one, first),
                other => panic!("{other:?}"),
            };
            loser.expect_problem(403, "user_blocked");
            unblock(stays, blocked).await.expect(200);
        }
    }
}

#[tokio::test]
async fn who_does_not_exist_cannot_be_blocked() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, admin) = admin(&service, "root@example.com").await;
    for id in [service.new_user().to_string(), "nonsense".to_owned()] {
        for verb in ["block", "unblock"] {
            let answer = admin
                .post(&format!("/auth/v1/users/{id}/{verb}"), &json!({}))
                .await;
            answer.expect_problem(404, "not_found");
        }
    }
}

async fn delete(api: &Api, user: UserId) -> Answer {
    let path = format!("/auth/v1/users/{user}");
    let request = api.request(Method::DELETE, &path);
    api.send(request.json(&json!({"confirm": true}))).await
}

/// Else whoever may block, as those who answer customers may, could lock an administrator out.
#[tokio::test]
async fn nobody_blocks_unblocks_or_deletes_who_may_do_more() {
    use Permission::{CampaignsRead, UsersBlock, UsersDelete, UsersRead};
    for database in DATABASES {
        let service = start(database).await;
        let (root_id, root) = admin(&service, "root@example.com").await;
        admin(&service, "second@example.com").await;
        let may = [UsersRead, UsersBlock, UsersDelete];
        let (_, desk) = staff(&service, &root, "desk@example.com", "desk", &may).await;
        let (_, bot) = program(&service, "bot", &may).await;
        let (peer, _) = staff(&service, &root, "peer@example.com", "peer", &may[..1]).await;
        let (lead, _) = staff(
            &service,
            &root,
            "lead@example.com",
            "lead",
            &[UsersRead, CampaignsRead],
        )
        .await;
        for api in [&desk, &bot] {
            for higher in [root_id, lead] {
                for answer in [
                    block(api, higher).await,
                    unblock(api, higher).await,
                    delete(api, higher).await,
                ] {
                    let problem = answer.expect_problem(403, "higher_rank");
                    let missing = problem["permissions"].as_array().unwrap();
                    assert!(missing.contains(&json!("campaigns.read")), "{problem}");
                    assert!(!missing.contains(&json!("users.read")), "{problem}");
                    assert!(problem["detail"].is_string(), "{problem}");
                }
            }
        }
        root.get("/auth/v1/me").await.expect(200);
        // A block is lifted by who may do all that the user may, and not by others.
        block(&root, lead).await.expect(200);
        unblock(&desk, lead).await.expect_problem(403, "higher_rank");
        assert_eq!(unblock(&root, lead).await.expect(200)["status"], "active");
        // Their own rank and below.
        block(&desk, peer).await.expect(200);
        unblock(&desk, peer).await.expect(200);
        delete(&desk, peer).await.expect(204);
        delete(&desk, peer).await.expect_problem(409, "user_deleted");
    }
}

/// It is judged by what they may do at that moment, whatever their token says.
#[tokio::test]
async fn who_may_not_block_any_more_does_not_block() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, root) = admin(&service, "root@example.com").await;
    let may = [Permission::UsersBlock, Permission::UsersDelete];
    let (id, desk) = staff(&service, &root, "desk@example.com", "desk", &may).await;
    let (ann, _) = user(&service, "ann@example.com").await;
    block(&desk, ann).await.expect(200);
    root.patch("/auth/v1/roles/desk", &json!({"permissions": []}))
        .await
        .expect(200);
    block(&desk, ann).await.expect_problem(401, "invalid_token");
    // A token of a session that has not ended.
    let desk = service.api.with_token(service.token(id, &may));
    for answer in [
        block(&desk, ann).await,
        unblock(&desk, ann).await,
        delete(&desk, ann).await,
    ] {
        answer.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_program_blocks_and_deletes_and_the_audit_log_names_it() {
    use Permission::{AuditRead, UsersBlock, UsersDelete};
    for database in DATABASES {
        let service = start(database).await;
        let (bot, api) = program(&service, "bot", &[AuditRead, UsersBlock, UsersDelete]).await;
        let (ann, of_ann) = user(&service, "ann@example.com").await;
        assert_eq!(block(&api, ann).await.expect(200)["status"], "blocked");
        of_ann
            .get("/auth/v1/me")
            .await
            .expect_problem(403, "user_blocked");
        assert_eq!(unblock(&api, ann).await.expect(200)["status"], "active");
        delete(&api, ann).await.expect(204);
        let log = api.get("/auth/v1/audit").await.expect(200);
        let told: Vec<_> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["actor"] == json!(bot))
            .map(|entry| (entry["action"].as_str().unwrap(), entry["subject"].clone()))
            .collect();
        let ann = json!(ann);
        assert_eq!(
            told,
            [
                ("user.delete", ann.clone()),
                ("user.unblock", ann.clone()),
                ("user.block", ann)
            ]
        );
        auth::disable_client(&service.db, "bot").await.unwrap();
        block(&api, bot).await.expect_problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn why_somebody_is_blocked_stands_in_the_audit_log() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let (ann, _) = user(&service, "ann@example.com").await;
        let path = |verb: &str| format!("/auth/v1/users/{ann}/{verb}");
        let (block, unblock) = (path("block"), path("unblock"));
        for path in [&block, &unblock] {
            for body in [
                json!({"reason": "fraud", "nonsense": 1}),
                json!({"reason": null}),
                json!({"reason": ""}),
                json!({"reason": "a\nb"}),
                json!({"reason": "x".repeat(501)}),
                json!(null),
            ] {
                root.post(path, &body)
                    .await
                    .expect_problem(422, "invalid_request");
            }
            let request = root.request(Method::POST, path);
            let request = request.header(CONTENT_TYPE, "application/json").body("{bad json");
            root.send(request).await.expect_problem(400, "malformed_json");
        }
        for (path, reason) in [(&block, " fraud "), (&unblock, "a mistake")] {
            root.post(path, &json!({"reason": reason})).await.expect(200);
        }
        // Nobody has to say why, nor to send anything.
        root.send(root.request(Method::POST, &block)).await.expect(200);
        root.post(&unblock, &json!({})).await.expect(200);
        let log = root
            .get(&format!("/auth/v1/audit?subject={ann}"))
            .await
            .expect(200);
        let told: Vec<_> = log["items"].as_array().unwrap().iter().collect();
        let told: Vec<_> = told
            .iter()
            .map(|entry| (entry["action"].as_str().unwrap(), &entry["details"]))
            .collect();
        let (nothing, fraud, mistake) = (
            json!({}),
            json!({"reason": "fraud"}),
            json!({"reason": "a mistake"}),
        );
        assert_eq!(
            told,
            [
                ("user.unblock", &nothing),
                ("user.block", &nothing),
                ("user.unblock", &mistake),
                ("user.block", &fraud)
            ]
        );
    }
}

#[tokio::test]
async fn who_is_deleted_by_an_administrator_is_so_only_when_that_is_confirmed() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let (ann, api) = user(&service, "ann@example.com").await;
        let path = format!("/auth/v1/users/{ann}");
        let request = || root.request(Method::DELETE, &path);
        for request in [
            request(),
            request().json(&json!({})),
            request().json(&json!({"confirm": false})),
        ] {
            let problem = root
                .send(request)
                .await
                .expect_problem(409, "confirmation_required");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("wallet") && detail.contains("confirm"),
                "{detail}"
            );
        }
        for body in [json!({"confirm": null}), json!({"confirm": true, "force": 1})] {
            let answer = root.send(request().json(&body)).await;
            answer.expect_problem(422, "invalid_request");
        }
        api.get("/auth/v1/me").await.expect(200);
        root.send(request().json(&json!({"confirm": true})))
            .await
            .expect(204);
        assert_eq!(root.get(&path).await.expect(200)["status"], "deleted");
        api.get("/auth/v1/me").await.expect_problem(401, "invalid_token");
    }
}

/// As billing says of their wallet; that they are there, though deleted, everybody who may can see.
#[tokio::test]
async fn nothing_can_be_done_with_who_is_deleted() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, root) = admin(&service, "root@example.com").await;
    let (ann, _) = user(&service, "ann@example.com").await;
    delete(&root, ann).await.expect(204);
    let path = format!("/auth/v1/users/{ann}");
    assert_eq!(root.get(&path).await.expect(200)["status"], "deleted");
    let roles = root.request(Method::PUT, &format!("{path}/roles"));
    let roles = roles.json(&json!({"roles": ["user"]}));
    for answer in [
        block(&root, ann).await,
        unblock(&root, ann).await,
        delete(&root, ann).await,
        root.send(root.request(Method::DELETE, &path)).await,
        root.send(roles).await,
    ] {
        answer.expect_problem(409, "user_deleted");
    }
}
