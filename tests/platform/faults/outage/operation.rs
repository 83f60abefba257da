//! An operation, and a request to it that follows from its description.

use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::ServiceName,
    testing::{Answer, Api},
};

use super::WEBHOOK_SECRET;
use crate::platform::Platform;

/// What every id in a path is, and names nothing.
const ID: &str = "01938f00-0000-7000-8000-00000000abcd";
/// What no administrator has, but the platform's own programs.
const OF_PROGRAMS: [&str; 2] = ["contacts.read", "mail_requests.read"];

/// Who may do everything, together.
pub struct People {
    nobody: Api,
    admin: Api,
    program: Api,
}

impl People {
    pub async fn of(platform: &Platform) -> Self {
        let secret = platform.value_of("KOPECK_NOTIFICATIONS__CLIENT_SECRET");
        let form = format!(
            "grant_type=client_credentials&client_id=notifications&client_secret={}",
            secret.expect("a secret")
        );
        let request = platform
            .api
            .request(Method::POST, "/auth/v1/token")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let tokens = platform.api.send(request).await.expect(200);
        let token = tokens["access_token"].as_str().expect("a token");
        Self {
            nobody: platform.api.clone(),
            admin: platform.admin.clone(),
            program: platform.api.with_token(token),
        }
    }
}

/// An operation as its service describes it.
pub struct Operation {
    /// `GET /auth/v1/me`
    pub name: String,
    method: Method,
    path: String,
    described: Value,
    /// The body and its media type.
    body: Option<(String, String)>,
}

impl Operation {
    /// Those of all services.
    pub async fn all(platform: &Platform) -> Vec<Self> {
        let mut operations = Vec::new();
        for service in ServiceName::ALL {
            let document = platform
                .api
                .get(&format!("/{service}/openapi.json"))
                .await
                .expect(200);
            for (template, methods) in document["paths"].as_object().expect("paths") {
                for (method, described) in methods.as_object().expect("methods") {
                    let method = method.to_uppercase();
                    let name = format!("{method} {template}");
                    operations.push(Self {
                        method: method.parse().expect("a method"),
                        path: path_of(template),
                        described: described.clone(),
                        body: body_of(&name, &document, described),
                        name,
                    });
                }
            }
        }
        operations
    }

    /// Whether it asks for no token.
    pub fn is_public(&self) -> bool {
        self.described["security"] == json!([{}])
    }

    /// Whether its description explains `code` under `status`.
    pub fn describes(&self, status: u16, code: &str) -> bool {
        let text = self.described["responses"][status.to_string()]["description"].as_str();
        text.is_some_and(|text| text.contains(&format!("`{code}`:")))
    }

    /// Sends a request that nothing is wrong with.
    pub async fn call(&self, people: &People) -> Answer {
        let needs = self.described["security"].to_string();
        let api = if self.is_public() {
            &people.nobody
        } else if OF_PROGRAMS.iter().any(|permission| needs.contains(permission)) {
            &people.program
        } else {
            &people.admin
        };
        let mut request = api.request(self.method.clone(), &self.path);
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            let body = self.body.as_ref().map_or("", |(_, body)| body);
            request = match parameter["name"].as_str() {
                Some("Kopeck-Signature") => request.header("Kopeck-Signature", signature_of(body)),
                Some("Idempotency-Key") => request.header("Idempotency-Key", ID),
                _ => request,
            };
        }
        if let Some((kind, body)) = &self.body {
            request = request.header(CONTENT_TYPE, kind).body(body.clone());
        }
        api.send(request).await
    }
}

fn signature_of(body: &str) -> String {
    billing::providers::signature::sign(WEBHOOK_SECRET.as_bytes(), body.as_bytes(), SystemClock.now())
}

fn path_of(template: &str) -> String {
    template
        .replace("/providers/{name}", "/providers/sandbox")
        .replace("{name}", "cashier")
        .replace("{code}", "SUMMER")
        .replace("{user_id}", ID)
        .replace("{id}", ID)
}

fn body_of(name: &str, document: &Value, described: &Value) -> Option<(String, String)> {
    let content = described.pointer("/requestBody/content")?.as_object()?;
    let (kind, media) = content.iter().next()?;
    if kind == "application/json" {
        let body = match name {
            // What their schemas can't say.
            "PUT /auth/v1/users/{id}/roles" => json!({"roles": ["user"]}),
            "POST /loyalty/v1/grants" => json!({"promocode": "SUMMER", "user_id": ID}),
            _ => example_of(document, &media["schema"]),
        };
        return Some((kind.clone(), body.to_string()));
    }
    // Everything: what a form may leave out can be said in another way.
    let fields = resolved(document, &media["schema"])["properties"].as_object()?;
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, schema)| (name, example_of(document, schema)))
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default().replace(' ', "+")))
        .collect();
    Some((kind.clone(), fields.join("&")))
}

/// The schema that `schema` is, or refers to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else {
        return schema;
    };
    let target = document.pointer(reference.trim_start_matches('#'));
    resolved(document, target.expect("a schema"))
}

/// A value that `schema` allows: its example, or one made of the examples of its parts.
fn example_of(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    let given = [&schema["example"], &schema["examples"][0], &schema["enum"][0]];
    if let Some(example) = given.into_iter().find(|example| !example.is_null()) {
        return example.clone();
    }
    if let Some(first) = schema["oneOf"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["type"] != "null"))
    {
        return example_of(document, first);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap_or(&kinds[0]),
        kind => kind,
    };
    match kind.as_str() {
        Some("string") if schema["format"] == "uuid" => json!(ID),
        Some("string") => json!("a long enough text"),
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([example_of(document, &schema["items"])]),
        Some("object") => object_of(document, schema),
        _ => panic!("no example of {schema}"),
    }
}

/// With what it needs; with everything, if it needs nothing.
fn object_of(document: &Value, schema: &Value) -> Value {
    let properties = schema["properties"].as_object();
    let needed = schema["required"].as_array();
    let properties = properties.into_iter().flatten();
    let kept =
        properties.filter(|(name, _)| needed.is_none_or(|needed| needed.contains(&json!(name.as_str()))));
    let fields: Map<_, _> = kept
        .map(|(name, schema)| (name.clone(), example_of(document, schema)))
        .collect();
    Value::Object(fields)
}
