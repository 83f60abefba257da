//! Paths, parameters and bodies that are wrong.

use reqwest::Method;
use serde_json::Value;

use super::{
    Call, Routes,
    bodies::{self, Wrong},
    description::{Operation, Parameter},
    truncated,
};
use crate::ids::new_uuid;

impl Routes<'_> {
    /// Sends `call` with everything in it wrong, one after another.
    pub(super) async fn try_input(&mut self, call: &Call, operation: &Operation) {
        for parameter in operation.parameters_in("path") {
            self.try_path(call, parameter).await;
        }
        for parameter in operation.parameters_in("query") {
            self.try_query(call, parameter).await;
        }
        let has_query = operation.parameters_in("query").next().is_some();
        if call.method == Method::GET && (has_query || !operation.public) {
            let call = call.clone().query("no_such_parameter", 1);
            self.expect(&call, "an unknown parameter", 400, "invalid_query")
                .await;
        }
        let mut headers = operation.parameters_in("header");
        if headers.any(|parameter| parameter.name == "Idempotency-Key") {
            for key in [String::new(), "k".repeat(256)] {
                let call = call.clone().header("Idempotency-Key", key);
                let code = "invalid_idempotency_key";
                self.expect(&call, "a wrong key", 400, code).await;
            }
            let twice = call
                .clone()
                .header("Idempotency-Key", "one")
                .header("idempotency-key", "one");
            self.expect(&twice, "two keys", 400, "invalid_idempotency_key")
                .await;
        }
        match (&operation.body, &call.body) {
            (Some(schema), Some(body)) => {
                self.try_bodies(call, schema, body).await;
                if !operation.body_is_optional {
                    let (kind, what) = (Some("application/json"), "an empty body");
                    let answer = self.send_bytes(call, self.authorization(call), kind, Vec::new(), what);
                    let answer = answer.await;
                    self.compare(&call.operation(), what, &answer, 400, "malformed_json");
                }
            }
            (Some(_), None) => panic!("{} needs a body", call.operation()),
            (None, _) => {}
        }
    }

    async fn try_path(&mut self, call: &Call, parameter: &Parameter) {
        let (name, _) = call
            .path
            .iter()
            .find(|(name, _)| *name == parameter.name)
            .unwrap_or_else(|| panic!("{} needs `{}`", call.operation(), parameter.name));
        let schema = self.description.resolve(&parameter.schema, &Value::Null);
        let is_id = schema["format"] == "uuid";
        let mut wrong = Vec::new();
        if is_id {
            wrong.extend(["nonsense".to_owned(), "0".to_owned()]);
        }
        if !call.any.contains(name) {
            wrong.push(if is_id {
                new_uuid(self.service.peers.now()).to_string()
            } else {
                "no-such-thing".to_owned()
            });
            wrong.push("a\0b".to_owned());
        }
        for value in wrong {
            let call = call.clone().path(name, &value);
            let what = format!("{value:?} for `{name}`");
            self.expect(&call, &what, 404, "not_found").await;
        }
    }

    async fn try_query(&mut self, call: &Call, parameter: &Parameter) {
        let name = &parameter.name;
        let schema = self.description.resolve(&parameter.schema, &Value::Null).clone();
        let is_free = schema["format"].is_null() && schema["enum"].is_null();
        let bound = |name: &str| schema[name].as_i64();
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        let mut wrong = Vec::new();
        match kind {
            Some("integer") => {
                wrong.extend(bound("minimum").map(|least| (least - 1).to_string()));
                wrong.extend(bound("maximum").map(|most| (most + 1).to_string()));
                wrong.extend(["abc", "1.5", "99999999999999999999"].map(str::to_owned));
            }
            Some("string") if is_free && name != "cursor" => {
                // Whatever is in it, it is an answer that is described.
                let call = call.clone().query(name, "a\0b");
                self.send(&call, &format!("NUL in `{name}`")).await;
            }
            _ => wrong.push("nonsense".to_owned()),
        }
        if schema["format"] == "date-time" {
            wrong.push("+12345-01-01T00:00:00Z".to_owned());
        }
        let code = if name == "cursor" {
            "invalid_cursor"
        } else {
            "invalid_query"
        };
        for value in wrong {
            let call = call.clone().query(name, &value);
            let what = format!("{value:?} for `{name}`");
            self.expect(&call, &what, 400, code).await;
        }
    }

    async fn try_bodies(&mut self, call: &Call, schema: &Value, body: &Value) {
        let (name, authorization) = (call.operation(), self.authorization(call));
        for wrong in bodies::wrong_bodies(&self.description, schema, body) {
            let Wrong {
                what,
                content_type,
                bytes,
                status,
                code,
                field,
            } = wrong;
            let authorization = authorization.clone();
            let answer = self
                .send_bytes(call, authorization, content_type, bytes, &what)
                .await;
            self.compare(&name, &what, &answer, status, code);
            if let Some(field) = field.filter(|_| answer.status == 422)
                && !bodies::names(&answer.body, &field)
            {
                self.fault(&name, &what, "does not name the field", &answer);
            }
        }
        let path = format!("{}{}", self.prefix, call.target());
        let answer = truncated::send(self.service.api.base(), call, &path, authorization).await;
        let what = "a body that breaks off";
        self.record(&name, what, &answer);
        self.compare(&name, what, &answer, 400, "unreadable_body");
    }
}
