//! The description of the API.

use serde_json::Value;
use shared::testing::TestDatabase;

use crate::start;

/// Every `$ref` in the document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(target) if name == "$ref" => found.push(target),
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_described() {
    let service = start(TestDatabase::Sqlite).await;
    let document = service.api.get("/auth/openapi.json").await.expect(200);
    for (path, methods) in [
        ("/register", "post"),
        ("/login", "post"),
        ("/refresh", "post"),
        ("/logout", "post"),
        ("/logout-all", "post"),
        ("/token", "post"),
        ("/jwks.json", "get"),
        ("/forgot-password", "post"),
        ("/reset-password", "post"),
        ("/confirm-email", "post"),
        ("/me", "get patch delete"),
        ("/me/password", "post"),
        ("/me/resend-confirmation", "post"),
        ("/me/sessions", "get"),
        ("/me/sessions/{id}", "delete"),
        ("/me/logins", "get"),
        ("/users", "get"),
        ("/users/{id}", "get delete"),
        ("/users/{id}/block", "post"),
        ("/users/{id}/unblock", "post"),
        ("/users/{id}/roles", "put"),
        ("/roles", "get post"),
        ("/roles/{name}", "get patch delete"),
        ("/mail-requests/{id}", "get"),
        ("/contacts/{user_id}", "get"),
    ] {
        for method in methods.split(' ') {
            let operation = &document["paths"][format!("/auth/v1{path}")][method];
            assert!(operation.is_object(), "{method} {path} is not described");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing");
        }
    }
    let optional = &document["paths"]["/auth/v1/users/{id}/block"]["post"]["requestBody"];
    assert_ne!(optional["required"], true);
    // It may be absent, and is not null.
    assert!(optional["content"]["application/json"]["schema"]["$ref"].is_string());
    let mut targets = Vec::new();
    references(&document, &mut targets);
    assert!(targets.len() > 50);
    for target in targets {
        let pointer = target.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{target} is nowhere");
    }
}
