//! Bodies that are wrong, made from one that is right and from what is said of it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::description::Description;

/// More than any body may have.
const TOO_MUCH: usize = 300 * 1024;

/// A wrong body, and what it is to be answered with.
pub(super) struct Wrong {
    /// What is wrong with it.
    pub what: String,
    pub content_type: Option<&'static str>,
    pub bytes: Vec<u8>,
    pub status: u16,
    pub code: &'static str,
    /// The field that the answer is to name.
    pub field: Option<String>,
}

/// Every wrong body that follows from `right`.
pub(super) fn wrong_bodies(description: &Description, schema: &Value, right: &Value) -> Vec<Wrong> {
    let mut bodies = Bodies {
        description,
        right,
        wrong: wrong_texts(right),
    };
    bodies.vary(&mut Vec::new(), schema, right);
    bodies.wrong
}

fn wrong_texts(right: &Value) -> Vec<Wrong> {
    let text = right.to_string();
    let wrong = |what: &str, bytes: Vec<u8>, status, code| Wrong {
        what: what.to_owned(),
        content_type: Some("application/json"),
        bytes,
        status,
        code,
        field: None,
    };
    let of_kind = |what: &str, content_type| Wrong {
        content_type,
        ..wrong(what, text.clone().into_bytes(), 415, "unsupported_media_type")
    };
    let malformed = |what: &str, bytes: Vec<u8>| wrong(what, bytes, 400, "malformed_json");
    let long = format!("{}{text}", " ".repeat(TOO_MUCH));
    let (name, value) = right
        .as_object()
        .and_then(|members| members.iter().next())
        .expect("an object with a member");
    let twice = format!("{{{}:{value},{}", json!(name), &text[1..]);
    let mut texts = vec![
        malformed("no JSON", b"nonsense".to_vec()),
        malformed("cut off", text.as_bytes()[..text.len() - 1].to_vec()),
        malformed("more behind it", format!("{text} 1").into_bytes()),
        malformed("not UTF-8", b"{\"\xff\": 1}".to_vec()),
        malformed("too deep", format!("{{\"x\":{}", "[".repeat(10_000)).into_bytes()),
        wrong("too large", long.into_bytes(), 413, "body_too_large"),
        of_kind("sent as text", Some("text/plain")),
        of_kind("sent as nothing", None),
        wrong("a field twice", twice.into_bytes(), 422, "invalid_request"),
    ];
    let others = [json!(null), json!([right]), json!([]), json!("text"), json!(5)];
    texts.extend(others.map(|other| {
        let what = format!("{other} for the body");
        wrong(&what, other.to_string().into_bytes(), 422, "invalid_request")
    }));
    texts
}

#[derive(Clone)]
enum Step {
    Member(String),
    Item(usize),
}

struct Bodies<'a> {
    description: &'a Description,
    right: &'a Value,
    wrong: Vec<Wrong>,
}

impl Bodies<'_> {
    /// Everything that can be wrong with the value at `place`.
    fn vary(&mut self, place: &mut Vec<Step>, schema: &Value, value: &Value) {
        let allows_null = self.description.allows_null(schema);
        let schema = self.description.resolve(schema, value).clone();
        let allows_null = allows_null || self.description.allows_null(&schema);
        if !place.is_empty() {
            self.vary_type(place, &schema, allows_null);
        }
        for bad in out_of_bounds(&schema, value) {
            self.put(place, &bad);
        }
        match value {
            Value::Object(members) => self.vary_members(place, &schema, members),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate().take(1) {
                    place.push(Step::Item(number));
                    self.vary(place, &schema["items"], item);
                    place.pop();
                }
            }
            _ => {}
        }
    }

    fn vary_type(&mut self, place: &[Step], schema: &Value, allows_null: bool) {
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let samples = [
            json!(null),
            json!(true),
            json!(1),
            json!(1.5),
            json!("1"),
            json!([]),
            json!({}),
        ];
        for sample in samples {
            let fits = types.iter().any(|kind| is_a(&sample, kind)) || (sample.is_null() && allows_null);
            if !fits {
                self.put(place, &sample);
            }
        }
    }

    fn vary_members(&mut self, place: &mut Vec<Step>, schema: &Value, members: &Map<String, Value>) {
        let with = |name: &str, value: Value| {
            let mut members = members.clone();
            members.insert(name.to_owned(), value);
            Value::Object(members)
        };
        let unknown = field_name(place, "no_such_field");
        self.add(
            place,
            &with("no_such_field", json!(1)),
            "an unknown field",
            &unknown,
        );
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().expect("a name");
            let mut without = members.clone();
            without.remove(name);
            let missing = field_name(place, name);
            self.add(place, &Value::Object(without), "without", &missing);
        }
        if !place.is_empty() {
            // serde takes an object's values in the order of its fields for the object, if it is let.
            let values: Vec<_> = members.values().cloned().collect();
            let reversed: Vec<_> = values.iter().rev().cloned().collect();
            for value in &values {
                self.put(place, &json!([value]));
            }
            self.put(place, &json!(values));
            self.put(place, &json!(reversed));
        }
        if let (Some(_), Some(_)) = (members.get("amount"), members.get("currency")) {
            self.vary_money(place);
        }
        for (name, value) in members {
            let properties = &schema["properties"];
            place.push(Step::Member(name.clone()));
            self.vary(place, &properties[name], value);
            place.pop();
        }
    }

    fn vary_money(&mut self, place: &mut Vec<Step>) {
        let beyond: u64 = 9_223_372_036_854_775_808;
        let amounts = [
            json!(-1),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(beyond),
            json!(1e3),
            json!(1e300),
        ];
        let currencies = ["XYZ", "rub", "USD", ""].map(|code| json!(code));
        for (name, values) in [("amount", amounts.as_slice()), ("currency", &currencies)] {
            for value in values {
                place.push(Step::Member(name.to_owned()));
                self.put(place, value);
                place.pop();
            }
        }
    }

    /// The right body with `bad` at `place`.
    fn put(&mut self, place: &[Step], bad: &Value) {
        let field = name_of(place);
        let mut shown = bad.to_string();
        shown.truncate(shown.floor_char_boundary(60));
        self.add(place, bad, &format!("{shown} for"), &field);
    }

    fn add(&mut self, place: &[Step], value: &Value, what: &str, field: &str) {
        let mut body = self.right.clone();
        let mut target = &mut body;
        for step in place {
            target = match step {
                Step::Member(name) => &mut target[name],
                Step::Item(number) => &mut target[number],
            };
        }
        *target = value.clone();
        self.wrong.push(Wrong {
            what: format!("{what} `{field}`"),
            content_type: Some("application/json"),
            bytes: body.to_string().into_bytes(),
            status: 422,
            code: "invalid_request",
            field: Some(field.to_owned()),
        });
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// Values of the right type that break what `schema` promises of them.
fn out_of_bounds(schema: &Value, value: &Value) -> Vec<Value> {
    let mut bad = Vec::new();
    let bound = |name: &str| schema[name].as_i64();
    let length = |name: &str| {
        schema[name]
            .as_u64()
            .and_then(|length| usize::try_from(length).ok())
    };
    match value {
        Value::String(_) => {
            let is_free =
                schema["format"].is_null() && schema["enum"].is_null() && schema["pattern"].is_null();
            if !is_free && schema["format"] != "password" {
                bad.push(json!("~ no sense ~"));
            }
            if length("minLength").is_some_and(|length| length > 0) {
                bad.push(json!(""));
            }
            if let Some(length) = length("maxLength") {
                bad.push(json!("x".repeat(length + 1)));
            }
        }
        Value::Number(_) => {
            bad.extend(
                bound("minimum")
                    .and_then(|least| least.checked_sub(1))
                    .map(Value::from),
            );
            bad.extend(
                bound("maximum")
                    .and_then(|most| most.checked_add(1))
                    .map(Value::from),
            );
            bad.push(json!(9_223_372_036_854_775_808_u64));
        }
        Value::Array(items) => {
            if length("minItems").is_some_and(|length| length > 0) {
                bad.push(json!([]));
            }
            if let (Some(length), Some(item)) = (length("maxItems"), items.first()) {
                bad.push((0..=length).map(|number| another(item, number)).collect());
            }
        }
        _ => {}
    }
    bad
}

/// Something like `item`, but another for each `number`: a list may be a set.
fn another(item: &Value, number: usize) -> Value {
    match item {
        Value::String(text) if Uuid::parse_str(text).is_ok() => json!(Uuid::from_u128(number as u128)),
        Value::String(text) => json!(format!("{text}{number}")),
        other => other.clone(),
    }
}

/// `discount.amount`, `eligibility.users[0]`.
fn name_of(place: &[Step]) -> String {
    let mut name = String::new();
    for step in place {
        match step {
            Step::Member(member) if name.is_empty() => name.push_str(member),
            Step::Member(member) => name.push_str(&format!(".{member}")),
            Step::Item(number) => name.push_str(&format!("[{number}]")),
        }
    }
    name
}

fn field_name(place: &[Step], member: &str) -> String {
    let mut whole = place.to_vec();
    whole.push(Step::Member(member.to_owned()));
    name_of(&whole)
}

/// Whether the problem says that `field` is wrong: it or what it is a part of stands in `errors`, or
/// its name in the text.
pub(super) fn names(problem: &Value, field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field);
    let last = last.split('[').next().unwrap_or(last);
    let listed = problem["errors"].as_array().into_iter().flatten();
    let is_near = |one: &str| field.starts_with(one) || one.starts_with(field);
    listed.filter_map(|error| error["field"].as_str()).any(is_near)
        || problem.to_string().contains(&format!("`{last}`"))
}
