//! The description of the API.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::testing::TestDatabase;

use crate::Loyalty;

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(reference) if name == "$ref" => {
                        found.insert(reference);
                    }
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_described_with_what_it_answers() {
    let loyalty = Loyalty::start(TestDatabase::Sqlite).await;
    let document = loyalty.service.api.get("/loyalty/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().unwrap();
    let mut routes = BTreeSet::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let Some(path) = path.strip_prefix("/loyalty/v1") else {
                continue;
            };
            routes.insert(format!("{method} {path}"));
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{path}");
            for status in ["401", "403", "500", "503"] {
                assert!(answers.contains_key(status), "{method} {path} {status}");
            }
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    let expected = [
        "post /promocodes/validate",
        "get /promocodes",
        "get /redemptions",
        "get /refusals",
        "get /campaigns",
        "post /campaigns",
        "get /campaigns/{id}",
        "patch /campaigns/{id}",
        "post /campaigns/{id}/pause",
        "post /campaigns/{id}/resume",
        "post /campaigns/{id}/archive",
        "get /campaigns/{id}/promocodes",
        "post /campaigns/{id}/promocodes",
        "patch /campaigns/{id}/promocodes/{code}",
        "get /campaigns/{id}/redemptions",
        "get /groups",
        "post /groups",
        "get /groups/{id}",
        "patch /groups/{id}",
        "delete /groups/{id}",
        "get /groups/{id}/members",
        "put /groups/{id}/members/{user_id}",
        "delete /groups/{id}/members/{user_id}",
        "get /grants",
        "post /grants",
        "delete /grants/{id}",
    ];
    for route in expected {
        assert!(routes.contains(route), "{route}");
    }
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let schemas = &document["components"]["schemas"];
    let new = &schemas["NewCampaign"];
    let mut required: Vec<_> = new["required"].as_array().unwrap().iter().collect();
    required.sort_by_key(|name| name.to_string());
    assert_eq!(required, ["discount", "name"]);
    assert_eq!(schemas["CampaignChange"].get("required"), None);
}
