//! The machine-readable contracts in `docs/api` are those of this program, and say what they have to say.
//!
//! Here is the description alone. That the services behave as it says is for `routes.rs` of each service, case
//! by case, and for `described.rs`, with what nobody thought of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::platform::PROGRAM;

const HOW: &str = "run `cargo run -- contracts docs/api` and commit what changed";

fn read(folder: &Path) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    for part in ["", "messages"] {
        for entry in fs::read_dir(folder.join(part)).expect(HOW) {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                let text = fs::read_to_string(&path).unwrap();
                documents.insert(name, serde_json::from_str(&text).unwrap());
            }
        }
    }
    documents
}

fn committed() -> BTreeMap<String, Value> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api"))
}

#[tokio::test]
async fn what_is_committed_is_what_the_program_says() {
    let folder = tempfile::tempdir().unwrap();
    // One that describes a message that is no more.
    fs::create_dir(folder.path().join("messages")).unwrap();
    fs::write(folder.path().join("messages/old.json"), "{}").unwrap();
    let status = Command::new(PROGRAM)
        .arg("contracts")
        .arg(folder.path())
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let (said, committed) = (read(folder.path()), committed());
    let names: BTreeSet<_> = said.keys().chain(committed.keys()).collect();
    let differing: Vec<_> = names
        .into_iter()
        .filter(|name| said.get(*name) != committed.get(*name))
        .collect();
    assert!(differing.is_empty(), "{differing:?} differ: {HOW}");
}

#[test]
fn every_reference_leads_somewhere() {
    let documents = committed();
    assert!(documents.len() > 6, "{:?}", documents.keys());
    for (name, document) in documents {
        let mut targets = BTreeSet::new();
        references(&document, &mut targets);
        assert!(!targets.is_empty(), "{name} refers to nothing");
        for target in targets {
            let pointer = target.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{target} in {name}");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(target) if name == "$ref" => {
                        found.insert(target.clone());
                    }
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Operations of an OpenAPI document, each with its path and method.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch"] {
            if let Some(operation) = item.get(method) {
                operations.push((format!("{method} {path}"), operation));
            }
        }
    }
    operations
}

#[test]
fn every_operation_is_described_whole() {
    let documents = committed();
    let document = &documents["openapi.json"];
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{name} never succeeds"
        );
        for (status, response) in responses {
            assert!(response["description"].is_string(), "{status} of {name}");
        }
        assert!(operation["summary"].is_string(), "{name} has no summary");
        let alternatives = operation["security"].as_array().expect("what it needs");
        let is_public = alternatives.contains(&json!({}));
        let always: &[&str] = if is_public {
            &["500", "503"]
        } else {
            &["401", "403", "500", "503"]
        };
        for status in always {
            assert!(responses.contains_key(*status), "{name} lacks {status}");
        }
        let path = name.split_once(' ').unwrap().1;
        let in_path: BTreeSet<_> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let described: BTreeSet<_> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(in_path, described, "{name}");
        for scheme in operation["security"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|needed| needed.as_object().unwrap().keys())
        {
            assert!(
                document["components"]["securitySchemes"].get(scheme).is_some(),
                "{scheme} of {name}"
            );
        }
    }
    let of_services: usize = documents
        .iter()
        .filter(|(name, _)| name.starts_with("openapi-"))
        .map(|(_, document)| operations(document).len())
        .sum();
    assert_eq!(ids.len(), of_services, "all is what the services are together");
}

/// What moves money can be repeated.
#[test]
fn every_request_that_moves_money_takes_an_idempotency_key() {
    let documents = committed();
    for path in [
        "purchases",
        "purchases/{id}/refund",
        "balance/top-up",
        "balance/withdraw",
        "users/{id}/credit",
        "users/{id}/debit",
    ] {
        let operation = &documents["openapi.json"]["paths"][format!("/billing/v1/{path}")]["post"];
        let parameters = operation["parameters"].as_array().unwrap();
        let mut names = parameters.iter().map(|parameter| &parameter["name"]);
        assert!(names.any(|name| name == "Idempotency-Key"), "{path}");
    }
}

#[test]
fn what_may_be_absent_is_not_required() {
    let documents = committed();
    let document = &documents["openapi.json"];
    let body = &document["paths"]["/auth/v1/users/{id}/block"]["post"]["requestBody"];
    assert_ne!(body["required"], true);
    // It may be absent, and is not null.
    assert!(body["content"]["application/json"]["schema"]["$ref"].is_string());
    let schemas = &document["components"]["schemas"];
    let required: BTreeSet<_> = schemas["NewCampaign"]["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(required, BTreeSet::from(["discount", "name"]));
    assert_eq!(schemas["CampaignChange"].get("required"), None);
}

#[test]
fn a_webhook_needs_a_signature_and_no_token() {
    let documents = committed();
    let path = "/billing/v1/providers/{name}/webhook";
    let webhook = &documents["openapi.json"]["paths"][path]["post"];
    let parameters = webhook["parameters"].as_array().unwrap();
    let names: Vec<_> = parameters.iter().map(|parameter| &parameter["name"]).collect();
    assert_eq!(names, ["name", "Kopeck-Signature"]);
    assert_eq!(webhook["security"], json!([{}]));
}
