//! Users, as administrators see them.

use serde_json::json;
use shared::testing::{Api, TestDatabase};

use crate::{DATABASES, admin, register, start, user};

async fn emails(api: &Api, query: &str) -> Vec<String> {
    let page = api.get(&format!("/auth/v1/users{query}")).await.expect(200);
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|user| user["email"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn customers_cannot_look_at_users_or_block_them() {
    let service = start(TestDatabase::Sqlite).await;
    let (ann, api) = user(&service, "ann@example.com").await;
    let (bob, _) = user(&service, "bob@example.com").await;
    api.get("/auth/v1/users").await.expect_problem(403, "forbidden");
    for id in [ann, bob, service.new_user()] {
        api.get(&format!("/auth/v1/users/{id}"))
            .await
            .expect_problem(403, "forbidden");
        for verb in ["block", "unblock"] {
            let answer = api.post(&format!("/auth/v1/users/{id}/{verb}"), &json!({})).await;
            answer.expect_problem(403, "forbidden");
        }
    }
    api.get("/auth/v1/me").await.expect(200);
}

#[tokio::test]
async fn an_administrator_looks_a_user_up() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, admin) = admin(&service, "root@example.com").await;
    let (ann, api) = user(&service, "ann@example.com").await;
    let seen = admin.get(&format!("/auth/v1/users/{ann}")).await.expect(200);
    assert_eq!(seen, api.get("/auth/v1/me").await.expect(200));
    let unknown = format!("/auth/v1/users/{}", service.new_user());
    admin.get(&unknown).await.expect_problem(404, "not_found");
    admin
        .get("/auth/v1/users/nonsense")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn users_are_listed_newest_first_page_by_page() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, admin) = admin(&service, "root@example.com").await;
        let mut expected = vec!["root@example.com".to_owned()];
        for n in 0..6 {
            register(&service.api, &format!("user{n}@example.com")).await;
            expected.insert(0, format!("user{n}@example.com"));
        }
        let (mut found, mut query) = (Vec::new(), "?limit=3".to_owned());
        let mut pages = 0;
        loop {
            let page = admin.get(&format!("/auth/v1/users{query}")).await.expect(200);
            let items = page["items"].as_array().unwrap();
            assert!((1..=3).contains(&items.len()));
            found.extend(
                items
                    .iter()
                    .map(|user| user["email"].as_str().unwrap().to_owned()),
            );
            pages += 1;
            match page.get("next_cursor") {
                Some(cursor) => query = format!("?limit=3&cursor={}", cursor.as_str().unwrap()),
                None => break,
            }
        }
        assert_eq!(pages, 3);
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn users_are_found_by_address_and_status() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, admin) = admin(&service, "root@example.com").await;
        for email in ["Ann_Lee@example.com", "annXlee@example.com", "bob@example.org"] {
            register(&service.api, email).await;
        }
        let bob = admin.get("/auth/v1/users?email=bob").await.expect(200)["items"][0]["id"].clone();
        admin
            .post(
                &format!("/auth/v1/users/{}/block", bob.as_str().unwrap()),
                &json!({}),
            )
            .await
            .expect(200);
        for (query, expected) in [
            ("?email=ann_lee", vec!["Ann_Lee@example.com"]),
            ("?email=ANN", vec!["annXlee@example.com", "Ann_Lee@example.com"]),
            ("?email=%25", vec![]),
            ("?email=%5C", vec![]),
            ("?email=%27", vec![]),
            ("?email=%D0%B0", vec![]),
            ("?status=blocked", vec!["bob@example.org"]),
            ("?status=blocked&email=ann", vec![]),
            (
                "?status=active&email=example.com&limit=1",
                vec!["annXlee@example.com"],
            ),
            ("?status=deleted", vec![]),
        ] {
            assert_eq!(emails(&admin, query).await, expected, "{query}");
        }
        for (query, code) in [
            ("?status=sleeping", "invalid_query"),
            ("?email=%00", "invalid_query"),
            ("?limit=0", "invalid_query"),
            ("?limit=many", "invalid_query"),
            ("?cursor=nonsense", "invalid_cursor"),
        ] {
            admin
                .get(&format!("/auth/v1/users{query}"))
                .await
                .expect_problem(400, code);
        }
    }
}

#[tokio::test]
async fn what_is_shown_of_a_user_is_no_secret() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, admin) = admin(&service, "root@example.com").await;
    let page = admin.get("/auth/v1/users").await.expect(200);
    assert_eq!(page["items"][0]["roles"], json!(["admin"]));
    assert!(!page.to_string().contains("argon2"), "{page:#}");
}

#[tokio::test]
async fn users_are_sorted_and_found_by_role_and_by_when_they_registered() {
    for database in DATABASES {
        let service = start(database).await;
        let (_, admin) = admin(&service, "root@example.com").await;
        for email in ["cid@example.com", "Ann@example.com", "bob@example.com"] {
            register(&service.api, email).await;
        }
        let all = admin.get("/auth/v1/users").await.expect(200);
        let newest = all["items"][0]["registered_at"].as_str().unwrap();
        for (query, expected) in [
            ("?sort=email".to_owned(), ["Ann", "bob", "cid", "root"].as_slice()),
            (
                "?sort=email&order=desc".to_owned(),
                &["root", "cid", "bob", "Ann"],
            ),
            ("?order=asc".to_owned(), &["root", "cid", "Ann", "bob"]),
            ("?sort=registered_at".to_owned(), &["bob", "Ann", "cid", "root"]),
            ("?role=admin".to_owned(), &["root"]),
            ("?role=user&sort=email".to_owned(), &["Ann", "bob", "cid"]),
            ("?role=nobody".to_owned(), &[]),
            (format!("?registered_from={newest}"), &["bob"]),
            (format!("?registered_to={newest}"), &["Ann", "cid", "root"]),
        ] {
            // Whole, and page by page.
            let whole = emails(&admin, &query).await;
            let names: Vec<_> = whole
                .iter()
                .map(|email| email.split('@').next().unwrap())
                .collect();
            assert_eq!(names, expected, "{query}");
            let (mut paged, mut path) = (Vec::new(), format!("/auth/v1/users{query}&limit=1"));
            loop {
                let page = admin.get(&path).await.expect(200);
                let items = page["items"].as_array().unwrap();
                paged.extend(
                    items
                        .iter()
                        .map(|user| user["email"].as_str().unwrap().to_owned()),
                );
                match page["next_cursor"].as_str() {
                    Some(cursor) => path = format!("/auth/v1/users{query}&limit=1&cursor={cursor}"),
                    None => break,
                }
            }
            assert_eq!(paged, whole, "{query}");
        }
        let cursor = admin.get("/auth/v1/users?limit=1").await.expect(200)["next_cursor"].clone();
        let other = format!("/auth/v1/users?sort=email&cursor={}", cursor.as_str().unwrap());
        admin.get(&other).await.expect_problem(400, "invalid_cursor");
        // SQLite takes no pattern that long.
        let long = "a".repeat(60_000);
        for name in ["email", "role"] {
            admin
                .get(&format!("/auth/v1/users?{name}={long}"))
                .await
                .expect_problem(400, "invalid_query");
        }
        for query in ["?sort=name", "?order=up", "?registered_from=today", "?role=%00"] {
            admin
                .get(&format!("/auth/v1/users{query}"))
                .await
                .expect_problem(400, "invalid_query");
        }
    }
}
