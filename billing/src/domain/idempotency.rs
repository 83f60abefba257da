//! `Idempotency-Key`: one key, one operation, however often it is asked for.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The name a client gives to one operation: 1 to 255 visible ASCII characters. It means
/// something only together with the user that sent it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 255 visible ASCII characters")]
pub struct InvalidKey;

impl IdempotencyKey {
    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKey)
        }
    }
}

/// What tells two requests apart: SHA-256 of the operation's name and the request's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestHash([u8; 32]);

impl RequestHash {
    /// The hash of `request` to `operation`. The order of a JSON object's keys makes no
    /// difference, and neither does how the client spaced it.
    ///
    /// # Errors
    /// When `request` can't be written as JSON.
    pub fn of(operation: &str, request: &impl Serialize) -> Result<Self, serde_json::Error> {
        let mut canonical = String::new();
        write_canonical(&serde_json::to_value(request)?, &mut canonical);
        let mut hash = Sha256::new();
        hash.update(operation);
        // JSON has no raw zero byte, so the name can't run into the content.
        hash.update([0]);
        hash.update(canonical);
        Ok(Self(hash.finalize().into()))
    }

    /// The bytes, for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash with these bytes; none unless there are 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Writes JSON without spaces and with sorted keys, whatever features serde_json is built with.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (position, (name, value)) in fields.into_iter().enumerate() {
                out.push_str(if position == 0 { "" } else { "," });
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                out.push_str(if position == 0 { "" } else { "," });
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// What the store remembers of a key's first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What was asked for.
    pub hash: RequestHash,
}

/// What a request with a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The first with this key: do it, and store the key in the same transaction.
    First,
    /// The same again: show the operation as it now stands.
    Repeat,
    /// Another request under a key that is taken: 422.
    Mismatch,
}

/// What a request with this `hash` is, where the store remembers `stored` under its key.
#[must_use]
pub fn decide(stored: Option<&Stored>, hash: RequestHash) -> Decision {
    match stored {
        None => Decision::First,
        Some(stored) if stored.hash == hash => Decision::Repeat,
        Some(_) => Decision::Mismatch,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hash(operation: &str, request: &str) -> RequestHash {
        RequestHash::of(operation, &serde_json::from_str::<Value>(request).unwrap()).unwrap()
    }

    #[test]
    fn a_key_is_visible_ascii() {
        for key in ["a", "7f9c-!~", &"k".repeat(255)] {
            assert_eq!(key.parse::<IdempotencyKey>().unwrap().as_str(), key);
        }
        for key in ["", " ", "a b", "a\n", "ключ", "\u{7f}", &"k".repeat(256)] {
            assert_eq!(key.parse::<IdempotencyKey>(), Err(InvalidKey), "{key:?}");
        }
    }

    #[test]
    fn the_same_request_is_a_repeat_however_it_is_written() {
        let first = hash(
            "top_up",
            r#"{"amount":1,"currency":"RUB","more":{"a":[1,2],"b":null}}"#,
        );
        let again = hash(
            "top_up",
            r#"{ "more": {"b": null, "a": [1, 2]}, "currency": "RUB", "amount": 1 }"#,
        );
        assert_eq!(decide(None, first), Decision::First);
        assert_eq!(decide(Some(&Stored { hash: first }), again), Decision::Repeat);
    }

    #[test]
    fn another_request_under_the_same_key_is_a_mismatch() {
        let stored = Stored {
            hash: hash("top_up", r#"{"amount":1}"#),
        };
        for other in [
            hash("top_up", r#"{"amount":2}"#),
            hash("withdraw", r#"{"amount":1}"#),
            hash("top_up", r#"{"amount":"1"}"#),
            hash("top_up", r#"{"amount":1,"note":null}"#),
            hash("top_up", r#"[{"amount":1}]"#),
        ] {
            assert_eq!(decide(Some(&stored), other), Decision::Mismatch);
        }
    }

    #[test]
    fn a_stored_hash_is_the_hash_that_was_stored() {
        let hash = hash("top_up", r#"{"amount":1}"#);
        assert_eq!(RequestHash::from_bytes(hash.as_bytes()), Some(hash));
        assert_eq!(RequestHash::from_bytes(&hash.as_bytes()[1..]), None);
        // Rows written by one version must compare with those of the next.
        let expected = "54fbd3bc8047f7844d1ef3129d0cde7a7cb09a8d36b5e7244211d735035ebe73";
        assert_eq!(format!("{hash:?}"), expected);
    }

    proptest! {
        #[test]
        fn texts_are_told_apart(left in any::<String>(), right in any::<String>()) {
            let hashes = [&left, &right].map(|text| RequestHash::of("x", &json!({ "text": text })).unwrap());
            prop_assert_eq!(hashes[0] == hashes[1], left == right);
        }
    }
}
