//! The description of an API (OpenAPI 3.1), as far as tests ask for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contracts::Permission;

/// What a service says of its operations.
pub(super) struct Description {
    document: Value,
    pub(super) operations: BTreeMap<String, Operation>,
}

/// What it says of one of them.
#[derive(Clone, Default)]
pub(super) struct Operation {
    /// Every status, with the codes of its problems.
    pub(super) answers: BTreeMap<u16, BTreeSet<String>>,
    /// Whether it takes no token.
    pub(super) public: bool,
    /// The permissions that it always needs.
    pub(super) needed: Vec<Permission>,
    /// The permissions that some requests need.
    pub(super) sometimes_needed: Vec<Permission>,
    pub(super) parameters: Vec<Parameter>,
    /// The schema of its body in JSON.
    pub(super) body: Option<Value>,
    /// Whether it may come without one.
    pub(super) body_is_optional: bool,
}

#[derive(Clone)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// `path`, `query` or `header`.
    pub(super) place: String,
    pub(super) schema: Value,
}

impl Operation {
    pub(super) fn parameters_in(&self, place: &str) -> impl Iterator<Item = &Parameter> {
        self.parameters
            .iter()
            .filter(move |parameter| parameter.place == place)
    }
}

impl Description {
    /// Reads the operations below `prefix`, whose names leave it out.
    pub(super) fn read(document: Value, prefix: &str) -> Self {
        let mut operations = BTreeMap::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            let Some(path) = path.strip_prefix(prefix) else {
                continue;
            };
            for (method, operation) in methods.as_object().expect("methods") {
                let name = format!("{} {path}", method.to_uppercase());
                operations.insert(name, read_operation(operation));
            }
        }
        Self { document, operations }
    }

    /// The schema that `schema` refers to; of several, the one that fits `value`, which they tell by
    /// what its enumerated members say.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Value, value: &Value) -> &'a Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            let target = self.document.pointer(pointer).expect("a schema");
            return self.resolve(target, value);
        }
        let Some(alternatives) = schema["oneOf"].as_array() else {
            return schema;
        };
        let fits = |candidate: &&Value| {
            let candidate = self.resolve(candidate, value);
            candidate["type"] != "null" && has_its_constants(candidate, value)
        };
        let fitting = alternatives.iter().find(fits).unwrap_or(schema);
        if std::ptr::eq(fitting, schema) {
            schema
        } else {
            self.resolve(fitting, value)
        }
    }

    /// Whether null is one of its values.
    pub(super) fn allows_null(&self, schema: &Value) -> bool {
        let is_null = |schema: &Value| match &schema["type"] {
            Value::Array(types) => types.contains(&"null".into()),
            kind => kind == "null",
        };
        is_null(schema)
            || schema["oneOf"]
                .as_array()
                .is_some_and(|all| all.iter().any(is_null))
    }
}

/// Whether each member of `value` is one of the constants that `schema` allows for it.
fn has_its_constants(schema: &Value, value: &Value) -> bool {
    let members = schema["properties"].as_object();
    members.into_iter().flatten().all(|(name, schema)| {
        let constants = schema["enum"].as_array();
        constants.is_none_or(|constants| constants.contains(&value[name]))
    })
}

fn read_operation(operation: &Value) -> Operation {
    let answers = operation["responses"].as_object().expect("responses");
    let answers = answers.iter().map(|(status, response)| {
        let status = status.parse().expect("a status");
        let text = response["description"].as_str().unwrap_or_default();
        (
            status,
            if status < 400 {
                BTreeSet::new()
            } else {
                codes(text)
            },
        )
    });
    let alternatives = operation["security"].as_array().expect("security");
    let allowing: Vec<Vec<Permission>> = alternatives
        .iter()
        .map(|alternative| serde_json::from_value(alternative["access_token"].clone()).unwrap_or_default())
        .collect();
    let permissions = allowing.concat();
    let some_need_none = allowing.iter().any(Vec::is_empty);
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    Operation {
        answers: answers.collect(),
        public: alternatives
            .iter()
            .any(|alternative| alternative.as_object().is_some_and(serde_json::Map::is_empty)),
        needed: if some_need_none {
            Vec::new()
        } else {
            permissions.clone()
        },
        sometimes_needed: if some_need_none { permissions } else { Vec::new() },
        parameters: parameters
            .map(|parameter| Parameter {
                name: text(&parameter["name"]),
                place: text(&parameter["in"]),
                schema: parameter["schema"].clone(),
            })
            .collect(),
        body: operation
            .pointer("/requestBody/content/application~1json/schema")
            .cloned(),
        body_is_optional: operation["requestBody"]["required"] != true,
    }
}

/// The codes that a description explains: ``"`role_exists`: there is one of that name."``
fn codes(description: &str) -> BTreeSet<String> {
    let parts: Vec<&str> = description.split('`').collect();
    let is_code =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    parts
        .windows(2)
        .skip(1)
        .step_by(2)
        .filter(|pair| is_code(pair[0]) && pair[1].starts_with(':'))
        .map(|pair| pair[0].to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_other_words() {
        let text = "`not_found`: no such `role`. `built_in_role`: what `admin` allows can't be changed.";
        assert_eq!(
            codes(text).into_iter().collect::<Vec<_>>(),
            ["built_in_role", "not_found"]
        );
        assert!(codes("It is gone.").is_empty());
    }
}
