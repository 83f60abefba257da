//! Roles as data, and who may give them.

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    contracts::Permission,
    testing::{Answer, Api, TestDatabase},
};

use crate::{DATABASES, admin, log_in, start, tokens::claims_of, user};

async fn send(api: &Api, method: Method, path: &str, body: &Value) -> Answer {
    api.send(api.request(method, path).json(body)).await
}

async fn assign(api: &Api, user: impl std::fmt::Display, roles: Value) -> Answer {
    let path = format!("/auth/v1/users/{user}/roles");
    send(api, Method::PUT, &path, &json!({"roles": roles})).await
}

async fn delete(api: &Api, name: &str) -> Answer {
    send(
        api,
        Method::DELETE,
        &format!("/auth/v1/roles/{name}"),
        &Value::Null,
    )
    .await
}

#[tokio::test]
async fn the_roles_that_there_have_always_been_are_there() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let page = root.get("/auth/v1/roles").await.expect(200);
        let names: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|role| {
                (
                    role["name"].as_str().unwrap(),
                    role["built_in"].as_bool().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                ("admin", true),
                ("manager", false),
                ("support", false),
                ("user", true)
            ]
        );
        let admin = root.get("/auth/v1/roles/admin").await.expect(200);
        assert_eq!(
            admin["permissions"].as_array().unwrap().len(),
            Permission::grantable().count()
        );
        let support = root.get("/auth/v1/roles/support").await.expect(200);
        assert!(
            support["permissions"]
                .as_array()
                .unwrap()
                .contains(&json!("letters.resend"))
        );
        for name in ["nobody", "No%00body", "%27"] {
            root.get(&format!("/auth/v1/roles/{name}"))
                .await
                .expect_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_role_is_made_given_changed_taken_and_removed() {
    for database in DATABASES {
        let service = start(database).await;
        let (root_id, root) = admin(&service, "root@example.com").await;
        let (ann, _) = user(&service, "ann@example.com").await;
        let body =
            json!({"name": "auditor", "description": "Looks", "permissions": ["audit.read", "users.read"]});
        let answer = root.post("/auth/v1/roles", &body).await;
        assert_eq!(answer.headers["location"], "/auth/v1/roles/auditor");
        let role = answer.expect(201);
        assert_eq!(role["built_in"], false);
        assert_eq!(root.get("/auth/v1/roles/auditor").await.expect(200), role);
        root.post("/auth/v1/roles", &body)
            .await
            .expect_problem(409, "role_exists");

        let seen = assign(&root, ann, json!(["user", "auditor"])).await.expect(200);
        assert_eq!(seen["roles"], json!(["auditor", "user"]));
        let token = log_in(&service.api, "ann@example.com").await;
        assert_eq!(claims_of(&token)["roles"], json!(["auditor", "user"]));
        let api = service.api.with_token(token);
        api.get("/auth/v1/audit").await.expect(200);
        delete(&root, "auditor").await.expect_problem(409, "role_in_use");

        let change = json!({"permissions": ["users.read"]});
        let changed = root.patch("/auth/v1/roles/auditor", &change).await.expect(200);
        assert_eq!(
            (&changed["permissions"], &changed["description"]),
            (&json!(["users.read"]), &json!("Looks"))
        );
        api.get("/auth/v1/audit")
            .await
            .expect_problem(401, "invalid_token");
        let api = service
            .api
            .with_token(log_in(&service.api, "ann@example.com").await);
        api.get("/auth/v1/audit").await.expect_problem(403, "forbidden");
        api.get("/auth/v1/users").await.expect(200);

        assign(&root, ann, json!(["user"])).await.expect(200);
        delete(&root, "auditor").await.expect(204);
        delete(&root, "auditor").await.expect_problem(404, "not_found");
        let log = root
            .get(&format!("/auth/v1/audit?actor={root_id}"))
            .await
            .expect(200);
        let actions: Vec<_> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                assert_eq!(entry["actor"], json!(root_id));
                entry["action"].as_str().unwrap()
            })
            .collect();
        assert_eq!(
            actions,
            [
                "role.delete",
                "user.roles",
                "role.update",
                "user.roles",
                "role.create"
            ]
        );
    }
}

#[tokio::test]
async fn what_can_be_no_role_is_refused() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, root) = admin(&service, "root@example.com").await;
    let (ann, _) = user(&service, "ann@example.com").await;
    for body in [
        json!({"name": "A", "permissions": []}),
        json!({"name": "a\u{0}b", "permissions": []}),
        json!({"name": "rockets", "permissions": ["rockets.launch"]}),
        json!({"name": "rockets", "permissions": ["mail_requests.read"]}),
        json!({"name": "rockets"}),
        json!({"name": "rockets", "permissions": [], "description": "a\u{0}"}),
        json!({"name": "rockets", "permissions": [], "more": 1}),
    ] {
        root.post("/auth/v1/roles", &body)
            .await
            .expect_problem(422, "invalid_request");
    }
    for roles in [
        json!([]),
        json!(["nobody"]),
        json!(["\u{0}"]),
        json!("admin"),
        json!(vec!["user"; 21]),
    ] {
        assign(&root, ann, roles)
            .await
            .expect_problem(422, "invalid_request");
    }
    root.patch("/auth/v1/roles/support", &json!({"description": "\u{0}"}))
        .await
        .expect_problem(422, "invalid_request");
    let reserved = json!({"permissions": ["users.read", "mail_requests.read"]});
    let problem = root
        .patch("/auth/v1/roles/support", &reserved)
        .await
        .expect_problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["field"], "permissions", "{problem}");
    root.patch("/auth/v1/roles/nobody", &json!({}))
        .await
        .expect_problem(404, "not_found");
    assign(&root, service.new_user(), json!(["user"]))
        .await
        .expect_problem(404, "not_found");
    for name in ["user", "admin"] {
        delete(&root, name).await.expect_problem(409, "built_in_role");
    }
    root.patch("/auth/v1/roles/admin", &json!({"permissions": []}))
        .await
        .expect_problem(409, "built_in_role");
    root.get("/auth/v1/users").await.expect(200);
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_have() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let (lead, _) = user(&service, "lead@example.com").await;
        let (ann, ann_api) = user(&service, "ann@example.com").await;
        let body = json!({"name": "lead", "permissions": ["roles.write", "users.read"]});
        root.post("/auth/v1/roles", &body).await.expect(201);
        assign(&root, lead, json!(["user", "lead"])).await.expect(200);
        let api = service
            .api
            .with_token(log_in(&service.api, "lead@example.com").await);

        // Who may not change roles at all.
        assign(&ann_api, ann, json!(["admin"]))
            .await
            .expect_problem(403, "forbidden");
        ann_api
            .get("/auth/v1/roles")
            .await
            .expect_problem(403, "forbidden");
        ann_api
            .post("/auth/v1/roles", &body)
            .await
            .expect_problem(403, "forbidden");
        delete(&ann_api, "support").await.expect_problem(403, "forbidden");

        // More than they have.
        for target in [ann, lead] {
            assign(&api, target, json!(["user", "admin"]))
                .await
                .expect_problem(403, "permission_not_held");
        }
        let problem = api
            .post(
                "/auth/v1/roles",
                &json!({"name": "more", "permissions": ["users.read", "users.block"]}),
            )
            .await
            .expect_problem(403, "permission_not_held");
        assert_eq!(problem["permissions"], json!(["users.block"]));
        api.patch(
            "/auth/v1/roles/lead",
            &json!({"permissions": Permission::grantable().collect::<Vec<_>>()}),
        )
        .await
        .expect_problem(403, "permission_not_held");
        api.patch("/auth/v1/roles/support", &json!({"permissions": []}))
            .await
            .expect_problem(403, "permission_not_held");
        delete(&api, "support")
            .await
            .expect_problem(403, "permission_not_held");
        // What they have.
        assign(&api, ann, json!(["user", "lead"])).await.expect(200);
        // Their role is taken, and their session has ended with it.
        assign(&root, lead, json!(["user"])).await.expect(200);
        assign(&api, ann, json!(["user"]))
            .await
            .expect_problem(401, "invalid_token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_always_remains() {
    for database in DATABASES {
        let service = start(database).await;
        let (one, first) = admin(&service, "one@example.com").await;
        assign(&first, one, json!(["user"]))
            .await
            .expect_problem(409, "last_administrator");
        let (two, second) = admin(&service, "two@example.com").await;
        let (one, two) = tokio::join!(
            assign(&first, two, json!(["user"])),
            assign(&second, one, json!(["user"]))
        );
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        // The other's session may end before their request is looked at.
        assert!(
            matches!(statuses, [200, 401 | 403]),
            "one of them stays: {statuses:?}"
        );
    }
}

/// A role that is given while it is removed: either nobody has it and it is gone, or it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_a_role_that_is_gone() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, root) = admin(&service, "root@example.com").await;
        let (_, second) = admin(&service, "two@example.com").await;
        let (ann, _) = user(&service, "ann@example.com").await;
        for _ in 0..5 {
            let body = json!({"name": "brief", "permissions": []});
            root.post("/auth/v1/roles", &body).await.expect(201);
            let (given, removed) = tokio::join!(
                assign(&root, ann, json!(["user", "brief"])),
                delete(&second, "brief")
            );
            match (given.status.as_u16(), removed.status.as_u16()) {
                (200, 409) => {
                    assign(&root, ann, json!(["user"])).await.expect(200);
                    delete(&root, "brief").await.expect(204);
                }
                (422, 204) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
